"""A VAE-GAN over coefficients of a face model: what is drawn from it is a likely face, expression or light (3DFaceShop, arXiv
2209.05434, section 4.1, equations 6-8; spec 3).

Notable choices:
- the discriminator gives logits. The release applies the loss to a sigmoid, which has a floor of 1.006 and faint gradients, and
  weighs it 5. On logits that drowns the reconstruction: samples had a tenth of the true spread, eight tenths or more with 0.1;
- the first 32 coefficients weigh five times, where there are more; the release's loss of 27 numbers is no number;
- coefficients between 0 and 1, as blendshapes are, leave through a sigmoid (`bounded`), the Gaussian ones of PCA as they are;
- names of parameters are the official ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEADING, LEADING_WEIGHT = 32, 5.0
"""How many coefficients, those that move most, weigh how much in the reconstruction."""
KL_WEIGHT, ADVERSARIAL_WEIGHT = 0.0025, 0.1
LEARNING_RATE, JUDGE_LEARNING_RATE = 0.005, 0.0025
"""Of Adam with its default betas, for the VAE and its discriminator; they stay constant."""
BATCH = 128
DEPTH = 3
"""Hidden layers of encoder, decoder and discriminator."""


def _layers(inputs: int, width: int, slope: float) -> nn.Sequential:
    """Linear, batch norm, leaky ReLU, three times."""
    sizes = [inputs] + [width] * DEPTH
    return nn.Sequential(*(
        nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(slope))
        for before, after in zip(sizes[:-1], sizes[1:], strict=True)
    ))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The normal distribution of a latent code, [B,L] each."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """mean + noise * deviation, of standard normal noise [B,L]."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class CoefficientVAE(nn.Module):
    """x [B,N] -> a normal distribution over codes [B,L] -> x [B,N]. In training batch norm needs two rows or more."""

    def __init__(self, size: int, *, latent: int, width: int, bounded: bool = False):
        super().__init__()
        self.size, self.latent, self.bounded = size, latent, bounded
        self.encoder = _layers(size, width, 0.01)
        self.fc_mu, self.fc_var = nn.Linear(width, latent), nn.Linear(width, latent)
        self.decoder = _layers(latent, width, 0.2)
        self.final_layer = nn.Linear(width, size)

    def encode(self, x: Tensor) -> Encoding:
        hidden = self.encoder(x)
        return Encoding(mean=self.fc_mu(hidden), log_variance=self.fc_var(hidden))

    def decode(self, code: Tensor) -> Tensor:
        """[B,N] coefficients of codes [B,L]."""
        values = self.final_layer(self.decoder(code))
        return torch.sigmoid(values) if self.bounded else values

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Encoding]:
        """Reconstruction [B,N] by standard normal noise [B,L], and what was encoded."""
        encoding = self.encode(x)
        return self.decode(encoding.draw(noise)), encoding

    @torch.no_grad()
    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """[count,N] likely coefficients; in evaluation mode each depends on its own code only."""
        if self.training:
            raise ValueError("draw from a VAE in evaluation mode, else every sample depends on the others")
        device = self.final_layer.weight.device
        return self.decode(torch.randn(count, self.latent, generator=random).to(device))


class CoefficientJudge(nn.Module):
    """x [B,N] -> logits [B,1], above 0 for "measured on a face"."""

    def __init__(self, size: int, *, width: int):
        super().__init__()
        self.model = _layers(size, width, 0.01)
        self.final_layer = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.final_layer(self.model(x))


def reconstruction_loss(x: Tensor, target: Tensor, leading: int = LEADING) -> Tensor:
    """5 mean (x - t)^2 over the first 32 coefficients + mean (x - t)^2 over the others; of 32 or fewer the plain mean.

    A difference of 1 everywhere: 6 for 64 coefficients, 1 for 27.
    """
    error = (x - target).square()
    if x.shape[1] <= leading:
        return error.mean()
    return LEADING_WEIGHT * error[:, :leading].mean() + error[:, leading:].mean()


def divergence(encoding: Encoding) -> Tensor:
    """Mean over the batch of KL(N(mean, variance) | N(0, 1)) = -1/2 sum(1 + log v - m^2 - v)."""
    mean, log_variance = encoding.mean, encoding.log_variance
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def vae_loss(reconstruction: Tensor, target: Tensor, encoding: Encoding, logits: Tensor) -> Tensor:
    """Equations 6-8: reconstruction + 0.0025 KL + 0.1 softplus(-D(reconstruction)), of the judge's `logits` [B,1]."""
    likely = reconstruction_loss(reconstruction, target) + KL_WEIGHT * divergence(encoding)
    return likely + ADVERSARIAL_WEIGHT * F.softplus(-logits).mean()


@dataclass(frozen=True, kw_only=True)
class Players:
    """A VAE, its judge, and their optimizers."""

    vae: CoefficientVAE
    judge: CoefficientJudge
    vae_optimizer: torch.optim.Optimizer
    judge_optimizer: torch.optim.Optimizer

    @classmethod
    def of_size(cls, size: int, *, latent: int, width: int, bounded: bool = False) -> "Players":
        """Fresh networks for `size` coefficients, with the paper's optimizers."""
        vae, judge = CoefficientVAE(size, latent=latent, width=width, bounded=bounded), CoefficientJudge(size, width=width)
        return cls(
            vae=vae, judge=judge, vae_optimizer=torch.optim.Adam(vae.parameters(), LEARNING_RATE),
            judge_optimizer=torch.optim.Adam(judge.parameters(), JUDGE_LEARNING_RATE),
        )  # fmt: skip

    def step(self, x: Tensor, random: torch.Generator) -> dict[str, float]:
        """One step of both on measured coefficients x [B,N]; the losses by name."""
        noise = torch.randn(len(x), self.vae.latent, generator=random).to(x.device)
        drawn, encoding = self.vae(x, noise)
        loss = vae_loss(drawn, x, encoding, self.judge(drawn))
        _descend(self.vae_optimizer, loss)
        verdict = F.softplus(self.judge(drawn.detach())).mean() + F.softplus(-self.judge(x)).mean()
        _descend(self.judge_optimizer, verdict)
        return {"vae": float(loss.detach()), "judge": float(verdict.detach())}

    def fit(
        self, coefficients: Tensor, *, steps: int, random: torch.Generator, batch: int = BATCH,
        note: Callable[[], None] = lambda: None,
    ) -> CoefficientVAE:  # fmt: skip
        """The VAE in evaluation mode after `steps` on batches of coefficients [M,N], shuffled anew every epoch; `note` is
        called after each step."""
        if len(coefficients) < 2:
            raise ValueError(f"a VAE learns from two rows of coefficients or more, not from {len(coefficients)}")
        order, size = torch.empty(0, dtype=torch.long), min(batch, len(coefficients))
        self.vae.train()
        for _ in range(steps):
            if len(order) < size:
                order = torch.randperm(len(coefficients), generator=random)
            rows, order = order[:size], order[size:]
            self.step(coefficients[rows], random)
            note()
        return self.vae.eval()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
