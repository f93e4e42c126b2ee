# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison line by line, as the screen and Markdown show it.

Every line is one figure of one result: its value, and what it is above (delta) and in parts of (ratio) the first.
Figures that are the same in all results are listed in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from gmemsim.reports.words import ESTIMATE, TIME_DIGITS, modelled_time, number, provenance
from gmemsim.studies.compare import Comparison, ComparisonRow
from gmemsim.units import human_duration, human_size, rounded

_NOTES = (
    f"{ESTIMATE} marks estimates, all else is counted",
    "peaks of single accounts need not be at the same time: the total's peak is that of the sum",
)


def caveats(comparison: Comparison) -> list[str]:
    """What must be known to read the table, a sentence each without its full stop."""
    counters: dict[str, None] = {}
    for result in comparison.results.values():
        counters.update(dict.fromkeys(result.summary["estimates"]["modelled_time_ns"]["not_priced"]))
    missing = [f"not priced, and in no modelled time: {', '.join(counters)}"] if counters else []
    return [*_NOTES, *missing]


def made_by(comparison: Comparison) -> str:
    """What made the results, in one line."""
    return provenance(result.summary for result in comparison.results.values())


def told_of_order(comparison: Comparison) -> str:
    """A sentence on whether all cost profiles put the results in the same order; empty if none were asked for."""
    if not comparison.costs or len(comparison.names) < 2:
        return ""
    by_order: dict[str, list[str]] = {}
    for profile, order in comparison.orders.items():
        by_order.setdefault(" < ".join(map(" = ".join, order)), []).append(profile)
    rest = [profile for profile in comparison.costs if profile not in comparison.orders]
    same = f" No difference under {', '.join(rest)}." if rest else ""
    if not by_order:
        return f"By modelled time there is no difference under any profile: {', '.join(rest)}."
    if len(by_order) == 1:
        ((words, profiles),) = by_order.items()
        return f"The order by modelled time is the same under {', '.join(profiles)}: {words}.{same}"
    listed = "; ".join(f"{words} under {', '.join(profiles)}" for words, profiles in by_order.items())
    return f"The order by modelled time depends on the prices: {listed}.{same}"


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


def with_ratio(row: ComparisonRow, place: int) -> str:
    """``"2.10 MiB ×0.11"``: a figure and, except of the first result and of equal ones, its ratio to the first."""
    amount, ratio = _amount(row, row.values[place]), row.ratios[place]
    if not row.deltas[place] or ratio is None:
        return amount
    short = f"{ratio:.2g}" if ratio < 100 else number(round(ratio))
    return f"{amount} ×{_ratio(row, place) if short == '1' else short}"


def the_same(comparison: Comparison, rows: Sequence[ComparisonRow] | None = None) -> str:
    """A sentence with the figures in which the results do not differ; empty if there are none.

    ``rows``: of these (default: of all of the comparison).
    """
    looked_at = comparison.rows if rows is None else rows
    same = [row for row in looked_at if row.same and len(comparison.names) > 1]
    listed = "; ".join(f"{_label(row)} {_amount(row, row.values[0])}" for row in same)
    return f"The same in all: {listed}." if same else ""


def _label(row: ComparisonRow) -> str:
    return f"{ESTIMATE} {row.label}" if row.estimate else row.label


def _amount(row: ComparisonRow, value: float) -> str:
    if row.estimate and row.unit == "ns":
        return modelled_time(value)
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
    """Three significant digits, two of times; a change too small for them is not shown as none."""
    ratio, delta = row.ratios[i], row.deltas[i]
    if ratio is None:
        return "–"
    if row.estimate and row.unit == "ns":
        ratio = rounded(ratio, TIME_DIGITS)
    if delta and f"{ratio:.3g}" == "1":
        return "1.00" if delta > 0 else "0.999"
    return f"{ratio:.3g}" if ratio < 1000 else number(round(ratio))
