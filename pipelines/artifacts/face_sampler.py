"""What draws likely faces, expressions and lights: a folder of VAEs over a face model's coefficients, made by `prior faces`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from msgspec import Meta, Struct
from torch import Tensor

from models.networks.vae_gan import CoefficientVAE
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import sha256_file
from pipelines.core.records import read_record

RECORD, WEIGHTS = "faces.json", "faces.safetensors"
MADE_BY = "avatarcli prior faces"
Size = Annotated[int, Meta(ge=1, le=4096)]


class PartRecord(Struct, frozen=True, kw_only=True):
    """The VAE of one part."""

    size: Size
    latent: Size
    width: Size
    bounded: bool
    scale: Annotated[float, Meta(gt=0, le=1e6)]
    """The network's numbers times this are coefficients."""


class FacesRecord(Struct, frozen=True, kw_only=True):
    """faces.json."""

    schema: Annotated[int, Meta(ge=1, le=1)]
    parts: dict[str, PartRecord]
    weights_sha256: str
    license: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A VAE in evaluation mode and its unit."""

    vae: CoefficientVAE
    scale: float


@dataclass(frozen=True, kw_only=True)
class FaceSampler:
    """VAEs by the part they draw: shape, albedo, expression, light."""

    parts: dict[str, Part]

    def sample(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        """Coefficients [count,K] of each part, in the face model's units."""
        return {name: part.scale * part.vae.sample(count, random) for name, part in self.parts.items()}


def load_face_sampler(folder: Path) -> FaceSampler:
    """The sampler in a folder; UnusableMaterial when it is missing, changed or incomplete."""
    from safetensors.torch import load_file

    record = read_record(folder / RECORD, FacesRecord, MADE_BY)
    path = folder / WEIGHTS
    if not path.is_file() or sha256_file(path) != record.weights_sha256:
        raise UnusableMaterial(f"{path} does not have the sha256 its {RECORD} names. Make it again with `{MADE_BY}`.")
    state = load_file(path)
    return FaceSampler(parts={name: _part(name, one, state, path) for name, one in record.parts.items()})


def _part(name: str, record: PartRecord, state: dict[str, Tensor], path: Path) -> Part:
    vae = CoefficientVAE(record.size, latent=record.latent, width=record.width, bounded=record.bounded)
    own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    try:
        vae.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise UnusableMaterial(f"{path} does not hold the network for {name} that its {RECORD} describes.") from error
    return Part(vae=vae.eval().requires_grad_(False), scale=record.scale)
