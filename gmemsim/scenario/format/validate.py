# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of a scenario file that need more than one value: names, ranges, times, pools.

Theory of operation
-------------------
The loader hands over each part of a file as :class:`Values` in the order host, guests, workload,
expectations; the :class:`Checker` remembers what the later parts refer to.  A check is made only if every
value it needs could be read, and a name is called unknown only if every definition could be: a fault never
causes a second one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gmemsim.errors import InputError
from gmemsim.gmem.policy import Policy
from gmemsim.host.geometry import Geometry
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.format.kinds import ALL, LARGEST, Size, table
from gmemsim.scenario.format.reader import MISSING, Values
from gmemsim.scenario.format.yaml import Faults
from gmemsim.scenario.model import (
    EVERY,
    MOST_INSTANCES,
    NOWHERE,
    Allocate,
    FaultIn,
    GuestSpec,
    NodeSpec,
    Place,
    RangeStep,
    Step,
    Wait,
    step_keys,
)
from gmemsim.scenario.workload import MOST_CONVERSIONS, Composite, Generator
from gmemsim.units import human_duration, size_name


class Checker:
    """What is known of one file so far, and the checks that use it; what is wrong goes to ``faults``."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._geometry: Geometry | None = None
        self._nodes: Sequence[NodeSpec] = ()
        self._pools: Sequence[Mapping[int, int]] = ()  # of each node, or of the host; none if they are not known
        self._grace: Any = MISSING
        self._grace_place = NOWHERE
        self._memory = 0  # of all guests
        self._guests: dict[str, list[Values]] = {EVERY: []}
        self._instances: list[str] = []
        self._guests_sound = True
        self._ids: dict[str, Place] = {}
        self._ids_sound = True

    @property
    def instances(self) -> tuple[str, ...] | None:
        """The names of all guests, instances one by one; ``None`` if some could not be read."""
        return tuple(self._instances) if self._guests_sound else None

    def host(self, host: Values | None) -> None:
        """The pools of ``host`` are of hugepages that the page size permits; ``None`` if it could not be read."""
        if host is None or not host.known("page_size"):
            return
        self._geometry = Geometry(host.get("page_size"))
        self._grace, self._grace_place = host.get("rcu_grace"), host.place("rcu_grace")
        pamt = host.get("pamt")
        if pamt is not MISSING and (problem := self._geometry.pamt_problem(pamt)):
            self._faults.add(host.place("pamt"), f"found {pamt}, expected none: {problem}")
        if not host.known("hugetlb", "nodes"):
            return
        nodes = self._nodes = host.get("nodes")
        if nodes and host.get("hugetlb"):
            self._faults.add(host.place("hugetlb"), "found hugetlb beside nodes, expected each node to have its own")
        where = host.place("nodes" if nodes else "hugetlb")
        self._pools = [node.hugetlb for node in nodes] or [host.get("hugetlb")]
        for size in {size: None for pool in self._pools for size in pool}:
            self._hugepage(size, where)
        if sum(size * number for pool in self._pools for size, number in pool.items()) > LARGEST:
            self._faults.add(where, "found more than 2^63 bytes of hugepages, expected less")

    def _hugepage(self, size: int, where: Place) -> bool:
        """Whether a machine has hugepages of ``size``."""
        if self._geometry is None or self._geometry.hugepage_problem(size) is None:
            return True
        self._faults.add(
            where,
            f"found {size_name(size)}, expected {self._geometry.hugepage_names}:"
            f" no machine has others with {size_name(self._geometry.page_size)} pages",
        )
        return False

    def guests(self, guests: Iterable[Values | None], where: Place) -> None:
        """Names of ``guests`` are unique, memory is made of hugepages that the host has, a ladder begins at the
        backing.

        A guest that could not be read is ``None``.  ``where`` is the place of the list.
        """
        found = False
        for guest in guests:
            found = True
            if guest is None:
                self._guests_sound = False
                continue
            self._guest_name(guest)
            self._aligned(guest, _aligned_attributes(GuestSpec))
            self._backing(guest)
            self._node(guest)
        if not found:
            self._guests_sound = False
            self._faults.add(where, "found no guests, expected at least one")

    def _guest_name(self, guest: Values) -> None:
        if not guest.known("name", "count"):
            self._guests_sound = False
            return
        name, count = guest.get("name"), guest.get("count")
        names = [name] if count == 1 else [f"{name}-{i}" for i in range(count)]
        if len(self._instances) + count > MOST_INSTANCES:
            self._faults.add(guest.where, f"found more than {MOST_INSTANCES} guests in all, expected fewer")
            self._guests_sound = False
            return
        taken = next((address for address in (*names, name) if address in self._guests), None)
        if taken == EVERY:
            self._faults.add(guest.place("name"), f"found the name {EVERY!r}, expected another: it means every guest")
        elif taken is not None:
            self._faults.add(guest.place("name"), f"found a second guest {taken!r}, expected each name once")
        memory = guest.get("memory")
        self._memory += 0 if memory is MISSING else memory * count
        if self._memory > LARGEST:
            self._faults.add(guest.place("memory"), "found guests of more than 2^63 bytes in all, expected less")
            self._memory = 0
        for address in (*names, name):
            self._guests.setdefault(address, [guest])
        self._guests[EVERY].append(guest)
        self._instances += names

    def _backing(self, guest: Values) -> None:
        if self._geometry is None or not guest.known("backing"):
            return
        backing, where = guest.get("backing"), guest.place("backing")
        if backing % self._geometry.page_size:
            return
        if backing != self._geometry.page_size and not self._hugepage(backing, where):
            return
        order = self._geometry.order_of(backing)
        mapping = guest.get("mapping")
        if mapping not in (MISSING, None) and (problem := self._geometry.mapping_problem(mapping, backing)):
            self._faults.add(guest.place("mapping"), f"found {mapping}, expected plain: {problem}")
        memory = guest.get("memory")
        if memory is not MISSING and memory % backing and memory % self._geometry.page_size == 0:
            self._faults.add(
                guest.place("memory"),
                f"found {size_name(memory)}, expected a multiple of the backing {size_name(backing)}",
            )
        policy = guest.get("policy")
        if isinstance(policy, Policy):
            try:
                policy.rungs(order, self._geometry)
            except ValueError as error:
                self._faults.add(guest.place("policy"), f"found {error}, expected it to begin at the backing")

    def _node(self, guest: Values) -> None:
        """The guest's node exists, and has hugepages of the guest's size."""
        if self._geometry is None or not self._pools or not guest.known("node", "backing"):
            return
        node, backing = guest.get("node"), guest.get("backing")
        if node >= len(self._pools):
            there = f"a node below {len(self._nodes)}" if self._nodes else "0, for the host has no nodes"
            self._faults.add(guest.place("node"), f"found node {node}, expected {there}")
            return
        if backing in self._pools[node] or self._geometry.hugepage_problem(backing):
            return  # base pages, or a size that no machine has, which is a fault already
        have = ", ".join(map(size_name, self._pools[node])) or "none"
        whose = f"host.nodes[{node}].hugetlb" if self._nodes else "host.hugetlb"
        self._faults.add(
            guest.place("backing"), f"found hugepages of {size_name(backing)}, expected a size in {whose} ({have})"
        )

    def _aligned(self, values: Values, attributes: Sequence[str]) -> None:
        """Sizes in whole pages, the ``attributes``, are multiples of the page size."""
        if self._geometry is None:
            return
        page = self._geometry.page_size
        for attribute in attributes:
            value = values.get(attribute)
            if isinstance(value, int) and value % page and values.given(attribute):
                self._faults.add(
                    values.place(attribute),
                    f"found {size_name(value)}, expected a multiple of the page size {size_name(page)}",
                )

    def workload(self, steps: Iterable[tuple[type[Step], Values] | None], faults: Faults) -> None:
        """Each of ``steps`` by itself, and times that do not run backwards; what is wrong goes to ``faults``.

        A step that could not be read is ``None``.  O(steps).
        """
        before, self._faults = self._faults, faults
        clock = 0
        for item in steps:
            if item is None:
                self._ids_sound = False
                continue
            step, values = item
            self._identity(values)
            clock = self._step(step, values, clock)
        if self._grace is not MISSING and clock + self._grace > LARGEST:
            self._faults.add(
                self._grace_place,
                f"found a grace period of {human_duration(self._grace)}, which ends after 2^63 ns, expected less"
                " (it follows the last step)",
            )
        self._faults = before

    def _step(self, step: type[Step], values: Values, clock: int) -> int:
        """A step that begins at ``clock`` or at its own time; returns when it ends."""
        traits = _traits(step)
        guests = self._addressed(values) if traits.for_guests else []
        if not (traits.has_range and _expects_invalid(values)):
            self._aligned(values, traits.aligned)
            if traits.has_range:
                self._range(values, guests)
                if traits.takes_memory:
                    self._work(step, values, guests)
        return self._time(step, values, guests, clock) if traits.takes_time else self._begin(values, clock)

    def _identity(self, values: Values) -> None:
        name = values.get("id")
        if name is MISSING:
            self._ids_sound = False
        elif name is not None and name in self._ids:
            first = self._ids[name]
            self._faults.add(
                values.place("id"),
                f"found the id {name!r} again, expected it once (first at {first.line}:{first.column})",
            )
        elif name is not None:
            self._ids[name] = values.place("id")

    def _addressed(self, values: Values) -> list[Values]:
        """The guests that a step is for, as far as they are known; a group is one of them."""
        name = values.get("guest")
        if name is not MISSING and name not in self._guests and self._guests_sound:
            known = tuple(self._guests)
            hint = did_you_mean(name, known) or f" ({', '.join(known[:8])}{', …' if len(known) > 8 else ''})"
            self._faults.add(values.place("guest"), f"found {quote(name)}, expected the name of a guest{hint}")
        return self._guests.get(name, [])

    def _range(self, values: Values, guests: list[Values]) -> None:
        """A range that is not empty and ends within every guest that it is for."""
        if not values.known("offset", "size"):
            return
        offset, size = values.get("offset"), values.get("size")
        if size == 0:
            self._faults.add(
                values.place("size"), "found 0, expected more (or expect_error: {errno: EINVAL} to see it refused)"
            )
        for guest in guests:
            wrong = self._misfit(offset, size, guest.get("memory"))
            if wrong:
                given = values.given("size") and size != ALL and offset < guest.get("memory")
                self._faults.add(values.place("size" if given else "offset"), wrong)
                return

    def _misfit(self, offset: int, size: Any, memory: Any) -> str:
        """What is wrong with a range of a guest with so much ``memory``; empty if nothing is, or nobody knows."""
        if memory is MISSING or (size is None and self._geometry is None):
            return ""
        if size == ALL:
            if offset < memory:
                return ""
            return f"found an offset of {size_name(offset)}, expected less than the guest's {size_name(memory)}"
        page = 0 if self._geometry is None else self._geometry.page_size
        end = offset + (page if size is None else size)
        if end <= memory:
            return ""
        return f"found a range that ends at {size_name(end)}, expected at most the guest's {size_name(memory)}"

    def _work(self, step: type[Step], values: Values, guests: list[Values]) -> None:
        """A call that takes memory does not take more than a run can carry out.

        Work is done for every hugepage, and for every page table of small pages that a fault fills.
        """
        offset, size, name = (values.get(key) for key in ("offset", "size", "guest"))
        if self._geometry is None or MISSING in (offset, size, name) or size is None:
            return
        blocks = 0
        for guest in guests:
            if not guest.known("backing", "memory", "count", "name"):
                continue
            block, memory = guest.get("backing"), guest.get("memory")
            if block <= self._geometry.page_size:
                if step is not FaultIn:
                    continue
                block = self._geometry.size_of(self._geometry.pmd_order)
            instances = 1 if name not in (guest.get("name"), EVERY) else guest.get("count")
            blocks += -(-(memory if size == ALL else min(size, memory)) // block) * instances
        if blocks > MOST_CONVERSIONS:
            self._faults.add(
                values.place("size"),
                f"found {blocks:,} hugepages or page tables to fill, expected at most {MOST_CONVERSIONS:,}",
            )

    def _begin(self, values: Values, clock: int) -> int:
        """Checks when a step begins that takes no time, and returns that."""
        at = values.get("at")
        if not isinstance(at, int):
            return clock
        if at < clock:
            self._faults.add(
                values.place("at"),
                f"found {human_duration(at)}, expected not before {human_duration(clock)},"
                " when the step before it ends",
            )
            return clock
        return at

    def _time(self, step: type[Step], values: Values, guests: list[Values], clock: int) -> int:
        """Checks when a step begins, and a generator's parameters; returns when it ends."""
        clock = self._begin(values, clock)
        if issubclass(step, Wait) and values.known("duration"):
            clock += values.get("duration")
        if issubclass(step, Composite):
            clock = max([clock, *(self._step(part, inner, clock) for part, inner in values.parts)])
        if issubclass(step, Generator) and values.complete:
            clock = self._generator(values.build(step), values, guests, clock)
        if clock > LARGEST:
            self._faults.add(values.where, "found a step that ends after 2^63 ns, expected less (292 years)")
            clock = 0
        return clock

    def _generator(self, generator: Generator, values: Values, guests: list[Values], clock: int) -> int:
        """When ``generator``, which begins at ``clock``, ends; notes what it finds wrong with itself."""
        instances, faults = 0, len(self._faults)
        for guest in guests:
            if not guest.complete:
                continue
            spec = guest.build(GuestSpec)
            instances += 1 if generator.guest in spec.instances else spec.count
            if self._geometry is not None and spec.memory % self._geometry.page_size == 0:
                try:
                    for key, message in generator.problems(spec, self._geometry.page_size):
                        self._faults.add(values.place_of_key(key), message)
                except InputError as error:
                    self._faults.include(error)
        return clock if len(self._faults) > faults else generator.end(clock, lambda _: instances)

    def metric(self, values: Values) -> None:
        """The metric of an expectation, ``values``, is of a node that the host has."""
        metric = values.get("metric")
        parts = metric.split(".") if isinstance(metric, str) else []
        if parts[:1] == ["nodes"] and self._pools and int(parts[1]) >= len(self._nodes):
            there = f"a node below {len(self._nodes)}" if self._nodes else "a host with nodes"
            self._faults.add(values.place("metric"), f"found {quote(metric)}, expected {there}")

    def after(self, values: Values) -> None:
        """The ``after`` of an expectation, ``values``, is the id of a step."""
        name = values.get("after")
        if name is MISSING or name is None or name in self._ids or not self._ids_sound:
            return
        hint = did_you_mean(name, tuple(self._ids)) or ""
        self._faults.add(values.place("after"), f"found {quote(name)}, expected the id of a step{hint}")


def _expects_invalid(values: Values) -> bool:
    """Whether a step is there to be refused for its range; then the range is the simulation's to judge."""
    expected = values.get("expect_error")
    return getattr(expected, "errno", None) == "EINVAL"


class _Traits(NamedTuple):
    """What the checks of a kind of step depend on.

    ``for_guests``: it names some; ``has_range``: within them; ``takes_memory``: as much as the range is large;
    ``takes_time``: the step after it begins later; ``aligned``: its attributes that are sizes in whole pages.
    """

    for_guests: bool
    has_range: bool
    takes_memory: bool
    takes_time: bool
    aligned: tuple[str, ...]


_TRAITS: dict[type[Step], _Traits] = {}
"""What :func:`_traits` has found, for files with many steps."""


def _traits(step: type[Step]) -> _Traits:
    """The traits of ``step``."""
    if step not in _TRAITS:
        _TRAITS[step] = _Traits(
            "guest" in step_keys(step),
            issubclass(step, RangeStep),
            issubclass(step, Allocate | FaultIn),
            issubclass(step, Wait | Composite | Generator),
            _aligned_attributes(step),
        )
    return _TRAITS[step]


def _aligned_attributes(cls: type[Any]) -> tuple[str, ...]:
    """The attributes of ``cls`` that are sizes in whole pages."""
    return tuple(e.attribute for e in table(cls).values() if isinstance(e.kind, Size) and e.kind.aligned)
