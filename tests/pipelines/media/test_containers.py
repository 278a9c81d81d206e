"""Files as phones and their owners make them: each trap as a tiny file of its own, made by ffmpeg."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from pipelines.core.errors import UnusableMaterial
from pipelines.media.encoder import write_video
from pipelines.media.video import VideoFrame, ahead, fitted, probe, read_frames
from tests.material import shared

X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1", "-tag:v", "hvc1"]
BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
TRANSFERS = {"hlg": "arib-std-b67", "pq": "smpte2084"}


def ffmpeg(*arguments: str | Path) -> bytes:
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def numbered(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A picture that tells its own number: the bits of `index` as white blocks, and a red corner at the upper left."""
    image = np.full((height, width, 3), 40, np.uint8)
    for bit in range(6):
        if index >> bit & 1:
            image[height // 2 :, bit * width // 6 : (bit + 1) * width // 6] = 220
    image[: height // 4, : width // 4] = (220, 30, 30)
    return image


def number_of(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    blocks = [image[height * 3 // 4, (2 * bit + 1) * width // 12].mean() > 128 for bit in range(6)]
    return sum(1 << bit for bit, white in enumerate(blocks) if white)


def clip(path: Path, count: int = 12, rate: float = 25, **size: int) -> Path:
    write_video(path, (numbered(index, **size) for index in range(count)), rate)
    return path


def numbers(path: Path) -> list[int]:
    return [number_of(frame.image) for frame in read_frames(path)]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_phones(tmp_path: Path, turn: int) -> None:
    shown = tmp_path / "b.mov"
    ffmpeg("-display_rotation:v", str(turn), "-i", clip(tmp_path / "a.mp4", 2), "-c", "copy", shown)
    info, frame = probe(shown), next(read_frames(shown))
    assert info.size == ((64, 96) if turn % 180 else (96, 64)) and info.rotation_deg == turn
    assert np.abs(frame.image.astype(int) - np.rot90(numbered(0), turn // 90)).mean() < 6


def test_selfies_that_are_stored_mirrored(tmp_path: Path) -> None:
    shown = tmp_path / "b.mov"
    ffmpeg("-display_hflip", "-i", clip(tmp_path / "a.mp4", 2), "-c", "copy", shown)
    assert probe(shown).mirrored
    red = next(read_frames(shown)).image.astype(int)
    assert red[4, -8, 0] > 180 and red[4, 8, 0] < 90


def test_times_of_a_variable_rate_are_exact_and_scaling_does_not_change_them(tmp_path: Path) -> None:
    uneven = tmp_path / "b.mp4"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 6, 10), "-vf", "setpts=(N+N*N/4)/(10*TB)", "-fps_mode", "vfr",
           "-enc_time_base", "1:90000", uneven)  # fmt: skip
    times = [frame.time_s for frame in read_frames(uneven, longest_side_px=48)]
    assert times == pytest.approx([(index + index**2 / 4) / 10 for index in range(6)], abs=1e-4)
    assert probe(uneven).frames == 6 and probe(uneven).duration_s >= times[-1]


def test_hevc_of_ten_bits(tmp_path: Path) -> None:
    deep = tmp_path / "b.mov"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 4), "-pix_fmt", "yuv420p10le", *X265, deep)
    assert (probe(deep).codec, probe(deep).transfer, numbers(deep)) == ("hevc", "sdr", [0, 1, 2, 3])


def hdr(source: Path, out: Path, kind: str, white: int) -> Path:
    """`source` as HDR whose white has so many cd/m2."""
    to = f"zscale=p=bt2020:t={TRANSFERS[kind]}:m=bt2020nc:r=limited:npl={white},format=yuv420p10le"
    ffmpeg("-i", source, "-vf", f"{BT709},{to}", *X265, "-crf", "12", out)
    return out


def colorful(index: int) -> np.ndarray:
    """Gradients of every hue, black and white among them."""
    y, x = np.mgrid[0:96, 0:128] / np.array([95, 127])[:, None, None]
    hues = np.stack([x, y, (x + 1 - y) / 2], -1)
    return np.round(255 * np.clip(hues * (0.9 + 0.02 * index), 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("white", [100, 203])
@pytest.mark.parametrize("kind", ["hlg", "pq"])
def test_hdr_looks_like_the_sdr_it_was_made_of(tmp_path: Path, kind: str, white: int) -> None:
    plain = tmp_path / "a.mp4"
    write_video(plain, (colorful(index) for index in range(6)), 25)
    ffmpeg("-i", plain, "-vf", BT709, "-c:v", "libx264", "-crf", "4", tmp_path / "tagged.mp4")
    deep = hdr(tmp_path / "tagged.mp4", tmp_path / "b.mov", kind, white)
    assert probe(deep).transfer == kind
    before, after = (np.stack([f.image for f in read_frames(path)]).astype(float) for path in (tmp_path / "tagged.mp4", deep))
    assert after.mean() == pytest.approx(before.mean(), rel=0.03)
    assert after.std() == pytest.approx(before.std(), rel=0.05)
    assert np.abs(after - before).mean() < 8


@pytest.mark.parametrize("kind", ["hlg", "pq"])
def test_a_face_filmed_in_hdr(tmp_path: Path, kind: str) -> None:
    source = shared("clips/capture_address_audio.mp4")
    plain = tmp_path / "a.mp4"
    ffmpeg("-t", "0.3", "-i", source, "-an", "-vf", BT709, "-c:v", "libx264", "-crf", "8", plain)
    deep = hdr(plain, tmp_path / "b.mov", kind, 203)
    before, after = (np.stack([f.image for f in read_frames(path)]).astype(float) for path in (plain, deep))
    assert np.allclose(after.mean((0, 1, 2)), before.mean((0, 1, 2)), atol=6)
    assert after.std() == pytest.approx(before.std(), rel=0.05)


def cover(path: Path, side: int) -> Path:
    ffmpeg("-f", "lavfi", "-i", f"color=red:s={side}x{side}", "-frames:v", "1", path)
    return path


def test_cover_art_in_front_of_the_video(tmp_path: Path) -> None:
    both, art = tmp_path / "b.mp4", cover(tmp_path / "c.png", 400)
    ffmpeg("-i", art, "-i", clip(tmp_path / "a.mp4"), "-map", "0", "-map", "1", "-c", "copy",
           "-disposition:v:0", "attached_pic", both)  # fmt: skip
    assert probe(both).size == (96, 64) and numbers(both) == list(range(12))


def test_a_large_picture_that_nobody_marked_as_cover(tmp_path: Path) -> None:
    both, art = tmp_path / "b.mov", cover(tmp_path / "c.jpg", 400)
    ffmpeg("-i", art, "-i", clip(tmp_path / "a.mp4"), "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "0", both)
    assert probe(both).size == (96, 64) and numbers(both) == list(range(12))


def test_4k_is_scaled_while_it_is_decoded(tmp_path: Path) -> None:
    large = tmp_path / "b.mp4"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 3), "-vf", "scale=3840:2160:flags=neighbor",
           "-c:v", "libx264", "-preset", "ultrafast", large)  # fmt: skip
    assert probe(large).size == (3840, 2160)
    frames = list(read_frames(large, longest_side_px=1920))
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2] and frames[0].image.shape == (1080, 1920, 3)
    assert fitted(3840, 2160, 1920) == (1920, 1080) and fitted(1081, 1919, 1920) == (1081, 1919)


def test_odd_sizes(tmp_path: Path) -> None:
    odd = tmp_path / "b.mp4"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 3), "-vf", "scale=95:63:flags=neighbor,format=yuv444p", "-c:v", "libx264", odd)
    assert probe(odd).size == (95, 63) and next(read_frames(odd)).image.shape == (63, 95, 3)
    assert next(read_frames(odd, longest_side_px=50)).image.shape == (33, 50, 3)


def test_no_sound_and_a_name_with_spaces_and_other_letters(tmp_path: Path) -> None:
    path = clip(tmp_path / "Ännas Vídeo – 你好 it's (1).mov".replace(".mov", ".mp4"))
    moved = path.with_suffix(".MOV")
    ffmpeg("-i", path, "-c", "copy", moved)
    assert not probe(moved).has_audio and numbers(moved) == list(range(12))


def test_an_edit_list_hides_frames_and_the_clock_begins_with_the_first_that_is_shown(tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.mp4", tmp_path / "b.mp4"
    clip(whole, 40)
    ffmpeg("-ss", "0.4", "-i", whole, "-c", "copy", cut)
    shown = ffmpeg("-i", cut, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    expected = [number_of(image) for image in np.frombuffer(shown, np.uint8).reshape(-1, 64, 96, 3)]
    found = list(read_frames(cut))
    assert [number_of(frame.image) for frame in found] == expected and expected[0] >= 1
    assert found[0].time_s == 0 and found[-1].time_s == pytest.approx((len(expected) - 1) / 25, abs=1e-3)
    assert probe(cut).missing == 0 and probe(cut).frames == len(expected)


def test_negative_first_times(tmp_path: Path) -> None:
    early = tmp_path / "b.ts"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 8), "-c", "copy", "-avoid_negative_ts", "disabled", "-output_ts_offset", "-0.2",
           early)  # fmt: skip
    times = [frame.time_s for frame in read_frames(early)]
    assert times[0] == 0 and np.all(np.diff(times) > 0) and probe(early).duration_s > 0


def noisy(path: Path, count: int = 40) -> Path:
    """Pictures that need many bytes each, key frames among them, the index in front."""
    rng = np.random.default_rng(0)
    plain = path.with_name("plain.mp4")
    frames = (np.maximum(numbered(index), rng.integers(0, 100, (64, 96, 3)).astype(np.uint8)) for index in range(count))
    write_video(plain, frames, 25)
    ffmpeg("-i", plain, "-c:v", "libx264", "-g", "8", "-crf", "20", "-movflags", "+faststart", path)
    return path


def test_a_file_cut_in_half_gives_its_first_half_and_says_so(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4")
    cut = tmp_path / "b.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    info, found = probe(cut), numbers(cut)
    assert info.missing > 0 and info.missing + info.frames == 40
    assert 10 <= len(found) < 35 and found[:8] == list(range(8))


def test_corrupt_packets_do_not_stop_the_rest(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2500] = bytes(2500)
    broken = tmp_path / "b.mp4"
    broken.write_bytes(data)
    assert [frame.damaged for frame in read_frames(broken)][-1] > 0
    found = numbers(broken)
    assert len(found) > 25 and found[:8] == list(range(8)) and found[-4:] == [36, 37, 38, 39]


def test_a_header_without_data_is_refused(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4")
    data = whole.read_bytes()
    nothing = tmp_path / "b.mp4"
    nothing.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(UnusableMaterial, match="no frame of .* can be decoded|not a readable"):
        probe(nothing)


def test_the_phones_focal_length_is_read(tmp_path: Path) -> None:
    """24 mm of a 96x64 picture: 24 / 43.27 * 115.4 = 64 px."""
    tagged = tmp_path / "b.mov"
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    ffmpeg("-i", clip(tmp_path / "a.mp4", 2), "-c", "copy", "-movflags", "use_metadata_tags", "-metadata", f"{key}=24", tagged)
    assert probe(tagged).focal_px == pytest.approx(64.0, abs=0.1)
    assert probe(tmp_path / "a.mp4").focal_px is None


def test_only_wanted_frames_become_pictures(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 20)
    kept = list(read_frames(path, wanted=lambda index, time_s: index % 5 == 0 and time_s < 0.5))
    assert [number_of(frame.image) for frame in kept] == [0, 5, 10]


def test_decoding_ahead_gives_the_same_frames_and_the_same_errors(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 20)
    assert [number_of(frame.image) for frame in ahead(read_frames(path), depth=2)] == list(range(20))
    with pytest.raises(UnusableMaterial, match="does not exist"):
        list(ahead(read_frames(tmp_path / "none.mp4")))


def test_decoding_ahead_is_bounded_and_ends_when_nobody_listens() -> None:
    made = 0

    def endless():
        nonlocal made
        while True:
            made += 1
            yield VideoFrame(index=made, time_s=float(made), image=np.zeros((2, 2, 3), np.uint8))

    frames = ahead(endless(), depth=3)
    assert next(frames).index == 1
    frames.close()  # type: ignore[attr-defined]
    before = made
    assert before <= 6 and made == before
