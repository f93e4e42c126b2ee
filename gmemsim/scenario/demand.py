# SPDX-License-Identifier: GPL-2.0-or-later
"""When allocations come and go: arrivals over time, and lifetimes.

What may live here: functions of numbers and of a random number generator, which every call of a run passes through, so
that they may be compiled.  What uses them is in :mod:`gmemsim.scenario.workload` and in the generators.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from random import Random
from typing import Literal

Arrival = Literal["fixed", "poisson", "bursts"]


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
    for number, at in enumerate(times):
        while alive and alive[0][0] <= at:
            yield *heapq.heappop(alive), False
        yield at, number, True
        if lifetime is not None:
            dies = at + int(rng.expovariate(1.0) * lifetime)
            if dies <= end:
                heapq.heappush(alive, (dies, number))
    while alive:
        yield *heapq.heappop(alive), False
