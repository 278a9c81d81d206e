"""Arrays and pictures of strangers: what a header promises is compared with what is there before memory is taken."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import LARGEST_ARRAYS, read_array, read_arrays, read_image, write_arrays, write_image

EXPECTED = {"times": "float [T]", "rows": "float [T,3]", "names": "text [N]", "valid": "bool [T]"}


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def arrays(**changes: object) -> dict[str, np.ndarray]:
    good = {"times": np.arange(4.0), "rows": np.zeros((4, 3)), "names": np.array(["a", "b"]), "valid": np.ones(4, bool)}
    return {name: np.asarray(value) for name, value in (good | changes).items() if value is not None}


def test_arrays_that_fit_are_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", **arrays(), more=np.zeros(2))
    read = read_arrays(tmp_path / "a.npz", EXPECTED)
    assert set(read) == {*EXPECTED, "more"} and read["rows"].shape == (4, 3)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"times": None}, "has no times"),
        ({"times": np.arange(5.0)}, r"has rows of shape \[4, 3\], where \[T,3\] belongs"),
        ({"rows": np.zeros((4, 2))}, r"has rows of shape"),
        ({"rows": np.full((4, 3), np.nan)}, "numbers in rows that are not finite"),
        ({"times": np.array(list("abcd"))}, "has times of <U1, where float belongs"),
        ({"valid": 1.0}, "has valid of float64, where bool belongs"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(UnusableMaterial, match=words) as caught:
        read_arrays(tmp_path / "a.npz", EXPECTED, "avatarcli track VIDEO")
    assert str(caught.value).endswith("Make it with `avatarcli track VIDEO`.")


def test_memory_is_not_taken_for_what_a_header_promises(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header((1_000_000, 1_000_000)) + bytes(64))
    with pytest.raises(UnusableMaterial, match="does not hold the 1000000x1000000 numbers it promises"):
        read_arrays(tmp_path / "a.npz")
    (tmp_path / "b.npy").write_bytes(header((1 << 40,)) + bytes(64))
    with pytest.raises(UnusableMaterial, match="does not hold"):
        read_array(tmp_path / "b.npy")


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST_ARRAYS < 1 << 34
    monkeypatch.setattr("pipelines.core.files.LARGEST_ARRAYS", 1 << 20)
    write_arrays(tmp_path / "a.npz", x=np.zeros(1 << 18))
    with pytest.raises(UnusableMaterial, match="unpacks to 2 MB"):
        read_arrays(tmp_path / "a.npz")


def test_pickles_and_other_files_are_no_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 and no more")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("notes.txt", "none")
    np.save(tmp_path / "d.npy", np.array([{}], object))
    for name in ("a.npz", "b.npz", "c.npz", "gone.npz"):
        with pytest.raises(UnusableMaterial, match=name):
            read_arrays(tmp_path / name)
    with pytest.raises(UnusableMaterial, match="holds no arrays"):
        read_array(tmp_path / "d.npy")


def test_a_picture_that_promises_billions_of_pixels_is_not_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "large.png"
    for side, words in ((50_000, "million pixels"), (17_000, "17000x17000 pixels")):
        start = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
        with pytest.raises(UnusableMaterial, match=words):
            read_image(path)


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 4), np.uint8)
    for channels in (image, image[..., :3], image[..., 0]):
        write_image(tmp_path / "a.png", channels)
        assert np.array_equal(read_image(tmp_path / "a.png"), channels)
