# SPDX-License-Identifier: GPL-2.0-or-later
"""A panel that compares peaks: a bar each for guests or policies, made of the accounts in their own colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from gmemsim.reports.figures.canvas import short, unit
from gmemsim.reports.words import account_colour
from gmemsim.results.timeline import TOTAL
from gmemsim.units import human_size


def peak_bars(ax: Axes, held: Mapping[str, Mapping[str, Mapping[str, int]]], each: str) -> None:
    """A bar for every name in ``held``, each of which has accounts: their peaks side by side, and in figures the peak
    of the sum.  ``each`` says what they are.
    """
    tallies = list(held.values())
    accounts = [name for name in tallies[0] if name != TOTAL]
    ends = [sum(tally[name]["peak_bytes"] for name in accounts) for tally in tallies]
    name_of_unit, scale = unit(max(ends))
    left = np.zeros(len(tallies))
    for name in accounts:
        width = np.array([tally[name]["peak_bytes"] / scale for tally in tallies])
        ax.barh(range(len(tallies)), width, left=left, height=0.7, color=account_colour(name))
        left += width
    for row, (end, tally) in enumerate(zip(left, tallies, strict=True)):
        words = human_size(tally[TOTAL]["peak_bytes"])
        ax.annotate(words, (end, row), (3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.set_yticks(range(len(tallies)), [short(name) for name in held], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.16 * (max(ends) / scale or 1))
    ax.set_xlabel(f"peak held by each {each}, by account [{name_of_unit}]; in figures the peak of the sum")
