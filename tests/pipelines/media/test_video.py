"""Videos read as a player shows them, and written whole or not at all."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial
from pipelines.media.encoder import concat_segments, encoded_sound, write_video
from pipelines.media.video import Orientation, probe, read_frames
from tests.material import ROOT


def corners(index: int = 0, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture whose four quarters differ; the first gets brighter with `index`."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (40 + 4 * index, 30, 30)
    image[: height // 2, width // 2 :] = (30, 200, 30)
    image[height // 2 :, : width // 2] = (30, 30, 220)
    image[height // 2 :, width // 2 :] = (230, 230, 40)
    return image


def clip(path: Path, count: int = 8, rate: float | Fraction = 25, width: int = 64, height: int = 48) -> Path:
    write_video(path, (corners(index, width, height) for index in range(count)), rate)
    return path


def ffmpeg(*arguments: str) -> bytes:
    return subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True, capture_output=True).stdout


def with_sound(path: Path, seconds: float, folder: Path) -> Path:
    """A clip of 8 frames at 25 Hz with `seconds` of a tone."""
    silent = clip(folder / "silent.mp4")
    ffmpeg("-i", str(silent), "-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:v", "copy", "-c:a", "aac", str(path))
    return path


def test_what_is_written_is_read_with_exact_rate_and_true_colors(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", count=8, rate=Fraction(30000, 1001))
    info = probe(path)
    frames = list(read_frames(path))
    assert (info.width, info.height, info.frames, info.rate, info.codec) == (64, 48, 8, Fraction(30000, 1001), "h264")
    assert [frame.index for frame in frames] == list(range(8))
    assert frames[3].time_s == pytest.approx(3 * 1001 / 30000, abs=1e-6)
    for frame in (frames[0], frames[-1]):
        error = np.abs(frame.image.astype(int) - corners(frame.index))[4:20, 4:28]
        assert error.max() <= 6


def test_only_the_asked_frames_are_read_and_scaled(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    frames = list(read_frames(path, indices={1, 4, 6}, start=2, longest_side_px=32))
    assert [frame.index for frame in frames] == [4, 6]
    assert frames[0].image.shape == (24, 32, 3)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [[], ["-display_hflip"], ["-display_vflip"]])
def test_rotated_and_mirrored_files_look_as_ffmpeg_shows_them(tmp_path: Path, turn: int, flips: list[str]) -> None:
    stored, shown = clip(tmp_path / "a.mp4", count=1), tmp_path / "b.mp4"
    ffmpeg("-display_rotation:v", str(turn), *flips, "-i", str(stored), "-c", "copy", str(shown))
    info, frame = probe(shown), next(read_frames(shown))
    raw = ffmpeg("-i", str(shown), "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    expected = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
    assert (info.width, info.height) == ((48, 64) if turn % 180 else (64, 48))
    assert info.mirrored == bool(flips)
    assert np.abs(frame.image.astype(int) - expected).mean() < 2


def test_rotation_of_an_orientation_is_numpys() -> None:
    image = np.arange(6).reshape(2, 3)
    for flags in range(8):
        orientation = Orientation(transpose=bool(flags & 1), flip_x=bool(flags & 2), flip_y=bool(flags & 4))
        stored = image[:, ::-1] if orientation.mirrored else image
        assert np.array_equal(np.rot90(stored, orientation.rotation_deg // 90), orientation.apply(image))


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    path, uneven = clip(tmp_path / "a.mp4", count=6, rate=10), tmp_path / "b.mp4"
    ffmpeg("-i", str(path), "-vf", "setpts=N*N/(10*TB)", "-fps_mode", "vfr", "-enc_time_base", "1:1000", str(uneven))
    times = [frame.time_s for frame in read_frames(uneven)]
    assert times == pytest.approx([index**2 / 10 for index in range(6)], abs=2e-3)


def test_cover_art_and_sound_alone_are_not_a_video(tmp_path: Path) -> None:
    sound, cover, both = tmp_path / "a.m4a", tmp_path / "c.png", tmp_path / "b.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", str(sound))
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", str(cover))
    art = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", str(sound), "-i", str(cover), *art, str(both))
    for path in (sound, both):
        with pytest.raises(UnusableMaterial, match="no moving pictures"):
            probe(path)


def test_files_that_are_no_videos_are_named_with_the_reason(tmp_path: Path) -> None:
    text, empty, cut = tmp_path / "t.mp4", tmp_path / "e.mp4", tmp_path / "cut.mp4"
    text.write_text("not a video\n" * 50)
    empty.touch()
    cut.write_bytes(clip(tmp_path / "a.mp4").read_bytes()[:700])
    none = tmp_path / "none.mp4"
    for path, words in ((none, "does not exist"), (text, "not a readable"), (empty, "0 bytes"), (tmp_path, "is a folder")):
        with pytest.raises(UnusableMaterial, match=words):
            probe(path)
    with pytest.raises(UnusableMaterial):
        probe(cut)


def test_a_file_cut_in_the_middle_gives_what_is_there(tmp_path: Path) -> None:
    whole = clip(tmp_path / "a.mp4", count=40)
    data = bytearray(whole.read_bytes())
    broken = tmp_path / "b.mp4"
    broken.write_bytes(data[: len(data) - 200])
    count = sum(1 for _ in read_frames(broken))
    assert 20 <= count <= 40


def test_sound_is_kept_and_cut_to_the_pictures(tmp_path: Path) -> None:
    import av

    driver, out = with_sound(tmp_path / "d.mp4", 3.0, tmp_path), tmp_path / "o.mp4"
    write_video(out, (corners() for _ in range(10)), 10, audio_from=driver)
    with av.open(str(out)) as container:
        sound = container.streams.audio[0]
        assert float((sound.duration or 0) * (sound.time_base or 0)) == pytest.approx(1.0, abs=0.06)
    assert probe(out).frames == 10
    short = with_sound(tmp_path / "s.mp4", 0.4, tmp_path)
    write_video(out, (corners() for _ in range(10)), 10, audio_from=short)
    assert probe(out).frames == 10


def test_segments_join_without_losing_a_frame(tmp_path: Path) -> None:
    segments = [clip(tmp_path / f"it's {number}.mp4", count=5 + number) for number in range(3)]
    out = tmp_path / "o.mp4"
    sound = encoded_sound(with_sound(tmp_path / "d.mp4", 2.0, tmp_path), tmp_path / "sound", out)
    concat_segments(segments, out, sound, 18 / 25)
    frames = list(read_frames(out))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(18)], abs=1e-4)
    assert probe(out).has_audio


@pytest.mark.parametrize("later_s", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", ".mp4"), ("aac", ".mp4"), ("pcm_s16le", ".webm")])
def test_sound_that_begins_before_or_behind_the_pictures_keeps_its_moments(
    tmp_path: Path, later_s: float, codec: str, suffix: str
) -> None:
    """Noise between 1.0 and 1.2 s after the first picture, and to the end from 1.8 s on."""
    import av

    loud = f"aevalsrc='0.5*(random(0)-0.5)*(between(t,{1 - later_s},{1.2 - later_s})+gte(t,{1.8 - later_s}))':d={2.5 - later_s}"
    pictures = clip(tmp_path / "silent.mp4", count=50)
    shift = ["-itsoffset", f"{max(-later_s, 0)}"], ["-itsoffset", f"{max(later_s, 0)}"]
    ffmpeg(*shift[0], "-i", str(pictures), *shift[1], "-f", "lavfi", "-i", loud, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", codec, str(tmp_path / "d.mkv"))  # fmt: skip
    out = tmp_path / f"o{suffix}"
    write_video(out, (corners() for _ in range(50)), 25, audio_from=tmp_path / "d.mkv")
    heard, rate = np.zeros(12_480), 4800
    with av.open(str(out)) as container:
        first = float((container.streams.video[0].start_time or 0) * (container.streams.video[0].time_base or 0))
        for frame in container.decode(audio=0):
            steps = max(round(frame.sample_rate / rate), 1)
            level, at = np.abs(frame.to_ndarray()[0, ::steps]), round(rate * ((frame.time or 0.0) - first))
            if at >= 0:
                heard[at : at + len(level)] = level[: max(len(heard) - at, 0)]
    moments = np.flatnonzero(heard[: round(2.1 * rate)] > 0.05 * heard.max()) / rate
    begins = moments[[0, int(np.argmax(np.diff(moments))) + 1]]
    assert begins == pytest.approx([1.0, 1.8], abs=0.04), "to a frame"
    assert moments[-1] == pytest.approx(2.0, abs=0.05), "nothing of the end is lost"


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparency_survives(tmp_path: Path, suffix: str) -> None:
    out, frame = tmp_path / f"o{suffix}", np.dstack([corners(), np.full((48, 64), 255, np.uint8)])
    frame[:, :32, 3] = 0
    write_video(out, [frame] * 3, 25)
    decoder = ["-c:v", "libvpx-vp9"] if suffix == ".webm" else []
    raw = ffmpeg(*decoder, "-i", str(out), "-frames:v", "1", "-pix_fmt", "rgba", "-f", "rawvideo", "-")
    alpha = np.frombuffer(raw, np.uint8).reshape(48, 64, 4)[..., 3]
    assert alpha[:, :28].max() < 16 and alpha[:, 36:].min() > 240
    with pytest.raises(SettingError, match="webm"):
        write_video(tmp_path / "o.mp4", [frame], 25)


def test_odd_sizes_are_padded_and_bytes_repeat(tmp_path: Path) -> None:
    first = clip(tmp_path / "a.mp4", width=63, height=47)
    assert (probe(first).width, probe(first).height) == (64, 48)
    assert first.read_bytes() == clip(tmp_path / "b.mp4", width=63, height=47).read_bytes()


def test_a_file_size_limit_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from pathlib import Path; from pipelines.media.encoder import write_video\n"
        "from pipelines.core.errors import AvatarError\n"
        "noise = np.random.default_rng(0).integers(0, 255, (20, 256, 256, 3)).astype(np.uint8)\n"
        f"try: write_video(Path({str(tmp_path / 'o.mp4')!r}), noise, 25)\n"
        "except AvatarError as error: print(error)\n"
    )
    command = f"ulimit -f 200; exec {sys.executable} -"
    done = subprocess.run(["bash", "-c", command], input=code, text=True, capture_output=True, cwd=ROOT)
    assert "ulimit -f" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ffmpegs_own_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match="shape|first was"):
        write_video(tmp_path / "o.mp4", [corners(), corners(width=32)], 25)
    with pytest.raises(AvatarError, match="no frame"):
        write_video(tmp_path / "o.mp4", [], 25)
    with pytest.raises(SettingError, match=r"\.gif"):
        write_video(tmp_path / "o.gif", [corners()], 25)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_freed_as_they_go(tmp_path: Path) -> None:
    """No cycles are left for the collector: a long video needs no more memory than a short one."""
    import gc

    path = clip(tmp_path / "a.mp4", count=40, rate=20)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in read_frames(path, longest_side_px=32)) == 40
        assert gc.collect() < 40
    finally:
        gc.enable()
