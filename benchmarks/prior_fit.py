"""What a prior is for: people it never saw, fitted from eight frames near the front, looked at from elsewhere.

    avatarcli prior synth --people 6 --seed 950 --set states=8 --set views=5 --set pairs=0 --out SHARDS
    python benchmarks/prior_fit.py SHARDS OUT [--seconds 180] [--people 6] [--priors quick scratch]

The frames are the first view of each of a person's states; all other views of the same states are held out. `scratch` starts
from random weights in the same head space, with the same settings, in the same time. Draws a sheet into OUT.

With --unfilmed only states with a closed mouth and open lids are fitted, and then asked for by the prior's named directions:
`r` is the correlation of label and re-tracked channel over six renders from the front.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from models.camera import Camera
from models.generator import Control, Generator, RenderSettings, rendered
from models.heads.expression_map import broadcast
from pipelines.artifacts.prior import PriorCodes, load_codes, load_prior
from pipelines.core.files import write_image
from pipelines.core.stage import Silent
from pipelines.prior.train.truth import Truth, Views, label_names
from pipelines.train.context import Batches
from pipelines.train.frames import Frames, face_detail
from pipelines.train.inversion import invert, unseen_views
from pipelines.train.latent_subspace import free_directions, make_room
from pipelines.train.networks import make_networks
from pipelines.train.pairs import Labeler, render_face
from pipelines.train.settings import QUICK
from pipelines.train.steps import sampling, train_step
from pipelines.train.trainer import averaged_generator, make_trainer

LOOKS = 5
CLOSED = 0.12
"""Jaw and lids in a state that counts as still."""
Part = tuple[Views, np.ndarray]


def frames_of(views: Views, landmarks: np.ndarray) -> Frames:
    size = views.image.shape[-1]
    return Frames(
        image=views.image, alpha=views.alpha, inside=torch.ones_like(views.alpha),
        detail=face_detail(views.camera, torch.from_numpy(landmarks).float(), size), camera=views.camera,
        weight=torch.ones(len(views.image)), time_s=torch.arange(len(views.image)).float(),
    )  # fmt: skip


def fit(name: str, frames: Frames, seconds: float, seed: int, look: Callable[[Generator, torch.Tensor], dict[str, float]]):
    """The averaged generator and the frames' latents after `seconds`, the steps, and what `look` says of them, `LOOKS` times on
    the way; looking does not count."""
    prior = load_prior("quick" if name == "scratch" else name)
    settings = replace(QUICK, network="prior", seed=seed, finetune=replace(QUICK.finetune, adversarial=0.0))
    if name == "scratch":
        prior = replace(prior, weights=None, codes=None)
    begun, asked = time.perf_counter(), settings.finetune
    generator, discriminator, _ = make_networks(prior, settings, "cpu")
    codes, person, room, views = load_codes(prior), None, None, None
    if codes is not None:
        twin, _, _ = make_networks(prior, settings, "cpu")
        how = lambda random: sampling(asked, random)  # noqa: E731
        person = invert(twin, codes, frames, how, steps=asked.inversion_steps, batch=asked.batch, seed=seed, progress=Silent())
        views, room = unseen_views(twin, person, frames, sampling(asked, None)), free_directions(codes)
        make_room(generator, room, person)
    trainer = make_trainer(generator, discriminator, frames, asked, seed, start=person, room=room)
    batches = Batches(frames, generator, asked, views)
    print(f"  begun after {time.perf_counter() - begun:.0f} s", flush=True)
    first = time.perf_counter()
    for _ in range(4):
        train_step(trainer, batches, asked, steps=10_000, seed=seed)
    pace = (time.perf_counter() - first) / 4
    steps = 4 + int((seconds - (time.perf_counter() - begun)) / pace)
    curve: list[dict[str, float]] = []
    while (spent := time.perf_counter() - begun) < seconds:
        if spent >= (len(curve) + 1) * seconds / (LOOKS + 1):
            found = look(averaged_generator(trainer), trainer.average["latents"]["w"])
            curve.append({"seconds": round(spent), "step": trainer.step, **found})
            begun += time.perf_counter() - begun - spent
        train_step(trainer, batches, asked, steps=max(steps, trainer.step + 1), seed=seed)
    return averaged_generator(trainer), trainer.average["latents"]["w"], trainer.step, curve


def unfilmed(generator, person, codes: PriorCodes, landmarks: np.ndarray) -> dict[str, float]:
    """Correlations for jaw and lids of the latent `person`, fitted without either."""
    steps, found = np.linspace(0, 1, 6), {}
    pose = Camera.frontal(2.7, 2.7 / 0.85)
    with Labeler("measured", landmarks) as label:
        for channel, names in (("jawOpen", ("jawOpen",)), ("eyeBlinkLeft", ("eyeBlinkLeft", "eyeBlinkRight"))):
            move = torch.from_numpy(codes.directions[[codes.names.index(name) for name in names]].sum(0))
            shown = [render_face(generator, person + float(t) * move, pose, 320, generator.config.sampling()) for t in steps]
            values = np.array([label(image)[label.names.index(channel)] for image in shown])
            found[f"r {channel}"] = float(np.corrcoef(steps, values)[0, 1])
            found[f"range {channel}"] = float(values[-1] - values[0])
    return found


def between(views: Views, of: np.ndarray, away: np.ndarray, least: float, most: float) -> Part:
    """The views that lie so many degrees beside the face, and whose latents they show."""
    chosen = np.flatnonzero((np.abs(away) >= least) & (np.abs(away) < most))
    part = Views(
        person=views.person, labels=views.labels, camera=views.camera[torch.from_numpy(chosen)], image=views.image[chosen],
        alpha=views.alpha[chosen], depth=views.depth[chosen], detail=views.detail[chosen],
    )  # fmt: skip
    return part, of[chosen]


@torch.no_grad()
def score(generator, w, views: Views, of: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Figures of views of the latents `of`, and their renders beside the truth."""
    gray = torch.zeros(1, 3, 1, 1)
    rows, pictures = [], []
    for number, latent in enumerate(of):
        ws = broadcast(w[latent : latent + 1], generator.latent.num_ws)
        shown = rendered(generator, Control(ws=ws), views.camera[number], RenderSettings(background=gray))
        alpha = torch.nn.functional.interpolate(shown.alpha, size=views.alpha.shape[-1], mode="bilinear")[0]
        weight = views.alpha[number]
        error = ((shown.image[0].clamp(-1, 1) - views.image[number]) / 2).square().mean(0, keepdim=True)
        rows.append([
            float((error * weight).sum() / weight.sum()), float(error.mean()),
            float((alpha * (1 - weight)).sum() / weight.sum()),
        ])  # fmt: skip
        pictures.append(torch.cat([views.image[number], shown.image[0]], 1))
    person, whole, outside = np.mean(rows, axis=0)
    sheet = torch.cat(pictures[:10], 2).permute(1, 2, 0)
    return (
        {"psnr_person": -10 * np.log10(person), "psnr": -10 * np.log10(whole), "alpha_outside": outside},
        ((sheet + 1) * 127.5).clamp(0, 255).byte().numpy(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--priors", nargs="+", default=["quick", "scratch"])
    parser.add_argument("--unfilmed", action="store_true", help="fit closed mouths and open lids, ask for the others")
    options(parser)
    asked = parser.parse_args()
    run = Run.of("prior_fit-unfilmed" if asked.unfilmed else "prior_fit", asked)
    torch.set_num_threads(asked.threads)
    truth = Truth(folder=asked.shards, kept=1000)
    truth.load(0)
    person = truth.rows["person"]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in asked.priors}
    curves: dict[str, list[dict[str, float]]] = {}
    for one in np.unique(person)[: asked.people]:
        states = [rows for rows in truth.states if person[rows[0]] == one]
        if asked.unfilmed:
            names = label_names(truth.expressions)
            moving = [names.index(name) for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")]
            states = [rows for rows in states if truth.rows["label"][rows[0], moving].max() < CLOSED]
        first = np.array([rows[0] for rows in states])
        frames = frames_of(truth.views(first, first), load_prior("quick").landmarks)
        held = np.concatenate([rows[1:] for rows in states])
        of = np.concatenate([np.full(len(rows) - 1, number) for number, rows in enumerate(states)])
        views = truth.views(held, first)
        direction = torch.nn.functional.normalize(views.camera.world_from_camera[:, :3, 3], dim=1)
        away = np.degrees(np.arctan2(direction[:, 0].numpy(), direction[:, 2].numpy()))
        sheets = []
        for name in asked.priors:
            front, aside = (between(views, of, away, *wanted) for wanted in ((30, 90), (90, 181)))

            def look(generator: Generator, w: torch.Tensor, front: Part = front) -> dict[str, float]:
                return {f"{key} 30-90": value for key, value in score(generator, w, *front)[0].items()}

            generator, w, steps, curve = fit(name, frames, asked.seconds, seed=int(one), look=look)
            row: dict[str, float] = {"steps": steps}
            for label, part in (("30-90", front), ("90-180", aside)):
                found, sheet = score(generator, w, *part)
                row |= {f"{key} {label}": value for key, value in found.items()}
                sheets.append(sheet)
            curves[f"{int(one)} {name}"] = curve
            codes = load_codes(load_prior(name)) if name != "scratch" else None
            if asked.unfilmed and codes is not None:
                row |= unfilmed(generator, w.mean(0), codes, load_prior(name).landmarks)
            figures[name].append(row)
            print(int(one), name, {key: round(value, 3) for key, value in row.items()}, flush=True)
        width = min(sheet.shape[1] for sheet in sheets)
        write_image(asked.out / f"person_{int(one)}.png", np.concatenate([sheet[:, :width] for sheet in sheets]))
    mean = {name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} for name, rows in figures.items()}
    record = {"seconds": asked.seconds, "mean": mean, "people": figures, "curves": curves}
    headline = {f"PSNR {name}, {part} deg": f"mean.{name}.psnr_person {part}" for name in mean for part in ("30-90", "90-180")}
    run.finish(record, headline=headline, inputs=sorted(asked.shards.glob("*.npz")))


if __name__ == "__main__":
    main()
