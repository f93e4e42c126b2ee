# SPDX-License-Identifier: GPL-2.0-or-later
"""Work spread over executors: all results, once each, whatever dies on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from gmemsim.errors import WorkersLost
from gmemsim.studies import spread
from gmemsim.studies.spread import Lost, WorkerPool, results_of

NUMBERS = range(300)


class Sent:
    """Something shared that counts in ``folder`` how often it is unpacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__ = state
        with (self.folder / "unpacked").open("a") as file:
            file.write(f"{os.getpid()}\n")


def square(shared: int, point: int) -> int:
    return shared + point * point


def folder_of(shared: Sent, point: int) -> str:
    return shared.folder.name


def fails(shared: None, point: int) -> int:
    raise ValueError(f"of {point}")


def dies_once(shared: Path, point: int) -> int:
    if point == 7 and not shared.exists():
        shared.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return point


def dies_always(shared: None, point: int) -> int:
    if point == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return point


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(lambda: ProcessPoolExecutor(2), 2) as made:
        yield made


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_every_point_has_its_result_once(workers: int | None) -> None:
    executor: Executor | None = None if workers is None else ThreadPoolExecutor(workers)
    found = list(results_of(square, 5, NUMBERS, executor))
    assert sorted(found) == [(place, 5 + place * place) for place in NUMBERS]


def test_points_are_taken_when_there_is_room(pool: WorkerPool) -> None:
    taken = 0

    def points() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    found = results_of(square, 0, points(), pool)
    for _ in range(50):
        next(found)
    del found
    assert taken < 50 + (spread.AHEAD * pool.workers + 1) * spread.MOST_IN_BATCH


def test_what_is_shared_travels_to_a_worker_and_not_with_a_point(tmp_path: Path, pool: WorkerPool) -> None:
    found = list(results_of(folder_of, Sent(tmp_path), range(2000), pool))
    assert len(found) == 2000
    unpacked = (tmp_path / "unpacked").read_text().split()
    assert len(unpacked) == len(set(unpacked)), "once in each worker"
    assert 1 <= len(unpacked) <= pool.workers, "one of them may do everything on a busy machine"


def test_a_worker_that_dies_loses_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    found = list(results_of(dies_once, tmp_path / "died", NUMBERS, pool))
    assert (tmp_path / "died").exists()
    assert sorted(found) == [(place, place) for place in NUMBERS]


def test_a_point_that_ends_its_worker_again_is_given_up_alone(pool: WorkerPool) -> None:
    found = dict(results_of(dies_always, None, NUMBERS, pool))
    assert found.pop(7) == Lost("the process that worked on it has died 2 times")
    assert found == {place: place for place in NUMBERS if place != 7}


def test_an_executor_that_makes_no_new_workers_says_so() -> None:
    with ProcessPoolExecutor(2) as executor, pytest.raises(WorkersLost, match="makes no new ones"):
        list(results_of(dies_always, None, NUMBERS, executor))


def test_what_work_raises_is_raised(pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="of 0"):
        next(results_of(fails, None, [0], pool))


@pytest.mark.parametrize("workers", [None, 2])
def test_it_stops_when_told_to(workers: int | None) -> None:
    executor: Executor | None = None if workers is None else ThreadPoolExecutor(workers)
    found: list[tuple[int, int | Lost]] = []
    for pair in results_of(square, 0, range(10**9), executor, stop=lambda: len(found) >= 10):
        found.append(pair)
    assert 10 <= len(found) < 10**4
