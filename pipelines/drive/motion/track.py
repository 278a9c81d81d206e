"""The driver's motion: expression in the avatar's space and head pose, frame by frame, with lost faces bridged or held.

The video is read once. Chunks of it are tracked by fresh trackers and written one by one, so that a killed run repeats one
chunk and gets the same numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.assets.store import find_weight, how_to_get
from pipelines.core.errors import MissingTool, UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.core.stage import Progress
from pipelines.drive.settings import TrackSettings
from pipelines.face.expression import expression, solve_pose, space_names
from pipelines.face.track import Track
from pipelines.face.tracker import FaceTracker
from pipelines.geometry.rigid import nearest_rotation
from pipelines.media.video import VideoFrame, VideoInfo, read_frames

ROWS = ("index", "times_s", "found", "expression", "camera_from_head", "error", "others")
LEAST_SEEN = 5
"""Frames with a face that a driver must have."""
READABLE = 0.25
"""Confidence from which on an expression is believed."""
ISLAND, LONELY = 3, 10
"""Frames of a face, and frames without one before and after it."""
MANY = 0.1
"""Share of the frames from which on something is said about them."""
GAP = 2.5
"""Steps without a row from which on a clock has a gap; shorter ones are dropped frames and interpolated."""


def track_video(
    info: VideoInfo, space: str, canonical: np.ndarray, settings: TrackSettings, folder: Path, progress: Progress
) -> Track:
    """The track of a driver, chunk files in `folder`; UnusableMaterial when hardly a face is seen.

    Rows are frames of the video at their own times; rows that are not `valid` are filled.
    """
    chunks = [folder / f"{first:06d}.npz" for first in range(0, max(info.frames, 1), settings.chunk)]
    missing = {number for number, path in enumerate(chunks) if not path.exists()}
    if missing:
        wanted = {index for number in missing for index in range(number * settings.chunk, (number + 1) * settings.chunk)}
        frames = read_frames(info.path, indices=wanted, longest_side_px=settings.longest_side_px)
        with progress.task("tracking the driver", len(wanted & set(range(info.frames)))) as task:
            for number, rows in _chunked(frames, settings.chunk):
                write_arrays(chunks[number], **track_chunk(rows, space, canonical, settings.focal, task.advance))
    found = [read_arrays(path) for path in chunks if path.exists()]
    return assemble({name: np.concatenate([part[name] for part in found]) for name in found[0]}, info, space, settings)


def _chunked(frames: Iterator[VideoFrame], size: int) -> Iterator[tuple[int, Iterator[VideoFrame]]]:
    """Consecutive frames of one chunk at a time; each must be used up before the next is asked for."""
    ahead = next(frames, None)

    def rows(number: int) -> Iterator[VideoFrame]:
        nonlocal ahead
        while ahead is not None and ahead.index // size == number:
            yield ahead
            ahead = next(frames, None)

    while ahead is not None:
        number = ahead.index // size
        yield number, rows(number)


def track_chunk(
    frames: Iterator[VideoFrame], space: str, canonical: np.ndarray, focal: float, advance: Callable[[], None]
) -> dict[str, np.ndarray]:
    """Arrays of one row a frame: index, times_s, found, expression, camera_from_head, error (over the face's width), others.

    With several faces in view the largest is followed; `others` says that another one is at least half as large.
    """
    weights, rows, pose = needed_model(space), [], None
    with FaceTracker(video=True, blendshapes=weights, largest=True) as tracker:
        for frame in frames:
            row = read_face(tracker, frame.image, space, canonical, focal, pose)
            pose = row[2] if row[0] else None
            rows.append((frame.index, frame.time_s, *row))
            advance()
    return {name: np.array(column) for name, column in zip(ROWS, zip(*rows, strict=True), strict=True)}


def read_face(
    tracker: FaceTracker, image: np.ndarray, space: str, canonical: np.ndarray, focal: float, guess: np.ndarray | None
) -> tuple[bool, np.ndarray, np.ndarray, float, bool]:
    """found, expression, camera_from_head, error, others of one picture; `guess` is the last frame's pose."""
    face = tracker.track(image)
    if face is None or (space == "blendshapes" and face.blendshapes is None):
        return False, np.zeros(len(space_names(space)), np.float32), np.eye(4), 0.0, False
    height, width = image.shape[:2]
    pose, error = solve_pose(face.points, canonical, focal * max(height, width), (width / 2, height / 2), guess)
    scores, side = expression(face, canonical, space), face.box[2] - face.box[0]
    others = face.other is not None and face.other[2] - face.other[0] > 0.5 * side
    return True, scores, pose, error / side, others


def needed_model(space: str) -> Path | None:
    """The tracker's extra model that an avatar of `space` needs; MissingTool when it is not there."""
    if space != "blendshapes":
        return None
    weights = find_weight("face_landmarker.task")
    if weights is None:
        raise MissingTool("this avatar needs mediapipe's blendshapes. " + how_to_get("face_landmarker.task"))
    return weights


def assemble(rows: dict[str, np.ndarray], info: VideoInfo, space: str, settings: TrackSettings) -> Track:
    """A Track without holes from the rows of all chunks."""
    found = without_islands(rows["found"].astype(bool))
    if found.sum() < LEAST_SEEN:
        raise UnusableMaterial(
            f"a face is seen in {int(rows['found'].sum())} of the {len(found)} frames of {info.path.name}; "
            "drive with a video that shows one face from the front, at least a sixth of the picture wide."
        )
    times, poses = rows["times_s"], rows["camera_from_head"]
    confidence = np.where(found, trust(poses, rows["error"], settings.turned_deg), 0.0)
    readable = found & (confidence > READABLE) if (confidence > READABLE).sum() >= LEAST_SEEN else found
    if readable is found and (turned := float(np.median(facing_deg(poses[found])))) > settings.turned_deg:
        raise UnusableMaterial(
            f"the face in {info.path.name} is turned away by {turned:.0f} degrees: expressions cannot be read from the side; "
            "drive with a video that shows the face from the front."
        )
    return Track(
        space=space, names=space_names(space), rate_hz=info.rate_hz, times_s=times,
        expression=filled(times, rows["expression"], readable, settings.bridge_s).astype(np.float32),
        world_from_head=filled_poses(times, poses, found, settings.bridge_s), confidence=confidence, valid=found,
        duration_s=info.duration_s,
    )  # fmt: skip


def without_islands(found: np.ndarray) -> np.ndarray:
    """`found` [T] less the faces that are seen for fewer than ISLAND frames amid long losses: they are no faces."""
    result = found.copy()
    for first, last in losses(~found):
        before, after = found[max(first - LONELY, 0) : first], found[last : last + LONELY]
        if last - first < ISLAND and not before.any() and not after.any() and len(before) + len(after) >= LONELY:
            result[first:last] = False
    return result


def trust(poses: np.ndarray, error: np.ndarray, turned_deg: float) -> np.ndarray:
    """[T] in 0..1: 1 for a frontal, well-fitted face, READABLE at `turned_deg`, 0 from an error of 1/10 of the face on."""
    turned = np.clip((turned_deg + 5.0 - facing_deg(poses)) / 20.0, 0.0, 1.0)
    return turned * np.clip(1.5 - error / 0.066, 0.0, 1.0)


def facing_deg(poses: np.ndarray) -> np.ndarray:
    """[T] angle between the direction of the face and the way to the camera's plane, of camera_from_head [T,4,4]."""
    return np.degrees(np.arccos(np.clip(-poses[:, 2, 2], -1.0, 1.0)))


def filled(times: np.ndarray, values: np.ndarray, good: np.ndarray, bridge_s: float) -> np.ndarray:
    """`values` [T,...] with rows that are not `good` interpolated in gaps up to `bridge_s`, else held.

    A held stretch keeps the last good row and moves to the next one within its last `bridge_s`.
    """
    flat = values.reshape(len(values), -1)
    knots_t, knots = times[good], flat[good]
    gaps = np.flatnonzero(np.diff(knots_t) > bridge_s + 1e-9)
    knots_t = np.insert(knots_t, gaps + 1, knots_t[gaps + 1] - bridge_s) if len(gaps) else knots_t
    knots = np.insert(knots, gaps + 1, knots[gaps], axis=0) if len(gaps) else knots
    return between(knots_t, knots, times).reshape(values.shape)


def between(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`values` [T,...] interpolated from `times` [T] to `at` [U], held outside: [U,...]."""
    flat = values.reshape(len(values), -1)
    columns = [np.interp(at, times, flat[:, column]) for column in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(len(at), *values.shape[1:])


def filled_poses(times: np.ndarray, poses: np.ndarray, good: np.ndarray, bridge_s: float) -> np.ndarray:
    """The same for [T,4,4]: matrices are interpolated and made rotations again (gaps are short turns)."""
    result = filled(times, poses, good, bridge_s)
    result[:, :3, :3] = nearest_rotation(result[:, :3, :3])
    return result


def resampled(track: Track, times_s: np.ndarray) -> Track:
    """The track at other times: linear in between, `valid` and `confidence` of the nearest row."""
    near = np.rint(np.interp(times_s, track.times_s, np.arange(len(track.times_s)))).astype(int)
    poses = between(track.times_s, track.world_from_head, times_s)
    poses[:, :3, :3] = nearest_rotation(poses[:, :3, :3])
    return replace(
        track, times_s=times_s, expression=between(track.times_s, track.expression, times_s).astype(np.float32),
        world_from_head=poses, confidence=track.confidence[near], valid=track.valid[near],
    )  # fmt: skip


def without_gaps(track: Track, bridge_s: float, refill: bool = False) -> Track:
    """The track with rows where its clock has gaps of more than GAP steps, and those rows filled as lost ones are.

    `refill` also fills the rows that are not valid anew, for tracks whose lost rows hold nothing.
    """
    steps = np.diff(track.times_s)
    step = float(np.median(steps)) if len(steps) else 1 / track.rate_hz
    extra = [np.arange(track.times_s[row] + step, track.times_s[row + 1] - 0.5 * step, step)
             for row in np.flatnonzero(steps > GAP * step)]  # fmt: skip
    lost = ~track.valid if refill else np.zeros(len(track.valid), bool)
    if not extra and not lost.any():
        return track
    times = np.concatenate([track.times_s, *extra])
    order = np.argsort(times, kind="stable")
    source = np.minimum(order, len(track.times_s) - 1)
    new = order >= len(track.times_s)
    good = ~new & ~lost[source]
    times = times[order]
    return replace(
        track, times_s=times, valid=track.valid[source] & ~new, confidence=np.where(new, 0.0, track.confidence[source]),
        expression=filled(times, track.expression[source], good, bridge_s).astype(np.float32),
        world_from_head=filled_poses(times, track.world_from_head[source], good, bridge_s),
    )  # fmt: skip


def crowded_frames(folder: Path) -> int:
    """Frames of a tracked video in which a second face was in view."""
    return sum(int(read_arrays(path)["others"].sum()) for path in folder.glob("*.npz"))


def cautions(track: Track, crowded: int) -> list[str]:
    """Sentences about what a driver's user should know."""
    count, lost, turned = len(track.valid), int((~track.valid).sum()), int((track.valid & (track.confidence <= READABLE)).sum())
    said = []
    if lost > MANY * count:
        said.append(f"the driver's face is lost in {lost} of {count} frames: there the avatar holds still or guesses.")
    if turned > MANY * count:
        said.append(f"the driver's head is turned too far to the side to read its expression in {turned} of {count} frames.")
    if crowded > MANY * count:
        said.append(f"a second face is in view in {crowded} frames of the driver; the larger one is followed.")
    return said


def states(track: Track, bridge_s: float) -> list[str]:
    """What each row of an even track is.

    `tracked`; `turned`: the head is turned too far, its expression comes from frames around; `interpolated` over a short loss;
    `held` over a long one or at an end.
    """
    result = ["tracked" if confidence > READABLE else "turned" for confidence in track.confidence]
    for first, last in losses(track.valid):
        inside = first > 0 and last < len(track.valid)
        short = inside and (last - first) / track.rate_hz <= bridge_s + 1e-9
        result[first:last] = ["interpolated" if short else "held"] * (last - first)
    return result


def losses(valid: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last row of every run of rows that are not `valid`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~valid).astype(int), [0]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def longest_loss_s(track: Track) -> float:
    """Seconds of the longest run of rows without a face."""
    return max((last - first for first, last in losses(track.valid)), default=0) / track.rate_hz
