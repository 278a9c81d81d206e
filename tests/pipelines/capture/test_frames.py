"""Which frames are kept, and why others are not."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.capture.frames import FrameSettings, Scan, _sampled, choose, dropped, judged
from pipelines.errors import UnusableMaterial
from pipelines.video import VideoFrame

SETTINGS = FrameSettings()
FACE = np.random.default_rng(0).uniform(0, 100, (478, 3)).astype(np.float32)


def seen(count: int = 100, rate_hz: float = 25.0) -> Scan:
    """A face of 100 px that stays where it is."""
    rng = np.random.default_rng(1)
    return Scan(
        index=np.arange(count), time_s=np.arange(count) / rate_hz, points=np.tile(FACE, (count, 1, 1)),
        sharpness=rng.uniform(0.8, 1.2, count), brightness=np.full(count, 120.0), reason=np.zeros(count, np.uint8),
    )  # fmt: skip


def test_the_sharpest_of_every_stretch_is_kept() -> None:
    scan = seen(120)
    rows = choose(scan, FrameSettings(max_frames=30), "a.mp4")
    parts = scan.sharpness.reshape(30, 4)
    assert np.array_equal(rows, np.arange(30) * 4 + parts.argmax(1))


def test_unusable_frames_are_named_with_the_reason() -> None:
    scan = seen()
    scan.points[10] *= 0.3
    scan.points[20:23] += np.array([400, 0, 0])
    scan.points[20:23] *= 0.5
    scan.brightness[30] = 40
    scan.sharpness[40] = 0.1
    scan.reason[50] = 1
    found = {item["source_index"]: item["reason"] for item in dropped(judged(scan, SETTINGS))}
    expected = {10: "too small", 30: "too dark", 40: "blurred", 50: "no face"}
    assert found == expected | dict.fromkeys((20, 21, 22), "another face")


def test_a_whole_dark_or_soft_clip_is_judged_by_itself() -> None:
    scan = seen()
    dim = replace(scan, brightness=scan.brightness * 0.3, sharpness=scan.sharpness * 0.05)
    assert not judged(dim, SETTINGS).reason.any()


def test_no_face_at_all_says_what_to_film() -> None:
    scan = seen()
    with pytest.raises(UnusableMaterial, match=r"no face was found in a\.mp4; film"):
        choose(replace(scan, reason=np.ones_like(scan.reason)), SETTINGS, "a.mp4")


def test_a_third_of_a_second_names_the_minimum() -> None:
    with pytest.raises(UnusableMaterial, match=r"9 frames over 0\.3 s; at least 24 frames over 2 s"):
        choose(seen(9), SETTINGS, "a.mp4")


def test_a_face_that_comes_late_is_enough() -> None:
    scan = seen(120)
    scan.reason[:60] = 1
    assert choose(scan, SETTINGS, "a.mp4").min() == 60


def test_long_videos_are_sampled_evenly_and_bounded() -> None:
    def frames(seconds: float, rate: int = 25):
        blank = np.zeros((2, 2, 3), np.uint8)
        return (VideoFrame(index=i, time_s=i / rate, image=blank) for i in range(int(seconds * rate)))

    assert sum(1 for _ in _sampled(frames(30), 30, SETTINGS)) == 750
    times = np.array([frame.time_s for frame in _sampled(frames(120), 120, SETTINGS)])
    assert 1000 < len(times) <= 1201
    assert np.diff(times).max() < 0.17
    assert sum(1 for _ in _sampled(frames(900), 900, FrameSettings(max_samples=500))) <= 501
