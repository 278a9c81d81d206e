"""Checks of ../shared/bugs/cases.toml: sound, names, clocks, what is a film; one function a case."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bugs import Ended, Try  # type: ignore[import-not-found]

Check = Callable[["Try"], None]
CHECKS: dict[str, Check] = {}
NAMES = "03_names"


def case(name: str) -> Callable[[Check], Check]:
    def note(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return note


def numbers(t: "Try", table: str, column: str) -> np.ndarray:
    return np.array([float(row[column]) for row in t.rows(table)])


def steps(t: "Try", table: str, *columns: str) -> np.ndarray:
    """Length of the step between neighboring rows, all columns together."""
    values = [numbers(t, table, column) for column in columns]
    return np.linalg.norm(np.diff(np.array(values), axis=1), axis=0)


def tracked(t: "Try", table: str, count: int, least: int | None = None) -> None:
    states = t.states(table)
    t.expect(len(states) == count, f"{table} has {len(states)} rows, not {count}")
    good = states.count("tracked")
    t.expect(good >= (count if least is None else least), f"{good} of {len(states)} rows of {table} are tracked")


def one_sentence(t: "Try", ended: "Ended", pattern: str) -> None:
    """A refusal is one line that begins with `error:` and says the right thing."""
    lines = [line for line in ended.err.splitlines() if line.startswith("error:")]
    t.expect(len(lines) == 1, f"{len(lines)} error lines")
    t.says(ended, pattern)


# ------------------------------------------------------------------------------------------------------------------ sound


@case("01")
def spatial_sound(t: "Try") -> None:
    for end, codec in (("mp4", "aac"), ("mov", "aac"), ("webm", "opus")):
        t.drive("01_iphone16_spatial_sound.mov", f"01.{end}")
        film = t.film(f"01.{end}", frames=60, rate=30, sound=codec)
        lengths = [abs(sound["seconds"] - 2) < 0.1 for sound in film.sounds] if film else []
        t.expect(all(lengths), "the sound is not 2 s long")


@case("02")
def spatial_sound_first(t: "Try") -> None:
    t.drive("02_spatial_sound_first.mov", "02.mp4")
    t.film("02.mp4", frames=60, sound="aac")


@case("28a")
def long_sound(t: "Try") -> None:
    done = t.drive("14_forehead_cut_off.mp4", "28a.mp4", f"--set=sound={t.inputs / '28a_voice_message.ogg'}")
    film = t.film("28a.mp4", frames=90, sound="aac")
    t.expect(not film or abs(film.seconds - 3) < 0.05, "the picture is not 3 s long")
    t.expect(not film or film.sounds[0]["seconds"] <= 3.05, "the sound is longer than the film")
    t.says(done, r"sound.*8(\.0)? s.*longer.*3(\.0)? s.*cut")


@case("28b")
def studio_sound(t: "Try") -> None:
    sound = f"--set=sound={t.inputs / '28b_studio_5.1_24bit.wav'}"
    for end, codec in (("mp4", "aac"), ("webm", "opus")):
        done = t.drive("14_forehead_cut_off.mp4", f"28b.{end}", sound)
        film = t.film(f"28b.{end}", frames=90, sound=codec)
        t.expect(not film or abs(film.seconds - 3) < 0.05, "the picture is not 3 s long")
        t.expect(not film or all(stream["rate"] <= 48_000 for stream in film.sounds), "more than 48000 Hz")
        t.says(done, r"0\.17 s|0\.2 s")


@case("29")
def two_tracks(t: "Try") -> None:
    t.drive("29_obs_two_tracks.mkv", "29.mp4")
    t.film("29.mp4", frames=90, sound="aac")


@case("36")
def surround(t: "Try") -> None:
    for end, codec in (("webm", "opus"), ("mp4", "aac")):
        t.drive("36_surround_ac3_51side.mkv", f"36.{end}")
        film = t.film(f"36.{end}", frames=60, sound=codec)
        t.expect(not film or end == "mp4" or film.codec.endswith("vp9"), f"the webm is {film.codec if film else ''}")


# ------------------------------------------------------------------------------------------------------------------ names


@case("03a")
def time_of_day(t: "Try") -> None:
    here = t.inputs / NAMES
    done = [t.drive(name, out, cwd=here) for name, out in (("10:30 selfie.mp4", "03a.mp4"), ("./10:30 selfie.mp4", "03a2.mp4"))]
    done.append(t.check("10:30 selfie.mp4", cwd=here))
    done.append(t.run("track", "10:30 selfie.mp4", "-o", t.results / "03a.track", cwd=here))
    done.append(t.drive("me.mp4", "03ab.mp4", "--background", "10:30 selfie.mp4", cwd=here))
    done.append(t.drive("me.mp4", "03as.mp4", "--set=sound=10:30 take.wav", cwd=here))
    for ended in done:
        t.never_says(ended, "Protocol not found|not a readable video")
    for out in ("03a.mp4", "03a2.mp4"):
        t.film(out, frames=60, rate=30, sound="aac")
    t.film("03ab.mp4", frames=30)
    t.film("03as.mp4", frames=30, sound="aac")


@case("03b")
def date_and_time(t: "Try") -> None:
    done = t.check("2026-11-29T10:30:12.mp4", cwd=t.inputs / NAMES)
    t.never_says(done, "not a readable video|Protocol not found")
    t.says(done, "usable|face")


@case("03c")
def protocols(t: "Try") -> None:
    for name, out in (("file:me.mp4", "03c1.mp4"), ("concat:me.mp4|you.mp4", "03c2.mp4")):
        t.drive(name, out, cwd=t.inputs / NAMES)
        t.film(out, frames=60, rate=30, sound="aac")


@case("03d")
def signs(t: "Try") -> None:
    for number, name in enumerate(("-selfie.mp4", "me%03d.mp4", "[me]{1}.mp4", "me\nyou.mp4")):
        done = t.drive(name, f"03d{number}.mp4", cwd=t.inputs / NAMES)
        t.film(f"03d{number}.mp4", frames=60, sound="aac")
        t.expect("me\nyou" not in done.out + done.err, "a name goes over two lines of a message")
        table = t.results / f"03d{number}.csv"
        t.expect(table.is_file() and len(table.read_text().splitlines()) == 61, "the table has not one line a row")


@case("03e")
def output_of_a_time(t: "Try") -> None:
    for name in ("me.mp4",):
        (t.results / name).write_bytes((t.inputs / NAMES / name).read_bytes())
    done = t.drive("me.mp4", "=10:30.mp4", cwd=t.results, code=(0, 2))
    if done.code == 0:
        t.film("10:30.mp4", frames=30)


# ------------------------------------------------------------------------------------------------------------------ clocks


@case("06")
def hole(t: "Try") -> None:
    for name in ("06a_timestamp_hole_45min.mkv", "06b_timestamp_hole_sound.mkv"):
        out = name[:3] + ".mp4"
        done = t.drive(name, out, code=(0, 4))
        t.says(done, r"45 min.*at 2\.0 s|27[0-9]{2}")
        if done.code == 0:
            film = t.film(out, frames=(100, 270), rate=30)
            t.expect(not film or film.seconds < 9, "the result is longer than 9 s")
            t.expect(t.states(out[:3] + ".csv").count("tracked") >= 110, "fewer than 110 rows are tracked")
    t.says(t.check("06a_timestamp_hole_45min.mkv"), "45 min|27[0-9]{2}")
    done = t.run("capture", t.inputs / "06a_timestamp_hole_45min.mkv", "-o", t.results / "06a.capture", code=(0, 4))
    if done.code:
        t.says(done, "45 min|27[0-9]{2}")
    else:
        frames = list((t.results / "06a.capture" / "frames").glob("*.jpg"))
        t.expect(len(frames) >= 24, f"the capture has {len(frames)} frames")


@case("07")
def long_first_picture(t: "Try") -> None:
    done = t.drive("07_first_frame_lasts_40s.mkv", "07.mp4")
    film = t.film("07.mp4", rate=30)
    t.says(done, "no new picture for (39|40)")
    t.expect(not film or film.seconds < 6 or abs(film.seconds - 44) < 1, f"{film.seconds if film else 0:.1f} s long")
    t.expect(t.states("07.csv")[-120:].count("tracked") >= 110, "fewer than 110 of the last 120 rows are tracked")
    looks = t.checked("07_first_frame_lasts_40s.mkv").get("looks", 0)
    t.expect(35 <= looks <= 45, f"the check looks at {looks} pictures of the 4 s")


@case("19a")
def slow_motion(t: "Try") -> None:
    done = t.drive("19a_slow_motion_240fps.mov", "19a.mp4")
    film = t.film("19a.mp4")
    t.expect(not film or abs(film.seconds - 1) < 0.05, "not 1 s long")
    t.expect(not film or film.rate <= 60.1, f"{film.rate if film else 0:.0f} frames/s")
    t.says(done, r"240.*rate_hz")


@case("19b")
def edited_slow_motion(t: "Try") -> None:
    done = t.drive("19b_slow_motion_edited.mov", "19b.mp4")
    film = t.film("19b.mp4")
    t.expect(not film or 2.25 <= film.seconds <= 2.45, f"{film.seconds if film else 0:.2f} s long")
    t.expect(not film or any(abs(film.rate - rate) < 0.5 for rate in (30, 60, 240)), f"{film.rate if film else 0:.2f} frames/s")
    t.expect(set(t.states("19b.csv")) == {"tracked"}, "not every row is tracked")
    t.never_says(done, "face is lost")


@case("33")
def cut_in_mid_gop(t: "Try") -> None:
    t.drive("33_cut_in_mid_gop.ts", "33.mp4", "--side-by-side")
    film = t.film("33.mp4", rate=30, sound="aac")
    states = t.states("33.csv")
    short = film is not None and abs(film.seconds - 1) < 0.15
    held = film is not None and abs(film.seconds - 2.5) < 0.2 and "tracked" not in states[:40]
    t.expect(short or held, f"{film.seconds if film else 0:.2f} s, {states.count('tracked')} rows tracked")
    t.expect(film is None or not film.sounds or film.sounds[0]["seconds"] <= film.seconds + 0.1, "the sound is longer")
    late = sound_delay_s(t.inputs / "33_cut_in_mid_gop.ts", t.results / "33.mp4")
    t.expect(abs(late - (1.61 if short else 0.0)) < 0.05, f"the result's sound begins {late:.2f} s into the file's")


def sound_delay_s(source: Path, result: Path) -> float:
    """Where in a file's sound the result's sound lies, by the largest correlation; -1 where one of the two has none."""
    from scipy.signal import correlate

    whole, part = mono(source), mono(result)
    if len(part) < 1600 or len(whole) < len(part) // 2:
        return -1.0
    return float(np.argmax(np.abs(correlate(whole, part, mode="full"))) - len(part) + 1) / 16_000


def mono(path: Path) -> np.ndarray:
    """[T] first sound of a file at 16 kHz."""
    import av

    if not path.is_file():
        return np.zeros(0)
    with av.open(str(path.resolve())) as box:
        form = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        parts = [part.to_ndarray()[0] for frame in box.decode(audio=0) for part in form.resample(frame)]
    return np.concatenate(parts) if parts else np.zeros(0)


# ------------------------------------------------------------------------------------------ what is a film and what is not


@case("11")
def webp(t: "Try") -> None:
    done = t.drive("11_driver.webp", "11.mp4", code=(0, 4))
    if done.code == 0:
        t.film("11.mp4", frames=20, rate=10)
    else:
        one_sentence(t, done, "WebP")
        t.never_says(done, "record it again")
    done = t.drive("10_driver.gif", "11b.mp4", "--background", str(t.inputs / "11_driver.webp"))
    moving_background(t, "11b.mp4", done)


def moving_background(t: "Try", out: str, done: "Ended") -> None:
    """The lower left corner of the picture changes, or a line says that the background stands still."""
    import av

    path = t.results / out
    if t.expect(path.is_file(), f"{out} is not there"):
        with av.open(str(path)) as box:
            corners = [frame.to_ndarray(format="gray")[-24:, :24].astype(float) for frame in box.decode(video=0)]
        moves = max(np.abs(corner - corners[0]).mean() for corner in corners) > 0.7
        t.expect(
            moves or bool(re.search("first picture|first frame", done.text)), "the background stands still, and nothing is said"
        )


@case("12a")
def one_frame(t: "Try") -> None:
    still(t, "12a_one_frame.mp4", "12a.mp4")


def still(t: "Try", name: str, out: str) -> None:
    done = t.drive(name, out, code=(0, 4))
    t.never_says(done, "a face is seen in 1 of the 1 frames")
    if done.code == 0:
        t.film(out, frames=1)
    else:
        one_sentence(t, done, "picture|frame")


@case("12b")
def photo(t: "Try") -> None:
    still(t, "12b_still.jpg", "12b.mp4")
    done = t.drive("12b_still.jpg", "12b.png", code=(0, 2))
    if done.code == 0:
        t.expect((t.results / "12b.png").is_file(), "no picture was written")
    else:
        one_sentence(t, done, "picture|still")


@case("30a")
def chapters(t: "Try") -> None:
    t.drive("30a_jpeg_chapter_track.mov", "30a.mp4")
    t.film("30a.mp4", frames=90, rate=30)


@case("30b")
def slides(t: "Try") -> None:
    t.drive("30b_jpeg_track_unmarked.mov", "30b.mp4")
    t.film("30b.mp4", frames=90, rate=30)
    check = t.check("30b_jpeg_track_unmarked.mov")
    t.never_says(check, "no face")
    t.says(check, r"face is only 1[45]\d pixels high")
    t.says(check, r"\busable")


@case("31")
def motion_photo(t: "Try") -> None:
    done = t.drive("31_PXL_20261129_103012.MP.jpg", "31.mp4", code=(0, 4))
    if done.code == 0:
        t.film("31.mp4", frames=60, rate=30)
    else:
        one_sentence(t, done, "motion photo")
