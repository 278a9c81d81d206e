"""The capture check: its figures, its advice, and that footage of known faults is told from good footage."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.capture.check.check import check, judge
from pipelines.capture.check.guide import STEPS, guide, record
from pipelines.capture.check.measure import Glance, halves_alike, of_pixels, straightened, teeth_in
from pipelines.capture.frames.scan import FrameSettings, Scan
from pipelines.capture.frames.selection import check_enough
from pipelines.core.errors import UnusableMaterial
from pipelines.face.expression import MEASURED
from pipelines.media.encoder import write_video
from pipelines.media.video import VideoInfo, read_frames
from tests.material import DEMO, shared

LIDS, BROWS = ("eyeBlinkLeft", "eyeBlinkRight"), ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
SHOWN = {"jawOpen": 0.8, **dict.fromkeys(LIDS, 0.9), **dict.fromkeys(BROWS, 0.8)}


def info(duration_s: float) -> VideoInfo:
    return VideoInfo(
        path=Path("me.mp4"), sha256="", width=1080, height=1920, rate=Fraction(30), duration_s=duration_s,
        frames=round(30 * duration_s), rotation_deg=0, mirrored=False, has_audio=False, codec="h264", transfer="sdr",
    )  # fmt: skip


def look(yaw_deg: float = 0.0, **changes: Any) -> Glance:
    fields = {"found": True, "yaw_deg": yaw_deg, "side_px": 400.0, "sharpness": 0.08, "brightness": 130.0, "hand": 0.0}
    return Glance(time_s=0.0, **{**fields, **changes})


def showing(**scores: float) -> dict[str, Any]:
    return {"expression": tuple(scores.get(name, 0.0) for name in MEASURED)}


def good() -> list[Glance]:
    """20 s: a slow sweep from profile to profile, then every expression from the front."""
    sweep = [look(yaw) for yaw in np.linspace(-85, 85, 130)]
    faces = [look(**showing(**{name: SHOWN[name] for name in names}), teeth=0.5 if "jawOpen" in names else 0.0)
             for names in (("jawOpen",), LIDS, BROWS) for _ in range(10)]  # fmt: skip
    return sweep + faces + moves() + [look() for _ in range(40)]


def moves() -> list[Glance]:
    """Every movement but those of SHOWN, two looks each."""
    scores = ({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, {"mouthPucker": 0.8},
              {"browDownLeft": 0.5, "browDownRight": 0.5},
              {"eyeLookOutLeft": 0.5, "eyeLookOutRight": -0.5}, {"eyeLookOutLeft": -0.5, "eyeLookOutRight": 0.5},
              {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5}, {"eyeLookUpLeft": -0.6, "eyeLookUpRight": -0.6})  # fmt: skip
    return [look(**showing(**shown)) for shown in scores for _ in range(2)] + [look(lip_gap=0.0) for _ in range(2)]


def judged(looks: list[Glance], step_s: float = 0.1):
    timed = [replace(one, time_s=number * step_s) for number, one in enumerate(looks)]
    return judge(timed, step_s, [info(len(looks) * step_s)], FrameSettings())


def about(looks: list[Glance], weight: str = "film") -> set[str]:
    return {one["about"] for one in judged(looks).advice if one["weight"] == weight}


def test_good_footage_is_good_and_only_the_back_is_unknown() -> None:
    found = judged(good())
    assert found.verdict == "good"
    assert [one["about"] for one in found.advice] == ["back"]
    assert found.record()["warnings"] == [] and found.coverage.seconds[3:9].min() > 1.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sharpness": 0.01}, "blur"), ({"brightness": 40.0}, "light"), ({"brightness": 230.0}, "light"),
        ({"cut": True}, "frame"), ({"hand": 0.4}, "occlusion"), ({"other": True}, "people"),
    ],
)  # fmt: skip
def test_a_fault_in_every_third_frame_is_said(changes: dict[str, Any], said: str) -> None:
    looks = [replace(one, **changes) if number % 3 == 0 or said == "light" else one for number, one in enumerate(good())]
    assert about(looks) == {said}
    assert judged(looks).verdict == "usable"


def test_a_small_face_and_changing_light_are_said() -> None:
    assert about([replace(one, side_px=120.0) for one in good()]) == {"size"}
    assert about([replace(one, brightness=90.0 + 40 * (n % 2)) for n, one in enumerate(good())]) == {"exposure"}


@pytest.mark.parametrize(("side", "turn", "edge"), [(-1, "left", "right"), (1, "right", "left")])
def test_the_side_that_is_missing_is_asked_for(side: int, turn: str, edge: str) -> None:
    found = judged([one for one in good() if side * one.yaw_deg < 50])
    said = [one["say"] for one in found.advice if one["weight"] == "film"]
    assert len(said) == 1
    assert said[0].startswith(f"Turn {turn} past 60 degrees for 5 s (the nose toward the picture's {edge} edge)")


@pytest.mark.parametrize(
    ("name", "said"), [("jawOpen", "mouth open"), ("eyeBlinkLeft", "eyes closed"), ("browInnerUp", "brows up")]
)
def test_the_expression_that_is_missing_is_asked_for(name: str, said: str) -> None:
    looks = [
        replace(one, expression=look().expression) if one.expression[MEASURED.index(name)] > 0.5 else one for one in good()
    ]
    assert about(looks) == {said}
    assert about([replace(one, teeth=0.0) for one in good()]) == {"teeth"}


def test_movements_that_no_look_shows_are_worth_knowing() -> None:
    found = judged([one for one in good() if one.lip_gap > 0.1])
    said = [one for one in found.advice if one["about"] == "movements"]
    assert found.verdict == "good" and len(said) == 1 and said[0]["weight"] == "know"
    assert said[0]["say"] == 'No frame shows shut lips; say "mama" once or twice.'
    rows = {row["movement"]: row for row in found.record()["movements"]}
    assert rows["smile"] == {"movement": "smile", "strongest": 80, "unit": "%", "seconds": 0.2}
    assert rows["lips shut"]["seconds"] == 0 and rows["head to the left"]["strongest"] == 85
    assert "smile" in found.faces and "lips shut" not in found.faces


def test_what_is_asked_for_is_not_said_twice() -> None:
    looks = [one for one in good() if max(one.expression[MEASURED.index(lid)] for lid in LIDS) < 0.5]
    assert about(looks) == {"eyes closed"} and about(looks, "know") == {"back"}


def test_a_turn_all_around_covers_the_back() -> None:
    around = [look(yaw) if abs(yaw) < 80 else Glance(time_s=0.0) for yaw in (np.linspace(0, 360, 120) + 180) % 360 - 180]
    found = judged(good() + around)
    assert found.advice == [] and found.coverage.seconds.min() > 0.5
    assert found.coverage.inferred[[0, 1, 10, 11]].min() > 0.5 and found.coverage.inferred[4:8].max() == 0


def test_unusable_footage_says_only_why() -> None:
    for looks, said in (
        ([Glance(time_s=0.0)] * 100, "face"), ([look()] * 10, "length"), ([look(side_px=30.0)] * 100, "size"),
        ([look(sharpness=0.005)] * 100, "blur"),
    ):  # fmt: skip
        found = judged(looks)
        assert found.verdict == "unusable"
        assert [(one["about"], one["weight"]) for one in found.advice] == [(said, "stop")]


def test_the_bend_of_profiles_is_taken_out() -> None:
    assert straightened(20.0) == 20.0
    assert straightened(-55.0) == -67.0
    angles = [straightened(angle) for angle in range(-90, 91)]
    assert angles == sorted(angles)


def test_teeth_are_bright_and_gray_and_a_closed_mouth_has_none() -> None:
    points = np.zeros((478, 2))
    points[[33, 263]] = [[20, 30], [80, 30]]
    points[[50, 280, 205, 425]] = [[25, 60], [75, 60], [30, 65], [70, 65]]
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    lips = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
    points[lips] = np.column_stack([50 - 15 * np.cos(angle), 80 - 6 * np.sin(angle)])
    for color, share in (((215, 210, 200), 1.0), ((150, 60, 60), 0.0), ((40, 30, 30), 0.0)):
        face = np.full((110, 100, 3), (200, 150, 130), np.uint8)
        face[70:92, 30:70] = color
        assert teeth_in(face, points) == share
    points[lips, 1] = 80
    assert teeth_in(face, points) == 0


def test_sharpness_falls_with_blur() -> None:
    import cv2

    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (300, 300, 3)).astype(np.uint8), (0, 0), 2)
    points = np.column_stack([rng.uniform(50, 250, (478, 2)), np.zeros(478)])
    sharp, soft = of_pixels(image, points), of_pixels(cv2.GaussianBlur(image, (0, 0), 6), points)
    assert soft["sharpness"] < 0.3 * sharp["sharpness"]
    assert soft["brightness"] == pytest.approx(sharp["brightness"], abs=1)


def test_a_real_clip_is_usable_and_its_blurred_copy_is_not(tmp_path: Path) -> None:
    import cv2

    images = [frame.image for frame in read_frames(DEMO, indices=set(range(0, 300, 10)), longest_side_px=480)]
    write_video(tmp_path / "a.mp4", images, 10)
    write_video(tmp_path / "b.mp4", [cv2.GaussianBlur(image, (0, 0), 7) for image in images], 10)
    first, second = (check([tmp_path / name]) for name in ("a.mp4", "b.mp4"))
    assert first.verdict == "usable" and first.figures["faces"] > 20 and first.figures["blurred_share"] < 0.2
    assert first.figures["face_px"] == pytest.approx(210, abs=15)
    assert second.verdict == "unusable" and second.figures["sharpness"] < 0.5 * first.figures["sharpness"]
    both = check([tmp_path / "a.mp4", tmp_path / "a.mp4"])
    assert both.figures["faces"] == 2 * first.figures["faces"] and both.file_names == ["a.mp4", "a.mp4"]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(UnusableMaterial, match="not a readable video"):
        check([tmp_path / "x.mp4"])


@pytest.mark.slow
def test_a_capture_with_known_cameras_is_covered_as_it_was_filmed() -> None:
    found = check([shared("synth/capture/capture.mp4")])
    assert found.verdict == "good"
    assert found.coverage.seconds[3:9].min() >= 1 and found.coverage.seconds[[0, 1, 2, 9, 10, 11]].max() == 0
    assert -75 < found.figures["yaw_deg"][0] < -60 < 60 < found.figures["yaw_deg"][1] < 75


def test_the_guide_asks_for_what_the_check_wants() -> None:
    text = guide()
    for word in ("60 degrees", "teeth", "Close your eyes", "brows", "mouth wide", "--check"):
        assert word in text
    assert record()["steps"][0] == {"do": STEPS[0][0], "seconds": STEPS[0][1]}  # type: ignore[index]


def test_what_strangers_film_is_named() -> None:
    assert "color" in about([look(color=0.5) for _ in range(100)]) and "color" not in about(good())
    twice = [look(other=True, stereo=True) for _ in range(100)]
    assert "stereo" in about(twice) and "people" not in about(twice)
    assert "people" in about([look(other=True) for _ in range(100)])
    blurred_by_a_hand = [look(sharpness=0.001, hand=0.5) for _ in range(100)]
    assert "occlusion" in about(blurred_by_a_hand)
    holes = replace(info(10.0), remarks=("me.mp4 has no new picture for 45 minutes at 2.0 s; that time was left out.",))
    found = judge([look() for _ in range(100)], 0.1, [holes], FrameSettings())
    assert any("45 minutes" in one["say"] and one["weight"] == "know" for one in found.advice)


def test_the_same_picture_twice_is_stereo() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    assert halves_alike(np.hstack([noise, noise])) and halves_alike(np.vstack([noise, noise]))
    assert not halves_alike(np.hstack([noise, noise[::-1]])) and not halves_alike(np.full((64, 64, 3), 9, np.uint8))


def test_check_and_capture_agree_on_the_least_footage() -> None:
    """Frames a second, seconds, and whether that is enough for both."""
    settings = FrameSettings()
    for rate, seconds, enough in ((30, 2.0, True), (30, 1.2, False), (10, 2.0, False), (12.5, 2.0, True), (5, 6.0, True)):
        count = round(rate * seconds)
        scan = Scan(
            index=np.arange(count), time_s=np.arange(count) / rate, points=np.zeros((count, 478, 3), np.float32),
            sharpness=np.ones(count), brightness=np.full(count, 100.0), reason=np.zeros(count, np.uint8),
        )  # fmt: skip
        step_s = max(0.1, 1 / rate)
        clip = replace(info(seconds), rate=Fraction(rate).limit_denominator(10), frames=count)
        verdict = judge([look() for _ in range(round(seconds / step_s))], step_s, [clip], settings).verdict
        assert (verdict != "unusable") == enough
        if enough:
            check_enough(scan, settings, "me.mp4")
        else:
            with pytest.raises(UnusableMaterial, match="at least 24 frames over 2 s"):
                check_enough(scan, settings, "me.mp4")


def test_a_folder_of_photos_is_judged(tmp_path: Path) -> None:
    from pipelines.core.files import write_image

    source = shared("clips/drive_singing.mp4")
    for number, frame in enumerate(read_frames(source, indices=set(range(0, 90, 10)))):
        write_image(tmp_path / f"{number}.jpg", frame.image)
    found = check([tmp_path])
    assert found.verdict == "usable" and found.figures["photos"] == 9 and found.figures["faces"] == 9
    assert not any("10 to 30 s" in one["say"] for one in found.advice)
    for path in list(tmp_path.glob("*.jpg"))[:3]:
        path.unlink()
    assert check([tmp_path]).verdict == "unusable"
