"""Frames of a driven video: what the portrait shows of each row of motion, over a still layer, torso and background.

Notable choice: several threads render, each with its share of the cores. A quick avatar's tensors are so small that two cores
at one of them gain little; two cores at two frames gain nearly all. Another thread lays the pictures together.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from models.camera import Camera
from models.compute_mode import Compute
from models.generator import Scene
from pipelines.artifacts.avatar import Avatar
from pipelines.avatar.background import Backdrop
from pipelines.avatar.canvas import Canvas, Place
from pipelines.avatar.layers import Layers
from pipelines.avatar.portrait import Portrait, Views, views_at
from pipelines.avatar.references.choice import Choice, LiveChooser
from pipelines.avatar.references.distance import Faces
from pipelines.avatar.still_layer import StillLayer, face_in, still_around
from pipelines.avatar.torso import Torso
from pipelines.core.parallel import Costs, in_order
from pipelines.drive.motion.motion import Motion
from pipelines.drive.settings import DriveSettings
from pipelines.geometry.rigid import project

MOST_WORKERS = 4
"""Threads that render; more cores than that are shared among them."""


@dataclass(kw_only=True)
class Painter:
    """Motion rows -> finished pictures of one canvas, which do not depend on what was painted before."""

    portrait: Portrait
    canvas: Canvas
    camera: Camera | None = None
    """The camera at rest; None: the avatar's frontal one."""
    background: np.ndarray | Backdrop
    torso: Torso | None
    batch: int
    still: StillLayer | None = None
    """What stands still in front of a camera that stands still."""
    workers: int = 0
    """Threads that render; 0: the caller's renders and lays together, frame by frame."""
    live: LiveChooser | None = None
    """Chooses filmed frames from frame to frame, where no take was planned."""
    costs: Costs = field(default_factory=Costs, repr=False)
    """Time by stage."""
    _resting: tuple[np.ndarray, Scene] | None = field(default=None, repr=False)
    """The last scene and its expressions: while the face rests, only rays are marched."""

    def paint(self, motion: Motion, first: int, last: int) -> Iterator[np.ndarray]:
        """uint8 [H,W,3], or [H,W,4] straight alpha over a transparent background, for frames first..last-1."""
        batches = (slice(start, min(start + self.batch, last)) for start in range(first, last, self.batch))

        def compose(frame: tuple[int, np.ndarray]) -> np.ndarray:
            index, head = frame
            return self.layers(head, motion, index).pixels()[0]

        with shared_cores(self.workers) as ready:
            heads = in_order(partial(self.heads, motion), batches, self.workers, ready=ready)
            frames = enumerate((head for batch in heads for head in batch), first)
            yield from in_order(self.costs.timed("compose", compose), frames, min(self.workers, 1))

    def begin(self, motion: Motion) -> Callable[[], np.ndarray]:
        """How to paint a motion's first row: filmed frames are chosen now, from frame to frame, all else when it is called."""
        choices = self.choices(motion, slice(0, 1))

        def picture() -> np.ndarray:
            head = self.heads(motion, slice(0, 1), choices)[0]
            return self.layers(head, motion, 0).pixels()[0]

        return picture

    def heads(self, motion: Motion, rows: slice, choices: list[Choice] | None = None) -> np.ndarray:
        """float32 [B,side,side,4] premultiplied heads, each in its square; of the filmed frames `choices`, or those planned."""
        camera = self.square_cameras(motion, rows)

        def render(expression: np.ndarray) -> Views:
            return self.portrait.views(self.scene(expression), camera)

        def fuse(choices: list[Choice]) -> tuple[np.ndarray, np.ndarray]:
            return self.portrait.references(views, camera, choices, self.canvas.side)

        views = self.costs.timed("render", render)(motion.expression[rows])
        heads = views_at(views, self.canvas.side)
        choices = self.choices(motion, rows) if choices is None else choices
        if choices is None:
            return heads
        filmed, share = self.costs.timed("references", fuse)(choices)
        return Layers(generator=heads, references=filmed, share=share).head

    def square_cameras(self, motion: Motion, rows: slice) -> Camera:
        """The cameras of the squares of some rows."""
        camera = camera_of(motion, rows, self.resting)
        if self.canvas.is_square:
            return camera
        start = torch.as_tensor(self.moves(motion, rows) / self.canvas.side, dtype=torch.float32)
        return camera.cropped(torch.cat([start, start + 1], dim=1))

    def choices(self, motion: Motion, rows: slice) -> list[Choice] | None:
        """The filmed frames of some rows."""
        chooser, frames = self.portrait.chooser, range(len(motion.expression))[rows]
        if self.live is not None:
            return [self.live(motion.faces(slice(frame, frame + 1))) for frame in frames]
        if chooser is None or motion.references is None:
            return None
        return [chooser.choice(motion.references, frame, motion.faces()) for frame in frames]

    def moves(self, motion: Motion, rows: slice) -> np.ndarray:
        """int [B,2] px to the right and down by which the square follows the head's origin from its place at rest."""
        lens = camera_of(motion, rows, self.resting).intrinsics.double().cpu().numpy()
        poses, origin = motion.world_from_camera[rows], np.zeros((1, 3))
        rest = np.broadcast_to(self.resting.world_from_camera.double().cpu().numpy(), poses.shape)
        moved = project(poses, lens, origin) - project(rest, lens, origin)
        return np.round(moved[:, 0, :2] * self.canvas.side).astype(int)

    def scene(self, expression: np.ndarray) -> Scene:
        """The heads of raw scores [B,E]; one head where all rows are the same."""
        if len(expression) > 1 and (expression == expression[0]).all():
            expression = expression[:1]
        last = self._resting
        if last is None or not np.array_equal(last[0], expression):
            last = self._resting = (expression.copy(), self.portrait.scene(expression))
        return last[1]

    def layers(self, head: np.ndarray, motion: Motion, index: int) -> Layers:
        """One frame's: its head [side,side,4] and what is behind it."""
        head = head if self.still is None else self.still(head, jaw_opened(self.avatar, motion.expression[index]))
        behind = self.background.at(index) if isinstance(self.background, Backdrop) else self.background
        torso = None if self.torso is None else self.torso.placed(motion.torso[index])
        return Layers(generator=head[None], torso=torso, background=behind, place=self.place(motion, index))

    def place(self, motion: Motion, index: int) -> Place | None:
        """Where the square lies in the canvas; None where it is the canvas."""
        if self.canvas.is_square:
            return None
        x, y = self.moves(motion, slice(index, index + 1))[0].tolist()
        return self.canvas.x + x, self.canvas.y + y

    def with_still_layer(self, motion: Motion) -> "Painter":
        """This painter with hair, ears and neck painted once: from the camera of the first row, at rest."""
        rest = self.at_rest(motion)
        factor = 1.0 if motion.zoom is None else float(motion.zoom[0])
        lens = self.resting.intrinsics[0].double().cpu().numpy() * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
        expected = project(motion.world_from_camera[0], lens, self.avatar.prior_landmarks)[:, :2]
        head = self.heads(rest, slice(0, 1))[0]
        return replace(self, still=still_around(head, face_in(head, expected)), _resting=None)

    def at_rest(self, motion: Motion) -> Motion:
        """One row: the resting face, seen by the camera of the first row."""
        first = replace(
            motion, expression=self.avatar.neutral[None], world_from_camera=motion.world_from_camera[:1],
            zoom=None if motion.zoom is None else motion.zoom[:1], openings=None,
        )  # fmt: skip
        return replace(first, references=plan_of(self.portrait, first.faces()))

    @property
    def resting(self) -> Camera:
        return self.avatar.frontal if self.camera is None else self.camera

    @property
    def avatar(self) -> Avatar:
        return self.portrait.avatar


def portrait_of(avatar: Avatar, settings: DriveSettings) -> Portrait:
    """The avatar as a drive shows it."""
    compute = Compute(dtype=getattr(torch, settings.precision))
    return Portrait(avatar, correction=settings.retarget.aim, compute=compute, references=settings.references == "auto")


def plan_of(portrait: Portrait, take: Faces) -> np.ndarray | None:
    """int [T,S] filmed frames, by slot, for a take; None without any."""
    return None if portrait.chooser is None else portrait.chooser.plan(take)


def workers_for(avatar: Avatar) -> int:
    """Threads that render an avatar: one for each core that PyTorch may use, up to MOST_WORKERS; a GPU gets one."""
    on_cpu = avatar.frontal.intrinsics.device.type == "cpu"
    return min(torch.get_num_threads(), MOST_WORKERS) if on_cpu else 1


@contextmanager
def shared_cores(workers: int) -> Iterator[Callable[[], None]]:
    """What each of `workers` threads calls first: it takes its share of the cores that PyTorch may use here."""
    every = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, max(every // max(workers, 1), 1))
    finally:
        torch.set_num_threads(every)  # threads that begin from now on


def camera_of(motion: Motion, rows: slice, frontal: Camera) -> Camera:
    """The cameras of some rows: their poses, and the frontal camera's lens, zoomed."""
    device = frontal.intrinsics.device
    poses = torch.as_tensor(motion.world_from_camera[rows], dtype=torch.float32, device=device)
    intrinsics = frontal.intrinsics.expand(len(poses), 3, 3).clone()
    if motion.zoom is not None:
        factor = torch.as_tensor(motion.zoom[rows], dtype=torch.float32, device=device)
        intrinsics[:, 0, 0], intrinsics[:, 1, 1] = intrinsics[:, 0, 0] * factor, intrinsics[:, 1, 1] * factor
    return Camera(world_from_camera=poses, intrinsics=intrinsics)


def jaw_opened(avatar: Avatar, expression: np.ndarray) -> float:
    """How far an expression [E] opens the jaw beyond rest, half as far again and a little: 0.4 beyond gives 0.7, 1 is wide."""
    jaw = avatar.names.index("jawOpen")
    return float(np.clip(1.5 * (expression[jaw] - avatar.neutral[jaw]) + 0.1, 0.1, 1.0))
