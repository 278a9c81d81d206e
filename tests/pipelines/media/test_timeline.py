"""Rates, pauses and beginnings of films whose clocks are uneven."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.media.encoder import write_video
from pipelines.media.open import open_container
from pipelines.media.sound import find_sound, write_sound
from pipelines.media.timeline import timeline
from pipelines.media.video import probe, read_frames
from tests.pipelines.media.test_containers import clip, ffmpeg, number_of, numbered, numbers


def timed(path: Path, expression: str, count: int = 40, *words: str) -> Path:
    """A film whose picture number N is shown at `expression` seconds."""
    plain = clip(path.with_name("plain.mp4"), count)
    ffmpeg("-i", plain, "-vf", f"settb=1/90000,setpts='({expression})/TB'", "-fps_mode", "passthrough", "-enc_time_base:v",
           "1/90000", "-c:v", "libx264", "-bf", "0", *words, path)  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("expression", "rate", "length_s"),
    [
        ("N/30", 30, 40 / 30),
        ("N*1001/30000", Fraction(30000, 1001), 40 * 1001 / 30000),
        ("N/30+if(gte(N,20),2700,0)", 30, 40 / 30),
        ("if(eq(N,0),0,40+N/30)", 30, 40 / 30),
        ("N/30+if(gte(N,20),1.5,0)", 30, 40 / 30 + 1.5),
        ("if(lt(N,10),N/240,if(lt(N,20),(N-10)/30+1/24,(N-20)/240+1/24+1/3))", 240, 0.458),
    ],
)
@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_the_rate_is_that_of_the_usual_step(
    tmp_path: Path, expression: str, rate: Fraction, length_s: float, ending: str
) -> None:
    path = timed(tmp_path / f"a{ending}", expression)
    info, frames = probe(path), list(read_frames(path))
    assert info.rate_hz == pytest.approx(float(rate), rel=2e-3 if rate != 240 else 0.05)
    assert info.duration_s == pytest.approx(length_s, abs=0.05) and info.frames == len(frames) == 40
    assert [number_of(frame.image) for frame in frames] == [index % 64 for index in range(40)]
    assert np.diff([frame.time_s for frame in frames]).max() < 2


def test_a_hole_is_named(tmp_path: Path) -> None:
    (said,) = probe(timed(tmp_path / "a.mkv", "N/30+if(gte(N,20),2700,0)")).remarks
    assert "45 minutes at 0.7 s" in said and "left out" in said


def test_a_pause_with_sound_is_held_and_a_hole_leaves_the_sound_too(tmp_path: Path) -> None:
    """A beep with every picture from number 20 on; in one file a hum goes on through the pause of 5 s."""
    silent = timed(tmp_path / "silent.mkv", "N/25+if(gte(N,20),5,0)")
    for name, loud, length_s in (("hum.mkv", "0.2", 6.6), ("beep.mkv", "0.5*gte(t,5.8)", 1.6)):
        sound = ["-f", "lavfi", "-i", f"aevalsrc='{loud}*sin(2000*t)':d=6.6"]
        cut = [] if name == "hum.mkv" else ["-af", "aselect='lt(t,0.8)+gte(t,5.8)'"]
        ffmpeg("-i", silent, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", *cut, "-c:a", "aac", tmp_path / name)
        assert probe(tmp_path / name).duration_s == pytest.approx(length_s, abs=0.05)
        found, _ = find_sound(tmp_path / name)
        assert found is not None and found.length_s == pytest.approx(length_s, abs=0.06)
    write_sound(found, tmp_path / "out.m4a")
    with open_container(tmp_path / "out.m4a") as container:
        values = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert np.argmax(np.abs(values) > 0.1) / container.streams.audio[0].rate == pytest.approx(0.8, abs=0.05)


def test_a_last_picture_of_half_a_minute(tmp_path: Path) -> None:
    pictures = [
        ffmpeg("-f", "lavfi", "-i", f"color=c={c}:s=32x32", "-frames:v", "1", tmp_path / f"{c}.png") for c in ("red", "blue")
    ]
    assert len(pictures) == 2
    from PIL import Image

    frames = [Image.fromarray(numbered(index)) for index in range(8)]
    for ending in ("gif", "webp"):
        path = tmp_path / f"a.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100] * 7 + [30_000], loop=0)
        info = probe(path)
        assert (info.rate, info.frames) == (10, 8) and info.duration_s == pytest.approx(0.8, abs=0.01)
        assert len(list(read_frames(path))) == 8 and "left out" in info.remarks[0]


def test_pictures_before_the_first_key_frame_do_not_count_and_sound_begins_with_the_rest(tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.ts", tmp_path / "b.ts"
    loud = "aevalsrc='0.5*(random(0)-0.5)*between(t,1.6,1.8)':d=2.4"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 60), "-f", "lavfi", "-i", loud, "-c:v", "libx264", "-g", "30", "-keyint_min", "30",
           "-sc_threshold", "0", "-bf", "0", "-c:a", "aac", whole)  # fmt: skip
    data = whole.read_bytes()
    starts = [at for at in range(0, len(data), 188) if data[at + 1] & 0x40 and data[at + 1] & 0x1F == 1 and data[at + 2] == 0]
    at = starts[10]
    while at > 0 and (data[at + 1] & 0x1F, data[at + 2]) != (0, 0):
        at -= 188
    cut.write_bytes(data[at:])
    info = probe(cut)
    assert info.frames == 30 and info.rate == 25 and numbers(cut) == list(range(30, 60))
    assert next(read_frames(cut)).time_s == 0 and info.duration_s == pytest.approx(1.2, abs=0.02)
    out = tmp_path / "out.mp4"
    write_video(out, (numbered(index) for index in range(30)), 25, audio_from=cut)
    with open_container(out) as container:
        values = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        begin = np.argmax(np.abs(values) > 0.05) / container.streams.audio[0].rate
    assert begin == pytest.approx(0.4, abs=0.05), "1.6 s of the whole, 1.2 of which were cut away"


@pytest.mark.parametrize("order", ["ab", "aab", "ba"])
def test_joined_recordings_go_on_behind_one_another(tmp_path: Path, order: str) -> None:
    """Recording a has 40 pictures and is silent; b has 60 and a beep at 1.0 s. Each one's clock begins anew."""
    for name, count, begin, start in (("a", 40, 9.0, "50"), ("b", 60, 1.0, "7")):
        loud = f"aevalsrc='0.5*sin(3000*t)*between(t,{begin},{begin + 0.2})':d={count / 25}"
        ffmpeg("-i", clip(tmp_path / f"{name}.mp4", count), "-f", "lavfi", "-i", loud, "-c:v", "libx264", "-g", "30",
               "-bf", "2", "-c:a", "mp2", "-output_ts_offset", start, tmp_path / f"{name}.ts")  # fmt: skip
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join((tmp_path / f"{name}.ts").read_bytes() for name in order))
    lengths = [40 if name == "a" else 60 for name in order]
    info, frames = probe(joined), list(read_frames(joined))
    assert info.frames == len(frames) == sum(lengths) and info.rate == 25
    assert info.duration_s == pytest.approx(sum(lengths) / 25, abs=0.05)
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx(np.full(sum(lengths) - 1, 1 / 25), abs=2e-3)
    assert [number_of(frame.image) for frame in frames] == [index for length in lengths for index in range(length)]
    if order != "ba":  # from 7 to 50 s: that is a hole, which is left out
        assert any(f"{len(order)} recordings joined" in said for said in info.remarks)
    sound, _ = find_sound(joined)
    assert sound is not None and sound.length_s == pytest.approx(sum(lengths) / 25, abs=0.1)
    write_sound(sound, tmp_path / "out.m4a", info.duration_s)
    with open_container(tmp_path / "out.m4a") as container:
        values = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        at = np.argmax(np.abs(values) > 0.1) / container.streams.audio[0].rate
    assert at == pytest.approx(1.0 + sum(lengths[: order.index("b")]) / 25, abs=0.06)


def test_slides_never_win_over_the_film(tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", 50)
    for codec in ("mjpeg", "png", "libx264"):
        path = tmp_path / f"{codec}.mov"
        brown = ("-f", "lavfi", "-i", "color=brown:s=640x360:r=1:d=2")
        ffmpeg(*brown, "-i", film, "-map", "0:v", "-map", "1:v", "-c:v:0", codec, "-c:v:1", "copy", path)
        assert probe(path).size == (96, 64) and timeline(path).shown == 50


def test_pixels_that_are_no_squares(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", 2)
    ffmpeg("-i", source, "-vf", "setsar=4/3", "-c:v", "libx264", tmp_path / "wide.mp4")
    assert probe(tmp_path / "wide.mp4").size == (128, 64)
    assert next(read_frames(tmp_path / "wide.mp4")).image.shape == (64, 128, 3)
    ffmpeg("-display_rotation:v", "90", "-i", tmp_path / "wide.mp4", "-c", "copy", tmp_path / "turned.mp4")
    assert probe(tmp_path / "turned.mp4").size == (64, 128)
    assert next(read_frames(tmp_path / "turned.mp4")).image.shape == (128, 64, 3)


def test_interlaced_film_has_no_comb_lines(tmp_path: Path) -> None:
    """A white bar that moves fast to the right."""

    def moved(index: int) -> np.ndarray:
        image = np.zeros((64, 96, 3), np.uint8)
        image[:, 2 * index : 2 * index + 20] = 255
        return image

    write_video(tmp_path / "a.mp4", (moved(index) for index in range(36)), 50)
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ildct+ilme", "-c:v",
           "libx264", "-x264-params", "tff=1", tmp_path / "b.mts")  # fmt: skip
    frames = list(read_frames(tmp_path / "b.mts"))
    assert len(frames) == 18 == probe(tmp_path / "b.mts").frames
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(18)], abs=2e-3)
    rows = np.stack([frame.image[16:48, :, 0].astype(int) for frame in frames[2:-2]])
    comb = np.abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:]).mean()
    assert comb < 6


@pytest.mark.parametrize(
    ("codec", "name"), [("libvpx-vp9", "a.webm"), ("libvpx", "b.webm"), ("prores_ks", "a.mov"), ("png", "b.mov")]
)
def test_transparency_of_films(tmp_path: Path, codec: str, name: str) -> None:
    half = "geq=r=255:g=0:b=0:a='255*lt(X,W/2)'"
    pixels = {"prores_ks": "yuva444p10le", "png": "rgba"}.get(codec, "yuva420p")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:r=25:d=0.2", "-vf", f"format=rgba,{half},format={pixels}", "-c:v", codec,
           "-auto-alt-ref" if "vpx" in codec else "-g", "0" if "vpx" in codec else "1", tmp_path / name)  # fmt: skip
    frame = next(read_frames(tmp_path / name))
    assert frame.alpha is not None and frame.alpha[:, :28].min() > 240 and frame.alpha[:, 36:].max() < 16
    assert np.abs(frame.image[:, 36:].astype(int) - 128).max() < 6 and frame.image[:, :28, 0].min() > 200
