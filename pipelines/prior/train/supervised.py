"""The recipe of the shipped prior: shards of synthetic people in, a prior folder out (stage 1, supervised)."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.families import Family
from models.generator import Control, Generator, RenderSettings, rendered
from models.heads.expression_map import broadcast
from pipelines.artifacts.family import config_of, family_of
from pipelines.artifacts.prior import CODES, load_prior
from pipelines.core.files import read_arrays, write_arrays, write_image
from pipelines.core.stage import Progress, Report, run_stage, step
from pipelines.engine.checkpoint import load_checkpoint, save_checkpoint
from pipelines.media.pixels import colors, to_bytes
from pipelines.prior.people.shards import shard_paths
from pipelines.prior.train.autodecoder import Autodecoder, AutodecoderSettings, autodecoder_step, make_autodecoder
from pipelines.prior.train.codes import Codes, standardized
from pipelines.prior.train.shipping import ship
from pipelines.prior.train.training import read_config
from pipelines.prior.train.truth import Described, Truth, describe, spread_of

VERSION = 1
SHIPPED = "quick"
"""The prior whose network is taught where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings:
    """Training of a prior on exact truth."""

    config: Path | None = None
    """JSON file with the fields of the generator's config; none: the network of `start`, or else the shipped prior's."""
    start: str | None = None
    """Prior folder whose weights and latent directions it starts from; a `config` beside it may add free planes."""
    threads: int = 1
    """CPU threads of every tensor operation: part of what makes a rerun bit-identical."""
    autodecoder: AutodecoderSettings = field(default_factory=AutodecoderSettings)


def train_supervised(
    data: Path, out: Path, settings: SupervisedSettings, progress: Progress, *, overwrite: bool = False
) -> Report:
    """Make the prior folder `out` from a folder of shards."""
    if data.exists():
        shard_paths(data)

    def work(partial: Path) -> dict[str, Any]:
        torch.set_num_threads(settings.threads)
        asked = settings.autodecoder
        truth = Truth(folder=data, kept=asked.shards, seed=asked.seed, neutral=asked.neutral)
        people = step(partial, "people", lambda: write_people(truth, settings, partial))
        model = begin(truth, settings, partial)
        run(model, truth, settings.autodecoder, partial, progress)
        name = out.resolve().name.removesuffix(".prior")
        shipped = step(partial, "ship", lambda: ship(model, truth, partial, name, origin_of(settings, people)))
        return people | shipped | {"steps": model.step}

    return run_stage(
        "prior train supervised", version=VERSION, inputs={"data": data}, out=out, work=work,
        settings=asdict(settings) | {"config": settings.config and str(settings.config)},
        overwrite=overwrite,
    )  # fmt: skip


def origin_of(settings: SupervisedSettings, people: dict[str, Any]) -> str:
    before = "random weights" if settings.start is None else f"the prior {load_prior(settings.start).name}"
    return (
        f"Taught {people['people']} synthetic people (ICT-FaceKit, MIT, (c) 2020 USC Institute for Creative Technologies) by "
        f"`avatarcli prior train --recipe supervised`, {settings.autodecoder.steps} steps from {before}. No photograph and no "
        "other network was used. Landmarks: " + load_prior("quick").origin.rpartition("Landmarks: ")[2]
    )


def write_people(truth: Truth, settings: SupervisedSettings, folder: Path) -> dict[str, Any]:
    """What is known of the people, standardized as for the prior it starts from."""
    people = describe(truth)
    names, mean, spread = people.names, np.nanmean(people.values, 0), np.maximum(np.nanstd(people.values, 0), 0.01)
    truth.load(0)
    labels = spread_of(truth.labels())
    if settings.start is not None:
        known = read_arrays(load_prior(settings.start).folder / CODES)
        names, mean, spread = tuple(str(name) for name in known["names"]), known["mean"], known["spread"]
        labels = known["label_spread"]
    values = standardized(*(torch.from_numpy(value) for value in (_columns(people, names), mean, spread)))
    write_arrays(folder / "people.npz", names=np.array(names), mean=mean, spread=spread, values=values.numpy(), labels=labels)
    return {"people": len(values), "known_of_each": len(names)}


def _columns(people: Described, names: tuple[str, ...]) -> np.ndarray:
    missing = np.full(len(people.values), np.nan, np.float32)
    own = dict(zip(people.names, people.values.T, strict=True))
    return np.stack([own.get(name, missing) for name in names], axis=1)


def network_of(settings: SupervisedSettings) -> tuple[Family, Any]:
    """Family and config: of the JSON file, else of the prior to start from, else of the shipped one."""
    if settings.config:
        return read_config(settings.config)
    start = load_prior(settings.start or SHIPPED)
    return family_of(start.family, f"the prior {start.name}"), config_of(start)


def begin(truth: Truth, settings: SupervisedSettings, folder: Path) -> Autodecoder:
    """Fresh networks of the seed, or those of the prior to start from."""
    start = None if settings.start is None else load_prior(settings.start)
    family, config = network_of(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.autodecoder.seed)
        generator = family.build(config)
        known = {name: torch.from_numpy(read_arrays(folder / "people.npz")[name]) for name in ("values", "labels")}
        codes = Codes(described=known["values"], spread=known["labels"].float(), w_dim=generator.latent.w_dim)
        if start is None:  # free planes linear in w begin as the face's own
            for parameter in generator.groups().get("mixing", []):
                if parameter.ndim == 2:
                    parameter.data[:, : -codes.face] = 0.0
    if start is not None and start.weights is not None:
        state = family.transfer(load_file(start.weights), generator.state_dict(), resized=False)
        generator.load_state_dict(state)
        known = read_arrays(start.folder / CODES)
        for name, stored in (("base", "base"), ("known", "known"), ("labels", "labels_of_face")):
            getattr(codes, name).data.copy_(torch.from_numpy(known[stored]))
    return make_autodecoder(generator, codes, settings.autodecoder)


def run(model: Autodecoder, truth: Truth, settings: AutodecoderSettings, folder: Path, progress: Progress) -> None:
    """Step to the end, from the checkpoint in `folder` if there is one; a checkpoint has a sheet and a line in the log."""
    checkpoint, log = folder / "checkpoint.safetensors", folder / "train_log.jsonl"
    if checkpoint.exists():
        model.load(*load_checkpoint(checkpoint))
    kept = log.read_text().splitlines() if log.exists() else []
    log.write_text("".join(f"{line}\n" for line in kept if json.loads(line)["step"] <= model.step))
    begun, sums = time.perf_counter(), dict[str, float]()
    with progress.task("supervised", settings.steps) as task:
        task.advance(model.step)
        while model.step < settings.steps:
            for name, value in autodecoder_step(model, truth, settings).items():
                sums[name] = sums.get(name, 0.0) + value
            task.advance()
            if model.step % settings.checkpoint_every == 0 or model.step == settings.steps:
                row = {"step": model.step, "seconds": round(time.perf_counter() - begun, 1)}
                row |= {name: value / settings.checkpoint_every for name, value in sums.items()}
                sums.clear()
                with log.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                sheet(folder / "samples" / f"{model.step:06d}.png", model, truth)
                save_checkpoint(checkpoint, model.step, model.tree())
                task.note(", ".join(f"{name} {value:.3g}" for name, value in row.items()))


def sheet(path: Path, model: Autodecoder, truth: Truth, states: int = 6, views: int = 2) -> None:
    """Truth above render for some states, each from its own cameras, by the averaged weights."""
    seen = truth.draw(states, views, torch.Generator().manual_seed(1))
    w = model.average_codes(seen.person, seen.labels).repeat_interleave(views, 0)
    images = render(model.average, w, seen)
    both = torch.cat([seen.image, images], dim=2)
    write_image(path, to_bytes(np.concatenate(list(colors(both)), axis=1)))


@torch.no_grad()
def render(generator: Generator, w: Tensor, camera: Any) -> Tensor:
    """Images [N,3,S,S] of w [N,w_dim], one at a time, over mid gray."""
    camera = camera.camera if hasattr(camera, "camera") else camera
    gray = torch.zeros(1, 3, 1, 1)
    ws = broadcast(w, generator.latent.num_ws)
    how = RenderSettings(background=gray)
    return torch.cat([rendered(generator, Control(ws=ws[[n]]), camera[n], how).image for n in range(len(w))])
