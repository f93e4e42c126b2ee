# SPDX-License-Identifier: GPL-2.0-or-later
"""The folio-order map: offset in the guests' memory over time, the colour being the size of the folios there.

Theory of operation
-------------------
The picture has a column for a piece of time and rows for offsets.  A column shows the guest at the instant within that
piece at which most of its memory was in small folios, so what was split for an instant is there; where nothing
happened it shows what was left before.  The rows of a cell (:mod:`gmemsim.sim.layout`) are divided among the sizes in
it, so an area of a colour is that much memory: a guest of whose memory a tenth is split is a tenth dark.  What is less
than a row is carried to the next cell, or what is small in all cells would not be seen; at which of them it is seen
differs from column to column.  A line through a cell says that some of its memory is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gmemsim.reports.figures import LAYOUT, canvas
from gmemsim.reports.figures.curves import STEPS, Axis, time_axis
from gmemsim.reports.figures.sizes import COLOURS, EMPTY, spread
from gmemsim.reports.views import DataTable, View
from gmemsim.results.recordings import CLASSES, Flags, GuestLayout, Layout, Pages
from gmemsim.sim.layout import MOST_FAILING
from gmemsim.units import size_name

COLUMNS = 400
"""Columns of time: about two pixels of the PNG each."""

HEIGHT, LEAST_HEIGHT = 3.4, 0.62
"""Inches of all guests together, and of each at least: a name and two ticks."""

ROWS_PER_INCH = 160
"""Rows of the picture: about a pixel of the PNG each."""

MOST_LINES = 1 / 4
"""The part of the cells up to which those with shared memory have a line: more would hide the sizes."""


def draw(view: View) -> Figure:
    """The figure; the layout must have been collected."""
    layout, axis = _layout(view), time_axis(view.result.timeline)
    shown = [states(guest, layout, axis) for guest in layout.guests]
    lined = all(float(shared.any(axis=0).mean()) <= MOST_LINES for _, shared in shown)
    notes = _notes(layout, axis, None if lined else [int(shared.sum(axis=1).max(initial=0)) for _, shared in shown])
    number = len(layout.guests)
    heights = [max(LEAST_HEIGHT, HEIGHT / number)] * number
    fig, (*panels, below) = canvas.sheet(view.title, [*heights, canvas.note_height(notes)])
    for ax, guest, (pages, shared) in zip(panels, layout.guests, shown, strict=True):
        _panel(ax, guest, pages, layout.geometry.page_size, (axis.end, float(guest.size)), heights[0])
        if lined:
            ax.add_collection(_shared_lines(guest, shared, axis.end))
        ax.set_ylim(0, guest.size)
        canvas.binary_ticks(ax, 5 if number <= 2 else 2, name=lambda offset: size_name(round(offset)))
        ax.set_title(canvas.short(guest.guest, 60), loc="left", fontsize=7, pad=2, parse_math=False)
    fig.supylabel("offset in the guest", fontsize=8)
    canvas.along(axis, panels)
    fig.legend(handles=_handles(layout, lined=lined), loc="outside right center", frameon=False, handlelength=1.6)
    canvas.write_below(fig, below, notes)
    return fig


def states(guest: GuestLayout, layout: Layout, axis: Axis) -> tuple[Pages, Flags]:
    """The state of ``guest`` that every column of time shows: pages by column, cell and class; whether it is shared."""
    begin = np.where(layout.events >= 0, axis.events[layout.events] if len(axis.events) else 0.0, 0.0)
    place = np.minimum((begin * (COLUMNS / axis.end)).astype(np.int64), COLUMNS - 1)[guest.frames]
    bounds = np.searchsorted(place, np.arange(COLUMNS + 1))
    pages, shared = [], []
    for first, after in pairwise(bounds.tolist()):
        if first == after:
            pages.append(guest.left[after - 1])
            shared.append(guest.shared_left[after - 1])
        else:
            finest = first + int(guest.fineness[first:after].argmax())
            pages.append(guest.finest[finest])
            shared.append(guest.shared[finest])
    return np.array(pages), np.array(shared)


def cell_sizes(guest: GuestLayout) -> npt.NDArray[np.int64]:
    """Bytes of every cell: the last one may be smaller."""
    edges = np.minimum(np.arange(guest.cells + 1) * guest.cell_bytes, guest.size)
    sizes: npt.NDArray[np.int64] = np.diff(edges)
    return sizes


def picture(guest: GuestLayout, pages: Pages, page_size: int, rows: int) -> npt.NDArray[np.int64]:
    """The classes by row, from offset 0 up, and column; :data:`~gmemsim.results.recordings.CLASSES` is no memory."""
    sizes = cell_sizes(guest)
    shares = pages.astype(np.int64) * page_size / sizes[:, None]
    whole = np.concatenate([shares, 1 - shares.sum(axis=2, keepdims=True)], axis=2)
    edges = np.round(np.append(0, sizes.cumsum()) * (rows / guest.size)).astype(int)
    return spread(list(whole.transpose(1, 0, 2)), np.diff(edges).tolist())


def table(view: View) -> DataTable:
    """Two rows for every cell of a guest and frame in which it was called: ``most_split``, and what was ``left``.

    ``time_ns`` and ``step`` are those at which the frame begins (step 0: before the first); then ``state``, ``guest``,
    ``offset``, ``size``, the bytes in folios of every class of sizes, and ``shared``.
    """
    layout = _layout(view)
    header = ("time_ns", "step", "state", "guest", "offset", "size", *layout.geometry.class_names, "shared")
    return DataTable(header, _rows(layout))


def _rows(layout: Layout) -> Iterator[tuple[object, ...]]:
    page = layout.geometry.page_size
    for guest in layout.guests:
        sizes = cell_sizes(guest).tolist()
        for i, frame in enumerate(guest.frames.tolist()):
            when = int(layout.times[frame]), int(layout.events[frame]) + 1
            for state, pages, shared in (
                ("most_split", guest.finest[i], guest.shared[i]),
                ("left", guest.left[i], guest.shared_left[i]),
            ):
                held = (pages.astype(np.int64) * page).tolist()
                for cell, size in enumerate(sizes):
                    where = (guest.guest, cell * guest.cell_bytes, size)
                    yield *when, state, *where, *held[cell], int(shared[cell])


def _layout(view: View) -> Layout:
    layout: Layout = view.recording(LAYOUT)
    return layout


def most_at_once(layout: Layout) -> list[float]:
    """By class, the largest part of a guest's memory that was in it at once."""
    page = layout.geometry.page_size
    parts = [guest.most * page / guest.size for guest in layout.guests]
    return [float(part) for part in np.max(parts, axis=0)]


def column_words(axis: Axis) -> str:
    """What a column of the picture shows, and how long that is."""
    begun = "A column shows the instant at which most memory was in small folios"
    if axis.unit == STEPS:
        return f"{begun}."
    short = f"what is split for less than {axis.name(axis.end / COLUMNS)} looks as long, a merge as short is not seen"
    return f"{begun}: {short}."


def _notes(layout: Layout, axis: Axis, lineless: list[int] | None) -> list[str]:
    """``lineless``: the most cells of each guest that had shared memory at once, if they have no lines."""
    cells = sorted({guest.cell_bytes for guest in layout.guests})
    sizes = size_name(cells[0]) if len(cells) == 1 else f"{size_name(cells[0])} to {size_name(cells[-1])}"
    parts = dict(zip(layout.geometry.class_names, most_at_once(layout), strict=True))
    told = [f"{name} {part:.2%}" if part < 0.1 else f"{name} {part:.0%}" for name, part in parts.items() if part]
    most = ", ".join(told) + (" (not at one time)" if len(told) > 1 else "")
    notes = [
        f"An area of a colour is that much memory. Within a cell of {sizes} sizes are stacked, smallest first."
        f" {column_words(axis)}" + (" Line: some of the cell is shared then." if lineless is None else ""),
        f"The largest part of a guest's memory that was ever in a size: {most or 'none'}.",
        *([] if lineless is None else [_shared_words(layout, lineless)]),
        *choice(layout),
    ]
    return canvas.notes_of(notes)


def _shared_words(layout: Layout, most: list[int]) -> str:
    cells = [f"{number:,} of {guest.cells:,}" for number, guest in zip(most, layout.guests, strict=True)]
    told = f"{cells[0]} in each guest" if len(cells) > 1 and len(set(cells)) == 1 else ", ".join(cells)
    return f"Cells with some shared memory at once, at most: {told}."


def choice(layout: Layout) -> list[str]:
    """Which guests are shown, if not all."""
    shown, total, watched = len(layout.guests), layout.total, layout.watched
    if shown == total:
        return []
    failing = min(sum(guest.failed > 0 for guest in layout.guests), MOST_FAILING)
    failed = f"those in which most calls failed ({failing:,}), then " if failing else ""
    ranked = f"{failed}of every kind those that held most kernel memory"
    if not layout.differ:
        ranked = f"of every kind the first, since they held the same{' and failed as often' if failing else ''}"
    of = f", chosen from the {watched:,} watched" if watched < total else ""
    why = "" if shown == watched - layout.idle else f": {ranked}"
    others = f" {layout.idle:,} had no memory at any time." if layout.idle else ""
    return [f"{shown:,} of {total:,} guests{of}{why}.{others}"]


def _handles(layout: Layout, *, lined: bool) -> list[Artist]:
    """The legend: the classes that occur, the largest first; ``lined``: whether what is shared has lines."""
    names = layout.geometry.class_names
    used = [kind for kind, part in enumerate(most_at_once(layout)) if part]
    handles: list[Artist] = [Patch(color=COLOURS[kind], label=names[kind]) for kind in reversed(used)]
    handles.append(Patch(facecolor=EMPTY, edgecolor="#999999", linewidth=0.5, label="no memory"))
    return [*handles, Line2D([], [], color=canvas.MARK, linewidth=1.2, label="shared")] if lined else handles


def _panel(
    ax: Axes, guest: GuestLayout, pages: Pages, page_size: int, corner: tuple[float, float], height: float
) -> None:
    """The sizes of the folios of ``guest``, from the origin to ``corner``, in a panel of so many inches."""
    if not pages.any():
        canvas.say(ax, "no memory")
        return
    image = picture(guest, pages, page_size, round(height * ROWS_PER_INCH))
    palette = ListedColormap([*COLOURS, EMPTY])
    norm = BoundaryNorm(np.arange(CLASSES + 2) - 0.5, CLASSES + 1)
    extent = (0.0, corner[0], 0.0, corner[1])
    ax.imshow(image, palette, norm, aspect="auto", interpolation="nearest", origin="lower", extent=extent)


def _shared_lines(guest: GuestLayout, shared: Flags, end: float) -> LineCollection:
    """A line through the middle of every cell for as long as some of it is shared."""
    lines = []
    for cell in np.flatnonzero(shared.any(axis=0)):
        y = (cell + 0.5) * guest.cell_bytes
        edges = np.flatnonzero(np.diff(shared[:, cell].astype(np.int8), prepend=0, append=0))
        lines += [[(first * end / COLUMNS, y), (after * end / COLUMNS, y)] for first, after in _pairs(edges)]
    return LineCollection(lines, colors=canvas.MARK, linewidths=0.9, capstyle="butt")


def _pairs(edges: npt.NDArray[np.intp]) -> Iterator[tuple[float, float]]:
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
