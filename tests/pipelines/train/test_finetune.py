"""Fine-tuning on a solid whose cameras and expressions are known."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.dual_discriminator import DualDiscriminator
from pipelines.artifacts.prior import load_prior
from pipelines.core.files import read_arrays, write_arrays
from pipelines.core.stage import Silent
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.train import PRESETS
from pipelines.train.context import Batches
from pipelines.train.finetune import Finetuning
from pipelines.train.frames import Frames, load_frames
from pipelines.train.networks import make_networks
from pipelines.train.ray_subset import choose_rays, foreground
from pipelines.train.settings import FinetuneSettings, TrainSettings
from pipelines.train.steps import train_step
from pipelines.train.trainer import Trainer, make_trainer
from tests.training import Killed, KilledAfter
from tests.worlds import quick_view, write_solid_capture, write_unit_prior

FAST = FinetuneSettings(coarse=6, fine=6, checkpoint_every=4, adversarial_every=2, adversarial_from=0.3)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    write_unit_prior(tmp_path / "prior")
    return write_solid_capture(tmp_path / "solid.capture")


def make(capture: Path, changes: Mapping[str, object]) -> tuple[Trainer, Frames, FinetuneSettings]:
    settings: TrainSettings = replace(PRESETS["quick"], prior=str(capture.parent / "prior"), finetune=replace(FAST, **changes))
    frames = load_frames(quick_view(capture), "train", 32, load_prior(settings.prior).landmarks)
    generator, discriminator, _ = make_networks(load_prior(settings.prior), settings, "cpu")
    return make_trainer(generator, discriminator, frames, settings.finetune, seed=0), frames, settings.finetune


def run(
    capture: Path, name: str, changes: dict[str, object], steps: int = 10, progress: Silent | None = None
) -> dict[str, torch.Tensor]:
    """The averaged generator after fine-tuning in the folder `name` beside the capture."""
    trainer, frames, settings = make(capture, changes)
    folder = capture.parent / name
    folder.mkdir(exist_ok=True)
    Finetuning(
        trainer=trainer, batches=Batches(frames, trainer.generator, settings), settings=settings, steps=steps, seed=0,
        folder=folder, progress=progress or Silent(), probe=lambda _: {},
    ).run()  # fmt: skip
    return trainer.average["generator"]


def log_of(capture: Path, name: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (capture.parent / name / "train_log.jsonl").read_text().splitlines()]


def test_training_draws_the_solid(capture: Path) -> None:
    run(capture, "draws", {"adversarial": 0.0}, steps=120)
    rows = log_of(capture, "draws")
    assert rows[-1]["image"] < 0.7 * rows[0]["image"]
    assert rows[-1]["matte"] < rows[0]["matte"]


ADVERSARIAL: dict[str, object] = {"photometric": 0.0, "latents": "sampled", "adversarial_every": 1, "adversarial_from": 0.0}
"""The paper's training, from the first step."""
ADA: dict[str, object] = {**ADVERSARIAL, "augment": "ada", "augment_images": 20.0, "r1_every": 3}
"""Few images, so that p moves far within ten steps."""


@pytest.fixture
def always_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target below any mean sign, so that p goes up."""
    monkeypatch.setattr("pipelines.train.trainer.TARGET", -2.0)


@pytest.mark.parametrize("changes", [{}, {**ADVERSARIAL, "adversarial_from": 0.3}, ADA], ids=["hybrid", "paper", "augmented"])
@pytest.mark.usefixtures("always_right")
def test_a_killed_run_resumes_bit_by_bit(capture: Path, changes: dict[str, object]) -> None:
    whole = run(capture, "whole", changes)
    with pytest.raises(Killed):
        run(capture, "killed", changes, progress=KilledAfter(6))
    resumed = run(capture, "killed", changes)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    strip = [{name: value for name, value in row.items() if name != "seconds"} for row in log_of(capture, "whole")]
    assert strip == [{name: value for name, value in row.items() if name != "seconds"} for row in log_of(capture, "killed")]


def test_augmentation_changes_what_is_learned(capture: Path) -> None:
    plain, fixed = run(capture, "plain", ADVERSARIAL), run(capture, "fixed", {**ADVERSARIAL, "augment": "fixed"})
    assert any(not torch.equal(value, fixed[name]) for name, value in plain.items())
    assert {row["augment"] for row in log_of(capture, "fixed")} == {0.2}


@pytest.mark.parametrize("target", [-2.0, 2.0])
def test_the_probability_follows_the_discriminator(capture: Path, monkeypatch: pytest.MonkeyPatch, target: float) -> None:
    monkeypatch.setattr("pipelines.train.trainer.TARGET", target)
    trainer, frames, settings = make(capture, ADA)
    batches = Batches(frames, trainer.generator, settings)
    seen = [train_step(trainer, batches, settings, steps=8, seed=0)["augment"] for _ in range(8)]
    assert seen == pytest.approx([0] * 3 + [0.8] * 4 + [1.6] if target < 0 else [0] * 8)


@pytest.mark.usefixtures("always_right")
def test_the_probability_is_part_of_the_checkpoint(capture: Path) -> None:
    run(capture, "kept", ADA)
    _, tree = load_checkpoint(capture.parent / "kept" / "checkpoint.safetensors")
    trainer = make(capture, ADA)[0]
    trainer.load(10, tree)
    assert tree["augmentation"]["p"].item() == pytest.approx(8 * 4 / 20)
    assert tree["augmentation"]["signs"][2] == 2, "two batches since the eighth"
    assert torch.equal(trainer.augmentation.p, tree["augmentation"]["p"])


def test_paper_mode_is_purely_adversarial(capture: Path) -> None:
    run(capture, "paper", ADVERSARIAL)
    names = set(log_of(capture, "paper")[-1])
    assert {"adversarial", "discriminator"} <= names and not names & {"raw", "image", "matte", "edges"}


def test_tracked_expressions_say_nothing_but_how_often_a_frame_comes(capture: Path) -> None:
    before = run(capture, "before", {"balance": 0.0})
    tracking = read_arrays(capture / "tracking.npz")
    tracking["expression_measured"] = np.random.default_rng(0).random(tracking["expression_measured"].shape).astype(np.float32)
    tracking["landmarks"] += 100
    write_arrays(capture / "tracking.npz", **tracking)
    after = run(capture, "after", {"balance": 0.0})
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    odds = []
    for balance in (0.0, 0.7):
        trainer, frames, settings = make(capture, {"balance": balance})
        odds.append(Batches(frames, trainer.generator, settings).sampling_weights)
    assert (odds[0] != odds[1]).any()


def test_rays_cover_the_head_and_some_background_and_no_padding() -> None:
    alpha = torch.zeros(2, 1, 16, 16)
    alpha[0, :, 4:12, 4:12] = 1
    alpha[1, :, 6:8, 6:8] = 1
    inside = torch.ones(2, 1, 16, 16)
    inside[:, :, :, :2] = 0
    head = foreground(alpha, margin=1)
    rays = choose_rays(head, inside, 0.25, torch.Generator().manual_seed(0))
    marched = torch.zeros(2, 256).scatter(1, rays, 1.0)
    assert (marched[head] == 1).all()
    assert int(marched[0].sum()) == int(marched[1].sum()) == 100 + int(0.25 * 156)
    assert marched.view(2, 16, 16)[:, :, :2].sum() == 0


def test_only_the_papers_training_has_its_lazy_rates(capture: Path) -> None:
    for changes, generator, discriminator in (
        ({}, (1e-2, (0.9, 0.99)), (2e-3, (0.0, 0.99))),
        ({"photometric": 0.0}, (8e-3, (0.0, 0.99**0.8)), (2e-3 * 16 / 17, (0.0, 0.99 ** (16 / 17)))),
        ({"photometric": 0.0, "density": 0.0}, (1e-2, (0.0, 0.99)), (2e-3 * 16 / 17, (0.0, 0.99 ** (16 / 17)))),
    ):
        trainer = make(capture, changes)[0]
        for optimizer, (rate, betas) in (
            (trainer.generator_optimizer, generator),
            (trainer.discriminator_optimizer, discriminator),
        ):
            group = optimizer.param_groups[0]
            assert (group["lr"], *group["betas"]) == pytest.approx((rate, *betas))


def label_noise(capture: Path, monkeypatch: pytest.MonkeyPatch, seed: int, world: int) -> list[torch.Tensor]:
    """What blurred the discriminator's labels in two steps of the paper's training, call by call."""
    seen: list[torch.Tensor] = []
    true = DualDiscriminator._noisy

    def noisy(self: DualDiscriminator, label: torch.Tensor, random: torch.Generator | None) -> torch.Tensor:
        blurred = true(self, label, random)
        seen.append((blurred - label) / label.std(0).clamp(min=1e-6))
        return blurred

    monkeypatch.setattr(DualDiscriminator, "_noisy", noisy)
    trainer, frames, settings = make(capture, ADVERSARIAL)
    batches = Batches(frames, trainer.generator, settings)
    torch.manual_seed(world)
    for _ in range(2):
        train_step(trainer, batches, settings, steps=2, seed=seed)
    monkeypatch.setattr(DualDiscriminator, "_noisy", true)
    return seen


def test_label_noise_is_drawn_anew_for_every_look_and_by_the_seed_alone(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((capture.parent / "prior" / "prior.json").read_text())
    record["config"]["disc_c_noise"] = 0.5
    (capture.parent / "prior" / "prior.json").write_text(json.dumps(record))
    first, again, other = (label_noise(capture, monkeypatch, *seeds) for seeds in ((0, 1), (0, 2), (1, 1)))
    assert len(first) == 2 * 3, "real and fake ones for the discriminator, fake ones for the generator"
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True)), "PyTorch's own numbers change nothing"
    assert all((one - two).abs().max() > 0.1 for one, two in zip(first, other, strict=True))
    assert all((one - two).abs().max() > 0.1 for one, two in combinations(first, 2))
