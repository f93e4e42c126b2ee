# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``gmemsim tune``: the best policy, the fronts, and what is proved."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.screen.run import plain_table
from gmemsim.reports.tuned import HEADER, asked, cells, rows, sentences
from gmemsim.studies.tune import Tuning


def render(tuning: Tuning) -> RenderableType:
    """The tuning for a rich console."""
    heading = Text(tuning.scenario.title, style="bold")
    heading.append(f"\n{asked(tuning)}{'' if tuning.complete else ', PARTIAL: interrupted'}\n", style="not bold")
    table: Table = plain_table(*HEADER)
    table.columns[1].justify, table.columns[1].no_wrap, table.columns[1].overflow = "left", False, "fold"
    table.columns[0].no_wrap = True
    for mark, found in rows(tuning):
        table.add_row(mark, *cells(found))
    return Group(heading, table, Text("\n" + "\n".join(sentences(tuning)), style="dim"))
