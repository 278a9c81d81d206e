"""Measures whose weights do not come with the tool: missing ones are said, never 0; files are checked before they are used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.lpips import CHANNELS, alexnet, linear_names
from pipelines.assets.store import KNOWN
from pipelines.core.errors import MissingTool
from pipelines.core.files import sha256_file
from pipelines.evaluate import Pictures
from pipelines.evaluate.perceptual import (
    LOOKED_AT,
    ST_LPIPS,
    find_metric_file,
    looked_at,
    lpips_tool,
    perceptual,
    st_lpips_tool,
)
from tests.models.training.test_st_lpips import state as st_lpips_state


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder and an empty cache of torchvision."""
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Writes random weights of the published shapes and lets the registry know their hashes."""

    def write() -> None:
        random = torch.Generator().manual_seed(0)
        trunk = {f"features.{name}": 0.05 * torch.randn(value.shape, generator=random)
                 for name, value in alexnet().state_dict().items()}  # fmt: skip
        linear = {name: torch.rand(1, width, 1, 1, generator=random)
                  for name, width in zip(linear_names(), CHANNELS["alex"], strict=True)}  # fmt: skip
        for name, state in (("alexnet", trunk), ("lpips-alex", linear)):
            path = folder / KNOWN[name].file
            torch.save(state, path)
            monkeypatch.setitem(KNOWN, name, replace(KNOWN[name], sha256=sha256_file(path)))

    return write


@pytest.fixture
def truth() -> Pictures:
    image = np.random.default_rng(0).random((2, 48, 48, 3), dtype=np.float32)
    inside = np.ones((2, 48, 48), bool)
    inside[:, :, :8] = False
    return Pictures(image=image, matte=np.ones((2, 48, 48), np.float32), inside=inside)


def test_without_weights_it_is_missing_and_says_how_to_get_them(folder: Path, truth: Pictures) -> None:
    found = perceptual(lpips_tool(), {"avatar": truth.image, "mean": truth.image}, truth)
    assert found["avatar"] is None and found["mean"] is None
    assert "avatarcli prior fetch alexnet and avatarcli prior fetch lpips-alex" in found["why"]
    assert str(folder) not in found["why"]


def test_with_weights_lpips_is_measured(published: Callable[[], None], truth: Pictures) -> None:
    published()
    tool = lpips_tool()
    assert (tool.name, len(tool.sha256)) == ("alex", 2)
    worse = (truth.image + np.random.default_rng(1).normal(0, 0.1, truth.image.shape)).clip(0, 1).astype(np.float32)
    worst = np.roll(truth.image, 7, axis=1)
    found = perceptual(tool, {"same": truth.image, "worse": worse, "worst": worst}, truth)
    assert found["same"] == 0 < found["worse"] < found["worst"]
    assert found["network"] == "alex" and "why" not in found


def test_what_lies_outside_the_source_frame_does_not_count(published: Callable[[], None], truth: Pictures) -> None:
    published()
    renders = truth.image.copy()
    renders[:, :, :8] = 0
    assert perceptual(lpips_tool(), {"avatar": renders}, truth)["avatar"] == 0


def test_a_file_of_another_content_is_not_used(folder: Path, published: Callable[[], None]) -> None:
    published()
    path = folder / KNOWN["alexnet"].file
    path.write_bytes(path.read_bytes() + b"x")
    tool = lpips_tool()
    assert tool.call is None and "does not have the sha256" in tool.why


def test_a_file_of_other_tensors_is_said(folder: Path, published: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    published()
    path = folder / KNOWN["alexnet"].file
    torch.save({"features.0.weight": torch.zeros(2)}, path)
    monkeypatch.setitem(KNOWN, "alexnet", replace(KNOWN["alexnet"], sha256=sha256_file(path)))
    with pytest.raises(MissingTool, match="do not make LPIPS of alex"):
        lpips_tool()


def test_no_code_of_a_file_is_run(folder: Path, published: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    published()
    path = folder / KNOWN["alexnet"].file
    torch.save({"features.0.weight": Harmful(folder / "ran")}, path)
    monkeypatch.setitem(KNOWN, "alexnet", replace(KNOWN["alexnet"], sha256=sha256_file(path)))
    with pytest.raises(MissingTool):
        lpips_tool()
    assert not (folder / "ran").exists()


class Harmful:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_torchvisions_cache_and_the_package_are_looked_at(folder: Path, published: Callable[[], None], tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    published()
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (folder / KNOWN["alexnet"].file).rename(cache / KNOWN["alexnet"].file)
    inside = tmp_path / "packages" / "lpips"
    (inside / "weights" / "v0.1").mkdir(parents=True)
    (inside / "__init__.py").write_text("raise ImportError('torchvision')")
    (folder / KNOWN["lpips-alex"].file).rename(inside / "weights" / "v0.1" / "alex.pth")
    assert find_metric_file("lpips-alex") is None
    monkeypatch.syspath_prepend(str(inside.parent))
    assert find_metric_file("lpips-alex") == inside / "weights" / "v0.1" / "alex.pth"
    assert lpips_tool().name == "alex"
    (cache / KNOWN["alexnet"].file).write_bytes(b"other")
    assert find_metric_file("alexnet") is None


def test_st_lpips_comes_with_a_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Pictures) -> None:
    """Which is not imported: it wants torchvision, and a part of it is not free."""
    inside = tmp_path / "packages" / "stlpips_pytorch"
    (inside / "weights" / "vST0.0").mkdir(parents=True)
    (inside / "__init__.py").write_text("raise ImportError('torchvision')")
    path = inside / "weights" / "vST0.0" / "alex_shift_tolerant.pth"
    torch.save(st_lpips_state(), path)
    monkeypatch.syspath_prepend(str(inside.parent))
    assert "pip install stlpips-pytorch" in st_lpips_tool().why, "another file than the published one is not taken"
    monkeypatch.setitem(KNOWN, ST_LPIPS, replace(KNOWN[ST_LPIPS], sha256=sha256_file(path)))
    found = perceptual(st_lpips_tool(), {"same": truth.image, "other": truth.image[:, ::-1].copy()}, truth)
    assert found["same"] == 0 < found["other"] and found["network"] == ST_LPIPS


def test_of_many_frames_some_are_looked_at() -> None:
    assert looked_at(5, 128).tolist() == [0, 1, 2, 3, 4]
    assert len(looked_at(100, 256)) == LOOKED_AT and len(looked_at(100, 512)) == LOOKED_AT // 2
    assert looked_at(100, 512)[[0, -1]].tolist() == [0, 99]


def test_the_record_says_how_many_frames_were_compared(published: Callable[[], None]) -> None:
    published()
    image = np.random.default_rng(0).random((30, 32, 32, 3), dtype=np.float32)
    truth = Pictures(image=image, matte=image[..., 0], inside=np.ones((30, 32, 32), bool))
    assert perceptual(lpips_tool(), {"avatar": image}, truth)["frames"] == LOOKED_AT
