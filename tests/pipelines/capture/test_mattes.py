"""Mattes: where they are taken, how they are refined, which models may make them."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.mattes import MatteSettings, confidence, cut_square, guided, matting, region, sharpened
from pipelines.errors import MissingTool, SettingError
from tests.material import shared


def test_a_cut_shows_what_lies_there() -> None:
    """On a ramp the value at a pixel's center is its place, whatever the size of the cut."""
    ramp = np.tile((np.arange(200) + 0.5)[None, :], (200, 1)).astype(np.float32)
    for size in (40, 64, 160):
        cut = cut_square(ramp, (50.25, 30.0, 80.0), size)
        expected = 50.25 + (np.arange(size) + 0.5) * 80 / size
        assert np.abs(cut[size // 2, 3:-3] - expected[3:-3]).max() < 0.06


def test_beyond_the_border_edges_repeat_or_a_value_stands() -> None:
    image = np.full((50, 50), 200, np.uint8)
    assert cut_square(image, (-25, 0, 50), 50).min() == 200
    assert cut_square(image, (-25, 0, 50), 50, outside=0)[:, :24].max() == 0


def test_the_region_holds_head_and_shoulders() -> None:
    points = np.zeros((478, 3), np.float32)
    points[:2] = [[100, 100, 0], [160, 200, 0]]
    points[2:] = [130, 150, 0]
    x0, y0, side = region(points)
    assert side == pytest.approx(230)
    assert x0 + side / 2 == pytest.approx(130)
    assert y0 < 100 - 60 and y0 + side > 200 + 45


def test_the_guided_filter_lays_a_soft_mask_along_the_edge() -> None:
    image = np.full((80, 80, 3), 30, np.uint8)
    image[:, 40:] = 220
    mask = np.clip((np.arange(80) - 32) / 20, 0, 1)[None].repeat(80, 0).astype(np.float32)
    alpha = sharpened(guided(image, mask))
    assert alpha[40, 41] - alpha[40, 38] > 0.6 > 4 * (mask[40, 41] - mask[40, 38])


def test_confidence_is_low_where_the_rim_is_undecided() -> None:
    solid = np.zeros((128, 128), np.uint8)
    solid[30:, 30:98] = 255
    vague = np.where(solid > 0, 150, 110).astype(np.uint8)
    assert confidence(solid) > 0.95 > 0.4 > confidence(vague)
    assert confidence(np.zeros((128, 128), np.uint8)) == 0


def test_unknown_or_uploading_models_are_refused() -> None:
    for name in ("withoutbg", "bria-rmbg", "nonsense"):
        with pytest.raises(SettingError, match="mediapipe"):
            matting(MatteSettings(model=name))


def test_a_model_that_is_not_here_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "u2"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "rembg"))
    with pytest.raises(MissingTool, match=r"u2/u2net_human_seg\.onnx"):
        matting(MatteSettings(model="u2net_human_seg"))


@pytest.mark.slow
def test_a_local_model_runs_through_rembg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shared("weights/SINet_Softmax.onnx")
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path))
    (tmp_path / "u2net_custom.onnx").write_bytes(source.read_bytes())
    image = person()
    with_rembg, with_mediapipe = (matting(MatteSettings(model=name))(image) for name in ("u2net_custom", "mediapipe"))
    inside = with_mediapipe > 0.5
    assert with_rembg.shape == image.shape[:2]
    assert 0 <= with_rembg.min() <= with_rembg.max() <= 1
    assert with_rembg[inside].mean() > with_rembg[~inside].mean() + 0.1


def test_the_embedded_model_finds_a_person_and_no_wall() -> None:
    alpha = matting(MatteSettings())(person())
    height, width = alpha.shape
    assert alpha[height // 2, width // 2] > 0.95
    assert alpha[: height // 3, : width // 8].max() < 0.1
    again = matting(MatteSettings())(person())
    assert np.array_equal(alpha, again)


def person() -> np.ndarray:
    """The first frame of the demo clip, a square around the head."""
    from pipelines.video import read_frames

    clip = Path(__file__).resolve().parents[3] / "avatarcli" / "demo_clips" / "capture.mp4"
    if not clip.exists():
        pytest.skip("needs the demo clips")
    image = next(read_frames(clip, indices={0})).image
    return cut_square(image, (0.0, 40.0, float(image.shape[1])), 384)
