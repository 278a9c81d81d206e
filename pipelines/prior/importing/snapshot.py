"""The published pickles of networks with cameras, read without running a line of them.

A snapshot is a plain pickle whose modules carry their own source code; loading it the usual way executes that source. Here
every name becomes an inert stand-in (`Module`, and those of `storages`), the source is only hashed, and the tensors come out
as numpy views into the file, under the names and in the order of `state_dict()`: parameters, persistent buffers, children.

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

from pipelines.core.errors import UnusableMaterial
from pipelines.prior.importing.pickles import VALUES, Name, Reader, Refused, check_nesting, harmless
from pipelines.prior.importing.storages import (
    Dtype,
    Tensor,
    dtype_of,
    parameter_of,
    same,
    scalar_of,
    storage_of,
    tensor_of,
)

OPERATIONS = VALUES | {
    "FRAME", "MEMOIZE", "LONG_BINGET", "EMPTY_SET", "ADDITEMS", "BINFLOAT", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES",
    "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
}  # fmt: skip
DICTS = {Name("dnnlib.util", "EasyDict"), Name("collections", "OrderedDict")}
CONTAINERS = {Name("torch.nn.modules.container", "Sequential"), Name("torch.nn.modules.activation", "Softplus")}
FAMILY = re.compile(r"(training[A-Za-z0-9_]*|smplx)(\.[A-Za-z_][A-Za-z0-9_]*)*")
"""Packages of the authors and of forks, and of the body that some bring along; their classes are inert, whatever their name."""
DTYPE = Name("numpy", "dtype")
SCALARS = {Name("numpy.core.multiarray", "scalar"), Name("numpy._core.multiarray", "scalar")}
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Name("torch._utils", "_rebuild_parameter")
STORAGE = Name("torch.storage", "_load_from_bytes")
PERSISTENT = Name("torch_utils.persistence", "_reconstruct_persistent_obj")
CALLED = {*DICTS, *SCALARS, DTYPE, TENSOR, PARAMETER, STORAGE, PERSISTENT}
MAKERS = {DTYPE: dtype_of, TENSOR: tensor_of, PARAMETER: parameter_of, STORAGE: storage_of, **dict.fromkeys(SCALARS, scalar_of)}
DTYPE_STATE = (3, "<", None, None, None, -1, -1, 0)
NETWORKS = ("G", "D", "G_ema")
MODULES, LEVELS = 20_000, 60
"""A network has a few hundred modules, at most ten levels deep."""


class Module:
    """A module of the snapshot: its class name, its attributes, and the sha256 of the source it came with."""

    __slots__ = ("class_name", "source_sha256", "state")

    def __init__(self, class_name: str, state: dict[str, Any] | None, source_sha256: str | None = None):
        self.class_name, self.state, self.source_sha256 = class_name, state, source_sha256

    def attribute(self, name: str, default: Any = None) -> Any:
        return (self.state or {}).get(name, default)

    def array(self, name: str) -> np.ndarray | None:
        """The attribute as numbers where it is a tensor, else None."""
        value = self.attribute(name)
        return value.array() if type(value) is Tensor else None

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
        maker = self._persistent if function == PERSISTENT else MAKERS.get(function)
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
        elif type(target) is not Dtype or type(state) is not tuple or not same(state, DTYPE_STATE, also=("|", "<")):
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
