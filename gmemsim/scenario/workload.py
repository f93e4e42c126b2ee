"""From the workload of a scenario to the plain steps that a run carries out; what every generator is made of.

Theory of operation
-------------------
A :class:`Generator` is a step that stands for many: a guest's boot, conversions scattered over its memory.
It is a documented function of its parameters, of one guest and of a random number generator, and yields
plain steps in the order of their time, one at a time: a workload of a million conversions is never a list,
and nothing here is as large as a guest.  Generators know neither policy nor backing, because the same
demand must be put to each.

Everything is deterministic.  A generator's random numbers come from the scenario's seed and its position in
the workload, those of each guest of a group from these; so adding a step at the end, or a guest, changes no
other.

What generators share is here: arrivals over time, and :class:`PagePool`, which hands out random places in
memory that do not overlap.  Each generator is one module in ``scenario.generators``; to add one, write its
class and put it in the list there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from random import Random
from typing import Annotated, Literal

import attrs

from gmemsim.scenario.kinds import Duration
from gmemsim.scenario.schema import Convert, GuestSpec, GuestStep, Scenario, State, Step

Arrival = Literal["fixed", "poisson"]

MOST_CONVERSIONS = 100_000_000
"""The largest count a generator takes: a day's simulation, not a typing error that never ends."""


@attrs.frozen(kw_only=True)
class Generator(GuestStep):
    """A step that expands to many for a guest, or for each guest of a group, ``stagger`` ns apart."""

    can_fail = False

    stagger: Annotated[int, Duration("time between the starts of the guests of a group")] = 0

    def span(self) -> int:
        """Nanoseconds from its start to its last step, for one guest."""
        raise NotImplementedError

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """Parameters that make no sense for ``guest``: key and "found …, expected …"."""
        raise NotImplementedError

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The plain steps of the one guest ``name`` from time ``start``, in the order of their ``at``."""
        raise NotImplementedError

    def expand(self, scenario: Scenario, rng: Random, start: int = 0) -> Iterator[Step]:
        """The plain steps of all guests that this addresses, from ``start`` on, by their ``at``."""
        streams = [
            self.steps(name, guest, scenario.host.page_size, Random(rng.getrandbits(64)), start + i * self.stagger)
            for i, (name, guest) in enumerate(scenario.instances(self.guest))
        ]
        return heapq.merge(*streams, key=_time_of)

    def convert(self, name: str, at: int, offset: int, size: int, to: State) -> Convert:
        """One conversion of guest ``name``, placed in the file where this generator is."""
        return Convert(guest=name, at=at, offset=offset, size=size, to=to, where=self.where)


def expand_step(scenario: Scenario, index: int, now: int) -> Iterator[Step]:
    """The plain steps that number ``index`` of the workload stands for, at simulated time ``now``.

    A plain step stands for itself, unchanged; a generator's steps all have an ``at``, from ``now`` or from
    the generator's own ``at`` if that is later.
    """
    step = scenario.workload[index]
    if isinstance(step, Generator):
        start = now if step.at is None else max(now, step.at)
        return step.expand(scenario, Random(f"{scenario.seed}/{index}"), start)
    return iter((step,))


def _time_of(step: Step) -> int:
    return step.at or 0


def arrivals(arrival: Arrival, count: int, duration: int, rng: Random) -> Iterator[int]:
    """``count`` times from 0 to ``duration`` in ascending order.

    ``fixed`` spaces them equally; ``poisson`` is a Poisson process given that ``count`` arrivals fall into
    the time, drawn one after another (the smallest of k uniform variables first), so that none is kept.
    """
    if arrival == "fixed":
        for i in range(count):
            yield duration * i // count
        return
    elapsed = 0.0
    for left in range(count, 0, -1):
        elapsed += (duration - elapsed) * -math.expm1(math.log1p(-rng.random()) / left)
        yield min(int(elapsed), duration)


class PagePool:
    """Random places of ``granule`` bytes in a range, which overlap neither each other nor the ``gap``.

    The gap (offset, size) must lie within the range ``offset`` … ``offset + size``.

    A Fisher-Yates shuffle that stores only what it has moved: memory is as large as the number of places
    taken, not as the guest; :meth:`take` and :meth:`give_back` are O(1).
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
        """The offset of a place that was free; there must be one."""
        chosen = rng.randrange(self.free)
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


@attrs.frozen
class Demand:
    """Allocations of ``size`` bytes from ``pool``, shared for a lifetime and then private again.

    ``lifetime`` is the mean of an exponential distribution in ns, ``None`` for ever; what would outlive the
    time ``end`` stays shared.  The pool must have a free place for each allocation that is alive.
    """

    pool: PagePool
    size: int
    lifetime: int | None
    end: int

    def conversions(self, generator: Generator, name: str, times: Iterator[int], rng: Random) -> Iterator[Convert]:
        """The conversions of guest ``name`` for one allocation at each of ``times``, in the order of time."""
        alive: list[tuple[int, int]] = []
        for at in times:
            yield from self._expired(generator, name, alive, at)
            offset = self.pool.take(rng)
            yield generator.convert(name, at, offset, self.size, "shared")
            if self.lifetime is not None:
                dies = at + int(rng.expovariate(1.0) * self.lifetime)
                if dies <= self.end:
                    heapq.heappush(alive, (dies, offset))
        yield from self._expired(generator, name, alive, self.end)

    def _expired(self, generator: Generator, name: str, alive: list[tuple[int, int]], now: int) -> Iterator[Convert]:
        while alive and alive[0][0] <= now:
            at, offset = heapq.heappop(alive)
            self.pool.give_back(offset)
            yield generator.convert(name, at, offset, self.size, "private")


def in_order(*streams: Iterator[Step]) -> Iterator[Step]:
    """The steps of ``streams``, each in the order of its ``at``, in that order; equal times by stream."""
    return heapq.merge(*streams, key=_time_of)
