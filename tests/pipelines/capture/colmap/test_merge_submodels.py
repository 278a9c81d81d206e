"""Parts of an orbit, each in a world of its own, are joined; a wrong one is left out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.colmap.acceptance import Model
from pipelines.capture.colmap.merge_submodels import fit, joined
from tests.pipelines.capture.colmap.test_run import disturbed, inside_out, model, reference
from tests.pipelines.capture.heads import looking, rotation_error_deg

POSES = looking(np.linspace(-70, 70, 41), 6 * np.sin(np.linspace(0, 9, 41)))
FIRST, SECOND = np.arange(0, 24), np.arange(18, 41)


def part(rows: np.ndarray, scale: float, turn: tuple[float, float, float], poses: np.ndarray = POSES) -> Model:
    """A model of some rows in another world: X_world = scale R X_head + shift."""
    rotation, shift = Rotation.from_rotvec(turn).as_matrix(), np.array([0.4, -0.2, 1.1])
    moved = poses[rows].copy()
    moved[:, :3, :3] = poses[rows, :3, :3] @ rotation.T
    moved[:, :3, 3] = scale * poses[rows, :3, 3] - moved[:, :3, :3] @ shift
    return model(moved, rows=rows, views=len(POSES))


def rough() -> Candidate:
    """Landmark poses: right to two degrees."""
    return reference(disturbed(POSES))


def test_two_parts_that_share_views_become_one() -> None:
    found = joined([part(FIRST, 3.0, (0.3, -1.0, 0.2)), part(SECOND, 0.4, (-1.2, 0.1, 2.0))], rough())
    assert found is not None
    assert rotation_error_deg(found, POSES).max() < 0.05
    eyes, true = (np.linalg.inv(poses)[:, :3, 3] for poses in (found, POSES))
    assert np.linalg.norm(fit(found, POSES).to_other.points(eyes) - true, axis=1).max() < 1e-3


def test_parts_without_a_common_view_are_laid_over_the_landmark_poses() -> None:
    found = joined([part(FIRST, 3.0, (0.3, -1.0, 0.2)), part(np.arange(24, 41), 0.4, (-1.2, 0.1, 2.0))], rough())
    assert found is not None
    assert rotation_error_deg(found, POSES).max() < 1.2


@pytest.mark.parametrize("wrong", ["inside out", "elsewhere", "scattered"])
def test_a_wrong_part_is_left_out(wrong: str) -> None:
    poses = {"inside out": inside_out(POSES), "elsewhere": looking(np.linspace(70, -70, 41)), "scattered": POSES.copy()}[wrong]
    if wrong == "scattered":  # right turns, wrong places
        poses[:, 2, 3] *= np.where(np.arange(41) % 2, 0.85, 1.15)
    good, bad = part(FIRST, 3.0, (0.3, -1.0, 0.2)), part(SECOND, 0.4, (-1.2, 0.1, 2.0), poses)
    assert joined([good, bad], rough()) is None
    third = part(np.arange(20, 41), 1.5, (0.5, 0.5, 0.5))
    found = joined([good, bad, third], rough())
    assert found is not None and rotation_error_deg(found, POSES).max() < 0.05


def test_one_part_alone_is_nothing_to_join() -> None:
    assert joined([part(FIRST, 3.0, (0.3, -1.0, 0.2))], rough()) is None
    assert joined([part(FIRST, 3.0, (0.3, -1.0, 0.2)), part(FIRST[4:16], 2.0, (0.1, 0.0, 0.0))], rough()) is None


def test_the_worked_similarity() -> None:
    found = fit(part(FIRST, 3.0, (0.3, -1.0, 0.2)).camera_from_world, POSES[FIRST])
    assert found.to_other.scale == pytest.approx(1 / 3, rel=1e-6)
    assert found.turn_deg < 1e-4 and found.shift < 1e-6
