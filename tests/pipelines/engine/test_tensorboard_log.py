"""Event files for TensorBoard: only where its package is there."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import MissingTool
from pipelines.engine import tensorboard_log
from pipelines.engine.tensorboard_log import EVENTS, EventLog


def test_without_the_package_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tensorboard_log, "find_spec", lambda name: None)
    with pytest.raises(MissingTool, match=r"pip install 'avatarcli\[tensorboard\]'"):
        EventLog(tmp_path, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs avatarcli[tensorboard]")
def test_figures_and_sheets_can_be_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore

    for first, last in ((0, 30), (20, 40)):  # the second run goes on from a checkpoint at 20
        shown = EventLog(tmp_path, first)
        for step in range(first + 10, last + 10, 10):
            shown.figures(step, {"image": step / 100, "heldout_psnr_head": 20.0 + first})
        shown.sheet(last, np.zeros((8, 16, 3), np.uint8))
        shown.close()
    found = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert set(found.Tags()["scalars"]) == {"training/image", "held out/psnr_head"}
    assert [one.step for one in found.Scalars("training/image")] == [10, 20, 30, 40], "what was beyond 20 is taken back"
    assert [one.value for one in found.Scalars("held out/psnr_head")] == [20, 20, 40, 40]
    assert [one.step for one in found.Images("samples")][-1] == 40
