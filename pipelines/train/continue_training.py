"""A further capture of the same person: an avatar goes on learning, and what it knew is rehearsed (train --add).

The steps are those of pipelines.train.recipe; they begin at the avatar, not at the prior.

Notable choices:
- generator and discriminator go on where the avatar's training ended, at lower rates; every older frame stays a training frame
  and keeps its latent, so nothing is learned at the cost of what nobody looks at any more;
- a new frame's latent begins at the older frame that looks most alike, by colors alone: no tracking enters the appearance;
- new frames are drawn as often as old ones however few they are;
- expression map, torso and evaluation are made anew, of all captures; `added.json` says what it did, by region.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from pipelines.artifacts.avatar import head_frame_of, load_avatar
from pipelines.artifacts.avatar_record import AvatarRecord, load_avatar_record
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.family import config_of
from pipelines.artifacts.held_out import one_after_the_other
from pipelines.artifacts.joined_dataset import join
from pipelines.artifacts.origins import captures_beside, find_origin, is_origin, not_beside, origins_of
from pipelines.artifacts.prior import Prior, load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_json, write_image, write_json
from pipelines.core.stage import RECORD, Progress, Report, fingerprint_of, step
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.engine.distributed import Processes
from pipelines.engine.judges import load_states
from pipelines.train import PRESETS, clock, run_training
from pipelines.train.appearance import GENERATOR, FrameLatents
from pipelines.train.before_after import changes, forgotten
from pipelines.train.finetune import CHECKPOINT
from pipelines.train.frames import Frames
from pipelines.train.framing import Framing, framing_of
from pipelines.train.inputs import Networks, Tools, TrainInputs
from pipelines.train.inversion import NEAR_DEG
from pipelines.train.latent_init import frontal_pictures
from pipelines.train.networks import config_for, make_networks
from pipelines.train.open_mouth import shut_mouths
from pipelines.train.recipe import fit_avatar, require_frames, write_report
from pipelines.train.record import source_of
from pipelines.train.remembered_views import Views
from pipelines.train.sampling_weights import balanced
from pipelines.train.settings import FinetuneSettings, TrainSettings
from pipelines.train.start_state import StartState
from pipelines.train.trainer import discriminators_in

ADDED = "added.json"


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


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """An avatar and all captures it learns from."""

    avatar: Path
    captures: tuple[Path, ...]
    """Those it was made of, in their order, and the added one."""
    parts: tuple[Dataset, ...]
    """Their datasets; what is held out of one is held out of those after it."""
    framing: Framing
    """The avatar's square, judged by the added capture."""
    held_again: int = 0
    """Frames of the added capture that would have been trained on, though an earlier capture holds them out."""

    @property
    def older(self) -> int:
        """Training frames that the avatar knows; in the joined dataset they come first."""
        return sum(len(part.rows("train")) for part in self.parts[:-1])


def settings_for(avatar: Path, preset: TrainSettings | None = None) -> AddingSettings:
    """What fits the avatar: its prior, network, samples, torso and expression space; the rest of `preset`, or of its own."""
    record = _record(avatar)
    earlier: Mapping[str, Any] = read_json(avatar / RECORD).get("settings", {})
    base = preset or PRESETS.get(earlier.get("preset", ""), TrainSettings())
    kept = {name: earlier[name] for name in ("prior", "network", "image_size", "frame", "edges", "seed") if name in earlier}
    kept["torso"], kept["expression_space"] = record.torso, record.expression.space
    kept["paint"] = record.config.get("paint", 0) // record.image_size
    given = {name: getattr(base, name) for name in TrainSettings.__dataclass_fields__} | kept
    given["finetune"] = replace(base.finetune, **(asdict(record.sampling) if record.sampling else {}))
    return AddingSettings(**given)


def add(
    avatar: Path, capture: Path, out: Path, settings: AddingSettings, progress: Progress, *, originals: Sequence[Path] = (),
    device: str = "cpu", overwrite: bool = False, tools: Tools | None = None,
) -> Report:  # fmt: skip
    """Make `out`, the avatar improved with a further capture; the avatar is left as it is.

    The captures it was made of are looked for among `originals`, else beside avatar, capture and out. SettingError and
    UnusableMaterial, before anything is written, when these do not belong together.
    """
    if out.resolve() == avatar.resolve():
        raise SettingError(f"-o {out} is the avatar to improve; choose another -o, the original stays unchanged.")
    require_match(avatar, load_prior(settings.prior), settings)
    older = find_captures(avatar, originals, beside=(avatar, capture, out))
    continuation = open_captures(avatar, older, capture, settings)
    if continuation.held_again:
        progress.warn(held_again_sentence(continuation))
    numbered = {f"capture {number}": folder for number, folder in enumerate(older[1:], 2)}

    def work(folder: Path, processes: Processes) -> dict[str, Any]:
        spent = clock()
        inputs = open_inputs(continuation, folder, settings, progress, processes, tools)
        return processes.lead(inputs, lambda inputs: continue_avatar(inputs, continuation, spent)) or {}

    return run_training(
        work, settings, inputs={"capture": older[0], "avatar": avatar, "added capture": capture, **numbered}, out=out,
        device=device, overwrite=overwrite,
    )  # fmt: skip


def open_inputs(
    continuation: Continuation, folder: Path, settings: AddingSettings, progress: Progress, processes: Processes,
    tools: Tools | None = None,
) -> TrainInputs:  # fmt: skip
    """The inputs of a training that begins at an avatar: its networks at lower rates, new frames as often as settings say."""
    prior, slower = load_prior(settings.prior), replace(settings, finetune=slowed(settings.finetune, settings.adding.rate))
    return TrainInputs(
        captures=continuation.captures, dataset=join(continuation.parts), prior=prior, settings=slower, folder=folder,
        framing=continuation.framing,
        networks=partial(networks_of, continuation.avatar, prior, slower, processes.device),
        emphasis=partial(balanced, first=continuation.older, share=settings.adding.new_share), progress=progress,
        processes=processes, tools=tools or Tools(),
    )  # fmt: skip


def continue_avatar(inputs: TrainInputs, continuation: Continuation, spent: Callable[[], float]) -> dict[str, Any]:
    """All steps from where the avatar stands, and what they changed. Figures for the stage's record."""
    figures = fit_avatar(inputs, lambda inputs: start_from_avatar(inputs, continuation), spent)
    added = step(inputs.folder, "added", lambda: compare(inputs, continuation))
    write_report(inputs.folder)
    return {**figures, "added": added}


def require_match(avatar: Path, prior: Prior, settings: AddingSettings) -> None:
    """SettingError when the settings make another network than the avatar's, UnusableMaterial when the avatar is broken."""
    record = _record(avatar)
    if prior.sha256 != record.prior.sha256:
        raise SettingError(
            f"{avatar} was made from another prior than {prior.name} ({prior.sha256[:8]}); say where it is: --set prior=FOLDER."
        )
    config = json.loads(json.dumps(asdict(config_for(prior, settings))))
    if any(config.get(name) != value for name, value in record.config.items()):
        raise SettingError(f"{avatar} has another network than these settings make; leave out --set network and image_size.")
    load_avatar(avatar)


def find_captures(avatar: Path, given: Sequence[Path], beside: Sequence[Path]) -> list[Path]:
    """The captures an avatar was made of, in their order; UnusableMaterial asks for one that is gone."""
    origins = origins_of(avatar)
    for folder in given:
        if not folder.is_dir():
            raise UnusableMaterial(f"the capture {folder} does not exist.")
        if not any(is_origin(folder, origin) for origin in origins):
            raise UnusableMaterial(f"{avatar.name} was not made of {folder.name}; add a new capture with --add.")
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


def open_captures(avatar: Path, older: Sequence[Path], capture: Path, settings: AddingSettings) -> Continuation:
    """All captures opened; SettingError or UnusableMaterial where they do not belong together."""
    space, frame = settings.expression_space, head_frame_of(avatar, _record(avatar))
    parts, held = one_after_the_other([view_of(folder, frame) for folder in (*older, capture)])
    if fingerprint_of(capture) in map(fingerprint_of, older):
        raise SettingError(f"{capture} is already in {avatar}; --add takes another capture of the person.")
    framing = framing_of(capture, frame, config_of(load_prior(settings.prior)).box_size, personal=False)
    continuation = Continuation(
        avatar=avatar, captures=(*older, capture), parts=parts, framing=framing, held_again=held[-1]
    )  # fmt: skip
    new = parts[-1]
    require_frames(capture, new)
    if f"expression_{space}" not in new.tracking():
        raise UnusableMaterial(f"{capture} was not tracked in the space {space!r} of {avatar}; capture it with those weights.")
    if len(FrameLatents.load(avatar).filmed) != continuation.older:
        raise UnusableMaterial(f"{avatar} and its captures do not belong together: their numbers of training frames differ.")
    return continuation


def start_from_avatar(inputs: TrainInputs, continuation: Continuation) -> StartState:
    """Latents of all frames, the views from sides that no capture shows, and mouths drawn open while none was filmed so."""
    before, latents = StartState.load(continuation.avatar), FrameLatents.load(continuation.avatar)
    views = unseen(before.views, inputs.frames) if before.views and inputs.settings.finetune.remembered > 0 else None
    keeps_opened = before.opened is not None and not opens_mouth(inputs, continuation.older)
    opened = latents.opened if keeps_opened else latents.opened[:0]
    alike = look_alikes(inputs.frames, continuation.older)
    return StartState(
        latents=torch.from_numpy(np.concatenate([latents.filmed, latents.filmed[alike], opened])), views=views,
        opened=before.opened if keeps_opened else None,
    )  # fmt: skip


def opens_mouth(inputs: TrainInputs, older: int) -> bool:
    """Whether the added capture shows what was only drawn before."""
    with inputs.tools.tracker() as find:
        return shut_mouths(inputs.frames, range(older, len(inputs.frames)), find) is None


def networks_of(avatar: Path, prior: Prior, settings: TrainSettings, device: str) -> Networks:
    """The avatar's; a discriminator it no longer has is the prior's or fresh."""
    generator, judges, _ = make_networks(prior, settings, device)
    generator.load_state_dict(load_file(avatar / GENERATOR), strict=True)
    if (avatar / CHECKPOINT).exists():
        _, tree = load_checkpoint(avatar / CHECKPOINT)
        load_states(judges, discriminators_in(tree), str(avatar / CHECKPOINT))
    return generator, judges, f"The generator goes on from {avatar.name}."


def compare(inputs: TrainInputs, continuation: Continuation) -> dict[str, Any]:
    """The record added.json: what changed on held-out frames by capture and region; a warning where something was forgotten."""
    before, after = continuation.avatar, inputs.folder
    origins = [source_of(capture) for capture in continuation.captures]
    record, sheet = changes(before, after, continuation.parts, origins, inputs.device)
    counted = {"held_out_again": continuation.held_again}
    write_json(after / ADDED, {"schema": 1, "avatar": fingerprint_of(before), **counted, **record})
    write_image(after / "samples" / "added.png", sheet)
    if continuation.held_again:
        inputs.warn(held_again_sentence(continuation))
    for text in forgotten(record["captures"]):
        inputs.warn(text)
    inputs.progress.say(record["sentence"])
    return read_json(after / ADDED)


def held_again_sentence(continuation: Continuation) -> str:
    capture = continuation.captures[-1].name
    return (
        f"{continuation.held_again} training frames of {capture} are held out in an earlier capture of "
        f"{continuation.avatar.name} (the same film or pictures): they are held out here too."
    )


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


def unseen(views: Views, frames: Frames) -> Views | None:
    """Remembered views without those near which a training camera stands by now; None where none is left."""
    places = F.normalize(views.camera.world_from_camera[:, :3, 3].cpu(), dim=1)
    cameras = F.normalize(frames.camera.world_from_camera[:, :3, 3].cpu(), dim=1)
    far = (places @ cameras.mT).amax(1) < math.cos(math.radians(NEAR_DEG))
    return Views(camera=views.camera[far], raw=views.raw[far], alpha=views.alpha[far]) if far.any() else None


def _record(avatar: Path) -> AvatarRecord:
    """The record of the avatar; UnusableMaterial when this is none, or does not say what it was made of."""
    if not (avatar / "avatar.json").is_file():
        raise UnusableMaterial(
            f"{avatar} is not an avatar (it has no avatar.json); --add improves a folder made by avatarcli train."
        )
    record = load_avatar_record(avatar)
    if record.capture is None:
        raise UnusableMaterial(
            f"{avatar / 'avatar.json'} does not say what it was made from; make it again with avatarcli train."
        )
    return record
