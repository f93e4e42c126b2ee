# SPDX-License-Identifier: GPL-2.0-or-later
"""The law of adjacent rungs: what all ladders cost, from the runs of those with two rungs in the middle at most.

Theory of operation
-------------------
A hugepage of order 18 has 2^17 ladders, too many to run.  But what a rung does depends on the rung above it alone, if

* no call fails, so that no split is undone or left half-way, and
* a block of a rung is split and merged by its own pages alone: merges are ``eager``, ``cleanup`` or ``never``, and all
  rungs are split at the same time, at conversion or at the first host fault.

Then a block of the order of a rung is in one piece or not whatever the other rungs are: it is split when it gets its
first shared page (or the host touches that), and merged when its last goes.  How often that happens is the workload's.
What it costs (nodes, entries stored, folios, vmemmap, descriptors, merges) depends on the orders above and below the
step.  So everything that a run counts, and what it holds at each instant, is a sum over pairs of adjacent rungs::

    x(18, a, b, c, 0) = e(18, a) + e(a, b) + e(b, c) + e(c, 0)

The e follow from runs, up to what cancels in every sum: e(18, b) = x(18, b, 0), e(a, b) = x(18, a, b, 0) - x(18, a, 0),
e(a, 0) = 0.  A peak is the largest of such sums over all instants, and so exact as well.

One thing is no such sum: what a merge zeroes.  A page is zeroed by the first merge of a block around it, of whatever
rung, so the pages zeroed are a union over the rungs.  A union is as large as that of any two of its parts, which a run
with these two rungs tells: :func:`least` is that lower bound.

This is arithmetic that is proved for sums; that the simulator obeys the two conditions is an argument, which
``tests/test_ladders.py`` confirms by running all ladders of small hugepages and some of large ones.  Whoever uses the
law runs what it chooses again (:mod:`gmemsim.studies.tune`).

What may live here: the law, and sums over ladders.  What is measured is in :mod:`gmemsim.studies.trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rungs = tuple[int, ...]
"""The middle of a ladder: its orders without the first and the 0, the largest first."""

MOST_TOGETHER: Final = 1 << 21
"""Numbers that are added at a time: some tens of MiB."""


def probes(order: int) -> Iterator[Rungs]:
    """The ladders from ``order`` that must be run: those with at most two rungs in the middle.

    >>> list(probes(3))
    [(), (2,), (1,), (2, 1)]
    >>> len(list(probes(18)))
    154
    """
    middle = range(order - 1, 0, -1)
    for rungs in range(3):
        yield from combinations(middle, rungs)


def number_of_ladders(order: int) -> int:
    """All ladders from ``order``: every rung in the middle is there or not."""
    return 1 << order - 1


def rungs_of(mask: int) -> Rungs:
    """The middle of the ladder number ``mask``: bit k is the rung of order k + 1.

    >>> rungs_of(0b100000100)
    (9, 3)
    """
    return tuple(bit + 1 for bit in range(mask.bit_length() - 1, -1, -1) if mask >> bit & 1)


def mask_of(rungs: Rungs) -> int:
    """The number of the ladder whose middle is ``rungs``: the inverse of :func:`rungs_of`."""
    return sum(1 << rung - 1 for rung in rungs)


def least(order: int, found: Mapping[Rungs, float]) -> Floats:
    """A lower bound for every ladder, by its mask, of a union over rungs: the largest of its :func:`probes`.

    The ladders start at ``order``.  ``found`` has the size of the union for each of them.  O(ladders x pairs of rungs).
    """
    masks = np.arange(number_of_ladders(order))
    bound = np.full(len(masks), float(found[()]))
    for rungs, size in found.items():
        mask = mask_of(rungs)
        np.maximum(bound, size, out=bound, where=masks & mask == mask)
    return bound


class Law:
    """The sums of all ladders from ``order``.

    ``found`` has an array, one number an instant, for each of :func:`probes`; all have the same shape.
    """

    def __init__(self, order: int, found: Mapping[Rungs, Floats]) -> None:
        self.order = order
        self.instants = len(found[()])
        middle = range(1, order)
        self._steps: dict[tuple[int, int], Floats] = {(order, 0): found[()]}
        for below in middle:
            self._steps[order, below] = found[below,]
            self._steps[below, 0] = np.zeros(self.instants)
        for above, below in combinations(reversed(middle), 2):
            self._steps[above, below] = found[above, below] - found[above,]

    def highest(self) -> Floats:
        """The highest instant of every ladder, by its mask.  O(ladders x instants); memory: see MOST_TOGETHER."""
        low = min((self.order - 1) // 2, max(0, (MOST_TOGETHER // max(1, self.instants)).bit_length() - 1))
        below = self._below(low)
        highest = np.empty(number_of_ladders(self.order))
        for upper in range(1 << self.order - 1 - low):
            orders = (self.order, *rungs_of(upper << low))
            before = np.zeros(self.instants)
            for step in pairwise(orders):
                before = before + self._steps[step]
            first = upper << low
            highest[first : first + (1 << low)] = (below(orders[-1]) + before).max(axis=1)
        return highest

    def _below(self, low: int) -> Callable[[int], Floats]:
        """The sums from a rung above ``low`` down to 0, of all rungs from ``low`` on, by their mask."""
        made: dict[int, Floats] = {}

        def sums(rung: int, most: int) -> Floats:
            rows = np.empty((1 << most, self.instants))
            rows[0] = self._steps[rung, 0]
            for next_rung in range(1, most + 1):
                rows[1 << next_rung - 1 : 1 << next_rung] = made[next_rung] + self._steps[rung, next_rung]
            return rows

        for rung in range(1, low + 1):
            made[rung] = sums(rung, rung - 1)

        def below(rung: int) -> Floats:
            if rung not in made:
                made[rung] = sums(rung, low)
            return made[rung]

        return below
