# SPDX-License-Identifier: GPL-2.0-or-later
"""What a figure is made from, and the tables behind figures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from gmemsim.reports import Reportable
from gmemsim.sim.census import Census
from gmemsim.sim.layout import Layout


@attrs.frozen(eq=False)
class View:
    """The result of a run, and what observers have seen of it where a figure needs that."""

    result: Reportable
    layout: Layout | None = None
    census: Census | None = None

    @property
    def title(self) -> str:
        """The run's title, and that it is partial if so."""
        summary = self.result.summary
        return f"{summary['title']}{' (partial: interrupted)' if summary.get('partial') else ''}"


@attrs.frozen(eq=False)
class Table:
    """The data behind a figure: the names of the columns, and the rows."""

    header: Sequence[str]
    rows: Iterable[Sequence[object]]


def write_table(table: Table, path: Path) -> None:
    """Write ``table`` to ``path`` as CSV."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(table.header)
        writer.writerows(table.rows)
