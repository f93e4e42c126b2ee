# SPDX-License-Identifier: GPL-2.0-or-later
"""A budget as Markdown for a mail."""

from __future__ import annotations

from gmemsim.reports.budgeted import cells, header, sentences, title
from gmemsim.reports.export.mail import mail
from gmemsim.reports.words import made_by
from gmemsim.studies.budget import Budget


def write(budget: Budget) -> str:
    """The budget as Markdown, below 78 columns."""
    asked = f"{'' if budget.complete else 'PARTIAL: interrupted. '}{title(budget)}."
    rows = [(row.policy, *cells(budget, row)) for row in budget.rows]
    return mail(budget.question.scenario.title, asked, header(budget), rows, [*sentences(budget), made_by(budget)])
