"""The records of a capture folder, capture.json and dataset.json, as types; one loader each.

A capture belongs to a person: frames as they were filmed, full mattes, cameras and the pose of the head in the metric head
frame (pipelines.face.canonical). Captures of schema 1 are aligned to one prior: they hold crops and labels in its units.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from pipelines.artifacts.kinds import insist_kind
from pipelines.core.errors import UnusableMaterial
from pipelines.core.records import read_record

T = TypeVar("T", "CaptureRecord", "DatasetRecord")
SCHEMA = 2
READABLE = (1, 2)
Share = Annotated[float, Meta(ge=0, le=1)]
Side = Annotated[int, Meta(ge=1, le=1 << 16)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Of a frame: its files' names without their endings."""
Square = Annotated[list[float], Meta(min_length=3, max_length=3)]


class AlignedPrior(Struct, frozen=True, kw_only=True):
    """The prior to which a capture of schema 1 is aligned."""

    name: str
    sha256: str = ""


class Cameras(Struct, frozen=True, kw_only=True):
    """How the cameras were found."""

    method: str = "unknown"
    focal_px: Annotated[float, Meta(gt=0)] | None = None


class CaptureRecord(Struct, frozen=True, kw_only=True):
    """capture.json, as far as other stages read it."""

    schema: int
    kind: str = "video"
    prior: AlignedPrior | None = None
    """Schema 1 alone."""
    camera: Cameras = Cameras()
    settings: dict[str, Any] = {}
    consent: dict[str, Any] | None = None

    @property
    def matting(self) -> str | None:
        """Name of the model that made the mattes."""
        mattes = self.settings.get("mattes")
        return mattes.get("model") if isinstance(mattes, dict) else None


class FrameRecord(Struct, frozen=True, kw_only=True):
    """One frame of dataset.json."""

    name: Name
    source_index: Annotated[int, Meta(ge=0)]
    time_s: float
    split: Literal["train", "test"]
    weight: Share
    """Confidence of its camera, landmarks and matte."""
    matte: Share = 1.0
    """Confidence of the matte."""
    matte_box: Square | UnsetType = UNSET
    """x0, y0 of the stored matte in px of the frame, and how many of them a pixel of the matte is wide (schema 2)."""
    box: Square | UnsetType = UNSET
    """x0, y0, side of the stored crop in px of the frame (schema 1)."""


class DatasetRecord(Struct, frozen=True, kw_only=True):
    """dataset.json: the frames, which of them are held out, and (schema 1) the cameras of their crops."""

    schema: int
    frame_size: tuple[Side, Side]
    """Width, height of the frames in px."""
    items: list[FrameRecord]
    focal_px: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    """Of all frames; the optical axis is in their middle (schema 2)."""
    labels: list[tuple[str, Annotated[list[float], Meta(min_length=25, max_length=25)]]] = []
    """world_from_camera [4,4] in the prior's units and intrinsics [3,3] over the crop's side (schema 1)."""


def load_capture_record(capture: Path) -> CaptureRecord:
    """capture.json; UnusableMaterial when it is missing, broken or of another schema."""
    insist_kind(capture, "capture")
    return _readable(capture / "capture.json", read_record(capture / "capture.json", CaptureRecord, _made_by(capture)))


def load_dataset_record(capture: Path) -> DatasetRecord:
    """dataset.json; UnusableMaterial as for `load_capture_record`, and where schema and fields do not belong together."""
    insist_kind(capture, "capture")
    path = capture / "dataset.json"
    record = _readable(path, read_record(path, DatasetRecord, _made_by(capture)))
    needed = "matte_box" if record.schema == SCHEMA else "box"
    if any(getattr(item, needed) is UNSET for item in record.items):
        raise UnusableMaterial(f"{path} has frames without {needed}. Make it with `{_made_by(capture)}`.")
    if record.schema == SCHEMA and record.focal_px is UNSET:
        raise UnusableMaterial(f"{path} has no focal_px. Make it with `{_made_by(capture)}`.")
    if record.schema == 1 and len(record.labels) != len(record.items):
        raise UnusableMaterial(f"{path} has {len(record.labels)} labels for {len(record.items)} frames; copy it again.")
    return record


def again(capture: Path) -> str:
    """How to make a capture again, as part of a sentence."""
    return f"capture again from the footage: avatarcli capture FOOTAGE -o {capture.name}"


def _readable(path: Path, record: T) -> T:
    if record.schema not in READABLE:
        raise UnusableMaterial(f"{path} has schema {record.schema}; this version reads {' and '.join(map(str, READABLE))}.")
    return record


def _made_by(capture: Path) -> str:
    return f"avatarcli capture FOOTAGE -o {capture.name}"
