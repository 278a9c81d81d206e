"""`report.html`: what a stage saw and did, as one page that can be sent to somebody.

Each section reads its own files and says "not available" when they are missing, so that a report of an unfinished or older
folder is still one.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import html, svg
from pipelines.errors import AvatarError
from pipelines.files import read_image, read_json
from pipelines.stage import ASKED, RECORD, step_seconds, step_warnings

FIGURES = {
    "psnr_head": "PSNR head, dB", "psnr_full": "PSNR frame, dB", "ssim_head": "SSIM head", "ssim_full": "SSIM frame",
    "sharpness_head": "sharpness",
}  # fmt: skip
YAW_EDGES_DEG = [-90, -60, -45, -30, -15, -5, 5, 15, 30, 45, 60, 90]
SHOWN_MATTES = 6


def capture_report(folder: Path) -> str:
    """The page of a capture folder."""
    known, transforms = _json(folder / "capture.json"), _json(folder / "transforms.json")
    frames = transforms.get("frames", [])
    poses = np.array([frame["transform_matrix"] for frame in frames], float).reshape(-1, 4, 4)
    times = [float(frame["time_s"]) for frame in frames]
    sections = [
        ("Source", html.facts(known.get("source", {}))),
        ("Frames", _image(folder / "contact.png", f"{len(frames)} frames kept")),
        ("Cameras", _cameras(known) + _camera_plots(poses, times)),
        ("Alignment to head space", html.facts(known.get("alignment", {}))),
        ("Head space over the frames", _image(folder / "overlay.png", "")),
        ("Mattes", _mattes(folder)),
        ("Coverage", _coverage(poses)),
        ("Dropped frames", _dropped(transforms)),
        *_ends(folder),
    ]  # fmt: skip
    return html.page(f"Capture {_name(folder)}", str(known.get("source", {}).get("file_name", "")), sections)


def avatar_report(folder: Path) -> str:
    """The page of an avatar folder."""
    record, metrics = _json(folder / "avatar.json"), _json(folder / "metrics.json")
    sections = [
        ("Held-out frames", _heldout(folder, metrics)),
        ("Beside the baselines", _baselines(metrics)),
        ("Training", _curves(folder / "train_log.jsonl")),
        ("Expressions", _expressions(record)),
        ("Plan", html.facts(_json(folder / "plan.json"))),
        *_ends(folder),
    ]
    made_of = record.get("capture", {}).get("name", "")
    return html.page(f"Avatar {_name(folder)}", f"made of {made_of}" if made_of else "", sections)


def verdict(metrics: Mapping[str, Any]) -> list[str]:
    """What the held-out figures mean, in sentences: the avatar beside the mean frame, retrieval and the best training frame."""
    if "avatar" not in metrics or "baselines" not in metrics:
        return []
    own, others = metrics["avatar"]["psnr_head"], {name: row["psnr_head"] for name, row in metrics["baselines"].items()}
    said = {"mean": "the mean training frame", "retrieval": "the training frame with the nearest expression and pose"}
    said["oracle"] = "the best training frame for each picture"
    parts = [
        f"{abs(own - value):.1f} dB {'above' if own >= value else 'below'} {said.get(name, name)}"
        for name, value in others.items()
    ]
    return [f"Inside the head, on {metrics.get('frames', '?')} held-out frames: {own:.1f} dB, {', '.join(parts)}."]


def comparison(metrics: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows (avatar first) of the held-out figures beside their baselines."""
    rows = {"avatar": metrics.get("avatar", {}), **metrics.get("baselines", {})}
    names = [name for name in FIGURES if name in rows["avatar"]]
    return ["", *(FIGURES[name] for name in names)], [
        [row, *(figures.get(name) for name in names)] for row, figures in rows.items()
    ]


def _cameras(known: Mapping[str, Any]) -> str:
    camera = dict(known.get("camera", {}))
    why, candidates = str(camera.pop("why", "")), camera.pop("candidates", [])
    columns = list(dict.fromkeys(key for candidate in candidates for key in candidate))
    rows = [[candidate.get(key) for key in columns] for candidate in candidates]
    return (html.sentence(why) if why else "") + html.facts(camera) + html.table(rows, head=columns)


def _camera_plots(poses: np.ndarray, times: Sequence[float]) -> str:
    if not len(poses):
        return ""
    x, y, z = poses[:, :3, 3].T.tolist()
    yaw, pitch = camera_angles(poses)
    plans = [
        svg.plan_view([(a, -b) for a, b in zip(x, z, strict=True)], "Cameras from above", ("x", "z, out of the face")),
        svg.plan_view(list(zip(z, y, strict=True)), "Cameras from the side", ("z", "y up, z to the right")),
    ]
    curves = [
        svg.curve(list(zip(times, angles.tolist(), strict=True)), f"{name} in degrees, last", x_label="s")
        for name, angles in (("Yaw", yaw), ("Pitch", pitch))
    ]
    note = "Positions in head space, first frame blue, last frame orange; the circle is the head."
    return html.row(plans) + html.sentence(note, "quiet") + html.row(curves)


def camera_angles(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yaw [N] (positive where the camera stands at +x) and pitch [N] (positive above) in degrees of camera-to-world [N,4,4]."""
    x, y, z = poses[:, :3, 3].T
    return np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(y, np.hypot(x, z)))


def _coverage(poses: np.ndarray) -> str:
    if not len(poses):
        return ""
    counts = np.histogram(camera_angles(poses)[0], YAW_EDGES_DEG)[0].tolist()
    return svg.histogram(counts, YAW_EDGES_DEG, "Frames by yaw of the camera around the head, degrees")


def _mattes(folder: Path) -> str:
    items = _json(folder / "dataset.json").get("items", [])
    chosen = (
        [items[i]["name"] for i in np.unique(np.linspace(0, len(items) - 1, SHOWN_MATTES).round().astype(int))] if items else []
    )
    return html.row([_matte(folder, name) for name in chosen])


def _matte(folder: Path, name: str) -> str:
    """A crop with what is not the person in orange and what is not the head washed out."""
    paths = [folder / part / f"{name}.png" for part in ("crops", "mattes", "heads")]
    if not all(path.exists() for path in paths):
        return ""
    crop, person, head = (read_image(path).astype(np.float32) for path in paths)
    crop, person, head = crop[..., :3], person[..., None] / 255, head[..., None] / 255
    washed = crop * head + (0.5 * crop + 127) * (1 - head)
    shown = washed * person + np.array([221.0, 107.0, 32.0]) * (1 - person)
    return html.picture(shown.clip(0, 255).astype(np.uint8), name, longest_px=165)


def _dropped(transforms: Mapping[str, Any]) -> str:
    if "dropped" not in transforms:
        return ""
    rows = [
        [reason, count, _times(transforms["dropped"], reason)]
        for reason, count in Counter(d["reason"] for d in transforms["dropped"]).most_common()
    ]
    return html.table(rows, head=["reason", "frames", "at, s"]) or html.sentence("None.")


def _times(dropped: Sequence[Mapping[str, Any]], reason: str, most: int = 12) -> str:
    times = [f"{item['time_s']:.1f}" for item in dropped if item["reason"] == reason and item.get("time_s") is not None]
    return ", ".join(times[:most]) + (" ..." if len(times) > most else "")


def _heldout(folder: Path, metrics: Mapping[str, Any]) -> str:
    sheet = _image(
        folder / "samples" / "heldout.png", "above the filmed frames, below the avatar with the same expression and camera"
    )
    return "".join(map(html.sentence, verdict(metrics))) + sheet


def _baselines(metrics: Mapping[str, Any]) -> str:
    if "avatar" not in metrics:
        return ""
    head, rows = comparison(metrics)
    facts = {key: value for key, value in metrics.items() if key not in ("avatar", "baselines")}
    return html.table(rows, head=head, strong=0) + html.sentence(html.said(facts), "quiet")


def _curves(log: Path) -> str:
    try:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    except (OSError, json.JSONDecodeError):
        return ""
    names = dict.fromkeys(key for line in lines for key in line if key not in ("step", "seconds"))
    return html.row(
        [svg.curve([(line["step"], line[name]) for line in lines if name in line], name, x_label="steps") for name in names]
    )


def _expressions(record: Mapping[str, Any]) -> str:
    found = record.get("expression", {})
    if not {"names", "low", "neutral", "high"} <= set(found):
        return ""
    rows = sorted(
        zip(found["names"], found["low"], found["neutral"], found["high"], strict=True), key=lambda row: row[1] - row[3]
    )
    return svg.ranges(rows, f"Range found in the avatar's own renders ({found.get('space', '')})")


def _ends(folder: Path) -> list[tuple[str, str]]:
    """Seconds, warnings and settings, which every stage has."""
    known = _json(folder / RECORD)
    seconds = known.get("seconds") or step_seconds(folder)
    warnings = known.get("warnings") or step_warnings(folder)
    settings = known.get("settings") or _json(folder / ASKED).get("settings")
    rows = [*seconds.items(), ("all", round(sum(seconds.values()), 2))] if seconds else []
    return [
        ("Seconds", html.table(rows, strong=len(rows) - 1)),
        ("Warnings", "".join(html.sentence(text, "warn") for text in warnings) or html.sentence("None.")),
        ("Settings", html.folded("All settings", json.dumps(settings, indent=1)) if settings else ""),
    ]


def _image(path: Path, caption: str) -> str:
    return html.picture(read_image(path), caption) if path.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except AvatarError:
        return {}
    return value if isinstance(value, dict) else {}


def _name(folder: Path) -> str:
    """The folder's name, also while it is still being made."""
    return folder.name.removesuffix(".partial")
