# SPDX-License-Identifier: GPL-2.0-or-later
"""The folio-order map: offset in the guests' memory over time, the colour being the size of the folios there.

Theory of operation
-------------------
The picture is a matrix of cells (:mod:`gmemsim.sim.layout`) over columns of time.  A column shows the smallest
folio that was seen during it, so what was split for an instant is there; where nothing happened it shows what was left
before.  A line through a cell says that some of its memory is shared.  Light is large and dark is small, in a gradient
that reads the same in any colour vision and in grey.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gmemsim.reports.figures import LAYOUT, canvas
from gmemsim.reports.figures.curves import Axis, time_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.sim.layout import NOTHING, Cells, Flags, Layout, Region
from gmemsim.units import size_name

COLUMNS = 400
"""Columns of time: about two pixels of the PNG each."""

HEIGHT, LEAST_HEIGHT = 3.4, 0.62
"""Inches of all guests together, and of each at least: a name and two ticks."""

SHARED = "#D55E00"
"""The line that says shared: visible on the dark and on the light end of the gradient."""

LARGEST = 18
"""The order at the light end of the gradient: 1G in base pages of 4K, the largest folio of the kernels there are."""

PALEST = 0.95
"""How far the gradient goes: its end is too close to white paper."""

HATCHED = 0.9
"""Points that the lines of neighbouring cells are wide at most, so that the colours between them are seen."""


def draw(view: View) -> Figure:
    """The figure; the layout must have been collected."""
    layout, axis = _layout(view), time_axis(view.result.timeline)
    smallest, shared = _columns(layout, axis)
    orders = [order for order in np.unique(smallest).tolist() if order != NOTHING]
    colours = [colour_of(order) for order in orders]
    notes = _notes(layout)
    number = len(layout.regions)
    unit, scale = canvas.unit(max(region.size for region in layout.regions))
    heights = [max(LEAST_HEIGHT, HEIGHT / number)] * number
    fig, (*panels, below) = canvas.sheet(view.title, [*heights, canvas.note_height(notes)])
    for ax, region in zip(panels, layout.regions, strict=True):
        here = slice(region.first, region.first + region.cells)
        _panel(ax, region, axis, smallest[:, here], shared[:, here], orders, colours, scale, 5 if number <= 2 else 2)
        ax.set_ylabel(canvas.short(region.guest, 12), fontsize=7, rotation=0, ha="right", va="center", parse_math=False)
    fig.align_ylabels(panels)
    fig.supylabel(f"offset in the guest [{unit}]", fontsize=8)
    canvas.along(axis, panels)
    sizes = [size_name(layout.page_size << order) for order in orders]
    handles: list[Artist] = []
    handles += [Patch(color=colour, label=size) for colour, size in zip(colours, sizes, strict=True)][::-1]
    handles.append(Patch(facecolor="white", edgecolor="#999999", linewidth=0.5, label="no memory"))
    handles.append(Line2D([], [], color=SHARED, linewidth=1.2, label="shared"))
    fig.legend(handles=handles, loc="outside right center", frameon=False, handlelength=1.6)
    canvas.write_below(fig, below, notes)
    return fig


def colour_of(order: int) -> tuple[float, float, float, float]:
    """The colour of folios of ``order``: the same in every map."""
    return matplotlib.colormaps["viridis"](PALEST * min(order, LARGEST) / LARGEST)


def table(view: View) -> DataTable:
    """A row for every cell and frame; the frame holds from ``time_ns``, its first event being ``step`` (0: none)."""
    header = ("time_ns", "step", "guest", "offset", "size", "smallest_folio", "smallest_folio_left", "shared")
    return DataTable((*header, "shared_left"), _rows(_layout(view)))


def _rows(layout: Layout) -> Iterator[tuple[object, ...]]:
    def folio(order: int) -> int:
        return 0 if order == NOTHING else layout.page_size << order

    for i, (time, event) in enumerate(zip(layout.times.tolist(), layout.events.tolist(), strict=True)):
        frame = zip(layout.smallest[i], layout.smallest_left[i], layout.shared[i], layout.shared_left[i], strict=True)
        cells = [(folio(int(a)), folio(int(b)), int(c), int(d)) for a, b, c, d in frame]
        for region in layout.regions:
            for cell in range(region.cells):
                where = (time, event + 1, region.guest, cell * region.cell_bytes, region.cell_bytes)
                yield *where, *cells[region.first + cell]


def _layout(view: View) -> Layout:
    layout: Layout = view.recording(LAYOUT)
    return layout


def _notes(layout: Layout) -> list[str]:
    cells = sorted({region.cell_bytes for region in layout.regions})
    sizes = size_name(cells[0]) if len(cells) == 1 else f"{size_name(cells[0])} to {size_name(cells[-1])}"
    more = [f"{layout.left_out:,} more guests are not shown."] if layout.left_out else []
    return [f"Colour: the smallest folio within {sizes} of memory; line: some of it is shared.", *more]


def _columns(layout: Layout, axis: Axis) -> tuple[Cells, Flags]:
    """The matrix by columns of time instead of frames."""
    begin = np.where(layout.events >= 0, axis.events[layout.events] if len(axis.events) else 0.0, 0.0)
    column = np.minimum((begin * (COLUMNS / axis.end)).astype(np.int64), COLUMNS - 1)
    bounds = np.searchsorted(column, np.arange(COLUMNS + 1))
    smallest, shared = [], []
    for first, after in pairwise(bounds.tolist()):
        if first == after:
            smallest.append(layout.smallest_left[after - 1])
            shared.append(layout.shared_left[after - 1])
        else:
            smallest.append(layout.smallest[first:after].min(axis=0))
            shared.append(layout.shared[first:after].any(axis=0))
    return np.array(smallest), np.array(shared)


def _panel(
    ax: Axes,
    region: Region,
    axis: Axis,
    smallest: Cells,
    shared: Flags,
    orders: list[int],
    colours: list[tuple[float, float, float, float]],
    scale: float,
    ticks: int,
) -> None:
    top = region.cells * region.cell_bytes / scale
    if orders:
        bounds = [-0.5, *(order + 0.5 for order in orders)]
        shown = np.ma.masked_equal(smallest.T, NOTHING)
        palette = ListedColormap(colours)
        norm = BoundaryNorm(bounds, len(colours))
        extent = (0.0, axis.end, 0.0, top)
        ax.imshow(shown, palette, norm, aspect="auto", interpolation="nearest", origin="lower", extent=extent)
    ax.add_collection(_shared_lines(region, axis, shared, scale))
    ax.set_ylim(0, region.size / scale)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
    if not orders:
        canvas.say(ax, "no memory")


def _shared_lines(region: Region, axis: Axis, shared: Flags, scale: float) -> LineCollection:
    """A line through the middle of every cell for as long as some of it is shared."""
    lines = []
    for cell in np.flatnonzero(shared.any(axis=0)):
        y = (cell + 0.5) * region.cell_bytes / scale
        edges = np.flatnonzero(np.diff(shared[:, cell].astype(np.int8), prepend=0, append=0))
        for begin, end in _pairs(edges):
            lines.append([(begin * axis.end / COLUMNS, y), (end * axis.end / COLUMNS, y)])
    dense = len({line[0][1] for line in lines}) > region.cells / 4
    return LineCollection(lines, colors=SHARED, linewidths=HATCHED / 2 if dense else HATCHED, capstyle="butt")


def _pairs(edges: npt.NDArray[np.intp]) -> Iterator[tuple[float, float]]:
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
