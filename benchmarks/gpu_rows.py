"""What benchmarks/gpu.py measures: one row at a time, in a process that may be killed.

A row is a network, a number format, whether it is compiled, and what it does: `render` (a frame of a drive: scene, picture, and
the way to main memory) or `train` (a step of a person's fine-tuning on made-up frames, and one with the discriminator).
"""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.compute_mode import Compute
from models.families import FAMILIES, Judge
from models.generator import Control, Generator, RenderSettings
from models.heads.expression_map import broadcast
from pipelines.avatar.portrait import STRIDE
from pipelines.engine.memory import measure_peak
from pipelines.train.context import Batches
from pipelines.train.frames import Frames
from pipelines.train.settings import FinetuneSettings
from pipelines.train.steps import train_step
from pipelines.train.trainer import Trainer, make_trainer

Work = Literal["render", "train"]
Precision = Literal["float32", "tf32", "bfloat16"]
"""tf32: float32 whose matrix products a GPU rounds, as PyTorch has its convolutions do anyway."""
FRAMES = 16
"""Made-up frames that are trained on."""
BATCHES = (1, 4)
"""Frames rendered at once; a drive takes 4."""
LATE = 1000
"""Rounds of all that is rare before a measured step: the schedules are in the middle."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement."""

    family: str
    network: str
    """`published`, the family's own defaults; the name of a preset; or `toy`."""
    size: int
    """Of the picture."""
    work: Work
    precision: Precision
    compiled: bool = False

    @property
    def name(self) -> str:
        """As the record calls it, but for dots."""
        return f"{self.family} {self.network} {self.size} {self.work} {self.precision}{' compiled' if self.compiled else ''}"


def measured(row: Row, device: str, seconds: float) -> dict[str, Any]:
    """The row's figures from about `seconds` of work."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = row.precision == "tf32"
    return (rendered if row.work == "render" else trained)(row, device, seconds)


def config_of(row: Row) -> Any:
    """One person's network."""
    family = FAMILIES[row.family]
    if row.network == "toy":
        return family.personal(family.toy, paint=2, from_prior=True)
    base = family.config() if row.network == "published" else family.presets[row.network]
    return family.personal(family.resized(base, row.size), paint=2, from_prior=True)


def rendered(row: Row, device: str, seconds: float) -> dict[str, Any]:
    """Frames a second and gigabytes, by frames at once; with a shared first pass as a drive, and without."""
    config = config_of(row)
    generator = FAMILIES[row.family].build(config).to(device).eval().requires_grad_(False)
    compute = Compute(dtype=torch.bfloat16 if row.precision == "bfloat16" else torch.float32)
    ways = {"": replace(config.sampling(), stride=STRIDE), "every_ray_": config.sampling()}
    frame = torch.compile(shown) if row.compiled else shown
    figures: dict[str, Any] = {"parameters": sum(parameter.numel() for parameter in generator.parameters())}
    for many in BATCHES:
        ws = broadcast(
            generator.mean_latent + 0.1 * torch.randn(many, generator.latent.w_dim, device=device), generator.latent.num_ws
        )
        camera = in_front(generator, many, device)
        for way, sampling in list(ways.items())[: 1 if row.compiled else 2]:
            how = RenderSettings(sampling=sampling, compute=compute)
            work = torch.inference_mode()(lambda ws=ws, camera=camera, how=how: frame(generator, ws, camera, how).cpu())
            _, peak_gb = measure_peak(work, device)
            took = median_s(lambda _, work=work: work(), device, seconds / 4)
            figures[f"{way}{many}_hz"], figures[f"{way}{many}_gb"] = round(many / took, 3), round(peak_gb, 3)
    return figures


def shown(generator: Generator, ws: Tensor, camera: Camera, how: RenderSettings) -> Tensor:
    """[B,4,H,W] color and alpha."""
    seen = generator.render(generator.prepare(Control(ws=ws), compute=how.compute), camera, how)
    alpha = F.interpolate(seen.alpha, size=seen.image.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([seen.image, alpha], 1).float()


def trained(row: Row, device: str, seconds: float) -> dict[str, Any]:
    """Steps a second and gigabytes: plain ones, those with the discriminator, and both as often as a training makes them."""
    settings, config = FinetuneSettings(), config_of(row)
    if row.network == "toy":
        settings = replace(settings, batch=2, adversarial_batch=4, coarse=6, fine=6)
    trainer, batches = trainer_of(row.family, config, settings, device)
    if row.compiled:
        for name in ("prepare", "render"):
            setattr(trainer.generator, name, torch.compile(getattr(trainer.generator, name)))
    turns = LATE * settings.adversarial_every * settings.r1_every

    def step(number: int, adversarial: bool) -> None:
        trainer.step = turns + (0 if adversarial else 1)
        with number_format(row, device):
            train_step(trainer, batches, settings, steps=turns + LATE, seed=number)

    _, peak_gb = measure_peak(lambda: step(0, adversarial=True), device)
    plain_s = median_s(lambda number: step(number, adversarial=False), device, seconds / 2)
    judged_s = median_s(lambda number: step(number, adversarial=True), device, seconds / 2)
    mean_s = plain_s + (1 - settings.adversarial_from) / settings.adversarial_every * max(judged_s - plain_s, 0.0)
    return {
        "plain_hz": round(1 / plain_s, 3), "adversarial_hz": round(1 / judged_s, 3), "steps_hz": round(1 / mean_s, 3),
        "images_hz": round(settings.batch / mean_s, 3), "gb": round(peak_gb, 3),
    }  # fmt: skip


def number_format(row: Row, device: str) -> AbstractContextManager[object]:
    """Training has no setting for it; autocast shows what there would be to gain."""
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16) if row.precision == "bfloat16" else nullcontext()


def trainer_of(family: str, config: Any, settings: FinetuneSettings, device: str) -> tuple[Trainer, Batches]:
    """A person's training at its start, of a disk with a color for every frame."""
    generator = FAMILIES[family].build(config).to(device)
    frames = made_up(generator, device)
    judges: dict[str, Judge] = {
        name: replace(judge, network=judge.network.to(device))
        for name, judge in FAMILIES[family].discriminators(config).items()
    }
    return make_trainer(generator, judges, frames, settings, seed=0), Batches(frames, generator, settings)


def made_up(generator: Generator, device: str) -> Frames:
    size, count = generator.image_size, FRAMES
    across = torch.linspace(-1, 1, size)
    alpha = (across[None].square() + across[:, None].square() < 0.6).float().expand(count, 1, -1, -1)
    waves = torch.sin(torch.arange(1, count + 1)[:, None, None] * (across[None, None] + across[None, :, None]))
    image = (0.5 * waves[:, None]).expand(-1, 3, -1, -1) * alpha
    maps = {"image": image, "alpha": alpha, "inside": torch.ones_like(alpha), "detail": 0.5 * alpha}
    return Frames(
        **{name: values.to(device).contiguous() for name, values in maps.items()}, camera=in_front(generator, count, device),
        weight=torch.ones(count, device=device), time_s=torch.arange(count) / 25,
    )  # fmt: skip


def in_front(generator: Generator, count: int, device: str) -> Camera:
    """Cameras that see the family's box as a drive sees a head."""
    camera = Camera.frontal(distance=2.7 * generator.config.box_warp, focal=2.6).to(device)
    return Camera(
        world_from_camera=camera.world_from_camera.expand(count, -1, -1), intrinsics=camera.intrinsics.expand(count, -1, -1)
    )


def median_s(work: Callable[[int], object], device: str, seconds: float, least: int = 3) -> float:
    """Median seconds of calls for about `seconds`, at least three, after one that warms up."""
    work(0)
    _wait(device)
    took: list[float] = []
    while len(took) < least or (sum(took) < seconds and len(took) < 200):
        start = time.perf_counter()
        work(len(took) + 1)
        _wait(device)
        took.append(time.perf_counter() - start)
    return max(statistics.median(took), math.ulp(1.0))


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def work_through(device: str, seconds: float, tasks: Any, answers: Any) -> None:
    """The child's whole life: says that it is there, then answers rows with figures or with what went wrong."""
    if device.startswith("cuda"):
        torch.zeros(1, device=device)
    answers.send({})
    while (row := tasks.recv()) is not None:
        torch._dynamo.reset()
        try:
            answers.send(measured(row, device, seconds))
        except Exception as error:  # noqa: BLE001 - one row must not cost the others
            answers.send({"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]})
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
