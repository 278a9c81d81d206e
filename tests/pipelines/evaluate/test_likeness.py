"""Identity distances: to the filmed frame, to own frames, and between own frames."""

import numpy as np
import pytest

from pipelines.evaluate import likeness
from pipelines.evaluate.faces import Faces
from pipelines.evaluate.likeness import descriptions, median_distance
from pipelines.face.expression import MEASURED
from pipelines.face.recognition import MESH, OwnFaces, anchors


def faces(found: list[bool]) -> Faces:
    """Laid as the recognizer wants them."""
    count, points = len(found), np.zeros((478, 3))
    points[list(MESH), :2] = anchors()
    return Faces(found=np.array(found), points=np.stack([points] * count), opening=np.zeros(count),
                 expression=np.zeros((count, len(MEASURED))), pose=np.tile(np.eye(4), (count, 1, 1)))  # fmt: skip


@pytest.fixture(autouse=True)
def mean_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recognizer that describes a face by its mean color."""
    monkeypatch.setattr(likeness, "describe", lambda chips: np.stack([chip.reshape(-1, 3).mean(0) / 255 for chip in chips]))


def plain(*colors: tuple[float, float, float]) -> np.ndarray:
    return np.stack([np.broadcast_to(np.array(color, np.float32), (150, 150, 3)) for color in colors])


def test_distances_are_medians_over_what_both_show() -> None:
    truth = plain((1, 0, 0), (1, 0, 0), (1, 0, 0)), faces([True, True, False])
    shown = plain((1, 0, 0), (1, 0.6, 0.8), (0, 0, 0)), faces([True, True, True])
    own = np.array([[1.0, 0, 0], [1, 0, 1], [1, 0, 0.2]])
    filmed = OwnFaces(descriptions=own, time_s=np.array([0.0, 1.0, 3.0]))
    found = likeness.likeness({"avatar": shown}, truth, filmed)
    assert found["avatar"] == pytest.approx(0.5, abs=0.01)
    assert found["own_frames"] == pytest.approx((0.2 + 0.8) / 2), "the first two are of one scene"
    assert found["to_own_frames"]["avatar"] == pytest.approx(1.0, abs=0.01), "the median of nine"


def test_where_no_face_is_there_is_no_distance() -> None:
    rows = descriptions(plain((1, 0, 0), (0, 0, 1)), faces([False, True]))
    assert rows[0] is None and rows[1] == pytest.approx([0, 0, 1])
    assert median_distance([None, rows[1]], [rows[1], None]) is None
