# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guests' memory looks like over time: how much of every piece lies in folios of which size.

Theory of operation
-------------------
A guest's memory is divided into *cells* of a power of two of pages.  A cell knows how many of its pages lie in folios
of each of five classes of sizes (:meth:`~gmemsim.host.geometry.Geometry.size_class`), and whether any of its pages is
shared.  Time is divided into *frames* (:mod:`gmemsim.sim.frames`).  Of a frame in which a guest was called two states
of that guest are kept, each as it was at one instant: the *finest*, in which most of its memory was in small folios,
and the one that was *left* at the frame's end.  So what was split for an instant between two pixels of a picture is
seen, and nothing is shown that did not exist at the same time.

Only what a call can have changed is looked at again.  If that is one cell, the difference of the guest's own count of
folios is the cell's.  Otherwise the folios in the cells that may have changed are walked:

* where a cell holds whole hugepages: the cells of the hugepages that the call touched;
* where a hugepage has several cells: the cells of the folios that touched the range before the call, and of those that
  do now.  Cells and folios are aligned powers of two, so a cell either lies in one folio or holds all its folios.

Of many guests :data:`MOST_WATCHED` are watched and :data:`MOST_GUESTS` are shown: some in which calls failed, then
those of every kind that held most.  Memory is bounded by cells x frames, whatever the run does.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import mul
from typing import TYPE_CHECKING

import numpy as np

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.geometry import Geometry
from gmemsim.results.recordings import CLASSES, Flags, GuestLayout, Layout, Pages
from gmemsim.sim.frames import Frames

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run

NOTHING = 64
"""The "order" of what holds no memory: above every order there is."""

CELLS = 128
"""Cells of all guests that are shown: a few pixels of a figure each."""

LEAST_CELLS = 16
"""Cells that a guest has at least if its memory has so many pages."""

MOST_GUESTS = 8
"""Guests that are shown; there is no room for more in a picture."""

MOST_FAILING = 4
"""Of them those that are shown because calls failed in them: others hold more, and are to be seen too."""

MOST_WATCHED = 64
"""Guests that are watched, so that those that are shown can be chosen at the end."""

FRAMES = 512
"""Frames at most: more than a picture has columns."""

_WEIGHTS = tuple(range(CLASSES, 0, -1))
"""How much a page counts by the class of its folio where the finest state is looked for: small folios count most."""


class LayoutRecorder:
    """Collects the :class:`Layout` of ``run``.

    About ``cells`` cells for all guests that are shown (default: :data:`CELLS`), ``frames`` at most (default:
    :data:`FRAMES`).
    """

    def __init__(self, run: Run, *, cells: int = CELLS, frames: int = FRAMES) -> None:
        watched = kinds(run)
        most = max(LEAST_CELLS, cells // min(len(watched), MOST_GUESTS))
        self._run = run
        self._geometry = run.host.geometry
        self._kinds = watched
        self._guests = {name: _GuestCells(run.guests[name], self._geometry, most) for name in watched}
        self._frames = Frames(frames)
        self._frames.begins(0, -1)
        for guest in self._guests.values():
            guest.begin(0)

    def see(self, event: Event) -> None:
        """Look at what ``event`` may have changed."""
        cells = self._guests.get(event.guest or "")
        if cells is None:
            return
        cells.failed += event.errno is not None
        start, end = 0, cells.guest.pages
        if event.offset is not None and event.size:
            shift = self._geometry.page_shift
            start, end = event.offset >> shift, min(event.offset + event.size >> shift, end)
        if start >= end:
            return
        if self._frames.begins(event.time_ns, len(self._run.timeline.events) - 1):
            part_of = self._frames.thinned()
            if part_of is not None:
                for guest in self._guests.values():
                    guest.thin(part_of)
        cells.begin(len(self._frames) - 1)
        cells.update(start, end)

    def result(self) -> Layout:
        """What was seen so far."""
        times, events = (np.array(column, dtype=np.int64) for column in (self._frames.times, self._frames.events))
        names, differ = self._chosen()
        chosen = tuple(self._guests[name].layout() for name in names)
        idle = sum(not guest.had_memory for guest in self._guests.values())
        return Layout(self._geometry, times, events, chosen, len(self._guests), len(self._run.guests), idle, differ)

    def _chosen(self) -> tuple[Sequence[str], bool]:
        """The guests to show, and whether failures or holdings chose them.

        A few are those in which most calls failed; then the one of every kind that held most, then a
        second of each; what never had memory only where nothing else is there.
        """
        held = {name: self._run.host.ledger.guest_total(name).peak_bytes for name in self._guests}
        place = {name: i for i, name in enumerate(self._run.guests)}
        used = [name for name, guest in self._guests.items() if guest.had_memory or guest.failed]
        few = len(self._run.guests) <= MOST_GUESTS
        ranked = sorted(self._guests if few or not used else used, key=lambda name: (-held[name], place[name]))
        round_of: dict[str, int] = {}
        seen: dict[int, int] = {}
        for name in ranked:
            kind = self._kinds[name]
            round_of[name] = seen[kind] = seen.get(kind, -1) + 1
        failing = sorted(
            (name for name in ranked if self._guests[name].failed), key=lambda name: -self._guests[name].failed
        )
        first = failing[:MOST_FAILING]
        best = [*first, *sorted((name for name in ranked if name not in first), key=round_of.__getitem__)]
        differ = len({(self._kinds[name], held[name], self._guests[name].failed) for name in ranked}) > len(seen)
        return sorted(best[:MOST_GUESTS], key=place.__getitem__), differ


def kinds(run: Run) -> dict[str, int]:
    """The guests of ``run`` to watch, and the kind of each, which is its place in the scenario.

    One of each kind comes before a second of any.
    """
    ranked = [
        (place, kind, name)
        for kind, spec in enumerate(run.scenario.guests)
        for place, name in enumerate(spec.instances)
    ]
    return {name: kind for _, kind, name in sorted(ranked)[:MOST_WATCHED]}


class _Row:
    """Frame number ``frame`` of a guest: its finest state so far, and, once it has ended, the one that was left.

    A state is ``pages`` by cell and class, and which cells are ``shared``; ``fineness`` says how fine it is.
    """

    __slots__ = ("fineness", "finest", "frame", "left", "shared", "shared_left")

    def __init__(self, frame: int, pages: array[int], shared: bytes, fineness: int) -> None:
        self.frame = frame
        self.finest = self.left = pages
        self.shared = self.shared_left = shared
        self.fineness = fineness


class _GuestCells:
    """The cells of one guest, what a call may have changed in them, and its frames.

    Calls come by the million, and each changes a cell or two: so cells are plain numbers, and arrays of numpy's are
    made at the end.
    """

    def __init__(self, guest: GuestMemfd, geometry: Geometry, most: int) -> None:
        self.guest = guest
        self.order = max(0, (-(-guest.pages // most) - 1).bit_length())
        self.number = self._after(guest.pages)
        self.pages = array("i", bytes(4 * CLASSES * self.number))  # by cell, and in it by class
        self.shared = bytearray(self.number)
        self.failed = 0
        self._page_size = geometry.page_size
        self._class = [geometry.size_class(order) for order in range(NOTHING)]
        self._split = guest.page_order > self.order  # whether a hugepage has several cells
        self._inside = bytearray([NOTHING]) * self.number  # then: the order of the folio that a cell lies in
        self._held = [0] * CLASSES  # pages of the whole guest
        self._most = self._held
        self._rows: list[_Row] = []

    @property
    def had_memory(self) -> bool:
        """Whether it had any memory after any call."""
        return any(self._most)

    # -- frames ----------------------------------------------------------------------------------------------------

    def begin(self, frame: int) -> None:
        """What comes belongs to ``frame``: if that is a new one, the row before it is at its end."""
        if self._rows and self._rows[-1].frame == frame:
            return
        self._end()
        self._rows.append(_Row(frame, self.pages[:], bytes(self.shared), self._fineness()))

    def _end(self) -> None:
        if self._rows:
            self._rows[-1].left, self._rows[-1].shared_left = self.pages[:], bytes(self.shared)

    def thin(self, part_of: Sequence[int]) -> None:
        """Frames have become parts of others: frame *i* of ``part_of[i]``."""
        self._end()
        merged: list[_Row] = []
        for row in self._rows:
            row.frame = part_of[row.frame]
            if not merged or merged[-1].frame != row.frame:
                merged.append(row)
                continue
            last = merged[-1]
            if row.fineness > last.fineness:
                last.finest, last.shared, last.fineness = row.finest, row.shared, row.fineness
            last.left, last.shared_left = row.left, row.shared_left
        self._rows = merged

    def layout(self) -> GuestLayout:
        """What was seen so far."""
        self._end()
        rows = self._rows
        size, cell = (pages * self._page_size for pages in (self.guest.pages, 1 << self.order))
        return GuestLayout(
            self.guest.name,
            size,
            cell,
            np.array([row.frame for row in rows], dtype=np.int64),
            self._pages_of([row.finest for row in rows]),
            self._pages_of([row.left for row in rows]),
            self._flags_of([row.shared for row in rows]),
            self._flags_of([row.shared_left for row in rows]),
            np.array([row.fineness for row in rows], dtype=np.int64),
            np.array(self._most, dtype=np.int64),
            self.failed,
        )

    def _pages_of(self, states: Sequence[array[int]]) -> Pages:
        return np.array(states, dtype=np.int32).reshape(len(states), self.number, CLASSES)

    def _flags_of(self, states: Sequence[bytes]) -> Flags:
        return np.array([np.frombuffer(state, dtype=np.bool_) for state in states])

    def _fineness(self) -> int:
        return sum(map(mul, self._held, _WEIGHTS))

    # -- cells -----------------------------------------------------------------------------------------------------

    def update(self, start: int, end: int) -> None:
        """Bring the cells up to date after a call on pages ``start`` to ``end``."""
        if self.guest.closed:
            self._empty(0, self.number)
            self.shared = bytearray(self.number)
            self._held = [0] * CLASSES
            return
        for cell in range(start >> self.order, self._after(end)):
            self.shared[cell] = not self.guest.all_private(*self._bounds(cell))
        held = [0] * CLASSES
        for order, number in self.guest.folios.items():
            held[self._class[order]] += number << order
        low, high = self._affected(start, end)
        if high - low == 1:
            first = CLASSES * low
            for kind in range(CLASSES):
                self.pages[first + kind] += held[kind] - self._held[kind]
        elif high > low:
            self._walk(low, high)
        if held == self._held:
            return
        self._held, self._most = held, list(map(max, self._most, held))
        row, fineness = self._rows[-1], self._fineness()
        if fineness > row.fineness:
            row.finest, row.shared, row.fineness = self.pages[:], bytes(self.shared), fineness

    def _empty(self, low: int, high: int) -> None:
        """No folio lies in the cells from ``low`` to ``high``."""
        self.pages[CLASSES * low : CLASSES * high] = array("i", bytes(4 * CLASSES * (high - low)))
        self._inside[low:high] = bytes([NOTHING]) * (high - low)

    def _after(self, page: int) -> int:
        """The cell after the one that holds the page before ``page``."""
        return (page - 1 >> self.order) + 1

    def _bounds(self, cell: int) -> tuple[int, int]:
        return cell << self.order, min(cell + 1 << self.order, self.guest.pages)

    def _affected(self, start: int, end: int) -> tuple[int, int]:
        """Bounds of the cells that may have changed."""
        page_order = self.guest.page_order
        first, after = start >> page_order, (end - 1 >> page_order) + 1
        if not self._split:
            return first << page_order >> self.order, self._after(min(after << page_order, self.guest.pages))
        low, high = self.number, 0
        for hugepage in range(first, after):
            bounds = self._of_hugepage(hugepage << page_order, start, end)
            if bounds is not None:
                low, high = min(low, bounds[0]), max(high, bounds[1])
        return low, high

    def _of_hugepage(self, first: int, start: int, end: int) -> tuple[int, int] | None:
        """The same within the hugepage that begins at page ``first`` and has several cells."""
        folios = self.guest.hugepage_folios(first)
        low, high = first, first + (1 << self.guest.page_order)
        cells = low >> self.order, self._after(high)
        if folios is None or len(folios) == 1:
            value = NOTHING if folios is None else max(next(iter(folios)), self.order)
            inside = bytes([value]) * (cells[1] - cells[0])
            if value > self.order and self._inside[slice(*cells)] == inside:
                return None  # as it was
            self._inside[slice(*cells)] = inside
            return cells
        start, end = max(start, low), min(end, high)
        before = max(self._inside[start >> self.order : self._after(end)])
        now = {order for _, _, order in self.guest.folio_runs(start, end)}
        block = max(self.order, *now, self.guest.page_order if before == NOTHING else before)
        low, high = start >> block << block, (end - 1 >> block) + 1 << block
        return low >> self.order, self._after(high)

    def _walk(self, low: int, high: int) -> None:
        """Count the cells from ``low`` to ``high`` anew, from their folios."""
        start, end = low << self.order, self._bounds(high - 1)[1]
        self._empty(low, high)
        pages = self.pages
        for index, number, order in self.guest.folio_runs(start, end):
            first, after = max(index, start), min(index + (number << order), end)
            kind, cell = self._class[order], first >> self.order
            if self._split:
                cells = self._after(after) - cell
                self._inside[cell : cell + cells] = bytes([max(order, self.order)]) * cells
            while first < after:
                upto = min(after, cell + 1 << self.order)
                pages[CLASSES * cell + kind] += upto - first
                first, cell = upto, cell + 1
