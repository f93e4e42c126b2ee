# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``gmemsim budget``: one row a policy, and what decides it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from gmemsim.reports.budgeted import cells, header, sentences, title
from gmemsim.reports.screen.fitted import plain_table
from gmemsim.reports.words import made_by
from gmemsim.studies.budget import Budget


def render(budget: Budget) -> RenderableType:
    """The budget for a rich console."""
    heading = Text(budget.question.scenario.title, style="bold")
    heading.append(f"\n{title(budget)}{'' if budget.complete else ', PARTIAL: interrupted'}\n", style="not bold")
    table = plain_table(*header(budget), spare=("slabs", "low", "high"))
    for row in budget.rows:
        table.add_row(row.policy, *cells(budget, row))
    return Group(heading, table, Text("\n" + "\n".join([*sentences(budget), made_by(budget)]), style="dim"))
