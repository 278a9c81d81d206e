"""What is handed to the shading: triangles with their vertices, the person's look, lamps and the first one's shadow."""

from typing import NamedTuple

import numpy as np


class Surface(NamedTuple):
    """Triangles to draw; V vertices, F faces. Of hair, `normals` are tangents, `uv` shares of the length, `rest` colors."""

    points: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    occlusion: np.ndarray
    rest: np.ndarray
    edge: np.ndarray
    """[V] cm below the collar: skin above 0 is drawn as cloth."""
    faces: np.ndarray
    material: np.ndarray
    part: np.ndarray


class Look(NamedTuple):
    """What is known of the person beside the triangles."""

    face: np.ndarray
    scalp: np.ndarray
    eyes: np.ndarray
    """[2,3] centers, left first."""
    gaze: np.ndarray
    """[2,3] directions."""
    iris: np.ndarray
    """[5] angle in radians, pupil's share, color."""
    cloth: np.ndarray
    grain: np.ndarray
    relief: float


class Lamps(NamedTuple):
    directions: np.ndarray
    """[3,3] toward the lamps, head space."""
    colors: np.ndarray
    ambient: np.ndarray
    """[9,3] spherical harmonics of radiance."""


class Shadow(NamedTuple):
    """Depth seen from the first lamp: [n,n], axes [3,3], corner and texels per cm [3]."""

    depth: np.ndarray
    axes: np.ndarray
    place: np.ndarray


class Scene(NamedTuple):
    """Everything that decides the color of a hit."""

    surface: Surface
    look: Look
    lamps: Lamps
    shadow: Shadow
    eye: np.ndarray
    """[3] the camera's place, cm."""


class Canvas(NamedTuple):
    """The picture to fill: color [H,W,4] (linear, premultiplied), depth [H,W] in cm (0: nothing), part [H,W]."""

    color: np.ndarray
    depth: np.ndarray
    part: np.ndarray


def canvas(size: int) -> Canvas:
    color, depth = np.zeros((size, size, 4), np.float32), np.zeros((size, size), np.float32)
    return Canvas(color, depth, np.zeros((size, size), np.uint8))


def plain_surface(points, normals, faces, rest, occlusion, material, part) -> Surface:  # type: ignore[no-untyped-def]
    count = len(points)
    return Surface(
        points, normals, np.zeros((count, 2)), occlusion, rest, np.full(count, -1), faces, np.full(len(faces), material),
        np.full(len(faces), part),
    )  # fmt: skip


def concatenate_surfaces(pieces: list[Surface]) -> Surface:
    starts = np.cumsum([0, *(len(piece.points) for piece in pieces)])
    moved = [piece._replace(faces=piece.faces + start) for piece, start in zip(pieces, starts, strict=False)]
    kinds = [np.float32] * 6 + [np.int32] * 3
    fields = zip(zip(*moved, strict=True), kinds, strict=True)
    return Surface(*(np.concatenate(field).astype(kind, copy=False) for field, kind in fields))
