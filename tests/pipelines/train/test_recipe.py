"""A whole small training: capture folder in, avatar folder out."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.generator import Control, LatentSpec, rendered
from models.heads.expression_map import ExpressionMap, standardization
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import hashed
from pipelines.artifacts.prior import PriorCodes, load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, read_json, write_arrays, write_json
from pipelines.core.stage import Silent
from pipelines.train import PRESETS, TrainSettings, train
from pipelines.train.appearance import FrameLatents
from pipelines.train.expression_map import explained, fit_expression_map
from pipelines.train.pairs import Pairs, propose, unfilmed
from pipelines.train.recipe import train_avatar
from pipelines.train.settings import FinetuneSettings, MapSettings, PairSettings
from tests.training import TOOLS, inputs_of
from tests.worlds import as_schema_1, write_solid_capture, write_unit_prior


@pytest.fixture
def settings(tmp_path: Path) -> TrainSettings:
    torch.set_num_threads(1)
    prior = write_unit_prior(tmp_path / "prior")
    finetune = FinetuneSettings(steps=40, coarse=6, fine=6, checkpoint_every=20, adversarial_every=4)
    return replace(
        PRESETS["quick"], prior=str(prior), torso="none", finetune=finetune, pairs=PairSettings(count=40, render_px=32),
        expression_map=MapSettings(steps=100, hidden=16),
    )  # fmt: skip


def test_a_capture_becomes_an_avatar(tmp_path: Path, settings: TrainSettings) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture")
    report = train(capture, tmp_path / "solid.avatar", settings, Silent(), tools=TOOLS)
    avatar = load_avatar(tmp_path / "solid.avatar")
    ws = avatar.expression_map(torch.from_numpy(avatar.neutral)[None])
    rendering = rendered(avatar.generator, Control(ws=ws), avatar.frontal)
    assert rendering.image.shape == (1, 3, 32, 32) and torch.isfinite(rendering.image).all()
    limits = avatar.record.view_limits
    assert limits and limits.yaw_deg[0] < limits.yaw_deg[1], "how far the head turned while it was filmed"
    assert avatar.record.weights == hashed(avatar.folder, avatar.record.weights) and "pairs.npz" in avatar.record.weights
    assert set(report.figures["evaluation"]["baselines"]) == {"mean", "retrieval", "oracle"}
    said = any("mouth opens" in warning for warning in report.warnings)
    assert said == (report.figures["jaw_range"] < 0.2), "a small range has to be said, and only that"
    assert report.figures["framing"]["cut_share"] == 0
    assert list(report.seconds) == [
        "framing",
        "start",
        "plan",
        "appearance",
        "pairs",
        "expression_map",
        "torso",
        "scene",
        "references",
        "evaluation",
    ]
    assert (tmp_path / "solid.avatar" / "report.html").exists()
    assert train(capture, tmp_path / "solid.avatar", settings, Silent(), tools=TOOLS).status == "unchanged"


def test_a_copied_capture_trains_to_the_same_bits(tmp_path: Path, settings: TrainSettings) -> None:
    capture = write_solid_capture(tmp_path / "solid.capture")
    copied = Path(shutil.copytree(capture, tmp_path / "elsewhere" / "copy.capture"))
    folders = [tmp_path / "a.avatar", tmp_path / "b.avatar"]
    reports = [
        train(source, out, settings, Silent(), tools=TOOLS) for source, out in zip((capture, copied), folders, strict=True)
    ]
    assert reports[0].fingerprint == reports[1].fingerprint
    for name in ("generator.safetensors", "expression_map.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    record = (folders[1] / "avatar.json").read_text() + (folders[1] / "stage.json").read_text()
    assert str(tmp_path / "elsewhere") not in record


@pytest.mark.parametrize("step", ["pairs", "expression_map", "evaluation"])
def test_a_killed_run_goes_on_with_the_planned_threads(tmp_path: Path, settings: TrainSettings, step: str) -> None:
    """Sums of one thread and of two differ in the last bit."""
    capture, folder = write_solid_capture(tmp_path / "solid.capture"), tmp_path / "solid.avatar"
    few = replace(settings, finetune=replace(settings.finetune, steps=4))
    train(capture, folder, few, Silent(), tools=TOOLS)
    write_json(folder / "plan.json", read_json(folder / "plan.json") | {"threads": 2})
    (folder / "steps" / f"{step}.json").unlink()
    torch.set_num_threads(1)
    try:
        train_avatar(inputs_of(capture, folder, few), lambda: 0.0)
        assert torch.get_num_threads() == 2 and (folder / "steps" / f"{step}.json").exists()
    finally:
        torch.set_num_threads(1)


def test_latents_of_older_avatars_are_read(tmp_path: Path) -> None:
    w, more = np.zeros((3, 8), np.float32), np.ones((2, 8), np.float32)
    for name, known, count in (("now", {"opened": more}, 2), ("older", {"drawn": more}, 2), ("oldest", {}, 0)):
        write_arrays(tmp_path / name / "latents.npz", w=w, **known)
        latents = FrameLatents.load(tmp_path / name)
        assert (
            np.array_equal(latents.filmed, w)
            and np.array_equal(latents.opened, more[:count])
            and len(latents.all()) == 3 + count
        )
    write_arrays(tmp_path / "broken" / "latents.npz", w=w, opened=more[:, :4])
    with pytest.raises(UnusableMaterial, match="has opened of shape"):
        FrameLatents.load(tmp_path / "broken")


def test_an_old_capture_for_another_prior_is_refused(tmp_path: Path, settings: TrainSettings) -> None:
    capture = as_schema_1(write_solid_capture(tmp_path / "solid.capture"), load_prior("quick"))
    with pytest.raises(UnusableMaterial, match=r"aligned to the prior quick \(ced1a55f\) alone; capture again"):
        train(capture, tmp_path / "solid.avatar", settings, Silent(), tools=TOOLS)
    assert not (tmp_path / "solid.avatar").exists()


def test_missing_capture_and_missing_budget_are_sentences(tmp_path: Path, settings: TrainSettings) -> None:
    with pytest.raises(UnusableMaterial, match="does not exist"):
        train(tmp_path / "none.capture", tmp_path / "x.avatar", settings, Silent(), tools=TOOLS)
    capture = write_solid_capture(tmp_path / "solid.capture")
    asked = replace(settings, budget_s=None, finetune=replace(settings.finetune, steps=None))
    with pytest.raises(SettingError, match="--budget"):
        train(capture, tmp_path / "x.avatar", asked, Silent(), tools=TOOLS)


def test_pairs_keep_the_fitted_latents_and_step_along_their_directions() -> None:
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(50, 2, generator=random) @ torch.randn(2, 8, generator=random)
    w = propose(None, latents, PairSettings(directions=2, spread=0.5), 80, seed=1)  # type: ignore[arg-type]
    assert torch.equal(w[:50], latents) and len(w) == 80
    plane = torch.linalg.svd(latents - latents.mean(0), full_matrices=False)[2][:2]
    off = (w - latents.mean(0)) - (w - latents.mean(0)) @ plane.T @ plane
    assert off.abs().max() < 1e-4, "perturbations leave the span of what was fitted"


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_steps_of_pairs_are_as_wide_as_the_fitted_latents_times_the_spread(spread: float) -> None:
    latents = 2.0 * torch.randn(200, 1, generator=torch.Generator().manual_seed(1)) @ torch.ones(1, 4) / 2
    settings = PairSettings(directions=1, spread=spread)
    w = propose(None, latents, settings, 4200, seed=1)[200:]  # type: ignore[arg-type]
    assert float(w.std()) == pytest.approx(float(latents.std()) * (1 + spread**2) ** 0.5, rel=0.05)


def test_unfilmed_faces_are_those_of_the_priors_people() -> None:
    random = np.random.default_rng(0)
    codes = PriorCodes(
        base=np.zeros(8, np.float32), people=np.zeros((2, 8), np.float32), names=("jawOpen", "mouthPucker"),
        directions=random.normal(size=(2, 8)).astype(np.float32), spread=np.ones(2, np.float32),
        labels=np.array([[0.0, 0.0], [0.8, 0.0], [0.0, 0.6]], np.float32),
    )  # fmt: skip
    person = torch.randn(8, generator=torch.Generator().manual_seed(0))
    w = unfilmed(person, codes, 40, seed=1)
    labels = torch.linalg.lstsq(torch.from_numpy(codes.directions).T, (w - person).T).solution.T
    torch.testing.assert_close(labels @ torch.from_numpy(codes.directions), w - person, atol=1e-5, rtol=1e-4)
    assert 0.79 < labels[:, 0].max() < 0.81 and 0.59 < labels[:, 1].max() < 0.61 and labels.min() > -1e-4
    assert (labels[::2].round(decimals=4).unique(dim=0).shape[0]) == 3, "every other one is a face that occurred"
    assert torch.equal(w, unfilmed(person, codes, 40, seed=1))


def test_the_map_recovers_held_out_latents_better_than_their_mean() -> None:
    random = torch.Generator().manual_seed(0)
    expression = torch.rand(200, 6, generator=random)
    w = torch.tanh(expression @ torch.randn(6, 8, generator=random)) + 0.01 * torch.randn(200, 8, generator=random)
    pairs = Pairs(
        w=w.numpy(), expression=expression.numpy(), held_out=np.arange(200) % 10 == 0, anchor=np.zeros(200, bool), lost=0
    )
    generator: Any = _Latents()
    unused: Any = None
    settings = MapSettings(steps=600, hidden=32)
    network, fit = fit_expression_map(pairs, generator, unused, settings, seed=0, how=unused, progress=Silent())
    assert fit.held_out > 0.8
    held = torch.from_numpy(pairs.held_out)
    assert explained(network, expression[held], w[held]) == pytest.approx(fit.held_out)


def test_a_still_channel_does_not_blow_up() -> None:
    mean, std = standardization(torch.zeros(10, 3))
    network = ExpressionMap(
        mean=mean, std=std, mean_w=torch.zeros(4), basis=torch.eye(4), hidden=5, latent=LatentSpec(z_dim=4, w_dim=4, num_ws=3)
    )
    ws = network(torch.full((2, 3), 100.0))
    assert ws.shape == (2, 3, 4) and torch.isfinite(ws).all()
    again = ExpressionMap.from_state(network.state_dict(), LatentSpec(z_dim=4, w_dim=4, num_ws=3))
    assert torch.equal(again(torch.ones(1, 3)), network(torch.ones(1, 3)))


class _Latents(torch.nn.Module):
    """As much of a generator as the fit in w space looks at."""

    latent = LatentSpec(z_dim=8, w_dim=8, num_ws=3)

    def __init__(self) -> None:
        super().__init__()
        self.somewhere = torch.nn.Parameter(torch.zeros(1))


def test_presets_and_arrays(tmp_path: Path) -> None:
    assert PRESETS["paper"].finetune.photometric == 0 and PRESETS["paper"].pairs.source == "sampled"
    (tmp_path / "broken.npz").write_bytes(b"not an archive")
    with pytest.raises(UnusableMaterial, match="cannot be read"):
        read_arrays(tmp_path / "broken.npz")
