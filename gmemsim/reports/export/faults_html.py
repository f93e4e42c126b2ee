# SPDX-License-Identifier: GPL-2.0-or-later
"""What failing allocations leave, as one HTML page: the figure, outcomes by variant, and what broke an invariant."""

from __future__ import annotations

from functools import partial

from gmemsim.reports.faulted import broken_lines, calls_of, headings, lines, summary
from gmemsim.reports.figures import faultmap
from gmemsim.reports.page.parts import Cell, Page, Picture, Section, Table, Words
from gmemsim.reports.page.shell import render
from gmemsim.reports.words import made_by, number
from gmemsim.studies.faults import Faults


def write(faults: Faults) -> str:
    """The page as text."""
    outcomes = Table("Outcomes", ("leaves", "account and step", *headings(faults)), _rows(faults))
    picture = Picture("What the failures leave, by account", partial(faultmap.write, faults))
    broken = [Words(line) for point in faults.broken for line in broken_lines(point)]
    steps = [Words(f"{step}: {', '.join(calls)}") for step, calls in calls_of(faults).items()]
    refused = [Words(f"not possible: {why}") for why in faults.refused]
    sections = [
        Section("By account", [picture]),
        Section("Broken invariants", broken),
        Section("Outcomes", [outcomes, *steps, *refused, Words(made_by(faults), "facts")]),
    ]
    return render(Page(faults.title, "; ".join(summary(faults)), sections))


def _rows(faults: Faults) -> list[list[Cell]]:
    """A row for every outcome, and one for each account and step below it; both name the outcome, to be sorted."""
    rows, leaves = [], ""
    for line in lines(faults):
        leaves = leaves if line.detail else line.label
        counts = [Cell(number(count) if count else "–", count) for count in line.counts]
        rows.append([Cell(leaves), Cell(line.label if line.detail else ""), *counts])
    return rows
