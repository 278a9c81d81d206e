"""Packing the face model from files that stand in for ICT-FaceKit's, and from the real triangles' order."""

import hashlib
import io
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import MissingTool
from pipelines.core.files import read_arrays
from pipelines.core.stage import Silent
from pipelines.face import ict_fetch
from pipelines.face.ict import arkit_name, arkit_weights, find_face_model, load_face_model
from tests.avatarcli.cli import avatarcli
from tests.material import shared

FACES = b"vt 0 0\nvt 1 0\nvt 0 1\nf 1/1/1 2/2/1 3/3/1 4/1/1\nf 3/1/1 5/2/1 6/3/1\n"
NAMES = ("generic_neutral_mesh", "identity000", "identity001", "eyeBlink_L", "jawOpen", "cheekRaiser_L")


def mesh(name: str) -> bytes:
    shift = NAMES.index(name)
    return b"# a comment\n" + b"".join(b"v %d %d 0.5\n" % (i + shift, i * i) for i in range(6)) + FACES


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of six meshes of six vertices, their list in place of the real one, two parts, landmarks."""
    folder = tmp_path / "clone" / "FaceXModel"
    folder.mkdir(parents=True)
    lines = []
    for name in NAMES:
        (folder / f"{name}.obj").write_bytes(mesh(name))
        lines.append(f"{hashlib.sha256(mesh(name)).hexdigest()}  {name}.obj")
    (tmp_path / "list.sha256").write_text("\n".join([*lines, f"{'0' * 64}  vertex_indices.json"]))
    monkeypatch.setattr(ict_fetch, "HASHES", tmp_path / "list.sha256")
    monkeypatch.setattr(ict_fetch, "PARTS", {"face": (0, 4), "teeth": (4, 6)})
    monkeypatch.setattr(ict_fetch, "LANDMARKS", (5,) * 68)
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path / "weights"))
    return folder.parent


def check(path: Path) -> None:
    model = load_face_model(path)
    assert model.faces.tolist() == [[0, 1, 2], [0, 2, 3], [2, 4, 5]]
    assert model.faces_uv.tolist() == [[0, 1, 2], [0, 2, 0], [0, 1, 2]]
    assert model.expression_names == ("eyeBlink_L", "jawOpen") and len(model.identity) == 2
    np.testing.assert_allclose(model.offsets(np.array([0, 0.5]))[:, 0], 2)
    np.testing.assert_allclose(model.shape(np.array([1.0, 0]))[:, 0], np.arange(6) + 1)
    assert model.part_triangles == {"face": slice(0, 2), "teeth": slice(2, 3)}


def test_a_clone_is_packed_and_found(files: Path) -> None:
    path = ict_fetch.fetch_face_model(Silent(), files)
    check(path)
    assert find_face_model() == path and [p.name for p in path.parent.iterdir()] == ["ict_facekit.npz"]


def test_an_interrupted_fetch_goes_on(files: Path) -> None:
    asked: list[str] = []

    def served(url: str, there: int) -> io.BytesIO:
        asked.append(url.rsplit("/", 1)[1])
        if len(asked) == 4:
            raise urllib.error.URLError("no route")
        return io.BytesIO(mesh(asked[-1].removesuffix(".obj")))

    with pytest.raises(MissingTool, match=r"eyeBlink_L.obj could not be fetched.*--from"):
        ict_fetch.fetch_face_model(Silent(), connect=served)
    check(ict_fetch.fetch_face_model(Silent(), connect=served))
    assert asked == [f"{name}.obj" for name in (*NAMES[:4], *NAMES[3:])]


def test_another_file_is_refused(files: Path) -> None:
    (files / "FaceXModel" / "jawOpen.obj").write_bytes(mesh("identity000"))
    with pytest.raises(MissingTool, match="jawOpen.obj is not the file"):
        ict_fetch.fetch_face_model(Silent(), files)
    assert not (files.parent / "weights" / "ict_facekit.npz").exists()


def test_the_parts_are_those_of_the_packed_model() -> None:
    data = read_arrays(shared("ict/ict_facekit.npz"))
    known = dict(zip(data["part_names"].tolist(), data["part_vertices"].tolist(), strict=True))
    assert all(known[name] == list(span) for name, span in ict_fetch.PARTS.items())
    assert list(ict_fetch.LANDMARKS) == data["landmarks68"].tolist()
    spans = dict(zip(data["part_names"].tolist(), data["part_triangles"].tolist(), strict=True))
    assert ict_fetch.spans_of(data["faces"]).tolist() == [spans[name] for name in ict_fetch.PARTS]
    listed = [name.removesuffix(".obj") for name in ict_fetch.known_hashes() if name.endswith(".obj")]
    shapes = sorted(name for name in listed if not name.startswith(("identity", "generic", *ict_fetch.EXTRA)))
    assert shapes == data["expression_names"].tolist()


def test_names_are_arkits() -> None:
    assert [arkit_name(name) for name in ("eyeBlink_L", "mouthSmile_R", "jawOpen")] == [
        "eyeBlinkLeft",
        "mouthSmileRight",
        "jawOpen",
    ]
    weights = arkit_weights(np.array([[1.0, 0.5, 0.25]]), ("browInnerUpLeft", "browInnerUpRight", "jawOpen"))
    assert weights.shape == (1, 52) and sorted(weights[0][weights[0] > 0]) == [0.25, 0.75]


def test_without_model_or_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    done = avatarcli("prior", "synth", "--people", "1", "--out", tmp_path / "shards")
    assert done.returncode == 3 and "prior fetch ict-facekit" in done.stderr and not (tmp_path / "shards").exists()
    done = avatarcli("prior", "fetch", "ict-facekit", "--from", tmp_path)
    assert done.returncode == 3 and "clone" in done.stderr and "Traceback" not in done.stderr
