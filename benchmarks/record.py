"""Results as data: one JSON file for each run of a benchmark, and the page RESULTS.md made of the newest of them.

    python benchmarks/record.py            # writes benchmarks/RESULTS.md

A benchmark adds `options` to its parser, makes a `Run` before it measures, and ends with `run.finish(figures, ...)`, which
writes results/<benchmark>/<date>-<commit>.json. A tree with uncommitted changes is refused, because nobody could measure the
same again; with `--draft` nothing is written and the figures are only printed.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))

from pipelines.core.errors import SettingError  # noqa: E402
from pipelines.core.files import read_json, sha256_file, write_json, write_text  # noqa: E402

SCHEMA = 1
FOLDER_RECORDS = ("stage.json", "dataset.json", "transforms.json", "opencv_cameras.json")
"""Files that stand for the folder they lie in."""
RESULTS = HOME / "benchmarks" / "results"
PAGE = HOME / "benchmarks" / "RESULTS.md"
INTRODUCTION = """\
# What was measured

The newest record of every benchmark. Each record in `results/` holds all figures of its run, the machine, the command and the
hashes of the inputs. [docs/decisions](../docs/decisions) tells what was concluded. PSNR is in dB, on held-out frames of 128x128
pixels, inside the head. This page is generated: `python benchmarks/record.py`.

| benchmark | figures | date | machine |
|---|---|---|---|
"""
Figures = Mapping[str, Any]
"""Names to numbers, or to further figures."""


def options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark understands."""
    parser.add_argument("--draft", action="store_true", help="print only; do not ask for a clean tree and write no record")
    parser.add_argument("--note", default="", help="one line about the conditions, kept in the record")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a benchmark, from before its first measurement."""

    benchmark: str
    draft: bool = False
    note: str = ""
    commit: str = field(default_factory=lambda: git("rev-parse", "--short=7", "HEAD"))
    started_s: float = field(default_factory=time.perf_counter)
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    @classmethod
    def of(cls, benchmark: str, given: argparse.Namespace) -> "Run":
        """SettingError when the tree has uncommitted changes and `--draft` is not given."""
        if not given.draft and (changed := git("status", "--porcelain")):
            first = changed.splitlines()[0].split(maxsplit=1)[1]
            raise SettingError(f"{first} is not committed, so nobody could measure this again; commit it or use --draft.")
        return cls(benchmark=benchmark, draft=given.draft, note=given.note)

    def finish(
        self, figures: Figures, *, headline: Mapping[str, str], inputs: Sequence[Path] = (),
        where: Mapping[str, Any] | None = None,
    ) -> Path | None:  # fmt: skip
        """Print the figures and write the record; its path, or None for a draft.

        `headline` says what RESULTS.md shows, at most six figures: their dotted names by what they are called there. `where` is
        the `machine` of figures that were measured elsewhere.
        """
        for name, value in flat(figures):
            print(f"{name}  {short(value)}")
        if self.draft:
            return None
        record = {
            "schema": SCHEMA, "benchmark": self.benchmark, "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": self.commit, "machine": dict(where or machine() | {"load": self.load}), "command": command_line(),
            "inputs": {path.name: sha256_file(content_of(path)) for path in inputs}, "figures": dict(figures),
            "headline": dict(headline), "wall_s": round(time.perf_counter() - self.started_s, 1), "note": self.note,
        }  # fmt: skip
        check(record)
        path = RESULTS / self.benchmark / f"{record['date'].replace('-', '')}-{self.commit}.json"
        write_json(path, record)
        print(f"\n{path.relative_to(HOME)}", file=sys.stderr)
        return path


def check(record: Mapping[str, Any]) -> None:
    """ValueError for a record that lacks something, or whose headline names no figure."""
    keys = ("benchmark", "date", "commit", "machine", "command", "inputs", "figures", "headline", "wall_s", "note")
    missing = [key for key in keys if key not in record]
    if record.get("schema") != SCHEMA or missing:
        raise ValueError(f"a record of schema {SCHEMA} needs {', '.join(missing) or 'that schema'}")
    named = dict(flat(record["figures"]))
    wrong = [name for name in record["headline"].values() if name not in named]
    if wrong or not 1 <= len(record["headline"]) <= 6:
        raise ValueError(f"a headline is one to six figures; unknown: {', '.join(wrong) or 'none'}")


def git(*words: str) -> str:
    """What git says about the checkout."""
    return subprocess.run(["git", *words], cwd=HOME, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, Any]:
    """What figures depend on."""
    from importlib.metadata import version

    cpu = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(), "cores": os.cpu_count(), "gpu": gpu(),
        "python": platform.python_version(), "torch": version("torch"),
    }  # fmt: skip


def gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def command_line() -> str:
    """The command with paths inside the checkout as they are seen from there, others by their names."""
    return shlex.join(["python", *(_local(word) for word in sys.argv)])


def _local(word: str) -> str:
    path = Path(word)
    if not path.is_absolute():
        return word
    return str(path.relative_to(HOME)) if path.is_relative_to(HOME) else path.name


def content_of(path: Path) -> Path:
    """The file itself, or of a folder the record of what it holds."""
    return path if path.is_file() else next(path / name for name in FOLDER_RECORDS if (path / name).is_file())


def flat(figures: Figures, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) in order."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def records() -> list[dict[str, Any]]:
    """All of them, the newest first."""
    known = [read_json(path) for path in sorted(RESULTS.glob("*/*.json"))]
    return sorted(known, key=lambda record: record["date"], reverse=True)


def page(known: Sequence[Mapping[str, Any]]) -> str:
    """RESULTS.md: the newest record of each benchmark and processor."""
    newest = {(record["benchmark"], _where(record)): record for record in reversed(known)}
    return INTRODUCTION + "".join(_row(newest[key]) for key in sorted(newest))


def _row(record: Mapping[str, Any]) -> str:
    values = dict(flat(record["figures"]))
    figures = "; ".join(f"{label} {short(values[name])}" for label, name in record["headline"].items())
    name = record["benchmark"]
    link = f"[{name}](results/{name}/{record['date'].replace('-', '')}-{record['commit']}.json)"
    return f"| {link} | {figures} | {record['date']} | {_where(record)} |\n"


def _where(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    return machine["gpu"] or f"{machine['cores']} cores, {machine['cpu']}"


if __name__ == "__main__":
    write_text(PAGE, page(records()))
