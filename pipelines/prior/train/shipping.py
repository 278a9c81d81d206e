"""From a trained auto-decoder to a prior folder: half-precision weights, a mapping network that samples, named latents."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from models.camera import Camera
from models.generator import Generator
from pipelines.artifacts.prior import CODES, SCHEMA, WEIGHTS, load_prior
from pipelines.core.files import read_arrays, sha256_file, write_arrays, write_bytes, write_json
from pipelines.prior.train.autodecoder import Autodecoder
from pipelines.prior.train.sampler import fit_mapping, make_sampler
from pipelines.prior.train.truth import Truth, label_names

PEOPLE = 64
"""Principal directions of people that are kept."""
LABELS = 600
"""States whose labels are kept."""
LICENSE = "Apache-2.0"


def ship(model: Autodecoder, truth: Truth, folder: Path, name: str, origin: str, seed: int = 0) -> dict[str, Any]:
    """Write the averaged generator as a prior; figures of its parts."""
    generator, codes = model.average, model.average_codes
    everybody = torch.arange(len(codes.own))
    people, labels = codes.identity(everybody).detach(), seen_labels(truth)
    missed = fit_mapping(generator, make_sampler(people, labels, codes.directions.detach(), generator.latent.z_dim), seed=seed)
    write_bytes(folder / WEIGHTS, save(halved(generator)))
    _, scale, parts = torch.linalg.svd(people - people.mean(0), full_matrices=False)
    kept = min(PEOPLE, len(scale))
    known = read_arrays(folder / "people.npz")
    chosen = np.linspace(0, len(labels) - 1, min(LABELS, len(labels))).round().astype(int)
    write_arrays(
        folder / CODES, base=people.mean(0).numpy(), people=(parts[:kept] * scale[:kept, None] / len(people) ** 0.5).numpy(),
        directions=codes.directions.detach().numpy(), label_names=np.array(label_names(truth.expressions)),
        label_spread=codes.spread.numpy(), labels=labels.numpy()[chosen].astype(np.float16),
        labels_of_face=codes.labels.detach().numpy(), known=codes.known.detach().numpy(),
        names=known["names"], mean=known["mean"], spread=known["spread"],
    )  # fmt: skip
    _record(generator, folder, name, origin)
    size = (folder / WEIGHTS).stat().st_size
    parameters = sum(value.numel() for value in generator.parameters())
    return {"parameters": parameters, "weights_bytes": size, "mapping_missed": round(missed, 4)}


def halved(generator: Generator) -> dict[str, torch.Tensor]:
    """The state in float16; it loads into a float32 network."""
    return {name: value.detach().half().contiguous() for name, value in generator.state_dict().items()}


def seen_labels(truth: Truth) -> torch.Tensor:
    """[S,E] labels of the states in memory."""
    truth.load(max(truth.turn, 0))
    return torch.from_numpy(truth.labels())


def _record(generator: Generator, folder: Path, name: str, origin: str) -> None:
    """prior.json and the landmarks, which belong to the head space and are those of `quick`."""
    quick = load_prior("quick")
    write_arrays(folder / "landmarks.npz", landmarks=quick.landmarks)
    label = Camera.frontal(2.7, 2.7 / quick.crop_extent).label()[0]
    write_json(
        folder / "prior.json",
        {
            "schema": SCHEMA, "name": name, "family": generator.family, "config": asdict(generator.config),
            "meters_per_unit": quick.meters_per_unit, "crop_extent": quick.crop_extent, "license": LICENSE,
            "frontal_camera": label.tolist(), "weights_sha256": sha256_file(folder / WEIGHTS),
            "codes_sha256": sha256_file(folder / CODES), "origin": origin,
        },
    )  # fmt: skip
