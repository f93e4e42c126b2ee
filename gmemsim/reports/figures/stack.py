# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory held over time by account, stacked; and such stacks of several guests or results side by side on one scale.

A value holds until the next one.  What is higher for no time at all, inside a call, is drawn as a line: an area would
not show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.curves import BUCKETS, Axis, Floats, Integers, decimate, spikes
from gmemsim.reports.words import account_colour, account_label
from gmemsim.results.timeline import Column
from gmemsim.units import human_size

VISIBLE = 0.01
"""A curve or a spike that stays below this part of the highest total is thinner than a line."""

MOST_TURNS = BUCKETS
"""Samples up to which the sum has a line.  The line of more would cover the areas, in a colour that is no account's."""

HAIR = 0.5
"""Points: how wide a narrow peak is at least where there is no such line."""

ACROSS = 2
"""Panels side by side."""

_BELOW: Final[dict[str, Any]] = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
"""Where the label of the horizontal axis stands, once for all panels."""

PANEL_HEIGHT = 1.35
"""Inches of a panel."""


def draw(ax: Axes, x: Floats, held: Mapping[str, Column], end: float, highest: int) -> None:
    """Draw what is ``held`` by account at ``x``, up to ``end``, in the unit of ``highest`` bytes."""
    _, scale = canvas.unit(highest)
    total = _total(held, len(x))
    used = {name: values for name, values in held.items() if values.any()}
    seen = [values for values in used.values() if values.max() >= VISIBLE * highest]
    kept = decimate(x, [total, *seen], end)
    spike = np.flatnonzero(np.isin(kept, spikes(x, total, VISIBLE * highest)))
    places = canvas.to_end(x[kept], end)
    crests = _crests(total[kept]) if len(kept) > MOST_TURNS else np.array([], dtype=np.int64)
    lower = np.zeros(len(places))
    for name, values in used.items():
        upper = lower + canvas.hold(values[kept] / scale)
        colour = account_colour(name)
        ax.fill_between(places, lower, upper, step="post", color=colour, linewidth=0, label=account_label(name))
        ax.vlines(places[spike], lower[spike], upper[spike], color=colour, linewidth=1.6, zorder=3)
        if len(crests) and values.max() >= VISIBLE * highest:
            # One line with gaps: as many lines would take much room in an SVG.
            gaps = np.full(len(crests), np.nan)
            x_of, y_of = (places[crests], places[crests], gaps), (lower[crests], upper[crests], gaps)
            ax.plot(np.column_stack(x_of).ravel(), np.column_stack(y_of).ravel(), color=colour, linewidth=HAIR)
        lower = upper
    if not len(crests):
        ax.step(places, lower, where="post", color=canvas.INK, linewidth=0.5)


def _crests(total: Column) -> Integers:
    """Indices of the values of ``total`` that are above both their neighbours."""
    falls = np.diff(total, append=0) < 0
    rises = np.diff(total, prepend=0) > 0
    return np.flatnonzero(rises & falls)


@attrs.frozen(eq=False)
class Stack:
    """What one of several holds at ``x``, by account, and the words above its panel."""

    name: str
    words: str
    x: Floats
    held: Mapping[str, Column]

    @property
    def highest(self) -> int:
        """The most bytes held at once."""
        return int(_total(self.held, len(self.x)).max(initial=0))


def _total(held: Mapping[str, Column], number: int) -> Column:
    """The sum of all accounts at so many instants."""
    total = np.zeros(number, dtype=np.int64)
    for values in held.values():
        total += values
    return total


def sheet(title: str, number: int, below: Sequence[float]) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with room for so many stacks, and panels of the heights ``below`` (inches) beneath them."""
    rows = -(-number // ACROSS)
    heights = [*[PANEL_HEIGHT] * rows, *below]
    fig = canvas.page(title, sum(heights) + 0.3 * rows)
    grid = fig.add_gridspec(len(heights), ACROSS, height_ratios=heights)
    stacks = [fig.add_subplot(grid[i // ACROSS, i % ACROSS]) for i in range(number)]
    return fig, stacks, [fig.add_subplot(grid[rows + i, :]) for i in range(len(below))]


def draw_all(panels: Sequence[Axes], stacks: Sequence[Stack], axis: Axis) -> None:
    """Draw ``stacks`` on one scale over ``axis``, in ``panels`` of :func:`sheet`, with the legend of their accounts."""
    highest = max(stack.highest for stack in stacks)
    unit, scale = canvas.unit(highest)
    for place, (ax, stack) in enumerate(zip(panels, stacks, strict=True)):
        draw(ax, stack.x, stack.held, axis.end, highest)
        if stack.highest < max(VISIBLE * highest, 1):
            held = f"{human_size(stack.highest)} at most: too little to see"
            canvas.say(ax, held if stack.highest else "nothing held")
        canvas.along(axis, [ax])
        ax.set_ylim(0, 1.08 * (highest / scale or 1))
        canvas.binary_ticks(ax, 4)
        ax.set_title(f"{canvas.short(stack.name, 26)}: {stack.words}", loc="left", fontsize=7.5, parse_math=False)
        if place % ACROSS == 0:
            ax.set_ylabel(f"held [{unit}]")
        else:
            ax.tick_params(labelleft=False)
        ax.set_xlabel("")
        if place + ACROSS < len(stacks):
            ax.tick_params(labelbottom=False)
        if place == (len(stacks) - 1) // ACROSS * ACROSS:
            ax.annotate(axis.label, (0, 0), (0, -20), ha="left", va="top", fontsize=8, **_BELOW)
    canvas.legend(panels[min(ACROSS, len(panels)) - 1], accounts([stack.held for stack in stacks]))


def accounts(held: Sequence[Mapping[str, Column]]) -> list[Patch]:
    """The legend's entries: the accounts that any of ``held`` has used."""
    used = dict.fromkeys(name for each in held for name, values in each.items() if np.any(values))
    return [Patch(color=account_colour(name), label=account_label(name)) for name in used]
