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
from pipelines.face.channels import region_of
from pipelines.face.covered import PART_PX, PARTS, covered_eyes, covered_mouths, eye_light, lip_redness, part_pictures
from pipelines.face.expression import expression, solve_pose, space_names
from pipelines.face.follower import Follower, Memory
from pipelines.face.openings import COLUMNS, openings
from pipelines.face.track import Track
from pipelines.face.tracker import FaceLandmarks, FaceTracker
from pipelines.geometry.rigid import nearest_rotation
from pipelines.media.video import VideoFrame, VideoInfo, read_frames

ROWS = (
    "index", "times_s", "found", "expression", "camera_from_head", "error", "others", "stranger", "cut", "parts", "redness",
    "eyes", "openings",
)  # fmt: skip
INSTANT_S = 1e-4
"""Time in which a held pose gives way to that of the next shot."""
LEAST_SEEN = 5
"""Frames with a face that a driver must have."""
READABLE = 0.25
"""Confidence from which on an expression is believed."""
ISLAND, LONELY = 3, 10
"""Frames of a face, and frames without one before and after it."""
BESIDE_ROWS = ("times_s", "others", "stranger")
FEW_HIDDEN = 0.03
"""Share of the frames from which on a covered part is spoken of."""
MANY = 0.1
"""Share of the frames from which on something is said about them."""
GAP, GAP_S = 2.5, 0.15
"""Longer steps (the longest but for a tenth), and seconds, without a row from which on a clock has a gap."""
MOUTH, EYES = 0, 1
"""Columns of `Track.hidden`."""


def track_video(
    info: VideoInfo, space: str, canonical: np.ndarray, settings: TrackSettings, folder: Path, progress: Progress
) -> Track:
    """The track of a driver, chunk files in `folder`; UnusableMaterial when hardly a face is seen.

    Rows are frames of the video at their own times; rows that are not `valid` are filled.
    """
    chunks = [folder / f"{first:06d}.npz" for first in range(0, max(info.frames, 1), settings.chunk)]
    missing = {number for number, path in enumerate(chunks) if not _is_whole(path)}
    if missing:
        wanted = {index for number in missing for index in range(number * settings.chunk, (number + 1) * settings.chunk)}
        frames = read_frames(info.path, indices=wanted, longest_side_px=settings.longest_side_px)
        with progress.task("tracking the driver", len(wanted & set(range(info.frames)))) as task:
            for number, rows in _chunked(frames, settings.chunk):
                memory = Memory.of_arrays(read_arrays(chunks[number - 1])) if number else Memory()
                found = track_chunk(rows, space, canonical, settings.focal, task.advance, memory)
                write_arrays(chunks[number], **found, **memory.arrays())
    parts = [read_arrays(path) for path in chunks if path.exists()]
    if not parts:
        raise UnusableMaterial(f"no frame of {info.path.name} can be decoded; record it again.")
    return assemble({name: np.concatenate([part[name] for part in parts]) for name in ROWS}, info, space, settings)


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


def _is_whole(path: Path) -> bool:
    """Whether a chunk is there, and not of an earlier version that wrote other columns."""
    return path.exists() and set(ROWS) <= set(read_arrays(path))


def track_chunk(
    frames: Iterator[VideoFrame], space: str, canonical: np.ndarray, focal: float, advance: Callable[[], None],
    memory: Memory | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """ROWS, arrays of one row a frame; `memory` of the person in view goes in and out.

    `error` is over the face's width, `others`: a second face at least half as large is seen, `stranger`: another person is seen
    in place of the first one, `cut`: a shot begins, `parts`, `redness` and `eyes`: what `pipelines.face.covered` judges by.
    """
    weights, rows, pose = needed_model(space), [], None
    with FaceTracker(video=True, blendshapes=weights, stay=True) as tracker:
        follower = Follower(tracker, canonical, memory)
        for frame in frames:
            seen = follower.track(frame.image)
            row = face_row(seen.face, frame.image, space, canonical, focal, None if seen.cut else pose)
            pose = row[2] if row[0] else None
            looks = _covers(seen.face, frame.image, canonical)
            apart = np.zeros(len(COLUMNS), np.float32) if seen.face is None else openings(seen.face.points)
            rows.append((frame.index, frame.time_s, *row, seen.crowded, seen.stranger, seen.cut, *looks, apart))
            advance()
    return {name: np.array(column) for name, column in zip(ROWS, zip(*rows, strict=True), strict=True)}


def _covers(face: FaceLandmarks | None, image: np.ndarray, canonical: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Columns parts, redness, eyes."""
    if face is None:
        return np.zeros((len(PARTS), PART_PX**2), np.float32), 0.0, np.zeros(4)
    return part_pictures(image, face.points, canonical), lip_redness(image, face.points), eye_light(image, face.points)


def face_row(
    face: FaceLandmarks | None, image: np.ndarray, space: str, canonical: np.ndarray, focal: float, guess: np.ndarray | None
) -> tuple[bool, np.ndarray, np.ndarray, float]:
    """found, expression, camera_from_head, error of the face in one picture; `guess` is the last frame's pose."""
    if face is None or (space == "blendshapes" and face.blendshapes is None):
        return False, np.zeros(len(space_names(space)), np.float32), np.eye(4), 0.0
    height, width = image.shape[:2]
    pose, error = solve_pose(face.points, canonical, focal * max(height, width), (width / 2, height / 2), guess)
    scores, side = expression(face, canonical, space), face.box[2] - face.box[0]
    return True, scores, pose, error / side


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
    if found.sum() < min(LEAST_SEEN, len(found)):
        raise UnusableMaterial(
            f"a face is seen in {int(rows['found'].sum())} of the {len(found)} frames of {info.path.name}; "
            "drive with a video that shows one face from the front, at least a sixth of the picture wide."
        )
    times, poses = rows["times_s"], rows["camera_from_head"]
    confidence = np.where(found, trust(poses, rows["error"], settings.turned_deg), 0.0)
    shots = np.cumsum(rows["cut"].astype(int))
    hidden = _hidden(rows, found, space, info.rate_hz)
    readable = found & (confidence > READABLE) if (confidence > READABLE).sum() >= LEAST_SEEN else found
    if readable is found and (turned := float(np.median(facing_deg(poses[found])))) > settings.turned_deg:
        raise UnusableMaterial(
            f"the face in {info.path.name} is turned away by {turned:.0f} degrees: expressions cannot be read from the side; "
            "drive with a video that shows the face from the front."
        )
    names = space_names(space)
    scores = np.array(rows["expression"], np.float64)
    for part, regions in ((MOUTH, ("mouth",)), (EYES, ("lids", "gaze"))):
        columns = [column for column, name in enumerate(names) if region_of(name) in regions]
        good = readable & ~hidden[:, part]
        scores[:, columns] = (
            filled(times, scores[:, columns], good, settings.bridge_s, shots) if good.any() else 0.0  # never seen: at rest
        )
    brows = [column for column, name in enumerate(names) if region_of(name) == "brows"]
    scores[:, brows] = filled(times, scores[:, brows], readable, settings.bridge_s, shots)
    apart = np.array(rows["openings"], np.float64)
    for part, columns in ((MOUTH, [0]), (EYES, [1, 2])):
        good = readable & ~hidden[:, part]
        apart[:, columns] = filled(times, apart[:, columns], good if good.any() else readable, settings.bridge_s, shots)
    return Track(
        space=space, names=names, rate_hz=info.rate_hz, times_s=times, expression=scores.astype(np.float32),
        world_from_head=filled_poses(times, poses, found, settings.bridge_s, shots), confidence=confidence, valid=found,
        duration_s=info.duration_s, shot=shots, hidden=hidden, openings=apart.astype(np.float32),
    )  # fmt: skip


def _hidden(rows: dict[str, np.ndarray], found: np.ndarray, space: str, rate_hz: float) -> np.ndarray:
    """[T,2] bool, mouth and eyes, where they are covered."""
    jaw = rows["expression"][:, space_names(space).index("jawOpen")]
    turned = np.where(found, facing_deg(rows["camera_from_head"]), np.inf)
    mouth = covered_mouths(rows["parts"][:, 0], rows["redness"], jaw, turned, rate_hz)
    eyes = covered_eyes(rows["eyes"], rows["parts"][:, 1:], turned, rate_hz)
    return np.column_stack([mouth, eyes]) & found[:, None]


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


def filled(
    times: np.ndarray, values: np.ndarray, good: np.ndarray, bridge_s: float, shots: np.ndarray | None = None
) -> np.ndarray:
    """`values` [T,...] with rows that are not `good` interpolated in gaps up to `bridge_s`, else held.

    A held stretch keeps the last good row and moves to the next one within its last `bridge_s`; between two `shots` [T] it
    keeps it to the end.
    """
    flat = values.reshape(len(values), -1)
    knots_t, knots = times[good], flat[good]
    is_cut = np.diff(shots[good]) > 0 if shots is not None else np.zeros(max(len(knots_t) - 1, 0), bool)
    gaps = np.flatnonzero((np.diff(knots_t) > bridge_s + 1e-9) | is_cut)
    before = np.where(is_cut[gaps], INSTANT_S, bridge_s)
    knots_t = np.insert(knots_t, gaps + 1, knots_t[gaps + 1] - before) if len(gaps) else knots_t
    knots = np.insert(knots, gaps + 1, knots[gaps], axis=0) if len(gaps) else knots
    return between(knots_t, knots, times).reshape(values.shape)


def between(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`values` [T,...] interpolated from `times` [T] to `at` [U], held outside: [U,...]."""
    flat = values.reshape(len(values), -1)
    columns = [np.interp(at, times, flat[:, column]) for column in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(len(at), *values.shape[1:])


def filled_poses(
    times: np.ndarray, poses: np.ndarray, good: np.ndarray, bridge_s: float, shots: np.ndarray | None = None
) -> np.ndarray:
    """The same for [T,4,4]: matrices are interpolated and made rotations again (gaps are short turns)."""
    result = filled(times, poses, good, bridge_s, shots)
    result[:, :3, :3] = nearest_rotation(result[:, :3, :3])
    return result


def resampled(track: Track, times_s: np.ndarray) -> Track:
    """The track at other times: linear in between, `valid` and `confidence` of the nearest row."""
    near = np.rint(np.interp(times_s, track.times_s, np.arange(len(track.times_s)))).astype(int)
    poses = between(track.times_s, track.world_from_head, times_s)
    poses[:, :3, :3] = nearest_rotation(poses[:, :3, :3])
    return replace(
        track, times_s=times_s, expression=between(track.times_s, track.expression, times_s).astype(np.float32),
        world_from_head=poses, confidence=track.confidence[near], valid=track.valid[near], shot=track.shots[near],
        hidden=track.covered[near],
        openings=None if track.openings is None else between(track.times_s, track.openings, times_s).astype(np.float32),
    )  # fmt: skip


def without_gaps(track: Track, bridge_s: float, refill: bool = False, stands: bool = False) -> Track:
    """The track with rows where its clock has gaps, and those rows filled as lost ones are.

    `refill` also fills the rows that are not valid anew, for tracks whose lost rows hold nothing. In a video's longer gaps its
    picture `stands`: the rows are those of that picture.
    """
    steps = np.diff(track.times_s)
    step = float(np.median(steps)) if len(steps) else 1 / track.rate_hz
    longest = max(GAP * float(np.percentile(steps, 90)), GAP_S) if len(steps) else GAP_S
    extra = [np.arange(track.times_s[row] + step, track.times_s[row + 1] - 0.5 * step, step)
             for row in np.flatnonzero(steps > longest)]  # fmt: skip
    lost = ~track.valid if refill else np.zeros(len(track.valid), bool)
    if not extra and not lost.any():
        return track
    times = np.concatenate([track.times_s, *extra])
    order = np.argsort(times, kind="stable")
    new = order >= len(track.times_s)
    times = times[order]
    source = np.where(new, np.searchsorted(track.times_s, times, side="right") - 1, order)
    if stands:  # a picture that is shown for long is seen for long
        new &= np.append(steps, 0.0)[source] <= bridge_s
    good = ~new & ~lost[source]
    return replace(
        track, times_s=times, valid=track.valid[source] & ~new, confidence=np.where(new, 0.0, track.confidence[source]),
        expression=filled(times, track.expression[source], good, bridge_s, track.shots[source]).astype(np.float32),
        world_from_head=filled_poses(times, track.world_from_head[source], good, bridge_s, track.shots[source]),
        shot=track.shots[source], hidden=track.covered[source],
        openings=None if track.openings is None else filled(times, track.openings[source], good, bridge_s, track.shots[source]),
    )  # fmt: skip


def seen_beside(folder: Path) -> dict[str, np.ndarray]:
    """[T] columns of a tracked video's chunks: times_s, others (a second face too), stranger (somebody else instead)."""
    parts = [read_arrays(path) for path in sorted(folder.glob("*.npz"))]
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0) for name in BESIDE_ROWS}


def cautions(track: Track, beside: dict[str, np.ndarray]) -> list[str]:
    """Sentences about what a driver's user should know."""
    count, turned = len(track.valid), int((track.valid & (track.confidence <= READABLE)).sum())
    stranger, crowded = beside["stranger"].astype(bool), int(beside["others"].sum())
    lost = int((~track.valid).sum()) - int(stranger.sum() * count / max(len(stranger), 1))
    said = [f"another person is seen {spans_of(beside['times_s'], stranger)}; the first one's motion is held there."] if (
        stranger.any()) else []  # fmt: skip
    if lost > MANY * count:
        said.append(f"the driver's face is lost in {lost} of {count} frames: there the avatar holds still or guesses.")
    if turned > MANY * count:
        said.append(f"the driver's head is turned too far to the side to read its expression in {turned} of {count} frames.")
    if crowded > MANY * count:
        said.append(f"a second face is in view in {crowded} frames of the driver; the first person is followed.")
    for part, name, verb in ((MOUTH, "mouth", "is"), (EYES, "eyes", "are")):
        hidden = int(track.covered[:, part].sum())
        if hidden > FEW_HIDDEN * count:
            what = "covered" if part == MOUTH else "not seen (a hand, hair, dark glasses or something else is before them)"
            said.append(
                f"the driver's {name} {verb} {what} in {hidden} of {count} frames: {name} and what belongs to it rest there."
            )
    return said


def spans_of(times: np.ndarray, chosen: np.ndarray) -> str:
    """`from 1.8 s to 3.0 s`, the longest three."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    spans = sorted((times[first], times[last - 1] + step) for first, last in losses(~chosen))
    spans = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:3])
    return ", ".join(f"from {first:.1f} s to {last:.1f} s" for first, last in spans)


def states(track: Track, bridge_s: float) -> list[str]:
    """What each row of an even track is.

    `tracked`; `turned`: the head is turned too far, its expression comes from frames around; `mouth covered`, `eyes covered`:
    something lies before them and their channels are held; `interpolated` over a short loss; `held` over a long one, at an end
    or beside a cut.
    """
    result = ["tracked" if confidence > READABLE else "turned" for confidence in track.confidence]
    for row in np.flatnonzero(track.covered.any(1)):
        names = [name for name, is_hidden in zip(("mouth", "eyes"), track.covered[row], strict=True) if is_hidden]
        result[row] = f"{' and '.join(names)} covered"
    for first, last in losses(track.valid):
        inside = first > 0 and last < len(track.valid) and track.shots[first - 1] == track.shots[last]
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
