"""The only place that prints: people read stderr (rich), programs read stdout.

stdout carries results alone: tables of figures and, last, the path of the result; only that line with --quiet; with --json one
object `{"schema": 1, "command", "status", "out", "seconds", "figures", "warnings", ...}`. Whatever libraries write to stdout is
led to stderr, so that the object stays alone even when native code chats.
"""

import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from pipelines.core.stage import Report

SCHEMA = 1
STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LINE_EVERY_S = 30.0


@dataclass(kw_only=True)
class Flags:
    """What the user asked of the output; filled once from the command line."""

    json: bool = False
    quiet: bool = False
    debug: bool = False
    command: str = ""


FLAGS = Flags()


class Bar:
    """One running task: a bar where stderr is a terminal, else a line now and then and one at the end."""

    def __init__(self, *, console: "Console", name: str, total: int | None) -> None:
        self.console, self.name, self.total = console, name, total
        self.done, self.said, self.remark = 0, time.monotonic(), ""
        self.begun, self.before = self.said, 0
        """When counting began, and what an earlier run had done."""
        self.task: TaskID | None = console.bars.add_task(name, total=total, note="") if console.bars else None

    def advance(self, count: int = 1) -> None:
        if self.done == 0 and count > 1:
            self.before = count
        self.done += count
        if self.console.bars and self.task is not None:
            self.console.bars.advance(self.task, count)
        elif time.monotonic() - self.said > LINE_EVERY_S:
            self.said = time.monotonic()
            of = f"/{self.total}{self.left()}" if self.total else ""
            self.console.say(f"  {self.name} {self.done}{of} {self.remark}")

    def left(self) -> str:
        """Time that the rest takes at the pace so far; nothing before there is one."""
        done = self.done - self.before
        if done == 0:
            return ""
        seconds = (time.monotonic() - self.begun) * ((self.total or 0) - self.done) / done
        return f", {seconds / 60:.0f} min left" if seconds > 90 else f", {max(seconds, 0):.0f} s left"

    def note(self, text: str) -> None:
        self.remark = text = visible(text)
        if self.console.bars and self.task is not None:
            self.console.bars.update(self.task, note=text)

    def close(self) -> None:
        if self.console.bars and self.task is not None:
            self.console.bars.remove_task(self.task)


class Console:
    """Implements pipelines.core.stage.Progress for people, and prints results for both."""

    def __init__(self, flags: Flags, results: IO[str] | None = None) -> None:
        from rich.console import Console as RichConsole

        self.flags = flags
        self.results = results or claim_stdout()
        self.human: RichConsole = RichConsole(stderr=True, quiet=flags.quiet or rank() > 0, highlight=False, soft_wrap=True)
        self.errors: RichConsole = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self.bars: RichProgress | None = None
        self.open = 0

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Bar]:
        self._start_bars()
        bar, start = Bar(console=self, name=name, total=total), time.perf_counter()
        try:
            yield bar
            count = f"  {bar.done}" if bar.done > 1 else ""
            self.human.print(f"[green]✓[/green] {_plain(name)}[dim]{count}  {time.perf_counter() - start:.1f} s[/dim]")
        finally:
            bar.close()
            self._stop_bars()

    def say(self, text: str) -> None:
        self.human.print(visible(text, lines=True), markup=False)

    def warn(self, text: str) -> None:
        self.human.print(f"[yellow]![/yellow] {_plain(text)}")

    def error(self, text: str) -> None:
        self.errors.print(f"[red]error:[/red] {_plain(text)}")

    def table(self, columns: list[str], rows: list[list[str]], *, numbers: bool = False) -> None:
        """A table of results for people; `numbers` of all columns but the first stand at the right."""
        from rich.console import Console as RichConsole
        from rich.table import Table

        if self.flags.json or self.flags.quiet:
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if numbers and index else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(_plain, row))
        RichConsole(file=self.results, highlight=False).print(table)

    def evaluation(self, metrics: Mapping[str, Any]) -> str:
        """Shows held-out figures beside their baselines and returns what they mean in one sentence."""
        from pipelines.evaluate.summary import comparison, verdict

        head, rows = comparison(metrics)
        self.table(
            head,
            [[f"{cell:.2f}" if isinstance(cell, float) else str(cell or "") for cell in row] for row in rows],
            numbers=True,
        )
        return " ".join(verdict(metrics))

    def coverage(self, found: Mapping[str, Any]) -> None:
        """Seconds by side of the head and by expression, the sides in the order of a walk around it."""
        edges = found["yaw_edges_deg"]
        rows = {"seen": found["seconds"], **found["expressions_s"]}
        cells = [[f"{low} to {high}", *(f"{row[n]:.1f}" if row[n] else "" for row in rows.values())]
                 for n, (low, high) in enumerate(zip(edges, edges[1:], strict=False))]  # fmt: skip
        self.table(["side, degrees", *(f"{name}, s" for name in rows)], cells, numbers=True)

    def movements(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Which movements were filmed, for how many seconds and how strongly."""
        cells = [[str(row["movement"]), f"{row['seconds']:.1f}" if row["seconds"] else "", f"{row['strongest']} {row['unit']}"]
                 for row in rows]  # fmt: skip
        self.table(["movement", "seconds", "strongest"], cells, numbers=True)

    def advise(self, weight: str, text: str) -> None:
        """A sentence of advice: what stops, what to film again, what is only worth knowing."""
        mark = {"stop": "[red]✗[/red]", "film": "[yellow]![/yellow]"}.get(weight, "[dim]i[/dim]")
        self.human.print(f"{mark} {_plain(text)}")

    def report(self, report: "Report") -> None:
        """The result of one stage."""
        self.finished(report)
        self.result(report_json(report), str(report.out))

    def finished(self, report: "Report") -> None:
        """Tells people how a stage ended."""
        took = f"made in {sum(report.seconds.values()):.0f} s" if report.status == "done" else "already there and up to date"
        page = report.out / "report.html"
        look = f", report: {page}" if page.exists() else ""
        self.human.print(f"[green]✓[/green] {_plain(str(report.out))} [dim]{took}{_plain(look)}[/dim]")

    def result(self, fields: Mapping[str, Any], line: str) -> None:
        """The one result of a command: the JSON object, or a line for people."""
        if self.flags.json:
            self.write(json.dumps(_json({"schema": SCHEMA, "command": self.flags.command, **fields}), allow_nan=False))
        elif line:
            self.write(line)

    def write(self, text: str) -> None:
        print(visible(text, lines=True), file=self.results, flush=True)

    def _start_bars(self) -> None:
        self.open += 1
        if self.bars is None and self.human.is_terminal and not self.flags.quiet:
            self.bars = _bars(self.human)
            self.bars.start()

    def _stop_bars(self) -> None:
        self.open -= 1
        if self.open == 0 and self.bars is not None:
            self.bars.stop()
            self.bars = None


def report_json(report: "Report") -> dict[str, Any]:
    return {
        "status": report.status, "stage": report.stage, "out": str(report.out), "fingerprint": report.fingerprint,
        "seconds": report.seconds, "figures": report.figures, "warnings": report.warnings,
    }  # fmt: skip


_console: Console | None = None


def console() -> Console:
    """The console of this process; from the first call on, before a command runs, stdout belongs to results."""
    global _console
    if _console is None:
        _console = Console(FLAGS)
    return _console


def claim_stdout() -> IO[str]:
    """A private stream to the real stdout; everything else written there goes to stderr from now on.

    Of the processes of torchrun the first one alone has results.
    """
    sys.stdout.flush()
    results = os.fdopen(
        os.open(os.devnull, os.O_WRONLY) if rank() else os.dup(1), "w", encoding="utf-8", errors="backslashreplace"
    )
    os.dup2(2, 1)
    return results


def open_streams() -> None:
    """Streams that the caller closed lead nowhere: no file that is opened later is taken for one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(number), "w" if number else "r", encoding="utf-8", errors="backslashreplace"))


def rank() -> int:
    """Number of this process among those of torchrun, 0 without it."""
    text = os.environ.get("RANK", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def failed(sentence: str, code: int, error: Exception | None = None) -> None:
    """Say why a command ended: a sentence on stderr, a traceback before it with --debug, the object on stdout with --json."""
    if FLAGS.debug and error is not None:
        traceback.print_exception(error)
    console().error(sentence)
    if FLAGS.json:
        console().result({"status": "failed", "error": sentence, "exit_code": code}, "")


def _bars(human: "RichConsole") -> "RichProgress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    name, note = TextColumn("{task.description}"), TextColumn("[dim]{task.fields[note]}")
    return Progress(
        name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), note, console=human, transient=True
    )


def _plain(text: str) -> str:
    """Text that rich must not read as markup, nor a terminal as a command."""
    from rich.markup import escape

    return escape(visible(text))


def visible(text: str, lines: bool = False) -> str:
    """Foreign text with the signs that steer a terminal or turn its order written out; line breaks too without `lines`."""
    return STEERING.sub(lambda match: match[0] if lines and match[0] == "\n" else ascii(match[0])[1:-1], text)


def _json(value: Any) -> Any:
    """JSON values of `value`; a number that JSON cannot say (nan, infinite) becomes null."""
    from pipelines.core.files import plain

    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else _json(plain(value))
