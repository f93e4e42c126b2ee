# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of screens that give way in the right order where there is little room: names are whole as long as may be.

Theory of operation
-------------------
A table knows which of its columns matter less.  If it is wider than the terminal, it is shown without the first of
these, then without the next, and a line below says which are left out; only a table that has none left folds its names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from copy import copy

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns of a terminal that is wide enough for every table."""


class FittedTable(Table):
    """A table without frames; ``spare`` (default: none) are the headers of columns that matter less, least first.

    ``gap``: blanks beside the one between two columns (default: 1).  ``least``: columns of the terminal that a name
    may be folded to before another column is left out (default: it is whole).
    """

    def __init__(self, *, spare: Sequence[str] = (), gap: int = 1, least: int | None = None) -> None:
        super().__init__(box=SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False)
        self.spare = spare
        self.least = least

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
