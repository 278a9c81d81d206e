"""What an avatar's record says of its expressions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.dataset import Dataset
from pipelines.face.expression import MEASURED
from pipelines.train.record import range_of
from tests.worlds import quick_view, write_solid_capture

LID = MEASURED.index("eyeBlinkLeft")


class Filmed:
    """A dataset of frontal training frames with given scores and gaps."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores
        self.world_from_camera = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (len(scores), 1, 1))

    def rows(self, split: str) -> np.ndarray:
        return np.arange(len(self.scores)) if split == "train" else np.arange(0)

    def expression(self, space: str) -> np.ndarray:
        return self.scores

    def openings(self) -> np.ndarray:
        return np.zeros((len(self.scores), 3))


@pytest.mark.parametrize(("blinks", "high"), [(0, 0.2), (1, 0.2), (2, 0.9), (5, 0.9)])
def test_a_blink_that_two_frames_show_is_in_the_range_and_one_may_be_a_mistake(blinks: int, high: float) -> None:
    rendered, filmed = np.zeros((200, len(MEASURED)), np.float32), np.zeros((120, len(MEASURED)), np.float32)
    rendered[::4, LID], filmed[: max(blinks, 0), LID] = 0.2, 0.9
    found: Dataset = Filmed(filmed)  # type: ignore[assignment]
    record = range_of("measured", rendered, found)
    assert record.high[LID] == pytest.approx(high) and record.low[LID] <= record.neutral[LID] <= record.high[LID]


def test_frames_that_are_turned_away_say_nothing(tmp_path: Path) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    turned = replace(dataset, world_from_camera=dataset.world_from_camera @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    rendered = np.random.default_rng(0).normal(0, 0.1, (200, len(MEASURED))).astype(np.float32)
    assert np.abs(np.array(range_of("measured", rendered, turned).high)).max() < 1
