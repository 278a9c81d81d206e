"""Where the camera was for every frame, relative to the head: from landmarks or from COLMAP, whichever is better supported."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.capture.cameras.background_motion import Background, background
from pipelines.capture.cameras.candidate import CameraSettings, Candidate, Question, view_angles
from pipelines.capture.cameras.landmark_cameras import from_landmarks
from pipelines.capture.cameras.surface_tracks import Tracks, follow
from pipelines.capture.colmap import acceptance, merge_submodels, run
from pipelines.capture.colmap.acceptance import Model
from pipelines.capture.colmap.run import Way
from pipelines.capture.footage.lens import Lens
from pipelines.capture.frames.scan import Scan
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.core.stage import Progress, warn_in_record
from pipelines.media.video import VideoInfo

SCENE_DEG, HEAD_DEG = 12.0, 30.0
"""Least range of views for which COLMAP is asked, with a moving camera and with a turning head."""
AS_GOOD = {"colmap_scene": 2.0, "colmap_head": 1.5}
"""How many times further landmarks and followed points may lie from where a model shows them than from where the landmark poses
do, which were made to fit them. A model of the room is independent of the face; one of the head sees the same as we do."""
LANDMARKS_BEND = 4.0
"""The same for landmarks alone where the followed points fit a model hardly worse, or where (of photos, in which none are
followed) the model itself has points on the face: then it is the tracker that is wrong."""
FACE_POINTS = 5.0
LATE = "the time limit left COLMAP"
"""Beginning of the warning of cameras that come from landmarks for want of time."""
LEAST_S = 10.0
"""In less COLMAP finds nothing."""


def solve(
    partial: Path, chosen: Scan, info: VideoInfo, settings: CameraSettings, seed: int, progress: Progress,
    faceless: tuple[int, ...] = (), limit_s: float = math.inf,
) -> dict[str, Any]:  # fmt: skip
    """Leave the chosen candidate in work/cameras.npz; figures: method, why, all candidates' figures.

    Frames `faceless` (their numbers) show no face; a model of the room can have poses for them. What COLMAP has not found
    `limit_s` seconds from now is left out, with a warning.
    """
    deadline, late = time.monotonic() + limit_s, False
    with progress.task("cameras", 3) as task:
        tracks = follow(partial, chosen) if settings.follow_surface else Tracks.none()
        task.advance()
        candidates = [from_landmarks(chosen, info.size, settings, tracks)]
        task.advance()
        kind, reason = plan(background(partial, chosen), view_range_deg(candidates[0]), settings)
        if kind is not None:
            task.note("COLMAP")
            asked = Question(
                kind=kind, partial=partial, chosen=chosen, frame_size=info.size, reference=candidates[0], settings=settings,
                seed=seed, faceless=faceless, deadline=deadline,
            )  # fmt: skip
            found, reason, late = ask_colmap(asked, tracks)
            candidates += found
        task.advance()
    best, why = select_candidate(candidates, reason, settings.method)
    if np.mean(best.confidence > 0) < 0.5:
        raise UnusableMaterial(
            "no head pose was found in most frames; film the whole face in even light, with nobody else in view."
        )
    if late and best is candidates[0]:
        _warn_of_time(partial, limit_s, progress)
    write_arrays(
        partial / "work" / "cameras.npz", camera_from_world=best.camera_from_world, points=best.points, error_px=best.error_px,
        confidence=best.confidence, focal_px=np.array(best.focal_px), k1=np.array(best.k1), faceless=best.faceless,
        faceless_from_world=best.faceless_from_world, faceless_confidence=best.faceless_confidence,
    )  # fmt: skip
    if lens := Lens(k1=best.k1, focal_px=best.focal_px, size=info.size):
        why += f" The lens moves the corners by {lens.bend_px:.0f} px (k1 = {lens.k1:+.3f}); frames and crops are without that."
    return {"method": best.method, "why": why, "candidates": [_recorded(one) for one in candidates]}


def _warn_of_time(partial: Path, limit_s: float, progress: Progress) -> None:
    """Say, here and in the record, that the cameras could be better."""
    sentence = (
        f"{LATE} {max(limit_s, 0):.0f} s, which was too short on this machine: the cameras come from the "
        "landmarks. For COLMAP's, capture again without a budget or with a longer one, under another name."
    )
    progress.warn(sentence)
    warn_in_record(partial, sentence)


def load_cameras(partial: Path, figures: dict[str, Any]) -> Candidate:
    values: dict[str, Any] = read_arrays(partial / "work" / "cameras.npz")
    numbers = {name: float(values.pop(name)) for name in ("focal_px", "k1")}
    return Candidate(method=figures["method"], **numbers, **values)


def plan(room: Background, range_deg: float, settings: CameraSettings) -> tuple[Literal["scene", "head"] | None, str]:
    """What to ask COLMAP for, and why not."""
    if settings.method == "landmarks":
        return None, "COLMAP was not asked because cameras.method is landmarks"
    moving = room.kind == "moving"
    if settings.method == "colmap" or (moving and range_deg >= SCENE_DEG) or (not moving and range_deg >= HEAD_DEG):
        return ("scene" if moving else "head"), ""
    where = {"moving": "the camera moves", "still": "the camera stands still", "plain": "the background is plain"}[room.kind]
    return None, f"COLMAP was not asked: {where} and the head is seen over {range_deg:.0f} degrees only"


def view_range_deg(candidate: Candidate) -> float:
    """Degrees of yaw between the 2nd and 98th percentile of the views."""
    low, high = np.percentile(view_angles(candidate.camera_from_world)[:, 0], [2, 98])
    return float(high - low)


def select_candidate(candidates: list[Candidate], reason: str = "", method: str = "auto") -> tuple[Candidate, str]:
    """The better supported candidate and one sentence why; the first one is from landmarks.

    COLMAP's cameras win as soon as nothing speaks against them and the head fits them nearly as well. With method `colmap` they
    win, or UnusableMaterial says why they cannot.
    """
    landmarks, others = candidates[0], candidates[1:]
    for other in others:
        against = [*other.problems] or misfit(landmarks, other)
        if not against:
            known = other.figures
            return other, (
                f"COLMAP's cameras ({known['registered_views']} views, points within {known['reprojection_px']:.2f} px) fit "
                f"the head: their turns differ from its own by {known['disagreement_deg']:.1f} degrees, and its landmarks lie "
                f"{times_as_far(landmarks, other):.1f} times as far off as from the landmark poses."
            )
        reason = f"COLMAP's model of the {other.method.removeprefix('colmap_')} was refused because {' and '.join(against)}"
    if method == "colmap":
        raise UnusableMaterial(f"cameras.method is colmap, but {reason}; use auto or landmarks for this footage.")
    return landmarks, f"Landmark poses: {reason}." if reason else "Landmark poses are the only candidate."


def times_as_far(landmarks: Candidate, other: Candidate) -> float:
    """How many times further the tracker's landmarks lie from where `other` shows them."""
    return float(np.median(other.error_px) / max(float(np.median(landmarks.error_px)), 1e-6))


def misfit(landmarks: Candidate, other: Candidate) -> list[str]:
    """What of the head does not fit the cameras of `other`, as parts of a sentence."""
    theirs, ours = (one.figures.get("surface_error_px") for one in (other, landmarks))
    surface = theirs / max(ours, 1e-6) if theirs is not None and ours is not None else None
    most = AS_GOOD[other.method]
    with_face = surface < 1.2 if surface is not None else other.figures.get("face_points", 0.0) >= FACE_POINTS
    limits = {"landmarks": (times_as_far(landmarks, other), LANDMARKS_BEND if with_face else most)}
    if surface is not None:
        limits["points followed on the head"] = (surface, most)
    return [
        f"{name} fit it {value:.1f} times worse than the landmark poses" for name, (value, at) in limits.items() if value > at
    ]


def ask_colmap(asked: Question, tracks: Tracks) -> tuple[list[Candidate], str, bool]:
    """COLMAP's candidates, the best last, or none and the reason; whether its time was too short.

    A model that starts from the landmark poses comes first. Only where that has problems one is grown from nothing; where it
    falls into parts these are joined; and at last GLOMAP is asked, unless the matches gave no model at all. All are judged by
    the same tests.
    """
    if asked.deadline - time.monotonic() < LEAST_S:
        return [], "the steps before left COLMAP no time", True
    candidates: list[Candidate] = []
    parts: list[Model] = []
    reason = ""
    for way in ("seeded", "grown", "joined", "at_once"):
        if way == "at_once" and not candidates:
            break
        try:
            models = _models(asked, way, parts)
        except run.OutOfTime as failure:
            return candidates, f"COLMAP found no usable model, and {failure}", True
        except run.Failed as failure:
            reason = reason or str(failure)
            continue
        parts += models if way == "grown" else []
        if models:
            found = acceptance.from_model(asked, models[0], tracks)
            candidates.append(replace(found, figures={"way": way, **found.figures}))
            if not found.problems:
                break
    return candidates, reason, False


def _models(asked: Question, way: Way | Literal["joined"], parts: list[Model]) -> list[Model]:
    if way != "joined":
        return run.reconstruct(asked, way)
    start = merge_submodels.joined(parts, asked.reference)
    return [] if start is None else run.reconstruct(asked, "seeded", start)


def _recorded(one: Candidate) -> dict[str, Any]:
    return {"method": one.method, **one.figures, "problems": "; ".join(one.problems)}
