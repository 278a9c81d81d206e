"""The numbers of a snapshot: what its calls of numpy and torch stand for, made from their arguments without calling them.

A storage is torch's old stream: five small pickles, which may name nothing but `torch.*Storage`, and raw numbers. A tensor is a
view that has to lie inside its storage. Whatever is not exactly what torch writes is refused.
"""

from typing import Any

import numpy as np

from pipelines.prior.importing.pickles import VALUES, Name, Reader, Refused

STREAM_OPERATIONS = VALUES | {"BINPUT", "LONG1", "GLOBAL", "BINPERSID"}
"""Of the five small pickles at the head of a storage."""
STORAGES = {
    "FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "|i1", "ByteStorage": "|u1", "BoolStorage": "|b1",
}  # fmt: skip
MAGIC = 0x1950A86A20F9469CFC6C
NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
DIMENSIONS = 8


class Dtype:
    """A numpy dtype by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class Storage:
    """The numbers of a storage, 1-D."""

    __slots__ = ("bfloat16", "values")

    def __init__(self, values: np.ndarray, bfloat16: bool):
        self.values, self.bfloat16 = values, bfloat16


class Tensor:
    """A view of a storage."""

    __slots__ = ("bfloat16", "view")

    def __init__(self, view: np.ndarray, bfloat16: bool):
        self.view, self.bfloat16 = view, bfloat16

    def array(self) -> np.ndarray:
        """The numbers; bfloat16, which numpy lacks, widened to float32: its 16 bits are the upper half."""
        if self.view.dtype.kind == "b" and self.view.size and self.view.view(np.uint8).max() > 1:
            raise Refused("has a truth value that is neither 0 nor 1")
        return (self.view.astype(np.uint32) << np.uint32(16)).view(np.float32) if self.bfloat16 else self.view


class StreamReader(Reader):
    """One of the small pickles of a storage: only `torch.*Storage` has a name there."""

    def __init__(self, data: memoryview, start: int):
        super().__init__(data, allowed=STREAM_OPERATIONS, protocols=(2,), start=start)

    def known(self, name: Name) -> Name:
        return name if name.module == "torch" and name.name in STORAGES else super().known(name)

    def persistent(self, key: Any) -> Any:
        return StorageKey(key)


class StorageKey:
    """The description of a storage: ('storage', kind, key, place, number of elements, None)."""

    __slots__ = ("count", "key", "kind")

    def __init__(self, key: Any):
        right = type(key) is tuple and len(key) == 6 and [type(part) for part in key[2:5]] == [str, str, int]
        if not right or type(key[1]) is not Name or not same((key[0], key[5]), ("storage", None)):
            raise Refused("has a storage whose description is not a snapshot's")
        self.kind, self.key, self.count = STORAGES[key[1].name], key[2], key[4]
        if self.count < 0:
            raise Refused("has a storage of negative size")


def storage_of(arguments: tuple[Any, ...]) -> Storage:
    """The old torch.save stream: magic, protocol, system, storage, keys (five pickles); int64 count and raw numbers."""
    if len(arguments) != 1 or type(arguments[0]) is not memoryview:
        raise Refused("has a storage that is not made of bytes")
    data, values, at = arguments[0], [], 0
    for _ in range(5):
        reader = StreamReader(data, at)
        values.append(reader.run())
        at = reader.at
    magic, protocol, system, key, keys = values
    little = type(system) is dict and system.get("little_endian") is True
    if type(magic) is not int or magic != MAGIC or type(protocol) is not int or protocol != 1001 or not little:
        raise Refused("has a storage that is not a torch stream in little-endian order")
    if type(key) is not StorageKey or type(keys) is not list or not same(tuple(keys), (key.key,)):
        raise Refused("has a storage whose description is not a snapshot's")
    return _numbers(data[at:], key)


def _numbers(data: memoryview, key: StorageKey) -> Storage:
    dtype = np.dtype(key.kind)
    if len(data) < 8 or int.from_bytes(data[:8], "little", signed=True) != key.count:
        raise Refused("has a storage whose size is not the one it says")
    if len(data) - 8 != key.count * dtype.itemsize:
        raise Refused("has a storage whose numbers are not as many as it says")
    return Storage(np.frombuffer(data[8:], dtype), key.kind == STORAGES["BFloat16Storage"])


def tensor_of(arguments: tuple[Any, ...]) -> Tensor:
    """storage, offset, size, stride, requires_grad, hooks: a view that lies inside its storage and has no more elements."""
    if len(arguments) != 6 or type(arguments[0]) is not Storage or not (type(arguments[5]) is dict and not arguments[5]):
        raise Refused("has a tensor that is not made as a snapshot's")
    storage, offset, size, stride = arguments[:4]
    if type(offset) is not int or not (_counts(size) and _counts(stride) and len(size) == len(stride) <= DIMENSIONS):
        raise Refused("has a tensor with impossible sizes")
    values, count = storage.values, 1
    for side in size:
        count *= side
        if count > len(values):
            raise Refused(f"has a tensor of more elements than the {len(values)} of its storage")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if count else offset
    if offset < 0 or last >= len(values) + (count == 0):
        raise Refused("has a tensor that reaches beyond its storage")
    start, steps = offset * values.itemsize, tuple(step * values.itemsize for step in stride)
    try:
        view = np.ndarray(size, values.dtype, values, start, steps) if count else np.empty(size, values.dtype)
    except ValueError as error:
        raise Refused("has a tensor with impossible sizes") from error
    return Tensor(view, storage.bfloat16)


def parameter_of(arguments: tuple[Any, ...]) -> Tensor:
    right = len(arguments) == 3 and type(arguments[0]) is Tensor and type(arguments[1]) is bool
    if not right or type(arguments[2]) is not dict or arguments[2]:
        raise Refused("has a parameter that is not made as a snapshot's")
    return arguments[0]


def dtype_of(arguments: tuple[Any, ...]) -> Dtype:
    right = len(arguments) == 3 and type(arguments[0]) is str and arguments[0] in NUMBERS
    if not right or not same(arguments[1:], (False, True)):
        raise Refused("has a number of a kind that no snapshot has")
    return Dtype(arguments[0])


def scalar_of(arguments: tuple[Any, ...]) -> Any:
    """A Python number of a dtype and its bytes."""
    right = len(arguments) == 2 and type(arguments[0]) is Dtype and type(arguments[1]) is memoryview
    dtype = np.dtype("<" + arguments[0].name) if right else np.dtype("f8")
    if not right or len(arguments[1]) != dtype.itemsize:
        raise Refused("has a number that is not made as a snapshot's")
    return np.frombuffer(arguments[1], dtype)[0].item()


def same(values: tuple[Any, ...], wanted: tuple[Any, ...], also: tuple[str, ...] = ()) -> bool:
    """Plain values of the same types and contents; a text may also be one of `also`."""
    return len(values) == len(wanted) and all(
        type(one) is type(other) and (one == other or (also and one in also)) for one, other in zip(values, wanted, strict=True)
    )


def _counts(value: Any) -> bool:
    return type(value) is tuple and all(type(one) is int and one >= 0 for one in value)
