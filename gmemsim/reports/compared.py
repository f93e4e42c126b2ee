# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison line by line, as the screen and Markdown show it.

Every line is one figure of one result: its value, and what it is above (delta) and in parts of (ratio) the first.
Figures that are the same in all results are listed in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from gmemsim.reports.words import ESTIMATE, number
from gmemsim.studies.compare import Comparison, ComparisonRow
from gmemsim.units import human_duration, human_size

NOTES = (
    f"{ESTIMATE} marks estimates, all else is counted",
    "peaks of single accounts need not be at the same time: the total's peak is that of the sum",
)


@attrs.frozen
class ComparedLine:
    """One line of the table, as people read it; ``label`` is empty on all but the first line of a figure."""

    label: str
    name: str
    value: str
    delta: str = ""
    ratio: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns in order."""
        return self.label, self.name, self.value, self.delta, self.ratio


def lines(comparison: Comparison) -> Iterator[ComparedLine]:
    """The table, line by line: the figures in which the results differ."""
    for row in comparison.rows:
        if row.same and len(comparison.names) > 1:
            continue
        for i, name in enumerate(comparison.names):
            change = (_delta(row, i), _ratio(row, i)) if i else ("", "")
            yield ComparedLine("" if i else _label(row), name, _amount(row, row.values[i]), *change)


def the_same(comparison: Comparison) -> str:
    """A sentence with the figures in which the results do not differ; empty if there are none."""
    same = [row for row in comparison.rows if row.same and len(comparison.names) > 1]
    listed = "; ".join(f"{_label(row)} {_amount(row, row.values[0])}" for row in same)
    return f"The same in all: {listed}." if same else ""


def _label(row: ComparisonRow) -> str:
    return f"{ESTIMATE} {row.label}" if row.estimate else row.label


def _amount(row: ComparisonRow, value: float) -> str:
    match row.unit:
        case "bytes":
            return human_size(value)
        case "ns":
            return human_duration(value)
        case "count":
            return number(int(value))


def _delta(row: ComparisonRow, i: int) -> str:
    delta = row.deltas[i]
    return f"{'−' if delta < 0 else '+'}{_amount(row, abs(delta))}" if delta else "0"


def _ratio(row: ComparisonRow, i: int) -> str:
    """Three significant digits; a change too small for them is not shown as none."""
    ratio, delta = row.ratios[i], row.deltas[i]
    if ratio is None:
        return "–"
    if delta and f"{ratio:.3g}" == "1":
        return "1.00" if delta > 0 else "0.999"
    return f"{ratio:.3g}" if ratio < 1000 else number(round(ratio))
