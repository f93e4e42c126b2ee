# SPDX-License-Identifier: GPL-2.0-or-later
"""Folios and mappings by size over time: what the host has, and at which sizes guests and host map it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from gmemsim.reports.figures import CENSUS, canvas
from gmemsim.reports.figures.curves import Axis, Floats, Integers, decimate, time_axis
from gmemsim.reports.figures.sizes import COLOURS, by_class, geometry_of
from gmemsim.reports.views import DataTable, View
from gmemsim.results.recordings import Census
from gmemsim.results.timeline import Timeline
from gmemsim.units import size_name

EMPTY = 0.4
"""Inches of a panel that says that nothing is mapped."""

HOST = "host"
"""What the table and the legend call pages that host processes have mapped."""


PALE = 3
"""Classes of sizes from this one on have an outline, or their lines would be too pale on white."""

WIDTHS = (1.0, 1.4, 2.2, 2.6, 2.8)
"""Of lines, smallest size first: where two sizes have the same count, the larger one is seen beside the smaller."""

OUTLINE = 0.9
"""How much wider an outline is than its line."""


@attrs.frozen(eq=False)
class Curve:
    """A curve: its name, its class of sizes, and counts at ``x``, each of which holds until the next.

    ``dashed``: of the host (default: not).  ``joined``: values between two counts are not known (default: they are).
    """

    name: str
    kind: int
    x: Floats
    counts: Integers
    dashed: bool = False
    joined: bool = False


def draw(view: View) -> Figure:
    """The figure; the census must have been taken."""
    census, timeline = _census(view), view.result.timeline
    axis = time_axis(timeline)
    seen = "Mappings are counted after every call."
    if not _gapless(census, timeline):
        seen = f"Mappings are counted at {len(census.rows):,} instants, which are joined by straight lines."
    notes = canvas.notes_of(
        [
            f"Guest: leaves of the second-stage page tables. Host: base pages that host processes have mapped. {seen}",
            canvas.WIDE_LINES,
        ]
    )
    mapped = any(counts.any() for counts in mappings(census).values())
    heights = [2.0, 2.0 if mapped else EMPTY, canvas.note_height(notes)]
    fig, (folios, below_folios, below) = canvas.sheet(view.title, heights)
    folio_panel(folios, axis, timeline)
    _mapping_panel(below_folios, axis, census, timeline)
    fig.align_ylabels([folios, below_folios])
    canvas.along(axis, [folios, below_folios])
    canvas.write_below(fig, below, notes)
    return fig


def folio_panel(ax: Axes, axis: Axis, timeline: Timeline) -> None:
    """Folios by class of sizes, as steps over ``axis``."""
    names = geometry_of(timeline).class_names
    curves = [
        Curve(names[kind], kind, axis.samples, counts) for kind, counts in reversed(list(by_class(timeline).items()))
    ]
    _curves(ax, axis, curves)
    ax.set_ylabel("folios [count, log]")
    if not curves:
        _nothing(ax, "no folios")


def _mapping_panel(ax: Axes, axis: Axis, census: Census, timeline: Timeline) -> None:
    x, joined = census_axis(census, axis), not _gapless(census, timeline)
    geometry = geometry_of(timeline)
    curves = [
        Curve(name, geometry.size_class(order), x, counts, dashed=name.startswith(HOST), joined=joined)
        for (name, order), counts in mappings(census).items()
        if counts.any()
    ]
    _curves(ax, axis, curves)
    if curves:
        ax.set_ylabel("mappings [count, log]")
    else:
        _nothing(ax, "nothing mapped")


def _gapless(census: Census, timeline: Timeline) -> bool:
    """Whether a census was taken after every event, so that a value holds until the next one."""
    return len({row.event for row in census.rows[:-1]}) > len(timeline.events)


def mappings(census: Census) -> dict[tuple[str, int], Integers]:
    """Mappings in every row of ``census`` by name and order: the guests' by size, largest first, and the host's."""
    page = census.page_size
    found = {
        (f"guest {size_name(page << order)}", order): np.array([row.guest_leaves[order] for row in census.rows])
        for order in reversed(census.orders)
    }
    return found | {(f"{HOST} {size_name(page)}", 0): np.array([row.host_pages for row in census.rows])}


def census_axis(census: Census, axis: Axis) -> Floats:
    """Where the rows of ``census`` lie on ``axis``."""
    x = [axis.events[row.event] if row.event >= 0 else 0.0 for row in census.rows[:-1]]
    return np.array([*x, axis.end])


def _curves(ax: Axes, axis: Axis, curves: Sequence[Curve]) -> None:
    highest = 1
    for curve in curves:
        highest = max(highest, int(curve.counts.max()))
        kept = decimate(curve.x, [curve.counts], axis.end)
        ax.plot(
            canvas.to_end(curve.x[kept], axis.end),
            canvas.hold(curve.counts[kept]),
            drawstyle="default" if curve.joined else "steps-post",
            color=COLOURS[curve.kind],
            linestyle="--" if curve.dashed else "-",
            linewidth=WIDTHS[curve.kind],
            label=curve.name,
            path_effects=_outline(curve),
        )
    canvas.counts_on_log(ax, highest)
    if curves:
        canvas.legend(ax)


def _outline(curve: Curve) -> Sequence[withStroke] | None:
    """What makes a pale line stand out."""
    if curve.kind < PALE or curve.dashed:
        return None
    return (withStroke(linewidth=WIDTHS[curve.kind] + OUTLINE, foreground="#555555"),)


def _nothing(ax: Axes, words: str) -> None:
    ax.set_yticks([0])
    canvas.say(ax, words)


def table(view: View) -> DataTable:
    """A row for every count: ``time_ns``, ``what`` (folios, guest, host), ``size`` (4K, 2M, …), ``count``."""
    return DataTable(("time_ns", "what", "size", "count"), _rows(view))


def _rows(view: View) -> Iterator[tuple[object, ...]]:
    census = _census(view)
    page = census.page_size
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
