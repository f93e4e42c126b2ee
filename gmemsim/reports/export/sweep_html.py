# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as one HTML page: its heatmap, and a row for every variant."""

from __future__ import annotations

from functools import partial

from gmemsim.reports.figures import heatmap
from gmemsim.reports.filesets import MOST_KEYS
from gmemsim.reports.page.parts import Cell, Page, Picture, Section, Table, Words
from gmemsim.reports.page.shell import render
from gmemsim.reports.swept import amount, label, spread
from gmemsim.reports.words import made_by
from gmemsim.studies.sweep import Sweep, SweepRow


def write(sweep: Sweep) -> str:
    """The page as text."""
    over = f", means over {sweep.folded.key}" if sweep.folded else ""
    facts = f"{len(sweep.rows):,} variants{over}{', partial: interrupted' if sweep.partial else ''}"
    header = (*(variation.key for variation in sweep.variations), *map(label, sweep.metrics), "refused")
    table = Table("Variants", header, [_row(sweep, row) for row in sweep.rows])
    shown = 0 < len(sweep.variations) <= MOST_KEYS
    pictures = [Picture("The metrics by the values of the keys", partial(heatmap.write, sweep))] if shown else []
    return render(
        Page(
            sweep.title,
            facts,
            [Section("Heatmap", pictures), Section("Variants", [table, Words(made_by(sweep), "facts")])],
        )
    )


def _row(sweep: Sweep, row: SweepRow) -> list[Cell]:
    deviations = row.deviations or (None,) * len(row.results)
    pairs = zip(sweep.metrics, row.results, deviations, strict=True)
    cells = [
        Cell(spread(metric, value, deviation) if sweep.folded else amount(metric, value), value)
        for metric, value, deviation in pairs
    ]
    return [*map(Cell, row.values), *cells, Cell(row.refused or "")]
