# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as one HTML page: memory over time, what each holds at its peak, and all figures."""

from __future__ import annotations

from functools import partial

from gmemsim.reports.compared import caveats, lines, made_by, the_same, told_of_order
from gmemsim.reports.figures import overlay
from gmemsim.reports.figures.bars import at_peak
from gmemsim.reports.page import plots
from gmemsim.reports.page.parts import Cell, Page, Picture, Section, Table, Words
from gmemsim.reports.page.shell import render
from gmemsim.studies.compare import Comparison


def write(comparison: Comparison) -> str:
    """The page as text."""
    timelines = {name: result.timeline for name, result in comparison.results.items()}
    held = {name: at_peak(timeline) for name, timeline in timelines.items()}
    facts = f"{len(held)} compared{', partial: interrupted' if comparison.partial else ''}"
    picture = Picture(f"Memory that each {comparison.what} holds over time", partial(overlay.write, comparison))
    figures = Table("Figures", ("figure", comparison.what, "value", "delta", "ratio"), _rows(comparison))
    after = [told_of_order(comparison), the_same(comparison), *(f"{note}." for note in caveats(comparison))]
    before = [Words(f"{note}.") for note in comparison.notes]
    sections = [
        Section("Over time", [*before, plots.totals(timelines), picture]),
        Section("At the peak", [plots.peaks(held, comparison.what)]),
        Section("Figures", [figures, *map(Words, after), Words(made_by(comparison), "facts")]),
    ]
    return render(Page(comparison.title, facts, sections))


def _rows(comparison: Comparison) -> list[list[Cell]]:
    """The table's lines, each with the figure's name, so that it can be sorted."""
    rows, label = [], ""
    for line in lines(comparison):
        label = line.label or label
        rows.append([Cell(label), *map(Cell, line.cells[1:])])
    return rows
