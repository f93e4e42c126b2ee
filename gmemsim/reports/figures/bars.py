# SPDX-License-Identifier: GPL-2.0-or-later
"""A panel that compares peaks: a bar each for guests or policies, made of the accounts in their own colours.

A bar is what was held at the instant of its peak, so its length is the number beside it.  Peaks of single accounts,
which may be at other instants, are in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from gmemsim.reports.figures.canvas import binary_ticks, short, unit
from gmemsim.reports.words import account_colour
from gmemsim.results.timeline import TOTAL, Timeline
from gmemsim.units import human_size

Composition = Mapping[str, int]
"""Bytes by account at one instant; of :data:`~gmemsim.results.timeline.TOTAL` alone where accounts are not known."""

UNKNOWN = "#cccccc"
"""The colour of a bar of which only the length is known."""


def at_peak(timeline: Timeline) -> Composition:
    """What all accounts held at the first instant at which their sum was highest."""
    columns = timeline.columns()
    if not len(timeline):
        return dict.fromkeys(timeline.accounts, 0)
    at = int(columns[TOTAL].argmax())
    return {name: int(columns[name][at]) for name in timeline.accounts}


def peak_bars(ax: Axes, held: Mapping[str, Composition], each: str) -> None:
    """A bar for every name in ``held``: what it held at its peak.  ``each`` says what they are."""
    totals = [sum(parts.values()) for parts in held.values()]
    name_of_unit, scale = unit(max(totals))
    left = np.zeros(len(totals))
    for name in dict.fromkeys(name for parts in held.values() for name in parts):
        width = np.array([parts.get(name, 0) / scale for parts in held.values()])
        colour = UNKNOWN if name == TOTAL else account_colour(name)
        ax.barh(range(len(totals)), width, left=left, height=0.7, color=colour)
        left += width
    for row, total in enumerate(totals):
        ax.annotate(
            human_size(total), (total / scale, row), (3, 0), textcoords="offset points", va="center", fontsize=7
        )
    ax.set_yticks(range(len(totals)), [short(name, 20) for name in held], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.16 * (max(totals) / scale or 1))
    binary_ticks(ax, 8, across=True)
    ax.set_xlabel(f"held by each {each} at the instant of its peak [{name_of_unit}]")
