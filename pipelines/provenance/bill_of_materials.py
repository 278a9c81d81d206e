"""The bill of materials of an avatar: the prior, the models that looked at the person, programs and packages, with licenses.

Read from the avatar's record and its capture's; what they do not say (avatars of older versions) is listed as unknown, never
left out. Packages come from their own metadata. This is a list of what was declared, not legal advice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.artifacts.avatar_record import AvatarRecord, load_avatar_record
from pipelines.artifacts.origins import Origin, captures_beside, find_origin, origin_of, origins_of
from pipelines.artifacts.prior import load_prior, shipped_priors
from pipelines.assets.registry import ENTRIES, UNKNOWN, Use, permits
from pipelines.assets.store import KNOWN, file_of
from pipelines.core.children import BROKEN
from pipelines.core.errors import AvatarError
from pipelines.core.files import read_json, sha256_file
from pipelines.media import ffmpeg

TRACKER = {
    "face_detection/face_detection_short_range.tflite": "finds the face",
    "face_detection/face_detection_full_range_sparse.tflite": "finds small faces",
    "face_landmark/face_landmark_with_attention.tflite": "478 landmarks",
}
MATTING = {"selfie_segmentation/selfie_segmentation.tflite": "cuts the person out"}
"""Files of the mediapipe package, and what they do."""
FILMED = {"torso.png": "shoulders", "scene_shoulders.png": "shoulders and clothes", "scene_plate.jpg": "the room behind"}
"""Files of an avatar that hold pixels of the film, and what they show."""
OURS = (
    "av", "c2pa-python", "cryptography", "face-alignment", "ffmpeg-python", "imageio-ffmpeg", "mediapipe", "numba", "numpy",
    "onnxruntime", "opencv-contrib-python", "pycolmap", "rembg", "rich", "safetensors", "scipy", "torch", "typer",
)  # fmt: skip
"""What we depend on, where avatarcli runs without being installed."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One material: what it is, under which license, for what it was used."""

    kind: str
    """prior, footage, model, tool or package."""
    name: str
    version: str
    license: str
    role: str
    sha256: str | None = None
    remark: str = ""
    """What its license does not say."""

    @property
    def commercial(self) -> bool:
        """A package that does not say its license is not taken for a forbidden one; a model or prior is. Footage is a matter of
        the person's consent."""
        return (
            self.kind == "footage"
            or "commercial" in permits(self.license)
            or (self.kind == "package" and self.license == UNKNOWN)
        )


def bill(avatar: Path) -> list[Item]:
    """All materials of an avatar folder; UnusableMaterial when it is none."""
    record = load_avatar_record(avatar)
    capture = _capture(avatar)
    mattes, cameras = capture.mattes or "unknown", capture.cameras or "unknown"
    return [_prior(avatar, record), *_footage(record), *_models(record, mattes), *_tools(cameras), *_packages()]


def forbidden(items: list[Item], use: Use) -> list[Item]:
    """What may not be used so; research is permitted by every license that is known here."""
    return [item for item in items if use == "commercial" and not item.commercial]


def _prior(avatar: Path, record: AvatarRecord) -> Item:
    """As recorded by the training; else the shipped or named prior of the same sha256; else unknown."""
    name, sha256, license, origin = record.prior.name, record.prior.sha256, record.prior.license, record.prior.origin
    stage = avatar / "stage.json"
    settings = read_json(stage)["settings"] if stage.exists() else {}
    for place in (settings.get("prior"), name if name in shipped_priors() else None):
        if license is None and place:
            license, origin = _prior_of(place, sha256)
    return Item(kind="prior", name=name, version="", license=license or UNKNOWN, role=origin or "the generator", sha256=sha256)


def _footage(record: AvatarRecord) -> Iterator[Item]:
    """The film whose pixels lie in the avatar as they were filmed."""
    shown = [what for name, what in FILMED.items() if name in record.files]
    if record.filmed_frames:
        shown.append(f"{record.filmed_frames} frames of the head (references/)")
    if shown and record.capture is not None:
        said = "consent is on record" if record.consent else "no consent is on record"
        yield Item(
            kind="footage", name=record.capture.name, version="", license="the filmed person's own", remark=said,
            role=f"its pixels are in the avatar: {', '.join(shown)}",
        )  # fmt: skip


def _prior_of(place: str, sha256: str | None) -> tuple[str | None, str]:
    try:
        prior = load_prior(place)
    except AvatarError:
        return None, ""
    return (prior.license, prior.origin) if prior.sha256 == sha256 else (None, "")


def _capture(avatar: Path) -> Origin:
    """The person's own capture: as the avatar's record has it, or where that is older, as it lies beside the avatar."""
    origin = origins_of(avatar)[0]
    folder = None if origin.mattes else find_origin(origin, captures_beside(avatar, name=origin.name))
    return origin if folder is None else origin_of(folder)


def _models(record: AvatarRecord, mattes: str) -> Iterator[Item]:
    yield from _bundled(TRACKER)
    if mattes in ("mediapipe", "unknown"):
        yield from _bundled(MATTING)
    if mattes != "mediapipe":
        yield _matting(mattes)
    if record.expression.space == "blendshapes":
        entry = KNOWN["face_landmarker.task"]
        yield Item(kind="model", name=entry.name, version="1", license=entry.license, role=entry.gives, sha256=entry.sha256)


def _bundled(files: dict[str, str]) -> Iterator[Item]:
    """Models inside the mediapipe package."""
    spec = find_spec("mediapipe")
    root = Path(spec.origin).parent / "modules" if spec and spec.origin else None
    version = _version("mediapipe")
    for name, role in files.items():
        path = root / name if root else None
        sha256 = sha256_file(path) if path and path.is_file() else None
        yield Item(kind="model", name=Path(name).name, version=version, license="Apache-2.0", role=role, sha256=sha256)


def _matting(name: str) -> Item:
    entry = next((one for one in ENTRIES if one.name == name), None)
    if entry is None:
        what = "the capture's record was not found" if name == "unknown" else "a model of your own"
        return Item(kind="model", name=f"mattes: {name}", version="", license=UNKNOWN, role=f"cuts the person out; {what}")
    path = file_of(entry)
    sha256 = sha256_file(path) if path else entry.sha256
    return Item(
        kind="model", name=entry.name, version="", license=entry.license, role="cuts the person out", sha256=sha256,
        remark=entry.remark,
    )  # fmt: skip


def _tools(cameras: str) -> Iterator[Item]:
    yield ffmpeg_item()
    used = cameras.startswith("colmap")
    license = package_license("pycolmap") if _version("pycolmap") else "BSD-3-Clause"
    yield Item(
        kind="tool", name="COLMAP (pycolmap)", version=_version("pycolmap"), license=license,
        role="cameras of this capture" if used else f"not used for this capture (cameras: {cameras})",
    )  # fmt: skip


def ffmpeg_item() -> Item:
    """The program that imageio-ffmpeg brings, or the one that stands in for it; its own words say how it was built."""
    role = "writes videos; called as a separate program, whoever passes it on owes its source"
    try:
        program, said = Path(ffmpeg.program()), ffmpeg.version()
    except (ImportError, RuntimeError, *BROKEN) as error:
        return Item(kind="tool", name="ffmpeg", version="", license="not on this machine", role=f"{role} ({error})")
    version = re.search(r"ffmpeg version (\S+)", said)
    return Item(
        kind="tool", name="ffmpeg (imageio-ffmpeg)", version=version[1] if version else "", license=ffmpeg_license(said),
        role=role, sha256=sha256_file(program),
    )  # fmt: skip


def ffmpeg_license(said: str) -> str:
    """By the switches in `ffmpeg -version`: --enable-gpl makes it GPL-2.0, with --enable-version3 GPL-3.0; else LGPL."""
    switches = set(said.split())
    if "--enable-nonfree" in switches:
        return "built with --enable-nonfree: may not be passed on"
    number = "3.0" if "--enable-version3" in switches else "2.0"
    if "--enable-gpl" in switches:
        return f"GPL-{number}-or-later"
    return f"LGPL-{'3.0' if number == '3.0' else '2.1'}-or-later" if switches else UNKNOWN


def _packages() -> list[Item]:
    """Everything that is installed because of us, by name."""
    waiting, found = list(_required("avatarcli") or OURS), {}
    while waiting:
        name = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key not in found and _version(name):
            found[key] = Item(
                kind="package", name=key, version=_version(name), license=package_license(name), role="Python package"
            )
            waiting += _required(name)
    return [found[key] for key in sorted(found)]


def _required(name: str) -> list[str]:
    """Names of the requirements of an installed package, extras left out."""
    try:
        lines = metadata.distribution(name).requires or []
    except metadata.PackageNotFoundError:
        return []
    words = [re.match(r"[A-Za-z0-9._-]+", line) for line in lines if "extra ==" not in line]
    return [word[0] for word in words if word]


def package_license(name: str) -> str:
    """What a package's metadata says, in the order expression, classifier, short text; else unknown."""
    said: Any = metadata.distribution(name).metadata
    classified = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or [] if line.startswith("License :: ")]
    classified = [line for line in classified if line != "OSI Approved"]
    text = (said.get("License") or "").strip()
    short = text if text and "\n" not in text and len(text) <= 60 and text.upper() != "UNKNOWN" else ""
    return said.get("License-Expression") or " and ".join(classified) or short or UNKNOWN


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
