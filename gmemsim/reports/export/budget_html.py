# SPDX-License-Identifier: GPL-2.0-or-later
"""A budget as one HTML page: its figure, a row for every policy, and what decides each."""

from __future__ import annotations

from functools import partial

from gmemsim.reports.budgeted import cells, header, sentences, title
from gmemsim.reports.figures import needs
from gmemsim.reports.page.parts import Cell, Page, Picture, Section, Table, Words
from gmemsim.reports.page.shell import render
from gmemsim.reports.words import made_by
from gmemsim.studies.budget import Budget, BudgetRow


def write(budget: Budget) -> str:
    """The page as text."""
    facts = f"{title(budget)}{'' if budget.complete else ', partial: interrupted'}"
    table = Table("Policies", header(budget), [_row(budget, row) for row in budget.rows])
    picture = Picture("What the guests hold at their peak, by policy", partial(needs.write, budget))
    sections = [
        Section("At the peak", [picture]),
        Section("Policies", [table]),
        Section("What decides", [*map(Words, sentences(budget)), Words(made_by(budget), "facts")]),
    ]
    return render(Page(budget.question.scenario.title, facts, sections))


def _row(budget: Budget, row: BudgetRow) -> list[Cell]:
    guests, *figures = cells(budget, row)
    return [Cell(row.policy), Cell(guests, row.guests), *map(Cell, figures)]
