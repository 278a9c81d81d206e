"""A further capture of the same person: an avatar goes on learning, and what it knew is rehearsed (train --add).

Notable choices:
- generator and discriminator go on where the avatar's training ended, at lower rates; every older frame stays a training frame
  and keeps its latent, so nothing is learned at the cost of what nobody looks at any more;
- a new frame's latent begins at the older frame that looks most alike, by colors alone: no tracking enters the appearance;
- new frames are drawn as often as old ones however few they are;
- expression map, torso and evaluation are made anew, of all captures; `added.json` says what it did, by region.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from pipelines.artifacts.avatar import avatar_record, load_avatar
from pipelines.artifacts.dataset import Dataset, load_dataset
from pipelines.artifacts.joined_dataset import Joined, join
from pipelines.artifacts.origins import captures_beside, find_origin, is_origin, not_beside, origin_of, origins_of
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, read_json, write_arrays, write_image, write_json
from pipelines.core.stage import RECORD, Progress, Report, fingerprint_of
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.evaluate.faces import tracker
from pipelines.provenance.consent import consent_in
from pipelines.train import PRESETS, made
from pipelines.train.before_after import changes, forgotten
from pipelines.train.context import Batches
from pipelines.train.finetune import CHECKPOINT
from pipelines.train.frames import Frames
from pipelines.train.inversion import NEAR_DEG
from pipelines.train.latent_init import frontal_pictures
from pipelines.train.networks import config_for, make_networks
from pipelines.train.open_mouth import shut_mouths, with_opened
from pipelines.train.recipe import LATENTS, START, Recipe
from pipelines.train.sampling_weights import balanced
from pipelines.train.settings import FinetuneSettings, TrainSettings
from pipelines.train.trainer import Trainer, make_trainer

ADDED = "added.json"
LEAST = 8
"""Training frames of an added capture."""


@dataclass(frozen=True, kw_only=True)
class Adding:
    """How an avatar goes on with a further capture."""

    rate: float = 0.5
    """Learning rates of the networks, as a share of `finetune`'s; latents keep theirs."""
    new_share: float = 0.5
    """Share of the drawn frames that are of the added capture."""


@dataclass(frozen=True, kw_only=True)
class AddingSettings(TrainSettings):
    """Settings of a training that begins at an avatar."""

    adding: Adding = field(default_factory=Adding)


def settings_for(avatar: Path, preset: TrainSettings | None = None) -> AddingSettings:
    """What fits the avatar: its prior, network, samples, torso and expression space; the rest of `preset`, or of its own."""
    record = _record(avatar)
    known: Mapping[str, Any] = read_json(avatar / RECORD).get("settings", {})
    base = preset or PRESETS.get(known.get("preset", ""), TrainSettings())
    kept = {name: known[name] for name in ("prior", "network", "seed") if name in known}
    kept["torso"], kept["expression_space"] = record.get("torso", base.torso), record["expression"]["space"]
    kept["paint"] = record["config"].get("paint", 0) // record["image_size"]
    given = {name: getattr(base, name) for name in TrainSettings.__dataclass_fields__} | kept
    given["finetune"] = replace(base.finetune, **record.get("sampling", {}))
    return AddingSettings(**given)


def add(
    avatar: Path, capture: Path, out: Path, settings: AddingSettings, progress: Progress, *, originals: Sequence[Path] = (),
    device: str = "cpu", overwrite: bool = False,
) -> Report:  # fmt: skip
    """Make `out`, the avatar improved with a further capture; the avatar is left as it is.

    The captures it was made of are looked for among `originals`, else beside avatar, capture and out. SettingError and
    UnusableMaterial, before anything is written, when these do not belong together.
    """
    if out.resolve() == avatar.resolve():
        raise SettingError(f"-o {out} is the avatar that is improved; choose another -o, it is left as it is.")
    record, prior = _record(avatar), load_prior(settings.prior)
    if prior.sha256 != record.get("prior", {}).get("sha256"):
        raise SettingError(
            f"{avatar} was made from another prior than {prior.name} ({prior.sha256[:8]}); say where it is: --set prior=FOLDER."
        )
    config = json.loads(json.dumps(asdict(config_for(prior, settings))))
    if any(config.get(name) != value for name, value in record["config"].items()):
        raise SettingError(f"{avatar} has another network than these settings make; leave out --set network.")
    load_avatar(avatar)  # whole, before anything is written
    older = find_captures(avatar, originals, beside=(avatar, capture, out))
    parts = open_parts(avatar, older, capture, settings.expression_space, prior.name)
    inputs = {"capture": older[0], "avatar": avatar, "added capture": capture}
    inputs |= {f"capture {number}": one for number, one in enumerate(older[1:], 2)}

    def recipe_of(partial: Path, processes: Any) -> AddingRecipe:
        return AddingRecipe(avatar, (*older, capture), parts, partial, settings, progress, processes)

    asked = {**asdict(settings), "prior_sha256": prior.sha256}
    return made(recipe_of, inputs=inputs, asked=asked, out=out, device=device, overwrite=overwrite)


def find_captures(avatar: Path, given: Sequence[Path], beside: Sequence[Path]) -> list[Path]:
    """The captures an avatar was made of, in their order; UnusableMaterial asks for one that is gone."""
    origins = origins_of(avatar)
    for folder in given:
        if not folder.is_dir():
            raise UnusableMaterial(f"the capture {folder} does not exist.")
        if not any(is_origin(folder, origin) for origin in origins):
            raise UnusableMaterial(f"{avatar.name} was not made of {folder.name}; a new capture is given with --add.")
    candidates, command = (
        [*given, *captures_beside(*beside)],
        f"avatarcli train {avatar.name} CAPTURE --add NEW.capture -o NEW.avatar",
    )
    folders = []
    for origin in origins:
        folder = find_origin(origin, candidates)
        if folder is None:
            raise not_beside(origin, avatar, command)
        folders.append(folder)
    return folders


def open_parts(avatar: Path, older: Sequence[Path], capture: Path, space: str, prior: str) -> tuple[Dataset, ...]:
    """The datasets of all captures, the added one last; a sentence where they do not belong together."""
    parts, old = (*map(load_dataset, older), load_dataset(capture)), [fingerprint_of(folder) for folder in older]
    if fingerprint_of(capture) in old:
        raise SettingError(f"{capture} is already in {avatar}; --add takes a further capture of the person.")
    made_for = [read_json(folder / "capture.json")["prior"] for folder in (older[0], capture)]
    if made_for[1]["name"] != prior or made_for[1].get("sha256") != made_for[0].get("sha256"):
        raise UnusableMaterial(
            f"{capture} is aligned to the prior {made_for[1]['name']} ({str(made_for[1].get('sha256'))[:8]}), the avatar's "
            f"capture to {made_for[0]['name']} ({str(made_for[0].get('sha256'))[:8]}); capture it again for that."
        )
    new = parts[-1]
    if len(new.rows("train")) < LEAST or len(new.rows("test")) < 1:
        raise UnusableMaterial(f"{capture} has {len(new.rows('train'))} training frames; film for 10 s or longer.")
    if f"expression_{space}" not in new.tracking():
        raise UnusableMaterial(f"{capture} was not tracked in the space {space!r} of {avatar}; capture it with those weights.")
    if len(_latents(avatar)) != sum(len(part.rows("train")) for part in parts[:-1]):
        raise UnusableMaterial(f"{avatar} and its captures do not belong together: their training frames are not as many.")
    return parts


class AddingRecipe(Recipe):
    """A training that begins at an avatar; `captures` are those it was made of and the added one."""

    def __init__(
        self, avatar: Path, captures: tuple[Path, ...], parts: tuple[Dataset, ...], folder: Path, settings: AddingSettings,
        progress: Progress, processes: Any,
    ):  # fmt: skip
        slower = slowed(settings.finetune, settings.adding.rate)
        super().__init__(captures[0], folder, replace(settings, finetune=slower), progress, processes.device, processes)
        self.avatar, self.captures, self.parts, self.adding = avatar, captures, parts, settings.adding

    @cached_property
    def dataset(self) -> Joined:
        return join(self.parts)

    @property
    def older(self) -> int:
        """Training frames that the avatar knows."""
        return sum(len(part.rows("train")) for part in self.parts[:-1])

    def start(self) -> dict[str, Any]:
        """Latents of all frames, the views from sides that no capture shows, and mouths drawn open while none was filmed so."""
        known, kept, opened = _latents(self.avatar), {}, {}
        begun = read_arrays(self.avatar / START) if (self.avatar / START).exists() else {}
        if self.settings.finetune.remembered > 0:
            kept = unseen(begun, self.frames)
        if "opened_of" in begun and not self.opens_mouth():
            opened = {name: value for name, value in begun.items() if name.startswith("opened_")}
        alike = look_alikes(self.frames, self.older)
        own = read_arrays(self.avatar / LATENTS)["opened"] if opened else known[:0]
        write_arrays(self.folder / START, latents=np.concatenate([known, known[alike], own]), **kept, **opened)
        return {
            "older_frames": len(known), "added_frames": len(alike), "views_to_remember": len(kept.get("raw", ())),
            "opened_frames": len(own),
        }  # fmt: skip

    def opens_mouth(self) -> bool:
        """Whether the added capture shows what was only drawn before."""
        with tracker() as find:
            return shut_mouths(self.frames, range(self.older, len(self.frames)), find) is None

    def begin(self) -> tuple[Trainer, Batches, str]:
        """As the avatar's training ended, with the added frames beside its own."""
        generator, discriminator = self.networks()
        found = self.started()
        frames = with_opened(self.frames, found)
        trainer = make_trainer(generator, discriminator, frames, self.settings.finetune, self.settings.seed)
        trainer.latents.data.copy_(found["latents"])
        trainer.average["latents"]["w"].copy_(found["latents"])
        return trainer, self.batches(frames, generator, found), f"The generator goes on from {self.avatar.name}."

    def odds(self, odds: Tensor) -> Tensor:
        """New frames as often as the settings say."""
        return balanced(odds, self.older, self.adding.new_share)

    def networks(self) -> tuple[EG3D, DualDiscriminator]:
        """The avatar's; a discriminator it no longer has is the prior's or fresh."""
        generator, discriminator, _ = make_networks(self.prior, self.settings, self.device)
        generator.load_state_dict(load_file(self.avatar / "generator.safetensors"), strict=True)
        if (self.avatar / CHECKPOINT).exists():
            discriminator.load_state_dict(load_checkpoint(self.avatar / CHECKPOINT)[1]["discriminator"], strict=True)
        return generator, discriminator

    def write_record(self, expression: np.ndarray) -> None:
        super().write_record(expression)
        path = self.folder / "avatar.json"
        write_json(path, read_json(path) | {"added": [source_of(one) for one in self.captures[1:]]})

    def evaluation(self) -> dict[str, Any]:
        """Of all held-out frames, and what changed by capture and region."""
        figures = super().evaluation()
        origins = [source_of(one) for one in self.captures]
        record, sheet = changes(self.avatar, self.folder, self.parts, origins, self.device)
        write_json(self.folder / ADDED, {"schema": 1, "avatar": fingerprint_of(self.avatar), **record})
        write_image(self.folder / "samples" / "added.png", sheet)
        for text in forgotten(record["captures"]):
            self.warn(text)
        self.progress.say(record["sentence"])
        return figures

    def finish(self) -> dict[str, Any]:
        return {**super().finish(), "added": read_json(self.folder / ADDED)}


def slowed(settings: FinetuneSettings, rate: float) -> FinetuneSettings:
    names = ("learning_rate", "planes_learning_rate", "discriminator_learning_rate")
    return replace(settings, **{name: rate * getattr(settings, name) for name in names})


def look_alikes(frames: Frames, older: int) -> np.ndarray:
    """[N-older] numbers of the first `older` frames that the others look most like, as if seen from the front.

    Pictures are compared at mean 0 and deviation 1, so that another exposure is no other face.
    """
    pictures = frontal_pictures(frames).flatten(1)
    pictures = (pictures - pictures.mean(1, keepdim=True)) / pictures.std(1, keepdim=True).clamp(min=1e-3)
    apart = torch.cdist(pictures[older:], pictures[:older], compute_mode="donot_use_mm_for_euclid_dist")
    return apart.argmin(1).cpu().numpy()


def unseen(known: Mapping[str, np.ndarray], frames: Frames) -> dict[str, np.ndarray]:
    """Remembered views [M] as arrays `label`, `raw`, `alpha`, without those near which a training camera stands by now."""
    if "raw" not in known:
        return {}
    places = F.normalize(Camera.from_label(torch.from_numpy(known["label"])).world_from_camera[:, :3, 3], dim=1)
    seen = F.normalize(frames.camera.world_from_camera[:, :3, 3].cpu(), dim=1)
    far = ((places @ seen.mT).amax(1) < math.cos(math.radians(NEAR_DEG))).numpy()
    return {name: known[name][far] for name in ("label", "raw", "alpha")} if far.any() else {}


def source_of(capture: Path) -> dict[str, Any]:
    """Which capture this is, and what its person agreed to."""
    return asdict(origin_of(capture)) | {"consent": consent_in(capture)}


def _record(avatar: Path) -> dict[str, Any]:
    """The record of the avatar; UnusableMaterial when this is none, or does not say what it was made of."""
    if not (avatar / "avatar.json").is_file():
        raise UnusableMaterial(
            f"{avatar} is no avatar (it has no avatar.json); --add improves a folder made by avatarcli train."
        )
    record = avatar_record(avatar)
    if not {"name", "fingerprint"} <= set(record.get("capture", {})):
        raise UnusableMaterial(
            f"{avatar / 'avatar.json'} does not say what it was made of; make it again with avatarcli train."
        )
    return record


def _latents(avatar: Path) -> np.ndarray:
    """[N,w_dim] of its training frames."""
    return read_arrays(avatar / LATENTS)["w"]
