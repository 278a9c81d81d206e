"""The driver's track: chunks, holes, other rates."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.drive.motion import track as subject
from pipelines.drive.motion.track import filled, longest_loss_s, resampled, track_video, without_islands
from pipelines.drive.settings import TrackSettings
from pipelines.face.expression import MEASURED
from pipelines.face.track import Track
from pipelines.geometry.rigid import nearest_rotation
from pipelines.media.video import probe
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver

JAW = MEASURED.index("jawOpen")


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FaceTracker", ScriptedTracker)
    monkeypatch.setattr(ScriptedTracker, "started", 0)


def tracked(video: Path, folder: Path, chunk: int) -> Track:
    return track_video(probe(video), "measured", load_prior("quick").landmarks, TrackSettings(chunk=chunk), folder, Silent())


def test_expression_and_pose_follow_the_video(tmp_path: Path):
    jaw = 0.5 + 0.5 * np.sin(np.arange(30) / 3)
    found = tracked(write_driver(tmp_path / "a.mp4", jaw), tmp_path / "track", chunk=8)
    assert found.valid.all() and len(found.times_s) == 30 and found.rate_hz == pytest.approx(10)
    assert np.corrcoef(found.expression[:, JAW], jaw)[0, 1] > 0.999
    assert np.allclose(found.world_from_head[:, :3, 3], (0, 0, 2.5), atol=0.02)
    assert ScriptedTracker.started == 4 and len(list((tmp_path / "track").glob("*.npz"))) == 4


def test_a_killed_run_tracks_only_what_is_missing_and_ends_the_same(tmp_path: Path):
    video = write_driver(tmp_path / "a.mp4", np.linspace(0, 1, 30))
    whole = tracked(video, tmp_path / "track", chunk=8)
    (tmp_path / "track" / "000008.npz").unlink()
    ScriptedTracker.started = 0
    again = tracked(video, tmp_path / "track", chunk=8)
    assert ScriptedTracker.started == 1
    assert np.array_equal(whole.expression, again.expression) and np.array_equal(whole.world_from_head, again.world_from_head)


def test_short_losses_are_bridged_and_long_ones_held(tmp_path: Path):
    jaw = np.concatenate([np.full(10, 0.2), np.full(3, np.nan), np.full(10, 0.8), np.full(20, np.nan), np.full(10, 0.1)])
    found = tracked(write_driver(tmp_path / "a.mp4", jaw), tmp_path / "track", chunk=100)
    scores = found.expression[:, JAW]
    assert (~found.valid).sum() == 23 and longest_loss_s(found) == pytest.approx(2.0)
    assert scores[9] < scores[11] < scores[13]
    assert np.ptp(scores[23:37]) < 1e-3 and scores[37] == pytest.approx(scores[22], abs=1e-3)


def test_a_driver_without_a_face_is_refused_with_a_hint(tmp_path: Path):
    jaw = np.full(20, np.nan)
    jaw[3] = 0.5
    with pytest.raises(UnusableMaterial, match="1 of the 20 frames of a.mp4"):
        tracked(write_driver(tmp_path / "a.mp4", jaw), tmp_path / "track", chunk=8)


def test_filled_holds_then_moves_within_the_bridge():
    times, good = np.arange(7.0), np.array([True, False, False, False, False, True, True])
    values = np.array([[1.0], [9], [9], [9], [9], [3], [3]])
    assert filled(times, values, good, 2.0)[:, 0].tolist() == [1, 1, 1, 1, 2, 3, 3]
    assert filled(times, values, good, 10.0)[:, 0] == pytest.approx([1, 1.4, 1.8, 2.2, 2.6, 3, 3])


def test_resampling_an_uneven_track_keeps_its_clock():
    times = np.array([0.0, 0.1, 0.4, 0.5])
    track = Track(
        space="measured", names=("jawOpen",), rate_hz=8.0, times_s=times, expression=times[:, None].astype(np.float32),
        world_from_head=np.tile(np.eye(4), (4, 1, 1)), confidence=np.ones(4), valid=np.array([True, True, False, True]),
    )  # fmt: skip
    even = resampled(track, np.arange(6) / 10)
    assert even.expression[:, 0] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert even.valid.tolist() == [True, True, True, False, False, True]


def test_nearest_rotation_is_a_rotation():
    matrix = nearest_rotation(np.diag([1.0, 0.5, 2.0])[None] + 0.1)
    assert np.allclose(matrix @ matrix.transpose(0, 2, 1), np.eye(3)) and np.linalg.det(matrix[0]) == pytest.approx(1)


def test_a_face_for_one_frame_amid_long_losses_is_none():
    found = np.zeros(60, bool)
    found[:20], found[40], found[58:] = True, True, True
    kept = without_islands(found)
    assert kept[:20].all() and not kept[20:].any()
    found[38:41] = True
    assert without_islands(found)[38:41].all() and without_islands(np.array([0, 1, 0, 1, 1, 0, 1], bool)).sum() == 4
