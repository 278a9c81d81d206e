import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.page import camera_angles, capture_report, check_report
from pipelines.core.files import read_json, write_json
from pipelines.evaluate.summary import verdict
from pipelines.train.page import avatar_report
from tests.folders import METRICS, opengl_pose


class Well(HTMLParser):
    """Complains about tags that are not closed in order."""

    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(text: str) -> None:
    """Whole, and nothing in it is fetched from elsewhere."""
    Well(text)
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "<script" not in text


def test_a_capture_is_told(capture_folder: Path) -> None:
    text = capture_report(capture_folder)
    check(text)
    assert "COLMAP registered 9 of 24 frames" in text
    assert text.count("data:image/jpeg;base64,") == 1 + 6
    assert "<td>blurred</td><td>2</td><td>0.0, 0.1</td>" in text
    assert "<td>cameras</td><td>22.5</td>" in text
    assert str(capture_folder.parent) not in text


def test_cameras_coverage_and_the_fate_of_frames_are_drawn(capture_folder: Path) -> None:
    text = capture_report(capture_folder)
    for title in (
        "Cameras from above",
        "Cameras from the left",
        "Frames by the side the head was seen from",
        "Frames over time",
    ):
        assert title in text
    assert "by side (degrees) and expression" in text and "Confidence of the mattes, last: 0.9" in text
    (capture_folder / "tracking.npz").unlink()
    assert "by side (degrees) and expression" not in capture_report(capture_folder)


def test_movements_are_shown_by_the_frame_that_shows_them_most(capture_folder: Path) -> None:
    known, frames = read_json(capture_folder / "capture.json"), read_json(capture_folder / "transforms.json")["frames"]
    row = {"strongest": 80, "unit": "%", "frames": 9, "kept": 3}
    rows = [
        {"movement": "smile", **row, "example": frames[2]["source_index"]}, {"movement": "pucker", **row},
        {"movement": "brows up", **row, "example": 987654},
    ]  # fmt: skip
    write_json(capture_folder / "capture.json", known | {"movements": rows})
    text = capture_report(capture_folder)
    check(text)
    assert "<td>smile</td><td>9</td><td>3</td><td>80 %</td><td><figure><img" in text
    assert "<td>pucker</td><td>9</td><td>3</td><td>80 %</td><td>–</td>" in text
    assert "<td>brows up</td><td>9</td><td>3</td><td>80 %</td><td>–</td>" in text


def test_what_could_be_better_comes_first_and_figures_have_names(capture_folder: Path) -> None:
    text = capture_report(capture_folder)
    assert text.index("What could be better") < text.index("<h2>Source</h2>") and text.count("<h2>Warnings</h2>") == 0
    assert "share of frames with a camera" in text and "rms_m" not in text
    known = read_json(capture_folder / "capture.json")
    write_json(
        capture_folder / "capture.json", known | {"sources": [{"file_name": "a.mov"}, {"file_name": "b.mov", "width": 8}]}
    )
    assert "<tr><td>b.mov</td><td>8</td></tr>" in capture_report(capture_folder)


def test_a_check_is_told() -> None:
    seconds = {"yaw_edges_deg": list(range(-180, 181, 30)), "seconds": [0.0] * 5 + [1.0] * 7, "inferred_s": [0.0] * 12}
    moments = [
        {
            "time_s": float(n),
            "state": "blurred" if n == 3 else "fine",
            "yaw_deg": float(n),
            "sharpness": 0.1,
            "brightness": 99.0,
        }
        for n in range(6)
    ]
    text = check_report(
        {
            "verdict": "usable", "file_names": ["<me>.mp4"], "figures": {"face_px": 300.0}, "timeline": moments,
            "advice": [{"about": "teeth", "weight": "film", "say": "Show your teeth."}],
            "coverage": {**seconds, "expressions_s": {"teeth": [0.0] * 12}},
            "movements": [{"movement": "smile", "strongest": 80, "unit": "%", "seconds": 0.2}],
        },
        {"smile": np.zeros((8, 8, 3), np.uint8)},
    )  # fmt: skip
    check(text)
    assert "<td>smile</td><td>0.2</td><td>80 %</td><td><figure><img" in text
    assert "To film: Show your teeth." in text and "Footage: usable" in text and ">blurred</text>" in text


def test_an_avatar_is_told(avatar_folder: Path) -> None:
    text = avatar_report(avatar_folder)
    check(text)
    assert "2.4 dB above the mean training frame" in text
    assert "the mouth opens &lt; little" in text
    assert "photometric" in text and "jawOpen" in text
    assert str(avatar_folder.parent) not in text


@pytest.mark.parametrize("report", [capture_report, avatar_report])
def test_what_is_missing_is_said(tmp_path: Path, report) -> None:  # noqa: ANN001
    text = report(tmp_path / "empty.partial")
    check(text)
    assert text.count("Not available.") >= 5
    assert "partial" not in text


@pytest.mark.parametrize(
    "name", ["transforms.json", "capture.json", "dataset.json", "stage.json", "contact.png", "mattes", "frames", "tracking.npz"]
)
def test_every_part_of_a_capture_may_be_missing(capture_folder: Path, name: str) -> None:
    (capture_folder / name).rename(capture_folder / "gone")
    check(capture_report(capture_folder))


@pytest.mark.parametrize("name", ["train_log.jsonl", "metrics.json", "plan.json", "avatar.json", "samples", "stage.json"])
def test_every_part_of_an_avatar_may_be_missing(avatar_folder: Path, name: str) -> None:
    (avatar_folder / name).rename(avatar_folder / "gone")
    check(avatar_report(avatar_folder))


def test_a_log_that_ends_in_half_a_line_is_not_shown(avatar_folder: Path) -> None:
    log = avatar_folder / "train_log.jsonl"
    log.write_text(log.read_text()[:-5])
    check(avatar_report(avatar_folder))


def test_worse_than_a_baseline_is_said_too() -> None:
    worse = {**METRICS, "avatar": {"psnr_head": 20.0}}
    assert "1.8 dB below the mean training frame" in verdict(worse)[0]
    assert verdict({}) == []


def test_angles_of_a_camera_to_the_right() -> None:
    yaw, pitch = camera_angles(np.stack([opengl_pose(np.radians(20.0))]))
    assert yaw[0] == pytest.approx(20)
    assert pitch[0] == pytest.approx(0)
