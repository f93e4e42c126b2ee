# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as Markdown for a mail: one row a policy, or a scenario, and a column for each metric.

The metrics are those that were asked for, else :data:`USUAL`.  Each figure has its ratio to the first row's behind it.
Metrics that have no room beside the others follow in a second table.
Metrics that have no room beside the others follow in a second table.  Tables are padded, so that they read as plain
text too, and stay below 78 columns however many policies there are.
Titles and names are text: characters that mean something in Markdown are escaped.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from gmemsim.reports.compared import caveats, made_by, the_same, told_of_order, with_ratio
from gmemsim.reports.words import ESTIMATE, MAIL_COLUMNS
from gmemsim.studies.compare import Comparison, ComparisonRow

USUAL: Final = {
    "total.peak_bytes": "memory",
    "filemap_nodes.peak": "nodes",
    "vmemmap.peak": "vmemmap",
    "conversions.failed": "failed",
    "modelled_time_ns.total": "time",
}
"""The columns if no metric is asked for, and what heads them; where all rows are the same there is none."""

LEGEND: Final = (
    "memory, nodes (of XArrays) and vmemmap (pages restored) are peaks; failed are conversions;"
    " time is modelled, of the whole run"
)
"""What the headings of :data:`USUAL` mean."""

NAME_COLUMNS = 24
"""The most columns of a policy's or a scenario's name."""

_SPECIAL = re.compile(r"[\\`*<\[\]|~]|(?<!-)>|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads; an underscore within a word it does not, nor an arrow (2M->4K), which people read in mails."""

_BLOCK = re.compile(r"(?m)^(\s*)([#+-]|\d+(?=[.)]))")
"""What begins a heading or a list."""


def write(comparison: Comparison) -> str:
    """The comparison as Markdown, at most :data:`MAIL_COLUMNS` wide: the reference's figure, below it the others."""
    rows = [row for row in comparison.rows if row.metric in (comparison.metrics or USUAL)]
    if comparison.metrics:
        rows.sort(key=lambda row: comparison.metrics.index(row.metric))
    told = [row for row in rows if comparison.metrics or not row.same or len(comparison.names) == 1]
    tables = "\n\n".join(_tables(comparison, told))
    said = [block(textwrap.fill(f"Note: {escaped(note)}.", MAIL_COLUMNS - 1)) for note in comparison.notes]
    same = the_same(comparison, [row for row in rows if row not in told])
    paragraphs = [*filter(None, [escaped(told_of_order(comparison)), same])]
    if len(comparison.names) > 1:
        paragraphs.append(f"× is the ratio to {cut(comparison.names[0])}.")
    notes = caveats(comparison) if comparison.metrics else [LEGEND, *caveats(comparison)]
    paragraphs += [f"{note[:1].upper()}{note[1:]}." for note in notes]
    paragraphs += filter(None, [escaped(made_by(comparison))])
    after = [textwrap.fill(paragraph, MAIL_COLUMNS) for paragraph in paragraphs]
    title = block(textwrap.fill(escaped(comparison.title), MAIL_COLUMNS - 1))
    partial = ["PARTIAL: interrupted.", ""] if comparison.partial else []
    noted = ["\n\n".join(said), ""] if said else []
    return "\n".join([title, "", *partial, *noted, tables, "", "\n\n".join(after)]) + "\n"


def _tables(comparison: Comparison, rows: Sequence[ComparisonRow]) -> Iterator[str]:
    """The tables, each with as many columns as have room."""
    names = [comparison.what, *map(cut, comparison.names)]
    first = max(map(len, names))
    columns: list[list[str]] = []
    room = MAIL_COLUMNS - first - 4
    for row in rows:
        figures = [with_ratio(row, place) for place in range(len(comparison.names))]
        column = [_headline(row, bool(comparison.metrics)), *figures]
        width = max(map(len, column)) + 3
        if width > room and columns:
            yield _table(names, columns)
            columns, room = [], MAIL_COLUMNS - first - 4
        columns.append(column)
        room -= width
    if columns:
        yield _table(names, columns)


def _headline(row: ComparisonRow, asked: bool) -> str:
    """What a column is called; an estimate is marked."""
    label = row.label if asked else USUAL[row.metric]
    return escaped(f"{ESTIMATE} {label}" if row.estimate else label)


def _table(names: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    rows = list(zip(names, *columns, strict=True))
    widths = [max(map(len, column)) for column in (names, *columns)]
    rule = ("-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:]))
    return "\n".join(_markdown_row(cells, widths) for cells in (rows[0], rule, *rows[1:]))


def cut(name: str, columns: int = NAME_COLUMNS) -> str:
    """``name``, escaped, in at most so many ``columns`` (default: :data:`NAME_COLUMNS`)."""
    shown, most = escaped(name), columns
    while len(shown) > columns:
        most -= 1
        shown = f"{escaped(name[:most])}…"
    return shown


def _markdown_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *numbers])} |"


def escaped(text: str) -> str:
    """``text`` on one line, with nothing left that Markdown reads within a line."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def block(text: str) -> str:
    """``text`` that may begin a line."""
    return _BLOCK.sub(lambda m: f"{m[1]}{m[2]}\\" if m[2].isdigit() else f"{m[1]}\\{m[2]}", text)
