"""Who is the person and who is not: an alpha matte of the head and shoulders around the tracked face.

The default is mediapipe's selfie segmentation, looked at twice (as is and mirrored) in a square around the head so that its
256 pixels are spent there, then laid along the image's edges by a guided filter (He et al. 2013). A rembg model of the
allow-list is used by name when its file is on this machine; nothing is ever downloaded or uploaded.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.frames import Scan, face_side, frame_name
from pipelines.errors import MissingTool, SettingError
from pipelines.files import read_image, write_image
from pipelines.landmarks import without_chatter
from pipelines.stage import Progress

REMBG_MODELS = (
    "u2net_human_seg",
    "u2net",
    "u2netp",
    "u2net_custom",
    "isnet-general-use",
    "birefnet-portrait",
    "birefnet-general-lite",
)
"""rembg sessions that work offline on a local file; others upload the image or need a paid licence."""
REGION_PX = 512
"""Side of the stored mattes."""
REGION_SCALE = 2.3
"""Side of the square around the head over the longer side of the face's box."""

Matting = Callable[[np.ndarray], np.ndarray]
"""uint8 [H,W,3] RGB -> float32 [H,W] alpha in 0..1."""


@dataclass(frozen=True, kw_only=True)
class MatteSettings:
    model: str = "mediapipe"
    """`mediapipe`, or a rembg model whose file is on this machine."""
    refine: bool = True
    """Lay mediapipe's soft mask along the edges of the image."""


def matting(settings: MatteSettings) -> Matting:
    """The function that mattes an image; SettingError for an unknown name, MissingTool for a model that is not here."""
    if settings.model == "mediapipe":
        return _mediapipe(settings.refine)
    if settings.model not in REMBG_MODELS:
        raise SettingError(f"mattes.model = {settings.model!r}: choose mediapipe or one of {', '.join(REMBG_MODELS)}.")
    return _rembg(settings.model)


def matte_frames(partial: Path, chosen: Scan, settings: MatteSettings, progress: Progress) -> dict[str, Any]:
    """Write work/mattes/NNNNNN.png [512,512], the alpha in `region(points)` of every chosen frame; figures: confidence."""
    matte, frames, folder = matting(settings), partial / "frames", partial / "work" / "mattes"
    with progress.task("mattes", len(chosen.index)) as task:
        for index, points in zip(chosen.index, chosen.points, strict=True):
            path = folder / f"{frame_name(index)}.png"
            if not path.exists():
                crop = cut_square(read_image(frames / f"{frame_name(index)}.jpg"), region(points), REGION_PX)
                write_image(path, np.round(matte(crop) * 255).astype(np.uint8))
            task.advance()
    certain = [confidence(read_image(folder / f"{frame_name(index)}.png")) for index in chosen.index]
    return {"model": settings.model, "confidence_median": float(np.median(certain)), "confidence_least": float(np.min(certain))}


def region(points: np.ndarray) -> tuple[float, float, float]:
    """x0, y0, side (px) of the square around head and shoulders of a face's [478,3] points."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = float(face_side(points[None])[0]) * REGION_SCALE
    x, y = (low + high) / 2
    return float(x) - side / 2, float(y) - 0.52 * side, side


def cut_square(image: np.ndarray, box: tuple[float, float, float], size: int, *, outside: int | None = None) -> np.ndarray:
    """The square `box` (x0, y0, side in px, corners of pixels) of [H,W] or [H,W,3] at `size` px, antialiased.

    Beyond the border the edge is repeated, or `outside` taken.
    """
    import cv2

    x0, y0, side = box
    scale = side / size
    if scale > 1.2:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * float(np.sqrt(scale**2 - 1)))
    matrix = np.array([[scale, 0, 0.5 * scale + x0 - 0.5], [0, scale, 0.5 * scale + y0 - 0.5]])
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if scale < 1 and outside is None else cv2.INTER_LINEAR)
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border, borderValue=outside or 0)


def confidence(matte: np.ndarray) -> float:
    """Share of the pixels on and around the person that are clearly one or the other (uint8 [H,W]), weighted to its border."""
    import cv2

    value = matte.astype(np.float32) / 255
    solid = (value > 0.5).astype(np.uint8)
    if solid.mean() < 0.05:
        return 0.0
    band = cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((25, 25), np.uint8)) > 0
    return float(np.abs(2 * value[band] - 1).mean()) if band.any() else 0.0


def _mediapipe(refine: bool) -> Matting:
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
        mask = cv2.resize((straight + mirrored) / 2, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        return sharpened(guided(image, mask)) if refine else np.clip(mask, 0, 1)

    return matte


def guided(image: np.ndarray, mask: np.ndarray, radius: int = 8, flatness: float = 2e-4) -> np.ndarray:
    """Guided filter: in every window the result is the affine function of the gray image nearest to `mask`; float32 [H,W]."""
    import cv2

    def mean(value: np.ndarray) -> np.ndarray:
        return cv2.blur(value, (2 * radius + 1, 2 * radius + 1))

    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mean_guide, mean_mask = mean(guide), mean(mask)
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (mean(guide * guide) - mean_guide**2 + flatness)
    return mean(slope) * guide + mean(mean_mask - slope * mean_guide)


def sharpened(alpha: np.ndarray, low: float = 0.15, high: float = 0.9) -> np.ndarray:
    """Certain parts made certain: below `low` 0, above `high` 1, a smooth step between."""
    t = np.clip((alpha - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _rembg(name: str) -> Matting:
    path = rembg_file(name)
    try:
        from rembg import new_session, remove
    except (ImportError, SystemExit) as error:
        raise MissingTool(
            f"mattes.model = {name!r} needs rembg with onnxruntime ({error}); pip install 'rembg[cpu]'."
        ) from error
    options = {"model_path": str(path)} if name == "u2net_custom" else {}
    session = new_session(name, **options)

    def matte(image: np.ndarray) -> np.ndarray:
        return np.asarray(remove(image, session=session, only_mask=True), np.float32) / 255

    return matte


def rembg_file(name: str) -> Path:
    """The local file of a rembg model, or MissingTool with where it belongs."""
    home = Path(os.environ.get("REMBG_HOME") or Path.home() / ".rembg").expanduser()
    flat = Path(os.environ.get("U2NET_HOME") or Path.home() / ".u2net").expanduser()
    places = [home / "models" / name / f"{name}.onnx", flat / f"{name}.onnx"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise MissingTool(
            f"mattes.model = {name!r} needs the file {places[1]}; download {name}.onnx from the releases page of "
            "github.com/danielgatis/rembg into that folder, or leave the setting at mediapipe."
        )
    return found
