"""The CSV of Live Link Face (iPhone, ARKit): read with its clock, its gaps and its faults, and written for other tools.

A row is `Timecode, BlendShapeCount, 52 shapes, HeadYaw, HeadPitch, HeadRoll, 6 angles of the eyes`. The timecode is
`hh:mm:ss:ff.fff`, frames counted at the app's rate (60, or 30 and less where a file never counts further): 00:00:01:30.500 is
1.508333 s at 60. A count of 0 means that no face was seen. Angles are radians of R = Ry(yaw) Rx(pitch) Rz(roll), axes x to the
person's left, y up, z out of the face. Eyes are shapes as well, so their angles only tell radians from degrees.

Notable choices: other programs write something else behind the point (thousandths of the second, the number of the frame).
Where a clock read as above is uneven, but its whole frames lie within one of an even clock, the rows are taken as even, at a
usual rate. A short take fits 60 as well as 59.94: then frames that are numbered behind the point, as apps number those of a
camera, come at the lower one, others at the whole one, and `track.rate_hz` says otherwise. Texts come in UTF-8 or UTF-16, with
commas, semicolons or tabs, with decimal points or commas.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_text
from pipelines.face.channel_spaces import ARKIT, few, to_arkit
from pipelines.face.expression import ARKIT_52
from pipelines.face.track import Track
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV

ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip
PLACE = ("HeadX", "HeadY", "HeadZ")
"""Columns of our own behind the standard ones: where the head is in the driver's camera, in head units."""
COUNT = len(ARKIT_52) + len(ANGLES)
MOST_MISSING = 4
"""Shapes that a file may lack (some exporters leave out the tongue)."""
LONGEST_GAP_S = 10.0
"""A clock that jumps further was stopped or belongs to two takes."""
RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
"""Frames a second that a timecode may count."""
MILLISECONDS_HZ = 1000.0
"""What `hh:mm:ss:mmm` counts."""
SHORT = 0.7
"""A clock with a step shorter than this share of its median one is read wrongly, or stands: its rows may be even in truth."""
UNEVEN = 0.1
"""The same for a mean departure from the median step, over that."""
SAME_RATE = 1e-4
"""Two rates that differ by less are one; 60 and 59.94 differ by 1e-3."""
FRAMES_OFF = 1.05
"""Frames by which whole frames may be off an even clock: they were cut off."""
LARGEST_RAD = {"HeadYaw": 1.75, "HeadPitch": 1.4, "HeadRoll": 1.4} | {
    f"{side}Eye{turn}": 1.0 for side in ("Left", "Right") for turn in ("Yaw", "Pitch")
}
"""What a face that is still seen does; larger angles are degrees."""
COMMON = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0, 90.0, 120.0)
DEGREES = (
    "the angles in {} go further than a head that is seen, if they were radians; they were taken as degrees, as --set "
    "track.head_signs=[0.01745,0.01745,0.01745] says."
)
DISTANCE = 2.5
"""Depth of a head whose place is not known, in head units."""
EYE_TURN = 0.6
"""Radians of a full look to one side, about 35 degrees; only written."""
DAY_S = 86400.0
LARGEST = {"shape": 1000.0, "angle": 2 * math.pi}
"""Beyond it no shape (0 to 1; some tools write percent) and no angle of a head (radians)."""


@dataclass(frozen=True)
class Table:
    """The cells of a file as numbers, by the names of ARKit_52, ANGLES and PLACE."""

    path: Path
    timecodes: list[str]
    lines: list[int]
    columns: dict[str, np.ndarray]
    seen: np.ndarray


def read_livelink(
    path: Path, rate_hz: float | None = None, signs: tuple[float, float, float] = (1.0, 1.0, 1.0), rows_hz: float | None = None
) -> Track:
    """A track in ARKit's names whose rows lie at the file's own times; UnusableMaterial in one sentence when it is none.

    `rate_hz` is what the timecodes count; found in the file when not given. `signs` multiply yaw, pitch and roll of the head.
    `rows_hz` decides where the rows fit several usual rates. Rows of a clock that stands or runs backwards are left out.
    """
    table = read_table(path)
    times, forwards, fitting = clock(table, rate_hz, rows_hz)
    names = tuple(name for name in ARKIT_52 if name in table.columns)
    unit = math.pi / 180 if all(abs(sign) == 1 for sign in signs) and in_degrees(table.columns) else 1.0
    turned = {
        name: unit * factor * table.columns[name] for name, factor in zip(ANGLES, signs, strict=False) if name in table.columns
    }
    check_sizes(table, turned)
    poses = head_poses(table.columns | turned, len(times))
    step = typical_step(times[forwards])
    usual = min(COMMON, key=lambda one: abs(one * step - 1))
    rate = usual if abs(usual * step - 1) < 2e-3 else 1 / step
    return Track(
        space=ARKIT, names=names, rate_hz=rate, times_s=times[forwards],
        expression=np.stack([table.columns[name] for name in names], axis=1).astype(np.float32)[forwards],
        world_from_head=poses[forwards], confidence=table.seen[forwards].astype(np.float64), valid=table.seen[forwards],
        remarks=(*(() if unit == 1 else (DEGREES.format(path.name),)), *ambiguous(path.name, fitting, rows_hz)),
    )  # fmt: skip


def read_table(path: Path) -> Table:
    """Cells by name; names are matched whatever their case."""
    known = {name.lower(): name for name in (*ARKIT_52, *ANGLES, *PLACE)}
    try:
        text = text_of(path.read_bytes())
        every = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text))
        rows = [(number, row) for number, row in enumerate(every, 1) if any(map(str.strip, row)) and not is_hint(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableMaterial(f"{path} cannot be read as CSV ({error}); save it as comma-separated text in UTF-8.") from error
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    missing = [name for name in ARKIT_52 if name.lower() not in header]
    if "timecode" not in header or len(missing) > MOST_MISSING:
        raise UnusableMaterial(wrong_columns(path, header, missing))
    lines, cells = [number for number, _ in rows[1:]], [row for _, row in rows[1:]]
    if len(cells) < 2:
        raise UnusableMaterial(f"{path} has {len(cells)} rows after its header; record at least a second.")
    places = {known[name]: at for at, name in enumerate(header) if name in known}
    columns = {name: numbers(path, lines, cells, at, name) for name, at in places.items()}
    counted = header.index("blendshapecount") if "blendshapecount" in header else None
    seen = numbers(path, lines, cells, counted, "BlendShapeCount") > 0 if counted is not None else np.ones(len(cells), bool)
    at = header.index("timecode")
    return Table(path, [row[at].strip() if at < len(row) else "" for row in cells], lines, columns, seen)


def text_of(data: bytes) -> str:
    """UTF-8 or UTF-16, with or without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    if b"\0" in data[:64]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    return data.decode("utf-8-sig")


def delimiter(text: str) -> str:
    """What stands between the names of the header: spreadsheets of some countries write semicolons."""
    header = next((line for line in text.splitlines() if "timecode" in line.lower()), text)
    return max(",;\t", key=header.count)


def is_hint(row: Sequence[str]) -> bool:
    """Whether a row is the first line `sep=;`, by which spreadsheets say what stands between cells."""
    return row[0].strip().lower().startswith("sep=")


def wrong_columns(path: Path, header: Sequence[str], missing: list[str]) -> str:
    """What the file has and what a Live Link Face CSV has."""
    has = few([name for name in header if name]) or "nothing"
    lacks = "Timecode" if "timecode" not in header else few(missing)
    return f"{path} is no Live Link Face CSV: its columns are {has}; {lacks} is missing. Export the take with its 52 shapes."


def numbers(path: Path, lines: list[int], cells: list[list[str]], at: int, name: str) -> np.ndarray:
    """float64 [T] of one column."""
    result = np.empty(len(cells))
    for row, (line, cell) in enumerate(zip(lines, cells, strict=True)):
        try:
            result[row] = float(cell[at].replace(",", "."))
        except (IndexError, ValueError):
            result[row] = math.nan
        if not math.isfinite(result[row]):
            said = repr(cell[at]) if at < len(cell) else "nothing"
            raise UnusableMaterial(f"{path}, line {line}: {name} is {said}, not a number; export the take again.")
    return result


def check_sizes(table: Table, angles: dict[str, np.ndarray]) -> None:
    """UnusableMaterial when shapes or angles [T] of the head are too large to be such."""
    for name in ARKIT_52:
        if name in table.columns and np.abs(table.columns[name]).max() > LARGEST["shape"]:
            row = int(np.abs(table.columns[name]).argmax())
            raise UnusableMaterial(
                f"{table.path}, line {table.lines[row]}: {name} is {table.columns[name][row]:g}; shapes go from 0 to 1, "
                "export the take again."
            )
    for name in ANGLES[:3]:
        if name in angles and np.abs(angles[name]).max() > LARGEST["angle"]:
            raise UnusableMaterial(
                f"{table.path}: {name} reaches {np.abs(angles[name]).max():g}, more than a whole turn in radians; for degrees "
                "give --set track.head_signs=[0.01745,0.01745,0.01745]."
            )


def in_degrees(columns: dict[str, np.ndarray]) -> bool:
    """Whether the angles of head and eyes, together, go further than a face that is seen can turn, if they were radians."""
    return any(np.percentile(np.abs(columns[name]), 99) > most for name, most in LARGEST_RAD.items() if name in columns)


def ambiguous(name: str, fitting: list[float], rows_hz: float | None) -> list[str]:
    """A sentence about rows that fit more than one rate, the first of which was taken."""
    if len(fitting) < 2 or rows_hz is not None and abs(fitting[0] / rows_hz - 1) < SAME_RATE:
        return []
    taken, *others = (f"{rate:.2f}".rstrip("0").rstrip(".") for rate in fitting)
    return [f"the rows of {name} fit {taken} and {' and '.join(others)} frames a second; {taken} was taken, "
            f"--set track.rate_hz={others[-1]} takes the other."]  # fmt: skip


def clock(table: Table, rate_hz: float | None, rows_hz: float | None) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """[T] seconds since the first row, which rows go forwards in time, and the rates that they fit, the taken one first."""
    parts = np.array([split(code, table.path, line) for code, line in zip(table.timecodes, table.lines, strict=True)])
    rate = rate_hz or counted_rate(parts)
    if (parts[:, 1] >= rate + 1e-6).any():
        line = table.lines[int(np.argmax(parts[:, 1] >= rate + 1e-6))]
        higher = next(one for one in (*RATES, 120.0, 240.0, MILLISECONDS_HZ, np.inf) if one > parts[:, 1].max())
        raise UnusableMaterial(
            f"{table.path}, line {line}: the timecode counts beyond {rate:g} frames a second; "
            f"say what it counts with --set track.timecode_hz={higher:g}."
        )
    times, fitting = evened(
        seconds(parts[:, 0] + parts[:, 1] / rate), seconds(parts[:, 0] + np.floor(parts[:, 1]) / rate), rate, numbered(table),
        rows_hz,
    )  # fmt: skip
    forwards = np.diff(np.maximum.accumulate(times), prepend=-1.0) > 0
    if forwards.mean() < 0.5:
        bad = int((~forwards).sum())
        raise UnusableMaterial(
            f"{table.path}: the clock stands still or runs backwards in {bad} of {len(times)} rows; export it again."
        )
    gaps = np.diff(times[forwards])
    if gaps.max(initial=0.0) > LONGEST_GAP_S:
        line = np.array(table.lines)[forwards][int(gaps.argmax()) + 1]
        raise UnusableMaterial(f"{table.path}, line {line}: the clock jumps by {gaps.max():.1f} s; cut the take in two there.")
    return times, forwards, fitting


def seconds(times: np.ndarray) -> np.ndarray:
    """[T] times of day as seconds since the first, over midnight."""
    times = times + DAY_S * np.cumsum(np.diff(times, prepend=times[0]) < -DAY_S / 2)
    return times - times[0]


def numbered(table: Table) -> np.ndarray | None:
    """[T] number of each row from 0, where what stands behind the point counts them by thousands."""
    behind = [code.replace(",", ".").rpartition(".")[2] for code in table.timecodes]
    if all(len(digits) == 3 and digits.isdigit() for digits in behind):
        steps = np.diff([int(digits) for digits in behind]) % 1000
        if np.mean(steps == 1) > 0.5 and steps.max() < 100:
            return np.concatenate([[0], np.cumsum(steps)])
    return None


def evened(
    times: np.ndarray, whole: np.ndarray, rate: float, counted: np.ndarray | None, rows_hz: float | None
) -> tuple[np.ndarray, list[float]]:
    """[T] `times`, or even ones where those are uneven and the `whole` frames do not contradict; rows may be `counted`.

    With the usual rates that fit, the taken one first: `rows_hz` if it fits, else a camera's where rows are counted.
    """
    steps = np.diff(times)
    middle = float(np.median(steps))
    if middle > 0 and steps.min() > SHORT * middle and np.abs(steps - middle).mean() < UNEVEN * middle:
        return times, []
    number = counted if counted is not None else np.arange(len(times))
    slope = float(np.polyfit(number, whole, 1)[0])
    usual = [one for one in COMMON if abs(one * slope - 1) < 1.5 / max(float(number[-1]), 1.0)]
    rates = [one for one in usual or [1 / slope] if slope > 0 and np.ptp(whole - number / one) <= FRAMES_OFF / rate]
    rates.sort(
        key=lambda one: (rows_hz is None or abs(one / rows_hz - 1) > SAME_RATE, one.is_integer() == (counted is not None))
    )
    return (number - number[0]) / rates[0] if rates else times, rates


def split(code: str, path: Path, line: int) -> tuple[float, float]:
    """Whole seconds and frames of `hh:mm:ss:ff.fff`; `01:02:03:30.5` is 3723 and 30.5."""
    try:
        parts = [float(part) for part in code.replace(";", ":").replace(",", ".").split(":")]
        hours, minutes, whole, frames = parts if len(parts) != 3 else (*parts, 0.0)  # hh:mm:ss.mmm
        if not all(map(math.isfinite, parts)):
            raise ValueError
        return 3600 * hours + 60 * minutes + whole, frames
    except ValueError as error:
        raise UnusableMaterial(f"{path}, line {line}: {code!r} is not a timecode; write it as hh:mm:ss:ff.fff.") from error


def counted_rate(parts: np.ndarray) -> float:
    """The lowest usual rate that no timecode exceeds, where a whole second was seen; else 60, as the app has it."""
    if parts[:, 1].max() >= 2 * RATES[-1] and (parts[:, 1] == np.floor(parts[:, 1])).all():
        return MILLISECONDS_HZ
    whole = len(np.unique(parts[:, 0])) >= 3
    return next((rate for rate in RATES if whole and parts[:, 1].max() < rate), 60.0)


def typical_step(times: np.ndarray) -> float:
    """Seconds between rows, the mean of the steps that are no gaps."""
    steps = np.diff(times)
    return float(steps[steps < 1.5 * np.median(steps)].mean())


def head_poses(columns: dict[str, np.ndarray], count: int) -> np.ndarray:
    """camera_from_head [T,4,4], OpenCV axes; straight on and at one place where the file does not say."""
    from scipy.spatial.transform import Rotation

    zero = np.zeros(count)
    angles = np.column_stack([columns.get(name, zero) for name in ANGLES[:3]])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = OPENGL_FROM_OPENCV[:3, :3] @ Rotation.from_euler("YXZ", angles).as_matrix()
    default = (zero, zero, zero + DISTANCE)
    poses[:, :3, 3] = np.column_stack([columns.get(name, other) for name, other in zip(PLACE, default, strict=True)])
    return poses


def write_livelink(path: Path, track: Track, plain: bool = False) -> None:
    """A track as a Live Link Face CSV, timecodes at 60 from 0.

    The scores are written as they are, so that reading the file gives them back exactly, with the head's place in three more
    columns. `plain` is for strict readers: nothing but the standard columns, and shapes within 0..1.
    """
    shapes = to_arkit(track)
    zero = np.zeros(len(track.times_s), np.float32)
    table = np.stack([shapes.get(name, zero) for name in ARKIT_52], axis=1)
    table = np.clip(table, 0.0, 1.0) if plain else table
    angles = np.column_stack([head_angles(track.world_from_head), eye_angles(shapes, zero)])
    places = track.world_from_head[:, :3, 3]
    names = [name[0].upper() + name[1:] for name in ARKIT_52]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, *ANGLES, *(() if plain else PLACE)])]
    for row, time_s in enumerate(track.times_s - track.times_s[0]):
        cells = [*table[row], *angles[row], *(() if plain else places[row])]
        count = COUNT if track.valid[row] else 0
        lines.append(",".join([timecode(float(time_s)), str(count), *(f"{float(cell):.9g}" for cell in cells)]))
    write_text(path, "\n".join(lines) + "\n")


def head_angles(poses: np.ndarray) -> np.ndarray:
    """[T,3] yaw, pitch, roll of camera_from_head [T,4,4]."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(OPENGL_FROM_OPENCV[:3, :3] @ poses[:, :3, :3]).as_euler("YXZ")


def eye_angles(shapes: dict[str, np.ndarray], zero: np.ndarray) -> np.ndarray:
    """[T,6] yaw, pitch, roll of the left and the right eye from their shapes; yaw to the person's left, pitch downwards."""
    columns = []
    for side, outwards in (("Left", 1.0), ("Right", -1.0)):
        across = shapes.get(f"eyeLookOut{side}", zero) - shapes.get(f"eyeLookIn{side}", zero)
        down = shapes.get(f"eyeLookDown{side}", zero) - shapes.get(f"eyeLookUp{side}", zero)
        columns += [EYE_TURN * outwards * across, EYE_TURN * down, zero]
    return np.column_stack(columns)


def timecode(time_s: float, rate: float = 60.0) -> str:
    """`hh:mm:ss:ff.fff`; 61.5083333 s is 00:01:01:30.500."""
    thousandths = round(time_s * rate * 1000)
    seconds, frames = divmod(thousandths, round(rate * 1000))
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames / 1000:06.3f}"
