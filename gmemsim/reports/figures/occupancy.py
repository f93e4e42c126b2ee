# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray's nodes by level over time, and how full they are.

The line is the exact number of all nodes, at every instant; the areas are a census, taken at fewer instants
(:mod:`gmemsim.sim.census`).  The line lies above the areas where nodes exist that no tree has any more (their
memory returns after a grace period) or not yet (they are preallocated).  An area goes on for as long as the exact
number stays what it was at the census, to within :data:`TOLERANCE`; then it is grey below the line until the next
census.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.host.accounts import XA_NODE_BYTES
from gmemsim.reports.figures import CENSUS, canvas
from gmemsim.reports.figures.bars import UNKNOWN
from gmemsim.reports.figures.curves import Axis, Floats, decimate, time_axis
from gmemsim.reports.figures.orders import census_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.results.recordings import Census
from gmemsim.results.timeline import Timeline

ACCOUNT = "filemap_nodes"

Pieces = tuple[Floats, Callable[[Sequence[float]], Floats]]
"""Where the ends of a curve's pieces lie, and what makes the curve of a value for every census."""

TOLERANCE = 0.02
"""By this part of the highest number of nodes an area may be off: less than anyone sees."""

SEPARATOR = np.nan
"""Between two pieces of a curve."""


def draw(view: View) -> Figure:
    """The figure; the census must have been taken."""
    census, timeline = _census(view), view.result.timeline
    axis = time_axis(timeline)
    pieces = _pieces(census, axis, timeline)
    notes = canvas.notes_of(
        [
            "Line: every instant, with nodes that are preallocated or to be freed."
            f" Coloured areas: {len(census.rows):,} instants; grey where the number had changed"
            f" by more than {TOLERANCE:.0%} of the highest since.",
            "A node of shift s has 64 slots of 2^s pages each; siblings of a large folio are slots in use.",
        ]
    )
    fig, (nodes, filled, below) = canvas.sheet(view.title, [2.2, 1.6, canvas.note_height(notes)])
    shifts = sorted({shift for row in census.rows for shift in row.nodes}, reverse=True)
    _node_panel(nodes, axis, census, timeline, shifts, pieces)
    _filled_panel(filled, census, shifts, pieces)
    fig.align_ylabels([nodes, filled])
    canvas.along(axis, [nodes, filled])
    canvas.write_below(fig, below, notes)
    return fig


def held_until(census: Census, axis: Axis, timeline: Timeline) -> list[float]:
    """Where on ``axis`` each row of ``census`` is no longer what it was, at the latest where the next one begins."""
    x, exact, owners = census_axis(census, axis), timeline.column(ACCOUNT), timeline.owners()
    most = TOLERANCE * int(exact.max(initial=0))
    last = [int(np.searchsorted(owners, row.event, side="right")) - 1 for row in census.rows[:-1]]
    ends = []
    for row, here in enumerate(last):
        after = last[row + 1] + 1 if row + 1 < len(last) else len(exact)
        end = float(x[row + 1])
        if here >= 0:
            changed = np.flatnonzero(np.abs(exact[here:after] - exact[here]) > most)
            end = min([end, *axis.samples[here + changed[:1]].tolist()])
        ends.append(end)
    return [*ends, axis.end]


def _pieces(census: Census, axis: Axis, timeline: Timeline) -> Pieces:
    """Where the pieces of curves lie, and what makes such a curve of a value for every row: it has gaps."""
    begins, ends = census_axis(census, axis), held_until(census, axis, timeline)
    x, gaps = [], []
    for begin, end, following in zip(begins.tolist(), ends, [*begins[1:].tolist(), axis.end], strict=True):
        x += [begin, end, end]
        gaps.append(end < following)

    def curve(values: Sequence[float]) -> Floats:
        pairs = zip(values, [*values[1:], SEPARATOR], gaps, strict=True)
        return np.array([y for value, after, gap in pairs for y in (value, value, SEPARATOR if gap else after)])

    return np.array(x), curve


def _node_panel(ax: Axes, axis: Axis, census: Census, timeline: Timeline, shifts: list[int], pieces: Pieces) -> None:
    exact = timeline.column(ACCOUNT) // XA_NODE_BYTES
    x, curve = pieces
    lower = np.zeros(len(x))
    for shift, colour in zip(shifts, canvas.colours(len(shifts)), strict=True):
        upper = lower + curve([row.nodes[shift] for row in census.rows])
        ax.fill_between(x, lower, upper, color=colour, linewidth=0, label=f"shift {shift}")
        lower = upper
    kept = decimate(axis.samples, [exact], axis.end)
    points = canvas.to_end(axis.samples[kept], axis.end), canvas.hold(exact[kept])
    ax.fill_between(*points, step="post", color=UNKNOWN, linewidth=0, zorder=0, label="level not counted")
    ax.step(*points, where="post", color=canvas.INK, linewidth=0.7, label="all, exact")
    ax.set_ylim(0, 1.08 * max(int(exact.max(initial=0)), 1))
    canvas.binary_ticks(ax)
    ax.set_ylabel("XArray nodes [count]")
    canvas.legend(ax, reverse=True)


def _filled_panel(ax: Axes, census: Census, shifts: list[int], pieces: Pieces) -> None:
    """Lines of the same colours as the areas; a lower level is drawn wider, so that lines that coincide are seen."""
    x, curve = pieces
    for above, (shift, colour) in enumerate(zip(reversed(shifts), reversed(canvas.colours(len(shifts))), strict=True)):
        part = [
            100 * row.slots_used[shift] / (census.slots * row.nodes[shift]) if row.nodes[shift] else np.nan
            for row in census.rows
        ]
        ax.plot(x, curve(part), color=colour, linewidth=max(5.0 - 1.3 * above, 0.8), solid_capstyle="butt")
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
