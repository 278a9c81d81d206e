"""Cameras of the output: the avatar's frontal camera, moved as the driver's head moves, around the head, on a path, or still.

A head that turns before a fixed camera is a camera that moves around a fixed head: camera_from_head is the driver's motion
relative to its own mean, applied to the frontal pose, and world_from_camera is its inverse.

A camera path is a CSV with a column `time_s` and any of `yaw_deg` (the camera goes to the person's left), `pitch_deg` (up),
`roll_deg`, `distance` (1 is the frontal camera's), `zoom` (1 is as it is). A row is a key; in between it is smooth, outside
held.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.avatar.view_limits import ViewLimits, turned_back
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.drive.settings import ViewSettings
from pipelines.face.track import Track
from pipelines.geometry.filters import by_shots, one_euro
from pipelines.geometry.rigid import nearest_rotation, rotation_vectors, rotations, soft_limit

VIEWS = ("driver", "still", "orbit", "turntable")
REST = {"yaw_deg": 0.0, "pitch_deg": 0.0, "roll_deg": 0.0, "distance": 1.0, "zoom": 1.0}
"""Columns of a camera path and what they are where they are not given."""
LIMITS = {"distance": (0.3, 5.0), "zoom": (0.2, 5.0)}
FOV_DEG = (4.0, 75.0)
TURN_LIMIT_DEG = 35.0
FACING = np.diag([1.0, -1.0, -1.0])
"""Rotation of camera_from_head for a head that looks straight into the camera."""
"""What a driver's rotations approach where nothing else is said."""
MOVES_UNIT, MOVES_SPEED = 4.0, 2.0
"""Moves of the head are brought to the scale of expressions before they are smoothed, and how fast the cutoff opens then."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Where the avatar is seen from, a row a frame."""

    world_from_camera: np.ndarray
    """[T,4,4]"""
    zoom: np.ndarray
    """[T] focal length over that of the avatar's frontal camera."""
    around: bool = False
    """Whether the camera goes so far around the head that a flat torso behind it would look wrong."""
    turned_back_deg: np.ndarray | None = None
    """[T] by how much less than the driver the head turns, as the capture showed no more; None where it is not limited."""


def shot(
    view: str, frontal: np.ndarray, intrinsics: np.ndarray, track: Track, settings: ViewSettings,
    known: ViewLimits | None = None,
) -> Shot:  # fmt: skip
    """The cameras of a view's name or path file, for every row of the track; `known` is what the avatar's capture showed."""
    base, zoom = seen_with(frontal, intrinsics, settings.fov_deg)
    count, zoom = len(track.times_s), zoom * settings.zoom
    if view == "driver":
        cameras, back = limited(driver_view(base, track, settings), known, base, settings)
        return Shot(world_from_camera=cameras, zoom=np.full(count, zoom), turned_back_deg=back)
    if view == "orbit":
        return Shot(world_from_camera=orbit_view(base, track.times_s, settings), zoom=np.full(count, zoom))
    if view == "turntable":
        angle = 2 * np.pi * track.times_s / settings.turn_period_s
        return Shot(world_from_camera=around(base, angle), zoom=np.full(count, zoom), around=True)
    if view == "still":
        return Shot(world_from_camera=still_view(base, count), zoom=np.full(count, zoom))
    cameras, zooms = path_view(base, read_path(Path(view)), track.times_s)
    yaw = np.degrees(np.abs(rotation_vectors(cameras[:, :3, :3] @ base[:3, :3].T)[:, 1])).max()
    return Shot(world_from_camera=cameras, zoom=zoom * zooms, around=bool(yaw > 45))


def check_view(view: str, settings: ViewSettings) -> None:
    """SettingError or UnusableMaterial when a view cannot be made."""
    if settings.fov_deg is not None and not FOV_DEG[0] <= settings.fov_deg <= FOV_DEG[1]:
        raise SettingError(f"views.fov_deg={settings.fov_deg} is out of range; choose {FOV_DEG[0]:g} to {FOV_DEG[1]:g}.")
    if not 0.2 <= settings.zoom <= 5.0:
        raise SettingError(f"views.zoom={settings.zoom} is out of range; choose 0.2 to 5.")
    if not isinstance(settings.turn_limit, str) and not 1.0 <= settings.turn_limit <= 180.0:
        raise SettingError(f"views.turn_limit={settings.turn_limit:g} is out of range; choose auto, none or 1 to 180 degrees.")
    if view not in VIEWS:
        read_path(Path(view))


def seen_with(frontal: np.ndarray, intrinsics: np.ndarray, fov_deg: float | None) -> tuple[np.ndarray, float]:
    """The frontal camera at the distance where a field of view shows the head at its size, and the focal length's factor.

    f = 1 / (2 tan(fov / 2)) over the picture's side, and the distance grows like f: for a frontal camera of f = 2.6 and 21.8
    degrees 10.9 degrees is twice as far away.
    """
    if fov_deg is None:
        return frontal, 1.0
    factor = 0.5 / np.tan(np.radians(fov_deg) / 2) / intrinsics[0, 0]
    inside = np.linalg.inv(frontal)
    inside[2, 3] *= factor
    return np.linalg.inv(inside), float(factor)


def read_path(path: Path) -> dict[str, np.ndarray]:
    """Keys of a camera path by column, in the order of time.

    SettingError when there is no such file, UnusableMaterial when it is not a camera path.
    """
    if not path.is_file():
        raise SettingError(f"view {str(path)!r} is neither {', '.join(VIEWS)} nor the file of a camera path.")
    keys = _read_columns(path)
    unknown = sorted(set(keys) - {"time_s", *REST})
    if "time_s" not in keys or unknown or not all(np.isfinite(column).all() for column in keys.values()):
        problem = f"it has the column {unknown[0]!r}" if unknown else "it needs numbers and a column time_s"
        raise UnusableMaterial(f"{path} is not a camera path: {problem}; the columns are time_s, {', '.join(REST)}.")
    if (np.diff(keys["time_s"]) <= 0).any():
        raise UnusableMaterial(f"{path}: the times of a camera path must increase from row to row.")
    for name, (low, high) in LIMITS.items():
        if name in keys and not ((keys[name] >= low) & (keys[name] <= high)).all():
            raise UnusableMaterial(f"{path}: {name} must lie between {low:g} and {high:g}.")
    return keys


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    """[T] numbers of a CSV file by column; empty for an empty file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
        return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ()) if name}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise UnusableMaterial(f"{path} is not a camera path ({error}); write a CSV with time_s, {', '.join(REST)}.") from error


def path_view(frontal: np.ndarray, keys: dict[str, np.ndarray], times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """world_from_camera [T,4,4] and zoom [T] of a camera path, relative to `frontal`."""
    from scipy.interpolate import PchipInterpolator
    from scipy.spatial.transform import Rotation

    at = {name: np.full(len(times_s), keys[name][0] if name in keys else rest) for name, rest in REST.items()}
    if len(keys["time_s"]) > 1:
        when = np.clip(times_s, keys["time_s"][0], keys["time_s"][-1])
        at |= {name: np.asarray(PchipInterpolator(keys["time_s"], keys[name])(when)) for name in REST if name in keys}
    turned = np.tile(np.eye(4), (len(times_s), 1, 1))
    turned[:, :3, :3] = Rotation.from_euler("YX", np.radians(np.column_stack([at["yaw_deg"], -at["pitch_deg"]]))).as_matrix()
    rolled = np.tile(np.eye(4), (len(times_s), 1, 1))
    rolled[:, :3, :3] = Rotation.from_euler("Z", np.radians(at["roll_deg"])[:, None]).as_matrix()
    inside = rolled @ np.linalg.inv(turned @ frontal)
    inside[:, 2, 3] *= at["distance"]
    return np.linalg.inv(inside), at["zoom"]


def driver_view(frontal: np.ndarray, track: Track, settings: ViewSettings) -> np.ndarray:
    """world_from_camera [T,4,4] from `frontal` [4,4] and the track's poses, calmed and limited.

    Rotation: R_t = limited(R_driver R_mean^-1)^turn R_frontal. Translation sideways in head units, in depth as a ratio.
    """
    good = track.valid & (track.confidence > 0.25)
    good = good if good.any() else np.ones(len(track.valid), bool)
    rest = resting_pose(track.world_from_head[good])
    if track.is_still:  # one picture: it is turned from straight ahead, not from itself
        rest[:3, :3] = FACING
    moves = driver_moves(track.world_from_head, rest, settings)
    calm = by_shots(
        lambda part: one_euro(part, track.rate_hz, settings.smooth_hz, MOVES_SPEED), moves * MOVES_UNIT, track.shots
    )
    return seen_from(frontal, calm / MOVES_UNIT)


def resting_pose(poses: np.ndarray) -> np.ndarray:
    """[4,4] mean rotation and median position of poses [T,4,4]."""
    rest = np.eye(4)
    rest[:3, :3] = nearest_rotation(poses[:, :3, :3].mean(0)[None])[0]
    rest[:3, 3] = np.median(poses[:, :3, 3], axis=0)
    return rest


def driver_moves(poses: np.ndarray, rest: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """[T,6] turns (axis times angle), shifts sideways and log of the depth of poses [T,4,4] from `rest` [4,4], limited."""
    vectors = rotation_vectors(poses[:, :3, :3] @ rest[:3, :3].T)
    sideways, depth = poses[:, :2, 3] - rest[:2, 3], np.log(poses[:, 2, 3] / rest[2, 3])
    turns = soft_limit(vectors * settings.turn, turn_limit_rad(settings))
    return np.column_stack([turns, soft_limit(np.column_stack([sideways, depth]) * settings.shift, settings.shift_limit)])


def seen_from(frontal: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """world_from_camera [T,4,4] for rows of `driver_moves`."""
    turns, shifts = moves[:, :3], moves[:, 3:]
    camera_from_head = np.tile(np.linalg.inv(frontal), (len(turns), 1, 1))
    camera_from_head[:, :3, :3] = rotations(turns) @ camera_from_head[:, :3, :3]
    camera_from_head[:, 2, 3] *= np.exp(shifts[:, 2])
    camera_from_head[:, :2, 3] += shifts[:, :2]
    return np.linalg.inv(camera_from_head)


def limited(
    cameras: np.ndarray, known: ViewLimits | None, frontal: np.ndarray, settings: ViewSettings
) -> tuple[np.ndarray, np.ndarray | None]:
    """A driver's cameras [T,4,4] near what the capture showed, and by how many degrees [T] each was turned back."""
    if known is None or settings.turn_limit != "auto":
        return cameras, None
    return turned_back(cameras, known, frontal)


def turn_limit_rad(settings: ViewSettings) -> float:
    """The angle that rotations approach; far beyond a turn where there is none."""
    limit = {"auto": TURN_LIMIT_DEG, "none": 1e6}.get(str(settings.turn_limit))
    return float(np.radians(settings.turn_limit if limit is None else limit))


def orbit_view(frontal: np.ndarray, times_s: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """world_from_camera [T,4,4] that sways around the head's upright axis, starting frontal."""
    return around(frontal, np.radians(settings.orbit_deg) * np.sin(2 * np.pi * times_s / settings.orbit_period_s))


def around(frontal: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """world_from_camera [T,4,4]: `frontal` turned by `angle` (radians) around the head's upright axis, to the person's left."""
    zero = np.zeros_like(angle)
    turned = np.tile(np.eye(4), (len(angle), 1, 1))
    turned[:, :3, :3] = rotations(np.column_stack([zero, angle, zero]))
    return turned @ frontal


def still_view(frontal: np.ndarray, count: int) -> np.ndarray:
    return np.tile(frontal, (count, 1, 1))
