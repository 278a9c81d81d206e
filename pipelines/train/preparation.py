"""Before the first step: where in the prior the person begins, and all that the steps change and draw from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.artifacts.prior import load_codes
from pipelines.engine.microbatches import sampling
from pipelines.train.context import Batches
from pipelines.train.framing import beyond_square
from pipelines.train.inputs import TrainInputs
from pipelines.train.inversion import invert, unseen_views
from pipelines.train.latent_subspace import free_directions, make_room
from pipelines.train.open_mouth import OPENED_SHARE, OpenedMouths, open_mouths, with_opened
from pipelines.train.sampling_weights import balanced
from pipelines.train.start_state import StartState
from pipelines.train.trainer import Trainer, make_trainer

UNFILMED_MOUTH = (
    "the mouth was never filmed open, so how it opens and its teeth are guessed. Film yourself talking with the "
    "mouth wide open to teach it."
)


def start_from_prior(inputs: TrainInputs) -> StartState:
    """The person among the prior's people, if it knows any, and mouths drawn open."""
    person = find_person(inputs)
    return StartState(
        person=person.person, latent_subspace=person.latent_subspace, views=person.views, opened=draw_mouths(inputs)
    )


def find_person(inputs: TrainInputs) -> StartState:
    """Person, subspace and views to remember (pipelines.train.inversion); nothing from a prior that knows no people."""
    codes, settings = load_codes(inputs.prior), inputs.settings.finetune
    if codes is None or settings.inversion_steps == 0 or inputs.settings.network == "fresh":
        return StartState()
    torch.set_num_threads(max(inputs.tools.cores() // 2, 1))
    generator, _, _ = inputs.networks()
    person = invert(
        generator, codes, inputs.frames, lambda random: sampling(settings, random), steps=settings.inversion_steps,
        batch=settings.batch, seed=inputs.settings.seed, progress=inputs.progress,
    )  # fmt: skip
    remembers, wider = settings.remembered > 0, inputs.framing.frame.crop_extent / inputs.prior.frame.crop_extent
    views = unseen_views(generator, person, inputs.frames, sampling(settings, None), wider) if remembers else None
    return StartState(person=person, latent_subspace=free_directions(codes), views=views)


def draw_mouths(inputs: TrainInputs) -> OpenedMouths | None:
    """Frames with the mouth drawn open where it was never filmed so, and a warning that says it."""
    if inputs.settings.unfilmed_mouth == "shut":
        return None
    with inputs.tools.tracker() as find:
        opened = open_mouths(inputs.frames, inputs.prior.landmarks, find)
    if opened is not None:
        inputs.warn(UNFILMED_MOUTH)
    return opened


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training before its first step."""

    trainer: Trainer
    batches: Batches
    source: str
    """One sentence on where the networks' weights come from."""


def prepare(inputs: TrainInputs, start: StartState) -> Prepared:
    """Networks, latents where they start, and what the steps learn from; new ones with every call."""
    generator, judges, source = inputs.networks()
    start, settings = start.to(inputs.device), inputs.settings
    person, subspace = start.person, start.latent_subspace
    if person is not None and subspace is not None:
        make_room(generator, subspace, person)
    frames = with_opened(inputs.frames, start.opened)
    trainer = make_trainer(
        generator, judges, frames, settings.finetune, settings.seed, start=person, room=subspace
    )  # fmt: skip
    if start.latents is not None:
        trainer.latents.data.copy_(start.latents)
        trainer.average["latents"]["w"].copy_(start.latents)
    batches = Batches(frames, generator, settings.finetune, start.views)
    beyond = beyond_square(inputs.framing.frame, inputs.prior.frame, batches.raw_size)
    batches.foreground |= torch.from_numpy(beyond).to(inputs.device)
    batches.sampling_weights = frame_weights(inputs, batches.sampling_weights)
    return Prepared(trainer=trainer, batches=batches, source=source)


def frame_weights(inputs: TrainInputs, weights: Tensor) -> Tensor:
    """How often each frame is drawn [N+M]: the filmed ones [N] with their emphasis, drawn mouths at their fixed share."""
    filmed, opened = weights.split([len(inputs.frames), len(weights) - len(inputs.frames)])
    filmed = inputs.emphasis(filmed)
    return balanced(torch.cat([filmed, opened]), len(filmed), OPENED_SHARE) if len(opened) else filmed
