"""face-alignment where its weights are: it finds faces that mediapipe misses, and nothing is ever downloaded."""

import socket
from pathlib import Path

import numpy as np
import pytest

from pipelines.capture import CaptureSettings, capture
from pipelines.capture.cameras.candidate import CameraSettings
from pipelines.capture.frames.landmark_agreement import (
    NOT_ASKED,
    LandmarkAgreementSettings,
    compare,
    confidence_at,
    load_confidence,
)
from pipelines.capture.frames.scan import FrameSettings, Scan
from pipelines.core.errors import MissingTool
from pipelines.core.files import read_json, write_image
from pipelines.core.stage import Silent
from pipelines.face import alignment_backend
from pipelines.face.alignment_backend import MESH_OF_FAN, disagreement, fan, fan_file, second_detector
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.tracker import PATIENCE, FaceTracker
from pipelines.media.video import read_frames
from tests.material import DEMO, shared


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever opens a connection fails; nobody's own weights are seen."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("something asks for the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


class Blind:
    """Stands where mediapipe's detectors are and sees nothing."""

    detections = multi_face_landmarks = None

    def process(self, image: np.ndarray) -> "Blind":
        return self

    def close(self) -> None: ...


def kitchen(indices: set[int]) -> list[np.ndarray]:
    return [frame.image for frame in read_frames(shared("clips/capture_phone_kitchen.mp4"), indices=indices)]


def blinded(tracker: FaceTracker) -> FaceTracker:
    tracker._finder.close()
    tracker._detector.close()
    tracker._finder, tracker._detector = Blind(), Blind()
    return tracker


def test_without_weights_nobody_is_asked() -> None:
    assert second_detector() is None and fan() is None


def test_blazeface_finds_the_face_that_mediapipe_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(shared("weights/anchors.npy").parent))
    second, images = second_detector(), kitchen({0, 200})
    assert second is not None
    with FaceTracker(video=False) as usual, blinded(FaceTracker(video=False, second=second)) as blind:
        for image in images:
            there, found = usual.track(image), blind.track(image)
            assert there is not None and found is not None and (there.finder, found.finder) == ("mesh", "second")
            width = there.box[2] - there.box[0]
            assert np.linalg.norm(there.points - found.points, axis=1).mean() < 0.03 * width
        assert blind.track(np.full((200, 300, 3), 90, np.uint8)) is None


@pytest.mark.parametrize("name", ["blazeface.pth", "blazefaceback.pth"])
def test_each_of_the_two_models_is_enough(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for one in (name, "anchors.npy"):
        (folder / one).symlink_to(shared(f"weights/{one}"))
    second = second_detector()
    box = second(kitchen({0})[0]) if second is not None else None
    assert box is not None and 350 < (box[0] + box[2]) / 2 < 750 and 300 < (box[1] + box[3]) / 2 < 700


def test_another_file_is_not_taken_for_the_weights(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "anchors.npy").write_bytes(b"something else")
    with pytest.raises(MissingTool, match="sha256"):
        second_detector()


def test_the_slow_detector_is_asked_less_often_where_nobody_is() -> None:
    asked: list[int] = []
    blank = np.full((90, 120, 3), 90, np.uint8)
    with FaceTracker(video=True, second=lambda image: asked.append(1)) as tracker:
        for _ in range(5 * PATIENCE):
            assert tracker.track(blank) is None
    assert len(asked) == PATIENCE + 4


def test_constructors_that_want_to_download_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "3DFAN4-7835d9f11d.pth.tar"
    weights.write_bytes(b"")
    with pytest.raises(MissingTool, match="2DFAN4-11f355bf06.pth.tar, which is not on this machine; nothing is downloaded"):
        alignment_backend._fan(weights, "TWO_D")


def random_fan(name: str, tmp_path: Path) -> Path:
    """A network of random weights under the name of the real one, where face-alignment would keep it."""
    import torch
    from face_alignment.models import FAN

    torch.manual_seed(0)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = {"2DFAN4": "2DFAN4-11f355bf06.pth.tar", "3DFAN4": "3DFAN4-7835d9f11d.pth.tar"}[name]
    torch.save(FAN(4).state_dict(), folder / file)
    return folder / file


@pytest.mark.slow
def test_a_capture_asks_fan_about_turned_frames_and_trusts_them_less(tmp_path: Path) -> None:
    """From the film to the record, with random weights: what they say is nonsense, so every frame asked about counts least."""
    random_fan("3DFAN4", tmp_path)
    settings = CaptureSettings(
        frames=FrameSettings(max_frames=30), cameras=CameraSettings(method="landmarks"),
        landmark_agreement=LandmarkAgreementSettings(from_yaw_deg=5.0, most_frames=3),
    )  # fmt: skip
    out = capture(DEMO, tmp_path / "me.capture", settings).out
    assert read_json(out / "capture.json")["landmark_agreement"].startswith("FAN looked at 3 turned frames")
    poses = {one["file_path"]: one["confidence"] for one in read_json(out / "transforms.json")["frames"]}
    assert sum(value <= 0.25 for value in poses.values()) >= 3 and max(poses.values()) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2DFAN4", "3DFAN4"])
def test_fan_runs_with_weights_of_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights: what is tested is the way there and back, not the landmarks, which nobody has here."""
    file = random_fan(name, tmp_path)
    assert fan_file(name) == file
    points = side_view(canonical_landmarks())
    write_image(tmp_path / "frames" / "000000.jpg", np.random.default_rng(0).integers(0, 255, (600, 800, 3)).astype(np.uint8))
    chosen = Scan(index=np.zeros(1, int), time_s=np.zeros(1), points=points[None], sharpness=np.ones(1),
                  brightness=np.ones(1), reason=np.zeros(1, np.uint8), finder=np.ones(1, np.uint8))  # fmt: skip
    look = fan()
    assert look is not None and look(np.zeros((600, 800, 3), np.uint8), (200.0, 100.0, 500.0, 500.0)).shape == (68, 2)
    said = compare(tmp_path, chosen, LandmarkAgreementSettings(), Silent())["summary"]
    assert said.startswith("FAN looked at 1 turned frames") and 0.25 <= load_confidence(tmp_path)[0] <= 1


def side_view(landmarks: np.ndarray) -> np.ndarray:
    """[478,3] px of the head turned by 45 degrees."""
    turn = np.array([[0.707, 0, 0.707], [0, 1, 0], [-0.707, 0, 0.707]])
    return (landmarks.astype(np.float64) @ turn.T * (300, -300, -300) + (400, 300, 0)).astype(np.float32)


def test_without_fan_the_record_says_so_and_all_frames_count(tmp_path: Path) -> None:
    chosen = Scan(index=np.arange(3), time_s=np.arange(3.0), points=np.tile(side_view(canonical_landmarks()), (3, 1, 1)),
                  sharpness=np.ones(3), brightness=np.ones(3), reason=np.zeros(3, np.uint8))  # fmt: skip
    assert compare(tmp_path, chosen, LandmarkAgreementSettings(), Silent()) == {"summary": NOT_ASKED}
    assert np.array_equal(load_confidence(tmp_path), np.ones(3))
    assert FrameSettings().second_detector


def test_a_frame_counts_half_where_the_two_differ_as_much_as_is_tolerated() -> None:
    points = side_view(canonical_landmarks())
    theirs = np.zeros((68, 2), np.float32)
    theirs[list(MESH_OF_FAN)] = points[list(MESH_OF_FAN.values()), :2]
    assert disagreement(points, theirs) == 0
    side = float(np.ptp(points[:, :2], axis=0).max())
    assert disagreement(points, theirs + np.float32(0.06 * side / np.sqrt(2))) == pytest.approx(0.06, rel=1e-3)
    assert [confidence_at(value, LandmarkAgreementSettings()) for value in (0.0, 0.06, 9.0)] == [1, 0.5, 0.25]
