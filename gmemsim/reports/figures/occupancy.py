# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray's nodes by level over time, and how full they are.

The line is the exact number of all nodes, at every instant; the areas are a census, taken at fewer instants
(:mod:`gmemsim.sim.census`).  The line lies above the areas where nodes exist that no tree has any more (their
memory returns after a grace period) or not yet (they are preallocated).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gmemsim.host.accounts import XA_NODE_BYTES
from gmemsim.reports.figures import CENSUS, canvas
from gmemsim.reports.figures.curves import Axis, decimate, time_axis
from gmemsim.reports.figures.orders import census_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.results.timeline import Timeline
from gmemsim.sim.census import Census

ACCOUNT = "filemap_nodes"


def draw(view: View) -> Figure:
    """The figure; the census must have been taken."""
    census, timeline = _census(view), view.result.timeline
    axis = time_axis(timeline)
    notes = [
        f"Areas: {len(census.rows):,} instants. Line: all instants, with nodes that are preallocated or to be freed.",
        "A node of shift s has 64 slots of 2^s pages each; siblings of a large folio are slots in use.",
    ]
    fig, (nodes, filled, below) = canvas.sheet(view.title, [2.2, 1.6, canvas.note_height(notes)])
    shifts = sorted({shift for row in census.rows for shift in row.nodes}, reverse=True)
    _node_panel(nodes, axis, census, timeline, shifts)
    _filled_panel(filled, axis, census, shifts)
    fig.align_ylabels([nodes, filled])
    canvas.along(axis, [nodes, filled])
    canvas.write_below(fig, below, notes)
    return fig


def _node_panel(ax: Axes, axis: Axis, census: Census, timeline: Timeline, shifts: list[int]) -> None:
    exact = timeline.columns()[ACCOUNT] // XA_NODE_BYTES
    x = canvas.to_end(census_axis(census, axis), axis.end)
    lower = np.zeros(len(x))
    for shift, colour in zip(shifts, canvas.colours(len(shifts)), strict=True):
        upper = lower + canvas.hold(np.array([row.nodes[shift] for row in census.rows]))
        ax.fill_between(x, lower, upper, step="post", color=colour, linewidth=0, label=f"shift {shift}")
        lower = upper
    kept = decimate(axis.samples, [exact], axis.end)
    points = canvas.to_end(axis.samples[kept], axis.end), canvas.hold(exact[kept])
    ax.step(*points, where="post", color="#222222", linewidth=0.7, label="all, exact")
    ax.set_ylim(0, 1.08 * max(int(exact.max(initial=0)), 1))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_ylabel("XArray nodes [count]")
    canvas.legend(ax, reverse=True)


def _filled_panel(ax: Axes, axis: Axis, census: Census, shifts: list[int]) -> None:
    """Lines of the same colours as the areas; a lower level is drawn wider, so that lines that coincide are seen."""
    x = canvas.to_end(census_axis(census, axis), axis.end)
    for above, (shift, colour) in enumerate(zip(reversed(shifts), reversed(canvas.colours(len(shifts))), strict=True)):
        part = [
            100 * row.slots_used[shift] / (census.slots * row.nodes[shift]) if row.nodes[shift] else np.nan
            for row in census.rows
        ]
        ax.step(
            x,
            canvas.hold(np.array(part)),
            where="post",
            color=colour,
            linewidth=max(5.0 - 1.3 * above, 0.8),
            solid_capstyle="butt",
        )
    ax.set_ylim(0, 105)
    ax.set_yticks([0, 25, 50, 75, 100])
    ax.grid(axis="y", linewidth=0.3, color="#cccccc")
    ax.set_ylabel("slots in use [%]")
    if not shifts:
        canvas.say(ax, "no nodes")


def table(view: View) -> DataTable:
    """A row for every census and level: ``time_ns``, ``shift``, ``nodes``, ``slots_used``, ``slots``."""
    return DataTable(("time_ns", "shift", "nodes", "slots_used", "slots"), _rows(_census(view)))


def _rows(census: Census) -> Iterator[tuple[object, ...]]:
    for row in census.rows:
        for shift in sorted(row.nodes):
            yield row.time_ns, shift, row.nodes[shift], row.slots_used[shift], row.nodes[shift] * census.slots


def _census(view: View) -> Census:
    census: Census = view.recording(CENSUS)
    return census
