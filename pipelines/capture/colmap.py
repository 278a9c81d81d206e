"""Cameras from COLMAP (Schoenberger and Frahm 2016), and the tests that tell a right model from a confident wrong one.

A model can register every view at 0.3 px and still be inside out, or be of the room while the head turns. So it must agree with
the head: the optical axes meet in front of the cameras, rigid landmarks triangulate in front of them, turns go the same way as
those of the landmark poses, and points followed on the head fit as well as they do there.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from pipelines.capture.alignment import Alignment, AlignmentSettings, align
from pipelines.capture.between import Seen, register
from pipelines.capture.bundle import Bundle, Priors
from pipelines.capture.frames import Scan, frame_name
from pipelines.capture.headpose import LANDMARK_SIGMA, Support, landmark_error, reliability, rigid_px, with_surface
from pipelines.capture.mattes import region
from pipelines.capture.poses import CameraSettings, Candidate, angle_deg, jump_deg
from pipelines.capture.tracks import Tracks
from pipelines.files import read_image, read_json, write_image, write_json

LEAST_SHARE = 0.7
"""Of the views that must be registered in one model."""
MAX_REPROJECTION = 0.0025
"""Mean reprojection error over the longer side of the picture: 1.6 px of 640."""
LEAST_POINTS = 10
"""Per registered view."""
MAX_DISAGREEMENT_DEG = 8.0
"""Median angle to the landmark poses after one common turn."""
GROWING = 0.25
"""Of COLMAP's time, for a second try from nothing: where the head's own poses lead to no model, hardly anything does."""
HEAD_UNITS = 0.6
"""Points nearer to the head's center than this are of the head."""
FACELESS_TRUST = 0.7
"""Of a frame whose pose only the model knows."""
FEW_VIEWS = 40
"""So few are cheap to look at closely."""
LEAST_EXPLAINED = 0.45
"""Of the matches between views."""
LOOP_DEG = 40.0
"""Views further apart than this share no features."""
LEAST_SIGHTINGS = 12
"""Points that must fit a pose."""
SURE = 40
"""With as many a pose is trusted whole."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The largest model of a run."""

    rows: np.ndarray
    """[K] rows of the capture's frames that are registered."""
    camera_from_world: np.ndarray
    """[K,4,4]."""
    focal_px: float
    points: int
    error_px: float
    """Mean reprojection error in pixels of the footage."""
    views: int
    """Views that were given."""
    seen: Seen = field(default_factory=Seen.nothing)
    """Its points in its views."""
    explained: float = 1.0
    """Share of the verified matches that are one point of the model, in the view at the lower quartile: 0.5 to 0.95 for right
    models, 0.02 to 0.3 for some that fit their own points well."""
    faceless: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """Of the frames without a face that joined, by their number: pose [4,4], and the points [M,3] they see."""


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


def from_model(
    partial: Path, model: Model, reference: Candidate, chosen: Scan, frame_size: tuple[int, int], prior: np.ndarray,
    tracks: Tracks, settings: CameraSettings, method: str,
) -> Candidate:  # fmt: skip
    """Cameras of all frames in the model's world, with what speaks against them.

    Frames that are no views of the model are registered against its points (`between.register`).
    """
    center, seen = np.array(frame_size) / 2, rigid_px(chosen)
    points = triangulate(model, seen, reliability(reference.camera_from_world, reference.points)[model.rows], center)
    problems = _problems(model, points, reference, max(frame_size), settings)
    figures: dict[str, Any] = {
        "registered_views": f"{len(model.rows)} of {model.views}", "focal_px": round(model.focal_px, 2),
        "reprojection_px": round(model.error_px, 3), "points": model.points,
        "disagreement_deg": round(disagreement_deg(model, reference), 2), "face_points": face_points(model, seen),
        "explained": round(model.explained, 3),
    }  # fmt: skip
    if problems:
        empty = np.zeros(len(chosen.index))
        return replace(reference, method=method, figures=figures, problems=tuple(problems), confidence=empty)
    to_head = align(points, prior, AlignmentSettings(max_rms_units=0.1))
    expected = _between(to_head.camera_from_head(model.camera_from_world), model.rows, reference.camera_from_world)
    every = register(partial, chosen, model.seen, model.rows, to_head.camera_from_world(expected), model.focal_px, frame_size)
    poses = to_head.camera_from_head(every.camera_from_world)
    fitted, support = _held(poses, to_head.points(points), model.focal_px, seen, tracks, center)
    if support is not None:
        figures |= {"surface_points": float(np.median(support.count)), "surface_error_px": round(support.error_px, 3)}
    error = landmark_error(poses, fitted.points, model.focal_px, seen, center)
    confidence = trusted(poses, every.count, error, chosen.time_s, settings)
    figures |= {"median_error_px": round(float(np.median(error)), 3), "registered": round(float(np.mean(confidence > 0)), 4)}
    return Candidate(
        method=method, camera_from_world=every.camera_from_world, focal_px=model.focal_px,
        points=to_head.inverse_points(fitted.points), error_px=error, confidence=confidence, figures=figures,
        **_without_face(model, to_head),
    )  # fmt: skip


def _without_face(model: Model, to_head: Alignment) -> dict[str, Any]:
    """Number, pose and confidence of the frames without a face that join the model and see points of the head."""
    kept: list[tuple[int, np.ndarray, float]] = []
    for index, (pose, points) in sorted(model.faceless.items()):
        of_head = int(np.sum(np.linalg.norm(to_head.points(points), axis=1) < HEAD_UNITS))
        if of_head >= LEAST_SIGHTINGS:
            kept.append((index, pose, FACELESS_TRUST * min(1.0, of_head / SURE)))
    return {
        "faceless": np.array([index for index, _, _ in kept], int),
        "faceless_from_world": np.array([pose for _, pose, _ in kept]).reshape(-1, 4, 4),
        "faceless_confidence": np.array([confidence for _, _, confidence in kept]),
    }


def face_points(model: Model, seen: np.ndarray) -> float:
    """Points of the model within the outline of the rigid landmarks `seen` [N,R,2], in the median view.

    About none where the head moved against what the model is of.
    """
    import cv2

    counts = []
    for row in model.rows:
        outline = cv2.convexHull(seen[row].astype(np.float32))
        px = model.seen.px[model.seen.row == row].astype(np.float32)
        counts.append(sum(cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in px))
    return float(np.median(counts))


def trusted(
    camera_from_head: np.ndarray, count: np.ndarray, error_px: np.ndarray, time_s: np.ndarray, settings: CameraSettings
) -> np.ndarray:
    """[N] confidence from the points that fit each pose; 0 where hardly any does and where the pose leaves the way it is on.

    A frame whose landmarks lie four times further off than usual counts little, but a good model may contradict the tracker.
    """
    confidence = np.clip(count / SURE, 0, 1) / (1 + (error_px / (4 * np.median(error_px))) ** 4)
    failed = (jump_deg(camera_from_head, time_s) > settings.max_jump_deg) & (count < SURE)
    return np.where(failed | (count < LEAST_SIGHTINGS) | (camera_from_head[:, 2, 3] <= 0), 0.0, np.maximum(confidence, 0.05))


def _held(
    poses: np.ndarray, points: np.ndarray, focal_px: float, seen: np.ndarray, tracks: Tracks, center: np.ndarray
) -> tuple[Bundle, Support | None]:
    """How points followed on the head fit the poses as they are."""
    rough = Bundle(camera_from_head=poses, points=points, focal_px=focal_px, residual_px=np.zeros(0))
    known = Priors(
        points=points, points_sigma=np.full(len(points), LANDMARK_SIGMA), focal_px=focal_px,
        focal_range_px=(focal_px, focal_px * (1 + 1e-9)), held=np.ones(len(poses), bool),
    )  # fmt: skip
    return with_surface(rough, seen, tracks, center, known) if len(tracks.frame) else (rough, None)


def _between(known: np.ndarray, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """[N,4,4] the reference's poses, corrected by what the known ones (at `rows`) say, interpolated between them."""
    from scipy.spatial.transform import Rotation

    every = np.arange(len(reference))
    turn = Rotation.from_matrix(known[:, :3, :3] @ reference[rows, :3, :3].transpose(0, 2, 1)).as_rotvec()
    shift = np.log(known[:, 2, 3] / reference[rows, 2, 3])
    moved = known[:, :2, 3] / known[:, 2:3, 3] - reference[rows, :2, 3] / reference[rows, 2:3, 3]
    result = reference.copy()
    at = np.column_stack([np.interp(every, rows, column) for column in np.column_stack([turn, shift, moved]).T])
    result[:, :3, :3] = Rotation.from_rotvec(at[:, :3]).as_matrix() @ reference[:, :3, :3]
    depth = reference[:, 2, 3] * np.exp(at[:, 3])
    result[:, :2, 3] = (reference[:, :2, 3] / reference[:, 2:3, 3] + at[:, 4:]) * depth[:, None]
    result[:, 2, 3] = depth
    result[rows] = known
    return result


def triangulate(model: Model, seen: np.ndarray, weight: np.ndarray, center: np.ndarray) -> np.ndarray:
    """[R,3] the rigid landmarks in the model's world: weighted linear least squares, repeated with Huber weights.

    `seen` [N,R,2] px of all frames, `weight` [K,R] of the model's views.
    """
    rays = (seen[model.rows] - center) / model.focal_px
    turn, shift = model.camera_from_world[:, :3, :3], model.camera_from_world[:, :3, 3]
    rows = rays[..., None] * turn[:, None, 2:] - turn[:, None, :2]
    right = shift[:, None, :2] - rays * shift[:, None, 2:]
    points = np.zeros((seen.shape[1], 3))
    trust = weight
    for _ in range(6):
        normal = np.einsum("kraj,kr,kram->rjm", rows, trust, rows)
        points = np.linalg.solve(normal + 1e-12 * np.eye(3), np.einsum("kraj,kr,kra->rj", rows, trust, right)[..., None])[
            ..., 0
        ]
        inside = np.einsum("kij,rj->kri", turn, points) + shift[:, None]
        off = np.linalg.norm(inside[..., :2] / np.where(inside[..., 2:] == 0, 1e-9, inside[..., 2:]) - rays, axis=-1)
        usual = float(np.median(off[weight > 0.2])) if np.any(weight > 0.2) else float(np.median(off))
        trust = weight * np.minimum(1, 2 * usual / np.maximum(off, 1e-12)) / np.maximum(np.abs(inside[..., 2]), 1e-9) ** 2
        trust /= trust.max()
    return points


def disagreement_deg(model: Model, reference: Candidate) -> float:
    """Median angle between the turns of the model and of the landmark poses after the best common turn."""
    from scipy.spatial.transform import Rotation

    theirs, ours = model.camera_from_world[:, :3, :3], reference.camera_from_world[model.rows, :3, :3]
    weight = np.ones(len(theirs))
    off = weight
    for _ in range(10):
        common = Rotation.from_matrix(theirs.transpose(0, 2, 1) @ ours).mean(weights=weight).as_matrix()
        off = angle_deg(theirs @ common, ours)
        weight = 1 / np.maximum(off, 1.0)
    return float(np.median(off))


def look_at(camera_from_world: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The point nearest to all optical axes, the share of cameras it lies in front of, and the spread of the axes (degrees)."""
    axis = camera_from_world[:, 2, :3]
    eye = np.linalg.inv(camera_from_world)[:, :3, 3]
    across = np.eye(3) - axis[:, :, None] * axis[:, None, :]
    normal = across.sum(0)
    point = np.linalg.solve(normal + 1e-9 * np.eye(3), np.einsum("kij,kj->i", across, eye))
    ahead = np.sum((point - eye) * axis, axis=1) > 0
    spread = np.degrees(np.arcsin(np.sqrt(max(float(np.linalg.eigvalsh(normal)[0]) / len(axis), 0.0))))
    return point, float(ahead.mean()), float(spread)


def _problems(model: Model, points: np.ndarray, reference: Candidate, longest: int, settings: CameraSettings) -> list[str]:
    """What the tests say against a model, as parts of a sentence."""
    _, ahead, spread = look_at(model.camera_from_world)
    depth = points @ model.camera_from_world[:, 2, :3].T + model.camera_from_world[:, 2, 3]
    share, off = len(model.rows) / model.views, disagreement_deg(model, reference)
    low, high = (bound * longest for bound in settings.focal_range)
    tests = [
        (share < LEAST_SHARE, f"only {len(model.rows)} of {model.views} views are registered"),
        (model.error_px > MAX_REPROJECTION * longest, f"its points are off by {model.error_px:.1f} px"),
        (model.points < LEAST_POINTS * len(model.rows), f"it has only {model.points} points"),
        (not 0.85 * low <= model.focal_px <= 1.15 * high, f"its focal length of {model.focal_px:.0f} px is impossible"),
        (spread > 4.0 and ahead < 0.9, "its optical axes meet behind the cameras: the model is inside out"),
        (model.explained < LEAST_EXPLAINED, f"its points bear out only {model.explained:.0%} of the matches"),
        (float(np.mean(depth > 0)) < 0.95, "the face lies behind its cameras"),
        (off > MAX_DISAGREEMENT_DEG, f"its turns differ from the head's by {off:.0f} degrees"),
    ]
    return [text for wrong, text in tests if wrong]


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
