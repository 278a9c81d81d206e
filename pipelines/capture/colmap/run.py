"""Running COLMAP (Schoenberger and Frahm 2016) on views of a capture, in a child process whose log is a file.

Notable choices: `cameras.sfm_timeout_s` is computing time, so that a busy machine finds the same cameras; a deadline, which a
caller with a budget sets, is on the clock of the wall and no setting.
"""

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.capture.cameras.candidate import CameraSettings, Question
from pipelines.capture.cameras.resection import Seen
from pipelines.capture.colmap.acceptance import Model
from pipelines.capture.colmap.budget import SPENT
from pipelines.capture.footage.lens import Lens
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.core.children import Expired, run_module
from pipelines.core.files import read_image, read_json, write_image, write_json
from pipelines.geometry.angles import rotation_angle_deg

WORKER = "pipelines.capture.colmap.worker"
Way = Literal["seeded", "grown", "at_once"]
GROWING = 0.4
"""Of COLMAP's time, for each further try: where the head's own poses lead to no model, hardly anything does."""
HUNG = 40.0
"""Times COLMAP's computing time, after which on the clock of the wall a process is given up that has not ended itself."""
LEAST_VIEWS = 8
"""Of a model that is looked at."""
FEW_VIEWS = 40
"""So few are cheap to look at closely."""
LOOP_DEG = 40.0
"""Views further apart than this share no features."""


class Failed(Exception):
    """COLMAP gave no usable model; the text says why, for the record."""


class OutOfTime(Failed):
    """The deadline has passed: no other way is worth a try."""


def reconstruct(asked: Question, way: Way, start: np.ndarray | None = None) -> list[Model]:
    """COLMAP's models, the largest first; raises Failed where none joins eight views. Its words go to colmap.log.

    Features and matches are those of the first call. `seeded` starts from poses [N,4,4] of all frames, those of the reference
    where `start` is not given; the other ways start from nothing. What was found before is taken as it is.
    """
    name = way if start is None else "joined"
    if not (asked.folder / f"{name}.json").exists():
        job = _job(asked)
        poses = (asked.reference.camera_from_world if start is None else start)[asked.rows, :3] if way == "seeded" else []
        job |= {"way": way, "poses": dict(zip(job["names"], (pose.tolist() for pose in poses), strict=False))}
        limit_s = asked.settings.sfm_timeout_s
        job |= {"timeout_s": limit_s if name == "seeded" else GROWING * limit_s, "longest_s": limit_s}
        write_json(asked.folder / f"{name}.job.json", job | {"result": f"{name}.json"})
        _run(asked.folder / f"{name}.job.json", asked.partial / "colmap.log", HUNG * limit_s, asked.deadline)
    return _found(asked, name)


def _job(asked: Question) -> dict[str, Any]:
    """What the child is to do; a head alone has few features and few photos share few, so that these are looked at closely."""
    views, settings, masked = asked.chosen.rows(asked.rows), asked.settings, asked.kind == "head"
    close = masked or len(views.index) <= FEW_VIEWS
    job = _write_views(asked.partial, asked.folder, views, asked.frame_size, settings, masked)
    _write_images(asked.partial, asked.folder, asked.extra, job)
    matched: list[tuple[int, int]] = []
    if settings.sfm_matching == "sequential":
        matched = pairs(asked.reference.camera_from_world[asked.rows], settings.sfm_overlap)
        matched = joined_pairs(matched, views.index, np.array(asked.faceless), settings.sfm_overlap) if asked.extra else matched
    return job | {
        "names": [f"{name}.jpg" for name in [*(frame_name(index) for index in views.index), *asked.extra]], "pairs": matched,
        "masks": masked, "first_octave": -1 if close else 0, "features": 6000 if close else 4096,
        "peak_threshold": 0.002 if close else 0.0067, "focal_px": asked.reference.focal_px * job["scale"], "threads": 2,
        "focal_known": settings.focal_px is not None, "lens": settings.find_lens and not masked, "seed": asked.seed,
    }  # fmt: skip


def pairs(camera_from_world: np.ndarray, overlap: int) -> list[tuple[int, int]]:
    """Views to match: each with the next `overlap` ones, those at distances of powers of two, and as many again that see the
    head from the nearest directions (the loops)."""
    count, found = len(camera_from_world), set()
    steps = sorted({*range(1, overlap + 1), *(2**power for power in range(7) if 2**power > overlap)})
    found |= {(row, row + step) for step in steps for row in range(count - step)}
    angle = rotation_angle_deg(camera_from_world[:, None, :3, :3], camera_from_world[None, :, :3, :3])
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

    from pipelines.capture.cameras.surface_tracks import rigid_mask

    x0, y0, side = region(points)
    matrix = np.array([[side / matte.shape[1], 0, x0 - offset[0]], [0, side / matte.shape[0], y0 - offset[1]]]) * scale
    return cv2.warpAffine(255 * rigid_mask(matte, points, (x0, y0, side)), matrix, size, flags=cv2.INTER_NEAREST)


def _run(job: Path, log: Path, hung_s: float, deadline: float = math.inf) -> None:
    """The child process; Failed when it breaks or takes too long, OutOfTime at the deadline."""
    left_s = max(deadline - time.monotonic(), 0.0)
    with log.open("ab") as words:
        try:
            done = run_module(WORKER, job.resolve(), output=words, errors=words, timeout_s=min(hung_s, left_s))
        except Expired as error:
            if left_s < hung_s:
                raise OutOfTime("its share of the time was spent") from error
            raise Failed(f"COLMAP hung for {hung_s:.0f} s") from error
    if done.returncode == SPENT:
        raise Failed("COLMAP's computing time was spent (cameras.sfm_timeout_s)")
    if done.returncode:
        raise Failed(f"COLMAP ended with code {done.returncode}, see colmap.log")


def _found(asked: Question, name: str) -> list[Model]:
    """The models of a result that join eight views or more, in the footage's pixels without the lens."""
    result, job = read_json(asked.folder / f"{name}.json"), read_json(asked.folder / f"{name}.job.json")
    models = [_model(asked, job, one) for one in result["models"] if len(one["images"]) >= LEAST_VIEWS]
    models = [one for one in models if len(one.rows) >= LEAST_VIEWS]
    if not models:
        raise Failed(f"COLMAP found no model that joins eight of the {len(asked.rows)} views")
    return models


def _model(asked: Question, job: dict[str, Any], found: dict[str, Any]) -> Model:
    scale, row_of = job["scale"], dict(zip(job["names"], asked.rows.tolist(), strict=False))
    poses = {image: np.vstack([pose, [0, 0, 0, 1]]) for image, pose in found["images"].items()}
    rows = sorted(row_of[image] for image in poses if image in row_of)
    name_of = {row: image for image, row in row_of.items()}
    sightings = np.array(found["sightings"]).reshape(-1, 6)
    view, lens = sightings[:, 0].astype(int), Lens(k1=found["k1"], focal_px=found["focal_px"] / scale, size=asked.frame_size)
    px, of_views = lens.undistort(sightings[:, 1:3] / scale + job["offset"]), view < len(asked.rows)
    extra = {
        index: (poses[f"{name}.jpg"], sightings[view == job["names"].index(f"{name}.jpg"), 3:])
        for index, name in zip(asked.faceless, asked.extra, strict=False) if f"{name}.jpg" in poses
    }  # fmt: skip
    return Model(
        rows=np.array(rows, int), camera_from_world=np.array([poses[name_of[row]] for row in rows]).reshape(-1, 4, 4),
        focal_px=lens.focal_px, k1=lens.k1, points=found["points"], error_px=found["error_px"] / scale, views=len(asked.rows),
        seen=Seen(row=asked.rows[view[of_views]], px=px[of_views], point=sightings[of_views, 3:]), faceless=extra,
        explained=float(np.percentile(list(found["explained"].values()), 25)),
    )  # fmt: skip
