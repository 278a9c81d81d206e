"""A user's own body file: SMPL's arrays from an .npz, or from the official pickle, which is read without running it.

The pickle was written by Python 2 and mixes arrays with objects of chumpy and SciPy. As with networks, names become inert
stand-ins; of a chumpy array its numbers are taken, of a sparse matrix its dense form, and everything else is passed over.
Pickles of the same content that Python 3 wrote are read too.
"""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from models.heads.skinned_body import SkinnedBody
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays
from pipelines.prior.importing.pickles import VALUES, Name, Reader, Refused

ARRAYS = ("v_template", "f", "J_regressor", "weights", "kintree_table", "posedirs")
OPERATIONS = VALUES | {
    "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "LONG_BINGET", "EMPTY_SET", "ADDITEMS", "BINFLOAT", "LONG1", "SHORT_BINSTRING",
    "BINSTRING", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
}  # fmt: skip
ROOTS = {"numpy", "scipy", "chumpy", "copy_reg", "copyreg", "collections", "__builtin__", "builtins", "_codecs"}
"""Packages whose names may occur; none of them is looked up."""
RECONSTRUCT = {Name(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
OBJECT = {Name("copy_reg", "_reconstructor"), Name("copyreg", "_reconstructor")}
DTYPE, ENCODE = Name("numpy", "dtype"), Name("_codecs", "encode")
KINDS = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
SPARSE = ("csc_matrix", "csr_matrix")
LARGEST = 1 << 28
"""Elements of a sparse matrix."""


def read_body(path: Path) -> SkinnedBody:
    """The body in a file; UnusableMaterial says in one sentence what is wrong with it."""
    if not path.is_file():
        raise UnusableMaterial(f"{path} is {'a folder' if path.exists() else 'missing'}; give the body's .npz or .pkl file.")
    arrays = read_arrays(path) if path.suffix == ".npz" else _of_pickle(path)
    try:
        return SkinnedBody.from_smpl(arrays)
    except (ValueError, IndexError, TypeError) as error:
        raise UnusableMaterial(f"{path} holds no body: {error}.") from error


def _of_pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise Refused("is empty (0 bytes)")
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        values = BodyReader(data).run()
        if type(values) is not dict:
            raise Refused("is a pickle, but not of a body (a dict of arrays)")
        found = {name: numbers(values[name]) for name in ARRAYS if name in values}
        return {name: array for name, array in found.items() if array is not None}
    except Refused as refusal:
        raise UnusableMaterial(f"{path} {refusal}; nothing of it was run or kept.") from refusal


class Thing:
    """An object of a class that is not looked up, and its state."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: str):
        self.kind, self.state = kind, {}


class Array:
    """An array, without numbers until its state comes."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: np.ndarray | None = None


class Dtype:
    """A kind of number by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class BodyReader(Reader):
    """The pickle of a body, of Python 2 or 3."""

    def __init__(self, data: memoryview):
        super().__init__(data, allowed=OPERATIONS, protocols=(2, 3, 4, 5))

    def known(self, name: Name) -> Name:
        inert = name.module.partition(".")[0] in ROOTS and name.name.isidentifier() and name.name.isascii()
        return name if inert else super().known(name)

    def call(self, function: Any, arguments: Any) -> Any:
        if type(function) is not Name or type(arguments) is not tuple:
            return super().call(function, arguments)
        if function in RECONSTRUCT:
            return Array()
        if function == DTYPE:
            return _dtype(arguments)
        if function == ENCODE:
            return arguments[0] if arguments and type(arguments[0]) is str else super().call(function, arguments)
        return Thing(str(arguments[0] if function in OBJECT and arguments else function))

    def new(self, kind: Any, arguments: Any) -> Any:
        return Thing(str(kind)) if type(kind) is Name else super().new(kind, arguments)

    def build(self, target: Any, state: Any) -> None:
        if type(target) is Array:
            target.values = _values(state)
        elif type(target) is Thing:
            target.state = state if type(state) is dict else {}
        elif type(target) is not Dtype or type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|"):
            super().build(target, state)

    def _short_binstring(self) -> None:
        self.stack.append(str(self.take(self.number("<B")), "latin-1"))

    def _binstring(self) -> None:
        self.stack.append(self.take(self.number("<I")))

    def _long_binput(self) -> None:
        self._remember(self.number("<I"))


def _dtype(arguments: tuple[Any, ...]) -> Dtype:
    name = arguments[0] if arguments else None
    if type(name) is not str or name not in KINDS:
        raise Refused("has numbers of a kind that no body has")
    return Dtype(name)


def _values(state: Any) -> np.ndarray:
    """version, shape, kind, whether columns come first, bytes."""
    right = type(state) is tuple and len(state) == 5 and type(state[1]) is tuple and type(state[2]) is Dtype
    if not right or not all(type(side) is int and side >= 0 for side in state[1]):
        raise Refused("has an array that is not made as NumPy makes them")
    data = state[4].encode("latin-1", "replace") if type(state[4]) is str else state[4]
    kind, count = np.dtype("<" + state[2].name), 1
    for side in state[1]:
        count *= side
    if type(data) not in (bytes, memoryview) or len(data) != count * kind.itemsize:
        raise Refused("has an array that does not hold the numbers it promises")
    return np.frombuffer(data, kind).reshape(state[1], order="F" if state[3] else "C")


def numbers(value: Any) -> np.ndarray | None:
    """The array that a value stands for: its own, a sparse matrix's, or the `x` of a chumpy array; None for anything else."""
    if type(value) is Array:
        return value.values
    if type(value) is not Thing:
        return None
    if value.kind.rpartition(".")[2] in SPARSE:
        return _dense(value)
    inner = value.state.get("x")
    return inner.values if type(inner) is Array else None


def _dense(matrix: Thing) -> np.ndarray:
    from scipy import sparse

    parts = [numbers(matrix.state.get(name)) for name in ("data", "indices", "indptr")]
    shape = matrix.state.get("_shape", matrix.state.get("shape"))
    if any(part is None for part in parts) or type(shape) is not tuple or len(shape) != 2:
        raise Refused("has a sparse matrix that is not made as SciPy makes them")
    if any(type(side) is not int or not 0 <= side < LARGEST for side in shape) or shape[0] * shape[1] > LARGEST:
        raise Refused("has a sparse matrix of an impossible size")
    make = sparse.csc_matrix if matrix.kind.endswith(SPARSE[0]) else sparse.csr_matrix
    try:
        made = make(tuple(parts), shape=shape)
        made.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise Refused("has a sparse matrix that reaches beyond its size") from error
    return made.toarray()
