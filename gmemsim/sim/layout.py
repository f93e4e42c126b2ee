# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guests' memory looks like over time: the size of the folios at every offset, and what is shared.

Theory of operation
-------------------
Every guest's memory is divided into *cells* of a power of two of pages.  A cell knows the order of its smallest folio
(:data:`NOTHING` if it holds no memory) and whether any of its pages is shared.  The layout is a matrix of cells over
*frames* (:mod:`gmemsim.sim.frames`).  A frame keeps what was smallest during it and what was left at its end, so
a folio that is split and merged between two pixels of a picture is still seen in it.

Only what a call can have changed is looked at again.  For a call on pages ``start`` to ``end`` of a hugepage that is

* as large as a cell or smaller: the hugepage's own count of its folios;
* larger: the cells of the folios that touched the range before the call, and of those that do now.  Cells and folios
  are aligned powers of two, so a cell either lies in one folio, whose order is the cell's, or holds all its folios.

Memory is bounded by cells x frames bytes and one byte a hugepage, whatever the run does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.sim.frames import Frames

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run

NOTHING = 64
"""The "order" of a cell that holds no memory: above every order there is."""

CELLS = 128
"""Cells of all guests together: a few pixels of a figure each."""

LEAST_CELLS = 16
"""Cells that a guest has at least if its memory has so many pages."""

MOST_GUESTS = 8
"""Guests that are looked at; there is no room for more in a picture."""

FRAMES = 512
"""Frames at most: more than a picture has columns."""

Cells = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]


@attrs.frozen
class Region:
    """A guest's part of the matrix: its cells are ``first`` to ``first + cells``, each of ``cell_bytes``."""

    guest: str
    size: int
    first: int
    cells: int
    cell_bytes: int


@attrs.frozen(eq=False)
class Layout:
    """The matrix: a row a frame, a column a cell.  ``left_out`` guests are not in it.

    Frame *i* begins at ``times[i]`` ns with event ``events[i]``; frame 0 is the state before the first event, with
    event -1.  ``smallest`` and ``shared`` hold during it (the smallest order seen, whether ever shared),
    ``smallest_left`` and ``shared_left`` at its end.
    """

    page_size: int
    regions: tuple[Region, ...]
    left_out: int
    times: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    smallest: Cells
    smallest_left: Cells
    shared: Flags
    shared_left: Flags


class LayoutRecorder:
    """Collects the :class:`Layout` of ``run``.

    About ``cells`` cells for all guests together (default: :data:`CELLS`), ``frames`` at most (default:
    :data:`FRAMES`).
    """

    def __init__(self, run: Run, *, cells: int = CELLS, frames: int = FRAMES) -> None:
        shown = _shown(run)
        self._run = run
        self._left_out = len(run.guests) - len(shown)
        self._page_size = run.host.geometry.page_size
        self._guests: dict[str, _GuestCells] = {}
        first = 0
        for guest in shown:
            made = _GuestCells(guest, first, max(LEAST_CELLS, cells // len(shown)))
            self._guests[guest.name] = made
            first += made.number
        self._order: Cells = np.full(first, NOTHING, dtype=np.int8)
        self._shared: Flags = np.zeros(first, dtype=np.bool_)
        self._rows: list[tuple[Cells, Cells, Flags, Flags]] = []
        self._frames = Frames(frames)
        self._frames.begins(0, -1)
        self._begin_frame()

    def see(self, event: Event) -> None:
        """Look at what ``event`` may have changed."""
        cells = self._guests.get(event.guest or "")
        if cells is None:
            return
        start, end = (0, cells.guest.pages)
        if event.offset is not None and event.size:
            start, end = event.offset // self._page_size, (event.offset + event.size) // self._page_size
        end = min(end, cells.guest.pages)
        if start >= end:
            return
        if self._frames.begins(event.time_ns, len(self._run.timeline.events) - 1):
            self._begin_frame()
            self._thin()
        low, high = cells.update(start, end, self._order[cells.here], self._shared[cells.here])
        touched = slice(cells.first + low, cells.first + high)
        smallest, left, shared, shared_left = self._rows[-1]
        np.minimum(smallest[touched], self._order[touched], out=smallest[touched])
        shared[touched] |= self._shared[touched]
        left[touched] = self._order[touched]
        shared_left[touched] = self._shared[touched]

    def result(self) -> Layout:
        """What was seen so far."""
        smallest, left, shared, shared_left = (np.array(column) for column in zip(*self._rows, strict=True))
        regions = tuple(cells.region(self._page_size) for cells in self._guests.values())
        times, events = (np.array(column, dtype=np.int64) for column in (self._frames.times, self._frames.events))
        return Layout(self._page_size, regions, self._left_out, times, events, smallest, left, shared, shared_left)

    def _begin_frame(self) -> None:
        """A frame begins with what the one before it left: its first event ends that."""
        self._rows.append((self._order.copy(), self._order.copy(), self._shared.copy(), self._shared.copy()))

    def _thin(self) -> None:
        part_of = self._frames.thinned()
        if part_of is None:
            return
        merged: list[tuple[Cells, Cells, Flags, Flags]] = []
        for frame, (smallest, left, shared, shared_left) in zip(part_of, self._rows, strict=True):
            if frame == len(merged):
                merged.append((smallest, left, shared, shared_left))
            else:
                before = merged[-1]
                merged[-1] = (np.minimum(before[0], smallest), left, before[2] | shared, shared_left)
        self._rows = merged


def _shown(run: Run) -> list[GuestMemfd]:
    """The guests to look at, in their order: one of each kind before a second of any."""
    ranked: list[tuple[int, int, GuestMemfd]] = []
    for spec in run.scenario.guests:
        ranked += [(place, len(ranked) + place, run.guests[name]) for place, name in enumerate(spec.instances)]
    chosen = sorted(ranked, key=lambda entry: entry[:2])[:MOST_GUESTS]
    return [guest for _, _, guest in sorted(chosen, key=lambda entry: entry[1])]


class _GuestCells:
    """The cells of one guest: where they are in the matrix, and what a call may have changed in them."""

    def __init__(self, guest: GuestMemfd, first: int, most: int) -> None:
        self.guest = guest
        self.order = max(0, (-(-guest.pages // most) - 1).bit_length())
        self.first = first
        self.number = self._after(guest.pages)
        self.here = slice(first, first + self.number)
        hugepages = guest.pages >> guest.page_order if 0 < guest.page_order <= self.order else 0
        self._smallest = np.full(hugepages, NOTHING, dtype=np.int8)  # by hugepage, where a cell holds several
        self._held = [Counter[int]() for _ in range(self.number if hugepages else 0)]  # by cell: those by smallest

    def region(self, page_size: int) -> Region:
        """Where these cells are."""
        size, cell = (pages * page_size for pages in (self.guest.pages, 1 << self.order))
        return Region(self.guest.name, size, self.first, self.number, cell)

    def update(self, start: int, end: int, orders: Cells, shared: Flags) -> tuple[int, int]:
        """Bring ``orders`` and ``shared`` up to date after a call on pages ``start`` to ``end``.

        Returns the bounds of the cells that may have changed.
        """
        if self.guest.closed:
            orders[:] = NOTHING
            shared[:] = False
            return 0, self.number
        low, high = start >> self.order, self._after(end)
        for cell in range(low, high):
            shared[cell] = not self.guest.all_private(*self._pages(cell))
        if not self.guest.page_order:
            for cell in range(low, high):
                orders[cell] = 0 if self.guest.has_memory(*self._pages(cell)) else NOTHING
        elif len(self._smallest):
            self._small_hugepages(start, end, orders)
        else:
            for first in range(start >> self.guest.page_order, (end - 1 >> self.guest.page_order) + 1):
                bounds = self._large_hugepage(first << self.guest.page_order, start, end, orders)
                low, high = min(low, bounds[0]), max(high, bounds[1])
        return low, high

    def _after(self, page: int) -> int:
        """The cell after the one that holds the page before ``page``."""
        return (page - 1 >> self.order) + 1

    def _pages(self, cell: int) -> tuple[int, int]:
        return cell << self.order, min(cell + 1 << self.order, self.guest.pages)

    def _small_hugepages(self, start: int, end: int, orders: Cells) -> None:
        """Hugepages of which a cell holds one or several."""
        page_order = self.guest.page_order
        for i in range(start >> page_order, (end - 1 >> page_order) + 1):
            folios = self.guest.hugepage_folios(i << page_order)
            new = NOTHING if folios is None else min(order for order, number in folios.items() if number)
            old = int(self._smallest[i])
            if new == old:
                continue
            cell = i >> self.order - page_order
            held = self._held[cell]
            held[new] += 1
            held[old] -= 1  # NOTHING is above all orders: whatever is counted there changes no minimum
            self._smallest[i] = new
            orders[cell] = min((order for order, number in held.items() if number > 0), default=NOTHING)

    def _large_hugepage(self, first: int, start: int, end: int, orders: Cells) -> tuple[int, int]:
        """A hugepage of several cells: returns the bounds of those that may have changed."""
        folios = self.guest.hugepage_folios(first)
        low, high = first, first + (1 << self.guest.page_order)
        if folios is None or len(folios) == 1:
            value = NOTHING if folios is None else next(iter(folios))
            cells = low >> self.order, self._after(high)
            orders[slice(*cells)] = value
            return cells
        start, end = max(start, low), min(end, high)
        before = int(orders[start >> self.order : self._after(end)].max())
        now = {order for _, _, order in self.guest.folio_runs(start, end)}
        block = max(self.order, *now, self.guest.page_order if before == NOTHING else before)
        low, high = start >> block << block, (end - 1 >> block) + 1 << block
        cells = low >> self.order, self._after(high)
        if block == self.order and high - low == 1 << block:
            orders[cells[0]] = 0 if 0 in now else self._smallest_within(low, high)
            return cells
        orders[slice(*cells)] = NOTHING
        for index, number, order in self.guest.folio_runs(low, high):
            run = slice(max(index, low) >> self.order, self._after(min(index + (number << order), high)))
            np.minimum(orders[run], order, out=orders[run])
        return cells

    def _smallest_within(self, low: int, high: int) -> int:
        smallest = NOTHING
        for _, _, order in self.guest.folio_runs(low, high):
            if not order:
                return 0
            smallest = min(smallest, order)
        return smallest
