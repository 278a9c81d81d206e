"""What a capture's record says about the movements that were filmed."""

import numpy as np

from pipelines.capture.dataset.filmed_movements import filmed_movements
from pipelines.capture.frames.scan import reason_code
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.movements import MOVEMENTS
from tests.pipelines.capture.heads import looking, project, scan_of

CANONICAL = canonical_landmarks()


def test_movements_are_counted_in_the_film_and_among_the_kept_frames() -> None:
    """Of 60 frames with lips apart six shut them; one of those cannot be used, two are kept."""
    points = project(looking(np.zeros(60)), CANONICAL)
    points[:, 14] = points[:, 13] + (0, 20)
    points[20:26, 14] = points[20:26, 13]
    seen = scan_of(points, rate_hz=30)
    seen.index[:] += 100
    seen.reason[25] = reason_code("blurred")
    rows, missing = filmed_movements(seen, seen.rows(np.array([3, 21, 22, 40])), CANONICAL)
    found = {row["movement"]: row for row in rows}
    assert [row["movement"] for row in rows] == [movement.name for movement in MOVEMENTS]
    assert found["lips shut"] == {
        "movement": "lips shut", "strongest": 100, "unit": "%", "frames": 5, "kept": 2, "example": 121
    }  # fmt: skip
    assert found["smile"]["frames"] == 0 and "example" not in found["smile"]
    assert missing.startswith("No frame shows shut eyes") and "shut lips" not in missing


def test_a_movement_that_was_filmed_and_not_kept_has_no_example() -> None:
    points = project(looking(np.zeros(40)), CANONICAL)
    points[:, 14] = points[:, 13] + (0, 20)
    points[20:26, 14] = points[20:26, 13]
    seen = scan_of(points, rate_hz=30)
    rows, _ = filmed_movements(seen, seen.rows(np.arange(10)), CANONICAL)
    lips = next(row for row in rows if row["movement"] == "lips shut")
    assert lips["frames"] == 6 and lips["kept"] == 0 and "example" not in lips


def test_pictures_without_a_face_show_no_movement() -> None:
    seen = scan_of(np.zeros((30, 478, 2)))
    seen.reason[:] = reason_code("no face")
    assert {row["frames"] for row in filmed_movements(seen, seen, CANONICAL)[0]} == {0}
