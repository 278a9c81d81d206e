"""Stages that work side by side on one sequence: each has threads of its own, and results come in order.

Whoever takes the results drives: each one taken lets every stage begin one more thing, so that memory is bounded by what is in
flight. NumPy, OpenCV, PyTorch and MediaPipe let other threads run while they compute. A stage's error is raised where its
result is taken; whoever leaves early (an error, Ctrl-C) waits for no more than what is being worked on.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(
    work: Callable[[A], B], things: Iterable[A], workers: int = 1, *, ready: Callable[[], None] | None = None
) -> Iterator[B]:
    """`work` of each of the things, in their order, by `workers` threads; with none of them, by whoever takes the results.

    At most `workers` + 1 things are in flight. Each thread calls `ready` before its first one. `things` are taken by the
    thread that takes the results, so stages can be chained.
    """
    if not workers:
        yield from map(work, things)
        return
    begun: deque[Future[B]] = deque()
    source, pool = iter(things), ThreadPoolExecutor(workers, "stage", ready or _nothing)
    try:
        begun.extend(pool.submit(work, thing) for thing in islice(source, workers + 1))
        while begun:
            yield begun.popleft().result()
            begun.extend(pool.submit(work, thing) for thing in islice(source, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def when_free(
    begin: Callable[[A], Callable[[], B]], things: Iterable[A], workers: int, *, ready: Callable[[], None] | None = None
) -> Iterator[tuple[A, B]]:
    """Each thing with what came of it, in order, for things that nobody must wait for.

    A thing is taken when one of the `workers` is free, and not before, by a thread that takes them in turn: `begin` is called
    there, and what it returns is done by the worker.
    """
    free, pool = threading.Semaphore(workers), ThreadPoolExecutor(workers, "stage", ready or _nothing)
    begun: queue.SimpleQueue[tuple[A, Future[B]] | BaseException | None] = queue.SimpleQueue()

    def feed() -> None:
        try:
            free.acquire()
            for thing in things:
                future = pool.submit(begin(thing))
                future.add_done_callback(lambda _: free.release())
                begun.put((thing, future))
                free.acquire()
            begun.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where results are taken
            begun.put(error)

    threading.Thread(target=feed, name="feeding", daemon=True).start()
    try:
        while (item := begun.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0], item[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


class Costs:
    """Seconds that each stage worked, whichever threads did it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def timed(self, stage: str, work: Callable[[A], B]) -> Callable[[A], B]:
        """`work`, its time counted for `stage`."""

        def counted(thing: A) -> B:
            start = time.perf_counter()
            try:
                return work(thing)
            finally:
                self.add(stage, time.perf_counter() - start)

        return counted

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def per_thing_ms(self, count: int) -> dict[str, float]:
        """Milliseconds by stage of each of `count` things, in the order in which stages finished something first."""
        return {stage: round(1000 * seconds / max(count, 1), 2) for stage, seconds in self._seconds.items()}


def _nothing() -> None: ...
