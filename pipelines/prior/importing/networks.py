"""A published network becomes a prior: its tensors checked against our own network name by name, written as a folder.

Notable choices:
- the exponential average (G_ema) is the prior; the discriminator comes along, because fine-tuning starts better with it;
- nothing is left out silently: a tensor that our network does not have is an error, but for the label statistics that the
  authors' training loop adds, which the record keeps;
- the record has no path and no name of a data set: what the file says about its author's machine stays in the file.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from models.eg3d.config import EG3DConfig
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator, MaskBranchDiscriminator, MaskDiscriminator
from models.panohead.config import PanoHeadConfig
from models.panohead.generator import PanoHead
from pipelines.artifacts.prior import DISCRIMINATOR, SCHEMA, WEIGHTS, load_prior
from pipelines.assets.registry import UNKNOWN, Entry, Use, by_sha256, insist, license_of
from pipelines.assets.store import Connect, fetch
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import sha256_file, write_arrays, write_bytes, write_json
from pipelines.core.stage import Progress, Report, run_stage
from pipelines.prior.importing.config import State, config_of, plain_options
from pipelines.prior.importing.pickles import Refused, harmless
from pipelines.prior.importing.snapshot import Snapshot, read_snapshot, refused

VERSION = 1
METERS_PER_UNIT = 0.370
"""FFHQ conventions of EG3D: the radius 2.7 of its cameras is one meter."""
RADIUS, FOCAL = 2.7, 4.2647
CROP_EXTENT = round(RADIUS / FOCAL, 4)
"""0.6331 units (23.4 cm): what a frontal image shows at the depth of the origin."""
LABEL_STATISTICS = "dataset_label_std"
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
Config = EG3DConfig | PanoHeadConfig


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How a network is to be read."""

    name: str | None = None
    """Of the prior; the output folder's without its ending when None."""
    license_of: str | None = None
    """A name of the registry, or of a license."""
    plane_axes: Literal["eg3d_released", "eg3d_fixed67", "panohead"] | None = None
    """For networks whose renderer does not say it."""
    generator_only: bool = False
    """Leave the discriminator out."""
    use: Use | None = None
    """Refuse what the license forbids."""


def import_prior(
    network: Path, out: Path, settings: ImportSettings, progress: Progress, *, overwrite: bool = False
) -> Report:  # fmt: skip
    """Make the prior folder `out` of a published pickle; nothing in the file is run."""
    if not network.is_file():
        raise UnusableMaterial(f"{network} is {'a folder' if network.exists() else 'missing'}; give the network's .pkl file.")

    sha256 = sha256_file(network)
    license, known_from = _license(settings, sha256)
    insist(network.name, license, settings.use)

    def work(partial: Path) -> dict[str, Any]:
        with progress.task("reading"):
            snapshot = read_snapshot(network)
        name = settings.name or out.resolve().name.removesuffix(".prior")
        with progress.task("checking and writing"):
            record = {"schema": SCHEMA, "name": name, "license": license} | _imported(partial, snapshot, settings)
        record["imported"] |= {"file": network.name, "sha256": sha256, "license_from": known_from}
        write_landmarks(partial / "landmarks.npz")
        write_json(partial / "prior.json", record)
        return _figures(record)

    asked = {name: value for name, value in asdict(settings).items() if name != "use"}
    return run_stage(
        "prior import", version=VERSION, inputs={"network": network}, settings=asked, out=out, work=work, overwrite=overwrite
    )


def fetch_prior(entry: Entry, progress: Progress, connect: Connect | None = None) -> Report:
    """A published network downloaded and imported: the prior folder of its name in the weights folder."""
    path = fetch(entry, progress, connect)
    settings = ImportSettings(name=entry.name, license_of=entry.name)
    return import_prior(path, path.with_name(f"{entry.name}.prior"), settings, progress)


def _license(settings: ImportSettings, sha256: str) -> tuple[str, str]:
    if settings.license_of:
        return license_of(settings.license_of)
    entry = by_sha256(sha256)
    return (entry.license, f"registry entry {entry.name}, by its sha256") if entry else (UNKNOWN, "not stated")


def _imported(partial: Path, snapshot: Snapshot, settings: ImportSettings) -> dict[str, Any]:
    """Write the weights into `partial`; the record's part that comes from the network."""
    generator = snapshot.networks["G_ema"]
    judge = None if settings.generator_only else snapshot.networks.get("D")
    state = snapshot.state("G_ema")
    try:
        config, options = config_of(generator, state, judge, settings.plane_axes), plain_options(generator)
    except Refused as refusal:
        raise refused(snapshot.path, refusal) from refusal
    statistics = state.pop(LABEL_STATISTICS, None)
    family, build = ("eg3d", EG3D) if isinstance(config, EG3DConfig) else ("panohead", PanoHead)
    check(snapshot.path, "G_ema", state, lambda: build(config))  # type: ignore[arg-type]
    hashes, counts = {"weights_sha256": write_weights(partial / WEIGHTS, state)}, {"G_ema": len(state)}
    if judge is not None:
        state = snapshot.state("D")
        state.pop(LABEL_STATISTICS, None)
        check(snapshot.path, "D", state, lambda: discriminator_of(config, state))
        hashes["discriminator_sha256"], counts["D"] = write_weights(partial / DISCRIMINATOR, state), len(state)
    imported = {
        "contents": [*snapshot.networks, *snapshot.others], "tensors": counts, "sources_sha256": snapshot.sources,
        "rendering": options, LABEL_STATISTICS: None if statistics is None else statistics.tolist(),
        "landmarks_measured": False,
    }  # fmt: skip
    parts = "G_ema" if judge is None else "G_ema and D"
    return {
        "family": family, "config": asdict(config), "meters_per_unit": METERS_PER_UNIT, "crop_extent": CROP_EXTENT,
        "frontal_camera": {"distance": RADIUS, "focal": FOCAL},
        "origin": f"Imported from {snapshot.path.name}: its {parts}. Head space by EG3D's FFHQ conventions (1 unit = 0.370 m). "
        "Landmarks: the mean head of the prior quick in these units, not measured on this network's renders.",
        **hashes, "imported": imported,
    }  # fmt: skip


def discriminator_of(config: Config, state: State) -> nn.Module:
    """Ours for what it looks at: a branch for the mask, or as many image channels as its first layer takes."""
    for name in state:
        if branch := re.fullmatch(r"sb(\d{1,4})\.fromrgb\.weight", name):
            return MaskBranchDiscriminator(config, int(branch[1]))
    first = state.get(f"b{config.image_size}.fromrgb.weight")
    masked = first is not None and first.ndim == 4 and first.shape[1] == MaskDiscriminator.image_channels
    return MaskDiscriminator(config) if masked else DualDiscriminator(config)


def check(path: Path, network: str, state: State, build: Callable[[], nn.Module]) -> None:
    """UnusableMaterial unless names, shapes and kinds of numbers are those of our network; the first differences are named."""
    try:
        with torch.device("meta"):
            ours = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UnusableMaterial(f"{path}: no {network} can be built from its configuration ({error}).") from error
    theirs = {name: array.shape for name, array in state.items()}
    wrong = [f"{name} is missing" for name in ours if name not in theirs]
    wrong += [f"{harmless(name)} is unknown" for name in theirs if name not in ours]
    wrong += [f"{name} is {theirs[name]} and not {shape}" for name, shape in ours.items() if theirs.get(name, shape) != shape]
    wrong += [f"{harmless(name)} {fault}" for name, array in state.items() if (fault := _fault(name, array))]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UnusableMaterial(f"{path}: its {network} is not our network: {'; '.join(wrong[:3])}{more}.")


def _fault(name: str, array: np.ndarray) -> str:
    if array.dtype not in (np.float32, np.float16):
        return f"holds {array.dtype}"
    if not np.isfinite(array).all():
        return "holds numbers that are not finite"
    other = name.endswith("resample_filter") and array.shape == FILTER.shape and not np.array_equal(array, FILTER)
    return "is another filter than [1,3,3,1]" if other else ""


def write_weights(path: Path, state: State) -> str:
    """The tensors as float32 safetensors, by name; the sha256 of the file."""
    from safetensors.numpy import save

    write_bytes(path, save({name: np.array(array, np.float32, order="C") for name, array in state.items()}))
    return sha256_file(path)


def write_landmarks(path: Path) -> None:
    """The shipped mean head in the units of FFHQ: a guess until it is measured on renders."""
    quick = load_prior("quick")
    scaled = quick.landmarks * (quick.meters_per_unit / METERS_PER_UNIT)
    write_arrays(path, landmarks=scaled.astype(np.float32))


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    config, imported = record["config"], record["imported"]
    return {
        "name": record["name"], "family": record["family"], "license": record["license"], "plane_axes": config["plane_axes"],
        "image_size": config["image_size"], "raw_size": config["neural_rendering_resolution"], "tensors": imported["tensors"],
        "in_the_file": imported["contents"], "landmarks_measured": False,
    }  # fmt: skip
