"""Checks of ../shared/bugs/cases.toml: films as devices, browsers and editors write them; one function a case."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bugs_media import case, moving_background, numbers, steps, tracked  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from bugs import Try  # type: ignore[import-not-found]


# -------------------------------------------------------------------------------------------------------- devices and forms


@case("04")
def webrtc(t: "Try") -> None:
    name = "04_resolution_changes_webrtc.webm"
    t.drive(name, "04.mp4", "--side-by-side")
    t.film("04.mp4", frames=90)
    tracked(t, "04.csv", 90)
    t.check(name)
    t.run("track", t.inputs / name, "-o", t.results / "04t.track", "--csv")
    depth = numbers(t, "04t.csv", "HeadZ")
    t.expect(len(depth) > 0 and float(np.abs(depth / np.median(depth) - 1).max()) <= 0.05, "the head's distance jumps")


@case("05")
def transport_stream(t: "Try") -> None:
    t.drive("05_resolution_changes.ts", "05.mp4", "--background", "blur")
    t.film("05.mp4", frames=90)
    done = t.drive("10_driver.gif", "05b.mp4", "--background", str(t.inputs / "05_resolution_changes.ts"))
    t.film("05b.mp4", frames=20)
    moving_background(t, "05b.mp4", done)


@case("08")
def media_recorder(t: "Try") -> None:
    t.drive("08_mediarecorder.webm", "08.mp4")
    t.film("08.mp4", frames=90, rate=30, sound="aac")


@case("09")
def wrong_duration(t: "Try") -> None:
    t.drive("09_browser_mp4_wrong_duration.mp4", "09.mp4")
    t.film("09.mp4", frames=90, rate=30, sound="aac")


@case("10")
def gif(t: "Try") -> None:
    t.drive("10_driver.gif", "10.mp4")
    t.film("10.mp4", frames=20, rate=10)
    done = t.drive("10_driver.gif", "10b.mp4", "--background", str(t.inputs / "10_driver.gif"))
    moving_background(t, "10b.mp4", done)


@case("13")
def stereo(t: "Try") -> None:
    name = "13_spatial_side_by_side.mp4"
    t.drive(name, "13.mp4")
    t.run("track", t.inputs / name, "-o", t.results / "13t.track", "--csv")
    t.expect(float(steps(t, "13t.csv", "HeadX", "HeadY", "HeadZ").max(initial=0)) <= 0.3, "a step above 0.3")
    check = t.check(name)
    t.says(check, "twice|stereo|side by side")
    t.never_says(check, "second face|one person alone")


@case("14")
def forehead(t: "Try") -> None:
    t.drive("14_forehead_cut_off.mp4", "14.mp4")
    tracked(t, "14.csv", 90)


@case("16")
def picture_in_picture(t: "Try") -> None:
    t.drive("16_video_call_pip.mp4", "16.mp4")
    t.film("16.mp4", frames=90)
    tracked(t, "16.csv", 90)
    t.says(t.check("16_video_call_pip.mp4"), "second face")
    one_face(t, "16_video_call_pip.mp4", "16t", nearer_than=2.0)


def one_face(t: "Try", name: str, out: str, *, nearer_than: float) -> None:
    """The same face throughout, in the middle of the picture and as near as it is."""
    t.run("track", t.inputs / name, "-o", t.results / f"{out}.track", "--csv")
    t.expect(float(steps(t, f"{out}.csv", "HeadX", "HeadY", "HeadZ").max(initial=0)) <= 0.3, "a step above 0.3")
    aside, depth = np.abs(numbers(t, f"{out}.csv", "HeadX")), numbers(t, f"{out}.csv", "HeadZ")
    t.expect(float(aside.max(initial=0)) < 0.3, "a face at the side drives")
    t.expect(len(depth) > 0 and float(depth.max()) < nearer_than, "another face than the large one drives")


@case("17")
def blurred_bars(t: "Try") -> None:
    t.drive("17_blurred_bars.mp4", "17.mp4")
    t.film("17.mp4")
    t.expect(set(t.states("17.csv")) == {"tracked"}, "not every row is tracked")
    one_face(t, "17_blurred_bars.mp4", "17t", nearer_than=4.0)
    t.never_says(t.check("17_blurred_bars.mp4"), "second face")


@case("21")
def mouth_open_first(t: "Try") -> None:
    t.drive("21_begins_mouth_open.mp4", "21.mp4", "--set=self_check=true", avatar=t.face)
    tracked(t, "21.csv", 90, 80)
    record = t.results / "21.json"
    found = json.loads(record.read_text())["figures"].get("self_check", {}) if record.is_file() else {}
    jaws = found.get("jawOpen") or 0.0
    t.expect(jaws > 0.8, f"jaws of driver and result correlate by {jaws:.2f}; a face is seen in {found.get('face_seen', 0)}")
    for film, out in ((t.inputs / "21_begins_mouth_open.mp4", "21t"), (t.results / "21.mp4", "21r")):
        t.run("track", film, "-o", t.results / f"{out}.track", "--csv")
        jaw = numbers(t, f"{out}.csv", "JawOpen")
        least, most = jaw[60:].mean() - jaw.min(), np.ptp(jaw)
        t.expect(len(jaw) == 90 and least < 0.3 * most, f"the lips are not closed at the end of {film.name}")


@case("22")
def camcorder(t: "Try") -> None:
    t.drive("22_camcorder_1080i.mts", "22.mp4", "--side-by-side", "--background", "blur")
    film = t.film("22.mp4", frames=50, rate=25, sound="aac")
    if film:
        t.expect(abs(driver_shape(t, "22.mp4") - 16 / 9) < 0.06, f"the driver is shown {driver_shape(t, '22.mp4'):.2f} wide")
    share = combed_share(t.inputs / "22_camcorder_1080i.mts")
    t.expect(share < 0.15, f"{share:.2f} of what moves has comb lines")


def combed_share(film: Path) -> float:
    """Share of the moving pixels whose line stands out from both lines beside it, in the worst tenth of the frames.

    Of the frames as the program reads them: a result of 128 pixels is too small for combs. Undone it is 0.6, else below 0.1.
    """
    from pipelines.media.video import read_frames

    shares, last = [], None
    for frame in read_frames(film):
        picture = frame.image.astype(float).mean(-1)
        if last is not None:
            above, line, below = picture[:-2], picture[1:-1], picture[2:]
            out = np.maximum(np.minimum(line - above, line - below), np.minimum(above - line, below - line))
            moves = np.abs(picture - last)[1:-1] > 15
            shares += [float((out[moves] > 8).mean())] if moves.sum() > 200 else []
        last = picture
    return float(np.percentile(shares, 90)) if shares else 1.0


def driver_shape(t: "Try", out: str) -> float:
    """Width over height of the driver's picture in the left half, whose rows above and below are plain."""
    import av

    with av.open(str(t.results / out)) as box:
        picture = next(frame.to_ndarray(format="gray") for frame in box.decode(video=0))
    side = picture.shape[1] // 2
    rows = np.flatnonzero(picture[:side, :side].astype(float).std(axis=1) > 4)
    return side / max(np.ptp(rows) + 1, 1) if len(rows) else 0.0


@case("23a")
def cutout(t: "Try") -> None:
    name = "23a_cutout_vp9_alpha.webm"
    own_matte(t, name, "23a.capture")
    done = t.drive("14_forehead_cut_off.mp4", "23ab.mp4", "--background", str(t.inputs / name))
    if t.film("23ab.mp4") and not re.search("transparency", done.text):
        import av

        with av.open(str(t.results / "23ab.mp4")) as box:
            corner = (
                next(frame.to_ndarray(format="rgb24") for frame in box.decode(video=0))[:12, :12].astype(float).mean((0, 1))
            )
        t.expect(corner[0] < 1.5 * corner[1:].mean() + 20, "the transparent part is red")


def own_matte(t: "Try", name: str, out: str) -> None:
    """The matte is the file's ellipse of half-axes 0.36 and 0.50 of the side, or a line says that it is not read."""
    done = t.run("capture", t.inputs / name, "-o", t.results / out, "--set", "cameras.method=landmarks", code=(0, 4))
    if re.search("transparency.*not", done.text):
        return
    t.expect(done.code == 0, "no capture")
    if done.code == 0:
        import cv2

        ellipse(t, t.results / out)
        frames = sorted((t.results / out / "frames").glob("*.jpg"))
        picture = np.asarray(cv2.imread(str(frames[0])), float)
        corner = picture[:8, :8].mean((0, 1))
        t.expect(corner[2] < 1.5 * corner[:2].mean() + 20, "frames are red around the ellipse")


def ellipse(t: "Try", capture: Path) -> None:
    """The mattes are the file's ellipse, cut by the picture's lower side: 0.72 by 0.97 of it, and 0.80 of its box."""
    import cv2

    mattes = sorted((capture / "mattes").glob("*.png"))
    if t.expect(bool(mattes), "the capture has no mattes"):
        inside = np.asarray(cv2.imread(str(mattes[0]), cv2.IMREAD_GRAYSCALE)) > 127
        high, wide = (float(np.ptp(np.flatnonzero(inside.any(axis)))) + 1 if inside.any() else 1.0 for axis in (1, 0))
        t.expect(abs(wide / high - 0.72 / 0.97) < 0.03, f"the matte is {wide / high:.2f} as wide as high, not 0.74")
        t.expect(abs(inside.sum() / (wide * high) - 0.80) < 0.02, "the matte is not the file's ellipse")


@case("23b")
def prores(t: "Try") -> None:
    own_matte(t, "23b_cutout_prores_alpha.mov", "23b.capture")


@case("26")
def tall(t: "Try") -> None:
    t.drive("26_tall_screen_recording.mp4", "26.mp4")
    tracked(t, "26.csv", 75)


@case("27")
def old_phone(t: "Try") -> None:
    t.drive("27_old_phone.3gp", "27.mp4")
    t.film("27.mp4", frames=45, rate=15, sound="aac")
    t.says(t.check("27_old_phone.3gp"), "small|pixels")


@case("32")
def av1(t: "Try") -> None:
    t.drive("32_av1.mp4", "32a.mp4")
    t.film("32a.mp4", frames=60, sound="aac")
    t.drive("32_av1.mp4", "32b.mp4", "--live")
    t.film("32b.mp4")
    t.says(t.run("verify", t.inputs / "32_av1.mp4", code=1), "Not known to be rendered by avatarcli")


@case("34")
def night(t: "Try") -> None:
    t.drive("34_night_gray.mp4", "34.mp4")
    tracked(t, "34.csv", 75)
    t.says(t.check("34_night_gray.mp4"), "color|colour|gray")
