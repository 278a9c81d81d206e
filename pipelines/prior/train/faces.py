"""Learns which faces, expressions and lights are likely: a VAE-GAN for each part of a face model's coefficients (3DFaceShop,
arXiv 2209.05434, section 4.1).

The data are an .npz of arrays `shape`, `albedo`, `expression` and `light` with a row a face, as a regressor measured them, or
shards of synthetic people, whose coefficients are exact.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.heads.lighting import AMBIENT
from models.networks.vae_gan import BATCH, CoefficientVAE, Players
from pipelines.artifacts.face_sampler import RECORD, WEIGHTS
from pipelines.assets.registry import UNKNOWN
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import mismatch, read_arrays, sha256_file, write_bytes, write_json
from pipelines.core.stage import Progress, Report, run_stage
from pipelines.engine.keyed_random import keyed
from pipelines.prior.people.shards import read_shard, shard_paths

VERSION = 1
NETWORKS = {"shape": (128, 512), "albedo": (128, 512), "expression": (32, 256), "light": (16, 128)}
"""Part -> size of the latent code and width of the layers."""
ARRAYS = {"shape": "float [A,B]", "albedo": "float [C,D]", "expression": "float [E,F]", "light": "float [G,27]"}
SHARE = 0.99
"""A coefficient of this quantile is 1 for the networks."""
LIGHT = (1.0, -(3**-0.5), 3**-0.5, -(3**-0.5), 8**-0.5, -(8**-0.5), 8**-0.5, -(8**-0.5), 8**-0.5)
"""What a coefficient of the shards' light is in the face model's basis, band by band."""


@dataclass(frozen=True, kw_only=True)
class FacesSettings:
    """Training of the networks that draw coefficients."""

    steps: int = 20_000
    """Batches of 128 for each part; the paper's are 14,000 to 20,000."""
    shapes: int | None = None
    """Shape coefficients that are kept, the first ones; none: all in the data."""
    license: str = UNKNOWN
    """Of the data, and so of the networks."""
    seed: int = 0
    """Of every random choice."""


def train_faces(
    data: Path, out: Path, settings: FacesSettings, progress: Progress, *, overwrite: bool = False
) -> Report:  # fmt: skip
    """Make the folder `out` that `load_face_sampler` reads."""

    def work(partial: Path) -> dict[str, Any]:
        parts = coefficients(data, settings.shapes)
        states, records, figures = {}, {}, {}
        with progress.task("faces", len(parts) * settings.steps) as task:
            for name, values in parts.items():
                vae, scale = fitted(name, torch.from_numpy(values), settings, task.advance)
                states |= {f"{name}.{key}": value.contiguous() for key, value in vae.state_dict().items()}
                records[name] = {"size": vae.size, "latent": vae.latent, "width": NETWORKS[name][1], "bounded": vae.bounded,
                                 "scale": scale}  # fmt: skip
                figures |= {f"{name}_{key}": value for key, value in quality(vae, scale, torch.from_numpy(values)).items()}
        write(partial, states, records, settings.license)
        return {"faces": {name: len(values) for name, values in parts.items()}, **figures}

    return run_stage(
        "prior faces", version=VERSION, inputs={"data": data}, settings=asdict(settings), out=out, work=work,
        overwrite=overwrite,
    )  # fmt: skip


def write(folder: Path, states: dict[str, Tensor], records: dict[str, Any], license: str) -> None:
    """Weights and record."""
    from safetensors.torch import save

    write_bytes(folder / WEIGHTS, save(states))
    digest = sha256_file(folder / WEIGHTS)
    write_json(folder / RECORD, {"schema": 1, "parts": records, "weights_sha256": digest, "license": license})


def fitted(name: str, values: Tensor, settings: FacesSettings, note: Callable[[], None]) -> tuple[CoefficientVAE, float]:
    """A VAE of coefficients [M,K] over their scale, and the scale; `note` hears of each step."""
    bounded = bool(values.min() >= 0 and values.max() <= 1)
    scale = 1.0 if bounded else max(float(torch.quantile(values.abs().flatten()[: 1 << 23], SHARE)), 1e-6)
    latent, width = NETWORKS[name]
    random = keyed(settings.seed, 0, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random.initial_seed())
        players = Players.of_size(values.shape[1], latent=latent, width=width, bounded=bounded)
    return players.fit(values / scale, steps=settings.steps, random=random, batch=BATCH, note=note), scale


@torch.no_grad()
def quality(vae: CoefficientVAE, scale: float, values: Tensor) -> dict[str, float]:
    """How wide drawn coefficients are over the data's, the median over those that vary, and what a code keeps of the
    variance."""
    drawn = scale * vae.sample(min(len(values), 4096), keyed(0, 0, "quality"))
    spread = values.std(0)
    varied = spread > 1e-3 * spread.max()
    kept = 1 - (scale * vae.decode(vae.encode(values / scale).mean) - values).square().mean() / values.var(0).mean()
    return {"spread": round(float((drawn.std(0) / spread)[varied].median()), 3), "kept": round(float(kept), 3)}


def coefficients(data: Path, shapes: int | None) -> dict[str, np.ndarray]:
    """[M,K] float32 by part; UnusableMaterial when there is none, or too few rows."""
    parts = of_shards(data) if data.is_dir() else of_arrays(data)
    if shapes is not None and "shape" in parts:
        parts["shape"] = parts["shape"][:, :shapes]
    for name, values in parts.items():
        if len(values) < 2:
            raise UnusableMaterial(f"{data} holds {len(values)} rows of {name}; a network learns from two or more.")
    return {name: np.ascontiguousarray(values, np.float32) for name, values in parts.items()}


def of_arrays(path: Path) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    there = {name: arrays[name] for name in ARRAYS if name in arrays}
    if not there:
        raise UnusableMaterial(f"{path} holds no coefficients; it needs arrays named {', '.join(ARRAYS)}, or some of these.")
    if problem := mismatch(there, {name: ARRAYS[name] for name in there}):
        raise UnusableMaterial(f"{path} {problem}.")
    return there


def of_shards(folder: Path) -> dict[str, np.ndarray]:
    """One row of shape a person, of expression and light a state."""
    rows: dict[str, list[np.ndarray]] = {"shape": [], "expression": [], "light": []}
    for path in shard_paths(folder):
        shard = read_shard(path, ("identity", "expression", "light", "person", "state"))
        people, states = (np.unique(shard[name], return_index=True)[1] for name in ("person", "state"))
        rows["shape"].append(shard["identity"][people])
        rows["expression"].append(shard["expression"][states])
        rows["light"].append(as_face_light(shard["light"][states]))
    return {name: np.concatenate(values).astype(np.float32) for name, values in rows.items()}


def as_face_light(light: np.ndarray) -> np.ndarray:
    """[N,27] coefficients for `models.heads.lighting` of the shards' light [N,9,3]."""
    converted = light.astype(np.float64) * np.array(LIGHT)[:, None]
    converted[:, 0] -= AMBIENT
    return converted.transpose(0, 2, 1).reshape(len(light), 27).astype(np.float32)
