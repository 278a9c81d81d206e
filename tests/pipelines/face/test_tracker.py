"""Finding and following a face."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import MissingTool
from pipelines.face.expression import MEASURED, measure_expression
from pipelines.face.tracker import FaceTracker, without_chatter
from pipelines.media.video import read_frames
from tests.material import shared


def frames(clip: str, indices: range) -> list[np.ndarray]:
    return [frame.image for frame in read_frames(shared(f"clips/{clip}"), indices=set(indices))]


def test_no_face_in_an_empty_picture():
    with FaceTracker(video=True) as follow, FaceTracker(video=False) as find:
        for picture in (np.zeros((120, 200, 3), np.uint8), np.full((9, 7, 3), 128, np.uint8)):
            assert follow.track(picture) is None and find.track(picture) is None


def test_closing_twice_is_allowed():
    tracker = FaceTracker(video=True)
    tracker.close()
    tracker.close()


def test_another_file_is_not_taken_for_the_blendshape_model(tmp_path: Path):
    (tmp_path / "face_landmarker.task").write_bytes(b"something else")
    with pytest.raises(MissingTool, match="sha256"):
        FaceTracker(video=True, blendshapes=tmp_path / "face_landmarker.task")


def test_only_mediapipes_chatter_is_dropped_from_stderr(capfd: pytest.CaptureFixture[str]):
    with without_chatter():
        os.write(2, b"W0000 00:00:1795.3 5678 inference_feedback_manager.cc:114] Feedback manager requires\na real warning\n")
    assert capfd.readouterr().err == "a real warning\n"


def test_a_tracker_says_nothing_on_stderr():
    code = (
        "import numpy as np; from pipelines.face.tracker import FaceTracker\n"
        "with FaceTracker(video=True) as t: t.track(np.zeros((99, 99, 3), np.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_small_face_is_found_and_followed():
    images = frames("capture_phone_kitchen.mp4", range(0, 40, 2))
    with FaceTracker(video=True) as tracker:
        found = [tracker.track(image) for image in images]
    assert all(face is not None for face in found)
    wide = [face.box[2] - face.box[0] for face in found if face is not None]
    assert min(wide) > 0.08 * 1080 and max(wide) < 0.3 * 1080


def test_a_fresh_start_agrees_with_a_long_run():
    images = frames("drive_expressions.mp4", range(40))
    with FaceTracker(video=True) as tracker:
        long = [tracker.track(image) for image in images][-1]
    with FaceTracker(video=True) as tracker:
        fresh = tracker.track(images[-1])
    assert long is not None and fresh is not None
    width = long.box[2] - long.box[0]
    assert np.linalg.norm(long.points - fresh.points, axis=1).mean() < 0.01 * width


def test_two_runs_give_the_same_points():
    images = frames("drive_expressions.mp4", range(10))
    runs = []
    for _ in range(2):
        with FaceTracker(video=True) as tracker:
            runs.append([tracker.track(image) for image in images])
    assert all(a is not None and b is not None and np.array_equal(a.points, b.points) for a, b in zip(*runs, strict=True))


def test_a_render_of_128_pixels_gives_the_same_expression():
    canonical = load_prior("quick").landmarks
    images = frames("drive_expressions.mp4", range(0, 350, 14))
    with FaceTracker(video=False) as tracker:
        large = [tracker.track(image) for image in images]
        small = [tracker.track(cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)) for image in images]
    assert all(face is not None for face in [*large, *small])
    a, b = (
        np.array([measure_expression(face.points, canonical) for face in faces if face is not None]) for faces in (large, small)
    )
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileLeft"):
        column = MEASURED.index(name)
        assert np.corrcoef(a[:, column], b[:, column])[0, 1] > 0.9, name


def test_the_synthetic_capture_is_read_right():
    """Within one person near frontal: jaw and lids against the known weights (the scan of the whole clip takes longer)."""
    truth = np.load(shared("synth/capture/expression.npz"))
    names, weights = [str(name) for name in truth["names"]], truth["weights"]
    canonical, rows = load_prior("quick").landmarks, range(60, 122)
    with FaceTracker(video=True) as tracker:
        images = read_frames(shared("synth/capture/capture.mp4"), indices=set(rows))
        faces = [tracker.track(frame.image) for frame in images]
    assert all(face is not None for face in faces)
    scores = np.array([measure_expression(face.points, canonical) for face in faces if face is not None])
    pairs = {"jawOpen": ("jawOpen", 0.9), "eyeBlinkLeft": ("eyeBlink_L", 0.8), "browInnerUp": ("browInnerUp_L", 0.8)}
    for ours, (theirs, least) in pairs.items():
        found = np.corrcoef(scores[:, MEASURED.index(ours)], weights[60:122, names.index(theirs)])[0, 1]
        assert found > least, (ours, found)


def test_blendshapes_come_with_their_model():
    images = frames("drive_expressions.mp4", range(2))
    with FaceTracker(video=True, blendshapes=shared("weights/face_landmarker.task")) as tracker:
        face = [tracker.track(image) for image in images][-1]
    assert face is not None and face.blendshapes is not None
    assert len(face.blendshapes) == 52 and 0 <= face.blendshapes["jawOpen"] <= 1
