"""Which captures an avatar was made of, and where they lie: known by the fingerprint of their content, never by name."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.artifacts.avatar_record import NAME, Origin, load_avatar_record, made_by
from pipelines.artifacts.capture_record import load_capture_record
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import RECORD, fingerprint_of


def origin_of(capture: Path) -> Origin:
    """A capture folder as an origin."""
    record = load_capture_record(capture)
    return Origin(name=capture.name, fingerprint=fingerprint_of(capture), mattes=record.matting, cameras=record.camera.method)


def origins_of(avatar: Path) -> list[Origin]:
    """The captures an avatar was made of, the person's own first; UnusableMaterial when its record does not name them."""
    record = load_avatar_record(avatar)
    if record.capture is None:
        raise UnusableMaterial(f"{avatar / NAME} has no `capture`. Make it with `{made_by(avatar)}`.")
    return [record.capture, *record.added]


def find_origin(origin: Origin, folders: Iterable[Path]) -> Path | None:
    """The first of the folders that is the capture; None when it is not among them."""
    return next((folder for folder in folders if is_origin(folder, origin)), None)


def is_origin(folder: Path, origin: Origin) -> bool:
    return (folder / RECORD).is_file() and fingerprint_of(folder) == origin.fingerprint


def captures_beside(*paths: Path, name: str = "") -> Iterator[Path]:
    """Folders that may be captures, in the folders in which `paths` lie: one of the given `name` first, then all *.capture."""
    for place in dict.fromkeys(path.resolve().parent for path in paths):
        yield from ([place / name] if name else [])
        yield from sorted(place.glob("*.capture"))


def not_beside(origin: Origin, avatar: Path, command: str) -> UnusableMaterial:
    """The sentence that asks for a capture that was not found."""
    return UnusableMaterial(
        f"the capture {origin} that {avatar.name} was made from is not next to it; give its path: {command}."
    )
