"""Which sound is heard, and how it is written."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.media.encoder import encoded_sound, write_video
from pipelines.media.open import open_container
from pipelines.media.sound import find_sound
from tests.pipelines.media.test_containers import clip, ffmpeg, numbered

TONE, SILENCE = "sine=f=440:r=48000:d=2", "anullsrc=r=48000:cl=stereo"
Words = list[str | Path]


def film(path: Path, sounds: list[str], *words: str, codec: str = "aac") -> Path:
    """2 s of numbered pictures at 25 a second with sounds made by filters."""
    inputs = [word for sound in sounds for word in ("-f", "lavfi", "-t", "2", "-i", sound)]
    maps = [word for number in range(len(sounds)) for word in ("-map", f"{number + 1}:a")]
    pictures = clip(path.with_name("pictures.mp4"), 50)
    ffmpeg("-i", pictures, *inputs, "-map", "0:v", *maps, "-c:v", "copy", "-c:a", codec, *words, path)
    return path


def unknown(path: Path, number: int) -> Path:
    """The same file, the codec of one of its sound tracks unheard of."""
    data = path.read_bytes()
    for old, new in ((b"mp4a", b"xyzz"), (b"esds", b"dxyz")):  # the sample entry, and what describes it
        parts, tracks = data.split(old), data.count(b"soun")
        each = (len(parts) - 1) // tracks
        data = b"".join(part + (new if at // each == number else old) for at, part in enumerate(parts[:-1])) + parts[-1]
    path.write_bytes(data)
    return path


def heard(path: Path) -> tuple[str, int, int, float, float]:
    """Codec, rate, channels, length (s) and root mean square of the only sound track."""
    with open_container(path) as container:
        (stream,) = container.streams.audio
        values = [frame.to_ndarray().mean(0) for frame in container.decode(stream)]
        context = stream.codec_context
        sound = np.concatenate(values)
        rms = float(np.sqrt(np.square(sound).mean()))
        return context.name, context.rate, context.channels, len(sound) / context.rate, rms


@pytest.mark.parametrize(("number", "taken"), [(0, 2), (1, 1)])
@pytest.mark.parametrize("ending", [".mp4", ".webm", ".mov"])
def test_a_track_that_cannot_be_decoded_is_left_out_and_named(tmp_path: Path, number: int, taken: int, ending: str) -> None:
    source = unknown(film(tmp_path / "a.mov", [TONE, TONE]), number)
    sound, remarks = find_sound(source)
    assert sound is not None and sound.stream == taken and "xyzz" in remarks[0]
    out = tmp_path / f"out{ending}"
    write_video(out, (numbered(index) for index in range(25)), 25, audio_from=source)
    assert heard(out)[0] == ("opus" if ending == ".webm" else "aac") and heard(out)[4] > 0.02


def test_a_file_whose_only_sound_cannot_be_decoded(tmp_path: Path) -> None:
    source = unknown(film(tmp_path / "a.mov", [TONE]), 0)
    sound, remarks = find_sound(source)
    assert sound is None and "xyzz" in remarks[0] and "no sound" in remarks[0]
    assert encoded_sound(source, tmp_path / "sound", tmp_path / "a.mp4") is None


def test_the_first_track_that_is_heard(tmp_path: Path) -> None:
    sound, remarks = find_sound(film(tmp_path / "a.mkv", [SILENCE, TONE]))
    assert sound is not None and sound.stream == 2 and "number 2 was taken" in remarks[0]
    first, _ = find_sound(film(tmp_path / "b.mkv", [TONE, SILENCE]))
    assert first is not None and first.stream == 1
    only, said = find_sound(film(tmp_path / "c.mkv", [SILENCE]))
    assert only is not None and not said


@pytest.mark.parametrize("layout", ["4.0", "5.1(side)", "7.1", "mono", "2.1", "hexagonal"])
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_every_layout_and_rate_is_written(tmp_path: Path, layout: str, ending: str) -> None:
    wave = tmp_path / "a.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=f=440:r=96000:d=1", "-af", f"aformat=channel_layouts={layout}", "-c:a", "pcm_s24le", wave)
    out = tmp_path / f"out{ending}"
    write_video(out, (numbered(index) for index in range(25)), 25, audio_from=wave)
    codec, rate, channels, length_s, rms = heard(out)
    assert codec in ("aac", "opus") and rate == 48000 and channels <= 2 and rms > 0.005
    assert length_s == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("rate", [8000, 11025, 22255, 37800, 44100, 192000])
def test_odd_rates(tmp_path: Path, rate: int) -> None:
    wave, out = tmp_path / "a.wav", tmp_path / "out.mp4"
    ffmpeg("-f", "lavfi", "-i", f"sine=f=440:r={rate}:d=1", wave)
    write_video(out, (numbered(index) for index in range(25)), 25, audio_from=wave)
    assert heard(out)[1] <= 48000 and heard(out)[4] > 0.02


def test_a_sound_of_another_length_is_spoken_of(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=8", "-c:a", "libopus", tmp_path / "a.ogg")
    sound, _ = find_sound(tmp_path / "a.ogg")
    assert sound is not None and sound.length_s == pytest.approx(8, abs=0.05)
    (said,) = sound.compared(3.0)
    assert "8.0 s" in said and "3.0 s" in said and "cut" in said
    assert not sound.compared(8.2)
    (said,) = sound.compared(20.0)
    assert "ends at 8.0 s" in said
    out = tmp_path / "out.mp4"
    write_video(out, (numbered(index) for index in range(50)), 25, audio_from=tmp_path / "a.ogg")
    assert heard(out)[3] == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le"])
def test_silence_is_silence_in_every_sample_format(tmp_path: Path, codec: str) -> None:
    sound, _ = find_sound(film(tmp_path / "a.mkv", [SILENCE, TONE], codec=codec))
    assert sound is not None and sound.stream == 2
