"""Augmentation in front of the discriminator, so that few images do not wear it out (ADA, arXiv 2006.06676; spec 1.15).

Notable choices:
- image and raw image get the same map and the same colors, else the discriminator would see that they disagree; labels stay;
- what is accumulated is the inverse map, from output to source, as a warp needs it;
- the maps and matrices are plain formulas of the drawn numbers, so a test can check each; `warping` moves the pixels;
- at p = 0 the images pass untouched, bit by bit; random numbers come from the caller's generator, on any device the same.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.stylegan2.resampling import resize
from models.training.warping import rotation, scaling, shifting, warp


@dataclass(frozen=True, kw_only=True)
class Operations:
    """How often each operation happens: this number times p. 1 is the release's choice; off here as there: noise, filters."""

    flip: float = 1.0
    """Left to right, every other time it happens."""
    turn: float = 1.0
    """By 0, 90, 180 or 270 degrees."""
    shift: float = 1.0
    """By whole pixels, up to an eighth of the image."""
    scale: float = 1.0
    """By 2^N(0, 0.2)."""
    rotation: float = 1.0
    """By any angle, before the stretch, after it, or both."""
    stretch: float = 1.0
    """By s along x and 1/s along y, s = 2^N(0, 0.2)."""
    fraction: float = 1.0
    """Shift by N(0, 0.125) of the image."""
    brightness: float = 1.0
    """Plus N(0, 0.2)."""
    contrast: float = 1.0
    """Times 2^N(0, 0.5)."""
    luma_flip: float = 1.0
    """Light and dark exchanged, hue kept, every other time it happens."""
    hue: float = 1.0
    """Rotation about gray by any angle."""
    saturation: float = 1.0
    """Distance from gray times 2^N(0, 1)."""

    @property
    def moves(self) -> bool:
        return any((self.flip, self.turn, self.shift, self.scale, self.rotation, self.stretch, self.fraction))

    @property
    def recolors(self) -> bool:
        return any((self.brightness, self.contrast, self.luma_flip, self.hue, self.saturation))


RELEASE = Operations()
PERSON = Operations(flip=0.0, turn=0.0, luma_flip=0.0, hue=0.0)
"""Without what is never true of one person: faces are not symmetric, nobody is blue or on his head."""

TARGET = 0.6
"""Mean sign of D(real) above which there is too little augmentation."""


class Augmentation(nn.Module):
    """Augments pairs of images with probability `p`, and moves `p` where a target is given.

    `p` goes up while the discriminator is more often right about real images than the target says, else down.
    """

    p: Tensor
    signs: Tensor

    def __init__(self, operations: Operations, *, p: float = 0.0, target: float | None = None, images: float = 500_000):
        super().__init__()
        self.operations, self.target, self.images = operations, target, images
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64))
        self.register_buffer("signs", torch.zeros(3, dtype=torch.float64))

    def forward(self, image: Tensor, raw: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """image [B,3,H,H] and raw [B,3,h,h] in [-1,1], of the same sizes again; differentiable twice."""
        images = self.pictures({"image": image, "image_raw": raw}, random)
        return images["image"], images["image_raw"]

    def pictures(self, images: dict[str, Tensor], random: torch.Generator) -> dict[str, Tensor]:
        """The same of what a discriminator sees: `image`, `image_raw` and, where there is one, `image_mask` [B,1,h,h]."""
        p = float(self.p)
        if p == 0:
            return images
        image, raw, mask = images["image"], images["image_raw"], images.get("image_mask")
        size = image.shape[-1]
        wide = None if mask is None else resize(mask, size)
        both, moved = augment(torch.cat([image, resize(raw, size)], dim=1), p, random, self.operations, wide)
        result = {"image": both[:, :3], "image_raw": resize(both[:, 3:], raw.shape[-1])}
        return result if mask is None or moved is None else result | {"image_mask": resize(moved, mask.shape[-1])}

    @torch.no_grad()
    def note(self, signs: float, images: int, every: int = 4) -> None:
        """Take note of a batch of D(real): the sum of its signs and its images; every fourth batch moves p.

        The buffer `signs` holds sum, images and batches since p moved last.
        """
        if self.target is None:
            return
        self.signs += torch.tensor([signs, images, 1], dtype=torch.float64, device=self.signs.device)
        total, count, batches = self.signs.tolist()
        if batches == every:
            self.p.fill_(adjusted(float(self.p), total / count, count, self.target, self.images))
            self.signs.zero_()


def adjusted(p: float, sign: float, count: float, target: float = TARGET, images: float = 500_000) -> float:
    """p + count / images where the mean `sign` of D(real) over `count` images is above the target, p - count / images below.

    Never below 0. Four batches of 32 at 0.8: 0 becomes 128 / 500,000 = 0.000256; at 0.2 it stays 0. `images`: 500,000, where
    networks are trained already 100,000.
    """
    direction = (sign > target) - (sign < target)
    return max(p + direction * count / images, 0.0)


def augment(
    images: Tensor, p: float, random: torch.Generator, operations: Operations = RELEASE, mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """[B,3k,H,W]: every sample has its own map and its own colors, the same for its k images; a mask [B,1,H,W] has the map."""
    if operations.moves:
        maps = inverse_maps(len(images), images.shape[-2:], p, random, operations).to(images)
        images, mask = warp(images, maps), None if mask is None else warp(mask, maps)
    if operations.recolors:
        images = recolored(images, color_matrices(len(images), p, random, operations).to(images))
    return images, mask


def inverse_maps(count: int, size: tuple[int, ...], p: float, random: torch.Generator, operations: Operations) -> Tensor:
    """[count,3,3] output to source pixels, measured from the image's center; operations in the order of `Operations`.

    Both rotations have probability 1 - sqrt(1 - p), so that one of them happens with probability p.
    """
    draw, (height, width) = _Draw(count, random), size
    rotates = 1 - math.sqrt(max(1 - operations.rotation * p, 0.0))
    flip = draw.sometimes(operations.flip * p, 1 - 2 * draw.choice(2), 1.0)
    angle = draw.sometimes(operations.turn * p, draw.choice(4) * (math.pi / 2), 0.0)
    whole = [draw.uniform() for _ in range(2)]
    whole = draw.together(operations.shift * p, [(0.125 * w * u).round() for w, u in zip((width, height), whole, strict=True)])
    scale = draw.sometimes(operations.scale * p, torch.exp2(0.2 * draw.normal()), 1.0)
    before = draw.sometimes(rotates, math.pi * draw.uniform(), 0.0)
    stretch = draw.sometimes(operations.stretch * p, torch.exp2(0.2 * draw.normal()), 1.0)
    after = draw.sometimes(rotates, math.pi * draw.uniform(), 0.0)
    part = draw.together(operations.fraction * p, [0.125 * w * draw.normal() for w in (width, height)])
    steps = (
        scaling(1 / flip, torch.ones(count)), rotation(-angle), shifting(-whole[0], -whole[1]), scaling(1 / scale, 1 / scale),
        rotation(-before), scaling(1 / stretch, stretch), rotation(-after), shifting(-part[0], -part[1]),
    )  # fmt: skip
    inverse = torch.eye(3).expand(count, 3, 3)
    for step in steps:
        inverse = inverse @ step
    return inverse


GRAY = torch.full((3,), 1 / math.sqrt(3))
"""The direction in which red, green and blue are the same."""


def color_matrices(count: int, p: float, random: torch.Generator, operations: Operations) -> Tensor:
    """[count,4,4] on (red, green, blue, 1), operations in the order of `Operations`."""
    draw = _Draw(count, random)
    brightness = draw.sometimes(operations.brightness * p, 0.2 * draw.normal(), 0.0)
    contrast = draw.sometimes(operations.contrast * p, torch.exp2(0.5 * draw.normal()), 1.0)
    flip = draw.sometimes(operations.luma_flip * p, draw.choice(2), 0.0)
    hue = draw.sometimes(operations.hue * p, math.pi * draw.uniform(), 0.0)
    saturation = draw.sometimes(operations.saturation * p, torch.exp2(draw.normal()), 1.0)
    matrix = torch.eye(4).repeat(count, 1, 1)
    matrix[:, :3, 3] = brightness[:, None]
    for step in (contrasting(contrast), luma_flipping(flip), hue_rotation(hue), saturating(saturation)):
        matrix = _homogeneous(step) @ matrix
    return matrix


def contrasting(factor: Tensor) -> Tensor:
    """[B,3,3] factor * I"""
    return factor[:, None, None] * torch.eye(3)


def luma_flipping(flip: Tensor) -> Tensor:
    """[B,3,3] I - 2 g g^T where flip is 1 (Householder): (0.3, 0.3, 0.3) becomes (-0.3, -0.3, -0.3)."""
    return torch.eye(3) - 2 * flip[:, None, None] * torch.outer(GRAY, GRAY)


def hue_rotation(angle: Tensor) -> Tensor:
    """[B,3,3] cos a I + sin a [g]x + (1 - cos a) g g^T (Rodrigues): 120 degrees make red green, green blue, blue red."""
    a = angle[:, None, None]
    cross = torch.linalg.cross(GRAY.expand(3, 3), torch.eye(3)).mT
    return a.cos() * torch.eye(3) + a.sin() * cross + (1 - a.cos()) * torch.outer(GRAY, GRAY)


def saturating(factor: Tensor) -> Tensor:
    """[B,3,3] g g^T + factor (I - g g^T): 0 leaves gray, (0.9, 0, 0) becomes (0.3, 0.3, 0.3)."""
    gray = torch.outer(GRAY, GRAY)
    return gray + factor[:, None, None] * (torch.eye(3) - gray)


def _homogeneous(matrix: Tensor) -> Tensor:
    whole = torch.eye(4).repeat(len(matrix), 1, 1)
    whole[:, :3, :3] = matrix
    return whole


def recolored(images: Tensor, matrices: Tensor) -> Tensor:
    """[B,3k,H,W]: the colors of each of the k images of a sample by its matrix [4,4]."""
    colors = images.unflatten(1, (-1, 3))
    moved = torch.einsum("bij,bkjhw->bkihw", matrices[:, :3, :3], colors) + matrices[:, None, :3, 3, None, None]
    return moved.flatten(1, 2)


class _Draw:
    """Random numbers [count], always as many, whatever happens to them."""

    def __init__(self, count: int, random: torch.Generator):
        self.count, self.random = count, random

    def uniform(self) -> Tensor:
        """-1..1"""
        return 2 * torch.rand(self.count, generator=self.random) - 1

    def normal(self) -> Tensor:
        return torch.randn(self.count, generator=self.random)

    def choice(self, of: int) -> Tensor:
        """0 to of - 1"""
        return torch.randint(of, (self.count,), generator=self.random).float()

    def sometimes(self, rate: float, value: Tensor, otherwise: float) -> Tensor:
        return torch.where(torch.rand(self.count, generator=self.random) < rate, value, otherwise)

    def together(self, rate: float, values: list[Tensor]) -> list[Tensor]:
        """Several values or zeros, by one coin a sample."""
        coin = torch.rand(self.count, generator=self.random) < rate
        return [torch.where(coin, value, 0.0) for value in values]
