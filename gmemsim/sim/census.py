# SPDX-License-Identifier: GPL-2.0-or-later
"""What the timeline does not tell of trees and page tables: nodes by level and how full they are, mappings by size.

Theory of operation
-------------------
A census visits every node that really exists (those that a ``Uniform`` stands for are counted in closed form) and every
range of mappings.  It is taken when a frame begins (:mod:`gmemsim.sim.frames`), when there are a tenth more nodes
than ever before, and at the end.  To look never costs more than :data:`VISITS` visits an event: what would cost more is
skipped, so rows are fewer in runs with large trees.  The exact number of nodes at every instant is in the timeline.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from gmemsim.sim.frames import Frames

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run

FRAMES = 512
"""Frames at most: more than a picture has columns."""

VISITS = 10
"""Nodes and ranges visited for each event of a run, on average: some ten microseconds."""

RISE = 1.1
"""So many times the nodes ever seen are worth a look in the middle of a frame."""

FREE_VISITS = 100_000
"""Visits that every run may have, however short."""


@attrs.frozen
class Row:
    """All filemaps and page tables at one instant, after event number ``event`` (-1: before the first).

    ``nodes`` and ``slots_used`` are XArray nodes and their slots in use by the shift of the node; ``guest_leaves`` the
    leaves of the guests' second-stage tables by order; ``host_pages`` the base pages that host processes have mapped.
    """

    time_ns: int
    event: int
    nodes: Counter[int]
    slots_used: Counter[int]
    guest_leaves: Counter[int]
    host_pages: int

    @property
    def total(self) -> int:
        """Nodes of all levels."""
        return self.nodes.total()


@attrs.frozen
class Census:
    """Rows in the order of time; a node has ``slots`` slots; ``orders`` are those that leaves may have."""

    page_size: int
    slots: int
    orders: tuple[int, ...]
    rows: tuple[Row, ...]


class CensusObserver:
    """Collects a :class:`Census` while a run goes on."""

    def __init__(self, *, frames: int = FRAMES) -> None:
        self._frames = Frames(frames)
        self._kept: list[list[Row]] = []  # by frame: its first row, and its highest
        self._visits = 0
        self._last_cost = 0
        self._highest = 0
        self._run: Run | None = None

    def begun(self, run: Run) -> None:
        """Take the first census."""
        self._run = run
        self._frames.begins(0, -1)
        self._kept.append([self._take(run, 0, -1)])

    def stepped(self, run: Run, event: Event) -> None:
        """Take a census if it is due."""
        index = len(run.timeline.events) - 1
        fresh = self._frames.begins(event.time_ns, index)
        if fresh:
            self._kept.append([])
            self._thin()
        if fresh or self._many_more(run, index):
            if self._visits + self._last_cost > FREE_VISITS + VISITS * index:
                return
            self._keep(self._kept[-1], self._take(run, event.time_ns, index))

    def _many_more(self, run: Run, index: int) -> bool:
        """Whether there are a tenth more nodes than ever seen; with many guests not asked at every event."""
        if index % (1 + len(run.guests) // 16):
            return False
        return sum(guest.nodes() for guest, _ in run.guests.values()) > RISE * self._highest

    def census(self) -> Census:
        """What was seen so far, and the state now."""
        assert self._run is not None, "the run has not begun"
        run = self._run
        now = self._take(run, run.now, len(run.timeline.events) - 1)
        rows = [row for frame in self._kept for row in frame]
        geometry = run.host.geometry
        orders = (0, geometry.pmd_order, geometry.pud_order)
        chunk = next(guest.inode.filemap.tree.chunk for guest, _ in run.guests.values())
        return Census(geometry.page_size, chunk.size, orders, (*rows, now))

    def _take(self, run: Run, time_ns: int, event: int) -> Row:
        row = Row(time_ns, event, Counter(), Counter(), Counter(), 0)
        visits, host_pages = 0, 0
        geometry = run.host.geometry
        for guest, _ in run.guests.values():
            if guest.closed:
                continue
            levels = guest.inode.filemap.tree.levels()
            row.nodes.update(levels.nodes)
            row.slots_used.update(levels.slots_used)
            visits += levels.visits
            for order in (0, geometry.pmd_order, geometry.pud_order):
                row.guest_leaves[order] += guest.inode.stage2.mapped_pages(order, 0, guest.pages) >> order
            host_pages += guest.inode.host_mapped.pages(0, guest.pages)
            visits += guest.attribute_ranges + 8
        self._visits += visits
        self._last_cost = visits
        self._highest = max(self._highest, row.total)
        return attrs.evolve(row, host_pages=host_pages)

    def _thin(self) -> None:
        part_of = self._frames.thinned()
        if part_of is None:
            return
        kept: list[list[Row]] = [[] for _ in range(part_of[-1] + 1)]
        for frame, rows in zip(part_of, self._kept, strict=True):
            for row in rows:
                self._keep(kept[frame], row)
        self._kept = kept

    @staticmethod
    def _keep(rows: list[Row], row: Row) -> None:
        """Keep ``row`` in its frame if it is the first there, or the highest so far."""
        if not rows:
            rows.append(row)
        elif row.total > max(kept.total for kept in rows):
            rows[1:] = [row]
