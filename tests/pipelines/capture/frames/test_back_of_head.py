"""Frames without a face: which are asked for, and how they join those with one."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.colmap import acceptance, run
from pipelines.capture.dataset.alignment import RIGID, Alignment
from pipelines.capture.frames.back_of_head import MOST, candidates, insert, without
from pipelines.capture.frames.scan import REASONS, Scan
from pipelines.face.canonical import canonical_landmarks
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, looking, project, scan_of

HEAD = canonical_landmarks()
AS_IT_IS = Alignment(scale=1.0, rotation=np.eye(3), shift=np.zeros(3), rms_m=0.0)
YAW = np.linspace(-60, 180, 25)


def turned(rate_hz: float) -> tuple[Scan, Scan]:
    """A head that turns until its back is seen: what was seen, and the frames with a face."""
    seen = scan_of(project(looking(YAW), HEAD), rate_hz)
    seen.reason[np.abs(YAW) > 65] = REASONS.index("no face") + 1
    return seen, seen.rows(seen.usable)


def test_frames_without_a_face_are_asked_for_near_those_with_one() -> None:
    seen, chosen = turned(rate_hz=2.0)
    found = candidates(seen, chosen, is_given=False)
    assert list(found.index) == [13, 14, 15, 16, 17, 18]
    assert len(candidates(seen, chosen, is_given=True).index) == 0
    photos, of_photos = turned(rate_hz=1.0)
    assert len(candidates(photos, of_photos, is_given=False).index) == 12
    many = scan_of(np.zeros((300, 478, 2)), 100.0)
    many.reason[100:] = REASONS.index("no face") + 1
    assert len(candidates(many, many.rows(many.usable), is_given=False).index) == MOST


def test_they_join_in_the_order_of_time_with_the_points_of_the_head() -> None:
    seen, chosen = turned(rate_hz=1.0)
    asked = candidates(seen, chosen, is_given=False)
    poses, count = looking(YAW), len(chosen.index)
    solved = Candidate(
        method="colmap_scene", camera_from_world=poses[:count], focal_px=FOCAL_PX, points=HEAD[RIGID], error_px=np.ones(count),
        confidence=np.ones(count), faceless=np.array([15, 20]), faceless_from_world=poses[[15, 20]],
        faceless_confidence=np.array([0.7, 0.3]),
    )  # fmt: skip
    both, cameras = insert(chosen, asked, solved, AS_IT_IS, SIZE)
    assert list(both.index) == [*range(count), 15, 20] and not both.reason.any()
    assert np.allclose(cameras.camera_from_world[-2:], poses[[15, 20]])
    assert list(cameras.confidence[-2:]) == [0.7, 0.3]
    assert np.allclose(both.points[-2:, :, :2], project(poses[[15, 20]], HEAD), atol=1e-2)
    assert list(without(seen, both).index) == [13, 14, 16, 17, 18, 19, 21, 22, 23, 24]
    nobody = replace(solved, faceless=np.zeros(0, int))
    assert insert(chosen, asked, nobody, AS_IT_IS, SIZE)[0] is chosen


def test_one_that_sees_the_room_and_not_the_head_is_not_taken() -> None:
    poses, head, room = looking(YAW), np.random.default_rng(0).normal(0, 0.048, (60, 3)), np.full((200, 3), 0.96)
    found = acceptance.Model(
        rows=np.arange(3), camera_from_world=poses[:3], focal_px=FOCAL_PX, points=900, error_px=0.3, views=3,
        faceless={7: (poses[7], np.vstack([head, room])), 9: (poses[9], room), 8: (poses[8], head[:20])},
    )  # fmt: skip
    kept = acceptance._without_face(found, AS_IT_IS)
    assert list(kept["faceless"]) == [7, 8]
    assert kept["faceless_confidence"] == pytest.approx([0.7, 0.35])
    assert np.allclose(kept["faceless_from_world"][0], poses[7])


def test_they_are_matched_with_their_neighbors_in_time_and_around_the_turntable() -> None:
    found = run.joined_pairs([(0, 1)], np.array([10, 11, 12]), np.array([13, 14, 9]), 1)
    assert found == [(0, 1), (0, 5), (2, 3), (3, 4), (4, 5)]
