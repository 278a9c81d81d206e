"""A published network becomes a prior: its tensors checked against our own network name by name, written as a folder.

Notable choices:
- the exponential average (G_ema) is the prior; the discriminator comes along, because fine-tuning starts better with it;
- nothing is left out silently: a tensor that our network does not have is an error, but for the label statistics that the
  authors' training loop adds, which the record keeps;
- the record has no path and no name of a data set: what the file says about its author's machine stays in the file.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.families import FAMILIES, Family
from models.generator import Network
from models.head_frame import HeadFrame
from models.published import RADIUS, NotUnderstood, PublishedNetwork, StatedOtherwise
from models.volumes.planes import PLANE_AXES
from pipelines.artifacts.prior import DISCRIMINATOR, SCHEMA, WEIGHTS
from pipelines.assets.registry import UNKNOWN, Entry, Use, by_sha256, insist, license_of
from pipelines.assets.store import Connect, fetch
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import sha256_file, write_arrays, write_bytes, write_json
from pipelines.core.stage import Progress, Report, run_stage
from pipelines.face.canonical import canonical_landmarks
from pipelines.prior.importing.checkpoint import Checkpoint, is_checkpoint, read_checkpoint
from pipelines.prior.importing.pickles import harmless
from pipelines.prior.importing.snapshot import Snapshot, read_snapshot, refused

VERSION = 1
LABEL_STATISTICS = "dataset_label_std"
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
State = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How a network is to be read."""

    name: str | None = None
    """Of the prior; the output folder's without its ending when None."""
    license_of: str | None = None
    """A name of the registry, or of a license."""
    plane_axes: str | None = None
    """A name of models.volumes.planes.PLANE_AXES, for networks whose renderer does not say it."""
    generator_only: bool = False
    """Leave the discriminator out."""
    use: Use | None = None
    """Refuse what the license forbids."""


def import_prior(
    network: Path, out: Path, settings: ImportSettings, progress: Progress, *, overwrite: bool = False
) -> Report:  # fmt: skip
    """Make the prior folder `out` of a published pickle or state; nothing in the file is run."""
    if not network.is_file():
        raise UnusableMaterial(
            f"{network} is {'a folder' if network.exists() else 'missing'}; give the network's .pkl or .pth file."
        )

    sha256 = sha256_file(network)
    license, known_from = _license(settings, sha256)
    insist(network.name, license, settings.use)

    def work(partial: Path) -> dict[str, Any]:
        with progress.task("reading"):
            snapshot = read_checkpoint(network) if is_checkpoint(network) else read_snapshot(network)
        name = settings.name or out.resolve().name.removesuffix(".prior")
        with progress.task("checking and writing"):
            record = {"schema": SCHEMA, "name": name, "license": license} | _imported(partial, snapshot, settings)
        record["imported"] |= {"file": network.name, "sha256": sha256, "license_from": known_from}
        write_landmarks(partial / "landmarks.npz", FAMILIES[record["family"]].frame)
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


def _imported(partial: Path, snapshot: Snapshot | Checkpoint, settings: ImportSettings) -> dict[str, Any]:
    """Write the weights into `partial`; the record's part that comes from the network."""
    network = published(snapshot, settings)
    family, config, options = recognized(snapshot.path, network)
    importer = family.importer
    left_out, distance = (importer.left_out, importer.distance) if importer else ((), RADIUS)
    state = {name: value for name, value in network.state.items() if not name.startswith(left_out)}
    statistics = state.pop(LABEL_STATISTICS, None)
    check(snapshot.path, "G_ema", state, lambda: family.build(config))
    hashes, counts = {"weights_sha256": write_weights(partial / WEIGHTS, state)}, {"G_ema": len(state)}
    if network.discriminator_state is not None:
        state = {name: value for name, value in network.discriminator_state.items() if name != LABEL_STATISTICS}
        check(snapshot.path, "D", state, lambda: discriminator_of(family, config))
        hashes["discriminator_sha256"], counts["D"] = write_weights(partial / DISCRIMINATOR, state), len(state)
    imported = {
        "contents": [*snapshot.networks, *snapshot.others], "tensors": counts, "sources_sha256": snapshot.sources,
        "rendering": options, LABEL_STATISTICS: None if statistics is None else statistics.tolist(),
        "landmarks_measured": False, "left_out": sorted(name for name in network.state if name.startswith(left_out)),
    }  # fmt: skip
    return {
        "family": family.name, "config": asdict(config), **head_space(family.frame),
        "frontal_camera": {"distance": distance, "focal": round(distance / family.frame.crop_extent, 4)},
        "origin": f"Imported from {snapshot.path.name}: its {' and '.join(counts)}. Head space by the conventions of its "
        f"family (1 unit = {1 / family.frame.scale:.3f} m). Landmarks: the canonical head in these units, not measured on this "
        "network's renders.",
        **hashes, "imported": imported,
    }  # fmt: skip


def head_space(frame: HeadFrame) -> dict[str, Any]:
    """A record's fields of a frame; the matrix only where it does more than scale the metric one."""
    plain = HeadFrame.of_scale(1 / frame.scale, frame.crop_extent)
    moved = not np.allclose(plain.prior_from_head, frame.prior_from_head)
    return {
        "meters_per_unit": round(1 / frame.scale, 6), "crop_extent": frame.crop_extent, "matte_region": frame.matte_region,
        **({"prior_from_head": frame.prior_from_head.tolist()} if moved else {}),
    }  # fmt: skip


def published(snapshot: Snapshot | Checkpoint, settings: ImportSettings) -> PublishedNetwork:
    """What the families' importers look at: G_ema, and D where it is wanted and there."""
    judge = None if settings.generator_only else snapshot.networks.get("D")
    return PublishedNetwork(
        generator=snapshot.networks["G_ema"], state=snapshot.state("G_ema"), discriminator=judge,
        discriminator_state=None if judge is None else snapshot.state("D"), plane_axes=settings.plane_axes,
    )  # fmt: skip


def recognized(path: Path, network: PublishedNetwork) -> tuple[Family, Any, dict[str, Any]]:
    """The family that recognizes the network, its config there, and its rendering options as published."""
    if network.plane_axes not in (None, *PLANE_AXES):
        raise SettingError(f"--plane-axes {network.plane_axes}: known are {', '.join(PLANE_AXES)}.")
    try:
        for family in FAMILIES.values():
            if family.importer is not None and family.importer.recognizes(network):
                return family, family.importer.config(network), plain_options(network.options)
        raise NotUnderstood(f"holds a network of no known family ({', '.join(FAMILIES)})")
    except StatedOtherwise as error:
        raise SettingError(f"--plane-axes {network.plane_axes}: {error}; leave the option out.") from error
    except NotUnderstood as error:
        raise refused(path, harmless(error, most=300)) from error


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The rendering options as published: numbers, truth values and short texts only."""
    kinds = (int, float, bool, str)
    return {
        harmless(name): harmless(value) if type(value) is str else value
        for name, value in options.items()
        if type(value) in kinds and not (type(value) is float and not math.isfinite(value))
    }


def discriminator_of(family: Family, config: Any) -> Network:
    """The one that a published network brings along."""
    (judge,) = family.discriminators(config).values()
    return judge.network


def check(path: Path, network: str, state: State, build: Callable[[], Network]) -> None:
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


def write_landmarks(path: Path, frame: HeadFrame) -> None:
    """The canonical head in a family's head space: a guess until it is measured on renders."""
    write_arrays(path, landmarks=frame.points(canonical_landmarks()).astype(np.float32))


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    config, imported = record["config"], record["imported"]
    return {
        "name": record["name"], "family": record["family"], "license": record["license"], "plane_axes": config["plane_axes"],
        "image_size": config["image_size"], "raw_size": config["neural_rendering_resolution"], "tensors": imported["tensors"],
        "in_the_file": imported["contents"], "landmarks_measured": False,
    }  # fmt: skip
