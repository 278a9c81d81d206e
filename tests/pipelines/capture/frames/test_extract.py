"""Which frames are kept, and why others are not."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.capture.frames.extract import _looked_at, assess_quality, dropped, faces_by_finder, remarks, sampler
from pipelines.capture.frames.scan import FrameSettings, Scan, reason_code
from pipelines.capture.frames.selection import ONE_EVENT_S, furthest, lacking_movements, looks_of, select_frames
from pipelines.core.errors import UnusableMaterial
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.channels import LEFT, RIGHT
from pipelines.face.movements import Faces, strengths
from pipelines.media.video import VideoFrame

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
    rows = select_frames(scan, FrameSettings(max_frames=30), "a.mp4")
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
    found = {item["source_index"]: item["reason"] for item in dropped(assess_quality(scan, SETTINGS))}
    expected = {10: "too small", 30: "too dark", 40: "blurred", 50: "no face"}
    assert found == expected | dict.fromkeys((20, 21, 22), "another face")


def test_a_whole_dark_or_soft_clip_is_judged_by_itself() -> None:
    scan = seen()
    dim = replace(scan, brightness=scan.brightness * 0.3, sharpness=scan.sharpness * 0.05)
    assert not assess_quality(dim, SETTINGS).reason.any()


def test_blown_out_frames_are_left_out_unless_all_are() -> None:
    scan = seen()
    scan.brightness[10] = 250
    assert [item["reason"] for item in dropped(assess_quality(scan, SETTINGS))] == ["too bright"]
    assert not assess_quality(replace(scan, brightness=np.full(100, 250.0)), SETTINGS).reason.any()


def test_frames_lit_unlike_the_rest_are_chosen_last() -> None:
    scan = replace(seen(90), sharpness=np.ones(90))
    scan.brightness[:] = 200
    scan.brightness[::3] = 120
    assert np.array_equal(select_frames(scan, FrameSettings(max_frames=30), "a.mp4"), np.arange(30) * 3 + 1)


def faces(yaw_deg: np.ndarray) -> np.ndarray:
    """[T,478,3] px of the prior's head, turned."""
    landmarks = canonical_landmarks()
    turned = Rotation.from_euler("y", yaw_deg[:, None], degrees=True).as_matrix()
    return (np.einsum("tij,vj->tvi", turned, landmarks) * (300, -300, -300) + (400, 300, 0)).astype(np.float32)


def test_a_short_look_to_the_side_and_an_open_mouth_are_chosen() -> None:
    """Of 400 frames 4 show the profile and 4 an open jaw, none of them the sharpest of its stretch."""
    canonical = canonical_landmarks()
    yaw = np.zeros(400)
    yaw[201:205] = 50
    scan = replace(seen(400), points=faces(yaw))
    scan.points[301:305, 100:, 1] += np.where(canonical[100:, 1] < canonical[14, 1], 40, 0)
    scan.sharpness[[*range(201, 205), *range(301, 305)]] = 0.85
    plain = select_frames(scan, FrameSettings(max_frames=40), "a.mp4")
    kept = select_frames(scan, FrameSettings(max_frames=40), "a.mp4", canonical)
    assert len(kept) == 40 and np.array_equal(kept, np.unique(kept))
    assert not set(plain) & set(range(201, 205)) and not set(plain) & set(range(301, 305))
    assert set(kept) & set(range(201, 205)) and set(kept) & set(range(301, 305))
    assert len(set(kept) & set(plain)) > 20


def test_a_face_that_never_changes_is_chosen_by_time_alone() -> None:
    canonical, scan = canonical_landmarks(), replace(seen(120), points=faces(np.zeros(120)))
    settings = FrameSettings(max_frames=30)
    assert np.array_equal(select_frames(scan, settings, "a.mp4", canonical), select_frames(scan, settings, "a.mp4"))


def test_turns_are_told_in_steps_of_ten_degrees() -> None:
    turned = Faces.of(faces(np.array([0.0, 30.0])), np.arange(2) / 25, canonical_landmarks())
    frontal, side = looks_of(turned, strengths(turned))
    assert abs(side[0] - frontal[0]) == pytest.approx(3, abs=0.05) and abs(side[1]) < 0.05


def blinking(count: int, closure: dict[int, float]) -> Scan:
    """A still face whose lids shut by a share of their gap in the frames of `closure`, which are not the sharpest."""
    scan = replace(seen(count, rate_hz=30), points=faces(np.zeros(count)))
    for row, share in closure.items():
        for upper, lower in LEFT.lid_pairs + RIGHT.lid_pairs:
            scan.points[row, upper] += share * (scan.points[row, lower] - scan.points[row, upper])
        scan.sharpness[row] = 0.6
    return scan


def test_one_blink_of_three_soft_frames_in_600_is_kept() -> None:
    scan = blinking(600, {300: 0.5, 301: 0.95, 302: 0.6})
    assert 301 not in select_frames(scan, FrameSettings(max_frames=60), "a.mp4")
    kept = select_frames(scan, FrameSettings(max_frames=60), "a.mp4", canonical_landmarks())
    assert len(kept) == 60 and {300, 301, 302} <= set(kept)


def test_a_single_wild_frame_is_no_blink() -> None:
    scan = blinking(600, {300: 0.95})
    assert 300 not in select_frames(scan, FrameSettings(max_frames=60), "a.mp4", canonical_landmarks())


def test_lips_that_shut_for_four_frames_of_a_talk_are_kept() -> None:
    """20 s with lips an eighth to a third of the mouth's width apart."""
    scan, rng = replace(seen(600, rate_hz=30), points=faces(np.zeros(600))), np.random.default_rng(2)
    width = float(np.linalg.norm(scan.points[0, 61] - scan.points[0, 291]))
    apart = width * rng.uniform(0.12, 0.33, 600)
    apart[400:404] = 0
    scan.points[:, 14, 1] = scan.points[:, 13, 1] + apart
    scan.sharpness[400:404] = 0.6
    kept = select_frames(scan, FrameSettings(max_frames=60), "a.mp4", canonical_landmarks())
    assert set(kept) & set(range(400, 404))


def test_of_two_blinks_the_one_that_is_trained_on_is_kept() -> None:
    scan = blinking(600, {300: 0.5, 301: 0.8, 302: 0.6, 580: 0.5, 581: 0.95, 582: 0.6})
    settings, trained = FrameSettings(max_frames=60), np.arange(600) < 510
    kept = select_frames(scan, settings, "a.mp4", canonical_landmarks(), trained=trained)
    assert 301 in kept


def test_frames_for_a_movement_come_from_several_events_rarest_first() -> None:
    time_s = np.arange(100) / 25
    blink, jaw = np.zeros(100), np.zeros(100)
    blink[[20, 21, 22, 70, 71]] = (0.88, 1.0, 0.9, 0.95, 0.9)
    jaw[[5, 40, 60, 90]] = (0.7, 1.0, 0.95, 0.9)
    signals = {"jawOpen": jaw, "eyeBlinkLeft": blink, "mouthPucker": np.full(100, 0.2)}
    assert list(lacking_movements(signals, time_s, np.array([5, 50]), np.arange(100))) == [21, 40, 70, 60, 22, 90]
    assert abs(time_s[70] - time_s[21]) > ONE_EVENT_S
    assert list(lacking_movements(signals, time_s, np.array([21, 40, 60, 90]), np.arange(100))) == [70, 22]
    assert not len(lacking_movements(signals, time_s, np.arange(0), np.arange(0)))


def test_the_furthest_rows_come_first_and_near_ones_not_at_all() -> None:
    variety = np.array([[0.0], [0.5], [4.0], [4.2], [9.0]])
    assert list(furthest(variety, np.array([0]), np.arange(5), 4)) == [4, 3]
    assert list(furthest(variety, np.array([0]), np.array([0, 1, 2]), 4)) == [2]


def test_a_second_person_where_the_first_was_is_told_apart() -> None:
    """Both faces are of one size; while the tracker follows the second person, the first is still where it was."""
    scan = seen()
    scan.points[60:80] += np.array([300, 0, 0], np.float32)
    aside = replace(scan, finder=np.ones(100, np.uint8))
    assert not assess_quality(aside, SETTINGS).reason.any()
    aside.other[60:80] = (50, 50, 100)
    found = assess_quality(aside, SETTINGS)
    assert set(np.flatnonzero(found.reason)) == set(range(60, 80))
    assert "another face" in {item["reason"] for item in dropped(found)}
    info = SimpleNamespace(missing=0, path=Path("a.mp4"))
    said = remarks(found, {"damaged": 0, "lost": 0}, SimpleNamespace(remarks=(), info=info))  # type: ignore[arg-type]
    assert len(said) == 1 and "longest and largest" in said[0] and "20 frames" in said[0]
    broken = remarks(scan, {"damaged": 3, "lost": 9}, SimpleNamespace(remarks=(), info=info))  # type: ignore[arg-type]
    assert "3 of its packets" in broken[0] and "last 9 frames" in broken[1]


class Blind:
    """A tracker that counts what it is asked."""

    asked = 0

    def track(self, image: np.ndarray, time_s: float) -> None:
        self.asked += 1


def test_a_black_frame_with_hot_pixels_is_black_and_nobody_is_looked_for() -> None:
    tracker, image = Blind(), np.zeros((320, 320, 3), np.uint8)
    image[::160, ::160] = 255
    row = _looked_at(VideoFrame(index=3, time_s=0.1, image=image), tracker)  # type: ignore[arg-type]
    assert row[5] == reason_code("black") and tracker.asked == 0
    image[:, :160] = 90
    row = _looked_at(VideoFrame(index=4, time_s=0.2, image=image), tracker)  # type: ignore[arg-type]
    assert row[5] == reason_code("no face") and tracker.asked == 1


def test_who_found_the_faces_is_counted() -> None:
    scan = seen()
    scan.finder[:90], scan.finder[90:97] = 1, 3
    assert faces_by_finder(scan) == {"mediapipe's face mesh": 90, "blazeface": 7}


def test_photos_need_no_time_but_a_number() -> None:
    scan = seen(9, rate_hz=1)
    assert len(select_frames(scan, SETTINGS, "photos", still=True)) == 9
    with pytest.raises(UnusableMaterial, match="7 photos; at least 8"):
        select_frames(seen(7), SETTINGS, "photos", still=True)


def test_no_face_at_all_says_what_to_film() -> None:
    scan = seen()
    with pytest.raises(UnusableMaterial, match=r"no face was found in a\.mp4; film"):
        select_frames(replace(scan, reason=np.ones_like(scan.reason)), SETTINGS, "a.mp4")


def test_a_third_of_a_second_names_the_minimum() -> None:
    with pytest.raises(UnusableMaterial, match=r"9 frames over 0\.4 s; at least 24 frames over 2 s"):
        select_frames(seen(9), SETTINGS, "a.mp4")


def test_a_face_that_comes_late_is_enough() -> None:
    scan = seen(120)
    scan.reason[:60] = 1
    assert select_frames(scan, SETTINGS, "a.mp4").min() == 60


def test_long_videos_are_sampled_evenly_and_bounded() -> None:
    def looked_at(seconds: float, settings: FrameSettings = SETTINGS, rate: int = 25) -> np.ndarray:
        wanted = sampler(seconds, settings)
        return np.array([index / rate for index in range(int(seconds * rate)) if wanted(index, index / rate)])

    assert len(looked_at(30)) == 750
    times = looked_at(120)
    assert 1000 < len(times) <= 1201 and np.diff(times).max() < 0.17
    assert len(looked_at(900, FrameSettings(max_samples=500))) <= 501
    assert len(looked_at(3 * 3600)) <= 3601


def test_after_a_gap_the_clock_does_not_catch_up() -> None:
    wanted = sampler(100, FrameSettings(dense_s=10, sample_hz=1))
    times = np.concatenate([np.arange(0, 10, 0.1), np.arange(60, 70, 0.1)])
    kept = [time for index, time in enumerate(times) if wanted(index, float(time))]
    assert 18 <= len(kept) <= 22 and np.diff(kept).min() > 0.85
