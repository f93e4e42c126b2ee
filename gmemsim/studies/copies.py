# SPDX-License-Identifier: GPL-2.0-or-later
"""Many copies of a scenario's guests on one host.

Theory of operation
-------------------
A copy of a guest does what the guest does, shifted by a number of nanoseconds.  The workload of the scenario is gone
through once for each copy, with the names of that copy's guests, and the steps are merged by time, so copies run side
by side and a million steps are never held as a list.  Each copy has random numbers of its own; those of the first are
the scenario's.  A recorded log is the same in every copy.

The pool grows by what the guests of a copy reserve.

What may live here: how a scenario becomes a larger one.  What is asked of it is in :mod:`gmemsim.studies.budget`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final

import attrs

from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.model import MOST_INSTANCES, GuestSpec, GuestStep, HostSpec, Inject, Scenario, Step, Wait
from gmemsim.scenario.workload import Composite, Instances, expand_step, in_order, step_end

SEED_STRIDE: Final = 1 << 32
"""Seeds of two copies of one scenario differ by this, so that no copy has the numbers of another seed's copy."""


@attrs.frozen(kw_only=True)
class Copies(Composite):
    """The workload of ``of`` for ``number`` copies of its guest ``only`` (``None``: of all), ``stagger`` ns apart.

    ``steps`` is always empty: it has none of its own.
    """

    key: ClassVar[str] = "copies"

    of: Scenario
    number: int
    only: str | None = None
    stagger: int = 0
    steps: tuple[()] = ()

    def end(self, start: int, instances: Instances) -> int:
        """Not known before it is over: the run ends when the last step has.

        ``start`` is its simulated time in ns; ``instances`` do not matter.
        """
        return self.begin(start)

    def expand(self, scenario: Scenario, path: str = "", start: int = 0) -> Iterator[Step]:
        """The plain steps of all copies, by their ``at``, the first copy's from ``start`` (ns; default: 0) on.

        ``scenario`` and ``path`` (default: none) do not matter: the copied workload holds its own.
        """
        return in_order(*(self._copy(copy, start + copy * self.stagger) for copy in range(self.number)))

    def _copy(self, copy: int, start: int) -> Iterator[Step]:
        """The plain steps of number ``copy``, whose time begins at ``start``."""
        of = attrs.evolve(self.of, seed=self.of.seed + copy * SEED_STRIDE)
        name_of = self._names(copy)
        for step in _timed(of):
            if isinstance(step, GuestStep):
                for name, guest in of.instances(step.guest):
                    if copy == 0 or self.only in (None, guest.name):
                        yield attrs.evolve(step, guest=name_of(name), at=start + (step.at or 0))
            elif copy == 0:
                yield attrs.evolve(step, at=start + (step.at or 0))

    def _names(self, copy: int) -> Callable[[str], str]:
        """What the guest of a name is called in number ``copy``."""
        names: dict[str, str] = {}
        for guest in self.of.guests:
            copied = copied_guest(guest, self.number, self.only).instances
            first = copy * guest.count if self.only in (None, guest.name) else 0
            names.update(zip(guest.instances, copied[first : first + guest.count], strict=True))
        return names.__getitem__


def copied(scenario: Scenario, number: int, only: str | None = None, stagger: int = 0) -> Scenario:
    """``scenario`` with ``number`` copies of its guest ``only`` (default: of all guests), ``stagger`` ns apart.

    The pool grows by what the guests reserve; expectations are dropped, and one copy is the scenario itself without
    them.  ``ValueError`` if there is no such guest, or if a host does not have so many.  O(guests).
    """
    names = [guest.name for guest in scenario.guests]
    if only is not None and only not in names:
        raise ValueError(
            f"found the guest {quote(only)}, expected one of {', '.join(names)}{did_you_mean(only, names)}"
        )
    if number < 1:
        raise ValueError(f"found {number} copies, expected at least 1")
    plain = attrs.evolve(
        scenario, expect=(), workload=tuple(attrs.evolve(step, expect_error=None) for step in scenario.workload)
    )
    guests = tuple(copied_guest(guest, number, only) for guest in scenario.guests)
    instances = sum(guest.count for guest in guests)
    if instances > MOST_INSTANCES:
        raise ValueError(f"found {instances:,} guests, expected at most {MOST_INSTANCES:,} on a host")
    if number == 1:
        return plain
    work = Copies(of=plain, number=number, only=only, stagger=stagger)
    return attrs.evolve(plain, host=_grown(scenario, number - 1, only), guests=guests, workload=(work,))


def _grown(scenario: Scenario, more: int, only: str | None) -> HostSpec:
    """The host with hugepages for so many ``more`` copies, each on the NUMA node of its guest if there are nodes."""
    host = scenario.host

    def with_more(pools: Mapping[int, int], node: int | None) -> dict[int, int]:
        return {size: pages + more * reserved(scenario, only, node).get(size, 0) for size, pages in pools.items()}

    if not host.nodes:
        return attrs.evolve(host, hugetlb=with_more(host.hugetlb, None))
    nodes = [attrs.evolve(node, hugetlb=with_more(node.hugetlb, i)) for i, node in enumerate(host.nodes)]
    return attrs.evolve(host, nodes=tuple(nodes))


def copied_guest(guest: GuestSpec, number: int, only: str | None) -> GuestSpec:
    """``guest`` as it is on a host with ``number`` copies of the guest ``only`` (``None``: of all)."""
    return attrs.evolve(guest, count=guest.count * number) if only in (None, guest.name) else guest


def reserved(scenario: Scenario, only: str | None = None, node: int | None = None) -> Mapping[int, int]:
    """Hugepages that the guest ``only`` (default: all guests) of ``scenario`` reserves, by size in bytes.

    ``node`` (default: all) limits it to this NUMA node.  O(guests).
    """
    pools: Counter[int] = Counter()
    for guest in scenario.guests:
        here = only in (None, guest.name) and node in (None, guest.node)
        if here and guest.backing > scenario.host.page_size:
            pools[guest.backing] += guest.count * (guest.memory // guest.backing)
    return pools


def unlimited(scenario: Scenario) -> Scenario:
    """``scenario`` without any limit on kernel memory, of host, nodes or guests, and without injected failures.

    A node of movable memory, whose limit is 0, stays one.
    """
    guests = tuple(attrs.evolve(guest, kernel_memory=None) for guest in scenario.guests)
    workload = tuple(step for step in scenario.workload if not isinstance(step, Inject))
    nodes = tuple(
        attrs.evolve(node, kernel_memory=0 if node.kernel_memory == 0 else None) for node in scenario.host.nodes
    )
    host = attrs.evolve(scenario.host, kernel_memory=None, nodes=nodes)
    return attrs.evolve(scenario, host=host, guests=guests, workload=workload, expect=())


def _timed(scenario: Scenario) -> Iterator[Step]:
    """The plain steps of the workload, each with the time at which a run carries it out."""
    now = 0
    for index in range(len(scenario.workload)):
        end = step_end(scenario, index, now)
        for plain in expand_step(scenario, index, now):
            now = max(now, plain.at or 0)
            if isinstance(plain, Wait):
                now += plain.duration
            else:
                yield attrs.evolve(plain, at=now, id=None)
        now = max(now, end)
