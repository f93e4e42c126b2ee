# SPDX-License-Identifier: GPL-2.0-or-later
"""Many pieces of work, here or on any executor, with results as they come and nothing lost if a worker dies.

Theory of operation
-------------------
A study that takes many runs has a function ``work(shared, point)``, which is at the top of a module, something
``shared`` that all points need (a scenario's text, say), and points, which are small.  :func:`results_of` carries them
out on a ``concurrent.futures.Executor``, Dask's included, or here.

*What is shared travels to a worker, not with a point.*  A task names it by a token.  A worker that does not know the
token says so and is sent it once with the task that it could not do; from then on it keeps it.

*Points travel in batches.*  A batch is to take about :data:`BATCH_SECONDS` as far as those before it tell, so cheap
points do not pay for a message each.  Only a bounded number of batches is under way, and points are taken from their
iterator when there is room, so memory does not grow with their number.

*A worker that dies takes nothing with it.*  Executors tell of it by an exception (``BrokenProcessPool``, Dask's
``KilledWorker``).  A :class:`WorkerPool` makes new processes then.  The points that were under way are run again one
after the other, each alone, so one that ends its worker again is known: it is given up, as a :class:`Lost`.

What may live here: how work is spread.  Which work there is, and what results mean, is in the other studies.
"""

from __future__ import annotations

import pickle
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from itertools import islice
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

import attrs

from gmemsim.errors import WorkersLost

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")

BATCH_SECONDS: Final = 0.2
"""Time that a batch is to take: long beside a message, short beside the patience of who waits."""

MOST_IN_BATCH: Final = 512
"""Points in a batch."""

AHEAD: Final = 2
"""Batches under way for each worker: one in work, one that waits for it."""

WORKERS_ASSUMED: Final = 64
"""Workers of an executor that does not say how many it has; more batches than workers do no harm."""

LOOK_SECONDS: Final = 0.1
"""How often ``stop`` is asked while nothing comes."""

DEATHS: Final = 2
"""Workers that a point may take with it; then it is given up."""

SHARED_KEPT: Final = 4
"""Things shared that a worker keeps."""


@attrs.frozen
class Lost:
    """In place of a result: the point ended the process that worked on it, as often as :data:`DEATHS`; ``message``."""

    message: str


@attrs.frozen
class _Missing:
    """A worker's answer: it does not have what is shared."""


@attrs.frozen
class _Done(Generic[R]):
    """A worker's answer: the results of a batch, and the seconds that they took."""

    results: list[R]
    seconds: float


_kept: OrderedDict[str, Any] = OrderedDict()
"""In a worker: what is shared, by its token."""


def _carry_out(work: Callable[[Any, P], R], token: str, sent: bytes | None, points: Sequence[P]) -> _Done[R] | _Missing:
    """In a worker: a batch."""
    shared = _kept.get(token, _Missing)
    if shared is _Missing:
        if sent is None:
            return _Missing()
        shared = _kept[token] = pickle.loads(sent)
        while len(_kept) > SHARED_KEPT:
            _kept.popitem(last=False)
    began = time.perf_counter()
    results = [work(shared, point) for point in points]
    return _Done(results, time.perf_counter() - began)


class WorkerPool(Executor):
    """Processes that do work, and new ones in their place when one has died.

    ``make`` makes an executor whose processes have not been used; the first one is made when there is work.
    ``workers`` is how many processes it has.
    """

    def __init__(self, make: Callable[[], Executor], workers: int) -> None:
        self._make = make
        self._pool: Executor | None = None
        self.workers = workers

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """As every executor's: ``fn`` with ``args`` and ``kwargs``; ``BrokenExecutor`` until :meth:`restart` if a
        process died.
        """
        if self._pool is None:
            self._pool = self._make()
        return self._pool.submit(fn, *args, **kwargs)

    def restart(self) -> None:
        """Let the processes go; new ones are made when there is work."""
        self.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor's: ``wait`` for what runs (default: yes), ``cancel_futures`` that do not run yet (default:
        no).
        """
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
            self._pool = None


def results_of(
    work: Callable[[S, P], R],
    shared: S,
    points: Iterable[P],
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, R | Lost]]:
    """``work(shared, point)`` of every point: pairs of the point's place, from 0, and its result, as they come.

    ``executor`` (default: none, one point after the other here) runs them; for it ``work``, ``shared``, ``points`` and
    results must be picklable.  Without one results come in the order of the points.  It ends early when ``stop``
    returns true (default: never); what is under way then is given up.  What ``work`` raises is raised here.
    :class:`WorkersLost` if there are no workers any more.  Memory: O(workers) batches.
    """
    if executor is None:
        for place, point in enumerate(points):
            if stop():
                return
            yield place, work(shared, point)
        return
    spread = _Spread(work, shared, points, executor)
    try:
        yield from spread.run(stop)
    finally:
        spread.cancel()


@attrs.define
class _Batch(Generic[P]):
    """Points with their places; ``sent``: what is shared went with them."""

    points: list[tuple[int, P]]
    sent: bool = False


class _Spread(Generic[S, P, R]):
    """The state of one :func:`results_of` with an executor."""

    def __init__(self, work: Callable[[S, P], R], shared: S, points: Iterable[P], executor: Executor) -> None:
        self._work = work
        self._token = uuid4().hex
        self._shared = pickle.dumps(shared)
        self._points = enumerate(points)
        self._executor = executor
        self._most = AHEAD * getattr(executor, "workers", WORKERS_ASSUMED)
        self._size = 1
        self._under_way: dict[Future[_Done[R] | _Missing], _Batch[P]] = {}
        self._alone: deque[tuple[int, P]] = deque()
        """Points whose worker has died, each to be run with no other under way."""
        self._given_up: list[tuple[int, Lost]] = []
        self._deaths: dict[int, int] = {}

    def run(self, stop: Callable[[], bool]) -> Iterator[tuple[int, R | Lost]]:
        """All results."""
        while not stop():
            self._fill()
            if not (self._under_way or self._given_up):
                return
            done, _ = wait(self._under_way, LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                if future in self._under_way:  # still: a death takes all that were under way
                    yield from self._take(future)
            yield from self._given_up
            self._given_up.clear()

    def cancel(self) -> None:
        """Give up what is under way."""
        for future in self._under_way:
            future.cancel()

    def _fill(self) -> None:
        """Put batches under way as long as there is room for them."""
        if self._alone:
            if not self._under_way:
                self._submit(_Batch([self._alone.popleft()]))
            return
        while len(self._under_way) < self._most and not self._alone:
            points = list(islice(self._points, self._size))
            if not points:
                return
            self._submit(_Batch(points))

    def _submit(self, batch: _Batch[P]) -> None:
        sent = self._shared if batch.sent else None
        points = [point for _, point in batch.points]
        try:
            future = self._executor.submit(_carry_out, self._work, self._token, sent, points)
        except BrokenExecutor:  # a process has died since the last result
            self._alone.extend(batch.points)
            self._bury([])
            return
        self._under_way[future] = batch

    def _take(self, future: Future[_Done[R] | _Missing]) -> Iterator[tuple[int, R | Lost]]:
        """The results of a batch that is over, whichever way."""
        batch = self._under_way.pop(future)
        try:
            answer = future.result()
        except CancelledError:
            raise WorkersLost("the workers have gone") from None
        except BrokenExecutor:
            self._bury(batch.points)
            return
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # Dask's, which cannot be imported everywhere
                raise
            self._given_back(batch.points)
            return
        if isinstance(answer, _Missing):
            self._submit(attrs.evolve(batch, sent=True))
            return
        self._learn(answer.seconds / len(batch.points))
        yield from ((place, result) for (place, _), result in zip(batch.points, answer.results, strict=True))

    def _learn(self, seconds: float) -> None:
        """A point has taken so many ``seconds``: the next batches may be larger, not more than twice at a time."""
        wanted = int(BATCH_SECONDS / max(seconds, 1e-9))
        self._size = max(1, min(wanted, 2 * self._size, MOST_IN_BATCH))

    def _bury(self, points: Sequence[tuple[int, P]]) -> None:
        """A pool of processes is broken, with all that was under way, ``points`` included: make a new one."""
        restart = getattr(self._executor, "restart", None)
        if restart is None:
            raise WorkersLost("a worker has died, and the executor makes no new ones")
        lost = [*points, *(point for batch in self._under_way.values() for point in batch.points)]
        self._under_way.clear()
        restart()
        self._given_back(lost)

    def _given_back(self, points: Sequence[tuple[int, P]]) -> None:
        """Points whose worker has died are to be run again, or given up."""
        for place, point in points:
            self._deaths[place] = deaths = self._deaths.get(place, 0) + 1
            if deaths < DEATHS:
                self._alone.append((place, point))
            else:
                self._given_up.append((place, Lost(f"the process that worked on it has died {deaths} times")))
