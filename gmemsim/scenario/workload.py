# SPDX-License-Identifier: GPL-2.0-or-later
"""From the workload of a scenario to the plain steps that a run carries out; what every generator is made of.

Theory of operation
-------------------
A :class:`Generator` is a step that stands for many: a guest's boot, conversions scattered over its memory, a
recorded log.  It is a documented function of its parameters, of one guest and of a random number generator, and
yields plain steps in the order of their time, one at a time: a workload of a million conversions is never held as a
list, and memory does not grow with the guest.  Generators know neither policy nor backing, so that the same demand can
be put to every policy.

A :class:`Composite` is made of generators: it merges or changes what they yield.  Both *expand* to plain steps, and
both know when they *end*, which is when the step after them begins; the checks of a file and the run ask the same
method, so they agree.

Everything is deterministic.  A generator's random numbers come from the scenario's seed and its position in the
workload (or from its own ``seed``), those of each guest of a group from these; so adding a step at the end, or a
guest, changes no other.  ``streams: same`` gives every guest of a group the same numbers, hence the same load.
Arrivals, lifetimes and places have a stream each: two generators with the same seed put the same demand, wherever they
place it.

What generators share is here and in :mod:`gmemsim.scenario.demand`: arrivals over time, lifetimes, random places in
memory that do not overlap.  Each generator is one module in ``scenario.generators``; to add one, write its class and
add a row to the registry there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from random import Random
from typing import Annotated, ClassVar, Literal, get_args

import attrs

from gmemsim.scenario.demand import Arrival, arrivals, lives, split_rng, touched
from gmemsim.scenario.format.kinds import Choice, Count, Duration, Inner, Number, Record, Size
from gmemsim.scenario.model import Convert, Extent, GuestSpec, GuestStep, Retry, Scenario, State, Step, bytes_of
from gmemsim.units import size_name

Streams = Literal["own", "same"]

MOST_CONVERSIONS = 100_000_000
"""The largest count that a generator takes: about a day of simulation; more is taken for a typing error."""

Instances = Callable[[str], int]
"""How many guests a name addresses."""


@attrs.frozen(kw_only=True)
class Generator(GuestStep):
    """A step that expands to many for a guest, or for each guest of a group, ``stagger`` ns apart."""

    can_fail = False

    draws: ClassVar[bool] = True
    """Whether its steps depend on random numbers, those of the host's accesses apart."""

    stagger: Annotated[int, Duration("time between the starts of the guests of a group")] = 0
    streams: Annotated[
        Streams, Choice("random numbers of the guests of a group: each its own, or all the same", get_args(Streams))
    ] = "own"
    seed: Annotated[int | None, Count("seed of this step alone; by its place in the workload if absent")] = None

    retry: Annotated[
        Retry | None, Record("how conversions that fail are tried again; not at all if absent", Retry, "a retry")
    ] = None

    def span(self) -> int:
        """Nanoseconds from its start to its end, for one guest."""
        raise NotImplementedError

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """Parameters that make no sense for ``guest`` with base pages of ``page_size`` bytes: key and "found …,
        expected …".

        ``InputError`` for what is wrong with another file that it reads.
        """
        raise NotImplementedError

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The plain steps of the one guest ``name``, which is a ``guest``, from time ``start`` (ns), in the order of
        their ``at``.

        ``page_size`` is the base page in bytes; chance comes only from ``rng``.
        """
        raise NotImplementedError

    def begin(self, start: int) -> int:
        """When it begins if the step before it ends at ``start``."""
        return start if self.at is None else max(start, self.at)

    def end(self, start: int, instances: Instances) -> int:
        """When it ends (ns) if the step before it ends at ``start``; ``instances`` tells how many guests a name stands
        for.
        """
        return self.begin(start) + self.span() + self.stagger * max(0, instances(self.guest) - 1)

    def expand(self, scenario: Scenario, path: str = "", start: int = 0) -> Iterator[Step]:
        """The plain steps of all guests of ``scenario`` that this addresses, from ``start`` (ns; default: 0) on, by
        their ``at``.

        ``path`` (default: empty) says where in the workload it stands; its random numbers depend on that.
        """
        rng = Random(f"{scenario.seed}/{path}" if self.seed is None else f"{scenario.seed}/seed/{self.seed}")
        begin = self.begin(start)
        bits = rng.getrandbits(64)
        streams = []
        for i, (name, guest) in enumerate(scenario.instances(self.guest)):
            if i and self.streams == "own":
                bits = rng.getrandbits(64)
            at = begin + i * self.stagger
            steps = self.steps(name, guest, scenario.host.page_size, Random(bits), at)
            streams.append(self.accompanied(steps, scenario.host.page_size, Random(f"host/{bits}"), at + self.span()))
        return in_order(*streams)

    def accompanied(self, steps: Iterator[Step], page_size: int, rng: Random, end: int) -> Iterator[Step]:
        """The ``steps`` of one guest with what others do because of them, by time ``end`` (ns) at the latest: nothing.

        ``page_size`` is the base page in bytes; chance comes only from ``rng``.
        """
        return steps

    def convert(self, name: str, at: int, offset: int, size: int, to: State) -> Convert:
        """One conversion of guest ``name`` at time ``at`` (ns), placed in the file where this generator is.

        ``size`` bytes from ``offset`` on become what ``to`` says.
        """
        return Convert.made(name, at, offset, size, to, self.retry, self.where)


@attrs.frozen(kw_only=True)
class Sharing(Generator):
    """A generator that shares memory with devices and the VMM, which then touch it.

    For every conversion to shared the host touches the first ``host_share`` of its pages, ``host_delay`` later or when
    the generator ends; a fraction of a page is a page with that probability.  What is private again by then is left
    alone.  Both parameters are assumptions: no trace says how much of its shared memory a host touches, or when.
    """

    host_share: Annotated[
        float, Number("part of what it shares that the host touches, from 0 to 1 (1: assumed)", least=0, most=1)
    ] = 1.0
    host_delay: Annotated[int, Duration("time until the host touches it (1ms: assumed)")] = 1_000_000

    def accompanied(self, steps: Iterator[Step], page_size: int, rng: Random, end: int) -> Iterator[Step]:
        """The ``steps`` of one guest with the host's accesses to what they share, by time ``end`` at the latest."""
        if not self.host_share:
            return steps
        return touched(steps, page_size, self.host_share, self.host_delay, end, self.where, rng)


@attrs.frozen(kw_only=True)
class Composite(Step):
    """A step made of generators, whose own ``at`` is never before that of the whole.

    ``holds`` are the keys of the other composite steps that it may be made of.
    """

    holds: ClassVar[tuple[str, ...]] = ()

    steps: Annotated[tuple[Generator | Composite, ...], Inner("the generators that it is made of")]

    def begin(self, start: int) -> int:
        """When it begins if the step before it ends at ``start``."""
        return start if self.at is None else max(start, self.at)

    def end(self, start: int, instances: Instances) -> int:
        """When (ns) the last of its parts ends if the step before it does at ``start``, with as many ``instances``."""
        begin = self.begin(start)
        return max((part.end(begin, instances) for part in self.steps), default=begin)

    def expand(self, scenario: Scenario, path: str = "", start: int = 0) -> Iterator[Step]:
        """The plain steps of all parts in ``scenario``, by their ``at``, from ``start`` (ns; default: 0) on.

        ``path`` (default: empty) says where in the workload it stands.
        """
        begin = self.begin(start)
        return in_order(*(part.expand(scenario, f"{path}/{i}", begin) for i, part in enumerate(self.steps)))


def expand_step(scenario: Scenario, index: int, now: int) -> Iterator[Step]:
    """The plain steps that number ``index`` of the workload of ``scenario`` stands for, at simulated time ``now``.

    A plain step stands for itself, unchanged; a generator's steps all have an ``at``, from ``now`` or from the
    generator's own ``at`` if that is later.
    """
    step = scenario.workload[index]
    if isinstance(step, Generator | Composite):
        return step.expand(scenario, str(index), now)
    return iter((step,))


def is_random(step: Step) -> bool:
    """Whether what ``step`` stands for depends on the seed."""
    if isinstance(step, Composite):
        return any(map(is_random, step.steps))
    if isinstance(step, Sharing) and 0 < step.host_share < 1:
        return True
    return isinstance(step, Generator) and step.draws


def step_end(scenario: Scenario, index: int, now: int) -> int:
    """When number ``index`` of the workload of ``scenario`` ends if it is its turn at ``now`` (ns).

    A plain step's time is the run's.
    """
    step = scenario.workload[index]
    if isinstance(step, Generator | Composite):
        return step.end(now, lambda name: len(scenario.instances(name)))
    return now


def time_of(step: Step) -> int:
    """When ``step``, a plain one of a generator, happens (ns)."""
    return step.at or 0


def in_order(*streams: Iterator[Step]) -> Iterator[Step]:
    """The steps of ``streams``, each in the order of its ``at``, in that order; equal times by stream."""
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=time_of)


@attrs.frozen(kw_only=True)
class Demand(Sharing):
    """Allocations of shared memory that come and, after a lifetime, go: what ``scatter`` and ``granule`` serve."""

    count: Annotated[int, Count("allocations", least=1, most=MOST_CONVERSIONS)]
    duration: Annotated[int, Duration("time in which they arrive")] = 0
    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[Extent, Size("bytes of the range, or all: to the guest's end", aligned=True, whole=True)] = "all"
    each: Annotated[int | None, Size("bytes of an allocation; one page if absent", aligned=True)] = None
    arrival: Annotated[Arrival, Choice("how they arrive", get_args(Arrival))] = "poisson"
    burst: Annotated[int, Count("allocations of a burst", least=1, most=MOST_CONVERSIONS)] = 16
    lifetime: Annotated[int | None, Duration("mean lifetime; for ever if absent", zero=False)] = None

    def span(self) -> int:
        """The time in which allocations arrive and go."""
        return self.duration

    def range_of(self, guest: GuestSpec) -> tuple[int, int]:
        """Offset and bytes of the range in ``guest``."""
        return self.offset, bytes_of(self.size, self.offset, guest.memory)

    def range_problem(self, guest: GuestSpec) -> Iterator[tuple[str, str]]:
        """A range past the end of ``guest``, by key."""
        return misfit(self.offset, self.size, guest)

    def demand(self, rng: Random, start: int) -> Iterator[tuple[int, int, bool]]:
        """Births and deaths (:func:`lives`) from ``start`` (ns) on.

        They come from the streams that all demands with this generator's ``rng`` share.
        """
        arriving, dying = split_rng(rng), split_rng(rng)
        times = (start + at for at in arrivals(self.arrival, self.count, self.duration, arriving, burst=self.burst))
        return lives(times, self.lifetime, start + self.duration, dying)


def too_many(key: str, number: int, what: str) -> Iterator[tuple[str, str]]:
    """What is wrong with ``key`` if it makes ``number`` steps, in words ``what``: more than a run of a day."""
    if number > MOST_CONVERSIONS:
        yield key, f"found {number:,} {what}, expected at most {MOST_CONVERSIONS:,}"


def misfit(offset: int, size: Extent, guest: GuestSpec) -> Iterator[tuple[str, str]]:
    """What is wrong with a generator's range of ``size`` bytes from ``offset`` on in ``guest``, by key."""
    end = offset + bytes_of(size, offset, guest.memory)
    if end > guest.memory or offset >= end:
        key = "size" if isinstance(size, int) else "offset"
        yield key, f"found an end at {size_name(max(end, offset))}, expected at most {size_name(guest.memory)}"
