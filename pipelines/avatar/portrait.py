"""The door to every picture of an avatar: an expression becomes a scene, a scene and a camera become layers.

Drive, live, evaluation, training's figures, examples and the Python API all show an avatar through here, so all of them sample
its rays as its training did, correct its latents alike, and agree on every pixel. A scene holds no camera: who orbits keeps it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.generator import Animator, Control, Generator, RenderSettings, Scene, rendered
from models.rendering.sampling import Sampling
from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.dataset import GRAY
from pipelines.avatar.latent_correction import CORRECTION_STRENGTH, corrected
from pipelines.avatar.layers import Layers, resized
from pipelines.avatar.references.bank import load_bank
from pipelines.avatar.references.choice import Choice, Chooser
from pipelines.avatar.references.distance import Faces
from pipelines.avatar.references.fusion import Fusion
from pipelines.avatar.references.regions import region_masks
from pipelines.geometry.rigid import rotations
from pipelines.media.pixels import colors

STRIDE = 2
"""Of the rays' first pass; 4 loses ears and glasses' temples between blocks."""
Views = list[tuple[np.ndarray, np.ndarray]]
"""Premultiplied colors [S,S,3] and alphas [s,s,1] of a generator."""


class Portrait:
    """An avatar, ready to be shown."""

    def __init__(
        self, avatar: Avatar, *, correction: float = CORRECTION_STRENGTH, compute: Compute = EXACT, references: bool = True
    ) -> None:
        """`correction` is the share of the latent correction that is applied; UnusableMaterial when its pairs are broken.

        Without `references` the person's filmed frames are left out.
        """
        self.avatar, self.compute, self.with_references = avatar, compute, references
        self._fusions: dict[int, Fusion] = {}
        self.animator: Animator = corrected(avatar, correction)
        self.how = RenderSettings(sampling=sampling_of(avatar), compute=compute)

    @torch.inference_mode()
    def control(self, expression: np.ndarray | Tensor, head_pose: np.ndarray | Tensor | None = None) -> Control:
        """What raw scores [B,E] in the avatar's space, and poses of the head [B,4,4], ask of the generator."""
        scores, pose = self._tensor(expression), None if head_pose is None else self._tensor(head_pose)
        return self.animator.control(scores, pose)

    @torch.inference_mode()
    def prepare(self, control: Control) -> Scene:
        """The heads of a control, which may come with a light or latents of its own."""
        return self.avatar.generator.prepare(control, compute=self.compute)

    def scene(self, expression: np.ndarray | Tensor, head_pose: np.ndarray | Tensor | None = None) -> Scene:
        """The heads of raw scores [B,E]; a scene serves any number of cameras."""
        return self.prepare(self.control(expression, head_pose))

    @torch.inference_mode()
    def render(
        self, scene: Scene, camera: Camera, *, size: int | None = None, background: np.ndarray | None = None,
        torso: np.ndarray | None = None, choices: Sequence[Choice] | None = None,
    ) -> Layers:  # fmt: skip
        """The scene's B heads as B cameras see them, `size` pixels a side (None: the generator's own).

        `background` and `torso` are premultiplied layers [size,size,4] or [B,size,size,4]; None: transparent, and none.
        `choices` are the filmed frames of each picture, see `choices`; None: the render alone.
        """
        references, share = None, None
        views = self.views(scene, camera)
        if choices is not None:
            references, share = self.references(views, camera, choices, size)
        return Layers(
            generator=views_at(views, size or self.avatar.image_size), references=references, share=share, torso=torso,
            background=background,
        )  # fmt: skip

    @torch.inference_mode()
    def views(self, scene: Scene, camera: Camera) -> Views:
        """The generator's pictures as they are: premultiplied colors and alphas of B heads, each at its own size."""
        rendering = self.avatar.generator.render(scene, camera.to(self.device), self.how)
        return list(zip(colors(rendering.image), rendering.alpha.permute(0, 2, 3, 1).cpu().numpy(), strict=True))

    @cached_property
    def chooser(self) -> Chooser | None:
        """Chooses among the avatar's filmed frames; None where it has none, or they are left out."""
        bank = load_bank(self.avatar.folder) if self.with_references else None
        return None if bank is None else Chooser(bank=bank, names=self.avatar.names)

    def choices(self, take: Faces) -> list[Choice] | None:
        """The filmed frames for every frame of a take; None without any."""
        return None if self.chooser is None else self.chooser.choices(take)

    def references(
        self, views: Views, camera: Camera, choices: Sequence[Choice], size: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The heads of B views, made of the filmed frames of B choices: [B,size,size,4] premultiplied, and their shares."""
        fuse, small = self._fusion(size or self.avatar.image_size), self.avatar.image_size
        poses, lenses = (part.double().cpu().numpy() for part in (camera.world_from_camera, camera.intrinsics))
        masks = [region_masks(self.avatar.prior_landmarks, *at, small) for at in zip(poses, lenses, strict=True)]
        parts = [fuse(*one) for one in zip(views_at(views, small), choices, masks, strict=True)]
        return np.stack([head for head, _ in parts]), np.stack([share for _, share in parts])

    def _fusion(self, size: int) -> Fusion:
        assert self.chooser is not None, "choices come from the chooser"
        if size not in self._fusions:
            self._fusions[size] = Fusion(bank=self.chooser.bank, size=size)
        return self._fusions[size]

    def _tensor(self, values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    @property
    def device(self) -> torch.device:
        return self.avatar.frontal.intrinsics.device


def views_at(views: Views, size: int) -> np.ndarray:
    """float32 [B,size,size,4] premultiplied."""
    return np.stack([resized(color, alpha, size) for color, alpha in views])


def turned(frontal: Camera, yaw_deg: float, pitch_deg: float) -> Camera:
    """The frontal camera moved around the head, to the person's left and up."""
    yaw, pitch = rotations(np.radians([[0.0, yaw_deg, 0.0], [-pitch_deg, 0.0, 0.0]]))
    turn = np.eye(4)
    turn[:3, :3] = yaw @ pitch
    pose = torch.as_tensor(turn).to(frontal.world_from_camera) @ frontal.world_from_camera
    return Camera(world_from_camera=pose, intrinsics=frontal.intrinsics)


def sampling_of(avatar: Avatar) -> Sampling:
    """As many samples a ray as the avatar was trained with, at interval centers so that nothing flickers.

    Neighboring rays share their first pass (models.rendering.pictures).
    """
    counts = avatar.record.sampling
    plain = Sampling(coarse=counts.coarse, fine=counts.fine) if counts else avatar.generator.config.sampling()
    return replace(plain, stride=STRIDE)


def gray(size: int) -> np.ndarray:
    """float32 [size,size,4]: opaque mid gray, which evaluation lies over."""
    return np.full((size, size, 4), ((GRAY + 1) / 2,) * 3 + (1.0,), np.float32)


@torch.no_grad()
def over_gray(generator: Generator, ws: Tensor, camera: Camera, sampling: Sampling | None) -> np.ndarray:
    """float32 [B,S,S,3] in 0..1: a generator that is no avatar yet, over mid gray as training compares it with frames."""
    background = torch.full((1, 3, 1, 1), GRAY, device=ws.device)
    how = RenderSettings(sampling=sampling, background=background)
    return colors(rendered(generator, Control(ws=ws), camera, how).image).clip(0, 1)
