# SPDX-License-Identifier: GPL-2.0-or-later
"""Which operations of the trace format a stock 6.12 kernel is asked to do.

Left out is what that kernel is known to do wrong, so that every difference which remains is one of ours (or news):

* a *split* must name an entry's first index and its order. One level of nodes at most is what stock 6.12 gets right
  (12→0 and its like build a wrong tree), and what a kernel gets right its driver finds out: see :class:`Abilities`. A
  deeper one is asked for only while no failure is injected, and :mod:`tests.oracle.compare` has the kernel do it by
  one-level steps, which add up to the same tree and node counts;
* a *try_split* is asked for where the kernel has one (6.15), and not of the orders that it wrongly accepts: those that
  leave the node of the entry at an order which is not one below;
* values and pointers are not mixed in one array: a store of the other kind over a multi-index entry counts one slot
  only, and ``nr_values`` wraps later;
* ``store_range`` makes runs whose length is no power of two. Nothing may then cover a part of such a run, nor may
  ``store_range`` cover a part of any entry: the slots left over would be siblings of a slot that is one itself;
* an array is *watched* from its beginning (``watch`` comes right after ``new``) by a callback, and then changed by
  operations that have one.  Of a kernel that splits more than one level at once no such split is asked for then: it
  tells nobody of the new leaves.
"""

from __future__ import annotations

from typing import Final, Protocol

from attrs import frozen

from tests.oracle.watched import ALLOWED

LEVEL = 6
"""Bits of index that one level of nodes decides: the chunk shift of the build."""

INDEX_MAX = (1 << 64) - 1
"""ULONG_MAX; ``store_range`` up to it would wrap in the kernel's loop."""


@frozen
class Abilities:
    """What a kernel can do: the levels of nodes that one split may cross, and whether it has try_split."""

    levels: int = 1
    try_split: bool = False


STOCK: Final = Abilities()
"""Linux 6.12."""


class Readable(Protocol):
    """What the rules look up in the array before an operation."""

    def load(self, index: int) -> object:
        """The entry that covers the index."""

    def get_order(self, index: int) -> int:
        """Its order."""


def is_deep(order: int, new_order: int, levels: int = 1) -> bool:
    """Whether a split crosses more than ``levels`` levels of nodes."""
    return order // LEVEL - new_order // LEVEL > levels


def nodes_added(order: int, new_order: int) -> int:
    """Nodes that a split adds: 2**(order mod 6) at the first level down, 64 times as many at each further one."""
    return sum(2 ** (order % LEVEL) * 64**level for level in range(order // LEVEL - new_order // LEVEL))


def steps(op: str, abilities: Abilities = STOCK) -> list[str]:
    """The operations that do ``op`` on the kernel: a split too deep for it becomes splits of one level."""
    words = op.split()
    if words[0] != "split" or not is_deep(int(words[2]), int(words[3]), abilities.levels):
        return [op]
    index, order, new_order = map(int, words[1:4])
    ops = []
    reached = order
    while reached > new_order:
        target = (reached // LEVEL - 1) * LEVEL if is_deep(reached, new_order) else new_order
        parts = range(index, index + (1 << order), 1 << reached)
        ops += [f"split {part} {reached} {target} {words[4]}" for part in parts]
        reached = target
    return ops


class Rules:
    """Remembers of a trace what the rules need and the array does not tell; ``abilities`` are the kernel's."""

    def __init__(self, abilities: Abilities = STOCK) -> None:
        self._abilities = abilities
        self._start()

    def _start(self) -> None:
        self._kind = ""
        self._odd_runs: list[tuple[int, int]] = []
        self._armed = False
        self._new = False
        self._watched = False

    def allow(self, op: str, array: Readable) -> bool:
        """Whether ``op`` may come next, ``array`` being as it is before it."""
        name, *args = op.split()
        if name in ("watch", "listed") or self._watched:
            usable = self._new if name == "watch" else self._watched and name in ALLOWED
            if not usable:
                return False
        if len({self._kind, *map(_kind_of, args)} - {""}) > 1:
            return False
        if name == "split":
            return self._allow_split(array, *map(int, args[:3]))
        if name == "try_split":
            return self._allow_try_split(array, *map(int, args[:3]))
        if name == "store_order":
            index, order = map(int, args[:2])
            base = index >> order << order
            return not order % LEVEL or not self._cuts_odd_run(base, base + (1 << order) - 1)
        if name == "store_range":
            return self._allow_range(array, *map(int, args[:2]))
        return True

    def _allow_split(self, array: Readable, index: int, order: int, new_order: int) -> bool:
        too_deep = is_deep(order, new_order, self._abilities.levels)
        silent = self._watched and not too_deep and is_deep(order, new_order)
        return self._has_entry(array, index, order, new_order) and not (too_deep and self._armed) and not silent

    def _has_entry(self, array: Readable, index: int, order: int, new_order: int) -> bool:
        return (
            new_order < order
            and not index % (1 << order)
            and array.load(index) is not None
            and array.get_order(index) == order
            and not self._touches_odd_run(index, index + (1 << order) - 1)
        )

    def _allow_try_split(self, array: Readable, index: int, order: int, new_order: int) -> bool:
        wrongly_accepted = is_deep(order, new_order) and new_order % LEVEL == (order - 1) % LEVEL
        return self._abilities.try_split and not wrongly_accepted and self._has_entry(array, index, order, new_order)

    def _allow_range(self, array: Readable, first: int, last: int) -> bool:
        if not first <= last < INDEX_MAX or self._cuts_odd_run(first, last):
            return False
        for edge in (first, last):
            order = array.get_order(edge)
            base = edge >> order << order
            end = base + (1 << order) - 1
            if (base < first or end > last) and not (base <= first and last <= end):
                return False
        return True

    def _touches_odd_run(self, first: int, last: int) -> bool:
        return any(start <= last and first <= end for start, end in self._odd_runs)

    def _cuts_odd_run(self, first: int, last: int) -> bool:
        return any(
            start <= last and first <= end and not (first <= start and end <= last) for start, end in self._odd_runs
        )

    def note(self, op: str) -> None:
        """Take in that ``op`` was done."""
        name, *args = op.split()
        self._kind = self._kind or next(filter(None, map(_kind_of, args)), "")
        self._new = name == "new"
        if name == "new":
            self._start()
            self._new = True
        elif name == "watch":
            self._watched = True
        elif name == "fail_after":
            self._armed = args[0] != "0"
        elif name == "store_range":
            first, last = map(int, args[:2])
            self._forget_runs(first, last)
            if args[2] != "0" and not _is_aligned(first, last):
                self._odd_runs.append((first, last))
        elif name == "store_order" and not self._armed:
            index, order = map(int, args[:2])
            base = index >> order << order
            self._forget_runs(base, base + (1 << order) - 1)

    def _forget_runs(self, first: int, last: int) -> None:
        """Runs that lie in the range are gone once it has been stored to."""
        self._odd_runs = [run for run in self._odd_runs if not first <= run[0] <= run[1] <= last]


def _kind_of(arg: str) -> str:
    """``v`` or ``p`` for an entry of that kind, nothing for NULL, ``=``, numbers and the filter ``p``."""
    return arg[0] if len(arg) > 1 and arg[0] in "vp" else ""


def _is_aligned(first: int, last: int) -> bool:
    """Whether the range is one entry: a power of two, aligned to itself."""
    size = last - first + 1
    return not size & (size - 1) and not first % size
