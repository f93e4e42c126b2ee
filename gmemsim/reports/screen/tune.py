# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``gmemsim tune``: the best policy, the fronts, and what is proved."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from gmemsim.reports.screen.fitted import FittedTable, Folded
from gmemsim.reports.tuned import HEADER, asked, cells, rows, sentences
from gmemsim.reports.words import made_by, number
from gmemsim.studies.tune import Tuning

SHOWN = 12
"""Policies of the fronts on the screen, those that look alike once; the other forms have all."""

LEAST_POLICY = 36
"""Columns that a policy, which may be longer than any terminal is wide, is folded to at most."""


def render(tuning: Tuning) -> RenderableType:
    """The tuning for a rich console."""
    heading = Text(tuning.scenario.title, style="bold")
    heading.append(f"\n{asked(tuning)}{'' if tuning.complete else ', PARTIAL: interrupted'}\n", style="not bold")
    table = FittedTable(spare=(HEADER[4], HEADER[3]), least=LEAST_POLICY)
    table.add_column(HEADER[0], no_wrap=True)
    table.add_column(HEADER[1], overflow="fold")
    for name in HEADER[2:]:
        table.add_column(name, justify="right", no_wrap=True)
    hidden = 0
    fronts: set[tuple[str, ...]] = set()
    for mark, found in rows(tuning):
        told = cells(found)
        if mark == "front":
            if told[1:] in fronts or len(fronts) == SHOWN:
                hidden += 1
                continue
            fronts.add(told[1:])
        table.add_row(mark, *told)
    notes = [f"… and {number(hidden)} more on the fronts: --json has all"] if hidden else []
    notes += [*sentences(tuning), made_by(tuning)]
    return Group(heading, table, Folded("\n" + "\n".join(notes), style="dim"))
