# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as Markdown for a mail.

The table is padded, so that it reads as plain text too, and stays below 78 columns however many policies there are.
Titles and names are text: characters that mean something in Markdown are escaped.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from gmemsim.reports.compared import ComparedLine, caveats, lines, made_by, the_same, told_of_order
from gmemsim.studies.compare import Comparison

COLUMNS = 77
"""The most columns: what a mailing list takes without wrapping."""

NAME_COLUMNS = 24
"""The most columns of a policy's or a scenario's name."""

_SPECIAL = re.compile(r"[\\`*<>\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads; an underscore within a word it does not."""

_BLOCK = re.compile(r"(?m)^(\s*)([#+-]|\d+(?=[.)]))")
"""What begins a heading or a list."""


def write(comparison: Comparison) -> str:
    """The comparison as Markdown, at most :data:`COLUMNS` wide: the reference's figure, below it the others."""
    reference = cut(comparison.names[0])
    body = [_markdown_cells(line) for line in lines(comparison)]
    header = (comparison.what, "value", "delta", "ratio")
    widths = [max(len(row[i]) for row in (header, *body)) for i in range(4)]
    rule = ("-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:]))
    table = [_markdown_row(cells, widths) for cells in (header, rule, *body)]
    said = [block(textwrap.fill(f"Note: {escaped(note)}.", COLUMNS - 1)) for note in comparison.notes]
    first = f"Figures of {reference}; below each those of the others, with delta and ratio against it."
    paragraphs = [first, *filter(None, [escaped(told_of_order(comparison)), the_same(comparison)])]
    paragraphs += [f"{note[:1].upper()}{note[1:]}." for note in caveats(comparison)]
    paragraphs += filter(None, [escaped(made_by(comparison))])
    before, *after = [textwrap.fill(paragraph, COLUMNS) for paragraph in paragraphs]
    title = block(textwrap.fill(escaped(comparison.title), COLUMNS - 1))
    partial = ["PARTIAL: interrupted.", ""] if comparison.partial else []
    notes = ["\n\n".join(said), ""] if said else []
    return "\n".join([title, "", *partial, *notes, before, "", *table, "", "\n\n".join(after)]) + "\n"


def _markdown_cells(line: ComparedLine) -> tuple[str, ...]:
    return (line.label or f"· {cut(line.name)}", *line.cells[2:])


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
