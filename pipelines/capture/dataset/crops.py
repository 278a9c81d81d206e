"""The pixels training reads: square crops, person mattes, head mattes that end at the neck; and their cameras."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.prior import Prior
from pipelines.capture.frames.scan import Scan, frame_name, positive
from pipelines.capture.mattes.person import REGION_PX, cut_square, region
from pipelines.core.files import read_image, write_image
from pipelines.core.stage import Progress

CHIN = 152


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    crop_size: int = 512
    """Side of the crops in pixels."""
    held_out: float = 0.15
    """Share of the filmed time, at its end, that is kept for testing."""
    neck_full_units: float = 0.03
    """Below the chin by this much the head matte is still whole."""
    neck_zero_units: float = 0.15
    """Below the chin by this much it has fallen to nothing (0.15 units are 4.8 cm)."""
    shoulder_height_units: tuple[float, float] = (0.02, 0.12)
    """Shoulders are looked for up to the first height above the chin, and fade out up to the second."""
    shoulder_distance_units: tuple[float, float] = (0.27, 0.40)
    """At these heights what is nearer to the neck's axis than the first stays, beyond the second it is shoulder."""

    def __post_init__(self) -> None:
        positive(self, "crop_size")
        if not 0 <= self.held_out < 1:
            raise ValueError("held_out must be a share from 0 to less than 1")


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The geometry of the dataset: a row a frame."""

    camera_from_head: np.ndarray
    """[N,4,4], OpenCV axes, head units."""
    focal_px: float
    frame_size: tuple[int, int]
    box: np.ndarray
    """[N,3] x0, y0, side in px of the frame: centered on the projected origin, side = f * extent / depth of the origin."""

    @property
    def center_px(self) -> np.ndarray:
        return np.array(self.frame_size) / 2

    @property
    def intrinsics(self) -> np.ndarray:
        """[N,3,3] of the crops, normalized by their side."""
        result = np.tile(np.eye(3), (len(self.box), 1, 1))
        result[:, 0, 0] = result[:, 1, 1] = self.focal_px / self.box[:, 2]
        result[:, :2, 2] = (self.center_px - self.box[:, :2]) / self.box[:, 2:]
        return result

    @property
    def world_from_camera(self) -> np.ndarray:
        return np.linalg.inv(self.camera_from_head)


def crops_of(camera_from_head: np.ndarray, focal_px: float, frame_size: tuple[int, int], extent: float) -> Crops:
    """Squares of `extent` units at the depth of the head's origin."""
    origin = camera_from_head[:, :3, 3]
    side = focal_px * extent / origin[:, 2]
    middle = focal_px * origin[:, :2] / origin[:, 2:] + np.array(frame_size) / 2
    box = np.column_stack([middle - side[:, None] / 2, side])
    return Crops(camera_from_head=camera_from_head, focal_px=focal_px, frame_size=frame_size, box=box)


def neck_weight(crops: Crops, row: int, prior: Prior, settings: DatasetSettings, size: int) -> np.ndarray:
    """float32 [size,size]: 1 on head and upper neck, falling smoothly to 0 toward the collar and the shoulders.

    A pixel's height and distance are those of the point of its ray nearest to the neck's axis (x = z = 0), so the weight does
    not swing when the head turns sideways. Hair keeps its weight above the chin and near the neck.
    """
    pose, intrinsics = crops.world_from_camera[row], crops.intrinsics[row]
    unit = (np.arange(size) + 0.5) / size
    x = (unit - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (unit - intrinsics[1, 2]) / intrinsics[1, 1]
    ray = np.stack([*np.meshgrid(x, y), np.ones((size, size))], axis=-1) @ pose[:3, :3].T
    eye, level = pose[:3, 3], np.hypot(ray[..., 0], ray[..., 2])
    along = -(ray[..., 0] * eye[0] + ray[..., 2] * eye[2]) / np.maximum(level**2, 1e-9)
    below = prior.landmarks[CHIN, 1] - (eye[1] + along * ray[..., 1])
    aside = np.abs(ray[..., 0] * eye[2] - ray[..., 2] * eye[0]) / np.maximum(level, 1e-9)
    shoulders = falling(-below, *settings.shoulder_height_units) * (1 - falling(aside, *settings.shoulder_distance_units))
    return (falling(below, settings.neck_full_units, settings.neck_zero_units) * (1 - shoulders)).astype(np.float32)


def falling(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to `start`, 0 from `end` on, a smooth step between."""
    t = np.clip((end - value) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def face_weight(points: np.ndarray, box: tuple[float, float, float], size: int) -> np.ndarray:
    """float32 [size,size]: 1 inside the outline of the tracked face with a soft rim, so that an open jaw is never cut."""
    import cv2

    at = (points[:, :2] - box[:2]) * size / box[2]
    outline = cv2.convexHull(at.astype(np.float32)).round().astype(np.int32)
    inside = cv2.fillConvexPoly(np.zeros((size, size), np.float32), outline, 1.0)
    radius = max(1, size // 42)
    grown = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    return cv2.GaussianBlur(grown, (0, 0), size / 80)


def write_crops(
    partial: Path, chosen: Scan, crops: Crops, prior: Prior, settings: DatasetSettings, progress: Progress
) -> dict[str, Any]:
    """crops/, mattes/ and heads/ as PNG of `crop_size`; what is there already is kept."""
    size = settings.crop_size
    with progress.task("crops", len(chosen.index)) as task:
        for row, (index, points) in enumerate(zip(chosen.index, chosen.points, strict=True)):
            name = frame_name(index)
            task.advance()
            if (partial / "heads" / f"{name}.png").exists():
                continue
            x0, y0, side = crops.box[row].tolist()
            box = (x0, y0, side)
            image = read_image(partial / "frames" / f"{name}.jpg")
            matte = _matte_of_crop(read_image(partial / "work" / "mattes" / f"{name}.png"), region(points), box, crops, size)
            write_image(partial / "crops" / f"{name}.png", cut_square(image, box, size))
            write_image(partial / "mattes" / f"{name}.png", np.round(matte).astype(np.uint8))
            weight = np.maximum(neck_weight(crops, row, prior, settings, size), face_weight(points, box, size))
            head = matte * weight
            write_image(partial / "heads" / f"{name}.png", np.round(head).astype(np.uint8))
    return {"crops": len(chosen.index), "crop_side_px_median": float(np.median(crops.box[:, 2]))}


def _matte_of_crop(
    matte: np.ndarray, square: tuple[float, float, float], box: tuple[float, float, float], crops: Crops, size: int
) -> np.ndarray:
    """The matte of `square` seen in the crop `box`, 0 outside both square and frame."""
    scale = REGION_PX / square[2]
    inner = ((box[0] - square[0]) * scale, (box[1] - square[1]) * scale, box[2] * scale)
    alpha = cut_square(matte, inner, size, outside=0).astype(np.float32)
    at = (np.arange(size) + 0.5) / size * box[2]
    across = (at + box[0] >= 0) & (at + box[0] <= crops.frame_size[0])
    down = (at + box[1] >= 0) & (at + box[1] <= crops.frame_size[1])
    return alpha * down[:, None] * across[None, :]


def contact_sheet(partial: Path, names: list[str], size: int = 192, columns: int = 8, rows: int = 4) -> None:
    """contact.png: crops over mid gray through their head mattes, evenly over the capture."""
    import cv2

    picked = [names[row] for row in np.unique(np.linspace(0, len(names) - 1, rows * columns).round().astype(int))]
    tiles = []
    for name in picked:
        head = read_image(partial / "heads" / f"{name}.png")[..., None].astype(np.float32) / 255
        tile = read_image(partial / "crops" / f"{name}.png") * head + 128 * (1 - head)
        tile = cv2.resize(tile.astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)
        tiles.append(cv2.putText(tile, name, (4, size - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA))
    tiles += [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    write_image(partial / "contact.png", np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]))
