# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rows of a sweep add up to, as they come in any order.

Theory of operation
-------------------
A synthetic workload is one of many that its seed might have made, so one run of it is no answer: :class:`Folding` turns
the rows that differ only in one key, such as the seed, into one with mean, standard deviation and confidence interval.
It keeps sums and no rows.  :class:`Gathering` keeps what a table needs: all rows, or the first ones.

What may live here: what is computed of rows.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from gmemsim.studies.sweep import Plan, Sweep, SweepRow

CONFIDENCE: Final = 0.95
"""Of the intervals of means: how many of a hundred such intervals hold the mean over all seeds there are."""


class Folding:
    """Rows of ``plan`` that differ only in ``key`` become one each: mean, sample deviation, interval of the mean.

    The interval is Student's t interval of :data:`CONFIDENCE`: it takes the runs' figures for independent, and their
    mean for normally distributed, which it is nearly with a few dozen runs.
    ``ValueError`` if the plan does not vary ``key``.  Memory: O(rows that are left).
    """

    def __init__(self, plan: Plan, key: str) -> None:
        keys = [variation.key for variation in plan.variations]
        self._place = keys.index(key)
        self.variation = plan.variations[self._place]
        """Over which the means are."""
        self.variations = plan.variations[: self._place] + plan.variations[self._place + 1 :]
        self._metrics = len(plan.metrics)
        self._groups: dict[tuple[str, ...], _Sums] = {}

    def add(self, row: SweepRow) -> None:
        """Add the results of one more ``row`` to its group.  O(metrics)."""
        values = row.values[: self._place] + row.values[self._place + 1 :]
        sums = self._groups.setdefault(values, _Sums(self._metrics))
        if row.refused is None:
            sums.add(row.results)
        else:
            sums.refused = sums.refused or row.refused

    def rows(self) -> tuple[SweepRow, ...]:
        """The rows so far, in the order of the plan."""
        order = itertools.product(*(variation.values for variation in self.variations))
        return tuple(self._groups[values].row(values) for values in order if values in self._groups)


class _Sums:
    """Sums of several metrics and of their squares, exact: rows come in any order, and the mean of them is one."""

    def __init__(self, metrics: int) -> None:
        self.runs = 0
        self.refused: str | None = None
        self._sums = [Fraction(0)] * metrics
        self._squares = [Fraction(0)] * metrics

    def add(self, results: Iterable[float | None]) -> None:
        self.runs += 1
        for place, result in enumerate(results):
            assert result is not None, "only a refused row has no results"
            exact = Fraction(result)
            self._sums[place] += exact
            self._squares[place] += exact * exact

    def row(self, values: tuple[str, ...]) -> SweepRow:
        """The row; if no run was simulated, why."""
        nothing = (None,) * len(self._sums)
        if not self.runs:
            return SweepRow(values, nothing, self.refused, nothing, nothing, 0)
        means = tuple(float(total / self.runs) for total in self._sums)
        if self.runs == 1:
            return SweepRow(values, means, None, nothing, nothing, 1)
        deviations = tuple(map(self._deviation, self._sums, self._squares))
        intervals = tuple(mean_interval(*each, self.runs) for each in zip(means, deviations, strict=True))
        return SweepRow(values, means, None, deviations, intervals, self.runs)

    def _deviation(self, total: Fraction, squares: Fraction) -> float:
        """The sample standard deviation."""
        return math.sqrt((squares - total * total / self.runs) / (self.runs - 1))


def mean_interval(mean: float, deviation: float, runs: int) -> tuple[float, float]:
    """Student's t interval of a ``mean`` of ``runs`` (2 at least) with that sample ``deviation``, at
    :data:`CONFIDENCE`.
    """
    from scipy.special import stdtrit

    half = float(stdtrit(runs - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(runs)
    return mean - half, mean + half


class Gathering:
    """The rows of ``plan`` that have come so far, as a table.

    ``keep``: rows of how many points from the first are kept (``None``, the default: all).  ``folded``: the key over
    which the table shows means (default: none); then no rows are kept but means.
    """

    def __init__(self, plan: Plan, keep: int | None = None, folded: str | None = None) -> None:
        self.plan = plan
        self.done = bytearray(len(plan))
        """Not 0 at the place of every point whose row is there."""
        self.total = 0
        """Rows that are there."""
        self._folding = None if folded is None else Folding(plan, folded)
        self._keep = len(plan) if keep is None else keep
        self._rows: dict[int, SweepRow] = {}
        self._refusals: Counter[str] = Counter()
        self._made: set[tuple[str, str]] = set()  # kernel generations and cost profile of rows

    def add(self, place: int, row: SweepRow) -> None:
        """Take the ``row`` of the point at ``place``; a second one of the same point is left out."""
        if self.done[place]:
            return
        self.done[place] = 1
        self.total += 1
        if row.refused is not None:
            self._refusals[row.refused] += 1
        if row.made:
            _, generations, costs = row.made
            self._made.add((generations, costs))
        if self._folding is not None:
            self._folding.add(row)
        elif place < self._keep:
            self._rows[place] = row

    def sweep(self, title: str, made: Mapping[str, Any]) -> Sweep:
        """The table so far; ``title`` is the scenario's, ``made`` what makes it where nothing is varied."""
        made = self._made_by_rows(made)
        plan, folding = self.plan, self._folding
        partial = self.total < len(plan)
        if folding is not None:
            rows, variations, folded = folding.rows(), folding.variations, folding.variation
            total, refusals = len(rows), Counter(row.refused for row in rows if row.refused)
            return Sweep(title, variations, plan.metrics, rows, partial, folded, total, refusals, made)
        kept = tuple(self._rows[place] for place in sorted(self._rows))
        return Sweep(title, plan.variations, plan.metrics, kept, partial, None, self.total, self._refusals, made)

    def _made_by_rows(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """``made`` without a seed that is varied, and with the kernel generations and cost profiles of the rows."""
        varied = {variation.key for variation in self.plan.variations}
        told = {name: value for name, value in made.items() if name not in varied}
        if self._made and "provenance" in told:
            generations, costs = zip(*self._made, strict=True)
            of_rows = {"generation": sorted({*"".join(generations)}), "costs": " ".join(sorted({*costs}))}
            told["provenance"] = {**told["provenance"], **of_rows}
        return told
