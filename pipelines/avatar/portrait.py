"""How an avatar is shown: head over torso over background, all premultiplied."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.camera import Camera
from models.compute_mode import Compute
from models.rendering.sampling import Sampling
from pipelines.artifacts.avatar import Avatar
from pipelines.avatar.background import Backdrop
from pipelines.avatar.still_layer import Calm, calm_around, face_seen
from pipelines.avatar.torso import Torso, project

FAINT = 0.06


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What is shown, a row a frame of the output."""

    expression: np.ndarray
    """[T,E] raw scores of the avatar's space."""
    world_from_camera: np.ndarray
    """[T,4,4]"""
    torso: np.ndarray
    """[T,3] motion of the layer, see pipelines.avatar.torso.follow."""
    zoom: np.ndarray | None = None
    """[T] focal length over the frontal camera's; None: 1."""


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Motion rows -> finished pictures of one size; holds nothing that depends on what it painted before."""

    avatar: Avatar
    size: int
    background: np.ndarray | Backdrop
    torso: Torso | None
    batch: int
    precision: str = "float32"
    calm: Calm | None = None
    """What stands still in front of a camera that stands still."""

    def paint(self, motion: Motion, first: int, last: int) -> Iterator[np.ndarray]:
        """uint8 [size,size,3], or [size,size,4] straight alpha over a transparent background, for frames first..last-1."""
        for start in range(first, last, self.batch):
            rows = slice(start, min(start + self.batch, last))
            for index, head in enumerate(self.heads(motion, rows), start):
                shown = head if self.calm is None else self.calm(head, jaw_opened(self.avatar, motion.expression[index]))
                yield to_bytes(over(shown, self.behind(motion.torso[index], index)), self.opaque)

    @property
    def opaque(self) -> bool:
        return isinstance(self.background, Backdrop) or bool((self.background[..., 3] == 1).all())

    @torch.inference_mode()
    def heads(self, motion: Motion, rows: slice) -> list[np.ndarray]:
        """float32 [size,size,4] premultiplied heads."""
        frontal, device = self.avatar.frontal, self.avatar.frontal.intrinsics.device
        poses = torch.as_tensor(motion.world_from_camera[rows], dtype=torch.float32, device=device)
        intrinsics = frontal.intrinsics.expand(len(poses), 3, 3).clone()
        if motion.zoom is not None:
            factor = torch.as_tensor(motion.zoom[rows], dtype=torch.float32, device=device)
            intrinsics[:, 0, 0], intrinsics[:, 1, 1] = intrinsics[:, 0, 0] * factor, intrinsics[:, 1, 1] * factor
        camera = Camera(world_from_camera=poses, intrinsics=intrinsics)
        expression = torch.as_tensor(motion.expression[rows], dtype=torch.float32, device=device)
        ws = self.avatar.expression_map(expression)
        compute = Compute(dtype=getattr(torch, self.precision))
        rendering = self.avatar.generator.synthesis(ws, camera, sampling=sampling_of(self.avatar), compute=compute)
        color = ((rendering.image + 1) / 2).permute(0, 2, 3, 1).cpu().numpy()
        alpha = rendering.alpha.permute(0, 2, 3, 1).cpu().numpy()
        return [enlarged(*pair, self.size) for pair in zip(color, alpha, strict=True)]

    def calmed(self, motion: Motion) -> "Painter":
        """This painter with hair, ears and neck painted once: from the camera of the first row, at rest."""
        rest = replace(motion, expression=np.tile(self.avatar.neutral, (len(motion.expression), 1)))
        factor = 1.0 if motion.zoom is None else float(motion.zoom[0])
        lens = self.avatar.frontal.intrinsics[0].double().cpu().numpy() * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
        expected = project(motion.world_from_camera[0], lens, self.avatar.prior_landmarks)[:, :2]
        head = self.heads(rest, slice(0, 1))[0]
        return replace(self, calm=calm_around(head, face_seen(head, expected)))

    def behind(self, moved: np.ndarray, index: int) -> np.ndarray:
        back = self.background.at(index) if isinstance(self.background, Backdrop) else self.background
        return back if self.torso is None else over(self.torso.placed(moved), back)


def jaw_opened(avatar: Avatar, expression: np.ndarray) -> float:
    """How far an expression [E] opens the jaw beyond rest, half as far again and a little: 0.4 beyond gives 0.7, 1 is wide."""
    jaw = avatar.names.index("jawOpen")
    return float(np.clip(1.5 * (expression[jaw] - avatar.neutral[jaw]) + 0.1, 0.1, 1.0))


def sampling_of(avatar: Avatar) -> Sampling | None:
    """As many samples a ray as the avatar was trained with, at interval centers so that nothing flickers."""
    counts = avatar.record.get("sampling")
    return Sampling(coarse=counts["coarse"], fine=counts["fine"]) if counts else None


def enlarged(color: np.ndarray, alpha: np.ndarray, size: int) -> np.ndarray:
    """[size,size,4] of premultiplied color [h,w,3] (Lanczos) and alpha [h',w',1] (bilinear), both within 0..1.

    No color exceeds the alpha it was multiplied by: traces of super-resolution beside the head do not tint the background.
    """
    import cv2

    shrink = len(color) > size
    sized = color if len(color) == size else cv2.resize(color, (size, size), interpolation=cv2.INTER_AREA if shrink else 4)
    soft = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR)
    soft = np.clip(soft, 0.0, 1.0)[..., None]
    return np.concatenate([np.clip(sized, 0.0, soft), soft], axis=2)


def over(front: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Premultiplied `front` over `behind`, [H,W,4]."""
    return front + (1.0 - front[..., 3:]) * behind


def to_bytes(picture: np.ndarray, opaque: bool) -> np.ndarray:
    """uint8 RGB of an opaque premultiplied picture, else RGBA with straight alpha."""
    if opaque:
        return np.round(np.clip(picture[..., :3], 0, 1) * 255).astype(np.uint8)
    return np.round(np.clip(np.dstack([straight(picture), picture[..., 3]]), 0, 1) * 255).astype(np.uint8)


def straight(picture: np.ndarray) -> np.ndarray:
    """[H,W,3] colors of a premultiplied [H,W,4].

    Where hardly anything is there (alpha below FAINT) they fade to those of the surroundings: noise divided by almost nothing
    would be garish, and lossy video smears such colors into the edge.
    """
    import cv2

    own = picture[..., :3] / np.maximum(picture[..., 3:], 1e-4)
    around = cv2.GaussianBlur(picture, (0, 0), max(1.0, 0.03 * len(picture)))
    share = np.clip(2 * picture[..., 3:] / FAINT - 1, 0.0, 1.0)
    return share * own + (1 - share) * around[..., :3] / np.maximum(around[..., 3:], 1e-2)
