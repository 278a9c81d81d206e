"""EG3D stage by stage: wall and CPU seconds, peak memory, and probes, so that machines compare.

    python benchmarks/eg3d.py                          # FFHQ-512 from 128x128 rays, 48+48 samples, one thread
    python benchmarks/eg3d.py --dtype bfloat16         # or --compile, --recompute, --config tiny128, --device cuda
    python benchmarks/eg3d.py --plain                  # the plain transcription of the formulas in tests/plain.py

A probe is a 3x3 convolution 128 -> 128 at 256x256, float32, channels first, one thread: CPU seconds over those of probes taken
just before and after. Every stage runs in a process of its own, so its peak memory is its own. The authors' code on the same
scale (their published network, float32, eager): G forward 58, G step 229, D step 131 probes.
"""

import argparse
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from torch.nn import functional as F

from benchmarks.record import Run, options
from models.camera import Camera
from models.compute_mode import Compute
from models.eg3d.config import FFHQ512, TINY128
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from models.training.losses import density_smoothness, discriminator_loss, generator_loss, r1_penalty

CONFIGS = {"ffhq512": replace(FFHQ512, plane_axes="eg3d_released"), "tiny128": TINY128}
FRONTAL = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1, 4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]
AUTHORS = {"backbone": 0.71, "render": 3.14, "superresolution": 3.29, "G forward": 7.3, "D forward": 1.8, "G step": 28.8,
           "density reg": 2.3, "D step": 16.5, "R1": 10.7}  # fmt: skip
"""CPU seconds of the authors' code at ffhq512, where a probe took 7.3 / 58 s."""


class Bench:
    """The networks and inputs of one configuration, and its stages as functions without arguments."""

    def __init__(self, asked: argparse.Namespace):
        torch.manual_seed(0)
        self.device, self.compute = asked.device, Compute(dtype=getattr(torch, asked.dtype), recompute=asked.recompute)
        config = CONFIGS[asked.config]
        self.generator, self.discriminator = EG3D(config).to(asked.device), DualDiscriminator(config).to(asked.device)
        self.label = torch.tensor([FRONTAL] * asked.batch, device=asked.device)
        self.camera, self.z = Camera.from_label(self.label), torch.randn(asked.batch, config.z_dim, device=asked.device)
        self.real = torch.rand(asked.batch, 3, config.image_size, config.image_size, device=asked.device) * 2 - 1
        self.render: Callable[..., Any] = self.generator.synthesis
        if asked.compile and not any(map(shutil.which, ("g++", "clang++", "nvcc"))):
            sys.exit("--compile: torch.compile needs a C++ compiler (g++ or clang++), and there is none on the PATH.")
        if asked.compile:
            self.render = torch.compile(self.generator.synthesis)
        if asked.plain:
            self.render = self.plain

    def plain(self, ws: torch.Tensor, camera: Camera, **_: Any) -> Any:
        from tests.plain import generate

        return generate(self.generator.state_dict(), self.generator.config, ws, camera.label())

    def ws(self) -> torch.Tensor:
        return self.generator.mapping(self.z, self.label)

    def fake(self, **options: Any) -> Any:
        return self.render(self.ws(), self.camera, compute=self.compute, **options)

    def stages(self) -> dict[str, Callable[[], Any]]:
        """Name -> work; tensors that a stage starts from are made before its first run."""
        g, config = self.generator, self.generator.config

        def backbone() -> Callable[[], Any]:
            ws = self.ws()
            return lambda: g.planes(ws, compute=self.compute)

        def render() -> Callable[[], Any]:
            planes, rays = g.planes(self.ws()), self.camera.rays(config.neural_rendering_resolution)
            return lambda: g.render_rays(planes, *rays, sampling=config.sampling())

        def superresolution() -> Callable[[], Any]:
            side, ws = config.neural_rendering_resolution, self.ws()
            features = torch.randn(len(ws), side * side, config.decoder_features, device=self.device)
            image = features.mT.unflatten(2, (side, side))
            return lambda: g.super_resolve(image, ws, compute=self.compute)

        forward = {"mapping": lambda: self.ws, "backbone": backbone, "render": render, "superresolution": superresolution,
                   "G forward": lambda: self.fake, "D forward": lambda: self.d_forward}  # fmt: skip
        return {name: without_gradients(start) for name, start in forward.items()} | {
            "G step": self.g_step, "density reg": self.density, "D step": self.d_step, "R1": self.r1,
        }  # fmt: skip

    def d_forward(self) -> Any:
        return self.discriminator({"image": self.real, "image_raw": self.real[..., ::4, ::4]}, self.label)

    def g_step(self) -> None:
        self.zero()
        sampling = self.generator.config.sampling("random")
        fake = self.fake(sampling=sampling, noise="random")
        generator_loss(self.discriminator(fake, self.label).logits).backward()

    def density(self) -> None:
        self.zero()
        points = torch.rand(len(self.z), 1000, 3, device=self.device) * 2 - 1
        both = torch.cat([points, points + 0.004 * torch.randn_like(points)], 1)
        planes = self.generator.planes(self.ws(), "random", compute=self.compute)
        (0.25 * density_smoothness(*self.generator.density_at(planes, both).chunk(2, dim=1))).backward()

    def d_step(self) -> None:
        self.zero()
        with torch.no_grad():
            fake = self.fake(sampling=self.generator.config.sampling("random"), noise="random")
        logits = self.discriminator(fake, self.label).logits
        discriminator_loss(real=self.d_forward().logits, fake=logits).backward()

    def r1(self) -> None:
        self.zero()
        image, raw = self.real.clone().requires_grad_(), F.avg_pool2d(self.real, 4).requires_grad_()
        logits = self.discriminator({"image": image, "image_raw": raw}, self.label).logits
        (r1_penalty(logits, image, raw).mean() / 2).backward()

    def zero(self) -> None:
        self.generator.zero_grad()
        self.discriminator.zero_grad()


def without_gradients(start: Callable[[], Callable[[], Any]]) -> Callable[[], Any]:
    made: list[Callable[[], Any]] = []

    def work() -> None:
        with torch.no_grad():
            if not made:
                made.append(start())
            made[0]()

    return work


def probe() -> float:
    """CPU seconds of the probe on one thread, best of three."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x, weight = torch.randn(1, 128, 256, 256), torch.randn(128, 128, 3, 3)
    best = min(timed(lambda: F.conv2d(x, weight, padding=1), "cpu")[1] for _ in range(3))
    torch.set_num_threads(threads)
    return best


def timed(work: Callable[[], Any], device: str) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(asked: argparse.Namespace, stage: str, answer: Any) -> None:
    """In a process of its own: wall and CPU seconds, probes, peak memory in GB (of the GPU where there is one)."""
    torch.set_num_threads(asked.threads)
    work = Bench(asked).stages()[stage]
    work()
    before = probe()
    runs = [timed(work, asked.device) for _ in range(asked.repeat)]
    per_probe = (before + probe()) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if asked.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e9
    wall, cpu = (min(values) for values in zip(*runs, strict=True))
    answer.put((wall, cpu, cpu / per_probe, peak))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=list(CONFIGS), default="ffhq512")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--compile", action="store_true", help="torch.compile of the synthesis (needs a C++ compiler)")
    parser.add_argument("--recompute", action="store_true", help="the memory-light training mode")
    parser.add_argument("--plain", action="store_true", help="the reference of tests/plain.py instead (G forward only)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=None, help="names as printed; default: all")
    options(parser)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    variant = [asked.config, asked.dtype, *(name for name in ("compile", "recompute", "plain") if getattr(asked, name))]
    run, figures = Run.of("-".join(["eg3d", *variant]), asked), {}
    names = asked.stages or (["G forward"] if asked.plain else list(Bench(asked).stages()))
    context = multiprocessing.get_context("spawn")
    for name in names:
        answers = context.Queue()
        child = context.Process(target=measure, args=(asked, name, answers))
        child.start()
        child.join()
        wall, cpu, probes, peak = answers.get(timeout=1)
        theirs = AUTHORS.get(name, 0) * 58 / 7.3 if asked.config == "ffhq512" else 0
        figures[name] = {"wall_s": wall, "cpu_s": cpu, "probes": probes, "peak_gb": peak}
        figures[name] |= {"authors_probes": theirs, "authors_over_ours": theirs / probes} if theirs else {}
    run.finish(figures, headline={f"{name}, probes": f"{name}.probes" for name in names[-6:]})


if __name__ == "__main__":
    main()
