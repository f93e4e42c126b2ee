# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of screens that give way in the right order where there is little room: names are whole as long as may be.

Theory of operation
-------------------
A table knows which of its columns matter less.  If it is wider than the terminal, it is shown without the first of
these, then without the next, and a line below says which are left out; only a table that has none left folds its names.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns of a terminal that is wide enough for every table."""


SEPARATORS = (",", "-", ":", "=", "/")
"""After one of these a word that is longer than a line is folded, at the first of them that it has in reach."""


class Folded:
    """``text`` in ``style`` (default: none), of which a word that is longer than a line goes on after a separator."""

    def __init__(self, text: str, style: StyleType = "") -> None:
        self.text = text
        self.style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text, folded to the width there is."""
        yield Text(folded(self.text, options.max_width), self.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as the text wants, down to one column."""
        return Measurement.get(console, options, Text(self.text)).with_minimum(1).clamp(1, options.max_width)


def folded(text: str, columns: int) -> str:
    """``text`` with line breaks in every word that is longer than so many ``columns``."""
    words = re.split(r"(\s+)", text)
    return "".join("\n".join(_pieces(word, columns)) if len(word) > columns else word for word in words)


def _pieces(word: str, columns: int) -> Iterator[str]:
    while len(word) > columns:
        ends = (word.rfind(separator, 0, columns) + 1 for separator in SEPARATORS)
        cut = next(filter(None, ends), columns)
        yield word[:cut]
        word = word[cut:]
    yield word


class FittedTable(Table):
    """A table without frames; ``spare`` (default: none) are the headers of columns that matter less, least first.

    ``gap``: blanks beside the one between two columns (default: 1).  ``least``: columns of the terminal that a name
    may be folded to before another column is left out (default: it is whole).
    """

    def __init__(self, *, spare: Sequence[str] = (), gap: int = 1, least: int | None = None) -> None:
        super().__init__(box=SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False)
        self.spare = spare
        self.least = least

    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        """Add a row as ``Table`` does; what stands in a column that folds is :class:`Folded`."""
        folding = [column.overflow == "fold" and column.justify == "left" for column in self.columns]
        cells = [
            Folded(cell) if isinstance(cell, str) and folds else cell
            for cell, folds in zip_longest(renderables, folding)
        ]
        super().add_row(*cells, style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns for which there is room, and a line about the others."""
        left_out: list[str] = []
        fitted = self
        for header in self.spare:
            if fitted._wanted(console, options) <= options.max_width:
                break
            if any(column.header == header for column in fitted.columns):
                fitted = fitted._without(header)
                left_out += [in_one_line(header)] if header else []
        yield from Table.__rich_console__(fitted, console, options)
        if left_out:
            yield Text(f"not shown in {options.max_width} columns: {', '.join(left_out)}", style="dim")

    def _wanted(self, console: Console, options: ConsoleOptions) -> int:
        measured = copy(self)
        if self.least is not None:
            measured.columns = [
                dataclasses.replace(column, max_width=self.least) if column.overflow == "fold" else column
                for column in self.columns
            ]
        return Measurement.get(console, options.update(width=UNBOUNDED), measured).maximum

    def _without(self, header: str) -> FittedTable:
        fewer = copy(self)
        kept = [column for column in self.columns if column.header != header]
        fewer.columns = [dataclasses.replace(column, _index=number) for number, column in enumerate(kept)]
        return fewer


def in_lines(header: str) -> str:
    """``header`` over as many lines as it has words."""
    return header.replace("_", "_\n").replace(" ", "\n")


def in_one_line(header: str) -> str:
    """What :func:`in_lines` made, as it was."""
    return header.replace("_\n", "_").replace("\n", " ")


def plain_table(first: str, *others: str, spare: Sequence[str] = ()) -> FittedTable:
    """An empty table of a name, the ``first`` column, and of numbers, the ``others``; see :class:`FittedTable`.

    The numbers never give way; the name does where not even the columns that matter have room.
    """
    table = FittedTable(spare=spare)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
