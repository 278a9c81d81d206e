"""All that there is to measure on one GPU, in at most eight minutes: frames and training steps a second of every family.

    python benchmarks/gpu.py                               # measures on `cuda`, and writes the record
    python benchmarks/gpu.py --rows rows.jsonl             # where there is no checkout of git: measures alone
    python benchmarks/gpu.py --from rows.jsonl             # at home: writes the record of what was measured there
    python benchmarks/gpu.py --device cpu --toy --draft    # every row at toy size, in a minute

Needs torch, numpy, scipy, safetensors, msgspec and opencv-python-headless. Rows: every family's published network at 128, 256
and 512 pixels, and the shipped prior's; rendering and training; float32, tf32 and bfloat16; compiled and not. The most telling
come first.

Notable choices:
- rows run one after the other in a child process. One that fails is a row that says so; one that takes longer than its box, or
  takes the process with it, costs the time of a new start;
- each row is written to `--rows` when it is done, so that whoever is ended by a clock keeps what there is;
- what is not reached within `--minutes` is named in the record.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu_rows import Precision, Row, Work, work_through  # noqa: E402
from benchmarks.record import Run, machine, options  # noqa: E402
from models.families import FAMILIES  # noqa: E402
from models.image_sizes import IMAGE_SIZES  # noqa: E402

SHIPPED = ("eg3d", "shipped")
"""The prior that comes with the package."""
BOX_S, COMPILED_BOXES, START_S = 25.0, 3.0, 60.0
"""Seconds that a row may take, how many times that a compiled one, and seconds in which a process has to be there."""
LEAST_S = 3.0
"""Seconds before the end in which no row is begun."""
RESERVE_S = 10.0
"""Seconds of the budget that are kept for the end."""


def rows_of(families: Sequence[str], sizes: Sequence[int], *, toy: bool, compiled: bool) -> list[Row]:
    """Every row, the most telling first: float32 of all networks, then the other number formats, then compiled ones."""
    networks = [(family, "toy", FAMILIES[family].toy.image_size) for family in families] if toy else _networks(families, sizes)
    plain: list[tuple[Precision, Work]] = [
        ("float32", "render"), ("float32", "train"), ("bfloat16", "render"), ("tf32", "train"), ("bfloat16", "train"),
        ("tf32", "render"),
    ]  # fmt: skip
    compiled_ones: list[tuple[Precision, Work]] = [("bfloat16", "render"), ("float32", "train"), ("float32", "render")]
    ways = [(*way, False) for way in plain] + [(*way, True) for way in compiled_ones if compiled]
    return [
        Row(family=family, network=network, size=size, work=work, precision=precision, compiled=is_compiled)
        for precision, work, is_compiled in ways
        for family, network, size in networks
    ]


def _networks(families: Sequence[str], sizes: Sequence[int]) -> list[tuple[str, str, int]]:
    """The shipped one and those of 512 pixels first."""
    named = [SHIPPED] if SHIPPED[0] in families else []
    named += [(family, "published") for family in families]
    return [(family, network, size) for size in sorted(sizes, reverse=True) for family, network in named]


@dataclass
class Measurer:
    """A child process that answers rows, started anew after it was lost."""

    device: str
    seconds: float
    _process: BaseProcess | None = None
    _tasks: Connection = field(init=False)
    _answers: Connection = field(init=False)

    def measure(self, row: Row, box_s: float) -> dict[str, Any]:
        """The row's figures, or `failed` and why; no longer than `box_s` and, where a process has to be started, START_S."""
        if self._process is None and (said := self._start()):
            return said
        try:
            self._tasks.send(row)
        except OSError:
            self.close()
            return {"failed": "the process ended"}
        return self._answer(box_s, f"took longer than {box_s:.1f} s")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> dict[str, Any]:
        """Empty when the process is there."""
        context = multiprocessing.get_context("spawn")
        (heard, self._tasks), (self._answers, said) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        process = context.Process(target=work_through, args=(self.device, self.seconds, heard, said), daemon=True)
        self._process = process
        process.start()
        heard.close()
        said.close()  # so that the end of the process is the end of the pipe
        return self._answer(START_S, f"no process was there after {START_S:.0f} s")

    def _answer(self, limit_s: float, too_late: str) -> dict[str, Any]:
        try:
            if self._answers.poll(limit_s):
                return self._answers.recv()
            said = too_late
        except (EOFError, OSError):
            said = "the process ended"
        self.close()
        return {"failed": said}


def run_rows(rows: Sequence[Row], measurer: Measurer, end_s: float, box_s: float) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Rows with their figures until `end_s` of time.monotonic; the rest as not reached."""
    try:
        for row in rows:
            left = end_s - time.monotonic()
            box = min(COMPILED_BOXES * box_s if row.compiled else box_s, left)
            yield row, measurer.measure(row, box) if left > LEAST_S else {"failed": "not reached"}
    finally:
        measurer.close()


def tell(row: Row, figures: dict[str, Any]) -> None:
    print(f"{row.name}: {'  '.join(f'{name} {value}' for name, value in figures.items())}", flush=True)


def nested(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures for a record: by row, and the rows that have none."""
    good = {line["row"]: line["figures"] for line in lines if "failed" not in line["figures"]}
    bad = {line["row"]: line["figures"]["failed"] for line in lines if "failed" in line["figures"]}
    return {"measured": len(good), "missing": len(bad), "rows": good, "failed": bad}


def headline_of(figures: dict[str, Any]) -> dict[str, str]:
    """What RESULTS.md shows: the shipped network, and the published ones at 512 pixels."""
    asked = {
        "rows measured": "measured",
        "shipped 512, frames/s": "rows.eg3d shipped 512 render float32.4_hz",
        "steps/s": "rows.eg3d shipped 512 train float32.steps_hz",
        "EG3D 512, frames/s": "rows.eg3d published 512 render float32.4_hz",
        "in bfloat16": "rows.eg3d published 512 render bfloat16.4_hz",
        "its steps/s": "rows.eg3d published 512 train float32.steps_hz",
    }
    return {label: name for label, name in asked.items() if name == "measured" or name.split(".")[1] in figures["rows"]}


def measure(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of `--rows`: the machine, then every row within the budget."""
    end_s = time.monotonic() + 60 * asked.minutes - RESERVE_S
    rows = rows_of(asked.families, asked.sizes, toy=asked.toy, compiled=not asked.eager)
    lines: list[dict[str, Any]] = [{"machine": machine() | {"device": asked.device}}]
    with asked.rows.open("w") if asked.rows else nullcontext(sys.stderr) as out:
        print(json.dumps(lines[0]), file=out, flush=True)
        for row, figures in run_rows(rows, Measurer(asked.device, asked.seconds), end_s, asked.box):
            lines.append({"row": row.name, "figures": figures})
            tell(row, figures)
            if asked.rows:
                print(json.dumps(lines[-1]), file=out, flush=True)
    return lines


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="budget of the whole command")
    parser.add_argument("--seconds", type=float, default=1.5, help="of measuring in a row")
    parser.add_argument("--box", type=float, default=BOX_S, help="seconds that a row may take; compiled ones three times that")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(IMAGE_SIZES), choices=list(IMAGE_SIZES))
    parser.add_argument("--eager", action="store_true", help="leave out the compiled rows")
    parser.add_argument("--toy", action="store_true", help="the families' toy networks instead")
    parser.add_argument("--rows", type=Path, help="write a line for each row as it is done")
    parser.add_argument("--from", dest="source", type=Path, help="record what was measured elsewhere with --rows")
    options(parser)
    asked = parser.parse_args(words)
    if asked.rows and not asked.source:
        measure(asked)
        return
    run = Run.of("gpu", asked)
    lines = [json.loads(line) for line in asked.source.read_text().splitlines()] if asked.source else measure(asked)
    figures = nested(lines[1:])
    run.finish(figures, headline=headline_of(figures), where=lines[0]["machine"])


if __name__ == "__main__":
    main()
