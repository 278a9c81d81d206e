"""The person's own scene: a clean plate of the film, and shoulders and clothes cut from one of its frames, the base.

The head is shown at the place where it was in the base, and a driver moves it from there. All pictures are of the film's
resolution.

Notable choices: what is shown of a torso follows pipelines.avatar.torso, which cuts it out the same way from a crop.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from pipelines.artifacts.avatar_record import SCENE, Label, made_by
from pipelines.avatar.canvas import Canvas
from pipelines.avatar.torso import REACH, Torso, anchor_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_image
from pipelines.core.records import read_record
from pipelines.media.fill import filled
from pipelines.media.squares import Square

RECORD, PLATE, SHOULDERS = SCENE
Side = Annotated[int, Meta(ge=16, le=1 << 14)]
Number = Annotated[float, Meta(ge=-(1 << 15), le=1 << 15)]


@dataclass(frozen=True, kw_only=True)
class SceneRecord:
    """scene.json: which frame the scene was cut from, and where the head is in it."""

    frame_size: tuple[Side, Side]
    """Width, height of the pictures."""
    box: tuple[Number, Number, Annotated[float, Meta(ge=4, le=1 << 14)]]
    """x0, y0, side of the generator's square in px of the pictures."""
    camera: Label
    """Pose [4,4] of the base's camera and intrinsics [3,3] of the square."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What was filmed around the head."""

    plate: np.ndarray
    """uint8 [H,W,3] the film without the person."""
    shoulders: np.ndarray
    """uint8 [H,W,4] straight alpha, the person below the head."""
    box: Square
    pose: np.ndarray
    """[4,4] world_from_camera of the base."""
    intrinsics: np.ndarray
    """[3,3] of the square, over its side."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width, height."""
        return self.plate.shape[1], self.plate.shape[0]

    def backdrop(self, canvas: Canvas) -> np.ndarray:
        """float32 [h,w,4] opaque: the plate as the canvas shows it, filled softly where it shows more than the film."""
        picture = seen(self.plate, canvas.from_film(self.box), canvas.shape)
        known = seen(np.full(self.plate.shape[:2], 255, np.uint8), canvas.from_film(self.box), canvas.shape)
        color = filled(picture, (known > 254).astype(np.float32)) / 255
        return np.dstack([color, np.ones(canvas.shape, np.float32)])

    def torso(self, canvas: Canvas) -> Torso:
        """The shoulders as the layer behind the head in a canvas."""
        pad = 1 + round(2 * REACH * canvas.side)
        matrix = canvas.from_film(self.box) + np.array([[0, 0, pad], [0, 0, pad]])
        image = self.shoulders.astype(np.float32) / 255
        image[..., :3] *= image[..., 3:]
        layer = seen(image, matrix, (canvas.height + 2 * pad, canvas.width + 2 * pad), beyond=True)
        place = np.array([[1.0, 0.0, -pad], [0.0, 1.0, -pad]])
        anchor = np.array([canvas.x, canvas.y]) + canvas.side * anchor_of(self.pose, self.intrinsics)
        return Torso(layer=layer, picture_from_layer=place, anchor_px=anchor, unit_px=canvas.side, shape=canvas.shape)


def seen(picture: np.ndarray, canvas_from_film: np.ndarray, shape: tuple[int, int], *, beyond: bool = False) -> np.ndarray:
    """float32 [h,w,...] of a picture of the film in a canvas, antialiased; beyond its border 0, or its edge where `beyond`."""
    import cv2

    shrink = 1 / canvas_from_film[0, 0]
    picture = picture.astype(np.float32)
    if shrink > 1.2:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 * float(np.sqrt(shrink**2 - 1)))
    half, matrix = np.array([0.5, 0.5]), canvas_from_film.copy()
    matrix[:, 2] += matrix[:, :2] @ half - half  # cv2 counts from pixel centers
    border = cv2.BORDER_REPLICATE if beyond else cv2.BORDER_CONSTANT
    return cv2.warpAffine(picture, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=border)


def load_place(avatar: Path) -> SceneRecord | None:
    """The record of an avatar's scene; None where it was trained without one."""
    return read_record(avatar / RECORD, SceneRecord, made_by(avatar)) if (avatar / RECORD).exists() else None


def load_scene(avatar: Path) -> Scene | None:
    """The scene of an avatar folder, or None where it was trained without one; UnusableMaterial when it is broken."""
    record = load_place(avatar)
    if record is None:
        return None
    plate, shoulders = read_image(avatar / PLATE), read_image(avatar / SHOULDERS)
    if plate.shape != (*record.frame_size[::-1], 3) or shoulders.shape != (*record.frame_size[::-1], 4):
        raise UnusableMaterial(
            f"the pictures of {avatar / RECORD} have other sizes than it says; copy the avatar again, or make it with "
            f"`{made_by(avatar)}`."
        )
    numbers = np.array(record.camera, np.float64)
    return Scene(
        plate=plate, shoulders=shoulders, box=record.box, pose=numbers[:16].reshape(4, 4), intrinsics=numbers[16:].reshape(3, 3)
    )  # fmt: skip
