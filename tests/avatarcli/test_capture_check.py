import json
from pathlib import Path

from avatarcli.capture import page_of
from pipelines.media.encoder import write_video
from pipelines.report import html
from tests.avatarcli.cli import avatarcli
from tests.folders import drawn
from tests.material import DEMO


def test_the_guide_needs_no_footage() -> None:
    done = avatarcli("capture", "--guide")
    assert done.returncode == 0 and "What to film" in done.stdout
    steps = json.loads(avatarcli("capture", "--guide", "--json").stdout)["guide"]["steps"]
    assert len(steps) > 8 and steps[0]["seconds"] > 0


def test_footage_that_is_unusable_is_exit_4_with_its_object(tmp_path: Path) -> None:
    video = tmp_path / "wall.mp4"
    write_video(video, (drawn(128, 0.0)[1][..., None].repeat(3, 2) for _ in range(20)), 10)
    done = avatarcli("capture", video, "--check", "--json")
    assert done.returncode == 4, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema"], found["verdict"], found["advice"][0]["weight"]) == (1, "unusable", "stop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wall.mp4"]


def test_usable_footage_is_exit_0_and_its_page_is_written_on_request(tmp_path: Path) -> None:
    done = avatarcli("capture", DEMO, "--check", "-o", tmp_path / "look")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in ("good", "usable") and "mouth open, s" in done.stdout
    assert "left eye shut" in done.stdout and "look down" in done.stdout
    page = (tmp_path / "look" / "report.html").read_text()
    assert "Movements" in page and "<td>lips shut</td>" in page and "data:image/jpeg" in page
    assert "Coverage" in page and "<script" not in page and str(tmp_path) not in page
    assert json.loads((tmp_path / "look" / "check.json").read_text())["verdict"] == done.stdout.splitlines()[-1]


def test_a_capture_without_footage_or_place_is_exit_2(tmp_path: Path) -> None:
    nothing, nowhere = avatarcli("capture"), avatarcli("capture", tmp_path / "x.mp4")
    assert (nothing.returncode, nowhere.returncode) == (2, 2)
    assert "--guide" in nothing.stderr and "-o" in nowhere.stderr


def test_pages_of_others_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<!doctype html><title>mine</title>")
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "check.json").write_text("[1, 2]")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "report.html").symlink_to(tmp_path / "mine.html")
    before = (tmp_path / "mine.html").read_bytes()
    for out, name in (("mine.html", "mine.html"), ("look", "check.json"), ("link", "report.html")):
        done = avatarcli("capture", tmp_path / "x.mp4", "--check", "-o", tmp_path / out)
        assert done.returncode == 2 and f"{name} was not made by avatarcli" in done.stderr, done.stderr
    assert (tmp_path / "mine.html").read_bytes() == before and (tmp_path / "look" / "check.json").read_text() == "[1, 2]"


def test_a_page_of_ours_is_renewed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(html.page("Check", "", []))
    assert page_of(page) == page
