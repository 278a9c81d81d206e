"""Which avatar and capture are meant, and whether the avatar may be evaluated on that capture: one sentence where not."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import load_avatar_record
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.origins import Origin, captures_beside, find_origin, is_origin, not_beside, origins_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import fingerprint_of

if TYPE_CHECKING:
    from pipelines.artifacts.avatar import Avatar
    from pipelines.artifacts.dataset import Dataset


def capture_of(avatar: Path, given: Path | None) -> Path:
    """The capture folder an avatar was made of: the given one if it is that, else one beside the avatar."""
    origin = _origin(avatar)
    if given is None:
        folder = find_origin(origin, captures_beside(avatar, name=origin.name))
        if folder is None:
            raise not_beside(origin, avatar, f"avatarcli evaluate {avatar.name} CAPTURE")
        return folder
    if not given.exists():
        raise UnusableMaterial(f"the capture {given} does not exist.")
    if not is_origin(given, origin):
        raise UnusableMaterial(
            f"{avatar.name} was made of the capture {origin}, not of {given.name} ({fingerprint_of(given)[:8]}): only there it "
            "is known which frames it has never seen."
        )
    return given


def open_both(avatar: Path, capture: Path, device: str) -> "tuple[Avatar, Dataset]":
    """Both loaded; a folder with missing or broken files is UnusableMaterial."""
    from safetensors import SafetensorError

    try:
        model = load_avatar(avatar, device)
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, SafetensorError) as error:
        raise UnusableMaterial(f"{avatar} is broken ({_said(error)}); make it again with avatarcli train.") from error
    try:
        dataset = view_of(capture, model.frame)
        dataset.tracking()["landmarks"]
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise UnusableMaterial(f"{capture} is broken ({_said(error)}); make it again with avatarcli capture.") from error
    if not len(dataset.rows("test")) or not len(dataset.rows("train")):
        raise UnusableMaterial(f"{capture} has no held-out frames to evaluate on; capture a longer video.")
    return model, dataset


def insist_comparable(first: Path, second: Path, size: int | None = None) -> None:
    """UnusableMaterial unless both avatars were made of one capture and are shown in one size, their own or `size`."""
    ours, theirs = _origin(first), _origin(second)
    if ours.fingerprint != theirs.fingerprint:
        raise UnusableMaterial(
            f"{first.name} and {second.name} cannot be compared: one was made from the capture {ours}, the other of {theirs}."
        )
    sizes = [load_avatar_record(folder).image_size for folder in (first, second)]
    if size is None and sizes[0] != sizes[1]:
        raise UnusableMaterial(
            f"{first.name} and {second.name} cannot be compared: their pictures have {sizes[0]} and {sizes[1]} pixels, and "
            f"each is evaluated at its own size; --size {max(sizes)} evaluates both at one."
        )


def _origin(avatar: Path) -> Origin:
    if not avatar.exists():
        raise UnusableMaterial(f"the avatar {avatar} does not exist.")
    return origins_of(avatar)[0]


def _said(error: Exception) -> str:
    """The first line of what went wrong, and what it was where that is only a name."""
    line = (str(error).splitlines() or [""])[0]
    return f"no {line}" if isinstance(error, KeyError) else line or type(error).__name__
