"""Which avatar and capture are meant, and whether the one may be judged by the other: one sentence where not."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.dataset import load_dataset
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json
from pipelines.core.stage import RECORD, fingerprint_of

if TYPE_CHECKING:
    from pipelines.artifacts.avatar import Avatar
    from pipelines.artifacts.dataset import Dataset


def capture_of(avatar: Path, given: Path | None) -> Path:
    """The capture folder an avatar was made of: the given one if it is that, else one beside the avatar."""
    origin = _origin(avatar)
    if given is not None:
        if not given.exists():
            raise UnusableMaterial(f"the capture {given} does not exist.")
        if fingerprint_of(given) != origin["fingerprint"]:
            raise UnusableMaterial(
                f"{avatar.name} was made of the capture {origin['name']} ({origin['fingerprint'][:8]}), not of {given.name} "
                f"({fingerprint_of(given)[:8]}): only there it is known which frames it has never seen."
            )
        return given
    beside = avatar.resolve().parent
    for folder in [beside / str(origin["name"]), *sorted(beside.glob("*.capture"))]:
        if (folder / RECORD).is_file() and fingerprint_of(folder) == origin["fingerprint"]:
            return folder
    raise UnusableMaterial(
        f"the capture {origin['name']} ({origin['fingerprint'][:8]}) that {avatar.name} was made of does not lie beside it; "
        f"say where it is: avatarcli evaluate {avatar.name} CAPTURE."
    )


def open_both(avatar: Path, capture: Path, device: str) -> "tuple[Avatar, Dataset]":
    """Both loaded; a folder with missing or broken files is UnusableMaterial."""
    from safetensors import SafetensorError

    try:
        model = load_avatar(avatar, device)
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, SafetensorError) as error:
        raise UnusableMaterial(f"{avatar} is broken ({_said(error)}); make it again with avatarcli train.") from error
    try:
        dataset = load_dataset(capture)
        dataset.tracking()["landmarks"]
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise UnusableMaterial(f"{capture} is broken ({_said(error)}); make it again with avatarcli capture.") from error
    if not len(dataset.rows("test")) or not len(dataset.rows("train")):
        raise UnusableMaterial(f"{capture} holds out no frames to judge by; capture a longer video.")
    return model, dataset


def insist_comparable(first: Path, second: Path) -> None:
    """UnusableMaterial unless both avatars were made of one capture and show pictures of one size."""
    ours, theirs = _origin(first), _origin(second)
    if ours["fingerprint"] != theirs["fingerprint"]:
        raise UnusableMaterial(
            f"{first.name} and {second.name} cannot be compared: one was made of the capture {ours['name']} "
            f"({ours['fingerprint'][:8]}), the other of {theirs['name']} ({theirs['fingerprint'][:8]})."
        )
    sizes = [_record(folder).get("image_size") for folder in (first, second)]
    if sizes[0] != sizes[1]:
        raise UnusableMaterial(
            f"{first.name} and {second.name} cannot be compared: their pictures have {sizes[0]} and {sizes[1]} pixels, and "
            "each is judged at its own size."
        )


def _origin(avatar: Path) -> dict[str, Any]:
    if not avatar.exists():
        raise UnusableMaterial(f"the avatar {avatar} does not exist.")
    origin = _record(avatar).get("capture")
    if not isinstance(origin, dict) or not {"name", "fingerprint"} <= set(origin):
        raise UnusableMaterial(
            f"{avatar / 'avatar.json'} does not say what it was made of; make it again with avatarcli train."
        )
    return origin


def _record(avatar: Path) -> dict[str, Any]:
    record = read_json(avatar / "avatar.json", "avatarcli train CAPTURE -o " + avatar.name)
    if not isinstance(record, dict):
        raise UnusableMaterial(f"{avatar / 'avatar.json'} is not an avatar's record; make it again with avatarcli train.")
    return record


def _said(error: Exception) -> str:
    """The first line of what went wrong, and what it was where that is only a name."""
    line = (str(error).splitlines() or [""])[0]
    return f"no {line}" if isinstance(error, KeyError) else line or type(error).__name__
