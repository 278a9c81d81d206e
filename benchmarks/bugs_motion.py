"""Checks of ../shared/bugs/cases.toml: who is in the picture, and tables of motion; one function a case."""

import re
from typing import TYPE_CHECKING

import numpy as np
from bugs_media import case, numbers, one_sentence, steps  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from bugs import Ended, Try  # type: ignore[import-not-found]


# ------------------------------------------------------------------------------------------------ who is in the picture


@case("15")
def two_people(t: "Try") -> None:
    t.drive("15_two_people.mp4", "15.mp4")
    t.film("15.mp4", frames=105)
    t.run("track", t.inputs / "15_two_people.mp4", "-o", t.results / "15t.track", "--csv")
    t.expect(bool((numbers(t, "15t.csv", "HeadX") < -0.5).all()), "the other person drives")
    t.expect(float(steps(t, "15t.csv", "HeadX", "HeadY", "HeadZ").max(initial=0)) <= 0.3, "a step above 0.3")


@case("18")
def jump_cuts(t: "Try") -> None:
    done = t.drive("18_jump_cuts.mp4", "18.mp4")
    rows = t.rows("18.csv")
    states = [row["state"] for row in rows]
    t.expect(len(states) == 126, f"{len(states)} rows")
    t.expect(set(states[36:54]) == {"held"}, "a row in the black is not held")
    t.expect(all(row["flagged"] == "1" for row in rows[36:54]), "rows in the black are not flagged")
    t.run("track", t.inputs / "18_jump_cuts.mp4", "-o", t.results / "18t.track", "--csv")
    moved = steps(t, "18t.csv", "HeadX", "HeadY", "HeadZ", "HeadYaw")
    t.expect(float(moved[35:53].max(initial=0)) < 0.02, "the pose glides in the black")
    t.expect(
        all(row["flagged"] == "1" or row["state"] == "held" for row in rows[54:90]), "another person's rows are not flagged"
    )
    t.expect(states[92:126].count("tracked") >= 30, f"{states[92:126].count('tracked')} of the last 34 rows are tracked")
    t.says(done, r"another person.*1\.[789] s|another person.*0:0?1")


@case("20")
def hand(t: "Try") -> None:
    name = "20_hand_before_mouth.mp4"
    done = t.drive(name, "20.mp4")
    rows = t.rows("20.csv")
    hidden = [row for row in rows[25:60] + rows[75:100] if row["flagged"] == "1" or row["state"] != "tracked"]
    t.expect(len(hidden) >= 48, f"{len(hidden)} of 60 hidden rows are flagged or held")
    t.says(done, r"mouth.*(covered|hidden) in (5\d|6\d|7\d) of 100")
    t.run("track", t.inputs / name, "-o", t.results / "20t.track", "--csv")
    jaw = numbers(t, "20t.csv", "JawOpen")
    good = len(jaw) == 100 and float(jaw.min()) >= -0.055 and float(jaw.max()) <= 0.225
    t.expect(good, f"JawOpen {jaw.min(initial=9):.2f}..{jaw.max(initial=-9):.2f}")
    t.expect(float(np.abs(np.diff(jaw)).max(initial=0)) <= 0.25, "a step of JawOpen above 0.25")
    check = t.check(name)
    t.says(check, "hand|before the face|covered|mouth")
    t.never_says(check, "blur")


@case("35")
def dark_glasses(t: "Try") -> None:
    t.says(t.drive("35_dark_glasses.mp4", "35.mp4"), r"eyes.*(not seen|covered|hidden)|glasses")
    t.run("track", t.inputs / "35_dark_glasses.mp4", "-o", t.results / "35t.track", "--csv")
    for name in ("EyeBlinkLeft", "EyeBlinkRight", "EyeLookInLeft", "EyeLookDownLeft"):
        step = float(np.abs(np.diff(numbers(t, "35t.csv", name))).max(initial=0))
        t.expect(step <= 0.1, f"a step of {step:.2f} of {name}")


# ------------------------------------------------------------------------------------------------------- tables of motion


def take(t: "Try", name: str, out: str, frames: int, rate: float, *more: str) -> "Ended":
    done = t.drive(name, out, *more)
    t.film(out, frames=frames, rate=rate)
    times = numbers(t, out.replace(".mp4", ".csv"), "time_s")
    t.expect(len(times) > 1 and float(np.ptp(np.diff(times))) < 0.0002, "the rows are not evenly spaced")
    return done


@case("24a")
def live_link(t: "Try") -> None:
    take(t, "24a_live_link_30.csv", "24a.mp4", 100, 30)


@case("24b")
def neurosync(t: "Try") -> None:
    take(t, "24b_neurosync_60.csv", "24b.mp4", 200, 60)


@case("24c")
def frame_numbers(t: "Try") -> None:
    take(t, "24c_face_landmark_link_2997.csv", "24c.mp4", 100, 29.97)


@case("24d")
def degrees(t: "Try") -> None:
    done = t.drive("24d_head_in_degrees_small.csv", "24d.mp4", code=(0, 4))
    if not re.search("degrees", done.text) or done.code:
        t.says(done, "degrees")
        t.says(done, r"head_signs=\[?0\.01745")
    t.never_says(done, "turns further than the capture showed")
    if done.code == 0:
        t.run("track", t.inputs / "24d_head_in_degrees_small.csv", "-o", t.results / "24dt.track", "--csv")
        t.expect(float(np.abs(numbers(t, "24dt.csv", "HeadYaw")).max(initial=0)) < np.radians(6), "the head turns further")


@case("24e")
def milliseconds(t: "Try") -> None:
    for number, more in enumerate(((), ("--set=track.timecode_hz=60",), ("--set=track.timecode_hz=1000",))):
        done = t.drive("24e_milliseconds.csv", f"24e{number}.mp4", *more, code=0 if number == 2 else (0, 4))
        if done.code == 0:
            t.film(f"24e{number}.mp4", frames=100, rate=30)
        else:
            t.says(done, "timecode_hz=1000")


@case("24f")
def no_subframes(t: "Try") -> None:
    take(t, "24f_no_subframes_30.csv", "24f.mp4", 100, 30)


@case("24g")
def new_order(t: "Try") -> None:
    take(t, "24g_new_order_left_wink.csv", "24g.mp4", 200, 60)
    t.run("track", t.inputs / "24g_new_order_left_wink.csv", "-o", t.results / "24gt.track", "--csv")
    left, right = (numbers(t, "24gt.csv", f"EyeBlink{side}") for side in ("Left", "Right"))
    t.expect(len(left) == 200 and min(left[60], left[180]) > 0.9, "the left eye does not close at 1.0 and 3.0 s")
    t.expect(float(np.abs(right).max(initial=0)) < 0.1, "the right eye closes")


@case("24h")
def german(t: "Try") -> None:
    done = t.drive("24h_german_excel.csv", "24h.mp4", code=(0, 4))
    if done.code:
        one_sentence(t, done, "decimal comma")
    else:
        t.film("24h.mp4", frames=200, rate=60)


@case("24i")
def take_folder(t: "Try") -> None:
    t.drive("24i_20261129_MySlate_3", "24i")
    films = sorted((t.results / "24i").glob("*.mp4")) if (t.results / "24i").is_dir() else [t.results / "24i.mp4"]
    if t.expect(len(films) == 1, f"{len(films)} films: {[film.name for film in films]}"):
        t.film(str(films[0]), frames=150, rate=60, sound="aac")


@case("25")
def flame(t: "Try") -> None:
    one_sentence(t, t.drive("25_vhap_tracked_flame_params.npz", "25.mp4", code=4), "adapter")
