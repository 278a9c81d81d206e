"""The steps of a drive, each leaving its files in the work folder so that an interrupted one goes on behind the last one."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.avatar.background import TRANSPARENT, Film, beside, within
from pipelines.avatar.canvas import Canvas
from pipelines.avatar.portrait import Portrait
from pipelines.avatar.references.distance import Faces
from pipelines.avatar.torso import Torso, follow, zoomed
from pipelines.avatar.view_limits import NOTED_DEG
from pipelines.core.files import read_arrays, read_json, write_arrays
from pipelines.core.stage import BESIDE, Progress, side_stem, warn_in_record
from pipelines.drive.motion.driver_files import Driver, open_driver
from pipelines.drive.motion.follow_check import follow_check
from pipelines.drive.motion.motion import Motion
from pipelines.drive.motion.range_guard import captured, guard, strip, verdicts, write_frames
from pipelines.drive.motion.retarget import retarget, wanted_openings
from pipelines.drive.motion.track import cautions, longest_loss_s, resampled, seen_beside, states
from pipelines.drive.motion.view_path import seen_with, shot
from pipelines.drive.render.output import (
    VIDEOS,
    segment_paths,
    write_pictures,
    write_segments,
)
from pipelines.drive.render.painter import Painter, plan_of, portrait_of, workers_for
from pipelines.drive.render.preview import write_preview
from pipelines.drive.render.staging import Staging, canvas_of, staging_of
from pipelines.drive.settings import DriveSettings
from pipelines.drive.validation import sound_of
from pipelines.evaluate.likeness import own_faces_beside
from pipelines.face.expression import Calibration
from pipelines.face.recognition import ONE_PERSON
from pipelines.face.track import Track, load_track, save_track
from pipelines.media.encoder import concat_segments, rehearse
from pipelines.media.sound import find_sound, sound_suffix, write_sound
from pipelines.provenance import Provenance

MANY_CLAMPED = 0.25
MANY_FLAGGED = 0.15
MANY_TURNED = 0.05


class Recipe:
    """One drive: avatar and driver in, `partial/name` out."""

    def __init__(
        self, avatar: Path, video: Path, name: str, partial: Path, settings: DriveSettings, progress: Progress, device: str
    ):
        self.avatar_folder, self.video, self.partial, self.settings = avatar, video, partial, settings
        self.beside = side_stem(partial.with_name(name)) if Path(name).suffix else "frames"
        self.output = partial / name if Path(name).suffix else partial / "frames"
        self.progress, self.device = progress, device

    @cached_property
    def avatar(self) -> Avatar:
        return load_avatar(self.avatar_folder, self.device)

    @property
    def own(self) -> Calibration:
        """The avatar's rest and range."""
        return Calibration(neutral=self.avatar.neutral, low=self.avatar.low, high=self.avatar.high)

    @cached_property
    def driver(self) -> Driver:
        return open_driver(self.video, self.settings.track)

    @property
    def count(self) -> int:
        return self.driver.count

    @cached_property
    def staging(self) -> Staging:
        return staging_of(self.avatar, self.settings)

    @property
    def resting(self) -> tuple[np.ndarray, np.ndarray]:
        """Pose [4,4] and normalized intrinsics [3,3] of the camera at rest."""
        return self.staging.pose, self.staging.intrinsics

    @cached_property
    def canvas(self) -> Canvas:
        """Without loading what it shows: it is asked for before the work begins."""
        return canvas_of(self.avatar_folder, self.avatar.image_size, self.settings)

    def sound(self) -> dict[str, Any]:
        """The result's sound, encoded, and a second of the result as a trial: what can fail at the end fails here."""
        for said in self.driver.remarks:
            self.warn(said)
        if not self.is_film:
            return {"sound": False}
        source, length_s = sound_of(self.driver, self.settings.sound), self.count / float(self.driver.rate)
        found, remarks = find_sound(source) if source is not None else (None, [])
        for said in [*remarks, *(found.compared(length_s) if found else [])]:
            self.warn(said)
        if found is not None:
            write_sound(found, self.sound_file, length_s)
        rehearse(self.partial, self.output, self.shape, self.driver.rate, self.sound_file if found else None)
        return {"sound": found is not None}

    @property
    def is_film(self) -> bool:
        """Else a folder of pictures, or one picture."""
        return self.output.suffix.lower() in VIDEOS

    @property
    def sound_file(self) -> Path:
        return self.partial / f"sound{sound_suffix(self.output)}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a finished picture."""
        height, width = self.canvas.shape
        bar, wide = (bar_height(width), 2) if self.settings.side_by_side else (0, 1)
        return height + bar, wide * width, 4 if self.settings.background == TRANSPARENT else 3

    def track(self) -> dict[str, Any]:
        """The driver's motion at the output's frames, in track.npz."""
        driver, settings, folder = self.driver, self.settings.track, self.partial / "track"
        found = driver.track(self.avatar.space, self.avatar.prior_landmarks, settings, folder, self.progress)
        track = replace(resampled(found, driver.even_times_s()), rate_hz=float(driver.rate), duration_s=driver.length_s)
        save_track(self.partial / "track.npz", track)
        lost, beside = int((~track.valid).sum()), seen_beside(folder)
        for said in cautions(track, beside):
            self.warn(said)
        longest = round(longest_loss_s(track), 3)
        return {
            "frames": self.count, "rate_hz": float(driver.rate), "lost_frames": lost, "longest_loss_s": longest,
            "crowded_frames": int(beside["others"].sum()), "other_person_frames": int(beside["stranger"].sum()),
            "covered_frames": track.covered.sum(0).tolist(),
        }  # fmt: skip

    def retarget(self) -> dict[str, Any]:
        """The avatar's expression and the cameras, in motion.npz; what the range guard says, frame by frame, in a CSV."""
        avatar, settings, track = self.avatar, self.settings, load_track(self.partial / "track.npz")
        found = retarget(track, self.own, settings.retarget)
        known = captured(self.avatar_folder, avatar.record.expression)
        kept = guard(found.expression, avatar.names, known, settings.guard)
        kinds = states(track, settings.track.bridge_s)
        cameras = shot(settings.view, *self.resting, track, settings.views, avatar.record.view_limits)
        back = np.zeros(len(kinds)) if cameras.turned_back_deg is None else cameras.turned_back_deg
        marks = verdicts(kinds, found.clamped, kept.faded, kept.flagged, back)
        write_arrays(
            self.partial / "motion.npz", expression=kept.expression, world_from_camera=cameras.world_from_camera,
            zoom=cameras.zoom, torso=self.torso_moves(cameras.world_from_camera, cameras.zoom, track), marks=np.array(marks),
            around=np.array(cameras.around), **self.references(kept.expression, cameras.world_from_camera, track),
        )  # fmt: skip
        name = f"{self.beside}.csv"
        table = self.partial / BESIDE / name
        write_frames(table, track.times_s, kinds, track.confidence, kept, found.clamped, avatar.names, back)
        self.warn_of_range(track, found.clamped, kept.flagged)
        self.warn_of_turns(back)
        if cameras.around:
            self.warn("the view goes around the head: sides that were not filmed are guessed.")
        return {
            "clamped_share": float(found.clamped.mean()), "clamped_frames_share": float(found.clamped.any(1).mean()),
            "distance_median": float(np.median(kept.distance)), "faded_frames_share": float((kept.faded > 0.02).mean()),
            "flagged_frames": marks.count("flagged"), "flagged_range_share": float(kept.flagged.mean()),
            "turned_back_frames_share": float((back > NOTED_DEG).mean()), "turned_back_deg": round(float(back.max()), 1),
        }  # fmt: skip

    def references(self, expression: np.ndarray, cameras: np.ndarray, track: Track) -> dict[str, np.ndarray]:
        """The filmed frames for the whole take, where the avatar has some, and the gaps of lips and lids they are chosen by."""
        gaps = wanted_openings(track, self.settings.retarget)
        plan = plan_of(self.portrait, Faces.of(expression, cameras, gaps))
        return {} if plan is None else {"references": plan, "openings": gaps}

    @cached_property
    def portrait(self) -> Portrait:
        return portrait_of(self.avatar, self.settings)

    def torso_moves(self, cameras: np.ndarray, zoom: np.ndarray, track: Track) -> np.ndarray:
        """[T,3] where the layer behind the head goes: calmly after the driver, and nearer and farther with a moved camera."""
        pose, intrinsics = self.resting
        views, still = self.settings.views, np.zeros((len(cameras), 3))
        if self.settings.view not in ("driver", "orbit"):
            return zoomed(still, zoom * np.linalg.inv(pose)[2, 3] / np.linalg.inv(cameras)[:, 2, 3], pose, intrinsics)
        base, factor = seen_with(pose, intrinsics, views.fov_deg)
        lens = intrinsics * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
        moves = follow(base, lens, cameras, track.rate_hz) if self.torso_mode == "follow" else still
        return zoomed(moves, np.full(len(cameras), views.zoom), pose, intrinsics)

    def warn_of_range(self, track: Track, clamped: np.ndarray, flagged: np.ndarray) -> None:
        shares = clamped.mean(0)
        worst = [track.names[i] for i in np.argsort(-shares)[:3] if shares[i] > MANY_CLAMPED]
        if worst:
            self.warn(f"the driver goes beyond what the avatar has learned in {', '.join(worst)}; it stops at those limits.")
        if flagged.mean() > MANY_FLAGGED:
            self.warn(
                f"{flagged.mean():.0%} of the frames ask for expressions that were never captured: look at the red in the "
                "preview, and film those expressions to teach them."
            )

    def warn_of_turns(self, back_deg: np.ndarray) -> None:
        if (share := float((back_deg > NOTED_DEG).mean())) > MANY_TURNED:
            self.warn(
                f"the driver turns further than the capture showed in {share:.0%} of the frames; there the avatar turns up to "
                f"{back_deg.max():.0f} degrees less; film the head turning, or lift the limit with --set views.turn_limit=none."
            )

    @property
    def torso_mode(self) -> str:
        return self.avatar.record.torso if self.settings.torso == "auto" else self.settings.torso

    @cached_property
    def planned(self) -> dict[str, np.ndarray]:
        return read_arrays(self.partial / "motion.npz")

    @cached_property
    def motion(self) -> Motion:
        names = ("expression", "world_from_camera", "torso", "zoom", "references", "openings")
        return Motion(**{name: self.planned[name] for name in names if name in self.planned})

    def layer(self) -> Torso | None:
        if self.torso_mode == "none" or (self.settings.torso == "auto" and self.planned["around"]):
            return None
        layer = self.staging.torso(self.avatar_folder)
        if layer is None and self.settings.torso != "auto":
            self.warn(f"{self.avatar_folder.name} was trained without a torso layer; the head is shown alone.")
        return layer

    @cached_property
    def painter(self) -> Painter:
        settings = self.settings
        painter = Painter(
            portrait=self.portrait, canvas=self.canvas, camera=self.staging.camera.to(self.device),
            torso=self.layer(), batch=settings.batch, workers=workers_for(self.avatar),
            background=self.staging.backdrop(settings.background, self.driver.path, self.driver.even_times_s()),
        )  # fmt: skip
        return painter.with_still_layer(self.motion) if settings.view == "still" and settings.views.calm else painter

    @cached_property
    def film(self) -> Film:
        """The driver's own pictures."""
        return Film(self.video, 2 * max(self.canvas.shape))

    def pictures(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Finished pictures of the output's frames first..last-1; beside the driver's where that is asked."""
        painted = self.provenance.marked(self.painter.paint(self.motion, first, last))
        if not self.settings.side_by_side:
            yield from painted
            return
        bar = strip(list(self.planned["marks"]), 2 * self.canvas.width, bar_height(self.canvas.width))
        for index, picture in enumerate(painted, first):
            seen = within(self.film.at(index / float(self.driver.rate)), self.canvas.shape)
            yield beside(seen, picture, bar, index / self.count)

    def render(self) -> dict[str, Any]:
        """Segments of the video, or the PNG files."""
        settings, painted = self.settings, 0

        def paint(first: int, last: int) -> Iterator[np.ndarray]:
            nonlocal painted
            painted += last - first
            return self.pictures(first, last)

        start, before = time.perf_counter(), children_s()
        with self.progress.task("rendering", self.count) as task:
            if self.is_film:
                parts, suffix = self.partial / "segments", self.output.suffix.lower()
                write_segments(paint, self.count, settings.segment, parts, suffix, self.driver.rate, task)
            else:
                write_pictures(paint, self.count, settings.segment, self.partial / "frames", task)
        rate = round(painted / (time.perf_counter() - start), 2)
        self.painter.costs.add("encode", children_s() - before)
        costs = self.painter.costs.per_thing_ms(painted)
        return {"size": min(self.canvas.shape), "frames_per_s": rate, "torso": self.torso_mode, "stage_ms": costs}

    def join(self) -> dict[str, Any]:
        """One file with its sound."""
        if not self.is_film:
            if self.output.suffix:
                (self.partial / "frames" / "000000.png").replace(self.output)
            return {"sound": False}
        folder, suffix = self.partial / "segments", self.output.suffix.lower()
        parts = segment_paths(self.count, self.settings.segment, folder, suffix)
        sound = self.sound_file if self.sound_file.exists() else None
        concat_segments(parts, self.output, sound, self.count / float(self.driver.rate))
        return {"sound": sound is not None}

    def self_check(self) -> dict[str, Any]:
        """How well the finished pictures follow the driver, by the tracker; one picture of the whole."""
        pictured = self.driver.path if self.driver.video is not None else None
        page = self.partial / BESIDE / f"{self.beside}.preview.jpg"
        write_preview(page, self.output, list(self.planned["marks"]), self.driver.even_times_s(), pictured, self.canvas.shape)
        if not self.settings.self_check:
            return {}
        track = load_track(self.partial / "track.npz")
        shape = self.canvas.shape if self.settings.side_by_side else None
        filmed = own_faces_beside(self.avatar_folder, self.avatar)
        figures = follow_check(self.output, track, self.avatar.prior_landmarks, self.progress, shape, self.own, filmed)
        if (apart := figures.get("identity_distance")) is not None and apart > ONE_PERSON:
            self.warn(
                f"to a face recognizer the face of the result is {apart:.2f} from the filmed one; train the avatar longer."
            )
        if figures["face_seen"] < 0.5 and self.settings.view not in ("turntable", "orbit"):
            self.warn(f"the tracker sees a face in only {figures['face_seen']:.0%} of the result; train the avatar longer.")
        return figures

    @cached_property
    def provenance(self) -> Provenance:
        return Provenance(self.avatar_folder, self.settings.provenance)

    def sign(self) -> dict[str, Any]:
        """The signed manifest; last, as signatures differ each time."""
        if self.provenance.left_out:
            self.warn(self.provenance.left_out)
        sound = read_json(self.partial / "steps" / "sound.json")["figures"]["sound"]
        filmed = sound or self.settings.side_by_side or not self.settings.background.startswith(("#", TRANSPARENT))
        return self.provenance.seal(self.output, self.partial, self.partial / BESIDE, composite=filmed)

    def finish(self) -> dict[str, Any]:
        """All figures."""
        records = {path.stem: read_json(path) for path in (self.partial / "steps").glob("*.json")}
        steps = {name: record["figures"] for name, record in records.items()}
        took = sum(records[name]["seconds"] for name in ("sound", "track", "retarget", "render", "join"))
        real_time = round(self.driver.length_s / max(took, 1e-6), 3)
        costs = {"track": round(1000 * records["track"]["seconds"] / self.count, 2), **steps["render"]["stage_ms"]}
        self.progress.say(
            f"{steps['render']['frames_per_s']} frames/s rendered, {real_time} of real time with tracking; work on a frame: "
            + ", ".join(f"{name} {took:.0f} ms" for name, took in costs.items()) + "."
        )  # fmt: skip
        check_figures = {"self_check": steps["self_check"]} if steps["self_check"] else {}
        origin = {"provenance": steps["provenance"]}
        parts = (steps["track"], steps["retarget"], steps["render"], steps["join"])
        together = {name: value for part in parts for name, value in part.items()}
        return {**together, "stage_ms": costs, "real_time_factor": real_time, **check_figures, **origin}

    def warn(self, text: str) -> None:
        self.progress.warn(text)
        warn_in_record(self.partial, text)


def children_s() -> float:
    """Processor seconds of the child processes that have ended: what encoders took."""
    spent = os.times()
    return spent.children_user + spent.children_system


def bar_height(width: int) -> int:
    """Pixels of the strip: a 32nd of the picture's width, even, at least 8."""
    return max(8, 2 * round(width / 64))
