"""Frames that show no face: far profiles and the back of the head, placed by a model of the room or of a turntable.

Notable choices: they are asked for evenly over the time in which no face is seen; one is taken when the model has points of the
head in it. Where the face's points would be is known from its pose, so that all later steps work as for any frame; its weight
is small, since nothing is known of its expression.
"""

from dataclasses import replace

import numpy as np

from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.dataset.alignment import Alignment
from pipelines.capture.frames.scan import FINDER_CODES, REASONS, Scan
from pipelines.face.canonical import canonical_landmarks
from pipelines.geometry.rigid import project_px

MOST = 30
NEAR_S = 3.0
"""Only frames within this time of one with a face are asked for; a camera left running is not."""


def candidates(seen: Scan, chosen: Scan, is_given: bool) -> Scan:
    """Up to `MOST` of the frames in which no face was found; none where cameras are given."""
    if is_given:
        return seen.rows(np.zeros(0, int))
    rows = np.flatnonzero(seen.reason == REASONS.index("no face") + 1)
    gap = np.abs(seen.time_s[rows, None] - chosen.time_s[None]).min(axis=1) if len(rows) else np.zeros(0)
    still = np.median(np.diff(chosen.time_s)) >= 0.9  # photos, a second apart
    rows = rows if still else rows[gap <= NEAR_S]
    if len(rows) > MOST:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST).round().astype(int))]
    return seen.rows(rows)


def without(seen: Scan, used: Scan) -> Scan:
    """What was seen without the frames that are used."""
    return seen.rows(np.flatnonzero(~np.isin(seen.index, used.index)))


def insert(chosen: Scan, asked: Scan, solved: Candidate, aligned: Alignment, size: tuple[int, int]) -> tuple[Scan, Candidate]:
    """The frames and cameras with those of `asked` that have a pose, in the order of time.

    Their points [478] are the canonical head's as the camera shows them; light and sharpness are the usual ones.
    """
    rows = np.flatnonzero(np.isin(asked.index, solved.faceless))
    if not len(rows):
        return chosen, solved
    landmarks = canonical_landmarks()
    extra, place = asked.rows(rows), np.searchsorted(solved.faceless, asked.index[rows])
    poses = solved.faceless_from_world[place]
    of_head = aligned.camera_from_head(poses)
    px = np.stack([project_px(pose, landmarks, solved.focal_px, np.array(size) / 2) for pose in of_head])
    depth = of_head[:, 2:3, 3]
    inside = np.einsum("nj,vj->nv", of_head[:, 2, :3], landmarks)
    points = np.concatenate([px, (solved.focal_px * inside / depth)[..., None]], axis=2).astype(np.float32)
    extra = replace(
        extra, points=points, reason=np.zeros_like(extra.reason), finder=np.full_like(extra.finder, FINDER_CODES["none"]),
        brightness=np.full(len(rows), np.median(chosen.brightness)), sharpness=np.full(len(rows), np.median(chosen.sharpness)),
    )  # fmt: skip
    order = np.argsort(np.concatenate([chosen.time_s, extra.time_s]), kind="stable")
    both = Scan(**{name: np.concatenate([ours, getattr(extra, name)])[order] for name, ours in vars(chosen).items()})
    cameras = replace(
        solved, camera_from_world=np.concatenate([solved.camera_from_world, poses])[order],
        error_px=np.append(solved.error_px, np.full(len(rows), np.median(solved.error_px)))[order],
        confidence=np.append(solved.confidence, solved.faceless_confidence[place])[order],
    )  # fmt: skip
    return both, cameras
