"""Does a prior know heads? Figures and pictures on people it never saw, and of people it makes up.

    avatarcli prior synth --people 16 --seed 900 --set states=3 --set views=6 --set pairs=0 --out SHARDS
    python benchmarks/prior_proof.py SHARDS OUT [--prior quick]

Held-out people are found in the latent space with the generator standing still (four views of the neutral state);
two other views of it are scored, and both other states, made with their true labels alone. Draws sheets into OUT.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from models.camera import Camera, orbit
from models.families import FAMILIES
from models.generator import Control, RenderSettings, rendered
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_codes, load_prior
from pipelines.core.files import write_image
from pipelines.core.stage import Silent
from pipelines.prior.train.truth import Truth, Views, shrunk_depth
from pipelines.train.frames import Frames, face_detail
from pipelines.train.inversion import invert
from pipelines.train.pairs import Labeler

GRAY = torch.zeros(1, 3, 1, 1)
TRIED = {
    "jawOpen": ("jawOpen",), "mouthSmileLeft": ("mouthSmileLeft", "mouthSmileRight"),
    "eyeBlinkLeft": ("eyeBlinkLeft", "eyeBlinkRight"), "browInnerUp": ("browInnerUpLeft", "browInnerUpRight"),
    "mouthPucker": ("mouthPucker",), "eyeLookOutLeft": ("gazeLeft", "eyeLookOutLeft", "eyeLookInRight"),
}  # fmt: skip
"""Channel of the tracker: labels turned from 0 to 1 (with a minus: to -1)."""


class Proof:
    def __init__(self, name: str):
        self.prior = load_prior(name)
        codes = load_codes(self.prior)
        assert codes is not None and self.prior.weights is not None, f"{name} has no weights or names no latents"
        self.codes = codes
        self.generator = FAMILIES[self.prior.family].build(config_of(self.prior))
        self.generator.load_state_dict(load_file(self.prior.weights))
        self.generator.eval().requires_grad_(False)
        self.directions = torch.from_numpy(self.codes.directions)

    def camera(self, yaw_deg: float) -> Camera:
        """Around the head at 2.7 units, the crop of the prior."""
        pose = orbit(math.pi / 2 - math.radians(yaw_deg), math.pi / 2, 2.7)
        return Camera(
            world_from_camera=pose,
            intrinsics=Camera.from_label(torch.tensor([self.prior.extra["frontal_camera"]])).intrinsics,
        )

    @torch.no_grad()
    def show(self, w: torch.Tensor, camera: Camera):
        control = Control(ws=broadcast(w[None], self.generator.latent.num_ws))
        return rendered(self.generator, control, camera, RenderSettings(background=GRAY))

    def sampled(self, count: int, seed: int = 5) -> torch.Tensor:
        z = torch.randn(count, self.generator.latent.z_dim, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return self.generator.mapping(z)[:, 0]

    def neutral(self, count: int, seed: int = 6) -> torch.Tensor:
        a = torch.randn(count, len(self.codes.people), generator=torch.Generator().manual_seed(seed))
        return torch.from_numpy(self.codes.base) + a @ torch.from_numpy(self.codes.people)


def to_bytes(image: torch.Tensor) -> np.ndarray:
    return ((image.permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).round().byte().numpy()


def grid(rows: list[list[torch.Tensor]]) -> np.ndarray:
    return to_bytes(torch.cat([torch.cat(row, 2) for row in rows], 1))


def psnr(square: float) -> float:
    return -10 * math.log10(square)


def held_out(proof: Proof, truth: Truth, out: Path, people: int, steps: int) -> dict[str, float]:
    """PSNR inside the person and depth error of views and states that were not fitted."""
    truth.load(0)
    person, rows, scores = truth.rows["person"], [], {"view": [], "state": [], "mean head": []}
    depths = []
    for one in np.unique(person)[:people]:
        states = [chosen for chosen in truth.states if person[chosen[0]] == one]
        fitted = truth.views(states[0][:4], states[0][:1])
        size = fitted.image.shape[-1]
        frames = Frames(
            image=fitted.image, alpha=fitted.alpha, inside=torch.ones_like(fitted.alpha),
            detail=face_detail(fitted.camera, torch.from_numpy(proof.prior.landmarks).float(), size), camera=fitted.camera,
            weight=torch.ones(4), time_s=torch.arange(4).float(),
        )  # fmt: skip
        how = lambda random: Sampling(coarse=12, fine=12, jitter="random", generator=random)  # noqa: E731
        w = invert(proof.generator, proof.codes, frames, how, steps=steps, batch=4, seed=0, progress=Silent())
        row = []
        for kind, number in (("view", 0), ("state", 1), ("state", 2)):
            chosen = states[number][4:] if kind == "view" else states[number][[0, 1]]
            views: Views = truth.views(chosen, states[number][:1])
            labels = views.labels[0] - torch.from_numpy(truth.rows["label"][states[0][0]])
            for index in range(len(chosen)):
                shown = proof.show(w + labels @ proof.directions, views.camera[index])
                weight = views.alpha[index]
                error = ((shown.image[0].clamp(-1, 1) - views.image[index]) / 2).square().mean(0, keepdim=True)
                scores[kind].append(float((error * weight).sum() / weight.sum()))
                average = proof.show(torch.from_numpy(proof.codes.base), views.camera[index]).image[0].clamp(-1, 1)
                plain = ((average - views.image[index]) / 2).square().mean(0, keepdim=True)
                scores["mean head"].append(float((plain * weight).sum() / weight.sum()))
                true = shrunk_depth(views.depth[index : index + 1], 64)
                _, direction = views.camera[index].rays(64)
                cosine = (direction * views.camera[index].world_from_camera[:, None, :3, 2]).sum(-1).view(1, 1, 64, 64)
                solid = F.adaptive_avg_pool2d(weight[None], 64) > 0.95
                depths.append(float((shown.depth - true / cosine).abs()[solid].mean()))
                row.append(torch.cat([views.image[index], shown.image[0]], 1))
        rows.append(row)
    write_image(out / "held_out.png", grid(rows[:8]))
    figures = {f"psnr {kind}": psnr(float(np.mean(values))) for kind, values in scores.items()}
    return figures | {"depth error, cm": 32 * float(np.mean(depths))}


def consistency(proof: Proof, w: torch.Tensor) -> float:
    """Gray levels (mean absolute) between a view and its neighbor 15 degrees on, moved by the depth, -75..75 degrees."""
    errors = []
    for one in w:
        shown = [proof.show(one, proof.camera(yaw)) for yaw in range(-75, 76, 15)]
        for number in range(len(shown) - 1):
            here, there = proof.camera(-75 + 15 * number), proof.camera(-60 + 15 * number)
            origins, directions = here.rays(64)
            points = origins + directions * shown[number].depth.flatten(2).mT
            where, far = there.project(points)
            moved = F.grid_sample(shown[number + 1].image, (where * 2 - 1).view(1, 64, 64, 2), align_corners=False)
            distance = (points - there.world_from_camera[:, None, :3, 3]).norm(dim=2).view(1, 1, 64, 64)
            other = F.grid_sample(shown[number + 1].depth, (where * 2 - 1).view(1, 64, 64, 2), align_corners=False)
            same = (shown[number].alpha > 0.95) & ((other - distance).abs() < 0.03)
            image = F.interpolate(shown[number].image, size=64, mode="area")
            errors.append(float(((moved - image).abs().mean(1, keepdim=True))[same].mean()) * 127.5)
    return float(np.mean(errors))


def faces(proof: Proof, w: torch.Tensor, label: Labeler, yaws: tuple[float, ...]) -> float:
    """Share of renders in which the tracker finds a face."""
    found = [np.isfinite(label(enlarged(proof.show(one, proof.camera(yaw)).image[0]))).all() for one in w for yaw in yaws]
    return float(np.mean(found))


def enlarged(image: torch.Tensor) -> np.ndarray:
    import cv2

    return cv2.resize(to_bytes(image), (320, 320), interpolation=cv2.INTER_CUBIC)


def directions(proof: Proof, w: torch.Tensor, label: Labeler, out: Path) -> dict[str, float]:
    """Correlation of a label from 0 to 1 with the tracker's channel, the mean over people."""
    steps, result, rows = np.linspace(0, 1, 6), {}, []
    for channel, names in TRIED.items():
        if channel not in label.names:
            continue
        move = sum(
            (-1 if name.startswith("-") else 1) * proof.directions[proof.codes.names.index(name.lstrip("-"))] for name in names
        )
        found, row = [], []
        for number, one in enumerate(w):
            images = [proof.show(one + float(step) * move, proof.camera(0)).image[0] for step in steps]
            values = np.array([label(enlarged(image))[label.names.index(channel)] for image in images])
            seen = np.isfinite(values)
            if seen.sum() >= 4:
                found.append(float(np.corrcoef(steps[seen], values[seen])[0, 1]))
            row += images[::5] if number < 4 else []
        rows.append(row)
        result[f"r {channel}"] = float(np.mean(found)) if found else math.nan
    write_image(out / "directions.png", grid(rows))
    return result


def diversity(proof: Proof, truth: Truth) -> float:
    """Mean distance between the frontal renders of two samples, as a share of that between two held-out people."""
    ours = torch.stack([proof.show(one, proof.camera(0)).image[0] for one in proof.sampled(24)])
    firsts = [rows[0] for rows in truth.states[::3]]
    theirs = truth.views(np.array(firsts), np.array(firsts)).image
    return apart(ours) / apart(theirs)


def apart(images: torch.Tensor) -> float:
    small = F.adaptive_avg_pool2d(images, 16).flatten(1)
    return float(torch.pdist(small).mean())


def pictures(proof: Proof, out: Path) -> None:
    samples = proof.sampled(36)
    write_image(
        out / "samples.png",
        grid([[proof.show(samples[6 * r + c], proof.camera(0)).image[0] for c in range(6)] for r in range(6)]),
    )
    write_image(
        out / "orbit.png",
        grid([[proof.show(one, proof.camera(yaw)).image[0] for yaw in range(-180, 180, 30)] for one in samples[:5]]),
    )
    rows = []
    for first, second in zip(samples[:4], samples[4:8], strict=True):
        rows.append([proof.show(first.lerp(second, t), proof.camera(20)).image[0] for t in torch.linspace(0, 1, 9)])
    write_image(out / "between.png", grid(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prior", default="quick")
    parser.add_argument("--people", type=int, default=16, help="held-out people to find")
    parser.add_argument("--steps", type=int, default=200, help="of finding one")
    options(parser)
    asked = parser.parse_args()
    run = Run.of("prior_proof", asked)
    torch.set_num_threads(1)
    proof, truth = Proof(asked.prior), Truth(folder=asked.shards, kept=1000)
    truth.load(0)
    pictures(proof, asked.out)
    people = proof.neutral(16)
    figures: dict[str, float] = {}
    with Labeler("measured", proof.prior.landmarks) as label:
        figures["faces found, front"] = faces(proof, people, label, (0.0,))
        figures["faces found, back"] = faces(proof, people, label, (150.0, 180.0, 210.0))
        figures |= directions(proof, people, label, asked.out)
    figures["consistency, gray levels"] = consistency(proof, people[:6])
    figures["diversity"] = diversity(proof, truth)
    figures |= held_out(proof, truth, asked.out, asked.people, asked.steps)
    names = ("faces found, front", "consistency, gray levels", "diversity")
    headline = {name: name for name in names}
    run.finish(figures, headline=headline, inputs=sorted(asked.shards.glob("*.npz")))


if __name__ == "__main__":
    main()
