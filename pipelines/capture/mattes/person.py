"""Who is the person and who is not: an alpha matte of the head and shoulders around the tracked face.

Notable choices: the default is mediapipe's selfie segmentation, looked at twice (as is and mirrored) in a square around the
head so that its 256 pixels are spent there; closed-form matting then finds the alpha of hair in a band around the mask's
border. A picture of a person who is cut out already brings its alpha along. Neighbors in time are averaged where the picture
has not changed. A rembg model of the allow-list is used by name when its file is on this machine and vouched for; nothing is
ever downloaded or uploaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.assets.rembg_models import rembg_matting, vouched_file
from pipelines.capture.frames.scan import Scan, frame_name, positive
from pipelines.capture.mattes.closed_form import closed_form
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.temporal import Steadied, Steady, border_of
from pipelines.core.files import read_arrays, read_image, write_arrays, write_image
from pipelines.core.stage import Progress
from pipelines.face.tracker import without_chatter
from pipelines.media.squares import Square, cut_square

REGION_PX = 512
"""Side of the stored mattes."""
SURE = 0.6
"""Confidence from which a matte is as good as any."""
UNSTEADY = 0.08
"""A matte that is off its neighbors by this much at its border, where the picture is the same, is trusted half."""

LEAST_CLEAR = 0.05
"""Share of the square around the head that an alpha has to leave clear to be a matte; rounded corners are less."""

Matting = Callable[[np.ndarray], np.ndarray]
"""uint8 [H,W,3] RGB -> float32 [H,W] alpha in 0..1."""


@dataclass(frozen=True, kw_only=True)
class MatteSettings:
    model: str = "mediapipe"
    """`mediapipe`, or a rembg model whose file is on this machine and vouched for."""
    refine: bool = True
    """Closed-form matting around the border of mediapipe's mask."""
    refine_px: int = 320
    """Side at which it is done, in 40 ms a frame; 384 and 512 px take 60 and 100 ms and are no better at the border."""
    steady: bool = True
    """Average neighbors in time where the picture has not changed."""

    def __post_init__(self) -> None:
        positive(self, "refine_px")


@dataclass(frozen=True, kw_only=True)
class Mattes:
    """What `matte_frames` says of the mattes of some frames."""

    confidence: np.ndarray
    """[N] in 0..1."""
    confidence_median: float

    @staticmethod
    def of(figures: dict[str, Any]) -> "Mattes":
        return Mattes(confidence=np.array(figures["confidence"]), confidence_median=figures["confidence_median"])


def check_model(settings: MatteSettings) -> None:
    """The errors of `matting`, before anything else is done."""
    if settings.model != "mediapipe":
        vouched_file(settings.model)


def matting(settings: MatteSettings) -> Matting:
    """The function that mattes an image; SettingError for an unknown name, MissingTool for a model that may not be used."""
    return _mediapipe(settings) if settings.model == "mediapipe" else rembg_matting(settings.model)


def matte_frames(partial: Path, chosen: Scan, settings: MatteSettings, progress: Progress) -> dict[str, Any]:
    """Write work/mattes/NNNNNN.png [512,512], the alpha in `region(points)` of every chosen frame, and work/mattes.npz.

    Figures: the confidence of every frame, its median and least, and the flicker before and after averaging over time.
    """
    matte, boxes = matting(settings), [region(points) for points in chosen.points]
    single = partial / "work" / ("mattes_single" if settings.steady else "mattes")
    with progress.task("mattes", len(chosen.index)) as task:
        for index, box in zip(chosen.index, boxes, strict=True):
            path = single / f"{frame_name(index)}.png"
            if not path.exists():
                own = given_matte(partial / "work" / "alphas" / path.name, box)
                crop = cut_square(read_image(partial / "frames" / f"{frame_name(index)}.jpg"), box, REGION_PX)
                write_image(path, np.round(matte(crop) * 255).astype(np.uint8) if own is None else own)
            task.advance()
    moments = Steady(frames=partial / "frames", mattes=single, index=chosen.index, time_s=chosen.time_s, boxes=boxes)
    change = _steadied(partial / "work" / "mattes", moments) if settings.steady else np.zeros(len(chosen.index))
    paths = [partial / "work" / "mattes" / f"{frame_name(index)}.png" for index in chosen.index]
    certain = np.array([confidence(read_image(path)) for path in paths]) / (1 + change / UNSTEADY)
    write_arrays(partial / "work" / "mattes.npz", confidence=certain, change=change)
    return {
        "model": settings.model, "confidence_median": float(np.median(certain)), "confidence_least": float(np.min(certain)),
        "unsteadiness": float(np.mean(change)), "confidence": certain.round(3).tolist(),
    }  # fmt: skip


def given_matte(path: Path, box: Square) -> np.ndarray | None:
    """uint8 [512,512] of the alpha that a picture brought along, in the square `box` around its head.

    None where there is none, or where it cuts out no person: nothing around the head is clear, or most of the face is.
    """
    if not path.exists():
        return None
    alpha = cut_square(read_image(path), box, REGION_PX, outside=0)
    middle = alpha[REGION_PX * 2 // 5 : REGION_PX * 3 // 5, REGION_PX * 2 // 5 : REGION_PX * 3 // 5]
    inside = cut_square(np.full(read_image(path).shape, 255, np.uint8), box, REGION_PX, outside=0) > 254
    return alpha if middle.mean() > 128 and (alpha[inside] < 5).mean() > LEAST_CLEAR else None


def confidence(matte: np.ndarray) -> float:
    """Share of the pixels on and around the person that are clearly one or the other (uint8 [H,W]), weighted to its border."""
    value = matte.astype(np.float32) / 255
    if (value > 0.5).mean() < 0.05:
        return 0.0
    band = border_of(matte)
    return float(np.abs(2 * value[band] - 1).mean()) if band.any() else 0.0


def matte_weight(certain: np.ndarray) -> np.ndarray:
    """Weight [N] in training of frames whose mattes have this confidence: 1 from SURE on, less below, 0.5 at 0.3."""
    return np.clip(certain / SURE, 0.05, 1)


def _steadied(folder: Path, moments: Steady) -> np.ndarray:
    """Write the averaged mattes; [N] how much each was off its neighbors, kept beside them for a run that continues."""
    change = np.zeros(len(moments.index))
    for row, index in enumerate(moments.index):
        path, note = folder / f"{frame_name(index)}.png", folder / f"{frame_name(index)}.npz"
        if not path.exists():
            found: Steadied = moments.at(row)
            write_arrays(note, change=np.array(found.change))
            write_image(path, found.alpha)
        change[row] = float(read_arrays(note)["change"])
    return change


def _mediapipe(settings: MatteSettings) -> Matting:
    import cv2
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    with without_chatter():
        model: Any = SelfieSegmentation(model_selection=0)
        model.process(np.zeros((64, 64, 3), np.uint8))

    def matte(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        small = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
        straight = np.array(model.process(small).segmentation_mask)
        mirrored = np.array(model.process(np.ascontiguousarray(small[:, ::-1])).segmentation_mask)[:, ::-1]
        mask = ((straight + mirrored) / 2).astype(np.float32)
        if settings.refine:
            return _refined(image, mask, settings.refine_px)
        return np.clip(cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)

    return matte


def _refined(image: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """Closed-form matting at `size` px, or at the image's own longer side where that is less, seen at the image's size."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, size / max(height, width))
    small = (round(width * scale), round(height * scale))
    rough = np.clip(cv2.resize(mask, small, interpolation=cv2.INTER_CUBIC), 0, 1)
    alpha = closed_form(cv2.resize(image, small, interpolation=cv2.INTER_AREA), rough)
    return np.clip(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
