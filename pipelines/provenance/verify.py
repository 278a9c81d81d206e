"""What a file says of its origin: its manifest, and the mark in its pictures, which stays when the manifest is lost."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.kinds import ARTICLES, kind_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_image
from pipelines.provenance import LISTING, list_hashes
from pipelines.provenance.consent import consent_sentence
from pipelines.provenance.finding import FRAMES, Finding, find_in_video, find_mark
from pipelines.provenance.manifest import Reading, read_manifest

LEAST_TEXTURE = 0.02
"""Share of the pixels with room for a mark below which it is said that there is hardly any."""
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Manifest, mark, and what they mean together."""

    manifest: Reading
    mark: Finding

    @property
    def ours(self) -> bool:
        """Made by avatarcli, and nothing contradicts it."""
        if self.tampered:
            return False
        return (self.manifest.state == "valid" and self.manifest.ours) or self.mark.found

    @property
    def tampered(self) -> bool:
        """The file is not as it was signed."""
        return self.manifest.state == "tampered" or self.contradiction

    @property
    def contradiction(self) -> bool:
        """The manifest names another avatar than the mark."""
        named = self.manifest.avatar if self.manifest.state == "valid" else None
        return bool(named and self.mark.sure and self.mark.payload and not named.startswith(self.mark.payload))

    def sentence(self) -> str:
        return f"{self._whole()} {self._manifest()} {self._mark()}"

    def record(self) -> dict[str, Any]:
        ours = {"ours": self.ours, "synthetic": True if self.ours else None}
        return {**ours, "manifest": asdict(self.manifest), "mark": self.mark.record()}

    def _whole(self) -> str:
        if self.contradiction:
            return "Do not trust it: manifest and watermark name different avatars."
        if self.manifest.state == "tampered":
            return "Do not trust it: the file was changed after it was signed."
        if self.ours:
            return "Synthetic: rendered by avatarcli."
        return "Not known to be rendered by avatarcli."

    def _manifest(self) -> str:
        said = self.manifest
        where = " (next to the file)" if said.sidecar else ""
        if said.state == "absent":
            return "It has no manifest."
        if said.state == "tampered":
            return f"The manifest{where} does not match the file ({', '.join(said.problems) or 'invalid'})."
        by = "with this machine's key" if said.issuer == "this machine" else f"by an unknown issuer ({said.signed_as})"
        tool = f"{said.tool} {said.version or ''}".strip()
        about = f", avatar {said.avatar[:8]}, {consent_sentence(said.consent)}" if said.ours and said.avatar else ""
        return f"The manifest{where} is valid, signed {by}: {tool}{about}."

    def _mark(self) -> str:
        if not self.mark.found:
            flat = " (its pictures are too flat to hide one)" if self.mark.frames and self.mark.texture < LEAST_TEXTURE else ""
            return f"No watermark was found{flat}."
        doubt = "" if self.mark.sure else " (the number is uncertain)"
        odds = max(self.mark.false_alarm, 1e-99)
        return f"The watermark names avatar {self.mark.payload}{doubt}; the odds of a false alarm are below {odds:.0e}."


def verify(path: Path) -> Verdict:
    """What is known of a video, a picture, or a folder of pictures; UnusableMaterial when it is none of them."""
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise UnusableMaterial(f"{path} does not exist.")
    if path.suffix.lower() in PICTURES:
        return Verdict(manifest=read_manifest(path), mark=find_mark([rgb(read_image(path))]))
    return Verdict(manifest=read_manifest(path), mark=find_in_video(path))


def _of_folder(path: Path) -> Verdict:
    """A folder as `drive` leaves it: frames/, their hashes, and the manifest of these."""
    if kind := kind_of(path):
        raise UnusableMaterial(
            f"{path} is {ARTICLES[kind]}, not a result; give a video, a picture or a folder that `avatarcli drive` made."
        )
    frames = path / "frames" if (path / "frames").is_dir() else path
    names = sorted(frames.glob("*.png"))
    if not names:
        raise UnusableMaterial(f"{path} holds no PNG files; give a video, a picture or a folder that `avatarcli drive` made.")
    hashes = frames.with_name(LISTING)
    manifest = read_manifest(hashes) if hashes.is_file() else Reading(state="absent")
    if manifest.state == "valid" and hashes.read_text() != list_hashes(frames):
        manifest = Reading(**{**asdict(manifest), "state": "tampered", "problems": ["a picture differs from frames.sha256"]})
    return Verdict(manifest=manifest, mark=find_mark(_some(names)))


def _some(names: list[Path]) -> Iterator[np.ndarray]:
    for path in names[:: max(1, -(-len(names) // FRAMES))]:
        yield rgb(read_image(path))


def rgb(image: np.ndarray) -> np.ndarray:
    """[H,W,3] of gray, RGB, or RGBA over mid gray."""
    if image.ndim == 2:
        return np.dstack([image] * 3)
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:] / 255.0
    return np.round(image[..., :3] * alpha + 128 * (1 - alpha)).astype(np.uint8)
