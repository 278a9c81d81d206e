"""Driving as it happens: a camera, or a file at its own pace, moves the avatar now.

Threads hand each other the newest frame through slots that hold one: seeing (camera or clock), reading the face, rendering (one
frame a core). The first person who is seen drives, whoever else comes, as with a film. What is not ready in time is
overwritten, so the picture is never older than one frame's work; what was overwritten is counted. A recording puts every
picture at the moment its driver's frame was seen, which keeps the sound in sync.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.avatar.references.choice import LiveChooser
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import write_json
from pipelines.core.parallel import when_free
from pipelines.core.stage import SCHEMA, Progress, insist_ours, record_path
from pipelines.drive.live.sinks import Screen, open_screens
from pipelines.drive.live.sources import Source, open_source
from pipelines.drive.motion.causal_retarget import Mapper
from pipelines.drive.motion.range_guard import captured
from pipelines.drive.motion.track import face_row, needed_model
from pipelines.drive.render.painter import Painter, portrait_of, shared_cores, workers_for
from pipelines.drive.render.staging import settled, staging_of
from pipelines.drive.settings import DriveSettings
from pipelines.drive.validation import insist_on_avatar
from pipelines.face.follower import Follower
from pipelines.face.tracker import FaceTracker
from pipelines.provenance import Provenance

T = TypeVar("T")
SAY_EVERY_S = 2.0
STAGE, VERSION = "live", 1


@dataclass(frozen=True)
class Seen:
    """A driver's frame: when it belongs on its own clock, and when it was there (seconds of time.perf_counter)."""

    time_s: float
    there_s: float
    image: np.ndarray


@dataclass(frozen=True)
class Read:
    """The face in it; None where there is none."""

    seen: Seen
    scores: np.ndarray | None
    pose: np.ndarray | None
    stranger: bool = False
    """Somebody else than the first person is seen."""


class Slot(Generic[T]):
    """Holds the newest thing put in; what is taken is gone, what is overwritten is counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thing: T | None = None
        self._closed = False
        self.put_count = self.overwritten = 0

    def put(self, thing: T) -> None:
        with self._changed:
            self.put_count, self.overwritten = self.put_count + 1, self.overwritten + (self._thing is not None)
            self._thing = thing
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[T]:
        """Things until it is closed and empty."""
        while True:
            with self._changed:
                while self._thing is None and not self._closed:
                    self._changed.wait()
                thing, self._thing = self._thing, None
            if thing is None:
                return
            yield thing


@dataclass(kw_only=True)
class Pace:
    """How fast it went."""

    shown: int = 0
    start_s: float = 0.0
    last_s: float = 0.0
    latencies_s: list[float] | None = None
    strangers: int = 0
    """Pictures shown while somebody else was seen."""

    def add(self, face: Read) -> None:
        now = time.perf_counter()
        self.latencies_s = [*(self.latencies_s or [])[-5000:], now - face.seen.there_s]
        self.start_s = self.start_s or now
        self.shown, self.last_s, self.strangers = self.shown + 1, now, self.strangers + face.stranger

    @property
    def rate_hz(self) -> float:
        return (self.shown - 1) / (self.last_s - self.start_s) if self.shown > 1 else 0.0

    def latency_ms(self, percent: float) -> float:
        return 1000 * float(np.percentile(self.latencies_s, percent)) if self.latencies_s else 0.0


def live(
    avatar: Path, driver: str, out: Path | None, settings: DriveSettings, progress: Progress, device: str = "cpu",
    overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Drive an avatar now; figures of rate, latency and what was dropped.

    Pictures go to a virtual camera where there is one, and to `out` where it is given. Ends with the file, after
    `live.seconds`, or when it is interrupted; the recording is whole in any case.
    """
    insist_on_avatar(avatar)
    settings = settled(avatar, settings)
    check_live(out, settings, overwrite)
    origin = Provenance(avatar, settings.provenance)
    if out is not None:
        origin.check()
    source, loaded = open_source(driver, settings), load_avatar(avatar, device)
    painter, mapper = parts(loaded, settings)
    first = mapper(0.0, None, None)
    painter = painter.with_still_layer(first) if settings.view == "still" and settings.views.calm else painter
    list(painter.paint(first, 0, 1))  # warmed up before the clock starts
    screens = open_screens(out, painter.canvas.shape, source, settings.sound == "driver", progress)
    figures = perform(source, loaded, mapper, painter, screens, settings, progress, origin)
    figures = {**figures, "size": min(painter.canvas.shape), "flagged_frames": mapper.flagged}
    if out is not None:
        if origin.left_out:
            progress.warn(origin.left_out)
        filmed = settings.sound == "driver" or not settings.background.startswith("#")
        figures["provenance"] = origin.seal_recording(out, composite=filmed)
        record = {
            "schema": SCHEMA,
            "stage": STAGE,
            "version": VERSION,
            "fingerprint": STAGE,
            "settings": settings,
            "figures": figures,
            "out": out.name,
        }
        write_json(record_path(out), record)
    return figures


def check_live(out: Path | None, settings: DriveSettings, overwrite: bool) -> None:
    from pipelines.avatar.background import BLUR, is_film
    from pipelines.drive.motion.view_path import check_view

    if settings.side_by_side or settings.background == BLUR or is_film(settings.background):
        raise SettingError("--live supports neither a moving background nor --side-by-side; give a color or an image.")
    if settings.background == "transparent":
        raise SettingError("--live supports no transparent background; give a color such as #00ff00.")
    check_view(settings.view, settings.views)
    if out is not None and out.suffix.lower() != ".mp4":
        raise SettingError(f"{out}: --live records only .mp4 files.")
    if out is not None and (out.is_symlink() or out.exists() and not overwrite):
        raise SettingError(f"{out} already exists; choose another -o or pass --overwrite.")
    if out is not None:
        insist_ours(record_path(out), STAGE)


def parts(avatar: Avatar, settings: DriveSettings) -> tuple[Painter, Mapper]:
    staging = staging_of(avatar, settings)
    mode = avatar.record.torso if settings.torso == "auto" else settings.torso
    torso = staging.torso(avatar.folder) if mode != "none" and settings.view != "turntable" else None
    portrait = portrait_of(avatar, settings)
    painter = Painter(
        portrait=portrait, canvas=staging.canvas, torso=torso, batch=1,
        camera=staging.camera.to(avatar.frontal.intrinsics.device), background=staging.background(settings.background),
        workers=workers_for(avatar), live=None if portrait.chooser is None else LiveChooser(chooser=portrait.chooser),
    )  # fmt: skip
    known = captured(avatar.folder, avatar.record.expression)
    return painter, Mapper(avatar, staging.pose, staging.intrinsics, known, settings, mode)


def perform(
    source: Source, avatar: Avatar, mapper: Mapper, painter: Painter, screens: list[Screen],
    settings: DriveSettings, progress: Progress, origin: Provenance,
) -> dict[str, Any]:  # fmt: skip
    """Seeing, reading, and rendering by as many threads as the cores allow; this one shows."""
    frames, faces, stopped, ready = Slot[Seen](), Slot[Read](), threading.Event(), threading.Event()
    failures: list[BaseException] = []
    pace, end_s = Pace(), source.length_s
    read = _thread(lambda: _read(frames, faces, avatar, settings, ready), [faces, frames], failures)
    while not ready.wait(0.05) and read.is_alive():
        pass
    see = _thread(lambda: _see(source, frames, stopped, settings.live.seconds), [frames], failures)
    try:
        with progress.task("live", round(source.length_s * source.rate) if source.length_s else None) as task:
            said = time.perf_counter()
            for face, picture in pictures_of(faces, mapper, painter, origin):
                for screen in screens:
                    screen.show(face.seen.time_s, picture)
                pace.add(face)
                task.advance()
                if time.perf_counter() - said > SAY_EVERY_S:
                    said = time.perf_counter()
                    task.note(f"{pace.rate_hz:.1f} frames/s, latency {pace.latency_ms(50):.0f} ms")
    finally:
        stopped.set()
        limit = settings.live.seconds
        end_s = min(end_s, limit) if end_s is not None and limit is not None else end_s
        recorded = sum(screen.close(end_s if pace.shown else None) for screen in screens)
    see.join()
    read.join()
    if failures:
        raise failures[0]
    return told(pace, frames, faces, recorded, progress)


def pictures_of(
    faces: Iterable[Read], mapper: Mapper, painter: Painter, origin: Provenance
) -> Iterator[tuple[Read, np.ndarray]]:
    """Each face that is not overwritten with its finished picture, in order."""

    def begin(face: Read) -> Callable[[], np.ndarray]:
        return painter.begin(mapper(face.seen.time_s, face.scores, face.pose))

    with shared_cores(painter.workers) as ready:
        for face, picture in when_free(begin, faces, painter.workers, ready=ready):
            yield face, next(origin.marked(iter([picture])))


def told(pace: Pace, frames: Slot[Seen], faces: Slot[Read], recorded: int, progress: Progress) -> dict[str, Any]:
    """The figures, and the sentence about them."""
    if not pace.shown:
        raise UnusableMaterial("the driver ended before a picture was shown.")
    dropped = frames.overwritten + faces.overwritten
    progress.say(
        f"{pace.rate_hz:.1f} frames/s, latency {pace.latency_ms(50):.0f} ms (95 %: {pace.latency_ms(95):.0f} ms), "
        f"{dropped} of {frames.put_count} frames dropped."
    )
    if pace.strangers:
        progress.warn(
            f"another person is seen in {pace.strangers} of {pace.shown} pictures; the first one's motion is held there."
        )
    return {
        "frames": frames.put_count, "shown": pace.shown, "dropped": dropped, "recorded_frames": recorded,
        "frames_per_s": round(pace.rate_hz, 2), "latency_ms": round(pace.latency_ms(50), 1),
        "latency_95_ms": round(pace.latency_ms(95), 1), "stranger_frames": pace.strangers,
    }  # fmt: skip


def _thread(work: Callable[[], None], slots: list[Slot[Any]], failures: list[BaseException]) -> threading.Thread:
    """Runs `work` and closes slots at the end, whatever happened."""

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            failures.append(error)
        finally:
            for slot in slots:
                slot.close()

    thread = threading.Thread(target=run, name="live", daemon=True)
    thread.start()
    return thread


def _see(source: Source, frames: Slot[Seen], stopped: threading.Event, seconds: float | None) -> None:
    for time_s, image in source.frames():
        if stopped.is_set() or (seconds is not None and time_s > seconds):
            return
        frames.put(Seen(time_s, time.perf_counter(), image))


def _read(frames: Slot[Seen], faces: Slot[Read], avatar: Avatar, settings: DriveSettings, ready: threading.Event) -> None:
    """The face of the newest frame, again and again."""
    space, pose = avatar.space, None
    with FaceTracker(video=True, blendshapes=needed_model(space), stay=True) as tracker:
        follower = Follower(tracker, avatar.prior_landmarks)
        ready.set()
        for seen in frames:
            person = follower.track(seen.image)
            guess = None if person.cut else pose
            row = face_row(person.face, seen.image, space, avatar.prior_landmarks, settings.track.focal, guess)
            pose = row[2] if row[0] else None
            faces.put(Read(seen, row[1] if row[0] else None, pose, person.stranger))
