# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``gmemsim tune``: the best policy, the fronts, and what is proved."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.tuned import HEADER, asked, cells, rows, sentences
from gmemsim.studies.tune import Tuning


def render(tuning: Tuning) -> RenderableType:
    """The tuning for a rich console."""
    heading = Text(tuning.scenario.title, style="bold")
    heading.append(f"\n{asked(tuning)}{'' if tuning.complete else ', PARTIAL: interrupted'}\n", style="not bold")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(HEADER[0], no_wrap=True)
    table.add_column(HEADER[1], overflow="fold")
    for name in HEADER[2:]:
        table.add_column(name, justify="right", no_wrap=True)
    for mark, found in rows(tuning):
        table.add_row(mark, *cells(found))
    return Group(heading, table, Text("\n" + "\n".join(sentences(tuning)), style="dim"))
