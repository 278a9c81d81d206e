import math

import pytest
import torch
from torch.nn import functional as F

from models.networks.vae_gan import (
    ADVERSARIAL_WEIGHT,
    CoefficientJudge,
    CoefficientVAE,
    Encoding,
    Players,
    divergence,
    reconstruction_loss,
    vae_loss,
)
from tests.material import shared
from tests.reference import Tensors, arrays_of, largest_difference

OFFICIAL = "goldens/3dfaceshop/08_vae.npz"


@pytest.fixture
def golden() -> Tensors:
    return arrays_of(shared(OFFICIAL))


def vae_of(golden: Tensors, training: bool = False) -> CoefficientVAE:
    vae = CoefficientVAE(64, latent=32, width=32)
    vae.load_state_dict({name[4:]: value for name, value in golden.items() if name.startswith("vae/")}, strict=True)
    return vae.train(training)


def judge_of(golden: Tensors, training: bool = False) -> CoefficientJudge:
    judge = CoefficientJudge(64, width=32)
    judge.load_state_dict({name[5:]: value for name, value in golden.items() if name.startswith("disc/")}, strict=True)
    return judge.train(training)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks_and_losses_are_the_official_ones(golden: Tensors, mode: str) -> None:
    vae, judge, x = vae_of(golden, mode == "train"), judge_of(golden, mode == "train"), golden["x"]
    encoding = vae.encode(x)
    drawn = vae.decode(encoding.draw(golden["eval/eps"]))
    assert largest_difference(encoding.mean, golden[f"{mode}/mu"]) < 1e-5
    assert largest_difference(encoding.log_variance, golden[f"{mode}/logvar"]) < 1e-5
    assert largest_difference(divergence(encoding), -golden[f"{mode}/neg_kld"]) < 1e-5
    if mode == "train":
        drawn = golden["train/recon"]  # of noise that is not stored
    assert largest_difference(drawn, golden[f"{mode}/recon"]) < 1e-5
    rec = reconstruction_loss(drawn, x)
    assert largest_difference(rec, golden[f"{mode}/rec_loss"]) < 1e-5
    assert largest_difference(rec + 0.0025 * divergence(encoding), golden[f"{mode}/loss"]) < 1e-5
    assert largest_difference(torch.sigmoid(judge(x)), golden[f"{mode}/d_real"]) < 1e-5
    assert largest_difference(torch.sigmoid(judge(drawn)), golden[f"{mode}/d_fake"]) < 1e-5


@torch.no_grad()
def test_a_sigmoid_before_the_loss_would_give_the_official_totals(golden: Tensors) -> None:
    vae, judge, x = vae_of(golden), judge_of(golden), golden["x"]
    real, fake = torch.sigmoid(judge(x)), torch.sigmoid(judge(golden["eval/recon"]))
    assert largest_difference(F.softplus(fake).mean() + F.softplus(-real).mean(), golden["eval/d_loss"]) < 1e-5
    assert largest_difference(F.softplus(-fake).mean(), golden["eval/adv"]) < 1e-5
    ours = vae_loss(golden["eval/recon"], x, vae.encode(x), fake)
    official = ours + (5 - ADVERSARIAL_WEIGHT) * F.softplus(-fake).mean()
    assert largest_difference(official, golden["eval/vae_total"]) < 1e-5


@torch.no_grad()
def test_codes_are_decoded_as_officially(golden: Tensors) -> None:
    assert largest_difference(vae_of(golden).decode(golden["eval/prior_z"]), golden["eval/prior_decode"]) < 1e-5


@pytest.mark.parametrize(
    ("size", "latent", "width", "of_vae", "of_judge"),
    [(160, 128, 512, 1_418_656, 611_329), (64, 32, 256, 324_224, 150_017), (27, 16, 128, 80_955, 37_505)],
)
def test_the_full_sizes_are_the_official_ones(size: int, latent: int, width: int, of_vae: int, of_judge: int) -> None:
    vae, judge = CoefficientVAE(size, latent=latent, width=width), CoefficientJudge(size, width=width)
    assert [sum(one.numel() for one in module.parameters()) for module in (vae, judge)] == [of_vae, of_judge]


@pytest.mark.parametrize("size", [27, 53, 64, 100, 160])
def test_losses_of_every_size_are_numbers_with_gradients(golden: Tensors, size: int) -> None:
    """Where the official one of 27 coefficients is none."""
    assert math.isnan(golden["gamma27_official_loss"])
    players = Players.of_size(size, latent=8, width=16)
    before = [one.detach().clone() for one in players.vae.parameters()]
    losses = players.step(torch.randn(6, size), torch.Generator().manual_seed(0))
    assert all(math.isfinite(value) for value in losses.values())
    moved = [not torch.equal(one, other) for one, other in zip(players.vae.parameters(), before, strict=True)]
    assert all(moved)


def test_losses_are_their_formulas() -> None:
    ones, none = torch.ones(2, 64), torch.zeros(2, 64)
    assert float(reconstruction_loss(ones, none)) == pytest.approx(6)
    assert float(reconstruction_loss(ones[:, :27], none[:, :27])) == pytest.approx(1)
    at_rest = Encoding(mean=torch.zeros(2, 3), log_variance=torch.zeros(2, 3))
    moved = Encoding(mean=torch.ones(2, 3), log_variance=torch.zeros(2, 3))
    assert float(divergence(at_rest)) == 0 and float(divergence(moved)) == pytest.approx(1.5)


def test_samples_have_the_spread_of_what_was_learned() -> None:
    """Nine directions in 27 dimensions: what is drawn lies in them and is nearly as wide."""
    random = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    basis, lengths = torch.linalg.qr(torch.randn(27, 9, generator=random)).Q.T, torch.linspace(2, 1, 9)
    truth = torch.randn(2000, 9, generator=random) @ (basis * lengths[:, None])
    vae = Players.of_size(27, latent=16, width=64).fit(truth, steps=400, random=random)
    drawn = vae.sample(2000, random)
    inside, outside = drawn @ basis.T, drawn - drawn @ basis.T @ basis
    shares = inside.std(0) / lengths
    assert shares.min() > 0.65 and shares.max() < 1.25
    assert outside.norm(dim=1).mean() < 0.2 * inside.norm(dim=1).mean()
    assert torch.equal(vae.sample(3, torch.Generator().manual_seed(5)), vae.sample(3, torch.Generator().manual_seed(5)))


def test_bounded_coefficients_stay_between_0_and_1() -> None:
    vae = CoefficientVAE(53, latent=4, width=8, bounded=True).eval()
    drawn = vae.sample(20, torch.Generator().manual_seed(0))
    assert drawn.min() > 0 and drawn.max() < 1


def test_misuse_is_refused() -> None:
    players = Players.of_size(5, latent=2, width=4)
    with pytest.raises(ValueError, match="evaluation mode"):
        players.vae.train().sample(2, torch.Generator())
    with pytest.raises(ValueError, match="two rows"):
        players.fit(torch.zeros(1, 5), steps=1, random=torch.Generator())
