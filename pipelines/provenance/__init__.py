"""Where a render comes from and that it is synthetic: an invisible mark in its pictures and a signed manifest (C2PA).

Both are on unless a setting says otherwise, and the drive's record says what was left out.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar_record import content_id, load_avatar_record
from pipelines.core.files import sha256_file, write_text

LISTING = "frames.sha256"
"""In a folder of pictures: their hashes, of which the manifest beside it (frames.c2pa) is made."""


@dataclass(frozen=True, kw_only=True)
class ProvenanceSettings:
    """What a driven video says of itself."""

    mark: bool = True
    """An invisible mark in every picture, by which `avatarcli verify` knows the avatar even after encoding again."""
    manifest: bool = True
    """A signed C2PA manifest: in .mp4 and .mov, beside others. The key is made on first use (`provenance.identity`)."""


class Provenance:
    """What is done to one drive's pictures and file."""

    def __init__(self, avatar: Path, settings: ProvenanceSettings) -> None:
        from pipelines.provenance.mark import Marker, payload_of

        self.avatar, self.settings = avatar, settings
        self.id = content_id(avatar, load_avatar_record(avatar))
        self.payload = payload_of(self.id) if settings.mark else None
        self.marker = Marker(self.payload) if self.payload else None

    def check(self) -> None:
        """Before any work: MissingTool or SettingError when nothing could be signed in the end."""
        if self.settings.manifest:
            from pipelines.provenance.identity import identity
            from pipelines.provenance.manifest import library

            library()
            identity()

    def marked(self, pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The same pictures with the mark, if there shall be one."""
        return pictures if self.marker is None else (self.marker(picture) for picture in pictures)

    @property
    def left_out(self) -> str:
        """A sentence for the record, empty when nothing was."""
        missing = [name for name in ("mark", "manifest") if not getattr(self.settings, name)]
        return f"left out as asked: the {' and the '.join(missing)} that would say this is synthetic." if missing else ""

    def seal(self, output: Path, partial: Path, beside: Path, composite: bool) -> dict[str, Any]:
        """Sign `output`, a finished video or folder of pictures inside `partial`; figures for the record.

        The unsigned video is kept in `partial` until the drive is published, so that a killed one signs it again.
        """
        from pipelines.provenance.manifest import EMBEDDED, SIDECAR

        unsigned, embeds = output, output.suffix.lower() in EMBEDDED and self.settings.manifest
        if embeds:
            unsigned = partial / "unsigned" / output.name
            unsigned.parent.mkdir(exist_ok=True)
            if not unsigned.exists():
                os.replace(output, unsigned)
        elif not output.suffix:
            unsigned = output.with_name(LISTING)
            write_text(unsigned, list_hashes(output))
        apart = (beside if output.suffix else partial) / f"{output.stem}{SIDECAR}"
        return self._signed(unsigned, output if embeds else apart, composite)

    def seal_recording(self, video: Path, composite: bool) -> dict[str, Any]:
        """Sign a finished .mp4 in its place; figures for the record."""
        return self._signed(video, video, composite)

    def _signed(self, unsigned: Path, out: Path, composite: bool) -> dict[str, Any]:
        """`out` is the signed video, or the manifest of `unsigned` alone."""
        from pipelines.provenance.manifest import SIDECAR, manifest, sign

        figures = {"avatar": self.id, "mark": self.payload, "manifest": None, "unsigned_sha256": sha256_file(unsigned)}
        if not self.settings.manifest:
            return figures
        record = load_avatar_record(self.avatar)
        filmed = composite or record.filmed_frames > 0
        said = manifest(unsigned.name, avatar=self.id, consent=record.consent, mark=self.payload, composite=filmed)
        out.parent.mkdir(exist_ok=True)
        sign(unsigned, out, said)
        return {**figures, "manifest": out.name if out.suffix == SIDECAR else "embedded"}


def sidecars(out: Path, settings: ProvenanceSettings) -> list[str]:
    """Names of the files that will lie beside a video for its manifest."""
    from pipelines.provenance.manifest import EMBEDDED, sidecar_of

    return [sidecar_of(out).name] if settings.manifest and out.suffix.lower() not in EMBEDDED else []


def list_hashes(folder: Path) -> str:
    """`sha256  name` of the pictures in a folder, as sha256sum writes it."""
    return "".join(f"{sha256_file(path)}  {folder.name}/{path.name}\n" for path in sorted(folder.glob("*.png")))
