"""Body files of users: read as data, never run; the official layout, as Python 2 wrote it, is made here by hand."""

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pipelines.core.errors import UnusableMaterial
from pipelines.prior.importing.bodies import read_body
from tests.models.heads.bodies import rod
from tests.reference import largest_difference

POSE = (0.1, 0.3, 0.05, 0.1, 0.4, -0.05)


def arrays() -> dict[str, Any]:
    """A small body in SMPL's layout: 24 joints of which few have weight, and corrections of the pose."""
    body, random = rod(), np.random.default_rng(0)
    count = len(body.vertices)
    weights = np.zeros((count, 24))
    weights[:, [9, 12, 15]] = body.weights.numpy()
    regressor = np.zeros((24, count))
    regressor[:, :4] = 0.25
    regressor[12, :4], regressor[12, 8:12] = 0.0, 0.25
    parents = np.array([4294967295, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
    return {
        "v_template": body.vertices.double().numpy(), "f": body.faces.numpy().astype(np.uint32), "J_regressor": regressor,
        "weights": weights, "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "posedirs": random.normal(0, 0.01, (count, 3, 207)),
    }  # fmt: skip


def text(value: str | bytes) -> bytes:
    """SHORT_BINSTRING, or BINSTRING where it is longer."""
    data = value.encode("latin-1") if isinstance(value, str) else value
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<I", len(data)) + data


def of_python2(array: np.ndarray) -> bytes:
    shape = b"(" + b"".join(b"J" + struct.pack("<i", side) for side in array.shape) + b"t"
    dtype = b"cnumpy\ndtype\n" + text(array.dtype.str[1:]) + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
    return start + b"(K\x01" + shape + dtype + b"\x89" + text(array.tobytes()) + b"tb"


def of_chumpy(array: np.ndarray) -> bytes:
    plain = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR"
    return plain + b"}(" + text("_dirty_vars") + b"c__builtin__\nset\n](K\x01e\x85R" + text("x") + of_python2(array) + b"ub"


def of_sparse(array: np.ndarray) -> bytes:
    matrix = sparse.csc_matrix(array)
    shape = b"(" + b"".join(b"J" + struct.pack("<i", side) for side in array.shape) + b"t"
    state = b"".join(text(name) + of_python2(getattr(matrix, name)) for name in ("data", "indices", "indptr"))
    return b"cscipy.sparse.csc\ncsc_matrix\n)\x81}(" + text("_shape") + shape + state + b"ub"


def official(values: dict[str, Any], **other: bytes) -> bytes:
    """The dict of the official file: a chumpy template, a sparse regressor, texts that nobody needs."""
    kinds = {"v_template": of_chumpy, "J_regressor": of_sparse}
    parts = {name: kinds.get(name, of_python2)(array) for name, array in values.items()} | {"bs_type": text("lrotmin")} | other
    return b"\x80\x02}q\x01(" + b"".join(text(name) + part for name, part in parts.items()) + b"u."


def write(folder: Path, kind: str) -> Path:
    values, path = arrays(), folder / f"body.{'npz' if kind == 'npz' else 'pkl'}"
    if kind == "npz":
        np.savez(path, **values)
    elif kind == "python 2":
        path.write_bytes(official(values))
    else:
        values["J_regressor"] = sparse.csc_matrix(values["J_regressor"])
        path.write_bytes(pickle.dumps(values, protocol=int(kind[-1])))
    return path


@pytest.mark.parametrize("kind", ["npz", "python 2", "protocol 2", "protocol 4"])
def test_a_body_is_read_from_any_of_its_files(tmp_path: Path, kind: str) -> None:
    import torch

    from models.heads.skinned_body import SkinnedBody

    body, expected = read_body(write(tmp_path, kind)), SkinnedBody.from_smpl(arrays())
    assert body.identity == expected.identity and body.parents[0] == -1 and body.neck == 12
    assert largest_difference(body.posed(torch.tensor([POSE])), expected.posed(torch.tensor([POSE]))) == 0


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


class Opener:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"not a pickle", "uses the pickle operation"),
        (pickle.dumps([1, 2], protocol=2), "not of a body"),
        (pickle.dumps({"f": Opener()}, protocol=2), "names posix.system"),
        (official(arrays())[:-1000], "ends too early"),
        (official(arrays(), weights=of_python2(np.zeros(3)) + b"."), "values are left over"),
        (official({name: value for name, value in arrays().items() if name != "weights"}), "the arrays weights too"),
        (official(arrays() | {"weights": np.zeros((24, 5))}), "weights are"),
        (official(arrays(), f=of_python2(np.full((2, 3), 99, np.uint32))), "beyond its 24"),
        (official(arrays(), f=of_python2(np.zeros((2, 3), np.uint32)).replace(b"u4", b"O8")), "of a kind that no body has"),
    ],
)
def test_what_is_no_body_is_refused_with_a_sentence(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "body.pkl"
    path.write_bytes(content)
    with pytest.raises(UnusableMaterial, match=complaint) as caught:
        read_body(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).endswith(".")


def test_nothing_in_the_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "body.pkl"
    path.write_bytes(pickle.dumps(arrays() | {"extra": Evil()}, protocol=2))
    read_body(path)
    assert capsys.readouterr().out == ""


def test_sparse_matrices_that_lie_are_refused(tmp_path: Path) -> None:
    path, regressor = tmp_path / "body.pkl", arrays()["J_regressor"]
    lies = of_sparse(regressor).replace(b"J" + struct.pack("<i", 24) + b"J" + struct.pack("<i", 24),
                                        b"J" + struct.pack("<i", 3) + b"J" + struct.pack("<i", 24))  # fmt: skip
    assert lies != of_sparse(regressor)
    path.write_bytes(official(arrays(), J_regressor=lies))
    with pytest.raises(UnusableMaterial, match="reaches beyond its size"):
        read_body(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "no.pkl", "missing"), (tmp_path, "a folder")):
        with pytest.raises(UnusableMaterial, match=what):
            read_body(path)
