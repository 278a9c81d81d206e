"""Priors: the pretrained generators an avatar starts from, as folders of config, landmarks and weights."""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from models.head_frame import HeadFrame, MatteRegion
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, read_json, sha256_file, sha256_json
from pipelines.core.records import as_record
from pipelines.face.canonical import canonical_landmarks

SCHEMA = 1
WEIGHTS = "weights.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
CODES = "codes.npz"
KNOWN = {
    "schema", "name", "family", "config", "meters_per_unit", "crop_extent", "origin", "license", "weights_sha256",
    "discriminator_sha256", "codes_sha256", "prior_from_head", "matte_region",
}  # fmt: skip
"""Fields of the record with a place of their own; others are `extra`."""


Row = tuple[float, float, float, float]
Length = Annotated[float, Meta(gt=0, le=1000)]


class PriorRecord(Struct, frozen=True, kw_only=True):
    """prior.json."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    family: Annotated[str, Meta(min_length=1, max_length=200)]
    config: dict[str, Any]
    """Fields of the family's config; those left out have its defaults."""
    meters_per_unit: Length
    crop_extent: Length
    prior_from_head: tuple[Row, Row, Row, Row] | None = None
    matte_region: MatteRegion = "head"
    origin: str
    license: str
    weights_sha256: str | None = None
    """None: random weights."""
    discriminator_sha256: str | None = None
    codes_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prior:
    """A base generator and the head space it lives in.

    Head space: origin at the head's center, x to the right of a frontal image, y up, z out of the face, unit = side of the
    generator's box.
    """

    name: str
    folder: Path
    family: str
    config: dict[str, Any]
    """Fields of the family's config (models.families.Family.config)."""
    meters_per_unit: float
    crop_extent: float
    """Side of the square training crop at the depth of the origin, in units."""
    frame: HeadFrame
    """How its units lie in the metric head frame, and what of a picture it is taught."""
    landmarks: np.ndarray
    """[478,3] positions of the tracker's landmarks on the neutral mean head, in units."""
    origin: str
    license: str
    weights: Path | None
    sha256: str
    """Of all that makes the prior: its record (which names the weights' hash) and its landmarks."""
    discriminator: Path | None = None
    """Weights of the discriminator that belongs to the generator, where the prior has them."""
    codes: Path | None = None
    """What is known of its latents (`load_codes`), where it was taught people and expressions by name."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else its record says: `imported` (the published file), `frontal_camera`."""


def load_prior(name: str) -> Prior:
    """The prior of a shipped name (`quick`) or of a folder.

    SettingError when there is none, UnusableMaterial when it is broken.
    """
    folder = Path(name) if Path(name).is_dir() else Path(str(resources.files("models") / "priors" / name))
    if not (folder / "prior.json").exists():
        raise SettingError(
            f"there is no prior {name!r}; shipped priors: {', '.join(shipped_priors())}, or give a prior folder."
        )
    path = folder / "prior.json"
    values = read_json(path)
    if values.get("schema") != SCHEMA:
        raise UnusableMaterial(f"{path} has schema {values.get('schema')}; this version reads {SCHEMA}.")
    record = as_record(values, PriorRecord, str(path))
    sha256 = sha256_json([sha256_file(folder / name) for name in ("prior.json", "landmarks.npz") if (folder / name).is_file()])
    frame = _frame(record, sha256, folder)
    return Prior(
        name=record.name, folder=folder, family=record.family, config=record.config, meters_per_unit=record.meters_per_unit,
        crop_extent=record.crop_extent, frame=frame, landmarks=_landmarks(record, frame, folder), origin=record.origin,
        license=record.license, weights=_checked(folder / WEIGHTS, record.weights_sha256),
        discriminator=_checked(folder / DISCRIMINATOR, record.discriminator_sha256),
        codes=_checked(folder / CODES, record.codes_sha256), sha256=sha256,
        extra={name: value for name, value in values.items() if name not in KNOWN},
    )  # fmt: skip


def _landmarks(record: PriorRecord, frame: HeadFrame, folder: Path) -> np.ndarray:
    """[478,3] those of the folder; random weights show no head yet, and may go without: theirs is the canonical one."""
    path = folder / "landmarks.npz"
    if record.weights_sha256 is None and not path.exists():
        return frame.points(canonical_landmarks()).astype(np.float32)
    return read_arrays(path, {"landmarks": "float [478,3]"})["landmarks"]


def _frame(record: PriorRecord, sha256: str, folder: Path) -> HeadFrame:
    """That of the record; where it names none, the axes and origin of the metric head frame and `meters_per_unit`."""
    try:
        if record.prior_from_head is None:
            return HeadFrame.of_scale(record.meters_per_unit, record.crop_extent, record.matte_region, sha256)
        return HeadFrame(
            prior_from_head=np.array(record.prior_from_head, np.float64), crop_extent=record.crop_extent,
            matte_region=record.matte_region, prior_sha256=sha256,
        )  # fmt: skip
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UnusableMaterial(f"{folder / 'prior.json'} describes no head frame: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class PriorCodes:
    """The latents of a prior in words."""

    base: np.ndarray
    """[w_dim] the mean person with a neutral face."""
    people: np.ndarray
    """[K,w_dim] principal directions of people, each one standard deviation long."""
    directions: np.ndarray
    """[E,w_dim] what a label does to w; w(person, labels) = person + labels @ directions."""
    names: tuple[str, ...]
    """Of the labels: weights 0..1 of ARKit's expressions, gaze (1: 20 degrees), the chest's turn (1: 15 degrees)."""
    spread: np.ndarray
    """[E] standard deviation of a label in the data."""
    labels: np.ndarray
    """[S,E] labels of some states of the data: which expressions occur."""


def load_codes(prior: Prior) -> PriorCodes | None:
    """None for a prior that knows no names."""
    if prior.codes is None:
        return None
    known = read_arrays(prior.codes)
    return PriorCodes(
        base=known["base"].astype(np.float32), people=known["people"].astype(np.float32),
        directions=known["directions"].astype(np.float32), names=tuple(str(name) for name in known["label_names"]),
        spread=known["label_spread"].astype(np.float32), labels=known["labels"].astype(np.float32),
    )  # fmt: skip


def _checked(path: Path, sha256: str | None) -> Path | None:
    """The file that the record names by its hash, or None when it names none."""
    if not sha256:
        return None
    if not path.is_file() or sha256_file(path) != sha256:
        raise UnusableMaterial(f"{path} does not have the sha256 its prior.json names; fetch, import or install it again.")
    return path


def shipped_priors() -> list[str]:
    root = Path(str(resources.files("models") / "priors"))
    return sorted(path.parent.name for path in root.glob("*/prior.json"))
