# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as a table: on the screen, as Markdown for a mail, as CSV for a spreadsheet, as a JSON object.

Every row is one figure of one result: its value, and what it is above (delta) and in parts of (ratio) the first.
Figures that are the same in all results are told in a sentence below.  Markdown is padded, so that it reads as plain
text too, and stays below 78 columns however many policies there are.

CSV columns: ``metric`` (a path into the summary), ``unit`` (bytes, count or ns), ``estimate`` (true or false), ``name``
(of the policy or scenario), ``value``, ``delta``, ``ratio`` (empty where the first is 0 and this is not).
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.screen.run import number
from gmemsim.reports.words import ESTIMATE
from gmemsim.studies.compare import Comparison, ComparisonRow
from gmemsim.units import human_duration, human_size

COLUMNS = 77
"""The most columns of Markdown: what a mailing list takes without wrapping."""

NAME_COLUMNS = 24
"""The most columns of a policy's or a scenario's name there."""

SCHEMA = 1
"""Version of the JSON object's layout."""

NOTES = (
    f"{ESTIMATE} marks estimates, all else is counted",
    "peaks of single accounts need not be at the same time: the total's peak is that of the sum",
)


@attrs.frozen
class Line:
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


def lines(comparison: Comparison) -> Iterator[Line]:
    """The table, line by line: the figures in which the results differ."""
    for row in comparison.rows:
        if row.same and len(comparison.names) > 1:
            continue
        for i, name in enumerate(comparison.names):
            change = (_delta(row, i), _ratio(row, i)) if i else ("", "")
            yield Line("" if i else _label(row), name, _amount(row, row.values[i]), *change)


def _the_same(comparison: Comparison) -> str:
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


def render(comparison: Comparison) -> RenderableType:
    """The comparison for a rich console."""
    first = f"delta and ratio are against {comparison.names[0]}"
    heading = Text(comparison.title, style="bold")
    heading.append(f"\n{first}{', PARTIAL: interrupted' if comparison.partial else ''}\n", style="not bold")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column(comparison.what, overflow="fold")
    for name in ("value", "delta", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines(comparison):
        table.add_row(Text(line.label, style="bold"), *line.cells[1:])
    same = _the_same(comparison)
    told = [Text(f"\n{same}")] if same else []
    return Group(heading, table, *told, Text("\n" + "\n".join(NOTES), style="dim"))


def markdown(comparison: Comparison) -> str:
    """The comparison as Markdown, at most :data:`COLUMNS` wide: the reference's figure, below it the others."""
    reference = _cut(comparison.names[0])
    body = [_markdown_cells(line) for line in lines(comparison)]
    header = (comparison.what, "value", "delta", "ratio")
    widths = [max(len(row[i]) for row in (header, *body)) for i in range(4)]
    rule = ("-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:]))
    table = [_markdown_row(cells, widths) for cells in (header, rule, *body)]
    first = f"Figures of {reference}; below each those of the others, with delta and ratio against it."
    paragraphs = [first, *filter(None, [_the_same(comparison)]), *(f"{note[:1].upper()}{note[1:]}." for note in NOTES)]
    before, *after = [textwrap.fill(paragraph, COLUMNS) for paragraph in paragraphs]
    title = textwrap.fill(comparison.title, COLUMNS)
    partial = ["PARTIAL: interrupted.", ""] if comparison.partial else []
    return "\n".join([title, "", *partial, before, "", *table, "", "\n\n".join(after)]) + "\n"


def _markdown_cells(line: Line) -> tuple[str, ...]:
    return (line.label or f"· {_cut(line.name)}", *line.cells[2:])


def _cut(name: str) -> str:
    return name if len(name) <= NAME_COLUMNS else f"{name[: NAME_COLUMNS - 1]}…"


def _markdown_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *numbers])} |"


def as_csv(comparison: Comparison) -> str:
    """The comparison as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("metric", "unit", "estimate", "name", "value", "delta", "ratio"))
    for row in comparison.rows:
        for name, value, delta, ratio in zip(comparison.names, row.values, row.deltas, row.ratios, strict=True):
            writer.writerow((row.metric, row.unit, str(row.estimate).lower(), name, value, delta, ratio))
    return out.getvalue()


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as one object: the rows, and the whole summary of every result by name."""
    head = {"schema": SCHEMA, "title": comparison.title, "compared": comparison.what, "reference": comparison.names[0]}
    partial = {"partial": True} if comparison.partial else {}
    return (
        head
        | partial
        | {"rows": [_json_row(comparison, row) for row in comparison.rows]}
        | {"summaries": {name: result.summary for name, result in comparison.results.items()}}
    )


def _json_row(comparison: Comparison, row: ComparisonRow) -> dict[str, Any]:
    def by_name(values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(comparison.names, values, strict=True))

    head = {"metric": row.metric, "unit": row.unit, "estimate": row.estimate}
    return head | {"values": by_name(row.values), "deltas": by_name(row.deltas), "ratios": by_name(row.ratios)}
