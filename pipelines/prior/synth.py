"""Synthetic people in numbers: the recipe from a seed to shards, on as many processes as there are cores.

A person is drawn from (seed, number) and a shard holds a fixed run of people: a shard's bytes depend on the settings, not
on the workers or on what was finished before. Of a person come `states` (the first neutral; each an expression, gaze and
posture under the person's light), every state seen by `views` cameras (the first near the front), then `pairs` pictures that
differ from an earlier one in a single factor.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import SettingError
from pipelines.prior.ict import arkit_name, find_face_model, load_face_model, to_head_units
from pipelines.prior.people import body
from pipelines.prior.people.expressions import draw_expression
from pipelines.prior.people.person import Person, Pose, Posed, with_shape
from pipelines.prior.people.scene import Lamps, View, draw_light, draw_view, light_label, render
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.traits import Traits, draw_traits
from pipelines.prior.shards import NO_PAIR, PAIR_FACTORS, shard_path, stacked, write_shard
from pipelines.stage import Progress, Report, run_stage, step

STAGE, VERSION = "prior synth", 1
SKIN_POINTS = 512
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """What decides the pictures."""

    people: int = 100
    size: int = 128
    """Pixels."""
    seed: int = 0
    states: int = 4
    """Expressions of a person; the first is neutral."""
    views: int = 4
    """Cameras a state."""
    pairs: int = 2
    """Pictures of a person that differ from another in one factor; the factors take turns."""
    samples: int = 2
    """Rays a pixel, squared."""
    around: float = 0.35
    """Share of the other views from any side; the rest lies within 100 degrees of the front."""
    radii: tuple[float, float] = (1.6, 4.5)
    """Distance of the cameras in head units, even in its logarithm: around 2.7."""
    identity_sigma: float = 0.75
    people_per_shard: int = 8

    def __post_init__(self) -> None:
        for name, least in (("people", 1), ("size", 16), ("states", 1), ("views", 1), ("pairs", 0), ("people_per_shard", 1)):
            if getattr(self, name) < least:
                raise SettingError(f"{name} is {getattr(self, name)}, it must be at least {least}.")

    @property
    def images(self) -> int:
        return self.people * (self.states * self.views + self.pairs)

    @property
    def shards(self) -> int:
        return -(-self.people // self.people_per_shard)


def synthesize(
    out: Path,
    settings: SynthSettings,
    progress: Progress,
    ict: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Report:
    """A folder of shards; finished shards of an interrupted run are kept."""
    model = find_face_model(ict)
    work = partial(_write_shards, settings=settings, model=model, workers=workers or cores(), progress=progress)
    return run_stage(
        STAGE, version=VERSION, inputs={"face model": model}, settings=settings, out=out, work=work, overwrite=overwrite
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_shards(folder: Path, *, settings: SynthSettings, model: Path, workers: int, progress: Progress) -> dict[str, Any]:
    missing = [number for number in range(settings.shards) if not shard_path(folder, number).exists()]
    with progress.task("rendering people", settings.people) as task:
        done = settings.people - sum(len(people_of(settings, number)) for number in missing)
        task.advance(done) if done else None

        def work() -> dict[str, Any]:
            begun, cpu, count = time.perf_counter(), 0.0, 0
            for number, seconds in _made(folder, settings, model, min(workers, len(missing)), missing):
                people = len(people_of(settings, number))
                cpu, count = cpu + seconds, count + people
                task.advance(people)
                task.note(f"{count * settings.images / settings.people / (time.perf_counter() - begun):.1f} images/s")
            images = max(count * settings.images // settings.people, 1)
            return {"cpu_seconds_per_image": round(cpu / images, 4), "workers": workers}

        figures = step(folder, "render", work)
    return {"people": settings.people, "images": settings.images, "shards": settings.shards, **figures}


def people_of(settings: SynthSettings, number: int) -> range:
    """The people of a shard: eight a shard of 20 gives 0..7, 8..15, 16..19."""
    first = number * settings.people_per_shard
    return range(first, min(first + settings.people_per_shard, settings.people))


def _made(folder: Path, settings: SynthSettings, model: Path, workers: int, numbers: list[int]) -> Iterator[tuple[int, float]]:
    """Writes shards; yields each one's number and CPU seconds as it is done."""
    if workers <= 1:
        _begin(settings, model)
        yield from map(partial(_make, folder), numbers)
        return
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(workers, _begin_worker, (settings, model)) as pool:
        yield from pool.imap_unordered(partial(_make, folder), numbers)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes begun here have numeric libraries of one thread."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


_BENCH: tuple[SynthSettings, Stock]
"""What a process needs for every shard, prepared once."""


def _begin_worker(settings: SynthSettings, model: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    _begin(settings, model)


def _begin(settings: SynthSettings, model: Path) -> None:
    global _BENCH
    import cv2

    cv2.setNumThreads(1)
    _BENCH = settings, Stock(load_face_model(model), settings.size)


def _make(folder: Path, number: int) -> tuple[int, float]:
    begun = time.process_time()
    settings, stock = _BENCH
    write_shard(shard_path(folder, number), shard_of(stock, settings, number))
    return number, time.process_time() - begun


def shard_of(stock: Stock, settings: SynthSettings, number: int) -> dict[str, np.ndarray]:
    """The arrays of one shard."""
    rows: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for index in people_of(settings, number):
        shot, person = shoot(stock, settings, index, len(rows))
        rows += shot
        people.append(person)
    return stacked(rows, people, [arkit_name(name) for name in stock.model.expression_names])


@dataclass(frozen=True, kw_only=True)
class Shot:
    """All that one picture shows."""

    person: Person
    pose: Pose
    lamps: Lamps
    view: View
    state: int


def shoot(stock: Stock, settings: SynthSettings, index: int, first_row: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a person, and the person's own record."""
    random = np.random.default_rng([settings.seed, index])
    person = Person(stock, draw_traits(int(random.integers(0, 2**31)), settings.identity_sigma))
    states = settings.states + len(PAIR_FACTORS)
    lamps = draw_light(random)
    rows, shots = [], []
    for state in range(settings.states):
        pose = draw_pose(random, stock, neutral=state == 0)
        posed = person.posed(pose)
        for turn in range(settings.views):
            view = draw_view(random, turn == 0, settings.radii, settings.around)
            shots.append(Shot(person=person, pose=pose, lamps=lamps, view=view, state=index * states + state))
            rows.append(row(shots[-1], posed, settings) | {"person": index, "pair_of": -1, "pair_factor": NO_PAIR})
    for turn in range(settings.pairs):
        factor, anchor = (
            (index * settings.pairs + turn) % len(PAIR_FACTORS),
            int(random.integers(0, settings.states)) * settings.views,
        )
        shot = changed(
            shots[anchor], PAIR_FACTORS[factor], random, settings, index * states + settings.states + turn % len(PAIR_FACTORS)
        )
        pair = {"person": index, "pair_of": first_row + anchor, "pair_factor": factor}
        rows.append(row(shot, shot.person.posed(shot.pose), settings) | pair)
    return rows, record(person, index)


def draw_pose(random: np.random.Generator, stock: Stock, neutral: bool = False) -> Pose:
    if neutral:
        return Pose(np.zeros(len(stock.model.expression_names)))
    gaze = float(random.normal(0, 9)), float(random.normal(0, 5))
    return Pose(draw_expression(random, stock.model), gaze, body.draw_posture(random))


def changed(shot: Shot, factor: str, random: np.random.Generator, settings: SynthSettings, state: int) -> Shot:
    """The same but for one factor; a change of view alone keeps the state."""
    if factor == "view":
        return replace(shot, view=draw_view(random, False, settings.radii, settings.around))
    if factor == "light":
        return replace(shot, lamps=draw_light(random), state=state)
    if factor == "shape":
        other = draw_traits(int(random.integers(0, 2**31)), settings.identity_sigma)
        return replace(shot, person=Person(shot.person.stock, with_shape(shot.person.traits, other)), state=state)
    other = draw_pose(random, shot.person.stock)
    if factor == "expression":  # not once more a neutral face
        while not other.expression.any():
            other = draw_pose(random, shot.person.stock)
    return replace(shot, pose=replace(shot.pose, **{factor: getattr(other, factor)}), state=state)


def row(shot: Shot, posed: Posed, settings: SynthSettings) -> dict[str, Any]:
    """One picture and its labels."""
    picture = render(posed, shot.view, shot.lamps, settings.size, settings.samples)
    return {
        "image": picture.image, "alpha": picture.alpha, "depth": picture.depth, "part": picture.part,
        "camera": shot.view.label(), "expression": posed.expression, "gaze": np.array(shot.pose.gaze),
        "identity": shot.person.traits.identity,
        "light": light_label(shot.lamps), "landmarks": posed.landmarks.astype(np.float32),
        "joints": posed.unit_transforms.astype(np.float32), "state": np.int32(shot.state),
    }  # fmt: skip


def record(person: Person, index: int) -> dict[str, Any]:
    """What is kept of a person: joints, a cloud of skin with its weights, traits."""
    skin = person.neutral[: person.stock.skin_count]
    both = np.concatenate([skin, person.shirt.points])
    weights = np.concatenate([person.weights[: len(skin)], person.shirt_weights])
    chosen = np.random.default_rng(7).choice(len(both), SKIN_POINTS, replace=False)
    return {
        "people": np.int32(index), "rest_joints": to_head_units(person.joints).astype(np.float32),
        "skin_points": to_head_units(both[chosen]).astype(np.float32), "skin_weights": weights[chosen],
        "traits": json.dumps(person.traits.summary()),
    }  # fmt: skip


def traits_of(settings: SynthSettings, index: int) -> Traits:
    """Who the person of a number is, without building anything."""
    random = np.random.default_rng([settings.seed, index])
    return draw_traits(int(random.integers(0, 2**31)), settings.identity_sigma)
