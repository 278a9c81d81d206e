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
from pipelines.evaluate.faces import Faces
from pipelines.evaluate.likeness import (
    ANCHORS,
    MESH,
    align_face,
    embeddings,
    fit_to_template,
    likeness,
    load_recognizer,
    mean_cosine,
    recognizer_tool,
)
from pipelines.evaluate.perceptual import Tool, find_metric_file, lpips_tool, perceptual
from pipelines.face.expression import MEASURED


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


def faces(points: np.ndarray, found: list[bool]) -> Faces:
    count = len(found)
    return Faces(found=np.array(found), points=np.stack([points] * count), opening=np.zeros(count),
                 expression=np.zeros((count, len(MEASURED))), pose=np.tile(np.eye(4), (count, 1, 1)))  # fmt: skip


def test_without_weights_it_is_missing_and_says_how_to_get_them(folder: Path, truth: Pictures) -> None:
    found = perceptual(lpips_tool(), {"avatar": truth.image, "mean": truth.image}, truth)
    assert found["avatar"] is None and found["mean"] is None
    assert "avatarcli prior fetch alexnet and avatarcli prior fetch lpips-alex" in found["why"]
    assert str(folder) not in found["why"]
    known = likeness(recognizer_tool(), {"avatar": (truth.image, faces(np.zeros((478, 3)), [True, True]))}, (truth.image, None))  # type: ignore[arg-type]
    assert known["avatar"] is None and "avatarcli prior fetch sface gets it" in known["why"]


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


def test_a_face_is_laid_on_the_anchors() -> None:
    angle, scale = np.radians(20), 0.7
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (ANCHORS - (5, 9)) @ np.linalg.inv(matrix).T
    assert fit_to_template(source, ANCHORS) == pytest.approx(np.column_stack([matrix, (5, 9)]), abs=1e-9)
    points = np.zeros((478, 3))
    for group, anchor in zip(MESH, ANCHORS, strict=True):
        points[list(group), :2] = 0.5 + anchor * 2 + 10
    image = np.zeros((260, 260, 3), np.uint8)
    x, y = (2 * ANCHORS[2] + 10).round().astype(int)
    image[y - 4 : y + 5, x - 4 : x + 5] = 255
    found = align_face(image, points)
    row, column = np.argwhere(found[..., 0] > 128).mean(0)
    assert found.shape == (112, 112, 3) and (column, row) == pytest.approx(tuple(ANCHORS[2]), abs=0.6)


def test_likeness_is_the_cosine_of_descriptions() -> None:
    points = np.zeros((478, 3))
    for group, anchor in zip(MESH, ANCHORS, strict=True):
        points[list(group), :2] = 0.5 + anchor
    image = np.zeros((2, 112, 112, 3), np.float32)
    image[0, ..., 0], image[1, ..., 1] = 1, 1

    def embed(picture: np.ndarray) -> np.ndarray:
        return picture.reshape(-1, 3).mean(0) + 1e-9

    tool = Tool(name="mean color", call=embed, sha256=("0",))
    both, one = faces(points, [True, True]), faces(points, [True, False])
    assert likeness(tool, {"avatar": (image, both)}, (image, both))["avatar"] == pytest.approx(1)
    assert likeness(tool, {"avatar": (image[::-1], both)}, (image, both))["avatar"] == pytest.approx(0, abs=1e-6)
    known = embeddings(embed, image, one)
    assert known[1] is None and mean_cosine(known, embeddings(embed, image, both)) == pytest.approx(1)
    assert mean_cosine([None], known[:1]) is None


def test_a_recognizer_is_an_onnx_network(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(MissingTool, match="cannot be read as an ONNX network"):
        load_recognizer(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(mean_color(64))
    with pytest.raises(MissingTool, match=r"expects pictures of \[3, 64, 64\]"):
        load_recognizer(tmp_path / "b.onnx")
    (tmp_path / "c.onnx").write_bytes(mean_color(112))
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[..., 0], picture[:56, :, 2] = 200, 100
    assert load_recognizer(tmp_path / "c.onnx")(picture) == pytest.approx([200, 0, 50])


def mean_color(side: int) -> bytes:
    """An ONNX file of one GlobalAveragePool over [1,3,side,side], written field by field."""

    def number(field: int, value: int) -> bytes:
        return bytes([field << 3]) + varint(value)

    def block(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2]) + varint(len(content)) + content

    def value(name: bytes, *shape: int) -> bytes:
        sizes = b"".join(block(1, number(1, size)) for size in shape)
        return block(1, name) + block(2, block(1, number(1, 1) + block(2, sizes)))

    node = block(1, b"data") + block(2, b"mean") + block(4, b"GlobalAveragePool")
    ends = block(11, value(b"data", 1, 3, side, side)) + block(12, value(b"mean", 1, 3, 1, 1))
    return number(1, 7) + block(7, block(1, node) + block(2, b"graph") + ends) + block(8, block(1, b"") + number(2, 13))


def varint(value: int) -> bytes:
    low = bytes([value & 127 | (128 if value > 127 else 0)])
    return low + varint(value >> 7) if value > 127 else low
