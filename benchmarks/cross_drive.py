"""Every avatar moved by every driver: does the render, tracked again, do what the driver did?

    python benchmarks/cross_drive.py OUT --avatars A.avatar B.avatar ... --drivers d.mp4 e.mp4 ... [--start 2] [--seconds 8]

Each driver is tracked once; each pair is driven twice, with the driver's view and with `--view still`, as `avatarcli drive`
does it. OUT gets both videos of a pair, a contact sheet (driver, its view, still) and a JSON.
Pairs that have theirs, of the same avatar, driver and settings, are not repeated: on several cores give each driver a process
of its own, then all of them to one for the record. Per pair:

- jaw, smile: correlation of driver and render over the frames in which both were tracked; before the arrow of driver and
  the expression that the map is asked for, which is what retargeting and the range guard leave.
- blinks: how many of the driver's are found in the render, and by how many frames the worst of them arrives early or late
  (pipelines.drive.motion.blinks: halfway down; which frame of shut lids scores highest is noise).
- jump: largest turn of the head from one frame to the next, render and driver.
- flicker: rms difference of consecutive frames of the still view, gray levels, inside the head's matte, eroded, less the hull
  of the face as tracked in both, dilated.
"""

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options  # noqa: E402
from pipelines.artifacts.avatar import Avatar, load_avatar  # noqa: E402
from pipelines.avatar.background import Film, within  # noqa: E402
from pipelines.core.errors import UnusableMaterial  # noqa: E402
from pipelines.core.files import (  # noqa: E402
    read_image,
    read_json,
    sha256_file,
    sha256_json,
    write_image,
    write_json,
)
from pipelines.core.stage import Silent, fingerprint_of  # noqa: E402
from pipelines.drive import DriveSettings, drive  # noqa: E402
from pipelines.drive.motion.blinks import blinks, closure_of, lateness  # noqa: E402
from pipelines.drive.motion.driver_files import open_driver  # noqa: E402
from pipelines.drive.motion.follow_check import correlation, pictures  # noqa: E402
from pipelines.drive.motion.range_guard import captured, guard  # noqa: E402
from pipelines.drive.motion.record_track import TakeSettings, take  # noqa: E402
from pipelines.drive.motion.retarget import driver_range, retarget  # noqa: E402
from pipelines.drive.motion.track import READABLE, resampled, track_video  # noqa: E402
from pipelines.drive.settings import TrackSettings  # noqa: E402
from pipelines.face.expression import Calibration  # noqa: E402
from pipelines.face.track import Track, load_track, save_track  # noqa: E402
from pipelines.face.tracker import FaceTracker  # noqa: E402
from pipelines.geometry.rigid import rotation_vectors  # noqa: E402
from pipelines.media.video import probe  # noqa: E402

WATCHED = {"jaw": ("jawOpen",), "smile": ("mouthSmileLeft", "mouthSmileRight")}
ERODED, DILATED = 0.02, 0.03
"""Over the picture's side."""
MOMENTS, SIDE = 8, 160
MEASURE = 2
"""Changes when a figure is measured otherwise."""


def shortened(driver: Path, folder: Path, start: float, seconds: float | None) -> Path:
    """The track of a driver, tracked once, cut to a piece."""
    whole = folder / f"{driver.stem}.track"
    take(driver, whole, TakeSettings(), Silent(), overwrite=True)
    if seconds is None and start == 0:
        return whole
    track = load_track(whole)
    length = min(seconds or track.length_s, track.length_s - start)
    path = folder / f"{driver.stem}.{start:g}.{length:g}s.track"
    kept = (track.times_s >= start - 1e-6) & (track.times_s < start + length - 1e-6)
    rows = {name: getattr(track, name)[kept] for name in ("times_s", "expression", "world_from_head", "confidence", "valid")}
    save_track(path, replace(track, duration_s=length, **rows | {"times_s": rows["times_s"] - rows["times_s"][0]}))
    return path


def shown_of(path: Path) -> Track:
    """A driver's rows at the frames of its render."""
    driver = open_driver(path, TrackSettings())
    return replace(resampled(load_track(path), driver.even_times_s()), rate_hz=float(driver.rate))


def channel(track: Track, parts: tuple[str, ...]) -> np.ndarray:
    """[T] mean of some channels."""
    return track.expression[:, [track.names.index(part) for part in parts]].mean(1)


def calibration_of(avatar: Avatar) -> Calibration:
    return Calibration(neutral=avatar.neutral, low=avatar.low, high=avatar.high)


def asked_of(avatar: Avatar, driver: Track) -> Track:
    """What the expression map is asked for: the driver's motion, retargeted and guarded."""
    settings = DriveSettings()
    found = retarget(driver, calibration_of(avatar), settings.retarget).expression
    known = captured(avatar.folder, avatar.record.expression)
    return replace(driver, names=avatar.names, expression=guard(found, avatar.names, known, settings.guard).expression)


def tracked_again(video: Path, avatar: Avatar, folder: Path) -> Track | None:
    """The render's own track; None where the tracker sees no face in it."""
    focal = float(avatar.frontal.intrinsics[0, 0, 0])
    try:
        return track_video(
            probe(video), "measured", avatar.prior_landmarks, TrackSettings(focal=focal), folder, Silent()
        )  # fmt: skip
    except UnusableMaterial:
        return None


def both(driver: Track, render: Track) -> np.ndarray:
    """Rows that were tracked in both."""
    rows = [track.valid & (track.confidence > READABLE) for track in (driver, render)]
    count = min(map(len, rows))
    return np.flatnonzero(rows[0][:count] & rows[1][:count])


def blinked(driver: Track, render: Track, avatar: Avatar) -> dict[str, Any]:
    """By how many frames each blink of the driver arrives and opens later in the render, None where it has none."""
    both = ((driver, driver_range(driver, None)), (render, calibration_of(avatar)))
    asked, found = (blinks(closure_of(track.expression, track.names, own), track.rate_hz) for track, own in both)
    late = lateness(asked, found)
    return {
        "asked": len(asked), "found": sum(one is not None for one in late), "in_render": len(found),
        "arrives": [one and round(one[0], 2) for one in late], "opens": [one and round(one[1], 2) for one in late],
    }  # fmt: skip


def turns_deg(track: Track) -> np.ndarray:
    """[T-1] turn of the head between frames that were both seen, else 0."""
    poses = track.world_from_head[:, :3, :3]
    turned = np.degrees(np.linalg.norm(rotation_vectors(poses[1:] @ poses[:-1].transpose(0, 2, 1)), axis=1))
    return np.where(track.valid[1:] & track.valid[:-1], turned, 0.0)


def flicker(video: Path, matte: np.ndarray) -> float:
    """Gray levels rms from frame to frame inside the eroded `matte` [H,W] 0..255, outside the dilated faces."""
    inside = cv2.erode((matte >= 250).astype(np.uint8), disk(ERODED * len(matte)))
    total, count, last, hidden = 0.0, 0, None, None
    with FaceTracker(video=True) as tracker:
        for image in pictures(video):
            gray, face = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float), hull(tracker.track(image), len(matte))
            if last is not None and hidden is not None:
                region = (inside > 0) & (face == 0) & (hidden == 0)
                total, count = total + float(np.square(gray - last)[region].sum()), count + int(region.sum())
            last, hidden = gray, face
    return float(np.sqrt(total / max(count, 1)))


def hull(face: Any, size: int) -> np.ndarray:
    """uint8 [size,size]: 1 inside the convex hull of the tracked points, dilated."""
    mask = np.zeros((size, size), np.uint8)
    if face is not None:
        cv2.fillConvexPoly(mask, cv2.convexHull(face.points[:, :2].round().astype(np.int32)), 1)
    return cv2.dilate(mask, disk(DILATED * size))


def disk(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def head_matte(avatar: Path, track: Path, settings: DriveSettings, folder: Path) -> np.ndarray:
    """uint8 [H,W] of the still head without its torso."""
    short, full = folder / "short.track", load_track(track)
    rows = {name: getattr(full, name)[:5] for name in ("times_s", "expression", "world_from_head", "confidence", "valid")}
    save_track(short, replace(full, duration_s=5 / full.rate_hz, **rows))
    drive(avatar, short, folder / "matte", replace(settings, background="transparent", torso="none"), Silent(), overwrite=True)
    return read_image(folder / "matte" / "frames" / "000000.png")[..., 3]


def sheet(path: Path, driver: Path, start: float, videos: list[Path], track: Track) -> None:
    """MOMENTS columns: the driver and the same moment of each video."""
    chosen = [round(at) for at in np.linspace(0, len(track.times_s) - 1, MOMENTS)]
    film = Film(driver, 2 * SIDE)
    rows = [[within(film.at(start + float(track.times_s[at])), (SIDE, SIDE)) for at in chosen]]
    for video in videos:
        every = dict(enumerate(pictures(video)))
        rows.append([within(every[min(at, len(every) - 1)], (SIDE, SIDE)) for at in chosen])
    write_image(path, np.concatenate([np.concatenate(row, axis=1) for row in rows]), quality=88)


def pair(avatar: Path, driver: Path, begin: float, track: Path, folder: Path, settings: DriveSettings) -> dict[str, Any]:
    """Drive one avatar by one driver and measure; the JSON of the pair."""
    start, asked, loaded = time.perf_counter(), shown_of(track), load_avatar(avatar)
    moved, still = folder / "driver.mp4", folder / "still.mp4"
    report = drive(avatar, track, moved, settings, Silent(), overwrite=True)
    quiet = replace(settings, view="still")
    drive(avatar, track, still, quiet, Silent(), overwrite=True)
    sheet(folder / "sheet.jpg", driver, begin, [moved, still], asked)
    figures: dict[str, Any] = {"avatar": avatar.stem, "driver": driver.stem, "frames": len(asked.times_s)}
    render = tracked_again(moved, loaded, folder / "again")
    figures["flicker"] = flicker(still, head_matte(avatar, track, quiet, folder))
    figures["clamped"] = report.figures["clamped_frames_share"]
    if render is not None:
        figures |= compared(asked, render, loaded)
    return {**figures, "seconds": round(time.perf_counter() - start, 1)}


def compared(driver: Track, render: Track, avatar: Avatar) -> dict[str, Any]:
    """Driver against the track of its render."""
    rows, code = both(driver, render), asked_of(avatar, driver)
    figures: dict[str, Any] = {"seen": len(rows) / len(driver.valid), "blinks": blinked(driver, render, avatar)}
    for name, parts in WATCHED.items():
        asked, mapped, found = (channel(track, parts)[rows] for track in (driver, code, render))
        figures[name] = {
            "r": correlation(asked, found), "r_asked": correlation(asked, mapped),
            "spread_driver": float(asked.std()), "spread_asked": float(mapped.std()), "spread": float(found.std()),
        }  # fmt: skip
    figures["jump_deg"], figures["driver_jump_deg"] = float(turns_deg(render).max()), float(turns_deg(driver).max())
    return figures


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all pairs: medians and the worst."""
    seen = [row for row in rows if "blinks" in row]
    late = [one for row in seen for one in row["blinks"]["arrives"]]
    figures: dict[str, Any] = {
        "pairs": len(rows), "with_a_face": len(seen), "blinks": len(late), "blinks_found": sum(one is not None for one in late),
        "blinks_within_a_frame": sum(one is not None and abs(one) <= 1 for one in late),
    }  # fmt: skip
    for name in WATCHED:
        scores = [row[name]["r"] for row in seen if row[name]["r"] is not None]
        figures[name] = {"median_r": float(np.median(scores)), "worst_r": min(scores)} if scores else {}
    for name in ("jump_deg", "flicker"):
        scores = [row[name] for row in rows if name in row]
        figures[name] = {"median": float(np.median(scores)), "worst": max(scores)} if scores else {}
    return figures


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--avatars", type=Path, nargs="+", required=True)
    parser.add_argument("--drivers", type=Path, nargs="+", required=True)
    parser.add_argument("--start", type=float, default=0.0, help="second of each driver at which its piece begins")
    parser.add_argument("--seconds", type=float, help="length of the piece; the whole driver when not given")
    parser.add_argument("--size", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options(parser)
    asked = parser.parse_args()
    run = Run.of("cross_drive", asked)
    torch.set_num_threads(asked.threads)
    settings, rows = DriveSettings(size=asked.size, self_check=False), []
    (asked.out / "tracks").mkdir(parents=True, exist_ok=True)
    for driver in asked.drivers:
        track = shortened(driver, asked.out / "tracks", asked.start, asked.seconds)
        for avatar in asked.avatars:
            folder = asked.out / f"{avatar.stem}.{driver.stem}"
            folder.mkdir(exist_ok=True)
            done = {"of": [fingerprint_of(avatar), sha256_file(track), sha256_json(settings), MEASURE]}
            found = read_json(folder / "pair.json") if (folder / "pair.json").exists() else {}
            if found.get("of") != done["of"]:
                shutil.rmtree(folder / "again", ignore_errors=True)
                write_json(folder / "pair.json", found := pair(avatar, driver, asked.start, track, folder, settings) | done)
            rows.append(found)
    figures = {"all": summary(rows), **{f"{row['avatar']} by {row['driver']}": row for row in rows}}
    headline = {
        "jaw r, median": "all.jaw.median_r", "worst": "all.jaw.worst_r", "smile r, median": "all.smile.median_r",
        "worst smile": "all.smile.worst_r", "blinks within a frame": "all.blinks_within_a_frame", "of": "all.blinks",
    }  # fmt: skip
    run.finish(figures, headline=headline, inputs=[*asked.avatars, *asked.drivers])


if __name__ == "__main__":
    main()
