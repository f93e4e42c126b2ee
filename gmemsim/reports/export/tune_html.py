# SPDX-License-Identifier: GPL-2.0-or-later
"""A tuning as one HTML page: its fronts, a row for every policy of them, and what is proved."""

from __future__ import annotations

from functools import partial

from gmemsim.reports.figures import front
from gmemsim.reports.page.parts import Cell, Page, Picture, Section, Table, Words
from gmemsim.reports.page.shell import render
from gmemsim.reports.tuned import HEADER, asked, cells, rows, sentences
from gmemsim.reports.words import made_by
from gmemsim.studies.trials import WEIGHED, Measured
from gmemsim.studies.tune import Tuning


def write(tuning: Tuning) -> str:
    """The page as text."""
    facts = f"{asked(tuning)}{'' if tuning.complete else ', partial: interrupted'}"
    table = Table("Policies", HEADER, [_row(mark, found) for mark, found in rows(tuning)])
    picture = Picture("Peak memory against modelled time and longest call", partial(front.write, tuning))
    told = [*map(Words, sentences(tuning)), Words(made_by(tuning), "facts")]
    sections = [Section("Fronts", [picture]), Section("Policies", [table]), Section("What was searched", told)]
    return render(Page(tuning.scenario.title, facts, sections))


def _row(mark: str, found: Measured) -> list[Cell]:
    policy, *figures = cells(found)
    values = [found.values[name] for name in WEIGHED]
    return [
        Cell(mark),
        Cell(policy, kind="long"),
        *(Cell(words, value) for words, value in zip(figures, values, strict=True)),
    ]
