"""An avatar from Python: pictures by numbers, and one sentence for what cannot be."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarcli import Avatar
from pipelines.artifacts.avatar_record import load_avatar_record, save_avatar_record
from pipelines.avatar.portrait import gray
from pipelines.avatar.view_limits import standpoints
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import write_image, write_json
from tests.avatarcli.cli import ROOT, environment
from tests.tiny import write_tiny_avatar

ASKED: dict[str, Any] = {"expression": {"jawOpen": 0.6}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "anna.avatar")


def test_the_command_line_stays_quick(folder: Path) -> None:
    """The package is imported without PyTorch, and knows its API all the same."""
    code = (
        "import sys, avatarcli; assert 'torch' not in sys.modules; from avatarcli import Avatar; assert 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_picture_by_numbers(folder: Path) -> None:
    anna = Avatar.load(folder)
    picture = anna.render(**ASKED, yaw_deg=10, size=64)
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, Avatar.load(str(folder)).render({"jawOpen": 0.6}, yaw_deg=10, size=64))
    views: list[dict[str, Any]] = [{"yaw_deg": 10}, ASKED, {**ASKED, "yaw_deg": 10, "pitch_deg": 9}]
    others = [anna.render(**view, size=64) for view in views]
    assert all((picture != other).any() for other in others)
    assert anna.render().shape == (256, 256, 3), "the avatar's 32 px, doubled"
    assert anna.render(size=48, background="transparent").shape == (48, 48, 4)


def test_it_is_the_picture_of_the_portrait(folder: Path) -> None:
    anna = Avatar.load(folder)
    avatar = anna.portrait.avatar
    scores = avatar.neutral.copy()
    jaw, smile = avatar.names.index("jawOpen"), avatar.names.index("mouthSmileLeft")
    scores[jaw] = avatar.high[jaw]
    scores[smile] = avatar.neutral[smile] + 0.5 * (avatar.low[smile] - avatar.neutral[smile])
    layers = anna.portrait.render(anna.portrait.scene(scores[None]), avatar.frontal, size=32, background=gray(32))
    found = anna.render({"jawOpen": 1, "mouthSmileLeft": -0.5}, size=32).astype(int)
    assert np.abs(found - layers.pixels()[0]).max() <= 1


def test_shoulders_stand_behind_the_head_unless_the_camera_goes_aside(folder: Path) -> None:
    save_avatar_record(folder, replace(load_avatar_record(folder), torso="still"))
    write_image(folder / "torso.png", np.full((16, 16, 4), (255, 0, 0, 255), np.uint8))
    write_json(folder / "torso.json", {"schema": 1, "frontal_from_torso": [[1, 0, 0], [0, 1, 0]]})
    anna, blue = Avatar.load(folder), {"size": 32, "background": "#0000ff"}
    corner = [anna.render(**view, **blue)[0, 0].tolist() for view in ({}, {"torso": False}, {"yaw_deg": 60})]
    assert corner[0][0] > 200 > corner[0][2] and all(color[2] > 200 > color[0] for color in corner[1:])


def test_the_camera_goes_to_the_persons_left_and_up(folder: Path) -> None:
    from pipelines.avatar.portrait import turned

    camera = turned(Avatar.load(folder).portrait.avatar.frontal, 20.0, 10.0)
    assert standpoints(camera.world_from_camera.numpy())[0] == pytest.approx((20.0, 10.0), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"expression": {"jawopen": 1}}, "no channel 'jawopen'; did you mean 'jawOpen'?"),
        ({"expression": {"wings": 1}}, "no channel 'wings'; it has"),
        ({"expression": {"jawOpen": float("nan")}}, "jawOpen=nan"),
        ({"expression": {"jawOpen": "wide"}}, "jawOpen='wide'"), ({"yaw_deg": float("inf")}, "yaw_deg=inf"),
        ({"size": 5}, "size=5"), ({"background": "nowhere.png"}, "nowhere.png"), ({"background": "#12"}, "#rrggbb"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_said(folder: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        Avatar.load(folder).render(**words)
    assert said in str(caught.value)


def test_no_avatar_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="nobody.avatar is not a folder; make an avatar with"):
        Avatar.load(tmp_path / "nobody.avatar")
