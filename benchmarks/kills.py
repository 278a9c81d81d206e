"""Does a run that is killed again and again go on, lose nothing and end with the same result?

    python benchmarks/kills.py --kills 60 [--only capture,train] [--seed 0]

capture, train, drive and batch run once undisturbed, with tiny inputs of the demo's clips. Then each is started, killed (the
one process, with SIGKILL) at a random moment, started again, killed again ..., and at last left alone. What it leaves is
compared with the undisturbed result: arrays, networks, pictures, decoded frames and tables, file by file. Nothing of the killed
ones may be running afterwards, and nothing half-made may be left. Prints a row a sequence and writes the record.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.record import Run, options  # noqa: E402
from pipelines.core.files import read_arrays, sha256_file  # noqa: E402
from pipelines.demo import demo_clips  # noqa: E402
from pipelines.media.encoder import write_video  # noqa: E402
from pipelines.media.video import read_frames  # noqa: E402

NEEDS = {"train": ("capture",), "drive": ("capture", "train")}
"""Whose undisturbed results a command works with."""
IN_A_ROW = 5
"""Kills before a run is left alone."""
EARLY = 0.6
"""Share of the undisturbed time within which a kill comes: runs that go on have less left to do."""
GONE_S = 5.0
"""Time in which the children of a killed process have to end."""
SAME = {".npz", ".safetensors", ".jpg", ".png", ".csv", ".mp4"}
"""Endings of files that are to be equal; others hold times."""
CACHE_KEY = re.compile(r"derived/[0-9a-f]{16}/")
CAPTURE = {"frames.max_frames": 26, "cameras.method": "landmarks"}
TRAIN = {
    "finetune.steps": 6, "finetune.batch": 1, "finetune.checkpoint_every": 2, "pairs.count": 20, "expression_map.steps": 20,
}  # fmt: skip
DRIVE = {"size": 64, "segment": 4, "track.chunk": 6, "self_check": "false"}


@dataclass(kw_only=True, eq=False)
class Command:
    """One command that is killed."""

    name: str
    words: list[str]
    results: list[str]
    """What it leaves in its folder."""
    seconds: float = 0.0
    wanted: dict[str, str] = field(default_factory=dict)


def settings(values: dict[str, Any]) -> list[str]:
    return [f"--set={name}={value}" for name, value in values.items()]


def inputs(folder: Path) -> None:
    """A film of three seconds, a driver of one and a half, and a file of jobs."""
    clips = demo_clips()
    for clip, name, rows in ((clips.capture, "me", range(0, 150, 5)), (clips.driver, "driver", range(0, 90, 5))):
        write_video(
            folder / f"{name}.mp4", (one.image for one in read_frames(clip, indices=set(rows), longest_side_px=320)), 10
        )
    tables = {"capture": CAPTURE, "train": TRAIN, "drive": {**DRIVE, "self_check": False}}
    lines = ["[[job]]", 'name = "me"', 'video = "me.mp4"', 'drive = "driver.mp4"']
    for stage, values in tables.items():
        lines += [f"[job.settings.{stage}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    (folder / "jobs.toml").write_text("\n".join(lines) + "\n")


def commands() -> list[Command]:
    return [
        Command(name="capture", words=["capture", "me.mp4", "-o", "k.capture", *settings(CAPTURE)], results=["k.capture"]),
        Command(name="train", words=["train", "me.capture", "-o", "k.avatar", *settings(TRAIN)], results=["k.avatar"]),
        Command(name="drive", words=["drive", "me.avatar", "--video", "driver.mp4", "-o", "k.mp4", *settings(DRIVE)],
                results=["k.mp4", "k.csv"]),
        Command(name="batch", words=["batch", "jobs.toml"], results=["out"]),
    ]  # fmt: skip


def start(folder: Path, words: list[str], mark: str) -> "subprocess.Popen[bytes]":
    """The command in a folder; `mark` is in the environment of everything that it starts."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "KILLS_MARK": mark}
    with (folder / "err.txt").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "avatarcli", *words, "--device=cpu"][: None if words[0] in ("train", "drive") else -1],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip


def alive(mark: str) -> list[int]:
    """Processes that carry a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [int(path.parent.name)] if f"KILLS_MARK={mark}".encode() in path.read_bytes() else []
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def orphans(mark: str) -> int:
    """Processes that are still there GONE_S after their parent was killed; they are ended."""
    until = time.monotonic() + GONE_S
    while (left := alive(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    for number in left:
        os.kill(number, 9)
    return len(left)


def contents(folder: Path, results: list[str]) -> dict[str, str]:
    """A hash of what each file says, by its relative path (a cache's folder without its key, which hashes times as well)."""
    files = [path for name in results for path in ((folder / name).rglob("*") if (folder / name).is_dir() else [folder / name])]
    names = {path: CACHE_KEY.sub("derived/", str(path.relative_to(folder))) for path in sorted(files) if path.suffix in SAME}
    return {name: content(path) for path, name in names.items()}


def content(path: Path) -> str:
    """Arrays and frames by their values: files may hold the time at which they were written."""
    if not path.is_file():
        return "missing"
    if path.suffix == ".npz":
        rows = [(name, str(value.dtype), value.shape, value.tobytes()) for name, value in sorted(read_arrays(path).items())]
        return hashlib.sha256(repr(rows).encode()).hexdigest()
    if path.suffix == ".mp4":
        whole = hashlib.sha256()
        for frame in read_frames(path):
            whole.update(f"{frame.time_s:.4f}".encode() + frame.image.tobytes())
        return whole.hexdigest()
    return sha256_file(path)


def clear(folder: Path, results: list[str]) -> None:
    """Remove what a sequence left."""
    for path in [path for name in results for path in folder.glob(f"{Path(name).stem}.*")] + [folder / "batch.json"]:
        if path.name not in ("me.mp4", "me.capture", "me.avatar"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(folder / "out", ignore_errors=True)


def undisturbed(folder: Path, command: Command) -> None:
    """Run it once; its length and what it leaves."""
    begun = time.perf_counter()
    process = start(folder, command.words, uuid.uuid4().hex)
    if process.wait():
        raise SystemExit(f"{command.name}: {(folder / 'err.txt').read_text()[-2000:]}")
    command.seconds, command.wanted = time.perf_counter() - begun, contents(folder, command.results)


def sequence(folder: Path, command: Command, most: int, chance: random.Random) -> dict[str, Any]:
    """Kills, and what was wrong after the last, undisturbed run."""
    clear(folder, command.results)
    kills, left = 0, 0
    while kills < most:
        mark = uuid.uuid4().hex
        process = start(folder, command.words, mark)
        try:
            process.wait(timeout=chance.uniform(0.0, EARLY * command.seconds))
            break  # it ended before its kill
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills, left = kills + 1, left + orphans(mark)
    code = start(folder, command.words, uuid.uuid4().hex).wait()
    found = contents(folder, command.results)
    differ = sorted(name for name in {*found, *command.wanted} if found.get(name) != command.wanted.get(name))
    parts = [str(path.relative_to(folder)) for path in folder.rglob("*.partial")]
    said = (folder / "err.txt").read_text(errors="replace").strip().splitlines()[-1:] if code else []
    return {"kills": kills, "code": code, "differ": differ, "left": parts, "orphans": left, "said": said}


def known_rows(journal: Path | None) -> list[dict[str, Any]]:
    """What the journal holds of earlier runs."""
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal and journal.exists() else []


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the sequences of one command."""
    return {
        "kills": sum(row["kills"] for row in rows), "runs": len(rows), "files": max(row["files"] for row in rows),
        "runs_that_failed": sum(row["code"] != 0 for row in rows), "orphans": sum(row["orphans"] for row in rows),
        "files_that_differ": sum(len(row["differ"]) for row in rows), "left_behind": sum(len(row["left"]) for row in rows),
        "undisturbed_s": max(row["undisturbed_s"] for row in rows), "commits": sorted({row["commit"] for row in rows}),
    }  # fmt: skip


def tried(
    folder: Path, command: Command, share: int, rows: list[dict[str, Any]], words: argparse.Namespace, commit: str
) -> None:
    """Sequences until a command was killed often enough, added to `rows` and the journal."""
    chance = random.Random(f"{words.seed} {command.name} {len(rows)}")
    while (rest := share - sum(row["kills"] for row in rows)) > 0:
        row = sequence(folder, command, min(IN_A_ROW, rest), chance)
        facts = {"files": len(command.wanted), "undisturbed_s": round(command.seconds, 1), "commit": commit}
        rows.append(row := {"command": command.name, **row, **facts})
        cells = [row["kills"], f"{row['code']} {' '.join(row['said'])}", row["differ"], row["left"], row["orphans"]]
        print("| " + " | ".join(map(str, [command.name, *cells])) + " |", flush=True)
        if words.journal:
            with words.journal.open("a") as stream:
                stream.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="Of all four commands together.")
    parser.add_argument("--only", default="", help="Commands with commas between; each has its share of the kills.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal", type=Path, help="File that keeps each sequence; those in it are not tried again.")
    options(parser)
    words = parser.parse_args()
    run, every = Run.of("kills", words), commands()
    rows = {command.name: [row for row in known_rows(words.journal) if row["command"] == command.name] for command in every}
    share = -(-words.kills // len(every))
    waiting = [one.name for one in every if (not words.only or one.name in words.only.split(","))
               and sum(row["kills"] for row in rows[one.name]) < share]  # fmt: skip
    print("| command | kills | exit code | files that differ | left behind | orphans |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs(folder)
        needed = {*waiting, *(before for name in waiting for before in NEEDS.get(name, ()))}
        for command in every:
            if command.name in needed:
                undisturbed(folder, command)
            for suffix in ("capture", "avatar"):
                if command.name in needed and command.results == [f"k.{suffix}"]:
                    shutil.copytree(folder / f"k.{suffix}", folder / f"me.{suffix}")
            if command.name in waiting:
                tried(folder, command, share, rows[command.name], words, run.commit)
    figures = {name: summary(found) for name, found in rows.items() if found}
    wrong = ("kills", "runs_that_failed", "files_that_differ", "orphans", "left_behind")
    total = {name: sum(one[name] for one in figures.values()) for name in wrong}
    run.finish(total | figures, headline={name.replace("_", " "): name for name in wrong[:4]})


if __name__ == "__main__":
    main()
