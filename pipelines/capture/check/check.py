"""`capture --check`: is this footage worth reconstructing, and what should be filmed again? Answered without reconstructing it.

Ten looks a second at small pictures: where the head was seen from, what the face did, how sharp, lit and large it was, what was
in the way. `good` and `usable` (with advice) may be captured, `unusable` would be refused or give nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.capture.check.advice import advice_on, known
from pipelines.capture.check.measure import Glance, Glancer
from pipelines.capture.footage.orientation import says, turned_by, turns_of
from pipelines.capture.footage.source import STILL_S, of_clip, open_footage
from pipelines.capture.frames.scan import FrameSettings
from pipelines.core.stage import Progress, Silent
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.coverage import (
    EXPRESSIONS,
    LONGEST_S,
    Coverage,
    measure_coverage,
    turned_away,
    visible_expressions,
    without_flashes,
)
from pipelines.face.covered import covered_mouths
from pipelines.face.expression import MEASURED, calibrate
from pipelines.face.movements import Faces, Filmed, movement_table, strengths
from pipelines.media import photos
from pipelines.media.video import VideoInfo, ahead, probe

JAW = MEASURED.index("jawOpen")
LOOKS_HZ, MOST_LOOKS = 10.0, 3600
LONGEST_PX = 960
"""Longer side of the pictures looked at."""
BLURRED = 0.03
"""Sharpness below which a face of 160 px shows no detail."""

Verdict = Literal["good", "usable", "unusable"]


@dataclass(frozen=True, kw_only=True)
class Check:
    verdict: Verdict
    advice: list[dict[str, str]]
    """`about` and `say`; `weight` is `stop` (unusable), `film` (again, or more) or `know` (fine as it is)."""
    figures: dict[str, Any]
    coverage: Coverage
    movements: list[dict[str, Any]]
    """A record each: `seconds` in which it is shown, and how strongly."""
    faces: dict[str, np.ndarray]
    """uint8 [h,w,3] by the movement that each shows most."""
    timeline: list[dict[str, Any]]
    """A second each: yaw, sharpness, brightness, state."""
    file_names: list[str]

    def record(self) -> dict[str, Any]:
        """What --json prints; `schema` 1 of the console stands before it."""
        return {
            "status": "done", "verdict": self.verdict, "file_names": self.file_names, "figures": self.figures,
            "coverage": self.coverage.record(), "movements": self.movements, "advice": self.advice,
            "warnings": [one["say"] for one in self.advice if one["weight"] != "know"], "timeline": self.timeline,
        }  # fmt: skip


def check(videos: Sequence[Path], settings: FrameSettings | None = None, progress: Progress | None = None) -> Check:
    """Look through the clips of one person, or a folder of photos; UnusableMaterial only when one cannot be read."""
    if all(path.is_dir() or path.suffix.lower() in photos.SUFFIXES for path in videos):
        return _check_photos(videos, settings or FrameSettings(), progress or Silent())
    settings, infos = settings or FrameSettings(), [_upright(probe(video)) for video in videos]
    step_s = max(_step_s(info) for info in infos)
    looks, start_s = [], 0.0
    for info in infos:
        looks += [replace(look, time_s=start_s + look.time_s) for look in _look(info, step_s, progress or Silent())]
        start_s += info.duration_s + LONGEST_S
    return judge(looks, step_s, infos, settings)


def _check_photos(paths: Sequence[Path], settings: FrameSettings, progress: Progress) -> Check:
    """The same for photos, or frames with cameras: one look each, a second apart."""
    footage = open_footage(paths, LONGEST_PX)
    looks: list[Glance] = []
    with (
        progress.task("looking", footage.info.frames) as task,
        Glancer(canonical_landmarks(), max(1.0, max(footage.info.size) / LONGEST_PX), still=True) as glancer,
    ):
        for frame in footage.frames():
            looks.append(glancer.look(frame.image, frame.time_s))
            task.advance()
    found = judge(looks, STILL_S, [footage.info], settings, still=True)
    return replace(found, advice=[*found.advice, *(known("files", said) for said in footage.remarks)])


def _upright(info: VideoInfo) -> VideoInfo:
    return turned_by(info, turns_of(info.path))


def judge(
    looks: list[Glance], step_s: float, infos: Sequence[VideoInfo], settings: FrameSettings, still: bool = False
) -> Check:
    """The verdict on looks `step_s` apart, of films or of `still` pictures."""
    coverage, figures = _coverage(looks, step_s), _figures(looks, step_s, infos)
    figures |= {"photos": len(looks)} if still else {}
    found = [look for look in looks if look.found]
    table = _movements(found)
    advice = advice_on(figures, coverage, table, settings)
    advice += [known("turn", f"{info.path.name} {says(info.turns)}.") for info in infos if info.turns]
    advice += [known("clock", said) for info in infos for said in info.remarks]
    kinds = {one["weight"] for one in advice}
    verdict: Verdict = "unusable" if "stop" in kinds else "usable" if "film" in kinds else "good"
    return Check(
        verdict=verdict,
        advice=advice,
        figures=figures,
        coverage=coverage,
        movements=[row.record() | {"seconds": round(len(row.rows) * step_s, 1)} for row in table],
        faces={row.movement.name: found[row.best].face for row in table if len(row.rows)},
        timeline=_timeline(looks, step_s),
        file_names=[info.path.name for info in infos],
    )


def _step_s(info: VideoInfo) -> float:
    """Seconds from one look to the next."""
    return max(1.0 / LOOKS_HZ, 1.0 / max(info.rate_hz, 0.1), info.duration_s / MOST_LOOKS)


def _look(info: VideoInfo, step_s: float, progress: Progress) -> list[Glance]:
    """Looks at an even clock."""
    due = 0.0

    def wanted(index: int, time_s: float) -> bool:
        nonlocal due
        if time_s < due - 1e-6:
            return False
        due = max(due + step_s, time_s - step_s)
        return True

    shrunk = max(1.0, max(info.size) / LONGEST_PX)
    total = max(1, round(info.duration_s / step_s))
    with progress.task("looking", total) as task, Glancer(canonical_landmarks(), shrunk) as glancer:
        looks = []
        for frame in ahead(of_clip(info, LONGEST_PX, None, wanted)):
            looks.append(glancer.look(frame.image, frame.time_s))
            task.advance()
    return looks


def _coverage(looks: list[Glance], step_s: float) -> Coverage:
    yaw = np.array([look.yaw_deg if look.found else np.nan for look in looks])
    yaw = without_flashes(_times(looks), yaw)
    found = ~np.isnan(yaw)
    if not found.any():
        return measure_coverage(yaw, step_s, dict.fromkeys(EXPRESSIONS, found), yaw)
    scores = np.array([look.expression for look in looks])
    frontal = found & (np.abs(yaw) < 30)
    rest = calibrate(scores, frontal if frontal.any() else found).neutral
    shown = visible_expressions(scores, rest, np.array([look.teeth for look in looks]))
    return measure_coverage(
        yaw, step_s, {name: values & found for name, values in shown.items()}, turned_away(_times(looks), yaw)
    )


def _movements(found: list[Glance]) -> list[Filmed]:
    """Of the looks that show a face."""
    scores = np.array([look.expression for look in found]).reshape(-1, len(MEASURED))
    turns = np.array([[-look.yaw_deg, look.pitch_deg] for look in found]).reshape(-1, 2)
    return movement_table(strengths(Faces(_times(found), scores, np.array([look.lip_gap for look in found]), turns)))


def _figures(looks: list[Glance], step_s: float, infos: Sequence[VideoInfo]) -> dict[str, Any]:
    """Numbers of the whole footage; shares are of the looks that show a face."""
    faces = [look for look in looks if look.found]
    info, duration_s = infos[0], sum(info.duration_s for info in infos)
    size = {"duration_s": round(duration_s, 2), "width": info.width, "height": info.height, "rate_hz": round(info.rate_hz, 2)}
    if not faces:
        return {**size, "looks": len(looks), "faces": 0, "face_s": 0.0}
    values = {
        name: np.array([getattr(face, name) for face in faces], float)
        for name in vars(faces[0])
        if name not in ("expression", "parts", "face")
    }
    frontal = values["brightness"][np.abs(values["yaw_deg"]) < 30]
    light = frontal if len(frontal) >= 5 else values["brightness"]
    hands = values["hand"][values["hand"] >= 0]
    jaw, turned = np.array([face.expression[JAW] for face in faces]), np.hypot(values["yaw_deg"], values["pitch_deg"])
    parts = np.array([face.parts for face in faces])
    covered = covered_mouths(parts[:, 0], values["redness"], jaw, turned, 1 / step_s)
    low, high = np.percentile(values["yaw_deg"], [2, 98])
    return {
        **size, "looks": len(looks), "faces": len(faces), "face_s": round(len(faces) * step_s, 1),
        "face_px": round(float(np.median(values["side_px"])), 1), "sharpness": round(float(np.median(values["sharpness"])), 4),
        "blurred_share": _share(values["sharpness"] < BLURRED), "brightness": round(float(np.median(light)), 1),
        "exposure_drift": round(float(np.ptp(np.percentile(light, [5, 95])) / max(float(np.median(light)), 1.0)), 3),
        "clipped_share": round(float(np.median(values["clipped"])), 3), "cut_share": _share(values["cut"] > 0),
        "others_share": _share(values["other"] > 0), "stereo_share": _share(values["stereo"] > 0),
        "hand_share": max(_share(hands > 0.08) if len(hands) else 0.0, _share(covered)),
        "color": round(float(np.median(values["color"])), 1),
        "yaw_deg": [round(float(low), 1), round(float(high), 1)],
        "pitch_deg": np.percentile(values["pitch_deg"], [2, 98]).round(1).tolist(),
    }  # fmt: skip


def _timeline(looks: list[Glance], step_s: float) -> list[dict[str, Any]]:
    """For every second of footage, or less often for hours, the middle look and what was wrong in most."""
    every = max(1, round(max(1.0, len(looks) * step_s / 600) / step_s))
    return [_moment(looks[start : start + every]) for start in range(0, len(looks), every)]


def _moment(looks: list[Glance]) -> dict[str, Any]:
    states = [_state(look) for look in looks]
    middle = replace(looks[len(looks) // 2])
    return {
        "time_s": round(looks[0].time_s, 2), "state": max(sorted(set(states)), key=states.count),
        "yaw_deg": round(middle.yaw_deg, 1) if middle.found else None, "sharpness": round(middle.sharpness, 4),
        "brightness": round(middle.brightness, 1),
    }  # fmt: skip


def _state(look: Glance) -> str:
    if not look.found:
        return "no face"
    return "blurred" if look.sharpness < BLURRED else "cut off" if look.cut else "hand" if look.hand > 0.08 else "fine"


def _times(looks: list[Glance]) -> np.ndarray:
    return np.array([look.time_s for look in looks])


def _share(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 3)
