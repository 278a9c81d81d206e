"""The torso as a picture behind the head: cut out once from the capture, then held still or led calmly after the head.

The avatar's volume holds head, hair and upper neck. With cameras taken from the head's pose, shoulders inside it would swing
with every nod; as a flat layer they stay where shoulders are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from pipelines.artifacts.avatar import head_frame_of
from pipelines.artifacts.avatar_record import load_avatar_record, made_by
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import CROP_PX, view_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_image, write_image, write_json
from pipelines.core.records import read_record
from pipelines.face.expression import calibrate
from pipelines.geometry.filters import one_euro
from pipelines.geometry.rigid import project, soft_limit
from pipelines.media.foreground import foreground

ANCHORS = np.array([[0.0, -0.40, -0.05], [-0.30, -0.50, -0.10], [0.30, -0.50, -0.10]])
"""Foot of the neck and both shoulders, roughly, in head units: where the layer is pinned."""
OVERLAP = 0.05
"""How far the layer reaches up behind the neck, over the crop's side."""
RIM = 0.006
"""Width of the rim, over the crop's side, whose color is not believed: mattes are that wrong before a bright wall."""
FOLLOW = 0.8
"""Share of the calmed motion of the neck's foot that the layer makes."""
CALM_HZ = 0.4
"""Cutoff of the layer's motion at rest."""
REACH = 0.08
"""Calm shifts of the layer approach this share of the picture and never pass it."""
SLACK = 0.04
"""The layer's neck stays this near to the head's, over the picture's side, however fast that one moves: else it would show
beside it."""


def build_torso(capture: Path, avatar: Path) -> dict[str, object]:
    """Write torso.png (RGBA) and torso.json into the avatar folder, which holds avatar.json; the record of what was chosen.

    One training frame is used: near frontal, near the resting face, sharp.
    """
    of_avatar = load_avatar_record(avatar)
    dataset, frontal = view_of(capture, head_frame_of(avatar, of_avatar)), np.array(of_avatar.frontal_camera, np.float64)
    pose, intrinsics = frontal[:16].reshape(4, 4), frontal[16:].reshape(3, 3)
    row = best_row(dataset, pose)
    only = np.array([row])
    crop, person, head = (read(only, CROP_PX)[0] for read in (dataset.images, dataset.person_mattes, dataset.head_mattes))
    write_image(avatar / "torso.png", cut_torso(foreground(crop, person), person, head, CROP_PX))
    place = placement(dataset.world_from_camera[row], dataset.intrinsics[row], pose, intrinsics)
    record = {"schema": 1, "source_index": int(dataset.source_index[row]), "frontal_from_torso": place}
    write_json(avatar / "torso.json", record)
    return record


def best_row(dataset: Dataset, frontal: np.ndarray) -> int:
    """The training frame with the least turn from the frontal camera (per 10 degrees) + distance from rest + blur."""
    rows = dataset.rows("train")
    relative = dataset.world_from_camera[rows, :3, :3].transpose(0, 2, 1) @ frontal[:3, :3]
    turned = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    scores = dataset.tracking()["expression_measured"][rows]
    rest = calibrate(scores, np.ones(len(rows), bool)).neutral
    away = (np.abs(scores - rest) / np.maximum(scores.std(0), 0.05)).mean(1)
    candidates = np.argsort(turned / 10 + away)[:8]
    images = dataset.images(rows[candidates], 256).astype(np.float32).mean(-1)
    detail = np.abs(np.diff(images, axis=1)).mean((1, 2))
    cost = turned[candidates] / 10 + away[candidates] + (1 - detail / detail.max())
    return int(rows[candidates[cost.argmin()]])


def cut_torso(image: np.ndarray, person: np.ndarray, head: np.ndarray, side: float) -> np.ndarray:
    """uint8 RGBA [H,W,4] of uint8 image [H,W,3] and the mattes of person and head [H,W]; the crop's side is `side` px in it.

    Opaque wherever the head's weight is below one, and a soft strip further up, so that no gap opens at the neck. Colors above
    that line (chin, beard) and at the rim (background shining through) are painted over from the torso's own.
    """
    import cv2

    share = head.astype(np.float32) / np.maximum(person.astype(np.float32), 1.0)
    below = ((share < 0.97) & (person > 25)).astype(np.uint8)
    below = cv2.morphologyEx(below, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    reach = max(3, round(OVERLAP * side))
    lifted = cv2.dilate(below, np.ones((reach, 1), np.uint8), anchor=(0, 0))
    soft = cv2.GaussianBlur(np.maximum(lifted, below).astype(np.float32), (0, 0), reach / 4)
    alpha = person.astype(np.float32) * np.where(below > 0, 1.0, soft)
    inside = cv2.erode((person > 242).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(RIM * side)))
    sure = (share < 0.7) & (inside > 0)
    color = grown(image, sure, side) if sure.any() else image
    return np.dstack([color, np.round(alpha).astype(np.uint8)])


def grown(image: np.ndarray, sure: np.ndarray, side: float) -> np.ndarray:
    """uint8 [H,W,3] with pixels that are not `sure` [H,W] painted like the nearest sure ones, softly."""
    import cv2

    _, found = cv2.distanceTransformWithLabels((~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.int64)
    source = np.zeros(labels.max() + 1, np.int64)
    source[labels[sure]] = np.flatnonzero(sure)
    nearest = image.reshape(-1, 3)[source[labels]]
    soft = cv2.GaussianBlur(nearest, (0, 0), max(1.0, side / 100))
    return np.where(sure[..., None], image, soft)


def placement(
    world_from_camera: np.ndarray, intrinsics: np.ndarray, frontal: np.ndarray, frontal_intrinsics: np.ndarray
) -> np.ndarray:
    """[2,3] from positions in the crop to positions in the frontal picture (both over image size): scale and shift, no tilt."""
    source = project(world_from_camera, intrinsics, ANCHORS)[:, :2]
    target = project(frontal, frontal_intrinsics, ANCHORS)[:, :2]
    scale = np.linalg.norm(target[2] - target[1]) / np.linalg.norm(source[2] - source[1])
    shift = target.mean(0) - scale * source.mean(0)
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def follow(frontal: np.ndarray, intrinsics: np.ndarray, cameras: np.ndarray, rate_hz: float) -> np.ndarray:
    """[T,3] shift right, shift down (over image size) and log magnification of the layer for cameras [T,4,4]."""
    neck = neck_moves(frontal, intrinsics, cameras)
    return led(neck, one_euro(neck, rate_hz, CALM_HZ, 0.0))


def led(neck: np.ndarray, calm: np.ndarray) -> np.ndarray:
    """[T,3] where the layer goes when the neck's foot goes to `neck` [T,3], calmed to `calm` [T,3]."""
    moves = soft_limit(FOLLOW * calm, REACH)
    apart = np.linalg.norm(neck - moves, axis=1, keepdims=True)
    return moves + (neck - moves) * np.maximum(apart - SLACK, 0) / np.maximum(apart, 1e-9)


def neck_moves(frontal: np.ndarray, intrinsics: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """[T,3] where the neck's foot goes in the pictures of cameras [T,4,4], as a row of `follow` before it is calmed."""
    rest = project(frontal, intrinsics, ANCHORS[:1])[0]
    seen = project(cameras, intrinsics, ANCHORS[:1])[:, 0]
    return np.column_stack([seen[:, :2] - rest[:2], np.log(rest[2] / seen[:, 2])])


def zoomed(moves: np.ndarray, zoom: np.ndarray, frontal: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Rows of `follow` [T,3] with the whole picture enlarged by `zoom` [T] around c, where the optical axis goes through it.

    The layer is drawn as x -> g (x - a) + a + s with a the neck's foot; enlarged it has g' = zoom g and
    s' = zoom (a + s - c) + c - a.
    """
    anchor, middle = anchor_of(frontal, intrinsics), intrinsics[:2, 2]
    shift = zoom[:, None] * (anchor + moves[:, :2] - middle) + middle - anchor
    return np.column_stack([shift, moves[:, 2] + np.log(zoom)])


Number = Annotated[float, Meta(ge=-20, le=20)]
Scale = Annotated[float, Meta(ge=0.02, le=20)]


@dataclass(frozen=True, kw_only=True)
class TorsoRecord:
    """torso.json: where the layer lies in the frontal picture."""

    frontal_from_torso: tuple[tuple[Scale, Number, Number], tuple[Number, Scale, Number]]


@dataclass(frozen=True, kw_only=True)
class Torso:
    """The layer, ready to be placed into pictures of one size."""

    layer: np.ndarray
    """float32 [h,w,4] premultiplied, 0..1."""
    picture_from_layer: np.ndarray
    """[2,3] in pixels, corner at (0, 0)."""
    anchor_px: np.ndarray
    """[2] the foot of the neck in the frontal picture."""
    unit_px: float
    """Side of the generator's square, which motion counts in."""
    shape: tuple[int, int]
    """Height and width of the pictures."""

    def placed(self, motion: np.ndarray) -> np.ndarray:
        """float32 [height,width,4] premultiplied, moved by one row of `follow` (zeros: where it was cut out)."""
        import cv2

        grow = float(np.exp(motion[2]))
        moved = self.picture_from_layer * grow
        moved[:, 2] += (1 - grow) * self.anchor_px + motion[:2] * self.unit_px
        half = np.array([0.5, 0.5])
        moved[:, 2] += moved[:, :2] @ half - half  # cv2 counts from pixel centers
        return cv2.warpAffine(self.layer, moved, self.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def load_torso(avatar: Path, frontal: np.ndarray, intrinsics: np.ndarray, size: int) -> Torso | None:
    """The layer of an avatar folder for pictures of `size`, or None when it was trained without one."""
    import cv2

    if not (avatar / "torso.json").exists():
        return None
    place = np.array(read_record(avatar / "torso.json", TorsoRecord, made_by(avatar)).frontal_from_torso)
    layer = read_image(avatar / "torso.png")
    if layer.ndim != 3 or layer.shape[2] != 4:
        raise UnusableMaterial(
            f"{avatar / 'torso.png'} has no alpha. Make it with `{made_by(avatar)}`, or copy the avatar again."
        )
    image = layer.astype(np.float32) / 255
    image[..., :3] *= image[..., 3:]
    side = max(8, round(place[0, 0] * size))
    layer = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if side < len(image) else cv2.INTER_LINEAR)
    exact = place[0, 0] * size / side
    picture = np.array([[exact, 0.0, place[0, 2] * size], [0.0, exact, place[1, 2] * size]])
    anchor = anchor_of(frontal, intrinsics) * size
    return Torso(layer=layer, picture_from_layer=picture, anchor_px=anchor, unit_px=size, shape=(size, size))


def anchor_of(pose: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[2] the foot of the neck as a camera sees it, over the square's side."""
    return project(pose, intrinsics, ANCHORS[:1])[0, :2]
