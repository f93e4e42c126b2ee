# SPDX-License-Identifier: GPL-2.0-or-later
"""Folios and mappings by size over time: what the host has, and at which sizes guests and host map it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.reports.figures import CENSUS, canvas
from gmemsim.reports.figures.curves import Axis, Floats, Integers, decimate, time_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.results.timeline import Timeline
from gmemsim.sim.census import Census
from gmemsim.units import size_name

EMPTY = 0.4
"""Inches of a panel that says that nothing is mapped."""

HOST = "host"
"""What the table and the legend call pages that host processes have mapped."""


def draw(view: View) -> Figure:
    """The figure; the census must have been taken."""
    census, timeline = _census(view), view.result.timeline
    axis = time_axis(timeline)
    notes = ["Guest: leaves of the second-stage page tables. Host: base pages that host processes have mapped."]
    mapped = any(counts.any() for counts in mappings(census, _page_size(view)).values())
    heights = [2.0, 2.0 if mapped else EMPTY, canvas.note_height(notes)]
    fig, (folios, below_folios, below) = canvas.sheet(view.title, heights)
    folio_panel(folios, axis, timeline)
    _mapping_panel(below_folios, axis, census, _page_size(view))
    fig.align_ylabels([folios, below_folios])
    canvas.along(axis, [folios, below_folios])
    canvas.write_below(fig, below, notes)
    return fig


def folio_panel(ax: Axes, axis: Axis, timeline: Timeline) -> None:
    """Folios by order, as steps over ``axis``."""
    columns = timeline.columns()
    used = [order for order in timeline.orders if columns[f"folios.{order}"].any()]
    curves = [(order, axis.samples, columns[f"folios.{order}"]) for order in used]
    _curves(ax, axis, curves)
    ax.set_ylabel("folios [count, log]")
    if not used:
        _nothing(ax, "no folios")


def _mapping_panel(ax: Axes, axis: Axis, census: Census, page_size: int) -> None:
    x = census_axis(census, axis)
    curves = []
    for name, counts in mappings(census, page_size).items():
        if counts.any():
            curves.append((name, x, counts))
    _curves(ax, axis, curves)
    if curves:
        ax.set_ylabel("mappings [count, log]")
    else:
        _nothing(ax, "nothing mapped")


def mappings(census: Census, page_size: int) -> dict[str, Integers]:
    """Mappings in every row of ``census``: the guests' by size, and the host's."""
    found = {
        f"guest {size_name(page_size << order)}": np.array([row.guest_leaves[order] for row in census.rows])
        for order in census.orders
    }
    return found | {f"{HOST} {size_name(page_size)}": np.array([row.host_pages for row in census.rows])}


def census_axis(census: Census, axis: Axis) -> Floats:
    """Where the rows of ``census`` lie on ``axis``."""
    x = [axis.events[row.event] if row.event >= 0 else 0.0 for row in census.rows[:-1]]
    return np.array([*x, axis.end])


def _curves(ax: Axes, axis: Axis, curves: Sequence[tuple[str, Floats, Integers]]) -> None:
    highest = 1
    for (name, x, counts), colour in zip(curves, canvas.colours(len(curves)), strict=True):
        highest = max(highest, int(counts.max()))
        kept = decimate(x, [counts], axis.end)
        points = canvas.to_end(x[kept], axis.end), canvas.hold(counts[kept])
        ax.step(*points, where="post", color=colour, linewidth=1.4, label=name)
    canvas.counts_on_log(ax, highest)
    if curves:
        canvas.legend(ax)


def _nothing(ax: Axes, words: str) -> None:
    ax.set_yticks([0])
    canvas.say(ax, words)


def table(view: View) -> DataTable:
    """A row for every count: ``time_ns``, ``what`` (folios, guest, host), ``size`` (4K, 2M, …), ``count``."""
    return DataTable(("time_ns", "what", "size", "count"), _rows(view))


def _rows(view: View) -> Iterator[tuple[object, ...]]:
    census, page = _census(view), _page_size(view)
    columns = view.result.timeline.columns()
    times = columns["time_ns"].tolist()
    for size in view.result.timeline.orders:
        for time, count in zip(times, columns[f"folios.{size}"].tolist(), strict=True):
            yield time, "folios", size, count
    for row in census.rows:
        for order in census.orders:
            yield row.time_ns, "guest", size_name(page << order), row.guest_leaves[order]
        yield row.time_ns, HOST, size_name(page), row.host_pages


def _census(view: View) -> Census:
    census: Census = view.recording(CENSUS)
    return census


def _page_size(view: View) -> int:
    return _census(view).page_size
