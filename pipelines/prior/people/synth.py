"""Synthetic people in numbers: the recipe from a seed to shards, on as many processes as there are cores.

A person is drawn from (seed, number) and a shard holds a fixed run of people: a shard's bytes depend on the settings, not
on the workers or on what was finished before.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.children import go_with, safe_workers
from pipelines.core.errors import AvatarError, SettingError
from pipelines.core.stage import Progress, Report, run_stage, step
from pipelines.face.ict import arkit_name, find_face_model, load_face_model
from pipelines.prior.people.shards import shard_path, stack_rows, write_shard
from pipelines.prior.people.shooting import SynthSettings, shoot
from pipelines.prior.people.stock import Stock

STAGE, VERSION = "prior synth", 1
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def synthesize(
    out: Path,
    settings: SynthSettings,
    progress: Progress,
    ict: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Report:
    """A folder of shards; finished shards of an interrupted run are kept."""
    if workers is not None and workers < 1:
        raise SettingError(f"workers is {workers}, it must be at least 1.")
    model = find_face_model(ict)
    load_face_model(model)  # what is wrong with it is said here, once, and not by every worker
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
    others, context = multiprocessing.active_children(), multiprocessing.get_context("spawn")
    with one_thread_each(), safe_workers():
        pool = ProcessPoolExecutor(workers, context, _begin_worker, (settings, model))
        try:
            yield from (done.result() for done in as_completed([pool.submit(_make, folder, number) for number in numbers]))
        except BrokenProcessPool as error:
            raise AvatarError(
                "a worker process was killed, perhaps because memory ran out; "
                "run the same command again with fewer --workers to continue."
            ) from error
        finally:  # at once, whatever they are at: shards are written whole or not at all
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                if worker not in others:
                    worker.terminate()


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
    go_with(os.getppid())
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
    return stack_rows(rows, people, [arkit_name(name) for name in stock.model.expression_names])
