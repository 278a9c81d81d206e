"""rembg's models: those of the list alone, only files somebody has vouched for, and nothing fetched."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.assets.rembg_models import vouched_file
from pipelines.assets.rembg_paths import REMBG_MODELS, rembg_file
from pipelines.assets.store import register, registered
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import MatteSettings, matting
from pipelines.core.errors import MissingTool, SettingError
from pipelines.core.files import sha256_file
from pipelines.face.tracker import FaceTracker
from pipelines.media.squares import cut_square
from pipelines.media.video import read_frames
from pipelines.prior.catalog import find_entry
from tests.material import shared


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "u2"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "rembg"))
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "u2").mkdir()
    return tmp_path / "u2"


@pytest.mark.parametrize("name", ["withoutbg", "atlascloud", "bria-rmbg", "u2net_cloth_seg", "nonsense"])
def test_models_that_upload_or_are_not_on_the_list_are_refused(name: str, home: Path) -> None:
    (home / f"{name}.onnx").write_bytes(b"a network")
    with pytest.raises(SettingError, match="choose mediapipe or one of"):
        matting(MatteSettings(model=name))


def test_a_model_that_is_not_here_is_named_with_its_file(home: Path) -> None:
    with pytest.raises(MissingTool, match=r"u2/u2net_human_seg\.onnx"):
        matting(MatteSettings(model="u2net_human_seg"))


def test_a_file_is_used_only_when_somebody_vouches_for_it(home: Path) -> None:
    path = home / "u2net_human_seg.onnx"
    path.write_bytes(b"a network")
    with pytest.raises(MissingTool, match=rf"sha256 {sha256_file(path)}.*avatarcli prior register u2net_human_seg"):
        matting(MatteSettings(model="u2net_human_seg"))
    assert register(find_entry("u2net_human_seg")) == (path, sha256_file(path))
    assert registered("u2net_human_seg") == sha256_file(path)
    assert vouched_file("u2net_human_seg") == path
    path.write_bytes(b"another network")
    with pytest.raises(MissingTool, match="no checksum is known"):
        vouched_file("u2net_human_seg")


def test_registering_compares_and_needs_a_file_and_an_unknown_hash(home: Path) -> None:
    with pytest.raises(MissingTool, match=r"no u2net\.onnx"):
        register(find_entry("u2net"))
    (home / "u2net.onnx").write_bytes(b"a network")
    with pytest.raises(MissingTool, match="not 00ff"):
        register(find_entry("u2net"), "00ff")
    assert registered("u2net") is None
    with pytest.raises(SettingError, match="need not be registered"):
        register(find_entry("face_landmarker.task"))


def test_every_model_of_the_list_is_one_of_rembg_and_has_a_license() -> None:
    assert len(REMBG_MODELS) >= 7
    assert all(find_entry(name).license and find_entry(name).file == f"{name}.onnx" for name in REMBG_MODELS)


def test_a_known_network_needs_no_registering(home: Path) -> None:
    (home / "u2net_custom.onnx").write_bytes(shared("weights/SINet_Softmax.onnx").read_bytes())
    assert vouched_file("u2net_custom") == rembg_file("u2net_custom")


@pytest.mark.slow  # the first import of rembg compiles for half a minute
def test_a_local_model_runs_through_rembg_and_agrees_with_mediapipe(home: Path) -> None:
    (home / "u2net_custom.onnx").write_bytes(shared("weights/SINet_Softmax.onnx").read_bytes())
    clips = [shared(f"clips/{name}.mp4") for name in ("capture_home_glasses", "capture_phone_kitchen", "capture_address_audio")]
    with_rembg, rough = matting(MatteSettings(model="u2net_custom")), matting(MatteSettings(refine=False))
    with FaceTracker(video=False) as tracker:
        for clip in clips:
            image = next(read_frames(clip, indices={100})).image
            face = tracker.track(image)
            assert face is not None
            crop = cut_square(image, region(face.points), 512)
            found = with_rembg(crop)
            assert found.shape == (512, 512) and 0 <= found.min() <= found.max() <= 1
            assert overlap(found > 0.5, rough(crop) > 0.5) >= 0.9


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())
