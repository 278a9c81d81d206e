"""A name is a file, a film is what holds its media itself, and the film behind a photo is found."""

import os
from pathlib import Path

import pytest

from pipelines.core.errors import UnusableMaterial
from pipelines.media.open import open_container
from pipelines.media.video import probe, read_frames
from tests.pipelines.media.test_containers import clip, ffmpeg, numbers

NAMES = (
    "10:30.mp4", "Anna: Teil 1.mp4", "file:me.mp4", "concat:me.mp4|you.mp4", "cache:me.mp4", "async:me.mp4", "-x.mp4",
    "subfile,,start,0,end,9,,:me.mp4", "me%03d.mp4", "[me]{1}.mp4", "me\nyou.mp4", "data:me.mp4", "crypto+file:me.mp4",
    "pipe:0", "http:", "2026-11-29T10:30:12.mp4", "it's %d 'me'.mp4",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("me.mp4", "you.mp4"):
        clip(Path(other), 3)
    Path("own.mp4").write_bytes(clip(tmp_path / "o.mp4", 5).read_bytes())
    os.replace("own.mp4", name)
    assert probe(Path(name)).frames == 5 and numbers(Path(name)) == list(range(5))


def test_a_name_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    path.write_bytes(clip(tmp_path / "o.mp4", 3).read_bytes())
    with pytest.raises(UnusableMaterial, match="not text in UTF-8; rename it"):
        probe(path)


@pytest.mark.parametrize("name", ["10:30.mp4", "file:out.mp4", "concat:a.mp4", "-x.mp4", "it's.mp4", "a%03d.mp4"])
def test_names_that_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    clip(Path(name), 4)
    assert os.listdir() == [name] and probe(Path(name)).frames == 4


@pytest.mark.parametrize("ending", [".mp4", ".m3u8", ".txt", ".wav", ""])
def test_lists_of_files_and_texts_are_no_films(tmp_path: Path, ending: str) -> None:
    other = clip(tmp_path / "other.mp4", 30)
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"
    concat, dash = f"ffconcat version 1.0\nfile '{other}'\n", "<?xml version='1.0'?><MPD type='static'><Period/></MPD>"
    for number, text in enumerate((hls, concat, dash, "\x1b[0m hello\n" * 100, "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n")):
        path = tmp_path / f"{number}{ending}"
        path.write_text(text)
        with pytest.raises(UnusableMaterial, match="not a readable video"):
            open_container(path)


def test_numbered_pictures_are_no_film(tmp_path: Path) -> None:
    for number in range(3):
        ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", tmp_path / f"a{number}.jpg")
    (tmp_path / "a%d.jpg").write_bytes((tmp_path / "a0.jpg").read_bytes())
    assert probe(tmp_path / "a%d.jpg").frames == 1


def test_the_film_of_a_motion_photo(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", tmp_path / "a.jpg")
    film = clip(tmp_path / "a.mp4", 7).read_bytes()
    for name, behind in (("google.jpg", film), ("samsung.jpg", b"MotionPhoto_Data" + film + b"SEFH0000SEFT")):
        (tmp_path / name).write_bytes((tmp_path / "a.jpg").read_bytes() + behind)
        assert probe(tmp_path / name).size == (96, 64) and numbers(tmp_path / name) == list(range(7))
    box = len(film) + 8
    heic = b"\x00\x00\x00\x10ftypheic\x00\x00\x00\x00" + box.to_bytes(4, "big") + b"mpvd" + film
    (tmp_path / "a.heic").write_bytes(heic)
    assert numbers(tmp_path / "a.heic") == list(range(7))
    assert next(read_frames(tmp_path / "a.jpg")).image.shape == (64, 64, 3)
