# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest asks for, call by call: when allocations come and go, where they are, and who touches them.

What may live here: what every step of a generator passes through, as functions and plain classes, which may be
compiled.  What uses them is in :mod:`gmemsim.scenario.workload` and in the generators.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Literal

from gmemsim.scenario.model import Convert, Place, Retry, State, Step, Touch

Arrival = Literal["fixed", "poisson", "bursts"]

Conversion = Callable[[str, int, int, int, State], Convert]
"""Makes a conversion of a guest (its name): when (ns), from which offset, how many bytes, to what."""


def recorded(
    guest: str, start: int, events: Iterable[tuple[int, int, int, State]], retry: Retry | None, where: Place
) -> Iterator[Step]:
    """The conversions of ``guest`` that ``events`` are, each when after ``start`` (ns), from which offset, how many
    bytes, to what.

    All have this ``retry`` and this place ``where`` in the file.
    """
    for time, offset, size, to in events:
        at = start + time
        yield Convert.made(guest, at, offset, size, to, retry, where)


def arrivals(arrival: Arrival, count: int, duration: int, rng: Random, *, burst: int = 1) -> Iterator[int]:
    """``count`` times from 0 to ``duration`` (ns) in ascending order, as ``arrival`` says; chance comes from ``rng``.

    ``fixed`` spaces them equally; ``poisson`` is a Poisson process given that ``count`` arrivals fall into the time,
    drawn one after another (the smallest of k uniform variables first), so that none is kept; ``bursts`` is the same
    process of bursts, each of ``burst`` arrivals (default: 1) at one time (the last may have fewer).
    """
    if arrival == "fixed":
        for i in range(count):
            yield duration * i // count
        return
    size = burst if arrival == "bursts" else 1
    elapsed, left = 0.0, -(-count // size)
    for i in range(count):
        if i % size == 0:
            elapsed += (duration - elapsed) * -math.expm1(math.log1p(-rng.random()) / left)
            left -= 1
        yield min(int(elapsed), duration)


def lives(times: Iterator[int], lifetime: int | None, end: int, rng: Random) -> Iterator[tuple[int, int, bool]]:
    """Births at ``times`` and the deaths that follow, in the order of time: (time, number, whether it is a birth).

    ``lifetime`` is the mean of an exponential distribution in ns, drawn from ``rng``, ``None`` for ever; an allocation
    that would end after the time ``end`` never does.  Memory is O(live allocations).
    """
    alive: list[tuple[int, int]] = []
    random = rng.random
    for number, at in enumerate(times):
        while alive and alive[0][0] <= at:
            yield *heapq.heappop(alive), False
        yield at, number, True
        if lifetime is not None:
            dies = at + int(-math.log(1.0 - random()) * lifetime)  # rng.expovariate(1.0), written out
            if dies <= end:
                heapq.heappush(alive, (dies, number))
    while alive:
        yield *heapq.heappop(alive), False


def below(number: int, rng: Random) -> int:
    """One of the integers from 0 to ``number`` (not included), as the ``randrange`` of ``rng`` draws it, but faster.

    ``ValueError`` if there is none.
    """
    if number < 1:
        raise ValueError(f"found {number} integers to draw from, expected at least one")
    bits = number.bit_length()
    drawn = rng.getrandbits(bits)
    while drawn >= number:
        drawn = rng.getrandbits(bits)
    return drawn


def split_rng(rng: Random) -> Random:
    """A stream of random numbers of its own, which depends on ``rng`` only as far as that has been used."""
    return Random(rng.getrandbits(64))


class PagePool:
    """Random places of ``granule`` bytes in a range, which overlap neither each other nor the ``gap``.

    ``gap`` (offset, size; default: none) must lie within the range of ``size`` bytes from ``offset`` on.

    A Fisher-Yates shuffle that stores only what it has moved: memory is O(places taken), whatever the guest's size;
    :meth:`take` and :meth:`give_back` are O(1).
    """

    def __init__(self, offset: int, size: int, granule: int, *, gap: tuple[int, int] = (0, 0)) -> None:
        first, length = gap
        self._offset = offset
        self._granule = granule
        self._before = max(0, first - offset) // granule if length else size // granule
        after = -(-max(0, first + length - offset) // granule) if length else self._before
        self._skip = max(0, after - self._before)
        self._moved: dict[int, int] = {}
        self.free = max(0, size // granule - self._skip)

    def take(self, rng: Random) -> int:
        """The offset of a place that was free, drawn from ``rng``; there must be one."""
        chosen = below(self.free, rng)
        self.free -= 1
        place = self._moved.get(chosen, chosen)
        last = self._moved.pop(self.free, self.free)
        if chosen != self.free:
            self._moved[chosen] = last
        return self._offset + (place + self._skip * (place >= self._before)) * self._granule

    def give_back(self, offset: int) -> None:
        """Free the place at ``offset`` again."""
        place = (offset - self._offset) // self._granule
        self._moved[self.free] = place - self._skip * (place >= self._before)
        self.free += 1


class Blocks(PagePool):
    """Random places of ``each`` bytes, each in a block of its own, of ``block`` bytes, in ``size`` bytes from
    ``offset`` on.
    """

    def __init__(self, offset: int, size: int, block: int, each: int) -> None:
        super().__init__(offset, size, block)
        self._each = each

    def take(self, rng: Random) -> int:
        """The offset of a place in a block that was free; there must be one."""
        block = super().take(rng)
        return block + below(self._granule // self._each, rng) * self._each


def scattered(
    convert: Conversion, name: str, demand: Iterator[tuple[int, int, bool]], pool: PagePool, size: int, rng: Random
) -> Iterator[Step]:
    """Give every birth of ``demand`` a random place of ``pool``: to shared as they arrive, to private as they go.

    ``size`` bytes are converted each time, of the guest ``name``, as ``convert`` makes it; chance comes from ``rng``.
    Memory is O(live allocations).
    """
    places: dict[int, int] = {}
    for at, number, born in demand:
        if born:
            places[number] = pool.take(rng)
            yield convert(name, at, places[number], size, "shared")
        else:
            offset = places.pop(number)
            pool.give_back(offset)
            yield convert(name, at, offset, size, "private")


def touched(
    steps: Iterator[Step], page_size: int, share: float, delay: int, end: int, where: Place, rng: Random
) -> Iterator[Step]:
    """The ``steps`` of one guest, and the host's accesses to what they share, ``delay`` ns later or at ``end``.

    The host touches the first ``share`` of the pages, of ``page_size`` bytes; a fraction of a page is a page with that
    probability, drawn from ``rng``.  ``where`` is where the generator stands in the file.
    """
    waiting: deque[tuple[int, Touch]] = deque()  # the delay is the same for all, so they are in the order of time
    random = rng.random
    for step in steps:
        now = step.at or 0
        while waiting and waiting[0][0] <= now:
            yield waiting.popleft()[1]
        yield step
        if isinstance(step, Convert) and step.to == "shared":
            assert isinstance(step.size, int)
            size = int(step.size // page_size * share + random()) * page_size
            at = max(now, min(now + delay, end))
            if size:
                waiting.append((at, Touch(guest=step.guest, at=at, offset=step.offset, size=size, where=where)))
    for _, touch in waiting:
        yield touch
