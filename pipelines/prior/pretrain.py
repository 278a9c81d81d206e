"""A base generator from synthetic people with exact truth: a supervised auto-decoder.

Every image is rendered from w = mean + identity code + expression code; the identity codes are free, the expression code is a
small network of the true expression weights, so that people share their directions of expression. Afterwards `mapping` is
fitted to the Gaussian of the learned w, so that mapping(z) samples people.

    python -m pipelines.prior.pretrain SHARDS OUT --minutes 8 --device cuda
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from models.camera import Camera
from models.eg3d import EG3D, EG3DConfig
from models.expression_map import broadcast
from models.losses import density_smoothness
from models.photometric import color_loss, gradient_loss, weighted_mean
from models.sampling import Sampling
from pipelines.files import write_bytes, write_json
from pipelines.train.finetune import clean_gradients
from pipelines.train.frames import GRAY


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Numbers of a pretraining."""

    batch: int = 32
    minutes: float = 8.0
    """Wall time; the learning rate falls along it."""
    learning_rate: float = 3e-3
    planes_learning_rate: float = 1e-2
    code_learning_rate: float = 1e-2
    depth: float = 1.0
    """Weight of the depth term, on rays that hit the head."""
    alpha: float = 0.5
    gradient: float = 0.5
    code_prior: float = 1e-3
    density: float = 0.1
    coarse: int = 16
    fine: int = 16
    seed: int = 0


@dataclass(kw_only=True)
class People:
    """Images [N,3,S,S] uint8 over mid gray by the head matte, and their truth."""

    image: Tensor
    alpha: Tensor
    depth: Tensor
    camera: Camera
    expression: Tensor
    """[N,55] expression weights and gaze in units of 30 degrees."""
    person: Tensor

    @classmethod
    def load(cls, folder: Path, device: str) -> "People":
        shards = [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]
        first = np.cumsum([0, *(int(shard["id_index"].max()) + 1 for shard in shards)])
        person = np.concatenate([shard["id_index"].astype(np.int64) + start for shard, start in zip(shards, first, strict=False)])

        def all_of(name: str) -> Tensor:
            return torch.from_numpy(np.concatenate([shard[name] for shard in shards])).to(device)

        head = all_of("head")[:, None]
        expression = torch.cat([all_of("expr").float(), all_of("gaze").float() / 30], 1)
        return cls(
            image=matted(all_of("rgb"), all_of("alpha"), head), alpha=head, depth=all_of("depth")[:, None],
            camera=Camera(world_from_camera=all_of("world_from_camera").float(), intrinsics=all_of("intrinsics").float()),
            expression=expression, person=torch.from_numpy(person).to(device),
        )  # fmt: skip


def matted(rgb: Tensor, alpha: Tensor, head: Tensor, chunk: int = 1000) -> Tensor:
    """uint8 [N,S,S,3] over mid gray by `alpha` -> uint8 [N,3,S,S] over mid gray by `head` (both uint8)."""
    parts = []
    for start in range(0, len(rgb), chunk):
        rows = slice(start, start + chunk)
        color = rgb[rows].permute(0, 3, 1, 2).float() - 127.5
        share = head[rows].float() / alpha[rows][:, None].float().clamp(min=1)
        parts.append((color * share.clamp(max=1) + 127.5).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


class Codes(nn.Module):
    """w = mean + identity + expression code."""

    def __init__(self, people: int, expressions: int, w_dim: int):
        super().__init__()
        self.mean = nn.Parameter(torch.randn(w_dim) * 0.1)
        self.identity = nn.Parameter(torch.randn(people, w_dim) * 0.1)
        self.expression = nn.Sequential(nn.Linear(expressions, 128), nn.LeakyReLU(0.2), nn.Linear(128, w_dim))

    def forward(self, person: Tensor, expression: Tensor) -> Tensor:
        return self.mean + self.identity[person] + self.expression(expression)


@dataclass(kw_only=True)
class Curve:
    rows: list[dict[str, float]] = field(default_factory=list)


def pretrain(people: People, config: EG3DConfig, settings: PretrainSettings) -> tuple[EG3D, Codes, Curve]:
    torch.manual_seed(settings.seed)
    device = people.image.device
    generator = EG3D(config).to(device)
    codes = Codes(int(people.person.max()) + 1, people.expression.shape[1], config.w_dim).to(device)
    static = [value for name, value in generator.named_parameters() if name == "static_planes"]
    others = [value for name, value in generator.named_parameters() if name != "static_planes"]
    rates = (settings.learning_rate, settings.planes_learning_rate, settings.code_learning_rate)
    groups = [{"params": params, "lr": rate} for params, rate in zip((others, static, list(codes.parameters())), rates, strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: min(1.0, max(0.02, 1.6 * (1 - done()))))
    start, curve, step = time.monotonic(), Curve(), 0

    def done() -> float:
        return (time.monotonic() - start) / (60 * settings.minutes)

    while done() < 1:
        chosen = torch.randint(len(people.person), (settings.batch,), device=device)
        optimizer.zero_grad(set_to_none=True)
        figures = pretrain_loss(generator, codes, people, chosen, settings)
        figures["loss"].backward()
        clean_gradients(generator)
        optimizer.step()
        schedule.step()
        step += 1
        if step % 100 == 0:
            curve.rows.append({"step": step, "minutes": 0.0} | {name: round(float(value), 5) for name, value in figures.items()})
            curve.rows[-1]["minutes"] = round(done() * settings.minutes, 3)
    return generator, codes, curve


def pretrain_loss(generator: EG3D, codes: Codes, people: People, chosen: Tensor, settings: PretrainSettings) -> dict[str, Tensor]:
    size = generator.config.neural_rendering_resolution
    truth = people.image[chosen].float() / 127.5 - 1
    alpha = people.alpha[chosen].float() / 255
    everywhere = torch.ones_like(alpha)
    w = codes(people.person[chosen], people.expression[chosen])
    gray = torch.full((1, 3, 1, 1), GRAY, device=w.device)
    how = Sampling(coarse=settings.coarse, fine=settings.fine, jitter="random")
    made = generator.synthesis(broadcast(w, generator.latent.num_ws), people.camera[chosen], background=gray, sampling=how)
    raw_truth, raw_alpha = F.adaptive_avg_pool2d(truth, size), F.adaptive_avg_pool2d(alpha, size)
    raw = color_loss(made.raw, raw_truth, torch.ones_like(raw_alpha))
    matte = weighted_mean((made.alpha - raw_alpha).abs(), torch.ones_like(raw_alpha))
    image, edges = color_loss(made.image, truth, everywhere), gradient_loss(made.image, truth, everywhere)
    solid = (raw_alpha > 0.99).float()
    depth = weighted_mean((made.depth - ray_depth(people, chosen, size)).abs(), solid)
    points = (torch.rand(1, 2000, 3, device=w.device) - 0.5) * generator.config.box_warp
    both = torch.cat([points, points + 0.004 * torch.randn_like(points)], 1)
    planes = generator.planes(broadcast(w[:1].detach(), generator.latent.num_ws))
    smooth = density_smoothness(*generator.density_at(planes, both).chunk(2, dim=1))
    code = codes.identity[people.person[chosen]].square().mean()
    loss = raw + image + settings.gradient * edges + settings.alpha * matte + settings.depth * depth
    loss = loss + settings.density * smooth + settings.code_prior * code
    return {"loss": loss, "raw": raw, "image": image, "edges": edges, "matte": matte, "depth": depth}


def ray_depth(people: People, chosen: Tensor, size: int) -> Tensor:
    """Distance along the ray [B,1,size,size] from depth along the optical axis, nearest sample of each raw pixel."""
    depth = F.interpolate(people.depth[chosen].float(), size=(size, size), mode="nearest")
    camera = people.camera[chosen]
    _, directions = camera.rays(size)
    axis = camera.world_from_camera[:, None, :3, 2]
    cosine = (directions * axis).sum(-1).view(len(chosen), 1, size, size)
    return depth / cosine


def fit_mapping(generator: EG3D, w: Tensor, steps: int = 3000) -> None:
    """Fit mapping(z) to w = mean + z L^T, L L^T the covariance of the learned w, and set w_avg to their mean."""
    mean, centered = w.mean(0), w - w.mean(0)
    covariance = centered.T @ centered / len(w) + 1e-6 * torch.eye(w.shape[1], device=w.device)
    factor = torch.linalg.cholesky(covariance)
    mapping = generator.backbone.mapping
    optimizer = torch.optim.Adam(mapping.parameters(), lr=2e-3)
    for _ in range(steps):
        z = torch.randn(512, generator.latent.z_dim, device=w.device)
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(generator.mapping(z)[:, 0], mean + z @ factor.T).backward()
        optimizer.step()
    mapping.w_avg.copy_(mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", type=Path, help="JSON of EG3DConfig fields")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    config = EG3DConfig(**{name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(asked.config.read_text()).items()})
    people = People.load(asked.shards, asked.device)
    generator, codes, curve = pretrain(people, config, PretrainSettings(minutes=asked.minutes))
    with torch.no_grad():
        w = torch.cat([codes(people.person[rows], people.expression[rows]) for rows in torch.arange(len(people.person)).split(4096)])
    fit_mapping(generator, w)
    write_bytes(asked.out / "weights.safetensors", save({name: value.cpu().contiguous() for name, value in generator.state_dict().items()}))
    write_json(asked.out / "curve.json", {"images": len(people.person), "people": len(codes.identity), "curve": curve.rows})


if __name__ == "__main__":
    main()
