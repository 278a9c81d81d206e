"""The door to every picture of an avatar: an expression becomes a scene, a scene and a camera become layers.

Drive, live, evaluation, training's figures, examples and the Python API all show an avatar through here, so all of them sample
its rays as its training did, correct its latents alike, and agree on every pixel. A scene holds no camera: who orbits keeps it.
"""

import numpy as np
import torch
from torch import Tensor

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.generator import Control, Generator, RenderSettings, Scene, rendered
from models.rendering.sampling import Sampling
from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.dataset import GRAY
from pipelines.avatar.latent_correction import CORRECTION_STRENGTH, corrected
from pipelines.avatar.layers import Layers, resized
from pipelines.media.pixels import colors


class Portrait:
    """An avatar, ready to be shown."""

    def __init__(self, avatar: Avatar, *, correction: float = CORRECTION_STRENGTH, compute: Compute = EXACT) -> None:
        """`correction` is the share of the latent correction that is applied; UnusableMaterial when its pairs are broken."""
        self.avatar, self.compute = avatar, compute
        self.expression_map = corrected(avatar, correction)
        self.how = RenderSettings(sampling=sampling_of(avatar), compute=compute)

    @torch.inference_mode()
    def scene(self, expression: np.ndarray | Tensor) -> Scene:
        """The heads of raw scores [B,E] in the avatar's space; serves any number of cameras."""
        scores = torch.as_tensor(expression, dtype=torch.float32, device=self.device)
        return self.avatar.generator.prepare(Control(ws=self.expression_map(scores)), compute=self.compute)

    @torch.inference_mode()
    def render(self, scene: Scene, camera: Camera, *, size: int | None = None, background: np.ndarray | None = None) -> Layers:
        """The scene's B heads as B cameras see them, `size` pixels a side (None: the generator's own).

        `background` is a premultiplied layer [size,size,4] or [B,size,size,4]; None: transparent.
        """
        shown = self.avatar.generator.render(scene, camera.to(self.device), self.how)
        pairs = zip(colors(shown.image), shown.alpha.permute(0, 2, 3, 1).cpu().numpy(), strict=True)
        heads = [resized(color, alpha, size or self.avatar.image_size) for color, alpha in pairs]
        return Layers(generator=np.stack(heads), background=background)

    @property
    def device(self) -> torch.device:
        return self.avatar.frontal.intrinsics.device


def sampling_of(avatar: Avatar) -> Sampling | None:
    """As many samples a ray as the avatar was trained with, at interval centers so that nothing flickers."""
    counts = avatar.record.sampling
    return Sampling(coarse=counts.coarse, fine=counts.fine) if counts else None


def gray(size: int) -> np.ndarray:
    """float32 [size,size,4]: opaque mid gray, which evaluation lies over."""
    return np.full((size, size, 4), ((GRAY + 1) / 2,) * 3 + (1.0,), np.float32)


@torch.no_grad()
def over_gray(generator: Generator, ws: Tensor, camera: Camera, sampling: Sampling | None) -> np.ndarray:
    """float32 [B,S,S,3] in 0..1: a generator that is no avatar yet, over mid gray as training compares it with frames."""
    background = torch.full((1, 3, 1, 1), GRAY, device=ws.device)
    how = RenderSettings(sampling=sampling, background=background)
    return colors(rendered(generator, Control(ws=ws), camera, how).image).clip(0, 1)
