"""A prior of heads on shoulders: adversarial training by a family's own phases, on images with masks and poses.

The discriminator tells the pose of neck and head besides; its moving average is kept for that, in a file beside the weights.
"""

import copy
import json
from dataclasses import asdict, dataclass
from functools import partial as partial_of
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from models.camera import Camera
from models.families import FAMILIES, Family, Phases
from models.generator import Control, Generator, Network, rendered
from models.heads.skinned_body import SkinnedBody
from models.networks.stylegan2.resampling import resize
from models.training import schedules
from models.training.augment import RELEASE, Augmentation
from pipelines.assets.registry import UNKNOWN
from pipelines.core.errors import SettingError
from pipelines.core.files import write_bytes
from pipelines.core.stage import Progress, Report, Work, run_stage
from pipelines.engine.distributed import together
from pipelines.engine.keyed_random import keyed
from pipelines.prior.importing.bodies import read_body
from pipelines.prior.train.adversarial import R1_EVERY, AdversarialSettings, Adversaries, Iteration, draw
from pipelines.prior.train.draws import normal_draw
from pipelines.prior.train.images import LabeledImages
from pipelines.prior.train.posed_images import looked_at, open_posed
from pipelines.prior.train.quality import Features, around, distances, network_features, sample_sheet
from pipelines.prior.train.training import checkpoint_kept, fill, frontal_label, network_of, run, write_prior

VERSION = 1
ESTIMATOR = "pose_estimator.safetensors"
"""The discriminator's moving average."""
COMPARED = 64
"""Pictures whose poses are compared for the figures."""


@dataclass(frozen=True, kw_only=True)
class PosedSettings:
    """Training of a base generator of heads on shoulders; the defaults are the paper's."""

    config: str = ""
    """A configuration of the family by name, or a JSON file with the fields of one; empty: its first."""
    start: str | None = None
    """Prior folder whose weights it starts from; its configuration counts."""
    start_kimg: float = 0.0
    """Thousands of images that `start` was shown: its schedules go on from there."""
    masks: Path | None = None
    """Folder or zip file with a mask for each picture, of the same name; shards have their own."""
    body: Path | None = None
    """Your SMPL file (.npz or .pkl), whose shape the head is bent by; none: a body made by code."""
    pose_noise_deg: float = 10.0
    """Of each number of a pose in shards, whose truth is known: labels of photographs are as poor."""
    license: str = UNKNOWN
    """Of the data, and so of the prior."""
    features: str | None = None
    """Network for KID and FID, as for the other recipe."""
    samples: int = 200
    """Images on each side of the distances."""
    kimg: float = 13_000.0
    """Thousands of real images shown."""
    batch: int = 32
    """Images an iteration."""
    micro_batch: int = 4
    """Images at once, at least 2: conditions and backgrounds are exchanged among them."""
    learning_rate: float = 0.0025
    """Of the generator."""
    discriminator_learning_rate: float = 0.002
    """Of the discriminator, before the factor for its lazy penalty."""
    r1_gamma: float = 1.0
    """Weight of the penalty at images."""
    mask_gamma: float = 1.0
    """Weight of the penalty at masks."""
    mirror: bool = True
    """Show every image mirrored too, its camera and pose as well."""
    memory: Literal["fast", "light"] = "fast"
    """light: large activations are computed again in backward."""
    snapshot_kimg: float = 40.0
    """Thousands of images between checkpoints, each with a sample sheet and figures."""
    seed: int = 0
    """Of every random choice."""

    def __post_init__(self) -> None:
        if self.micro_batch < 2 or self.batch % self.micro_batch == 1:
            raise SettingError(f"micro_batch is {self.micro_batch}: each needs two images or more to exchange conditions.")

    @property
    def adversarial(self) -> AdversarialSettings:
        """The settings that the recipes share."""
        names = (
            "kimg", "batch", "micro_batch", "learning_rate", "discriminator_learning_rate", "r1_gamma", "mirror", "memory",
            "snapshot_kimg", "seed",
        )  # fmt: skip
        return AdversarialSettings(density=0.0, **{name: getattr(self, name) for name in names})


def train_posed(
    data: Path, out: Path, family: Family, settings: PosedSettings, progress: Progress, *, device: str, overwrite: bool = False
) -> Report:
    """Make the prior folder `out` of a family with phases of its own; under torchrun as `train_prior`."""
    body = read_body(settings.body) if settings.body else None
    config = dressed(family, config_of_family(family, settings), body)
    images = open_posed(
        data, settings.masks, family.frame, noise_deg=settings.pose_noise_deg, seed=settings.seed, mirrored=settings.mirror
    )  # fmt: skip
    features = network_features(settings.features) if settings.features else None
    asked = json.loads(json.dumps(asdict(settings), default=str)) | {"recipe": family.name}
    index = data / "dataset.json" if (data / "dataset.json").exists() else data

    def stage(work: Work) -> Report:
        return run_stage(
            "prior train posed",
            version=VERSION,
            inputs={"data": index},
            settings=asked,
            out=out,
            work=work,
            overwrite=overwrite,
        )

    with together(device) as processes:

        def work(partial: Path) -> dict[str, Any]:
            players, phases = begin(family, config, settings, processes.device, body), phases_of(family)
            iteration = partial_of(
                PosedIteration, players=players, images=images, settings=settings.adversarial, processes=processes,
                phases=phases, mask_gamma=settings.mask_gamma, start=settings.start_kimg * 1000,
            )  # fmt: skip
            look = partial_of(snapshot, players, phases, images, features, settings.samples, partial, processes.device)
            with checkpoint_kept(partial):
                run(players, settings.adversarial, lambda: iteration().run(), look, partial, progress, processes)
            return finish(players, images, family, settings, partial, out) if processes.first else {}

        return processes.staged(stage, work)


def recipes() -> list[str]:
    """The families with a recipe of their own."""
    return [family.name for family in FAMILIES.values() if family.phases is not None]


def family_of_recipe(name: str) -> Family:
    """SettingError unless a family of this name has a recipe of its own."""
    if name not in recipes():
        raise SettingError(f"--recipe {name}: choose one of adversarial, supervised, {', '.join(recipes())}.")
    return FAMILIES[name]


def phases_of(family: Family) -> Phases:
    """SettingError for a family that is trained as all are."""
    if family.phases is None:
        raise SettingError(f"the family {family.name} has no recipe of its own; leave --recipe out.")
    return family.phases


def config_of_family(family: Family, settings: PosedSettings) -> Any:
    """The config that the settings name; SettingError for one of another family."""
    if not settings.config and settings.start is None:
        return next(iter(family.presets.values()))
    named, config = network_of(settings)
    if named.name != family.name:
        asked = settings.start or settings.config
        raise SettingError(f"{asked} is of the family {named.name}, and the recipe is {family.name}'s.")
    return config


def dressed(family: Family, config: Any, body: SkinnedBody | None) -> Any:
    """The config with the name of the body; SettingError where it needs one that was not given."""
    try:
        return phases_of(family).dressed(config, body)
    except ValueError as error:
        raise SettingError(f"the network cannot be trained: {error}; name its file with --set body=FILE.") from error


def begin(
    family: Family, config: Any, settings: PosedSettings, device: str, body: SkinnedBody | None = None
) -> Adversaries:  # fmt: skip
    """Fresh networks of the seed, or those of the prior to start from; the generator has no lazy phase."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, judges = family.build(config), family.discriminators(config)
    (judge,) = judges.values()
    if settings.start is not None:
        fill(settings.start, generator, judge.network)
    if body is not None:
        try:
            phases_of(family).wear(generator, body)
        except ValueError as error:
            raise SettingError(f"body={settings.body}: {error}.") from error
    generator, discriminator = generator.to(device), judge.network.to(device)
    rate, betas = schedules.lazy_adam(settings.discriminator_learning_rate, (0.0, 0.99), R1_EVERY)
    average, judge_average = copy.deepcopy(generator), copy.deepcopy(discriminator)
    return Adversaries(
        generator=generator, discriminator=discriminator, average=average.eval().requires_grad_(False),
        judge_average=judge_average.eval().requires_grad_(False),
        augmentation=Augmentation(RELEASE, p=0.0), draw=normal_draw(generator.latent.z_dim),
        generator_optimizer=torch.optim.Adam(generator.parameters(), lr=settings.learning_rate, betas=(0.0, 0.99)),
        discriminator_optimizer=torch.optim.Adam(discriminator.parameters(), lr=rate, betas=betas),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PosedIteration(Iteration):
    """One iteration by a family's phases."""

    phases: Phases
    mask_gamma: float = 1.0
    start: float = 0.0
    """Images that the networks were shown before this training."""

    @property
    def seen(self) -> int:
        return round(super().seen + self.start)

    @property
    def raw_size(self) -> int:
        return self.phases.raw_size(self.players.generator.config, self.seen)

    def free(self, network: Network) -> None:
        super().free(network)
        if network is self.players.generator:
            groups = self.players.generator.groups()
            for parameter in (one for role in self.phases.held(self.seen) for one in groups.get(role, [])):
                parameter.requires_grad_(False)

    def against(self, first: int, count: int) -> Tensor:
        """The generator's loss, its pose head's included."""
        fakes, drawn = self.fakes("G", first, count)
        return self.phases.against(fakes, drawn, self.players.discriminator, sigma=self.sigma, seen=self.seen)

    def judge(self, first: int, count: int) -> Tensor:
        """The discriminator's, with notes for `follow`."""
        with torch.no_grad():
            fakes, drawn = self.fakes("D", first, count)
        real, labels = self.reals("D", first, count)
        self.tally.append(torch.cat([fakes.ws[:, 0].sum(0), fakes.ws.new_zeros(1)]))
        return self.phases.judge(fakes, drawn, real, labels, self.players.discriminator, sigma=self.sigma)

    def penalize(self, first: int, count: int) -> Tensor:
        real, labels = self.reals("R1", first, count)
        gammas = {"gamma": self.settings.r1_gamma, "mask_gamma": self.mask_gamma}
        return R1_EVERY * self.phases.penalty(real, labels, self.players.discriminator, sigma=self.sigma, **gammas)

    def fakes(self, phase: str, first: int, count: int) -> tuple[Any, Any]:
        """Made of fresh latents, and of the labels and poses of random images."""
        random, generator = self.random(f"{phase} {first}"), self.players.generator
        z = self.players.draw(count, random).to(self.device)
        numbers = torch.randint(len(self.images), (count,), generator=random).tolist()
        labels, poses = (torch.stack([of(number) for number in numbers]) for of in (self.images.label, self.images.pose))
        drawn = self.phases.draw(z, labels.to(self.device), poses.to(self.device), self.seen, random)
        return self.phases.fakes(generator, drawn, self.how(f"{phase} {first}"), self.seen), drawn

    def reals(self, phase: str, first: int, count: int) -> tuple[dict[str, Tensor], Tensor]:
        """Images and masks in the order of shuffled rounds through the data, and labels."""
        numbers = [draw(self.images, self.seen + first + number, f"{self.settings.seed} {phase}") for number in range(count)]
        return judged_images(self.images, numbers, self.players.generator.image_size, self.raw_size, self.device)


def frontal_of(images: LabeledImages) -> Tensor:
    """[25] a camera in front that looks where those of the data do."""
    return around(frontal_label(images), torch.zeros(1), looked_at(images))[0]


def judged_images(
    images: LabeledImages, numbers: list[int], size: int, raw_size: int, device: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Pictures with their raw images and masks as a discriminator sees them, and labels [B,25]."""
    image, labels = images.batch(numbers, size)
    image, mask = image.to(device), images.mask_batch(numbers, size).to(device)
    return {"image": image, "image_raw": resize(image, raw_size), "image_mask": resize(mask, raw_size)}, labels.to(device)


def snapshot(
    players: Adversaries, phases: Phases, images: LabeledImages, features: Features | None, samples: int, folder: Path,
    device: str,
) -> dict[str, float]:  # fmt: skip
    """Figures of the averaged networks, and a sheet of samples at rest from all around."""
    (folder / "samples").mkdir(exist_ok=True)
    sheet, label = folder / "samples" / f"{players.iteration:07d}.png", frontal_of(images)
    sample_sheet(sheet, players.average, label, device, angles=7, degrees=180.0, target=looked_at(images))
    found = distances(players.average, images, min(samples, len(images)), features, device, control=phases.control)
    return found | pose_figures(players, images, device)


@torch.no_grad()
def pose_figures(players: Adversaries, images: LabeledImages, device: str, batch: int = 4) -> dict[str, float]:
    """Means over pictures and numbers, degrees: how far the estimator is off the true poses, how far the labels are, and how
    far samples at rest are from looking straight ahead, as the estimator sees them."""
    judge, generator = players.judge_average, players.average
    assert judge is not None
    numbers = torch.randperm(len(images), generator=keyed(0, 0, "poses"))[:COMPARED].tolist()
    size, figures = generator.image_size, {}
    if images.true_poses is not None:
        truth, labels = (torch.stack([images.pose(number, true) for number in numbers]) for true in (True, False))
        told = []
        for first in range(0, len(numbers), batch):
            real, cameras = judged_images(images, numbers[first : first + batch], size, generator.raw_size, device)
            told.append(judge(real, cameras).pose)
        figures = {"pose_off_deg": _degrees(torch.cat(told).cpu() - truth), "label_off_deg": _degrees(labels - truth)}
    return figures | {"canonical_deg": canonical_deg(generator, judge, frontal_of(images).to(device))}


@torch.no_grad()
def canonical_deg(generator: Generator, judge: Any, label: Tensor, count: int = 16) -> float:
    """Mean absolute pose that `judge` sees in samples at rest from the front, degrees."""
    z = torch.randn(count, generator.latent.z_dim, generator=keyed(0, 0, "canonical")).to(label.device)
    told = []
    for rows in z.split(4):
        labels = label.expand(len(rows), -1)
        shown = rendered(generator, Control(ws=generator.mapping(rows, labels)), Camera.from_label(labels))
        told.append(judge(shown, labels).pose)
    return _degrees(torch.cat(told).cpu())


def _degrees(difference: Tensor) -> float:
    return float(torch.rad2deg(difference).abs().mean())


def finish(
    players: Adversaries, images: LabeledImages, family: Family, settings: PosedSettings, folder: Path, out: Path
) -> dict[str, Any]:  # fmt: skip
    """What makes the folder a prior, and the estimator of poses."""
    assert players.judge_average is not None
    state = {name: value.float().cpu().contiguous() for name, value in players.judge_average.state_dict().items()}
    write_bytes(folder / ESTIMATOR, save(state))
    last = write_prior(players, frontal_of(images), family.frame, settings.license, len(images), folder, out)
    return {"images": len(images), "config": settings.config, **last}
