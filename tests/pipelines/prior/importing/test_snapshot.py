"""The restricted reader: exact on what snapshots hold, closed to everything else."""

import io
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.prior.importing.snapshot import read_snapshot
from tests.material import shared
from tests.pipelines.prior.importing.test_networks import SMALL
from tests.published import official_names, write_snapshot

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module: str, thing: str) -> bytes:
    return text(module) + text(thing) + b"\x93"


def file(path: Path, root: bytes) -> Path:
    """A pickle of protocol 4 whose value is made by `root`."""
    path.write_bytes(b"\x80\x04" + root + b".")
    return path


def within(value: bytes) -> bytes:
    """A root whose G_ema is a module with `value` as an attribute, so that a reader that allows it reads on."""
    state = b"}(" + text("_modules") + b"}" + text("x") + value + b"u"
    return b"}" + text("G_ema") + name("training.triplane", "Anything") + b")\x81" + state + b"bs"


def refusal(path: Path) -> str:
    with pytest.raises(UnusableMaterial) as caught:
        read_snapshot(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and said.endswith(".") and "\n" not in said
    return said.removeprefix(str(path))


def test_the_fixture_is_read_to_the_bit() -> None:
    snapshot = read_snapshot(shared("goldens/eg3d/fixture_network_snapshot.pkl"))
    found = {f"{network}.{key}": array for network in snapshot.networks for key, array in snapshot.state(network).items()}
    with np.load(shared("goldens/eg3d/fixture_expected_state.npz")) as expected:
        assert list(found) == list(expected.files)
        for key, array in found.items():
            assert (array.dtype, array.shape) == (expected[key].dtype, expected[key].shape)
            assert array.tobytes() == expected[key].tobytes()
    assert snapshot.others == ["training_set_kwargs", "augment_pipe"]
    assert all(len(value) == 64 for value in snapshot.sources.values())


@pytest.mark.parametrize("kind", ["os_system", "eval", "exec", "torch_load"])
def test_the_malicious_fixtures_are_refused(kind: str) -> None:
    assert "which no snapshot has" in refusal(shared(f"goldens/eg3d/fixture_evil_{kind}.pkl"))


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_kinds_of_numbers(tmp_path: Path, dtype: str) -> None:
    kind = getattr(torch, dtype)
    values = (torch.randn(3, 4, 5) * 3).to(kind).permute(2, 0, 1)[1:]  # strided, with an offset
    array = read_snapshot(of_tensor(tmp_path / "a.pkl", values)).state("G_ema")["x"]
    expected = values.float() if dtype == "bfloat16" else values
    assert array.dtype == expected.numpy().dtype
    assert array.tobytes() == expected.contiguous().numpy().tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,)])
def test_small_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert read_snapshot(of_tensor(tmp_path / "a.pkl", torch.zeros(shape))).state("G_ema")["x"].shape == shape


def of_tensor(path: Path, tensor: torch.Tensor) -> Path:
    """A snapshot whose G_ema has one buffer `x`."""
    with official_names() as names:
        module = names.plain["RaySampler"]()
        module.register_buffer("x", tensor)
        path.write_bytes(pickle.dumps({"G_ema": module}, protocol=4))
    return path


CALLS = [("posix", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("subprocess", "Popen"),
         ("copyreg", "_reconstructor"), ("torch", "load"), ("torch.hub", "load"), ("functools", "partial"),
         ("operator", "attrgetter"), ("numpy.core.multiarray", "_reconstruct"), ("_codecs", "encode")]  # fmt: skip


@pytest.mark.parametrize(("module", "thing"), CALLS)
def test_foreign_functions_have_no_name_here(tmp_path: Path, module: str, thing: str) -> None:
    call = name(module, thing) + text(f"echo > {tmp_path / 'trace'}") + b"\x85R"
    assert f"names {module}.{thing}" in refusal(file(tmp_path / "evil.pkl", within(call)))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("module", "thing"),
    [
        ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("collections", "OrderedDict.__init__"),
        ("training.triplane", "os.system"), ("training.triplane.", "x"), ("training/../os", "system"), ("training.a-b", "x"),
        ("trainingx.os\n", "system"), ("torch.storage", "_load_from_bytes\n"), ("", ""), ("os.training", "system"),
    ],
)  # fmt: skip
def test_dotted_and_crooked_names_are_refused(tmp_path: Path, module: str, thing: str) -> None:
    said = refusal(file(tmp_path / "evil.pkl", within(name(module, thing))))
    assert "names" in said


def test_the_familys_names_import_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training_fork.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nclass Net: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    snapshot = read_snapshot(file(tmp_path / "a.pkl", within(name("training_fork", "Net") + b")\x81}b")))
    assert snapshot.networks["G_ema"].attribute("x").class_name == "training_fork.Net"
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (name("training.a", "Net") + text("echo") + b"\x85R", "calls something"),
        (name("training.a", "Net") + text("echo") + b"\x85\x81", "makes an object"),
        (name("collections", "OrderedDict") + text("echo") + b"\x85R", "calls something"),
        (name("torch._utils", "_rebuild_tensor_v2") + b")\x81", "makes an object"),
        (text("eval") + text("1") + b"\x85R", "calls something"),
        (name("training.a", "Net") + b")\x81}b}b", "sets the state of a module"),
        (name("training.a", "Net") + b")\x81" + text("__class__") + b"b", "sets the state of a module"),
        (name("training.a", "Net") + b")\x81}" + b"N" + b"\x86b", "sets the state of a module"),
        (name("collections", "OrderedDict") + b")R}b", "sets the state of a dict"),
        (b"]}b", "sets the state of a list"),
        (name("torch._utils", "_rebuild_tensor_v2") + b"}b", "sets the state of a name"),
        (name("numpy", "dtype") + text("f8") + b"\x89\x88\x87R}b", "sets the state of a dtype"),
        (name("numpy", "dtype") + text("O8") + b"\x89\x88\x87R", "number of a kind"),
    ],
)
def test_calls_objects_and_states(tmp_path: Path, value: bytes, said: str) -> None:
    assert said in refusal(file(tmp_path / "evil.pkl", within(value)))


@pytest.mark.parametrize(
    ("value", "operation"),
    [
        (b"Pos.system\n", "PERSID"), (text("a") + b"Q", "BINPERSID"), (b"(" + text("echo") + b"iposix\nsystem\n", "INST"),
        (b"(cposix\nsystem\no", "GLOBAL"),
        (b"(" + name("training.a", "N") + b"o", "OBJ"), (b"\x82\x01", "EXT1"), (b"\x84\1\0\0\0", "EXT4"),
        (b"cposix\nsystem\n", "GLOBAL"),
        (name("training.a", "N") + b")}\x92", "NEWOBJ_EX"), (b"\x97", "NEXT_BUFFER"), (b"\x96" + b"\0" * 8, "BYTEARRAY8"),
        (b"r\xff\xff\xff\xff", "LONG_BINPUT"), (b"\x8e" + b"\xff" * 8, "BINBYTES8"), (b"0", "POP"), (b"\xff", "0xff"),
    ],
)  # fmt: skip
def test_operations_that_no_snapshot_has(tmp_path: Path, value: bytes, operation: str) -> None:
    assert f"operation {operation} " in refusal(file(tmp_path / "evil.pkl", within(value)))


def test_a_state_that_python_would_run_is_data(tmp_path: Path) -> None:
    """__setstate__ and __reduce__ as keys of a state are keys of a dict."""
    state = b"}(" + text("__setstate__") + text("x") + text("__reduce__") + b"Nu"
    read = read_snapshot(file(tmp_path / "a.pkl", within(name("training.a", "Net") + b")\x81" + state + b"b")))
    assert read.networks["G_ema"].attribute("x").state == {"__setstate__": "x", "__reduce__": None}


def test_a_source_that_leaves_a_trace_leaves_none(tmp_path: Path) -> None:
    """Python's own loader would run it (its function is made to, here); the reader does not."""
    source = write_snapshot(tmp_path / "a.pkl", EG3D(SMALL), None, trace=tmp_path / "trace")
    read_snapshot(source)
    assert not (tmp_path / "trace").exists()

    class Anything(OrderedDict[Any, Any]):
        def __init__(self, *arguments: Any) -> None: ...
        def __setstate__(self, state: Any) -> None: ...

    class Loader(pickle.Unpickler):
        def find_class(self, module: str, thing: str) -> Any:
            return (lambda meta: exec(meta["module_src"], {})) if thing == "_reconstruct_persistent_obj" else Anything

    Loader(io.BytesIO(source.read_bytes())).load()
    assert (tmp_path / "trace").exists()


def broken(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with official_names() as names:
            module = names.persistent("A", "source")
            true: Any = type(module).__reduce_ex__

            def reduce(self: Any, protocol: Any = None) -> Any:
                function, (meta,) = true(self, protocol)
                change(meta)
                return function, (meta,)

            type(module).__reduce_ex__ = reduce  # type: ignore[assignment]
            path.write_bytes(pickle.dumps({"G_ema": module}, protocol=4))
        return path

    return write


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(version=7), lambda meta: meta.update(version=True), lambda meta: meta.update(type="function"),
        lambda meta: meta.update(state=[]), lambda meta: meta.update(module_src=None), lambda meta: meta.update(class_name=1),
        lambda meta: meta.update(more=1), lambda meta: meta.pop("module_src"),
    ],
)  # fmt: skip
def test_modules_that_describe_themselves_otherwise(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    assert "has a module" in refusal(broken(change)(tmp_path / "a.pkl"))


def stream(
    *,
    magic: bytes = MAGIC,
    version: int = 1001,
    little: bool = True,
    key: bytes = b"",
    count: int = 4,
    data: bytes = b"\0" * 16,
) -> bytes:
    """A storage of `count` floats as torch writes it."""
    system = pickle.dumps({"protocol_version": version, "little_endian": little, "type_sizes": {"int": 4}}, protocol=2)
    key = key or b"\x80\x02(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpuK\4NtQ."
    return (
        magic
        + pickle.dumps(version, protocol=2)
        + system
        + key
        + pickle.dumps(["a"], protocol=2)
        + struct.pack("<q", count)
        + data
    )


def tensor(storage: bytes = b"", *, offset: bytes = b"K\0", size: bytes = b"K\4\x85", stride: bytes = b"K\1\x85") -> bytes:
    storage = storage or stream()
    held = name("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(storage)) + storage + b"\x85R"
    hooks = name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + held + offset + size + stride + b"\x89" + hooks + b"tR"


BIG = b"J\xff\xff\xff\x7f"


def key_of(words: bytes) -> bytes:
    return b"\x80\x02" + words + b"."


def test_the_hand_made_storage_is_a_good_one(tmp_path: Path) -> None:
    read = read_snapshot(file(tmp_path / "a.pkl", within(tensor())))
    assert read.networks["G_ema"].attribute("x").array().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (tensor(stream(count=5)), "size is not the one"), (tensor(stream(data=b"\0" * 15)), "not as many"),
        (tensor(stream(data=b"\0" * 17)), "not as many"), (tensor(stream(count=-1)), "size is not the one"),
        (tensor(stream(magic=pickle.dumps(1, protocol=2))), "torch stream"), (tensor(stream(version=1002)), "torch stream"),
        (tensor(stream(little=False)), "torch stream"), (tensor(b"\x80"), "ends too early"),
        (tensor(stream(key=key_of(b"cposix\nsystem\nX\4\0\0\0echo\x85R"))), "names posix.system"),
        (tensor(stream(key=key_of(b"ctorch\nload\nX\4\0\0\0echo\x85Q"))), "names torch.load"),
        (tensor(stream(key=key_of(b"ctorch\nFloatStorage\nX\4\0\0\0echo\x85R"))), "operation REDUCE"),
        (tensor(stream(key=key_of(b"X\4\0\0\0echoQ"))), "description"),
        (tensor(stream(key=key_of(b"Pos\n"))), "operation PERSID"),
        (tensor(size=b"K\5\x85"), "more elements"), (tensor(size=BIG + b"\x85"), "more elements"),
        (tensor(size=BIG + BIG + b"\x86", stride=b"K\0K\0\x86"), "more elements"), (tensor(stride=b"K\2\x85"), "beyond"),
        (tensor(offset=b"K\1"), "beyond"), (tensor(offset=b"J\xff\xff\xff\xff"), "beyond"), (tensor(offset=b"\x88"), "sizes"),
        (tensor(stride=b"J\xff\xff\xff\xff\x85"), "sizes"), (tensor(size=b"J\xfc\xff\xff\xff\x85"), "sizes"),
        (tensor(size=b"K\2K\2\x86"), "sizes"),
        (tensor(size=b"(" + b"K\1" * 9 + b"t", stride=b"(" + b"K\1" * 9 + b"t"), "sizes"),
        (tensor(size=b"]"), "sizes"), (tensor() + b"}b", "sets the state of a tensor"),
        (name("torch.storage", "_load_from_bytes") + text("a") + b"\x85R", "not made of bytes"),
        (name("torch._utils", "_rebuild_parameter") + b"}\x88}\x87R", "parameter"),
        (name("torch._utils", "_rebuild_tensor_v2") + b")R", "tensor that is not made"),
    ],
)  # fmt: skip
def test_storages_and_tensors_that_lie(tmp_path: Path, value: bytes, said: str) -> None:
    assert said in refusal(file(tmp_path / "evil.pkl", within(value)))


def test_states_of_storages_and_numbers_are_refused(tmp_path: Path) -> None:
    storage = name("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(stream())) + stream() + b"\x85R"
    assert "sets the state of a storage" in refusal(file(tmp_path / "a.pkl", within(storage + b"}b")))
    dtype = name("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
    number = name("numpy.core.multiarray", "scalar") + dtype + b"C\x08" + struct.pack("<d", 2.5) + b"\x86R"
    assert read_snapshot(file(tmp_path / "b.pkl", within(number))).networks["G_ema"].attribute("x") == 2.5
    assert "sets the state of a float" in refusal(file(tmp_path / "c.pkl", within(number + b"}b")))
    short = name("numpy._core.multiarray", "scalar") + dtype + b"C\x04" + b"\0" * 4 + b"\x86R"
    assert "number that is not made" in refusal(file(tmp_path / "d.pkl", within(short)))


@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [("f2", "e", 2.5), ("f4", "f", 2.5), ("i1", "b", -3), ("i8", "q", -(2**40)), ("u4", "I", 2**32 - 1), ("b1", "?", True)],
)
def test_numbers_of_numpy_are_read_as_what_they_are(tmp_path: Path, kind: str, code: str, value: float) -> None:
    dtype = name("numpy", "dtype") + text(kind) + b"\x89\x88\x87R"
    packed = struct.pack(f"<{code}", value)
    number = name("numpy.core.multiarray", "scalar") + dtype + b"C" + bytes([len(packed)]) + packed + b"\x86R"
    read = read_snapshot(file(tmp_path / "a.pkl", within(number))).networks["G_ema"].attribute("x")
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "arguments",
    [
        text("f8") + b"\x85", text("f8") + b"\x89\x86", text("f8") + b"\x89\x89\x87", text("f8") + b"\x88\x88\x87",
        text("f8") + b"K\0K\1\x87", b"(" + text("f8") + b"\x89\x88Nt", text(">f8") + b"\x89\x88\x87",
        text("V8") + b"\x89\x88\x87", b"K\x08\x89\x88\x87", b"]\x89\x88\x87", b")",
    ],
)  # fmt: skip
def test_a_dtype_that_numpy_would_not_write_is_refused(tmp_path: Path, arguments: bytes) -> None:
    value = name("numpy", "dtype") + arguments + b"R"
    assert "has a number of a kind that no snapshot has" in refusal(file(tmp_path / "evil.pkl", within(value)))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"]" * 100_000 + b"a" * 99_999, "nested more than"), (b"N" + b"\x85" * 100_000, "nested more than"),
        (b"(" * 100_000, "nested more than"), (b"}" * 1_000_001, "operations"), (b"j\xff\xff\xff\x7f", "remembered value"),
        (b"h\x09", "remembered value"), (b"}}Ns", "neither a text nor"), (b"\x8f(N\x90", "neither a text nor"),
        (b"t", "never opened"),
        (b"a", "not a list"), (b"}(Nu", "key without a value"), (b"X\xff\xff\xff\xff", "ends too early"),
        (b"B\xff\xff\xff\xff", "ends too early"),
        (b"\x95" + b"\xff" * 8, "ends too early"), (b"\x8c\x01\xff", "not UTF-8"), (b"\x80\x09", "protocol 9"),
    ],
)  # fmt: skip
def test_bombs_and_broken_pickles(tmp_path: Path, value: bytes, said: str) -> None:
    assert said in refusal(file(tmp_path / "evil.pkl", within(value)))


def test_a_module_in_itself_and_many_paths_end(tmp_path: Path) -> None:
    itself = name("training.a", "N") + b")\x81\x94}" + text("_modules") + b"}" + text("a") + b"h\0ssb"
    snapshot = read_snapshot(file(tmp_path / "a.pkl", b"}" + text("G_ema") + itself + b"s"))
    with pytest.raises(UnusableMaterial, match="without end"):
        snapshot.state("G_ema")
    tower = b"("
    for number in range(40):
        held = b"".join(text(letter) + b"h" + bytes([number - 1]) for letter in "ab") if number else b""
        tower += name("training.a", "N") + b")\x81\x94}" + text("_modules") + b"}(" + held + b"usb"
    values = b"}(" + text("x") + tower + b"t" + text("G_ema") + b"h" + bytes([39]) + b"u"
    snapshot = read_snapshot(file(tmp_path / "b.pkl", values))
    with pytest.raises(UnusableMaterial, match="without end"):
        snapshot.state("G_ema")


def test_one_storage_claimed_many_times_is_refused(tmp_path: Path) -> None:
    key = key_of(b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpuM\0\4NtQ")
    held = tensor(stream(key=key, count=1024, data=b"\0" * 4096), size=b"M\0\4\x85")
    buffers = b"}(" + text("a") + held + b"\x94" + b"".join(text(f"b{one}") + b"h\0" for one in range(200)) + b"u"
    module = name("training.a", "N") + b")\x81}" + text("_buffers") + buffers + b"sb"
    snapshot = read_snapshot(file(tmp_path / "a.pkl", b"}" + text("G_ema") + module + b"s"))
    with pytest.raises(UnusableMaterial, match="more numbers than the file holds"):
        snapshot.state("G_ema")


@pytest.mark.parametrize(
    ("group", "content", "said"),
    [
        ("_buffers", b"}" + text("a.b") + tensor() + b"s", "impossible name"),
        ("_buffers", b"}" + text("a") + b"}s", "where a tensor belongs"),
        ("_parameters", b"]", "are not a dict"), ("_modules", b"}" + text("a") + text("b") + b"s", "where a module belongs"),
    ],
)  # fmt: skip
def test_networks_that_are_none(tmp_path: Path, group: str, content: bytes, said: str) -> None:
    module = name("training.a", "N") + b")\x81}" + text(group) + content + b"sb"
    snapshot = read_snapshot(file(tmp_path / "a.pkl", b"}" + text("G_ema") + module + b"s"))
    with pytest.raises(UnusableMaterial, match=said):
        snapshot.state("G_ema")


def test_truth_values_are_zero_or_one(tmp_path: Path) -> None:
    path = of_tensor(tmp_path / "a.pkl", torch.ones(64, dtype=torch.bool))
    path.write_bytes(path.read_bytes().replace(b"\1" * 64, b"\2" * 64))
    with pytest.raises(UnusableMaterial, match="neither 0 nor 1"):
        read_snapshot(path).state("G_ema")


def test_a_file_that_was_cut_off_is_refused_wherever(tmp_path: Path) -> None:
    whole = write_snapshot(tmp_path / "a.pkl", EG3D(SMALL), None, trace=tmp_path / "trace").read_bytes()
    for share in (0.001, 0.3, 0.7, 0.999):
        (tmp_path / "b.pkl").write_bytes(whole[: int(len(whole) * share)])
        assert "not downloaded completely" in refusal(tmp_path / "b.pkl")
    (tmp_path / "b.pkl").write_bytes(whole + b"x")
    assert "bytes behind its end" in refusal(tmp_path / "b.pkl")


def test_any_changed_bytes_give_a_sentence_or_numbers(tmp_path: Path) -> None:
    """Random damage never becomes another error, nor a call."""
    from pipelines.prior.importing.networks import ImportSettings, published, recognized
    from pipelines.prior.importing.pickles import Refused

    whole = write_snapshot(tmp_path / "a.pkl", EG3D(SMALL), DualDiscriminator(SMALL), trace=tmp_path / "trace").read_bytes()
    places = [place for _, _, place in pickletools.genops(whole) if place is not None]
    random = np.random.default_rng(0)
    ended = {"read": 0, "refused": 0}
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[random.choice(places) + random.integers(0, 3)] = random.integers(0, 256)
        (tmp_path / "b.pkl").write_bytes(damaged)
        try:
            snapshot = read_snapshot(tmp_path / "b.pkl")
            recognized(snapshot.path, published(snapshot, ImportSettings(plane_axes="eg3d_fixed67")))
            ended["read"] += 1
        except (Refused, UnusableMaterial, SettingError):
            ended["refused"] += 1
    assert min(ended.values()) > 0
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"), (b"hello world, this is text\n", "is a text file"), (b"<!DOCTYPE html>", "is a web page"),
        (b"\x1f\x8b\x08", "gzip"), (b"version https://git-lfs.github.com/spec/v1", "git-lfs"),
        (b"\x00\x01\x02", "is not a pickle"),
        (b"\x80\x02}q\x00.", "protocol 2"), (b"\x80\x04K\1.", "not of a snapshot"), (b"\x80\x04}.", "no network called G_ema"),
        (b"\x10\0\0\0\0\0\0\0{}", "is a safetensors file"), (b"\x80\x04.", "takes a value"), (b"\x80\x04NN.", "left over"),
    ],
)  # fmt: skip
def test_other_files_are_called_by_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    assert said in refusal(tmp_path / "a.pkl")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_checkpoint_is_called_so(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pkl", _use_new_zipfile_serialization=zipped)
    assert "torch.save" in refusal(tmp_path / "a.pkl")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(UnusableMaterial, match="give the network's .pkl file"):
            read_snapshot(path)


def test_the_reader_needs_no_torch() -> None:
    import subprocess
    import sys

    from tests.avatarcli.cli import environment

    code = "import sys, pipelines.prior.importing.snapshot; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "False"
