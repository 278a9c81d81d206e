"""The steps of a training. Each leaves its files in the avatar folder: an interrupted training goes on behind the last."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models.camera import Camera
from models.eg3d.generator import EG3D
from pipelines import evaluate
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.dataset import Dataset, load_dataset, near_frontal
from pipelines.artifacts.prior import Prior, load_codes, load_prior
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import (
    read_arrays,
    read_json,
    write_arrays,
    write_bytes,
    write_image,
    write_json,
    write_text,
)
from pipelines.core.stage import Progress, warn_in_record
from pipelines.engine.checkpoint import step_of
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.memory import GB, batch_limit, fit_to_memory, measure_peak
from pipelines.engine.tensorboard_log import EventLog
from pipelines.evaluate.faces import tracker
from pipelines.train.budget import Plan, Sizes, cores, make_plan, median_seconds
from pipelines.train.context import Batches
from pipelines.train.expression_map import fit_expression_map
from pipelines.train.finetune import CHECKPOINT, Finetuning
from pipelines.train.frames import Frames, load_frames
from pipelines.train.heldout_probe import Probe
from pipelines.train.inversion import invert, unseen_views
from pipelines.train.latent_subspace import free_directions, make_room
from pipelines.train.networks import config_for, make_networks
from pipelines.train.open_mouth import OPENED_SHARE, open_mouths, with_opened
from pipelines.train.pairs import Labeler, Pairs, make_pairs, propose, render_face, unfilmed, with_anchors
from pipelines.train.record import record_of
from pipelines.train.remembered_views import Views
from pipelines.train.sampling_weights import balanced
from pipelines.train.settings import FinetuneSettings, TrainSettings
from pipelines.train.steps import Step, sampling, train_step
from pipelines.train.trainer import Trainer, averaged_generator, make_trainer

START, LATENTS = "start.npz", "latents.npz"
SMALL_JAW_RANGE = 0.2


class Recipe:
    """One training: `capture` in, files in `folder` out. What a step needs from an earlier one it reads from there."""

    def __init__(
        self, capture: Path, folder: Path, settings: TrainSettings, progress: Progress, device: str,
        processes: Processes = ALONE,
    ):  # fmt: skip
        self.capture, self.folder, self.settings, self.progress, self.device = capture, folder, settings, progress, device
        self.processes = processes

    @cached_property
    def prior(self) -> Prior:
        return load_prior(self.settings.prior)

    @cached_property
    def dataset(self) -> Dataset:
        dataset = load_dataset(self.capture)
        known = read_json(self.capture / "capture.json")["prior"]["name"]
        if known != self.prior.name:
            raise UnusableMaterial(
                f"{self.capture} is aligned to the prior {known}, not {self.prior.name}; capture it again for it."
            )
        if len(dataset.rows("train")) < 8 or len(dataset.rows("test")) < 1:
            raise UnusableMaterial(f"{self.capture} has {len(dataset.rows('train'))} training frames; film for 10 s or longer.")
        return dataset

    @cached_property
    def space(self) -> str:
        if self.settings.expression_space != "auto":
            return self.settings.expression_space
        return "blendshapes" if "expression_blendshapes" in self.dataset.tracking() else "measured"

    def together(self, work: str, **given: Any) -> Any:
        """A method of this class by all processes; the first one calls this, the others are in `help`."""
        self.processes.from_first((work, given))
        return getattr(self, work)(**given)

    def help(self) -> None:
        """What the other processes do: take part in what the first one begins, until it says that no more will come."""
        nothing: Any = None
        while (begun := self.processes.from_first(nothing)) is not None:
            work, given = begun
            getattr(self, work)(**given)

    def plan(self, spent: Callable[[], float]) -> dict[str, Any]:
        """Budget and memory to numbers, once, into plan.json."""
        asked, available = self.settings.finetune, max(cores() // self.processes.beside, 1)
        torch.set_num_threads(available)
        sizes = self.sizes(asked)
        plan = make_plan(
            self.folder / "plan.json", steps=asked.steps, pairs=self.settings.pairs.count, budget_s=self.settings.budget_s,
            spent=spent, measure=lambda threads: self.together("pace", asked=sizes.applied(asked), threads=threads),
            measure_rest=lambda threads, plain: self.together(
                "pace", asked=sizes.applied(asked), threads=threads, plain=plain
            ),
            measure_pair=lambda: self.together("pair_pace"), available=available, sizes=sizes,
        )  # fmt: skip
        self.progress.say(f"plan: {plan.steps} steps, {plan.pairs} pairs, {plan.threads} threads ({plan.why})")
        return asdict(plan)

    def sizes(self, asked: FinetuneSettings) -> Sizes:
        """What a step computes, as much of it at once as fits in the memory that was asked for."""
        config = config_for(self.prior, self.settings)
        known: dict[str, Any] = {"image_size": config.image_size, "raw_size": config.neural_rendering_resolution}
        found, limit_gb = asked, self.settings.memory_gb
        if limit_gb is not None:
            peaks: dict[FinetuneSettings, tuple[float, float]] = {}

            def peak(one: FinetuneSettings) -> tuple[float, float]:
                return peaks.setdefault(one, self.together("peak", asked=one))

            found, peak_gb, why = fit_to_memory(asked, limit_gb, self.processes.count, peak)
            known |= {"peak_gb": round(peak_gb, 3), "memory_why": why}
        micro_batch = asked.micro_batch if limit_gb is None else batch_limit(found, self.processes.count)
        return Sizes(batch=asked.batch, micro_batch=micro_batch, memory=found.memory, **known)

    def peak(self, asked: FinetuneSettings) -> tuple[float, float]:
        """Gigabytes before and in the heaviest of all steps, on networks that are thrown away; the most of any process."""
        trainer, batches, _ = self.begin()
        every = asked.adversarial_every * asked.r1_every * asked.remember_every * 4
        trainer.step = 1000 * every
        step = Step(trainer=trainer, batches=batches, settings=asked, steps=trainer.step + 1, seed=0, processes=self.processes)
        before, most = (self.processes.most(int(gigabytes * GB)) / GB for gigabytes in measure_peak(step.run, self.device))
        return before, most

    def pace(self, asked: FinetuneSettings, threads: int, plain: float | None = None) -> float:
        """Seconds of a step, or given a plain one's what the adversarial part adds at its share; on networks thrown away."""
        torch.set_num_threads(threads)
        if plain is not None and (asked.photometric == 0 or asked.adversarial == 0):
            return 0.0
        trainer, batches, _ = self.begin()
        adversarial = plain is not None or asked.photometric == 0

        def run(number: int) -> None:
            trainer.step = 1000 * asked.adversarial_every + (0 if adversarial else 1)
            train_step(trainer, batches, asked, steps=trainer.step + 1000, seed=number, processes=self.processes)

        if plain is None:
            return median_seconds(run, count=4)
        more = max(median_seconds(run, count=2, warmup=1) - plain, 0.0)
        return (1 - asked.adversarial_from) / asked.adversarial_every * more

    def pair_pace(self) -> float:
        """Seconds to render and label a latent."""
        trainer, _, _ = self.begin()
        generator, w, asked = trainer.generator.eval(), trainer.latents.detach(), self.settings
        generator.hold(None)
        how = sampling(asked.finetune, None)
        with Labeler(self.space, self.prior.landmarks) as label:
            return median_seconds(
                lambda turn: label(render_face(generator, w[turn % len(w)], self.frontal, asked.pairs.render_px, how)), count=3
            )

    def start(self) -> dict[str, Any]:
        """What the steps begin with: where in the prior the person is, what is to be remembered, mouths drawn open."""
        arrays = self.in_prior() | self.opened_mouths()
        if arrays:
            write_arrays(self.folder / START, **arrays)
        return {
            "inversion": self.settings.finetune.inversion_steps if "person" in arrays else 0,
            "views_to_remember": len(arrays.get("raw", ())), "opened_frames": len(arrays.get("opened_of", ())),
        }  # fmt: skip

    def in_prior(self) -> dict[str, np.ndarray]:
        """Where in the prior the person begins (pipelines.train.inversion); nothing for a prior that knows no people."""
        codes, asked = load_codes(self.prior), self.settings.finetune
        if codes is None or asked.inversion_steps == 0 or self.settings.network == "fresh":
            return {}
        torch.set_num_threads(max(cores() // 2, 1))
        generator, _, _ = make_networks(self.prior, self.settings, self.device)
        person = invert(
            generator, codes, self.frames, lambda random: sampling(asked, random), steps=asked.inversion_steps,
            batch=asked.batch, seed=self.settings.seed, progress=self.progress,
        )  # fmt: skip
        views = unseen_views(generator, person, self.frames, sampling(asked, None)) if asked.remembered > 0 else None
        known = {} if views is None else {"label": views.camera.label(), "raw": views.raw, "alpha": views.alpha}
        found = {"person": person, "room": free_directions(codes), **known}
        return {name: value.cpu().numpy() for name, value in found.items()}

    def opened_mouths(self) -> dict[str, np.ndarray]:
        """Frames with the mouth drawn open, where it was never filmed so (pipelines.train.open_mouth)."""
        if self.settings.unfilmed_mouth == "shut":
            return {}
        with tracker() as find:
            opened = open_mouths(self.frames, self.prior.landmarks, find)
        if not opened:
            return {}
        self.warn(
            "the mouth was never filmed open: how it opens, and its teeth, are drawn, a guess. Film yourself talking with the "
            "mouth wide open to teach it."
        )
        return opened

    def begin(self) -> tuple[Trainer, Batches, str]:
        """The networks, the latents where they start, and what the steps learn from."""
        generator, discriminator, begun = make_networks(self.prior, self.settings, self.device)
        found = self.started()
        asked, person, room = self.settings.finetune, found.get("person"), found.get("room")
        if person is not None and room is not None:
            make_room(generator, room, person)
        frames = with_opened(self.frames, found)
        trainer = make_trainer(generator, discriminator, frames, asked, self.settings.seed, start=person, room=room)
        return trainer, self.batches(frames, generator, found), begun

    def started(self) -> dict[str, Tensor]:
        """What `start` found, in every process."""
        found = {}
        if self.processes.first and (self.folder / START).exists():
            found = {name: torch.from_numpy(value).to(self.device) for name, value in read_arrays(self.folder / START).items()}
        return self.processes.share(found)

    def batches(self, frames: Frames, generator: EG3D, found: dict[str, Tensor]) -> Batches:
        """What is drawn from, of the `frames` with what was found at the start."""
        views = None
        if "raw" in found:
            views = Views(camera=Camera.from_label(found["label"]), raw=found["raw"], alpha=found["alpha"])
        batches = Batches(frames, generator, self.settings.finetune, views)
        filmed, opened = batches.sampling_weights.split([len(self.frames), len(frames) - len(self.frames)])
        batches.sampling_weights = self.odds(filmed)
        if len(opened):
            batches.sampling_weights = balanced(torch.cat([batches.sampling_weights, opened]), len(filmed), OPENED_SHARE)
        return batches

    def odds(self, odds: Tensor) -> Tensor:
        """How often which of the filmed frames is drawn [N]."""
        return odds

    @cached_property
    def frames(self) -> Frames:
        size = config_for(self.prior, self.settings).image_size
        return load_frames(self.dataset, "train", size, self.prior.landmarks, self.device)

    def appearance(self) -> dict[str, Any]:
        """The generator, fine-tuned to the person."""
        trainer, figures = self.together("fine_tune", plan=Plan.read(self.folder / "plan.json"))
        generator = averaged_generator(trainer)
        write_bytes(self.folder / "generator.safetensors", save(contiguous(generator.state_dict())))
        w = trainer.average["latents"]["w"].cpu().numpy()
        filmed, opened = np.split(w, [len(self.frames)])
        write_arrays(self.folder / LATENTS, w=filmed, opened=opened, time_s=self.frames.time_s.numpy())
        write_arrays(self.folder / "landmarks.npz", landmarks=self.prior.landmarks)
        write_json(self.folder / "config.json", asdict(generator.config))
        return figures

    def fine_tune(self, plan: Plan) -> tuple[Trainer, dict[str, Any]]:
        """The steps, by all processes, as the plan says."""
        torch.set_num_threads(plan.threads)
        trainer, batches, begun = self.begin()
        expression, first = self.dataset.tracking()[f"expression_{self.space}"], self.processes.first
        written = first and self.settings.finetune.tensorboard
        events = EventLog(self.folder, step_of(self.folder / CHECKPOINT)) if written else None
        probe = Probe(
            self.dataset, expression, trainer.generator.image_size, self.settings.finetune, folder=self.folder / "samples",
            events=events,
        )  # fmt: skip
        figures = Finetuning(
            trainer=trainer, batches=batches, settings=plan.sizes.applied(self.settings.finetune), steps=plan.steps,
            seed=self.settings.seed, folder=self.folder, progress=self.progress, probe=probe, processes=self.processes,
            late=plan.late, shrunk=self.shrink, events=events,
        ).run()  # fmt: skip
        if events:
            events.close()
        if first and figures["steps"] < plan.steps:
            self.warn(f"stopped early by the budget: {figures['steps']} of {plan.steps} steps; this machine became slower.")
        return trainer, {"begun": begun, **figures}

    def planned(self) -> Plan:
        """The plan; from here on with its number of threads, whose sums round differently: a run that was killed goes on with
        the same bits."""
        plan = Plan.read(self.folder / "plan.json")
        torch.set_num_threads(plan.threads)
        return plan

    def shrink(self, settings: FinetuneSettings, why: str) -> None:
        """Less at once from now on, also when the training goes on later: kept in plan.json, and in the stage's record."""
        if not self.processes.first:
            return
        self.warn(f"{why}.")
        plan = Plan.read(self.folder / "plan.json")
        sizes = replace(plan.sizes, micro_batch=settings.micro_batch, memory=settings.memory)
        write_json(self.folder / "plan.json", asdict(replace(plan, sizes=sizes, why=f"{plan.why}; {why}")))

    @cached_property
    def generator(self) -> EG3D:
        generator = EG3D(config_for(self.prior, self.settings))
        generator.load_state_dict(load_file(self.folder / "generator.safetensors"), strict=True)
        return generator.eval().requires_grad_(False).to(self.device)

    @cached_property
    def frontal(self) -> Camera:
        return near_frontal(self.dataset).to(self.device)

    def pairs(self) -> dict[str, Any]:
        """Latents and the expressions of their near-frontal renders."""
        plan = self.planned()
        known = read_arrays(self.folder / LATENTS)
        latents = torch.from_numpy(np.concatenate([known["w"], known["opened"]])).to(self.device)
        with Labeler(self.space, self.prior.landmarks) as label:
            pairs = make_pairs(
                self.generator, self.proposed(latents, plan.pairs), self.frontal, label, self.settings.pairs,
                seed=self.settings.seed, folder=self.folder, how=sampling(self.settings.finetune, None), progress=self.progress,
            )  # fmt: skip
            names = label.names
        pairs = pairs if not self.settings.pairs.anchors else with_anchors(pairs, self.anchors(known["w"]))
        write_arrays(self.folder / "pairs.npz", **asdict(pairs) | {"lost": np.array(pairs.lost)})
        low, high = np.percentile(pairs.expression[~pairs.anchor], [2, 98], axis=0)
        jaw = float((high - low)[names.index("jawOpen")])
        if jaw < SMALL_JAW_RANGE:
            self.warn(
                f"the avatar's mouth opens over a range of only {jaw:.2f} (at least {SMALL_JAW_RANGE} is wanted): "
                "speech will look mumbled. Film yourself opening the mouth wide and talking, or train longer."
            )
        return {
            "pairs": int((~pairs.anchor).sum()),
            "anchors": int(pairs.anchor.sum()),
            "lost": pairs.lost,
            "jaw_range": jaw,
            "space": self.space,
            "names": names,
        }

    def proposed(self, latents: Tensor, count: int) -> Tensor:
        """Latents to render: the frames' own and such near them, and where the prior has names, what was never filmed."""
        asked, codes, seed = self.settings.pairs, load_codes(self.prior), self.settings.seed
        known = codes is not None and self.settings.network != "fresh"
        others = round(asked.unfilmed * count) if known else 0
        w = propose(self.generator, latents, asked, count - others, seed)
        return torch.cat([w, unfilmed(latents.mean(0), codes, others, seed)]) if codes is not None and known else w

    def anchors(self, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents and tracked expressions of the training frames that see the face from near the front."""
        rows = self.dataset.rows("train")
        facing = self.dataset.world_from_camera[rows, 2, 2]
        near = facing < -np.cos(np.radians(self.settings.pairs.anchor_yaw_deg))
        return latents[near], self.dataset.tracking()[f"expression_{self.space}"][rows][near]

    def expression_map(self) -> dict[str, Any]:
        """e -> w, and with it the avatar's record."""
        self.planned()
        values = read_arrays(self.folder / "pairs.npz")
        pairs = Pairs(**{**values, "lost": int(values["lost"])})
        network, fit = fit_expression_map(
            pairs, self.generator, self.frontal, self.settings.expression_map, seed=self.settings.seed,
            how=sampling(self.settings.finetune, None), progress=self.progress,
        )  # fmt: skip
        write_bytes(self.folder / "expression_map.safetensors", save(contiguous(network.state_dict())))
        self.write_record(pairs.expression)
        return {"explained_train": fit.train, "explained_held_out": fit.held_out}

    def write_record(self, expression: np.ndarray) -> None:
        """avatar.json, with the space of the expressions [P,E] that its map was taught."""
        record = record_of(
            self.prior, self.settings, self.capture, self.dataset, read_json(self.folder / "config.json"), self.frontal,
            self.space, expression,
        )  # fmt: skip
        write_json(self.folder / "avatar.json", record)

    def torso(self) -> dict[str, Any]:
        """The layer behind the head."""
        if self.settings.torso == "none":
            return {"mode": "none"}
        from pipelines.avatar.torso import build_torso

        build_torso(self.capture, self.folder)
        return {"mode": self.settings.torso}

    def evaluation(self) -> dict[str, Any]:
        """The frozen evaluation, and pictures of it."""
        self.planned()
        model = load_avatar(self.folder, self.device)
        record, renders = evaluate.evaluate_model(model, self.dataset)
        truth = evaluate.pictures(self.dataset, "test", model.image_size)
        write_json(self.folder / "metrics.json", record)
        shown = np.linspace(0, len(renders) - 1, min(8, len(renders))).round().astype(int)
        sheet = np.concatenate([np.concatenate([truth.image[i], renders[i]], axis=0) for i in shown], axis=1)
        write_image(self.folder / "samples" / "heldout.png", (sheet * 255).round().astype(np.uint8))
        return record

    def finish(self) -> dict[str, Any]:
        """The report, and the figures of the whole training."""
        from pipelines.train.page import avatar_report

        write_text(self.folder / "report.html", avatar_report(self.folder))
        steps = {path.stem: read_json(path)["figures"] for path in (self.folder / "steps").glob("*.json")}
        pairs, made = steps["pairs"], steps["appearance"]
        return {
            "steps": made["steps"], "planned_steps": made.get("planned_steps", made["steps"]), "begun": made["begun"],
            "evaluation": steps["evaluation"], "pairs": pairs["pairs"], "jaw_range": pairs["jaw_range"],
            **steps["expression_map"],
        }  # fmt: skip

    def warn(self, text: str) -> None:
        self.progress.warn(text)
        warn_in_record(self.folder, text)


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
