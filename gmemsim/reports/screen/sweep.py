# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after a sweep: one table, a row for every variant."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.swept import amount, between, label, spread
from gmemsim.reports.words import made_by, number
from gmemsim.studies.gather import CONFIDENCE
from gmemsim.studies.sweep import Sweep, SweepRow

SHOWN = 60
"""Rows on the screen: a long page; the other forms have all."""


def render(sweep: Sweep) -> RenderableType:
    """The sweep for a rich console."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for variation in sweep.variations:
        table.add_column(variation.key, overflow="fold")
    for metric in sweep.metrics:
        table.add_column(label(metric), justify="right", overflow="fold")
        if sweep.folded:
            table.add_column(f"{CONFIDENCE:.0%} interval", justify="right", overflow="fold")
    if sweep.folded:
        table.add_column("n", justify="right", no_wrap=True)
    for row in sweep.rows[:SHOWN]:
        table.add_row(*row.values, *_figures(sweep, row))
    more = sweep.total - min(len(sweep.rows), SHOWN)
    notes = [f"… and {more:,} more variants: --csv or --table shows all"] if more else []
    notes += [f"refused, {variants:,} ×: {reason}" for reason, variants in sweep.refusals.items()]
    notes += filter(None, [made_by(sweep)])
    heading = Text(sweep.title, style="bold")
    what = f"{number(sweep.total)} variants"
    if sweep.folded:
        what = (
            f"mean ± standard deviation over n runs that differ in {sweep.folded.key},"
            f" {CONFIDENCE:.0%} t interval of the mean"
        )
    heading.append(f"\n{what}{', PARTIAL: interrupted' if sweep.partial else ''}\n", "")
    return Group(heading, table, *(Text(note, style="dim") for note in notes))


def _figures(sweep: Sweep, row: SweepRow) -> list[str]:
    """The metrics of a row; of a folded sweep with their deviations, and the number of runs."""
    if not sweep.folded:
        return list(map(amount, sweep.metrics, row.results))
    found = []
    for metric, mean, deviation, interval in zip(
        sweep.metrics, row.results, row.deviations, row.intervals, strict=True
    ):
        found += [spread(metric, mean, deviation), between(metric, interval, deviation)]
    return [*found, number(row.runs)]
