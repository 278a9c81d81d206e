"""A take: the motion of a video, kept as a track that drives any avatar, or as a Live Link Face CSV for other tools."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.core.stage import Progress, Report, run_stage, step
from pipelines.drive.settings import TrackSettings
from pipelines.face.track import save_track

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class TakeSettings:
    """Reading a driver once."""

    space: Literal["measured", "blendshapes"] = "measured"
    """Whose channels: those measured from the landmarks, or mediapipe's 52 (needs face_landmarker.task)."""
    prior: str = "quick"
    """Whose head the pose is measured with; drivers of an avatar are read with the head of its prior."""
    csv: Literal["none", "exact", "plain"] = "none"
    """A Live Link Face CSV beside the track: `exact` reads back as it was; `plain` has 0 for the resting face, shapes within
    0..1 and no columns of our own, as other tools expect."""
    track: TrackSettings = field(default_factory=TrackSettings)


def take(source: Path, out: Path, settings: TakeSettings, progress: Progress, overwrite: bool = False) -> Report:
    """Make `out` (a .track or a .csv) hold the motion of a driver, at the driver's own times."""
    from pipelines.core.errors import SettingError
    from pipelines.drive.motion.driver_files import check_space, open_driver

    if out.suffix.lower() not in (".track", ".csv"):
        raise SettingError(f"{out} must end in .track, or in .csv for a Live Link Face CSV.")
    settings = replace(settings, csv="exact") if out.suffix.lower() == ".csv" and settings.csv == "none" else settings
    driver = open_driver(source, settings.track)
    check_space(driver, settings.space)

    def work(partial: Path) -> dict[str, Any]:
        return step(partial, "track", lambda: _taken(driver, out, partial, settings, progress))

    inputs = {"driver": source, **({"adapter": Path(settings.track.adapter)} if settings.track.adapter else {})}
    also = [out.with_suffix(".csv").name] if settings.csv != "none" and out.suffix.lower() != ".csv" else []
    return run_stage(
        "track", version=VERSION, inputs=inputs, settings=settings, out=out, work=work, overwrite=overwrite, beside=also
    )


def _taken(driver: Any, out: Path, partial: Path, settings: TakeSettings, progress: Progress) -> dict[str, Any]:
    from pipelines.artifacts.prior import load_prior
    from pipelines.core.stage import BESIDE, warn_in_record
    from pipelines.drive.motion.retarget import driver_range
    from pipelines.drive.motion.track import cautions, longest_loss_s, seen_beside, states
    from pipelines.face.livelink import write_livelink

    canonical = np.array(load_prior(settings.prior).landmarks)
    track = driver.track(settings.space, canonical, settings.track, partial / "track", progress)
    if out.suffix.lower() == ".track":
        save_track(partial / out.name, track)
    if settings.csv != "none":
        rest = driver_range(track, None).neutral
        plain = settings.csv == "plain"
        shown = replace(track, expression=(track.expression - rest).astype(np.float32)) if plain else track
        path = partial / out.name if out.suffix.lower() == ".csv" else partial / BESIDE / out.with_suffix(".csv").name
        write_livelink(path, shown, plain=plain)
    beside = seen_beside(partial / "track")
    for said in [*(driver.video.remarks if driver.video is not None else ()), *cautions(track, beside)]:
        progress.warn(said)
        warn_in_record(partial, said)
    held = [kind for kind in states(track, settings.track.bridge_s) if kind != "tracked"]
    return {
        "frames": len(track.times_s), "rate_hz": track.rate_hz, "length_s": track.length_s, "space": track.space,
        "crowded_frames": int(beside["others"].sum()), "lost_frames": int((~track.valid).sum()),
        "longest_loss_s": round(longest_loss_s(track), 3),
        "not_tracked": {kind: held.count(kind) for kind in sorted(set(held))},
    }  # fmt: skip
