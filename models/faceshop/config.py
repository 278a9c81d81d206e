"""The configurations of 3DFaceShop's generator (arXiv 2209.05434; spec 2 and 4)."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from models.rendering.sampling import Jitter, Limits, Sampling, Volume
from models.volumes.config_checks import check_volume_config

Block = Literal["noise", "identity", "expression", "light"]
Matte = Literal["soft", "hard"]
"""How the background leaves a picture: by its probability, or where it is the likeliest class or the density is faint."""


@dataclass(frozen=True, kw_only=True)
class FaceShopConfig:
    """Everything that determines the shapes and the formula of a generator; defaults are the published model's.

    Fields that EG3DConfig has too mean the same.
    """

    noise_dim: int = 128
    """What no coefficient says: hair, clothes, background."""
    shape_dim: int = 80
    albedo_dim: int = 80
    expression_dim: int = 64
    light_dim: int = 27
    """Three channels times nine spherical harmonics."""
    shape_scale: float = 4.2
    """A coefficient over its scale enters the network; these belong to the face model and its data."""
    albedo_scale: float = 9.0
    expression_scale: float = 4.0
    light_scale: float = 0.85
    normalize_codes: bool = True
    """All numbers of z share one length, as officially: a wide smile shrinks the noise and the identity. False: only the noise
    has a fixed length."""
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    plane_resolution: int = 256
    plane_channels: int = 32
    plane_axes: str = "faceshop"
    decoder_hidden: int = 64
    decoder_features: int = 32
    classes: int = 19
    """Of CelebAMask-HQ, in its order; the first is the background."""
    image_size: int = 512
    neural_rendering_resolution: int = 128
    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    ray_start: float | Literal["auto"] = 0.88
    """Head units, which here are meters; `auto` for both limits: where the ray is in the box."""
    ray_end: float | Literal["auto"] = 1.12
    box_warp: float = 0.37
    c_gen_conditioning_zero: bool = False
    """The mapping network sees the frontal pose whatever the camera; True for a person."""
    matte: Matte = "soft"
    superresolution: str = "8XDC"
    """A name of models.networks.superresolution.VARIANTS, of which only the number of doublings counts."""
    superresolution_channels: tuple[int, int] | None = None
    """Channels of its two blocks; None: the official 64 and 64."""
    sr_antialias: bool = True
    discriminator_channel_max: int | None = None
    discriminator_channel_base: int | None = None
    disc_c_noise: float = 0.0
    discriminator_group: int = 4
    """Images of a batch that are compared; officially 1, which compares nothing."""

    def __post_init__(self) -> None:
        if self.superresolution_channels is not None:
            object.__setattr__(self, "superresolution_channels", tuple(self.superresolution_channels))
        if self.light_dim % 9:
            raise ValueError(f"light_dim {self.light_dim} is no multiple of the nine spherical harmonics")
        check_volume_config(self)

    @property
    def blocks(self) -> dict[Block, slice]:
        """Where each part of z lies."""
        sizes: dict[Block, int] = {
            "noise": self.noise_dim, "identity": self.shape_dim + self.albedo_dim, "expression": self.expression_dim,
            "light": self.light_dim,
        }  # fmt: skip
        return {
            name: slice(end - size, end) for (name, size), end in zip(sizes.items(), accumulate(sizes.values()), strict=True)
        }

    @property
    def z_dim(self) -> int:
        return self.blocks["light"].stop

    def sampling(self, jitter: Jitter = "mid") -> Sampling:
        """As many samples as the config says."""
        return Sampling(coarse=self.depth_resolution, fine=self.depth_resolution_importance, jitter=jitter)

    @property
    def box_size(self) -> float:
        """Side of the cube that is marched, in head units."""
        return self.box_warp

    @property
    def volume(self) -> Volume:
        limits: Limits = "box" if self.ray_start == "auto" or self.ray_end == "auto" else (self.ray_start, self.ray_end)
        return Volume(box_size=self.box_warp, limits=limits, rule="nerf")


FACESHOP512 = FaceShopConfig()
"""The paper's: 512x512 from 128x128 rays."""

FACESHOP_SMALL = FaceShopConfig(
    noise_dim=32, shape_dim=40, albedo_dim=3, expression_dim=53, shape_scale=2.5, albedo_scale=2.5, expression_scale=1.0,
    normalize_codes=False, w_dim=128, mapping_layers=4, channel_base=2048, channel_max=64, plane_resolution=128,
    plane_channels=16, decoder_hidden=32, decoder_features=16, image_size=128, neural_rendering_resolution=64,
    ray_start="auto", ray_end="auto", box_warp=1.0, depth_resolution=12,
    depth_resolution_importance=12, superresolution="2X", superresolution_channels=(32, 16), discriminator_channel_max=48,
)  # fmt: skip
"""Ours for a CPU: 128x128 from 64x64 rays, with the blocks of ICT-FaceKit's light model, in the units of synthetic people."""

FACESHOP_UNIT = FaceShopConfig(
    noise_dim=4, shape_dim=3, albedo_dim=1, expression_dim=4, w_dim=8, mapping_layers=2, channel_base=128,
    channel_max=8, plane_resolution=32, plane_channels=4, decoder_hidden=8, decoder_features=4, image_size=32,
    neural_rendering_resolution=16, depth_resolution=6, depth_resolution_importance=6, ray_start="auto", ray_end="auto",
    box_warp=1.0, superresolution="2X", superresolution_channels=(8, 4),
)  # fmt: skip
"""For tests: the structure of the published network with a few thousand parameters."""
