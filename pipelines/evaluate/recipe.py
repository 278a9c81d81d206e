"""One evaluation: avatar (or two) and capture in, evaluation.json and report.html out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.origins import origins_of
from pipelines.core.files import write_json, write_text
from pipelines.core.stage import Progress, fingerprint_of, warn_in_record
from pipelines.evaluate.compare import difference, insist_same_frames
from pipelines.evaluate.faces import Find, tracker
from pipelines.evaluate.folders import open_both
from pipelines.evaluate.page import evaluation_report
from pipelines.evaluate.perceptual import Tool
from pipelines.evaluate.protocol import PAGE, RECORD
from pipelines.evaluate.record import EvaluatedAvatar, Tools, measure_avatar
from pipelines.evaluate.seconds import seconds_of_stages

FEW_FOUND = 0.5
"""Share of the renders in which a face is found, below which that is said."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is judged, and with what."""

    avatar: Path
    capture: Path
    compare: Path | None
    lpips: Tool
    st_lpips: Tool
    size: int | None
    """Pixels a side; None: the generator's own."""
    device: str
    progress: Progress

    @property
    def inputs(self) -> dict[str, Path]:
        return {"avatar": self.avatar, "capture": self.capture, **({"compared avatar": self.compare} if self.compare else {})}

    @property
    def asked(self) -> dict[str, Any]:
        """What else the result depends on: the size, and the weights that are on this machine."""
        return {"size": self.size, "lpips_sha256": list(self.lpips.sha256), "st_lpips_sha256": list(self.st_lpips.sha256)}

    def run(self, partial: Path) -> dict[str, Any]:
        """Both files; the figures for the stage's record."""
        with tracker() as find:
            shown = self.judged(self.avatar, find, partial)
            other = self.judged(self.compare, find, partial) if self.compare is not None else None
        record = shown.record
        if other is not None:
            insist_same_frames(shown, other)
            record = {**record, "compared": other.record, "difference": difference(record, other.record)}
        write_json(partial / RECORD, record)
        write_text(partial / PAGE, evaluation_report(record, shown, other))
        return {name: value for name, value in record.items() if name not in ("definitions", "per_frame", "compared")}

    def judged(self, avatar: Path, find: Find, partial: Path) -> EvaluatedAvatar:
        """Everything about one avatar; its record says whose it is and how long it took."""
        model, dataset = open_both(avatar, self.capture, self.device)
        tools = Tools(find=find, lpips=self.lpips, st_lpips=self.st_lpips, device=self.device)
        shown = measure_avatar(model, dataset, tools, self.progress, self.size)
        found, count = shown.record["tracking"]["avatar"]["found"], len(shown.names)
        if found < FEW_FOUND * count:
            self.warn(
                f"the tracker finds a face in only {found} of {count} renders of {avatar.name}: mouth state and distances are "
                "measured on these only; train it longer.",
                partial,
            )
        origin = origins_of(avatar)[0]
        shown.record.update(
            name=avatar.name, fingerprint=fingerprint_of(avatar), seconds=seconds_of_stages(self.capture, avatar),
            capture={"fingerprint": origin.fingerprint, "name": origin.name},
        )  # fmt: skip
        return shown

    def warn(self, text: str, partial: Path) -> None:
        self.progress.warn(text)
        warn_in_record(partial, text)
