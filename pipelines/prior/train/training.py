"""From images with cameras to a prior folder: train a base generator adversarially, score it, keep its averaged weights."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from models.camera import Camera
from models.families import FAMILIES, Family, Judge, UnknownFields
from models.generator import Discriminator, Generator
from models.head_frame import HeadFrame
from pipelines.artifacts.face_sampler import load_face_sampler
from pipelines.artifacts.family import config_of, family_of
from pipelines.artifacts.prior import DISCRIMINATOR, SCHEMA, WEIGHTS, load_prior
from pipelines.assets.registry import UNKNOWN
from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial
from pipelines.core.files import read_json, sha256_file, write_arrays, write_bytes, write_json
from pipelines.core.stage import CHECKPOINT, Progress, Report, Work, run_stage
from pipelines.engine.checkpoint import flatten, load_checkpoint, save_checkpoint, unflatten
from pipelines.engine.distributed import Processes, together
from pipelines.face.canonical import canonical_landmarks
from pipelines.prior.importing.networks import head_space
from pipelines.prior.train.adversarial import AdversarialSettings, Adversaries, Iteration, make_adversaries
from pipelines.prior.train.draws import faces_draw, guide_of
from pipelines.prior.train.images import LabeledImages, open_images
from pipelines.prior.train.quality import Features, distances, latent_walk, network_features, sample_sheet

VERSION = 2
LOG = "train_log.jsonl"
Figures = Callable[[], dict[str, float]]
"""Something that is done, and what there is to say of it."""


@dataclass(frozen=True, kw_only=True)
class PriorTrainSettings:
    """Training of a base generator."""

    config: str = "ffhq512"
    """A family's configuration by name (ffhq512, quick, tiny128, ...), or a JSON file with the fields of one."""
    start: str | None = None
    """Prior folder whose weights it starts from; its configuration counts."""
    head_space: Literal["ffhq", "quick"] = "ffhq"
    """Units and origin of the data's cameras: FFHQ's, or those of the shipped prior (synthetic people)."""
    license: str = UNKNOWN
    """Of the data, and so of the prior."""
    features: str | None = None
    """Network for KID and FID: an ONNX file, or `feature-network`, the registered TorchScript one; none: KID on fixed random
    convolutions."""
    samples: int = 200
    """Images on each side of the distances."""
    faces: Path | None = None
    """Folder of `prior faces`, from which coefficients are drawn; only for families whose codes have such parts."""
    face_model: Path | None = None
    """File of a face model whose pictures teach what codes mean, such as ict_facekit.npz; for the same families."""
    adversarial: AdversarialSettings = field(default_factory=AdversarialSettings)


def train_prior(
    data: Path, out: Path, settings: PriorTrainSettings, progress: Progress, *, device: str, overwrite: bool = False
) -> Report:  # fmt: skip
    """Make the prior folder `out` from shards, or from a folder or zip file of images with a dataset.json.

    Under torchrun all processes call this and get the same report; the first one alone writes.
    """
    images, (family, config) = open_images(data, mirrored=settings.adversarial.mirror), network_of(settings)
    features = network_features(settings.features) if settings.features else None
    index = data / "dataset.json" if (data / "dataset.json").exists() else data
    asked = json.loads(json.dumps(asdict(settings), default=str))

    def stage(work: Work) -> Report:
        return run_stage(
            "prior train", version=VERSION, inputs={"data": index}, settings=asked, out=out, work=work, overwrite=overwrite
        )

    with together(device) as processes:

        def work(partial: Path) -> dict[str, Any]:
            players, asked = begin(family, config, settings, processes.device), settings.adversarial
            iteration = partial_of(Iteration, players=players, images=images, settings=asked, processes=processes)
            look = partial_of(snapshot, players, images, features, settings.samples, partial, processes.device)
            with checkpoint_kept(partial):
                run(players, asked, lambda: iteration().run(), look, partial, progress, processes)
            return finish(players, images, settings, partial, out, processes.device) if processes.first else {}

        return processes.staged(stage, work)


class Network(Protocol):
    """Settings that say which network is trained."""

    @property
    def config(self) -> str: ...

    @property
    def start(self) -> str | None: ...


def network_of(settings: Network) -> tuple[Family, Any]:
    """Family and config of the prior to start from, or by a name or file; SettingError says what is wrong with it."""
    if settings.start is not None:
        prior = load_prior(settings.start)
        return family_of(prior.family, f"the prior {prior.name}"), config_of(prior)
    named = {name: (family, config) for family in FAMILIES.values() for name, config in family.presets.items()}
    if settings.config in named:
        return named[settings.config]
    if not Path(settings.config).is_file():
        raise SettingError(f"config={settings.config}: choose one of {', '.join(named)}, or a JSON file.")
    return read_config(Path(settings.config))


def read_config(path: Path) -> tuple[Family, Any]:
    """A JSON file with the fields of a family's config, of the one that its field `family` names, else of the first that has
    all of them; SettingError says what is wrong with it."""
    if not path.is_file():
        raise SettingError(f"config={path}: there is no such JSON file.")
    values = read_json(path)
    name = values.pop("family", None)
    if name is not None and name not in FAMILIES:
        raise SettingError(f"{path} is for the family {name}; the families are {', '.join(FAMILIES)}.")
    errors: list[UnknownFields] = []
    for family in FAMILIES.values() if name is None else [FAMILIES[name]]:
        try:
            return family, family.decode(values)
        except UnknownFields as error:
            errors.append(error)
        except (TypeError, ValueError) as error:
            raise SettingError(f"{path}: {error}.") from error
    nearest = min(errors, key=lambda error: len(error.names))
    raise SettingError(f"{path} has fields that no configuration has: {', '.join(nearest.names)}.")


def begin(family: Family, config: Any, settings: PriorTrainSettings, device: str) -> Adversaries:
    """Fresh networks of the seed, or those of the prior to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.adversarial.seed)
        generator, judges = family.build(config), family.discriminators(config)
    discriminator = only_judge(judges, family)
    if settings.start is not None:
        fill(settings.start, generator, discriminator)
    draw = None if settings.faces is None else faces_draw(family, config, load_face_sampler(settings.faces))
    players = make_adversaries(generator.to(device), discriminator.to(device), settings.adversarial, draw)
    if settings.face_model is not None:
        players.guide = guide_of(family, config, settings.face_model, frame_of(family, settings), device)
    return players


def frame_of(family: Family, settings: PriorTrainSettings) -> HeadFrame:
    """The head space of the data's cameras."""
    return family.frame if settings.head_space == "ffhq" else load_prior(settings.head_space).frame


def fill(prior_name: str, generator: Generator, discriminator: Discriminator) -> None:
    """Networks with the weights of a prior, where it has any."""
    from safetensors.torch import load_file

    prior = load_prior(prior_name)
    for network, path in ((generator, prior.weights), (discriminator, prior.discriminator)):
        if path is not None:
            network.load_state_dict(load_file(path))


def only_judge(judges: Mapping[str, Judge], family: Family) -> Discriminator:
    """The one discriminator that this recipe trains; SettingError where the config asks for more."""
    if family.phases is not None:
        raise SettingError(f"networks of the family {family.name} have a recipe of their own: give --recipe {family.name}.")
    networks = [judge.network for judge in judges.values()]
    if len(networks) > 1:
        raise SettingError(f"this configuration has the discriminators {', '.join(judges)}; `prior train` trains one.")
    if networks[0].needs_mask:
        raise SettingError("this configuration's discriminator judges masks, which data sets lack here; set judged_mask=none.")
    return networks[0]


def run(
    players: Adversaries, asked: AdversarialSettings, iterate: Figures, look: Figures, folder: Path, progress: Progress,
    processes: Processes,
) -> None:  # fmt: skip
    """Iterate to the end, from the checkpoint in `folder` if there is one; a snapshot has what `look` gives, a checkpoint."""
    resume(players, folder, processes)
    every, total = max(round(asked.snapshot_kimg * 1000 / asked.batch), 1), asked.iterations
    start = time.perf_counter()
    with progress.task("prior", total) as task:
        task.advance(players.iteration)
        while players.iteration < total:
            figures = iterate()
            task.advance()
            if processes.first and (players.iteration % every == 0 or players.iteration == total):
                figures |= look()
                row = {"iteration": players.iteration, "kimg": players.iteration * asked.batch / 1000, **figures}
                with (folder / LOG).open("a") as stream:
                    stream.write(json.dumps(row | {"seconds": round(time.perf_counter() - start, 1)}) + "\n")
                save_checkpoint(folder / CHECKPOINT, players.iteration, players.tree())
                task.note(", ".join(f"{name} {value:.3g}" for name, value in figures.items()))


def resume(players: Adversaries, folder: Path, processes: Processes) -> None:
    """The players of the checkpoint, if there is one, on every process; rows that the log has beyond it are cut off."""
    there = processes.from_first((folder / CHECKPOINT).exists())
    if there:
        step, tree = load_checkpoint(folder / CHECKPOINT, processes.device) if processes.first else (0, {})
        players.load(processes.from_first(step), unflatten(processes.share(flatten(tree))))
    if processes.first and (folder / LOG).exists():
        rows = (folder / LOG).read_text().splitlines()
        kept = [row for row in rows if row.endswith("}") and json.loads(row)["iteration"] <= players.iteration]
        (folder / LOG).write_text("".join(f"{row}\n" for row in kept))


@contextmanager
def checkpoint_kept(folder: Path) -> Iterator[None]:
    """A stage throws away what it made of unusable material; one bad picture must not cost the days that a checkpoint holds."""
    try:
        yield
    except UnusableMaterial as error:
        if not (folder / CHECKPOINT).exists():
            raise
        kept = AvatarError(f"{error} The same command then continues at the last checkpoint.")
        kept.exit_code = error.exit_code
        raise kept from error


def snapshot(
    players: Adversaries, images: LabeledImages, features: Features | None, samples: int, folder: Path, device: str
) -> dict[str, float]:
    """Figures of the averaged generator, and its sample sheet."""
    (folder / "samples").mkdir(exist_ok=True)
    sheet = folder / "samples" / f"{players.iteration:07d}.png"
    sample_sheet(sheet, players.average, frontal_label(images), device, draw=players.draw)
    return distances(players.average, images, min(samples, len(images)), features, device, draw=players.draw)


def finish(
    players: Adversaries, images: LabeledImages, settings: PriorTrainSettings, folder: Path, out: Path, device: str
) -> dict[str, Any]:  # fmt: skip
    """What makes the folder a prior, and a latent walk. The checkpoint stays, to train on."""
    label, family = frontal_label(images), FAMILIES[players.average.family]
    latent_walk(folder / "walk.mp4", players.average, label, device, draw=players.draw)
    last = write_prior(players, label, frame_of(family, settings), settings.license, len(images), folder, out)
    return {"images": len(images), "config": settings.config, **last}


def write_prior(
    players: Adversaries, label: Tensor, frame: HeadFrame, license: str, images: int, folder: Path, out: Path
) -> dict[str, Any]:  # fmt: skip
    """Weights, record and landmarks; the last row of the log."""
    hashes = {}
    for name, network in ((WEIGHTS, players.average), (DISCRIMINATOR, players.discriminator)):
        state = {key: value.detach().float().cpu().contiguous() for key, value in network.state_dict().items()}
        write_bytes(folder / name, save(state))
        hashes[name] = sha256_file(folder / name)
    family, config = players.average.family, players.average.config
    write_arrays(folder / "landmarks.npz", landmarks=frame.points(canonical_landmarks()).astype("float32"))
    last = json.loads((folder / LOG).read_text().splitlines()[-1])
    write_json(
        folder / "prior.json",
        {
            "schema": SCHEMA, "name": out.resolve().name.removesuffix(".prior"), "family": family, "config": asdict(config),
            **head_space(frame), "license": license,
            "frontal_camera": label.tolist(), "weights_sha256": hashes[WEIGHTS], "discriminator_sha256": hashes[DISCRIMINATOR],
            "origin": f"Trained on {images} images by `avatarcli prior train`, {last['kimg']:.0f} thousand shown. "
            "Landmarks: the canonical head in these units.",
        },
    )  # fmt: skip
    return last


def frontal_label(images: LabeledImages) -> Tensor:
    """[25] a camera in front of the head, as far away as the data's in the median, with their median intrinsics."""
    cameras = Camera.from_label(images.labels)
    distance = float(cameras.world_from_camera[:, :3, 3].norm(dim=1).median())
    frontal = Camera.frontal(distance, 1.0).world_from_camera
    return Camera(world_from_camera=frontal, intrinsics=cameras.intrinsics.median(dim=0, keepdim=True).values).label()[0]
