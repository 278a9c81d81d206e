"""The pages of a capture and of a capture check: what was filmed, what was kept, where the cameras stood, what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.capture import page_charts
from pipelines.capture.page_movements import example_faces, movement_rows
from pipelines.core.errors import AvatarError
from pipelines.core.files import read_arrays
from pipelines.face.coverage import measure_coverage, visible_expressions
from pipelines.face.expression import MEASURED, calibrate
from pipelines.geometry.angles import yaw_pitch_deg
from pipelines.report import html, svg
from pipelines.report.parts import ends, image_of, json_of, name_of

SHOWN_MATTES = 6
SEEN_FROM = ((35, 25, "from the front left, above"), (0, 89, "from above"), (90, 0, "from the left"))
"""Yaw and pitch of the onlooker on the cameras in space."""
MOST_CAMERAS = 80
NAMES = {
    "file_name": "file", "rate_hz": "frames a second", "duration_s": "seconds", "transfer": "light",
    "focal_px": "focal length, px",
    "registered": "share of frames with a camera", "median_error_px": "median error, px", "rms_m": "rms error, m",
    "translation_m": "shift, m", "rotation_deg": "rotation, degrees", "looks": "looks", "faces": "looks with a face",
    "face_s": "seconds with a face", "face_px": "height of the face, px", "blurred_share": "share blurred",
    "brightness": "brightness of the face (of 255)", "exposure_drift": "change of the light on the face",
    "clipped_share": "share of the face overexposed", "cut_share": "share cut off", "others_share": "share with somebody else",
    "hand_share": "share under a hand", "yaw_deg": "yaw, degrees (2nd to 98th percentile)",
    "pitch_deg": "pitch, degrees (2nd to 98th percentile)", "surface_points": "points on the head",
    "surface_error_px": "error on the head, px",
}  # fmt: skip
"""Of figures, for people."""
SOURCE_COLUMNS = ("file_name", "width", "height", "rate_hz", "duration_s", "transfer", "sha256")


def capture_report(folder: Path) -> str:
    """The page of a capture folder."""
    known, transforms = json_of(folder / "capture.json"), json_of(folder / "transforms.json")
    frames = transforms.get("frames", [])
    movements = known.get("movements", [])
    faces = example_faces(folder, movements, [frame.get("source_index") for frame in frames])
    poses = np.array([frame["transform_matrix"] for frame in frames], float).reshape(-1, 4, 4)
    times = [float(frame["time_s"]) for frame in frames]
    closing = dict(ends(folder))
    sections = [
        ("What could be better", closing.pop("Warnings")),
        ("Source", _sources(known)),
        ("Frames", _frames(folder, len(frames), len(transforms.get("dropped", [])))),
        ("Movements", movement_rows(movements, faces)),
        ("Cameras", _cameras(known) + _camera_plots(poses, times, _aspect(known))),
        ("Alignment to head space", html.facts(_named(known.get("alignment", {})))),
        ("Head space over the frames", _overlay(folder)),
        ("Mattes", _mattes(folder) + _matte_confidence(folder, times)),
        ("Coverage", _coverage(folder, poses)),
        ("Kept and dropped frames", _dropped(transforms, times, known.get("source", {}).get("duration_s", 0.0))),
        *closing.items(),
    ]  # fmt: skip
    return html.page(f"Capture {name_of(folder)}", str(known.get("source", {}).get("file_name", "")), sections)


def check_report(record: Mapping[str, Any], faces: Mapping[str, np.ndarray]) -> str:
    """The page of a capture check, from `Check.record()` and the faces [H,W,3] that show its movements."""
    said = {"stop": "Cannot be used", "film": "To film", "know": "To know"}
    lines = html.join(
        html.sentence(f"{said[one['weight']]}: {one['say']}", "quiet" if one["weight"] == "know" else "warn")
        for one in record["advice"]
    )
    moments = record["timeline"]
    fine = [one["time_s"] for one in moments if one["state"] == "fine"]
    wrong = [(one["time_s"], one["state"]) for one in moments if one["state"] != "fine"]
    tick_s = moments[1]["time_s"] - moments[0]["time_s"] if len(moments) > 1 else 1.0
    end = max([0.0, *(one["time_s"] for one in moments)]) + tick_s
    over_time = page_charts.fate(fine, wrong, end, "What was seen", kept="fine", tick_s=tick_s)
    curves = [
        svg.curve([(one["time_s"], one[name]) for one in moments if one["yaw_deg"] is not None], f"{title}, last", x_label="s")
        for name, title in (("yaw_deg", "Yaw in degrees"), ("sharpness", "Sharpness"), ("brightness", "Brightness of the face"))
    ]
    sections = [
        ("Advice", lines or html.sentence("Nothing to add.")),
        ("Movements", movement_rows(record["movements"], faces)),
        ("Coverage", _coverage_plots(record["coverage"], "Seconds")),
        ("Over time", over_time + html.row(curves)),
        ("Figures", html.facts(_named(record["figures"]))),
    ]
    return html.page(f"Footage: {record['verdict']}", ", ".join(record["file_names"]), sections)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same under names for people."""
    return {NAMES.get(name, name.replace("_", " ")): value for name, value in values.items()}


def _sources(known: Mapping[str, Any]) -> str:
    """The file's facts, or a row for each of several files."""
    files = known.get("sources", [])
    if len(files) < 2:
        return html.facts(_named(known.get("source", {})))
    shown = [{name: value for name, value in one.items() if name in SOURCE_COLUMNS} for one in files]
    columns = [name for name in SOURCE_COLUMNS if any(name in one for one in shown)]
    return html.table([[one.get(name) for name in columns] for one in shown], head=list(_named(dict.fromkeys(columns))))


def _frames(folder: Path, kept: int, dropped: int) -> str:
    splits = Counter(item.get("split") for item in json_of(folder / "dataset.json").get("items", []))
    split = f": {splits['train']} to train, {splits['test']} held out to test" if splits["train"] else ""
    return image_of(
        folder / "contact.png", f"{kept} frames kept{split}; {dropped} dropped. The number is the frame's in the file."
    )


def _overlay(folder: Path) -> str:
    return image_of(
        folder / "overlay.png",
        "White: points followed on the face; green: the same points of the mean head, placed by the camera. They should "
        "coincide. Red, green, blue lines: the head's left, up and forward.",
    )


def _cameras(known: Mapping[str, Any]) -> str:
    camera = dict(known.get("camera", {}))
    why, candidates = str(camera.pop("why", "")), camera.pop("candidates", [])
    columns = list(dict.fromkeys(key for candidate in candidates for key in candidate))
    rows = [[candidate.get(key) for key in columns] for candidate in candidates]
    return (
        (html.sentence(why) if why else "")
        + html.facts(_named(camera))
        + html.table(rows, head=list(_named(dict.fromkeys(columns))))
    )


def _camera_plots(poses: np.ndarray, times: Sequence[float], aspect: float) -> str:
    if not len(poses):
        return ""
    yaw, pitch = camera_angles(poses)
    fewer = poses[np.unique(np.linspace(0, len(poses) - 1, MOST_CAMERAS).round().astype(int))]
    views = [page_charts.cameras(fewer, f"Cameras {name}", yaw_deg=a, pitch_deg=b, aspect=aspect) for a, b, name in SEEN_FROM]
    curves = [
        svg.curve(list(zip(times, angles.tolist(), strict=True)), f"{name} in degrees, last", x_label="s")
        for name, angles in (("Yaw", yaw), ("Pitch", pitch))
    ]
    note = "Head space, to scale: first frame blue, last frame orange; the sphere is the head, its nose orange."
    return html.row(views) + html.sentence(note, "quiet") + html.row(curves)


def _aspect(known: Mapping[str, Any]) -> float:
    source = known.get("source", {})
    return source["width"] / source["height"] if source.get("width") and source.get("height") else 1.0


def camera_angles(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yaw [N] (positive where the camera stands at +x) and pitch [N] (positive above) in degrees of camera-to-world [N,4,4]."""
    yaw, pitch = yaw_pitch_deg(poses[:, :3, 3]).T
    return yaw, pitch


def _coverage(folder: Path, poses: np.ndarray) -> str:
    """Frames around the head, and by expression where the measured channels are there."""
    if not len(poses):
        return ""
    yaw = camera_angles(poses)[0]
    found = measure_coverage(yaw, 1.0, _expressions(folder, len(poses)), np.full(len(yaw), np.nan)).record()
    return _coverage_plots(found, "Frames")


def _coverage_plots(found: Mapping[str, Any], unit: str) -> str:
    edges = found["yaw_edges_deg"]
    parts = [page_charts.ring(found["seconds"], found["inferred_s"], edges, f"{unit} by the side the head was seen from")]
    if found["expressions_s"]:
        parts.append(page_charts.grid(found["expressions_s"], edges, f"{unit} by side (degrees) and expression"))
    note = "The head from above, nose down; right is the person's left side. Hatched: the face was turned away, placed by time."
    return html.row(parts) + html.sentence(note, "quiet")


def _expressions(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Which expressions the frames show; teeth are not measured in a capture."""
    try:
        scores = read_arrays(folder / "tracking.npz")["expression_measured"]
    except (AvatarError, KeyError):
        return {}
    if scores.shape != (count, len(MEASURED)):
        return {}
    shown = visible_expressions(scores, calibrate(scores, np.ones(count, bool)).neutral, np.zeros(count))
    return {name: values for name, values in shown.items() if name != "teeth"}


def _mattes(folder: Path) -> str:
    """Some crops with their mattes; nothing where the folder is not whole."""
    try:
        view = view_of(folder, PORTRAIT, cached=False)
        rows = (
            np.unique(np.linspace(0, len(view.names) - 1, SHOWN_MATTES).round().astype(int)) if view.names else np.zeros(0, int)
        )
        pictures = html.row([_matte(view, row) for row in rows])
    except AvatarError:
        return ""
    note = "Orange is not the person; what is washed out belongs to the person and not to the head."
    return pictures + html.sentence(note, "quiet") if pictures else ""


def _matte(view: Dataset, row: int, size: int = 155) -> str:
    """A crop with what is not the person in orange and what is not the head washed out."""
    rows = np.array([row])
    crop = view.images(rows, size)[0].astype(np.float32)
    person, head = (mattes[0, ..., None] / 255 for mattes in (view.person_mattes(rows, size), view.head_mattes(rows, size)))
    washed = crop * head + (0.5 * crop + 127) * (1 - head)
    shown = washed * person + np.array([221.0, 107.0, 32.0]) * (1 - person)
    return html.picture(shown.clip(0, 255).astype(np.uint8), view.names[row], longest_px=size)


def _matte_confidence(folder: Path, times: Sequence[float]) -> str:
    values = json_of(folder / "dataset.json").get("items", [])
    known = [(time, item["matte"]) for time, item in zip(times, values, strict=False) if "matte" in item]
    return svg.curve(known, "Confidence of the mattes, last", width=420, x_label="s")


def _dropped(transforms: Mapping[str, Any], kept_s: Sequence[float], duration_s: float) -> str:
    if "dropped" not in transforms:
        return ""
    lost = transforms["dropped"]
    rows = [[reason, count, _times(lost, reason)] for reason, count in Counter(d["reason"] for d in lost).most_common()]
    timed = [(float(item["time_s"]), str(item["reason"])) for item in lost if item.get("time_s") is not None]
    end = max([duration_s, *kept_s, *(time for time, _ in timed)])
    plot = page_charts.fate(kept_s, timed, end, "Frames over time") if kept_s or timed else ""
    return plot + (html.table(rows, head=["reason", "frames", "at, s"]) or html.sentence("None was dropped."))


def _times(dropped: Sequence[Mapping[str, Any]], reason: str, most: int = 12) -> str:
    times = [f"{item['time_s']:.1f}" for item in dropped if item["reason"] == reason and item.get("time_s") is not None]
    return ", ".join(times[:most]) + (" ..." if len(times) > most else "")
