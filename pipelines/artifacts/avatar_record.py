"""avatar.json: what an avatar is, what it was made of, and which files belong to it. One loader, one writer.

Schema 2. Records of schema 1 are read as well: what they do not say is None, or what avatars of that time had.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from models.head_frame import MatteRegion
from pipelines.artifacts.held_out import HeldOut
from pipelines.artifacts.kinds import insist_kind
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import sha256_file, sha256_json, write_json
from pipelines.core.records import as_record, read_record
from pipelines.core.stage import RECORD

NAME = "avatar.json"
SCHEMA = 2
READABLE = (1, 2)
WEIGHTS = ("generator.safetensors", "expression_map.safetensors", "landmarks.npz")
"""Files that every avatar has."""
PAIRS = "pairs.npz"
TORSO = ("torso.png", "torso.json")
"""Files of the layer behind the head."""
SCENE = ("scene.json", "scene_plate.jpg", "scene_shoulders.png")
"""Files of the person's own scene."""
LARGEST_CONFIG_NUMBER = 1 << 16
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=10_000)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, Meta(pattern="^([A-Za-z0-9_-]{1,99}/)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")]
"""Of a file in the avatar's folder, or in a folder of it."""
Score = Annotated[float, Meta(ge=-1000, le=1000)]
Scores = Annotated[tuple[Score, ...], Meta(min_length=1, max_length=1000)]
Degrees = Annotated[float, Meta(ge=-180, le=180)]
Samples = Annotated[int, Meta(ge=1, le=1024)]
Offset = Annotated[float, Meta(ge=-100, le=100)]
Label = Annotated[tuple[float, ...], Meta(min_length=25, max_length=25)]
Row = tuple[float, float, float, float]
Consent = dict[Word, Text | None]
"""What the filmed person agreed to, see pipelines.provenance.consent."""
TorsoMode = Literal["none", "still", "follow"]


@dataclass(frozen=True, kw_only=True)
class SamplesPerRay:
    """How finely the avatar's rays were sampled while it was trained."""

    coarse: Samples
    fine: Annotated[int, Meta(ge=0, le=1024)]


@dataclass(frozen=True, kw_only=True)
class PriorOrigin:
    """The prior that the avatar was trained from; parts that older records do not name are None."""

    name: Word = "unknown"
    sha256: Sha256 | None = None
    license: Text | None = None
    origin: Text = ""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A capture, as the avatar that was made of it names it."""

    name: Word
    fingerprint: Word
    mattes: Text | None = None
    """What cut the person out, and what solved the cameras: for the bill of materials."""
    cameras: Text | None = None
    consent: Consent | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:8]})"


@dataclass(frozen=True, kw_only=True)
class FrameRecord:
    """The avatar's head space, see models.head_frame."""

    prior_from_head: tuple[Row, Row, Row, Row]
    matte_region: MatteRegion = "head"
    crop_center: tuple[Offset, Offset] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class ExpressionRange:
    """The expressions that the avatar's map was taught, by channel; each list has one number a name."""

    space: Literal["measured", "blendshapes"]
    names: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=1000)]
    neutral: Scores
    low: Scores
    high: Scores
    """The range found in the person's own frontal renders."""
    mean: Scores | None = None
    std: Scores | None = None

    def __post_init__(self) -> None:
        for part in ("neutral", "low", "high", "mean", "std"):
            if (values := getattr(self, part)) is not None and len(values) != len(self.names):
                raise ValueError(f"has {len(values)} numbers in expression.{part} for {len(self.names)} channels")
        if len(set(self.names)) != len(self.names) or "jawOpen" not in self.names:
            raise ValueError("has expression names that are not one of each, with jawOpen")


@dataclass(frozen=True)
class ViewLimits:
    """Where the cameras of a capture stood around the head, least and most, degrees."""

    yaw_deg: tuple[Degrees, Degrees]
    """To the person's left."""
    pitch_deg: tuple[Degrees, Degrees]
    """Up."""


@dataclass(frozen=True, kw_only=True)
class AvatarRecord:
    """All that is known of an avatar beside its weights."""

    schema: Literal[2] = SCHEMA
    family: Word
    config: dict[str, Any]
    """Fields of the family's config."""
    image_size: Annotated[int, Meta(ge=8, le=4096)]
    """Side of the generator's pictures in px."""
    frontal_camera: Label
    """Pose [4,4] and normalized intrinsics [3,3] of the camera that pairs were rendered with."""
    crop_extent: Annotated[float, Meta(gt=0, le=100)] | None = None
    """Side of the training crop at the depth of the origin, in head units."""
    frame: FrameRecord | None = None
    sampling: SamplesPerRay | None = None
    """None: as many as the config says."""
    expression: ExpressionRange
    view_limits: ViewLimits | None = None
    torso: TorsoMode = "none"
    """How the layer behind the head is shown; "none": there is none."""
    prior: PriorOrigin = PriorOrigin()
    capture: Origin | None = None
    added: tuple[Origin, ...] = ()
    """Captures that the avatar was improved with, in their order."""
    consent: Consent | None = None
    filmed_frames: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Filmed frames of the person that lie in the avatar (pipelines.avatar.references)."""
    weights: dict[FileName, Sha256 | None] = field(default_factory=dict)
    """The files that make its pictures; None: it belongs to the avatar, but was not hashed (schema 1)."""

    held_out: tuple[HeldOut, ...] = ()
    """What the avatar was never trained on, by capture, in their order."""

    def __post_init__(self) -> None:
        for key, number in _numbers(self.config, "config"):
            if not abs(number) <= LARGEST_CONFIG_NUMBER:
                raise ValueError(f"has {number:.4g} in `{key}`, which no network of an avatar has")
        if self.config.get("image_size", self.image_size) != self.image_size:
            raise ValueError(f"has an image_size of {self.image_size} and another one in its config")
        if not _is_camera(self.frontal_camera):
            raise ValueError("has a frontal_camera that is not a camera")

    @property
    def files(self) -> tuple[str, ...]:
        """Files without which the avatar would look otherwise."""
        return tuple(dict.fromkeys((*self.weights, *(TORSO if self.torso != "none" else ()))))


def load_avatar_record(avatar: Path) -> AvatarRecord:
    """The record of an avatar folder; UnusableMaterial when it is missing, broken, of another schema or out of bounds."""
    insist_kind(avatar, "avatar")
    path, again = avatar / NAME, made_by(avatar)
    value = read_record(path, dict[str, Any], again)
    if value.get("schema") not in READABLE:
        raise UnusableMaterial(
            f"{path} has schema {value.get('schema')}; this version reads {' and '.join(map(str, READABLE))}."
        )
    if value["schema"] == 1:
        value = _from_schema_1(value, avatar)
    return as_record(value, AvatarRecord, str(path), again)


def save_avatar_record(avatar: Path, record: AvatarRecord) -> None:
    write_json(avatar / NAME, asdict(record))


def add_files(avatar: Path, names: Iterable[str], filmed_frames: int = 0) -> None:
    """Write into the record that further files of the folder belong to the avatar as they are now."""
    record = load_avatar_record(avatar)
    weights = {**record.weights, **hashed(avatar, names)}
    save_avatar_record(avatar, replace(record, weights=weights, filmed_frames=record.filmed_frames + filmed_frames))


def hashed(avatar: Path, names: Iterable[str]) -> dict[str, Sha256 | None]:
    """The sha256 of files in an avatar folder, by name."""
    return {name: sha256_file(avatar / name) for name in names}


def insist_whole(avatar: Path, record: AvatarRecord) -> None:
    """UnusableMaterial for a file that is gone or was changed since the training: its pictures would be another avatar's."""
    for name in record.files:
        if not (avatar / name).is_file():
            raise UnusableMaterial(f"{avatar / name} is missing. Make it with `{made_by(avatar)}`, or copy the avatar again.")
    for name, sha256 in record.weights.items():
        if sha256 is not None and content_hash(avatar / name) != sha256:
            raise UnusableMaterial(
                f"{avatar / name} was changed since the avatar was made; copy the avatar again, or make it with "
                f"`{made_by(avatar)}`."
            )


def content_id(avatar: Path, record: AvatarRecord) -> str:
    """What renders of an avatar are signed with: the hash of its files' contents, whatever its records say."""
    return sha256_json([record.config, sorted((name, content_hash(avatar / name)) for name in record.files)])


def content_hash(path: Path) -> Sha256:
    """The sha256 of a file, read again only when its size or time has changed."""
    stat = path.stat()
    return _hash(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=256)
def _hash(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return sha256_file(path)


def made_by(avatar: Path) -> str:
    """The command that makes an avatar of that name."""
    return f"avatarcli train CAPTURE -o {avatar.name}"


def _from_schema_1(value: dict[str, Any], avatar: Path) -> dict[str, Any]:
    """Names of schema 2, and the files that a training of that time left."""
    stage = read_record(avatar / RECORD, dict[str, Any]) if (avatar / RECORD).is_file() else {}
    figures = stage.get("figures")
    pairs = (PAIRS,) if isinstance(figures, dict) and figures.get("pairs") else ()
    known = {name: part for name, part in value.items() if part is not None and name != "turns"}
    return {
        **known, "schema": SCHEMA, "view_limits": value.get("turns"), "weights": dict.fromkeys((*WEIGHTS, *pairs)),
    }  # fmt: skip


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Every number inside a JSON value, with its place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float):
        yield key, value


def _is_camera(label: tuple[float, ...]) -> bool:
    """Whether 25 numbers are a rigid pose and a lens of a focal length between 0.1 and 100 image sides."""
    rows = [label[4 * row : 4 * row + 3] for row in range(3)]
    products = [sum(map(math.prod, zip(a, b, strict=True))) - (a is b) for a in rows for b in rows]
    focal = label[16], label[20]
    return max(map(abs, products)) < 1e-2 and max(map(abs, label)) <= 100 and min(focal) >= 0.1
