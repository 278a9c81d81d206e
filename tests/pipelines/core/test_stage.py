"""The stage protocol: done once, continued after a kill, never half there."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.errors import MissingTool, SettingError, UnusableMaterial
from pipelines.core.files import read_json, sha256_file, sha256_json, write_json, write_text
from pipelines.core.stage import BESIDE, CHECKPOINT, Report, run_stage, side_stem, step
from tests.material import ROOT


def make(out: Path, source: Path, settings: object = None, overwrite: bool = False, calls: list[str] | None = None):
    def work(partial: Path) -> dict[str, int]:
        if calls is not None:
            calls.append("work")
        step(
            partial,
            "copy",
            lambda: write_text(partial / "copy.txt", source.read_text()) or {"letters": len(source.read_text())},
        )
        return {"answer": 42}

    return run_stage("copying", version=1, inputs={"text": source}, settings=settings, out=out, work=work, overwrite=overwrite)


def test_same_question_is_answered_once(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")
    calls: list[str] = []
    first = make(tmp_path / "out", source, calls=calls)
    second = make(tmp_path / "out", source, calls=calls)
    assert (first.status, second.status, calls) == ("done", "unchanged", ["work"])
    assert first.figures == second.figures == {"answer": 42}
    assert not (tmp_path / "out.partial").exists()


def test_copied_input_keeps_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("hello")
    os.utime(tmp_path / "elsewhere" / "b.txt", (1, 1))
    assert (
        make(tmp_path / "x", tmp_path / "a.txt").fingerprint
        == make(tmp_path / "y", tmp_path / "elsewhere" / "b.txt").fingerprint
    )


def test_other_settings_do_not_overwrite_unasked(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")
    make(tmp_path / "out", source, settings=1)
    with pytest.raises(SettingError, match="--overwrite"):
        make(tmp_path / "out", source, settings=2)
    assert make(tmp_path / "out", source, settings=2, overwrite=True).status == "done"


def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingError, match="was not made by"):
        make(tmp_path / "out", source, overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_missing_input_names_it(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="nothing.txt does not exist"):
        make(tmp_path / "out", tmp_path / "nothing.txt")


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.core.files import write_text
from pipelines.core.stage import run_stage, step
base = Path(sys.argv[1])
def first(partial):
    with (base / "log").open("a") as log: log.write("first\\n")
    return {}
def work(partial):
    step(partial, "first", lambda: first(partial))
    if sys.argv[2] == "die": os.kill(os.getpid(), signal.SIGKILL)
    write_text(partial / "done.txt", "yes")
    return {}
run_stage("killed", version=1, inputs={"a": base / "a"}, settings=None, out=base / "out", work=work)
"""


def test_kill_leaves_no_output_and_the_next_run_continues(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "die"], env=environment)
    assert died.returncode == -signal.SIGKILL and not (tmp_path / "out").exists()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "live"], env=environment, check=True)
    assert (tmp_path / "out" / "done.txt").read_text() == "yes"
    assert (tmp_path / "log").read_text() == "first\n"
    assert "first" in read_json(tmp_path / "out" / "stage.json")["seconds"]


def test_what_a_kill_left_half_written_is_not_published(tmp_path: Path) -> None:
    source, partial = tmp_path / "in.txt", tmp_path / "out.partial"
    source.write_text("x")

    def work(folder: Path) -> dict[str, int]:
        write_text(folder / "part.txt", "whole")
        if not (folder / "second").exists():
            (folder / "second").mkdir()
            for name in (".generator.18076.safetensors", "second/.000000.77.png", "second/.part.5", ".kept"):
                (folder / name).write_text("half")
            raise RuntimeError("killed here")
        return {}

    for _ in range(2):
        with contextlib.suppress(RuntimeError):
            run_stage("made", version=1, inputs={"in": source}, settings=None, out=tmp_path / "out", work=work)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"part.txt", "stage.json", ".kept"} and not partial.exists()


def test_file_output_has_its_record_beside_it(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")
    out = tmp_path / "out.mp4"

    def work(partial: Path) -> dict[str, int]:
        (partial / "out.mp4").write_bytes(b"video")
        return {}

    for expected in ("done", "unchanged"):
        assert run_stage("v", version=1, inputs={"t": source}, settings=None, out=out, work=work).status == expected
    assert out.read_bytes() == b"video" and read_json(tmp_path / "out.json")["stage"] == "v"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out.json", "out.mp4"]


def test_unusable_material_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")

    def work(partial: Path) -> dict[str, int]:
        write_text(partial / "half.txt", "half")
        raise UnusableMaterial("no face")

    with pytest.raises(UnusableMaterial, match="no face"):
        run_stage("s", version=1, inputs={"t": source}, settings=None, out=tmp_path / "out", work=work)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_another_question_starts_from_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")

    def fails(partial: Path) -> dict[str, int]:
        write_text(partial / "old.txt", "old")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_stage("s", version=1, inputs={"t": source}, settings=1, out=tmp_path / "out", work=fails)
    assert (tmp_path / "out.partial" / "old.txt").exists()
    run_stage("s", version=1, inputs={"t": source}, settings=2, out=tmp_path / "out", work=lambda partial: {})
    assert not (tmp_path / "out" / "old.txt").exists()


def test_a_json_beside_a_video_is_not_replaced(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("hello")
    (tmp_path / "out.json").write_text('{"my": "notes"}')
    with pytest.raises(SettingError, match="not made by avatarcli"):
        make(tmp_path / "out.mp4", source)
    assert (tmp_path / "out.json").read_text() == '{"my": "notes"}'


def test_two_videos_of_one_stem_have_a_record_each(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("x")

    def video(name: str, overwrite: bool = False) -> str:
        out, table = tmp_path / name, f"{side_stem(tmp_path / name)}.csv"

        def work(partial: Path) -> dict[str, int]:
            (partial / name).write_text(name)
            write_text(partial / BESIDE / table, name)
            return {}

        return run_stage(
            "drive", version=1, inputs={"in": source}, settings=None, out=out, work=work, overwrite=overwrite, beside=[table]
        ).status

    names = ("v.MP4", "v.mov", "v.mp4")
    (tmp_path / "v.webm").write_text("a film of the user's")
    assert [video(name) for name in names] == ["done"] * 3
    assert [video(name) for name in names] == ["unchanged"] * 3
    for name, beside in zip(names, ("v", "v.mov", "v.mp4"), strict=True):
        assert read_json(tmp_path / f"{beside}.json")["out"] == (tmp_path / f"{beside}.csv").read_text() == name
    record = read_json(tmp_path / "v.json")
    write_json(tmp_path / "v.json", {key: value for key, value in record.items() if key != "out"})  # of an earlier version
    assert [video(name) for name in names] == ["unchanged"] * 3
    (tmp_path / "v.MP4").unlink()
    assert [video(name) for name in names[1:]] == ["unchanged"] * 2, "each keeps its own"


def test_files_beside_a_video_are_ours_even_after_a_kill_while_they_were_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("hello")

    def make_video(text: str, overwrite: bool = False):
        def work(partial: Path) -> dict[str, int]:
            def write() -> dict[str, int]:
                for name in ("beside/v.csv", "v.mp4"):
                    write_text(partial / name, text)
                return {}

            return step(partial, "all", write)

        inputs, settings = {"text": tmp_path / "a.txt"}, {"text": text}
        return run_stage("film", version=1, inputs=inputs, settings=settings, out=tmp_path / "v.mp4", work=work,
                         overwrite=overwrite, beside=["v.csv"])  # fmt: skip

    honest = os.replace

    def killed(source: Path, target: Path) -> None:
        honest(source, target)
        if Path(target) == tmp_path / "v.csv":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        make_video("one")
    monkeypatch.setattr(os, "replace", honest)
    assert make_video("one").status == "done" and (tmp_path / "v.mp4").read_text() == "one"
    assert read_json(tmp_path / "v.json")["beside"] == ["v.csv"]
    make_video("two", overwrite=True)
    assert (tmp_path / "v.csv").read_text() == "two" and not (tmp_path / "v.mp4.partial").exists()


def made(folder: Path, settings: object = 1, *, overwrite: bool = False, name: str = "out", **files: str) -> Report:
    """A result of one file `a` and more, by their names."""

    def work(partial: Path) -> dict:
        for path, text in ({"a": "ours"} | files).items():
            write_text(partial / path.replace("__", "/"), text)
        return {}

    (folder / "in").write_text("x")
    inputs, out = {"t": folder / "in"}, folder / name
    return run_stage("s", version=1, inputs=inputs, settings=settings, out=out, work=work, overwrite=overwrite)


def test_a_result_holds_no_lock_and_lists_its_files(tmp_path: Path) -> None:
    made(tmp_path, sub__b="ours")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "sub", "stage.json"}
    assert read_json(tmp_path / "out" / "stage.json")["files"] == ["a", "stage.json", "sub/b"]


def test_what_the_user_put_into_a_result_moves_along(tmp_path: Path) -> None:
    made(tmp_path, sub__b="ours", old="ours")
    for name in ("notes.txt", "sub/mine.txt", "new"):
        (tmp_path / "out" / name).write_text("mine")
    made(tmp_path, 2, overwrite=True, new="ours")
    out = tmp_path / "out"
    texts = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert texts.pop("stage.json") and texts == {
        "a": "ours", "new": "ours", "notes.txt": "mine", "sub/mine.txt": "mine", "kept/new": "mine",
    }  # fmt: skip
    assert not (tmp_path / "out.replaced").exists()


def test_results_without_a_list_lose_nothing_either(tmp_path: Path) -> None:
    made(tmp_path, old="ours")
    record = tmp_path / "out" / "stage.json"
    record.write_text(json.dumps({name: value for name, value in read_json(record).items() if name != "files"}))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    made(tmp_path, 2, overwrite=True)
    kept = tmp_path / "out" / "kept"
    assert (kept / "notes.txt").read_text() == "mine" and (kept / "old").exists() and not (kept / "a").exists()


def test_an_end_while_a_result_is_replaced_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    monkeypatch.setattr("pipelines.core.stage._carry_over", lambda out: None)
    made(tmp_path, 2, overwrite=True)
    assert (tmp_path / "out.replaced" / "notes.txt").exists() and not (tmp_path / "out" / "notes.txt").exists()
    monkeypatch.undo()
    assert made(tmp_path, 2).status == "unchanged"
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine" and not (tmp_path / "out.replaced").exists()
    (tmp_path / "out.replaced").mkdir()
    with pytest.raises(SettingError, match="out.replaced was not made by avatarcli"):
        made(tmp_path, 3, overwrite=True)


def test_links_are_not_written_through(tmp_path: Path) -> None:
    foreign = tmp_path / "thesis.txt"
    foreign.write_text("years")
    for place in (".lock", "asked.json", "steps", "sub/a"):
        partial = tmp_path / "out.partial"
        (partial / place).parent.mkdir(parents=True)
        (partial / place).symlink_to(foreign)
        with pytest.raises(SettingError, match="link"):
            made(tmp_path)
        shutil.rmtree(partial)
    (tmp_path / "out.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingError, match="not made by avatarcli"):
        made(tmp_path)
    (tmp_path / "v.json").symlink_to(foreign)
    with pytest.raises(SettingError, match=r"v\.json was not made by avatarcli"):
        made(tmp_path, name="v.mp4")
    assert foreign.read_text() == "years" and not (tmp_path / "elsewhere").exists()


def test_an_output_that_is_a_link_is_refused_at_once(tmp_path: Path) -> None:
    made(tmp_path, name="real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert made(tmp_path).status == "unchanged"
    with pytest.raises(SettingError, match="out is a link; give the path it points to"):
        made(tmp_path, 2, overwrite=True)
    assert (tmp_path / "real" / "a").exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"stage": 3}', "x" * 100])
def test_a_record_that_is_none_belongs_to_somebody_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stage.json").write_text(text)
    with pytest.raises(SettingError, match="was not made by `s`"):
        made(tmp_path, overwrite=True)
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(SettingError, match="was not made by avatarcli"):
        made(tmp_path, name="v.mp4")
    assert (tmp_path / "v.json").read_text() == text


@pytest.mark.parametrize("error", [SettingError("no"), MissingTool("no"), UnusableMaterial("no")])
def test_a_refusal_leaves_nothing_but_what_may_go_on(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "in").write_text("x")

    def fails(partial: Path) -> dict:
        raise error

    for begun in (False, True):
        if begun:
            (tmp_path / "out.partial").mkdir()
            known = sha256_json(["s", 1, 1, {"t": sha256_file(tmp_path / "in")}])
            (tmp_path / "out.partial" / "asked.json").write_text(json.dumps({"fingerprint": known}))
        with pytest.raises(type(error)):
            run_stage("s", version=1, inputs={"t": tmp_path / "in"}, settings=1, out=tmp_path / "out", work=fails)
        kept = begun and not isinstance(error, UnusableMaterial)
        assert (tmp_path / "out.partial").exists() == kept


def test_a_refusal_never_costs_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")

    def fails(partial: Path) -> dict:
        (partial / CHECKPOINT).write_bytes(b"hours of training")
        raise UnusableMaterial("the 9th picture is broken.")

    with pytest.raises(UnusableMaterial):
        run_stage("s", version=1, inputs={"t": tmp_path / "in"}, settings=1, out=tmp_path / "out", work=fails)
    assert (tmp_path / "out.partial" / CHECKPOINT).read_bytes() == b"hours of training"
