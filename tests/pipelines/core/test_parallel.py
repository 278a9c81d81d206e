"""Stages side by side: order, bounds, errors and early ends."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction

import pytest

from pipelines.core.parallel import Costs, in_order, when_free


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_whichever_is_ready_first(workers: int) -> None:
    waits = [0.03, 0.0, 0.02, 0.0, 0.01]

    def work(number: int) -> int:
        time.sleep(waits[number % 5])
        return number * number

    assert list(in_order(work, range(20), workers)) == [number * number for number in range(20)]
    assert list(in_order(work, [], workers)) == []


def test_stages_work_at_the_same_time() -> None:
    """Two stages that wait for each other end only if both run."""
    meeting = threading.Barrier(2, timeout=10)

    def work(number: int) -> int:
        if 0 < number < 5:
            meeting.wait()
        return number

    def other(number: int) -> int:
        if number < 4:
            meeting.wait()
        return number

    assert list(in_order(other, in_order(work, range(6), 1), 1)) == list(range(6))


def test_no_more_is_begun_than_is_taken_and_in_flight() -> None:
    begun: list[int] = []

    def things() -> Iterator[int]:
        for number in range(100):
            begun.append(number)
            yield number

    results = in_order(lambda number: number, things(), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4] and len(begun) == 2 + 5
    assert isinstance(results, Generator)
    results.close()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_passes_through_every_stage_and_ends_the_threads(workers: int) -> None:
    before = threading.active_count()

    def work(number: int) -> int:
        if number == 3:
            raise ValueError("the third")
        return number

    with pytest.raises(ValueError, match="the third"):
        list(in_order(str, in_order(work, range(50), workers), workers))
    assert threading.active_count() == before


def test_who_leaves_early_waits_for_what_is_worked_on_alone() -> None:
    before, begun = threading.active_count(), []

    def slow(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    with pytest.raises(KeyboardInterrupt):
        for _ in in_order(slow, in_order(slow, range(1000), 2), 1):
            raise KeyboardInterrupt
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before and len(begun) < 20


def test_each_thread_is_made_ready_once() -> None:
    names: list[str] = []
    list(in_order(lambda _: time.sleep(0.01), range(10), 2, ready=lambda: names.append(threading.current_thread().name)))
    assert len(names) == len(set(names)) == 2


def test_things_are_taken_when_somebody_is_free_and_begun_in_turn() -> None:
    taken: list[int] = []
    done = threading.Semaphore(0)

    def things() -> Iterator[int]:
        for number in range(8):
            taken.append(number)
            yield number

    def begin(number: int) -> Callable[[], int]:
        def work() -> int:
            assert done.acquire(timeout=10)
            return number * number

        return work

    results = when_free(begin, things(), 2)
    done.release()
    assert next(results) == (0, 0)
    time.sleep(0.05)
    assert taken == [0, 1, 2], "two are worked on, and one was free"
    done.release(8)
    assert list(results) == [(number, number * number) for number in range(1, 8)]


@pytest.mark.parametrize("where", ["source", "begin", "work"])
def test_what_fails_anywhere_is_raised_where_results_are_taken(where: str) -> None:
    def things() -> Iterator[int]:
        yield 0
        if where == "source":
            raise ValueError("source")
        yield 1

    def begin(number: int) -> Callable[[], int]:
        if number and where == "begin":
            raise ValueError("begin")
        return lambda: 1 // (1 - number) if where == "work" else number

    with pytest.raises((ValueError, ZeroDivisionError)):
        list(when_free(begin, things(), 2))


def test_costs_count_every_thread_and_failures_too() -> None:
    costs = Costs()
    list(in_order(costs.timed("sleep", lambda _: time.sleep(0.02)), range(4), 2))
    with pytest.raises(ZeroDivisionError):
        costs.timed("divide", Fraction(1).__truediv__)(0)
    costs.add("encode", 0.4)
    told = costs.per_thing_ms(4)
    assert list(told) == ["sleep", "divide", "encode"] and told["sleep"] >= 20 and told["encode"] == 100
