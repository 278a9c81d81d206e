"""A person's start in the prior: inversion, what is remembered, and how the prior's networks become a person's."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from models.camera import Camera, orbit
from models.eg3d.config import QUICK, UNIT
from models.eg3d.generator import EG3D
from models.eg3d.transfer import MOST_PAINT, resized, transfer
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import Prior, load_codes, load_prior
from pipelines.core.stage import Silent
from pipelines.engine.checkpoint import flatten, load_checkpoint, save_checkpoint
from pipelines.engine.keyed_random import keyed
from pipelines.prior.train.autodecoder import AutodecoderSettings
from pipelines.prior.train.supervised import SupervisedSettings, train_supervised
from pipelines.train import TrainSettings
from pipelines.train.context import Batches
from pipelines.train.frames import Frames, load_frames
from pipelines.train.inversion import (
    FADE,
    NEAR_DEG,
    Seen,
    above,
    invert,
    lowest,
    unseen_views,
)
from pipelines.train.latent_init import initial_codes
from pipelines.train.networks import config_for, make_networks
from pipelines.train.preparation import prepare, start_from_prior
from pipelines.train.remembered_views import Views
from pipelines.train.settings import FinetuneSettings
from pipelines.train.start_state import StartState
from pipelines.train.steps import train_step
from pipelines.train.trainer import make_trainer
from tests.training import inputs_of
from tests.worlds import quick_view, write_solid_capture, write_unit_prior
from tests.worlds_shards import write_solid_shards


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Prior:
    folder = tmp_path_factory.mktemp("priors")
    (folder / "unit.json").write_text(json.dumps(asdict(replace(UNIT, mapping_last="linear", mapping_hidden=32))))
    asked = AutodecoderSettings(steps=150, latents=2, views=2, patch=12, checkpoint_every=150)
    shards = write_solid_shards(folder / "shards")
    train_supervised(
        shards, folder / "unit", SupervisedSettings(config=folder / "unit.json", autodecoder=asked), Silent()
    )  # fmt: skip
    return load_prior(str(folder / "unit"))


@pytest.fixture
def frames(tmp_path: Path, prior: Prior) -> Frames:
    return load_frames(quick_view(write_solid_capture(tmp_path / "solid.capture")), "train", 32, prior.landmarks)


def how(random: torch.Generator | None) -> Sampling:
    return Sampling(coarse=6, fine=6, jitter="mid" if random is None else "random", generator=random)


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(network="prior", finetune=replace(FinetuneSettings(adversarial=0.0, coarse=6, fine=6), **changes))  # pyright: ignore[reportArgumentType]


def test_inversion_finds_a_person_nearer_to_the_frames(prior: Prior, frames: Frames) -> None:
    generator, _, _ = make_networks(prior, settings(), "cpu")
    assert isinstance(generator, EG3D)
    codes = load_codes(prior)
    assert codes is not None
    person = invert(generator, codes, frames, how, steps=40, batch=4, seed=0, progress=Silent())
    seen, every = Seen(frames, 8), torch.arange(len(frames))
    with torch.no_grad():
        before, after = (
            seen.distance(generator, w.expand(len(frames), -1), every, how(None), torch.Generator().manual_seed(0))
            for w in (torch.from_numpy(codes.base), person)
        )
    assert after < 0.95 * before
    among = torch.linalg.lstsq(torch.from_numpy(codes.people).T, person - torch.from_numpy(codes.base)).residuals
    assert among.numel() == 0 or float(among) < 1e-6, "a person lies among the prior's people"
    again = invert(generator, codes, frames, how, steps=40, batch=4, seed=0, progress=Silent())
    assert torch.equal(again, person)


def test_only_sides_that_were_not_filmed_are_remembered(prior: Prior, frames: Frames) -> None:
    generator, _, _ = make_networks(prior, settings(), "cpu")
    assert isinstance(generator, EG3D)
    views = unseen_views(generator, torch.zeros(8), frames, how(None))
    assert views is not None and views.raw.shape[1:] == (3, 16, 16)
    seen = torch.nn.functional.normalize(frames.camera.world_from_camera[:, :3, 3], dim=1)
    kept = torch.nn.functional.normalize(views.camera.world_from_camera[:, :3, 3], dim=1)
    nearest = torch.rad2deg(torch.arccos((kept @ seen.mT).clamp(-1, 1))).amin(1)
    assert nearest.min() >= NEAR_DEG - 0.1 and (kept[:, 2] < -0.5).any(), "the back is among them"
    around = Camera(
        world_from_camera=orbit(torch.arange(16) * 0.3927, torch.full((16,), 1.57), 2.9),
        intrinsics=frames.camera.intrinsics[:1].expand(16, -1, -1),
    )
    everywhere = Frames(**{**vars(frames), "camera": around})
    left = unseen_views(generator, torch.zeros(8), everywhere, how(None))
    assert left is None or len(left.raw) < len(views.raw)


def test_remembering_keeps_the_sides_and_nothing_else_changes_without_it(prior: Prior, frames: Frames) -> None:
    def drift(remembered: float) -> tuple[float, dict[str, float]]:
        asked = settings(remembered=remembered).finetune
        generator, discriminator, _ = make_networks(prior, settings(), "cpu")
        assert isinstance(generator, EG3D)
        codes = load_codes(prior)
        assert codes is not None
        person = torch.from_numpy(codes.base)
        views = unseen_views(generator, person, frames, how(None))
        assert views is not None
        latents = person.expand(len(frames), -1).clone()
        trainer = make_trainer(generator, discriminator, frames, asked, 0, start=latents)
        batches, figures = Batches(frames, generator, asked, views), {}
        for _ in range(30):
            figures |= train_step(trainer, batches, asked, steps=30, seed=0)
        return distance(generator, trainer.latents.detach().mean(0), views), figures

    kept, figures = drift(3.0)
    forgotten, others = drift(0.0)
    assert kept < 0.7 * forgotten
    assert "remembered" in figures and "remembered" not in others


def distance(generator: EG3D, w: torch.Tensor, views: Views) -> float:
    ws = broadcast(w[None], generator.latent.num_ws)
    with torch.no_grad():
        shown = [
            generator.synthesis(ws, views.camera[n], background=torch.zeros(1, 3, 1, 1)).raw for n in range(len(views.raw))
        ]
    return float((torch.cat(shown) - views.raw).abs().mean())


def test_a_person_gets_more_planes_and_looks_the_same(prior: Prior) -> None:
    base = EG3D(config_of(prior))
    from safetensors.torch import load_file

    assert prior.weights is not None
    base.load_state_dict(load_file(prior.weights))
    generator, _, begun = make_networks(prior, settings(), "cpu")
    assert isinstance(generator, EG3D)
    assert len(generator.basis_planes) > len(base.basis_planes) and prior.name in begun
    ws, camera = broadcast(torch.randn(1, 8), base.latent.num_ws), Camera.frontal(2.7, 3.2)
    with torch.no_grad():
        ours, theirs = (one.synthesis(ws, camera).image for one in (generator, base))
    assert (ours - theirs).abs().max() < 1e-4


def test_a_plane_the_prior_lacks_starts_empty() -> None:
    lacking, own = EG3D(UNIT).state_dict(), EG3D(replace(UNIT, back_plane=True)).state_dict()
    result = transfer(lacking, own)
    assert set(result) == set(own) and not result["back_plane"].any()


def test_a_fresh_network_takes_nothing_from_the_prior(prior: Prior) -> None:
    generator, _, begun = make_networks(prior, replace(settings(), network="fresh"), "cpu")
    assert isinstance(generator, EG3D)
    assert "random weights" in begun and replace(generator.config, paint=0) == QUICK
    assert not generator.static_planes.any()
    assert TrainSettings().network == "prior", "a training that asks for nothing starts from it"


def test_at_512_backbone_and_decoder_are_the_priors() -> None:
    config = resized(UNIT, 512)
    assert (config.image_size, config.neural_rendering_resolution, config.superresolution) == (512, 128, "8XDC")
    assert config.plane_channels == UNIT.plane_channels and config.discriminator_channel_base == 32768


@pytest.mark.slow
def test_the_workstation_starts_from_the_prior(prior: Prior) -> None:
    generator, _, begun = make_networks(prior, replace(settings(), network="512"), "cpu")
    assert isinstance(generator, EG3D)
    small, _, _ = make_networks(prior, settings(), "cpu")
    assert isinstance(small, EG3D) and "super-resolution and discriminator are fresh" in begun and generator.image_size == 512
    assert torch.equal(generator.static_planes, small.static_planes)


def test_a_training_begins_where_the_start_ended(prior: Prior, tmp_path: Path) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture")
    asked = replace(settings(inversion_steps=3), prior=str(prior.folder))
    inputs = inputs_of(capture, tmp_path / "work", asked)
    start_from_prior(inputs).save(inputs.folder)
    start = StartState.load(inputs.folder)
    assert start.person is not None and start.latent_subspace is not None and start.counts["views_to_remember"] > 0
    ready = prepare(inputs, start)
    codes = initial_codes(
        inputs.frames, 8, asked.finetune.components, asked.finetune.latent_spread, keyed(0, 0, "latents"),
        start.latent_subspace,
    )  # fmt: skip
    assert torch.allclose(ready.trainer.latents, start.person + codes, atol=1e-6)
    remembered = ready.batches.remembered
    assert remembered is not None and len(remembered.raw) == start.counts["views_to_remember"]


def test_a_training_from_the_prior_goes_on_as_if_it_had_not_stopped(prior: Prior, tmp_path: Path) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture")
    asked = replace(settings(inversion_steps=2), prior=str(prior.folder))
    states = []
    for name, parts in (("whole", (6,)), ("parts", (3, 6))):
        inputs = inputs_of(capture, tmp_path / name, asked)
        start_from_prior(inputs).save(inputs.folder)
        for end in parts:
            ready = prepare(inputs, StartState.load(inputs.folder))
            trainer, checkpoint = ready.trainer, inputs.folder / "checkpoint.safetensors"
            if checkpoint.exists():
                trainer.load(*load_checkpoint(checkpoint))
            while trainer.step < end:
                train_step(trainer, ready.batches, asked.finetune, steps=6, seed=0)
            save_checkpoint(checkpoint, trainer.step, trainer.tree())
        states.append(trainer.tree())
    whole, parts = (flatten(one) for one in states)
    assert whole.keys() == parts.keys() and all(torch.equal(value, parts[name]) for name, value in whole.items())
    generator, _, _ = make_networks(prior, asked, "cpu")
    assert isinstance(generator, EG3D)
    before = generator.backbone.synthesis.state_dict()
    kept = [name for name, value in before.items() if "affine" not in name]
    assert kept and all(torch.equal(whole[f"generator/backbone.synthesis.{name}"], before[name]) for name in kept)


def test_a_prior_without_names_begins_as_before(tmp_path: Path) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture")
    asked = replace(settings(), prior=str(write_unit_prior(tmp_path / "plain")))
    inputs = inputs_of(capture, tmp_path / "work", asked)
    start_from_prior(inputs).save(inputs.folder)
    assert not (inputs.folder / "start.npz").exists() and StartState.load(inputs.folder) == StartState()
    assert prepare(inputs, StartState()).batches.remembered is None


def test_views_to_remember_end_where_the_mattes_do() -> None:
    """A wall at z = 0 of which the mattes show what lies above y = -0.2."""
    size, count = 64, 5
    camera = Camera.frontal(2.7, 2.7)[torch.zeros(count, dtype=torch.long)]
    origins, directions = camera.rays(size)
    depth = -origins[..., 2] / directions[..., 2]
    y = (origins + depth[..., None] * directions)[..., 1].view(count, 1, size, size)
    flat = torch.zeros(count, 3, size, size)
    frames = Frames(
        image=flat, alpha=(y > -0.2).float(), inside=flat[:, :1], detail=flat[:, :1], camera=camera,
        weight=torch.ones(count), time_s=torch.arange(count).float(),
    )  # fmt: skip
    end = lowest(frames)
    assert abs(end + 0.2) < 1.5 / size
    kept = above(camera, depth.view(count, 1, size, size), end)
    assert bool((kept[y > -0.2 + 2 / size] == 1).all()) and bool((kept[y < -0.2 - FADE - 2 / size] == 0).all())
    assert bool(((kept > 0) & (kept < 1)).any()), "the end is soft"


def test_paint_is_never_finer_than_a_gigabyte_allows(prior: Prior) -> None:
    config = config_for(prior, replace(settings(), network="512", paint=2))
    assert (config.image_size, config.paint) == (512, MOST_PAINT)
    assert config_for(prior, replace(settings(), paint=0)).paint == 0
