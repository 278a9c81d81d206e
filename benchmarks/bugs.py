"""What real people's files do: the cases of ../shared/bugs, each run as its commands and judged by what it must leave.

    python benchmarks/bugs.py --folder /tmp/bugs [--avatar anna.avatar] [--face anna.avatar] [--only 01,24b]

`../shared/bugs/make.py` writes the inputs once; without --avatar a small one is trained on the demo's clip (minutes). One case
reads the rendered face: where --avatar is a toy, --face names an avatar that shows one. The
checks stand in bugs_media.py, bugs_devices.py and bugs_motion.py. Prints a row a case as it goes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "bugs"
LIMIT_S = 600
QUICK = ("size=128", "self_check=false")
SMALL = (
    "capture.frames.max_frames=32", "cameras.method=landmarks", "finetune.steps=24", "finetune.batch=2", "pairs.count=60",
    "expression_map.steps=80", "self_check=false",
)  # fmt: skip
"""Settings of the small avatar."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return " ".join((self.out + self.err).split())


@dataclass(kw_only=True)
class Film:
    """What a written film holds, decoded to its end."""

    frames: int
    rate: float
    seconds: float
    size: tuple[int, int]
    codec: str
    sounds: list[dict[str, Any]]
    """codec, rate, channels, seconds and mean volume (dB of full scale) of each audio stream."""


@dataclass(kw_only=True)
class Try:
    """One case at work: runs commands in the case's own folder and notes what is wrong."""

    inputs: Path
    avatar: Path
    face: Path
    """An avatar whose renders show a face."""
    results: Path
    problems: list[str] = field(default_factory=list)

    def expect(self, good: bool, words: str) -> bool:
        if not good:
            self.problems.append(words)
        return good

    def run(self, *words: object, cwd: Path | None = None, code: int | tuple[int, ...] | None = 0) -> Ended:
        """`avatarcli WORDS`; another exit code than `code` is a problem, and so are an internal error or anything half-made."""
        command = [sys.executable, "-P", "-m", "avatarcli", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        try:
            done = subprocess.run(
                command, cwd=cwd or self.inputs, env=env, capture_output=True, text=True, timeout=LIMIT_S,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self.problems.append(f"not ended after {LIMIT_S} s: {' '.join(map(str, words))}")
            return Ended(code=-1, out="", err="")
        ended = Ended(code=done.returncode, out=done.stdout, err=done.stderr)
        codes = (code,) if isinstance(code, int) else code
        last = (done.stderr.strip().splitlines() or [""])[-1]
        self.expect(codes is None or done.returncode in codes, f"exit code {done.returncode}: {last}")
        self.expect("fault of avatarcli" not in ended.text, f"an internal error: {last}")
        return ended

    def drive(
        self, video: str, out: str, *more: str, code: int | tuple[int, ...] | None = 0, cwd: Path | None = None,
        avatar: Path | None = None,
    ) -> Ended:  # fmt: skip
        """The avatar driven by an input (`video` is a name as the user gives it, from `cwd` on)."""
        name = video if cwd else str(self.inputs / video)
        sets = [f"--set={text}" for text in QUICK]
        given = out if cwd and "/" not in out and out.startswith("=") else str(self.results / out)
        words = (
            "drive",
            avatar or self.avatar,
            f"--video={name}",
            "-o",
            given.removeprefix("="),
            "--device",
            "cpu",
            *sets,
            *more,
        )
        return self.run(*words, cwd=cwd, code=code)

    def check(self, name: str, *, cwd: Path | None = None) -> Ended:
        """`capture --check` of an input; 0 and 4 are verdicts."""
        return self.run("capture", name if cwd else self.inputs / name, "--check", cwd=cwd, code=(0, 4))

    def checked(self, name: str) -> dict[str, Any]:
        """The figures of `capture --check` of an input."""
        done = self.run("capture", self.inputs / name, "--check", "--json", code=(0, 4))
        lines = [line for line in done.out.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]).get("figures", {}) if self.expect(bool(lines), "the check prints no JSON") else {}

    def film(self, out: str, *, frames: tuple[int, int] | int = 0, rate: float = 0, sound: str | None = "any") -> Film | None:
        """The film `out`, frames and rate compared; `sound`: codec of the one stream that must be heard, None for none."""
        path = Path(out) if Path(out).is_absolute() else self.results / out
        if not self.expect(path.is_file(), f"{out} is not there"):
            return None
        film = read_film(path)
        low, high = frames if isinstance(frames, tuple) else (frames, frames)
        self.expect(not frames or low <= film.frames <= high, f"{out} has {film.frames} frames, not {frames}")
        self.expect(not rate or abs(film.rate - rate) < 0.02 * rate, f"{out} has {film.rate:.2f} frames/s, not {rate}")
        if sound is None:
            self.expect(not film.sounds, f"{out} has sound")
        elif sound != "any":
            codecs = [stream["codec"] for stream in film.sounds]
            self.expect(codecs == [sound], f"{out} has the sound streams {codecs}, not one of {sound}")
            self.expect(all(stream["mean_db"] > -40 for stream in film.sounds), f"{out} is silent")
        return film

    def rows(self, out: str) -> list[dict[str, str]]:
        """The rows of a CSV among the results."""
        import csv

        path = self.results / out
        if not self.expect(path.is_file(), f"{out} is not there"):
            return []
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def states(self, out: str) -> list[str]:
        """State of each row of a driven film's table."""
        return [row["state"] for row in self.rows(out)]

    def says(self, ended: Ended, pattern: str) -> bool:
        return self.expect(bool(re.search(pattern, ended.text, re.I)), f"nothing said like {pattern!r}")

    def never_says(self, ended: Ended, pattern: str) -> bool:
        return self.expect(not re.search(pattern, ended.text, re.I), f"says {pattern!r}")


def read_film(path: Path) -> Film:
    """Everything decoded: counts and lengths are what a player shows, not what headers claim."""
    import av
    import numpy as np

    with av.open(str(path.resolve())) as box:
        stream = box.streams.video[0]
        times = [frame.time or 0.0 for frame in box.decode(stream)]
        rate, size = float(stream.average_rate or 0), (stream.width, stream.height)
        codec, count = stream.codec_context.name, len(box.streams.audio)
    sounds = []
    for number in range(count):
        with av.open(str(path.resolve())) as box:
            audio = box.streams.audio[number]
            signal = np.concatenate(
                [frame.to_ndarray().astype(np.float64).mean(0) for frame in box.decode(audio)] or [np.zeros(1)]
            )
            mean_db = 10 * float(np.log10(np.square(signal).mean() + 1e-12))
            sounds.append({"codec": audio.codec_context.name, "rate": audio.rate, "channels": audio.channels,
                           "seconds": len(signal) / audio.rate, "mean_db": mean_db})  # fmt: skip
    seconds = times[-1] - times[0] + 1 / rate if times and rate else 0.0
    return Film(frames=len(times), rate=rate, seconds=seconds, size=size, codec=codec, sounds=sounds)


def small_avatar(folder: Path) -> Path:
    """An avatar of the demo's clip, trained for some steps; made once."""
    clips, out = ROOT / "avatarcli" / "demo_clips", folder / "small"
    if not (out / "capture.avatar" / "avatar.json").exists():
        words = ["run", clips / "capture.mp4", "-o", out, "--device", "cpu", *(f"--set={text}" for text in SMALL)]
        driver = next(path for path in sorted(clips.iterdir()) if path.name.startswith("driv"))
        command = [sys.executable, "-P", "-m", "avatarcli", *map(str, words), "--drive", str(driver)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL)
    return out / "capture.avatar"


def run_case(
    name: str, check: Callable[[Try], None], inputs: Path, avatars: tuple[Path, Path], results: Path
) -> dict[str, Any]:
    """Passed or not, what was wrong, and the seconds; results of an earlier try are removed first."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    (avatar, face), start = avatars, time.perf_counter()
    at_work = Try(inputs=inputs, avatar=avatar, face=face, results=results)
    check(at_work)
    left = [path.name for path in results.glob("*.partial")]
    at_work.expect(not left, f"left behind: {', '.join(left)}")
    return {"id": name, "passed": not at_work.problems, "problems": at_work.problems,
            "seconds": round(time.perf_counter() - start, 1)}  # fmt: skip


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    import bugs_devices  # type: ignore[import-not-found]  # noqa: F401 - fills the table
    import bugs_motion  # type: ignore[import-not-found]  # noqa: F401 - fills the table
    from bugs_media import CHECKS  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="Folder of the inputs, made when it is empty.")
    parser.add_argument("--avatar", type=Path, help="An avatar folder; without it a small one is trained.")
    parser.add_argument("--face", type=Path, help="An avatar that shows a face, where --avatar does not.")
    parser.add_argument("--only", default="", help="Ids with commas between; an id's beginning means all that begin so.")
    parser.add_argument("--results", type=Path, help="Folder of the results; FOLDER-results without it.")
    options(parser)
    words = parser.parse_args()
    run = Run.of("bugs", words)
    inputs = words.folder.resolve()
    if not inputs.is_dir() or not any(inputs.iterdir()):
        subprocess.run([sys.executable, str(SHARED / "make.py"), str(inputs)], check=True)
    ids = [case["id"] for case in tomllib.loads((SHARED / "cases.toml").read_text())["case"]]
    assert set(ids) == set(CHECKS), f"without a check: {set(ids) ^ set(CHECKS)}"
    results = (words.results or inputs.with_name(inputs.name + "-results")).resolve()
    results.mkdir(parents=True, exist_ok=True)
    avatar = words.avatar.resolve() if words.avatar else small_avatar(results)
    avatars = avatar, words.face.resolve() if words.face else avatar
    starts = tuple(words.only.split(",")) if words.only else ("",)
    print("| case | passed | seconds | what was wrong |\n|---|---|---|---|", flush=True)
    rows = []
    for name in (name for name in ids if name.startswith(starts)):
        rows.append(run_case(name, CHECKS[name], inputs, avatars, results / name))
        row = rows[-1]
        print(f"| {name} | {'yes' if row['passed'] else 'NO'} | {row['seconds']} | {'; '.join(row['problems'])} |", flush=True)
    figures: dict[str, Any] = {"passed": sum(row["passed"] for row in rows), "of": len(rows)}
    run.finish(
        figures | {row["id"]: row for row in rows},
        headline={"cases passed": "passed", "of": "of"},
        inputs=[SHARED / "cases.toml"],
    )


if __name__ == "__main__":
    main()
