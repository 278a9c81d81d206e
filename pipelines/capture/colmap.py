"""Running COLMAP (Schoenberger and Frahm 2016) on views of a capture, in a child process whose log is a file."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from pipelines.capture.between import Seen
from pipelines.capture.frames import Scan, frame_name
from pipelines.capture.mattes import region
from pipelines.capture.poses import CameraSettings, Candidate, angle_deg
from pipelines.capture.sfm_model import Model
from pipelines.files import read_image, read_json, write_image, write_json

GROWING = 0.25
"""Of COLMAP's time, for a second try from nothing: where the head's own poses lead to no model, hardly anything does."""
FEW_VIEWS = 40
"""So few are cheap to look at closely."""
LOOP_DEG = 40.0
"""Views further apart than this share no features."""


class Failed(Exception):
    """COLMAP gave no usable model; the text says why, for the record."""


def reconstruct(
    partial: Path, chosen: Scan, frame_size: tuple[int, int], reference: Candidate, settings: CameraSettings, seed: int,
    masked: bool, seeded: bool = True, faceless: tuple[int, ...] = (),
) -> Model:  # fmt: skip
    """Run COLMAP on evenly spread views (of the head alone when `masked`); raises Failed. Its words go to colmap.log.

    `seeded` starts from the reference's poses; without, a model is grown from nothing from the same matches. Numbers of frames
    `faceless` join what was seeded, where they can.
    """
    folder = partial / "work" / ("sfm_head" if masked else "sfm_scene")
    name = "seeded" if seeded else "grown"
    rows = np.unique(np.linspace(0, len(chosen.index) - 1, settings.sfm_views).round().astype(int))
    if not (folder / f"{name}.json").exists():
        views = chosen.rows(rows)
        job = _write_views(partial, folder, views, frame_size, settings, masked) | _job(reference, rows, settings, masked)
        names = [f"{frame_name(index)}.jpg" for index in views.index]
        if faceless and not masked:
            _write_images(partial, folder, [frame_name(index) for index in faceless], job)
            job["pairs"] = job["pairs"] and joined_pairs(job["pairs"], views.index, np.array(faceless), settings.sfm_overlap)
        poses = dict(zip(names, reference.camera_from_world[rows, :3].tolist(), strict=True)) if seeded else {}
        extra = [f"{frame_name(index)}.jpg" for index in faceless] if not masked else []
        job |= {"names": names + extra, "poses": poses, "seed": seed, "focal_px": reference.focal_px * job["scale"]}
        job["timeout_s"] = settings.sfm_timeout_s if seeded else GROWING * settings.sfm_timeout_s
        write_json(folder / f"{name}.job.json", job | {"result": f"{name}.json"})
        _run(folder / f"{name}.job.json", partial / "colmap.log", settings.sfm_timeout_s)
    return _largest(folder, name, chosen, rows, faceless)


def _job(reference: Candidate, rows: np.ndarray, settings: CameraSettings, masked: bool) -> dict[str, Any]:
    """What the child is to do; a head alone has few features and few photos share few, so that these are looked at closely."""
    exhaustive, close = settings.sfm_matching == "exhaustive", masked or len(rows) <= FEW_VIEWS
    return {
        "masks": masked, "first_octave": -1 if close else 0, "features": 6000 if close else 4096,
        "peak_threshold": 0.002 if close else 0.0067, "focal_known": settings.focal_px is not None, "threads": 2,
        "pairs": [] if exhaustive else pairs(reference.camera_from_world[rows], settings.sfm_overlap),
    }  # fmt: skip


def pairs(camera_from_world: np.ndarray, overlap: int) -> list[tuple[int, int]]:
    """Views to match: each with the next `overlap` ones, those at distances of powers of two, and as many again that see the
    head from the nearest directions (the loops)."""
    count, found = len(camera_from_world), set()
    steps = sorted({*range(1, overlap + 1), *(2**power for power in range(7) if 2**power > overlap)})
    found |= {(row, row + step) for step in steps for row in range(count - step)}
    angle = angle_deg(camera_from_world[:, None, :3, :3], camera_from_world[None, :, :3, :3])
    for row in range(count):
        near = np.argsort(angle[row], kind="stable")
        fresh = [(min(row, other), max(row, other)) for other in near.tolist() if other != row and angle[row, other] < LOOP_DEG]
        found |= set([pair for pair in fresh if pair not in found][:overlap])
    return sorted(found)


def joined_pairs(known: list[tuple[int, int]], index: np.ndarray, faceless: np.ndarray, overlap: int) -> list[tuple[int, int]]:
    """The pairs with those of frames about which nothing is known but their place in time: each with its neighbors, the last
    with the first (a turntable)."""
    order = np.argsort(np.concatenate([index, faceless]), kind="stable")
    extra = order >= len(index)
    found, count = set(known), len(order)
    for place in range(count):
        for step in range(1, overlap + 1):
            other = (place + step) % count
            if (extra[place] or extra[other]) and place != other:
                one, two = sorted((int(order[place]), int(order[other])))
                found.add((one, two))
    return sorted(found)


def _write_views(
    partial: Path, folder: Path, views: Scan, frame_size: tuple[int, int], settings: CameraSettings, masked: bool
) -> dict[str, Any]:
    """images/ and, for the head alone, masks/ in COLMAP's layout; their scale to the footage, size, offset and optical axis.

    With masks only the part of the frame that ever shows the head is written.
    """
    x0, y0, x1, y1 = _window(views, frame_size) if masked else (0, 0, *frame_size)
    scale = min(1.0, settings.sfm_longest_side_px / max(x1 - x0, y1 - y0))
    size = (round((x1 - x0) * scale), round((y1 - y0) * scale))
    center = [(frame_size[0] / 2 - x0) * scale, (frame_size[1] / 2 - y0) * scale]
    written = {"scale": scale, "width": size[0], "height": size[1], "offset": [x0, y0], "center_px": center}
    names = [frame_name(index) for index in views.index]
    _write_images(partial, folder, names, written)
    for name, points in zip(names, views.points, strict=True) if masked else ():
        matte = read_image(partial / "work" / "mattes" / f"{name}.png")
        write_image(folder / "masks" / f"{name}.jpg.png", _head_mask(matte, points, (x0, y0), scale, size))
    return written


def _write_images(partial: Path, folder: Path, names: list[str], written: dict[str, Any]) -> None:
    """The part of the frames that `written` tells of."""
    import cv2

    (x0, y0), size, scale = written["offset"], (written["width"], written["height"]), written["scale"]
    for name in names:
        image = read_image(partial / "frames" / f"{name}.jpg")
        part = image[y0 : y0 + round(size[1] / scale), x0 : x0 + round(size[0] / scale)]
        write_image(folder / "images" / f"{name}.jpg", cv2.resize(part, size, interpolation=cv2.INTER_AREA))


def _window(views: Scan, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (px) of the part of the frame that holds the head in all views."""
    squares = np.array([region(points) for points in views.points])
    low = np.maximum(np.floor(squares[:, :2].min(0)), 0).astype(int)
    high = np.minimum(np.ceil((squares[:, :2] + squares[:, 2:]).max(0)), frame_size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _head_mask(
    matte: np.ndarray, points: np.ndarray, offset: tuple[int, int], scale: float, size: tuple[int, int]
) -> np.ndarray:
    """uint8 [H,W], 0 = ignore: what of the frame is surely head and does not move with the expression."""
    import cv2

    from pipelines.capture.tracks import rigid_mask

    x0, y0, side = region(points)
    matrix = np.array([[side / matte.shape[1], 0, x0 - offset[0]], [0, side / matte.shape[0], y0 - offset[1]]]) * scale
    return cv2.warpAffine(255 * rigid_mask(matte, points, (x0, y0, side)), matrix, size, flags=cv2.INTER_NEAREST)


def _run(job: Path, log: Path, timeout_s: float) -> None:
    """The child process; Failed when it breaks or takes too long."""
    home = str(Path(pipelines.__file__).resolve().parents[1])
    paths = os.pathsep.join(path for path in (home, os.environ.get("PYTHONPATH", "")) if path)
    command = [sys.executable, "-m", "pipelines.capture.sfm", str(job.resolve())]
    with log.open("ab") as words:
        try:
            done = subprocess.run(
                command, stdout=words, stderr=words, stdin=subprocess.DEVNULL, timeout=timeout_s + 20,
                env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"COLMAP took longer than {timeout_s:.0f} s") from error
    if done.returncode:
        raise Failed(f"COLMAP ended with code {done.returncode}, see colmap.log")


def _largest(folder: Path, name: str, chosen: Scan, rows: np.ndarray, faceless: tuple[int, ...]) -> Model:
    result, job = read_json(folder / f"{name}.json"), read_json(folder / f"{name}.job.json")
    if not result["models"] or len(result["models"][0]["images"]) < 8:
        raise Failed(f"COLMAP found no model that joins eight of the {len(rows)} views")
    best, scale = result["models"][0], job["scale"]
    row_of = {f"{frame_name(int(chosen.index[row]))}.jpg": int(row) for row in rows}
    poses = {image: np.vstack([pose, [0, 0, 0, 1]]) for image, pose in best["images"].items()}
    found = sorted(row_of[image] for image in poses if image in row_of)
    sightings = np.array(best["sightings"]).reshape(-1, 6)
    view, of_views = sightings[:, 0].astype(int), sightings[:, 0] < len(rows)
    seen = Seen(row=rows[view[of_views]], px=sightings[of_views, 1:3] / scale + job["offset"], point=sightings[of_views, 3:])
    extra = {
        index: (poses[image], sightings[view == job["names"].index(image), 3:])
        for index, image in ((index, f"{frame_name(index)}.jpg") for index in faceless) if image in poses
    }  # fmt: skip
    name_of = {row: image for image, row in row_of.items()}
    return Model(
        rows=np.array(found), camera_from_world=np.stack([poses[name_of[row]] for row in found]),
        focal_px=best["focal_px"] / scale, points=best["points"], error_px=best["error_px"] / scale, views=len(rows),
        seen=seen, faceless=extra, explained=float(np.percentile(list(best["explained"].values()), 25)),
    )  # fmt: skip
