"""The steps of a drive, each leaving its files in the work folder so that an interrupted one goes on behind the last one."""

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts import Avatar, Track, load_avatar, load_track, save_track
from pipelines.drive import view
from pipelines.drive.render import (
    Motion,
    Painter,
    check_output,
    make_background,
    picture_size,
    segment_paths,
    write_pictures,
    write_segments,
)
from pipelines.drive.retarget import retarget
from pipelines.drive.selfcheck import follow_check
from pipelines.drive.settings import DriveSettings
from pipelines.drive.torso import Torso, follow, load_torso
from pipelines.drive.track import longest_loss_s, needed_model, resampled, track_video
from pipelines.encoder import concat_segments
from pipelines.errors import UnusableMaterial
from pipelines.face_fit import Calibration
from pipelines.files import read_arrays, read_json, write_arrays
from pipelines.stage import Progress, warn_in_record
from pipelines.video import VideoInfo, probe

MANY_LOST = 0.1
MANY_CLAMPED = 0.25


def check(avatar: Path, video: Path, out: Path, settings: DriveSettings) -> None:
    """Raise what is known to be wrong before any work is done."""
    if not avatar.is_dir():
        raise UnusableMaterial(f"{avatar} is not a folder; make an avatar with `avatarcli train CAPTURE -o NAME.avatar`.")
    record = read_json(avatar / "avatar.json", f"avatarcli train CAPTURE -o {avatar.name}")
    needed_model(record["expression"]["space"])
    size = picture_size(record["image_size"], settings.size)
    check_output(out, settings.background, size)
    make_background(settings.background, 16)
    probe(video)


class Recipe:
    """One drive: avatar and video in, `partial/name` out."""

    def __init__(
        self, avatar: Path, video: Path, name: str, partial: Path, settings: DriveSettings, progress: Progress, device: str
    ):
        self.avatar_folder, self.video, self.partial, self.settings = avatar, video, partial, settings
        self.output = partial / name if Path(name).suffix else partial / "frames"
        self.progress, self.device = progress, device

    @cached_property
    def avatar(self) -> Avatar:
        return load_avatar(self.avatar_folder, self.device)

    @cached_property
    def info(self) -> VideoInfo:
        return probe(self.video)

    @property
    def count(self) -> int:
        """Frames of the output: constant rate over the driver's duration."""
        return max(1, round(self.info.duration_s * self.info.rate))

    @cached_property
    def frontal(self) -> tuple[np.ndarray, np.ndarray]:
        """Pose [4,4] and normalized intrinsics [3,3] of the avatar's frontal camera."""
        camera = self.avatar.frontal
        return camera.world_from_camera[0].double().cpu().numpy(), camera.intrinsics[0].double().cpu().numpy()

    def track(self) -> dict[str, Any]:
        """The driver's motion at the output's frames, in track.npz."""
        settings = self.settings.track
        found = track_video(
            self.info, self.avatar.space, self.avatar.prior_landmarks, settings, self.partial / "track", self.progress
        )
        track = resampled(found, np.arange(self.count) / float(self.info.rate))
        save_track(self.partial / "track.npz", track)
        lost = int((~track.valid).sum())
        if lost > MANY_LOST * self.count:
            self.warn(f"the driver's face is lost in {lost} of {self.count} frames: the avatar holds or guesses there.")
        longest = round(longest_loss_s(track), 3)
        return {"frames": self.count, "rate_hz": self.info.rate_hz, "lost_frames": lost, "longest_loss_s": longest}

    def retarget(self) -> dict[str, Any]:
        """The avatar's expression and the cameras, in motion.npz."""
        track = load_track(self.partial / "track.npz")
        own = Calibration(neutral=self.avatar.neutral, low=self.avatar.low, high=self.avatar.high)
        found = retarget(track, own, self.settings.retarget)
        cameras = self.cameras(track)
        moves = follow(*self.frontal, cameras, track.rate_hz) if self.torso_mode == "follow" else np.zeros((len(cameras), 3))
        arrays = {"expression": found.expression, "clamped": found.clamped, "world_from_camera": cameras, "torso": moves}
        write_arrays(self.partial / "motion.npz", **arrays)
        shares = found.clamped.mean(0)
        worst = [track.names[i] for i in np.argsort(-shares)[:3] if shares[i] > MANY_CLAMPED]
        if worst:
            self.warn(f"the driver goes beyond what the avatar has learned in {', '.join(worst)}; it stops at its limits.")
        return {"clamped_share": float(shares.mean()), "clamped_frames_share": float(found.clamped.any(1).mean())}

    def cameras(self, track: Track) -> np.ndarray:
        frontal, settings = self.frontal[0], self.settings.views
        if self.settings.view == "driver":
            return view.driver_view(frontal, track, settings)
        if self.settings.view == "orbit":
            return view.orbit_view(frontal, track.times_s, settings)
        return view.still_view(frontal, len(track.times_s))

    @property
    def torso_mode(self) -> str:
        return self.avatar.record.get("torso", "none") if self.settings.torso == "auto" else self.settings.torso

    @cached_property
    def size(self) -> int:
        return picture_size(self.avatar.image_size, self.settings.size)

    @cached_property
    def motion(self) -> Motion:
        values = read_arrays(self.partial / "motion.npz")
        return Motion(expression=values["expression"], world_from_camera=values["world_from_camera"], torso=values["torso"])

    def layer(self) -> Torso | None:
        if self.torso_mode == "none":
            return None
        layer = load_torso(self.avatar_folder, *self.frontal, self.size)
        if layer is None and self.settings.torso != "auto":
            self.warn(f"{self.avatar_folder.name} was trained without a torso layer; the head is shown alone.")
        return layer

    def render(self) -> dict[str, Any]:
        """Segments of the video, or the PNG files."""
        settings, background = self.settings, make_background(self.settings.background, self.size)
        painter = Painter(
            avatar=self.avatar, size=self.size, background=background, torso=self.layer(), batch=settings.batch,
            precision=settings.precision,
        )  # fmt: skip

        painted = 0

        def paint(first: int, last: int) -> Iterator[np.ndarray]:
            nonlocal painted
            painted += last - first
            return painter.paint(self.motion, first, last)

        start = time.perf_counter()
        with self.progress.task("rendering", self.count) as task:
            if self.output.suffix:
                parts, suffix = self.partial / "segments", self.output.suffix.lower()
                write_segments(paint, self.count, settings.segment, parts, suffix, self.info.rate, task)
            else:
                write_pictures(paint, self.count, settings.batch, self.output, task)
        rate = round(painted / (time.perf_counter() - start), 2)
        return {"size": self.size, "frames_per_s": rate, "torso": self.torso_mode}

    def join(self) -> dict[str, Any]:
        """One file with the driver's sound."""
        if not self.output.suffix:
            for draft in self.partial.rglob(".*.*"):  # of a killed run
                draft.unlink()
            return {"sound": False}
        folder, suffix = self.partial / "segments", self.output.suffix.lower()
        parts = segment_paths(self.count, self.settings.segment, folder, suffix)
        concat_segments(parts, self.output, self.video, self.count / float(self.info.rate))
        return {"sound": self.info.has_audio}

    def self_check(self) -> dict[str, Any]:
        """How well the finished pictures follow the driver, by the tracker."""
        if not self.settings.self_check:
            return {}
        track = load_track(self.partial / "track.npz")
        figures = follow_check(self.output, track, self.avatar.prior_landmarks, self.progress)
        if figures["face_seen"] < 0.5:
            self.warn(f"the tracker sees a face in only {figures['face_seen']:.0%} of the result; train the avatar longer.")
        return figures

    def finish(self) -> dict[str, Any]:
        """All figures."""
        steps = {path.stem: read_json(path)["figures"] for path in (self.partial / "steps").glob("*.json")}
        check_figures = {"self_check": steps["self_check"]} if steps["self_check"] else {}
        return {**steps["track"], **steps["retarget"], **steps["render"], **steps["join"], **check_figures}

    def warn(self, text: str) -> None:
        self.progress.warn(text)
        warn_in_record(self.partial, text)
