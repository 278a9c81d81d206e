"""The published pickles of the EG3D family, read without running a line of them.

A snapshot is a plain pickle whose modules carry their own source code; loading it the usual way executes that source. Here
every name becomes an inert stand-in (`Module`, `Tensor`, `Storage`, numbers), the source is only hashed, and the tensors come
out as numpy views into the file, under the names and in the order of `state_dict()`: parameters, persistent buffers, children.

The operations and names are the complete list of what such files contain; anything else is refused, with one sentence.
"""

import hashlib
import mmap
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import UnusableMaterial
from pipelines.prior.pickles import VALUES, Name, Reader, Refused, check_nesting, harmless

OPERATIONS = VALUES | {
    "FRAME", "MEMOIZE", "LONG_BINGET", "EMPTY_SET", "ADDITEMS", "BINFLOAT", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES",
    "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
}  # fmt: skip
STREAM_OPERATIONS = VALUES | {"BINPUT", "LONG1", "GLOBAL", "BINPERSID"}
"""Of the five small pickles at the head of a storage."""
DICTS = {Name("dnnlib.util", "EasyDict"), Name("collections", "OrderedDict")}
CONTAINERS = {Name("torch.nn.modules.container", "Sequential"), Name("torch.nn.modules.activation", "Softplus")}
FAMILY = re.compile(r"training[A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
"""Packages of the authors and of forks, whose classes are inert here whatever they are called."""
DTYPE = Name("numpy", "dtype")
SCALARS = {Name("numpy.core.multiarray", "scalar"), Name("numpy._core.multiarray", "scalar")}
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Name("torch._utils", "_rebuild_parameter")
STORAGE = Name("torch.storage", "_load_from_bytes")
PERSISTENT = Name("torch_utils.persistence", "_reconstruct_persistent_obj")
CALLED = {*DICTS, *SCALARS, DTYPE, TENSOR, PARAMETER, STORAGE, PERSISTENT}
STORAGES = {
    "FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "|i1", "ByteStorage": "|u1", "BoolStorage": "|b1",
}  # fmt: skip
MAGIC = 0x1950A86A20F9469CFC6C
DTYPE_STATE = (3, "<", None, None, None, -1, -1, 0)
NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
DIMENSIONS = 8
NETWORKS = ("G", "D", "G_ema")
MODULES, LEVELS = 20_000, 60
"""A network has a few hundred modules, at most ten levels deep."""


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


class Module:
    """A module of the snapshot: its class name, its attributes, and the sha256 of the source it came with."""

    __slots__ = ("class_name", "source_sha256", "state")

    def __init__(self, class_name: str, state: dict[str, Any] | None, source_sha256: str | None = None):
        self.class_name, self.state, self.source_sha256 = class_name, state, source_sha256

    def attribute(self, name: str, default: Any = None) -> Any:
        return (self.state or {}).get(name, default)

    def child(self, path: str) -> "Module | None":
        """The module at a dotted path, or None."""
        found: Any = self
        for name in path.split("."):
            found = _group(found, "_modules").get(name) if isinstance(found, Module) else None
        return found if isinstance(found, Module) else None

    def walk(self) -> Iterator[tuple[str, "Module"]]:
        """(prefix such as `backbone.mapping.`, module), this one first, depth first."""
        count, open_modules = 0, [("", self)]
        while open_modules:
            prefix, module = open_modules.pop()
            count += 1
            if count > MODULES or prefix.count(".") > LEVELS:
                raise Refused("has modules inside one another without end")
            yield prefix, module
            children = [(f"{prefix}{_plain_name(name)}.", child) for name, child in _group(module, "_modules").items()]
            open_modules += [(name, child) for name, child in reversed(children) if _is(child, Module)]

    def tensors(self) -> dict[str, Tensor]:
        """What torch's `state_dict()` would give, by the same names in the same order."""
        found: dict[str, Tensor] = {}
        for prefix, module in self.walk():
            hidden = module.attribute("_non_persistent_buffers_set", set())
            _is(hidden, set)
            buffers = {name: one for name, one in _group(module, "_buffers").items() if name not in (hidden or ())}
            for name, tensor in (_group(module, "_parameters") | buffers).items():
                if _is(tensor, Tensor):
                    found[prefix + _plain_name(name)] = tensor
        return found


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is in the file: its networks by their names in it, and the hashes of the sources that came along."""

    path: Path
    networks: dict[str, Module]
    others: list[str]
    """Keys of the file that are no networks."""
    sources: dict[str, str] = field(default_factory=dict)
    """Class name -> sha256 of the source of its module."""

    def state(self, name: str) -> dict[str, np.ndarray]:
        """The tensors of a network; UnusableMaterial when they cannot be told apart or are out of proportion to the file."""
        try:
            tensors = self.networks[name].tensors()
            if sum(tensor.view.nbytes for tensor in tensors.values()) > 2 * self.path.stat().st_size:
                raise Refused("claims more numbers than the file holds")
            return {name: tensor.array() for name, tensor in tensors.items()}
        except Refused as refusal:
            raise refused(self.path, refusal) from refusal


def read_snapshot(path: Path) -> Snapshot:
    """The networks of a published pickle; UnusableMaterial says in one sentence why a file is not read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
            if what := other_kind(head):
                raise refused(path, what)
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnusableMaterial(
            f"{path} is {'a folder' if path.is_dir() else 'missing'}; give the network's .pkl file."
        ) from error
    try:
        return _read(path, data)
    except Refused as refusal:
        raise refused(path, refusal) from refusal


def _read(path: Path, data: memoryview) -> Snapshot:
    reader = SnapshotReader(data)
    root = reader.run()
    if reader.at != len(data):
        raise Refused(f"has {len(data) - reader.at} bytes behind its end")
    if type(root) is not dict:
        raise Refused("is a pickle, but not of a snapshot (a dict with G_ema)")
    check_nesting(root, _inside)
    networks = {name: root[name] for name in NETWORKS if type(root.get(name)) is Module}
    if "G_ema" not in networks:
        raise Refused("has no network called G_ema")
    others = [harmless(name) for name in root if name not in networks]
    return Snapshot(path=path, networks=networks, others=others, sources=reader.sources)


def refused(path: Path, why: object) -> UnusableMaterial:
    return UnusableMaterial(f"{path} {why}; nothing of it was run or kept.")


def other_kind(head: bytes) -> str:
    """What a file that begins with `head` is instead of a snapshot, or nothing when it may be one."""
    for start, what in (
        (b"PK\x03\x04", "is a zip archive, as torch.save writes checkpoints (.pt, .pth), and not a snapshot pickle"),
        (b"\x80\x02\x8a\nl\xfc\x9c", "is a torch.save checkpoint of the old kind and not a snapshot pickle"),
        (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
        (b"\x89HDF", "is an HDF5 file and not a snapshot pickle"),
        (b"version https://git-lfs", "is a git-lfs pointer and not the file itself; run git lfs pull"),
        (b"<", "is a web page and not the file itself; the download probably asked for a login"),
    ):
        if head.startswith(start):
            return what
    if not head:
        return "is empty (0 bytes)"
    if head[8:9] == b"{":
        return "is a safetensors file and not a snapshot pickle"
    if head[0] == 0x80:
        return ""
    return "is a text file and not a snapshot pickle" if head.isascii() and b"\0" not in head else "is not a pickle"


class SnapshotReader(Reader):
    """The outer pickle."""

    def __init__(self, data: memoryview):
        super().__init__(data, allowed=OPERATIONS, protocols=(4, 5))
        self.sources: dict[str, str] = {}
        self.hashes: dict[int, tuple[str, str]] = {}

    def known(self, name: Name) -> Name:
        inert = FAMILY.fullmatch(name.module) and name.name.isidentifier() and name.name.isascii()
        return name if name in CALLED or name in CONTAINERS or inert else super().known(name)

    def call(self, function: Any, arguments: Any) -> Any:
        if type(function) is not Name or type(arguments) is not tuple:
            return super().call(function, arguments)
        if function in DICTS and arguments == ():
            return {}
        makers = {DTYPE: _dtype, TENSOR: _tensor, PARAMETER: _parameter, STORAGE: _storage, PERSISTENT: self._persistent}
        maker = _scalar if function in SCALARS else makers.get(function)
        return maker(arguments) if maker else super().call(function, arguments)

    def new(self, kind: Any, arguments: Any) -> Any:
        if type(kind) is not Name or type(arguments) is not tuple or arguments:
            return super().new(kind, arguments)
        if kind in DICTS:
            return {}
        return super().new(kind, arguments) if kind in CALLED else Module(str(kind), None)

    def build(self, target: Any, state: Any) -> None:
        if type(target) is Module and target.state is None and type(state) is dict:
            target.state = state
        elif type(target) is not Dtype or type(state) is not tuple or not _same(state, DTYPE_STATE, also=("|", "<")):
            super().build(target, state)

    def _persistent(self, arguments: tuple[Any, ...]) -> Module:
        meta = arguments[0] if len(arguments) == 1 else None
        if type(meta) is not dict or set(meta) != {"type", "version", "module_src", "class_name", "state"}:
            raise Refused("has a module whose description is not a snapshot's")
        texts = meta["module_src"], meta["class_name"], meta["type"]
        if any(type(text) is not str for text in texts) or meta["type"] != "class" or type(meta["state"]) is not dict:
            raise Refused("has a module whose description is not a snapshot's")
        if type(meta["version"]) is not int or meta["version"] != 6:
            raise Refused("has a module of another version than 6")
        sha256, class_name = self._sha256(texts[0]), harmless(texts[1])
        self.sources[class_name] = sha256
        return Module(class_name, meta["state"], sha256)

    def _sha256(self, source: str) -> str:
        """Of a source; one text serves many modules and is hashed once (kept here, so that its id stays its own)."""
        if id(source) not in self.hashes:
            self.hashes[id(source)] = source, hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        return self.hashes[id(source)][1]


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
        if not right or type(key[1]) is not Name or not _same((key[0], key[5]), ("storage", None)):
            raise Refused("has a storage whose description is not a snapshot's")
        self.kind, self.key, self.count = STORAGES[key[1].name], key[2], key[4]
        if self.count < 0:
            raise Refused("has a storage of negative size")


def _storage(arguments: tuple[Any, ...]) -> Storage:
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
    if (
        type(key) is not StorageKey
        or type(keys) is not list
        or len(keys) != 1
        or type(keys[0]) is not str
        or keys[0] != key.key
    ):
        raise Refused("has a storage whose description is not a snapshot's")
    return _numbers(data[at:], key)


def _numbers(data: memoryview, key: StorageKey) -> Storage:
    dtype = np.dtype(key.kind)
    if len(data) < 8 or int.from_bytes(data[:8], "little", signed=True) != key.count:
        raise Refused("has a storage whose size is not the one it says")
    if len(data) - 8 != key.count * dtype.itemsize:
        raise Refused("has a storage whose numbers are not as many as it says")
    return Storage(np.frombuffer(data[8:], dtype), key.kind == STORAGES["BFloat16Storage"])


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
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
    steps = tuple(step * values.itemsize for step in stride)
    try:
        view = (
            np.ndarray(size, values.dtype, values, offset * values.itemsize, steps) if count else np.empty(size, values.dtype)
        )
    except ValueError as error:
        raise Refused("has a tensor with impossible sizes") from error
    return Tensor(view, storage.bfloat16)


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    right = len(arguments) == 3 and type(arguments[0]) is Tensor and type(arguments[1]) is bool
    if not right or type(arguments[2]) is not dict or arguments[2]:
        raise Refused("has a parameter that is not made as a snapshot's")
    return arguments[0]


def _dtype(arguments: tuple[Any, ...]) -> Dtype:
    if (
        len(arguments) != 3
        or type(arguments[0]) is not str
        or arguments[0] not in NUMBERS
        or not _same(arguments[1:], (False, True))
    ):
        raise Refused("has a number of a kind that no snapshot has")
    return Dtype(arguments[0])


def _scalar(arguments: tuple[Any, ...]) -> Any:
    """A Python number of a dtype and its bytes."""
    right = len(arguments) == 2 and type(arguments[0]) is Dtype and type(arguments[1]) is memoryview
    dtype = np.dtype("<" + arguments[0].name) if right else np.dtype("f8")
    if not right or len(arguments[1]) != dtype.itemsize:
        raise Refused("has a number that is not made as a snapshot's")
    return np.frombuffer(arguments[1], dtype)[0].item()


def _same(values: tuple[Any, ...], wanted: tuple[Any, ...], also: tuple[str, ...] = ()) -> bool:
    """Plain values of the same types and contents; a text may also be one of `also`."""
    return len(values) == len(wanted) and all(
        type(one) is type(other) and (one == other or (also and one in also)) for one, other in zip(values, wanted, strict=True)
    )


def _counts(value: Any) -> bool:
    return type(value) is tuple and all(type(one) is int and one >= 0 for one in value)


def _is(value: Any, kind: type) -> bool:
    """Whether there is a value of this kind; nothing (None) is no member, anything else no snapshot."""
    if value is not None and type(value) is not kind:
        raise Refused(f"has a {type(value).__name__.lower()} where a {kind.__name__.lower()} belongs")
    return value is not None


def _group(module: Module, name: str) -> dict[str, Any]:
    group = module.attribute(name, {})
    if type(group) is not dict:
        raise Refused(f"has a module whose {name} are not a dict")
    return group


def _plain_name(name: Any) -> str:
    if type(name) is not str or not name or "." in name or len(name) > 200:
        raise Refused("has a tensor or module with an impossible name")
    return name


def _inside(value: Any) -> Collection[Any]:
    return (value.state,) if type(value) is Module else ()
