# SPDX-License-Identifier: GPL-2.0-or-later
"""What the timeline does not tell of trees and page tables: nodes by level and how full they are, mappings by size.

Theory of operation
-------------------
A census visits every node that really exists (those that a ``Uniform`` stands for are counted in closed form) and every
range of mappings.  It is taken when a frame begins (:mod:`gmemsim.sim.frames`), when there are a tenth more nodes
than ever before, and at the end.

To look never costs more than :data:`FREE_VISITS` and :data:`VISITS` visits an event.  How long the run will be is not
known, so where censuses are dear they are spread over it like the marks of a slide rule: the next is due when time, or
the number of events, has grown by a part of itself that follows what a census costs.  Whoever draws them has gaps
where the number of nodes has changed since (:mod:`gmemsim.reports.figures.occupancy`): the exact number at every
instant is in the timeline.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gmemsim.results.recordings import Census, CensusRow
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

FREE_VISITS = 1_000_000
"""Visits that every run may have, however short: a second at most."""

DECADES = 7.0
"""The natural logarithm of how many times longer a run may be than when its censuses become dear: a thousand times."""


class CensusRecorder:
    """Collects the :class:`Census` of ``run`` in ``frames`` frames at most (default: :data:`FRAMES`).

    It may visit so many nodes and ranges: ``free_visits`` (default: :data:`FREE_VISITS`), and ``visits`` (default:
    :data:`VISITS`) for each event.
    """

    def __init__(self, run: Run, *, frames: int = FRAMES, visits: int = VISITS, free_visits: int = FREE_VISITS) -> None:
        self._run = run
        self._visits_an_event = visits
        self._free_visits = free_visits
        self._frames = Frames(frames)
        self._visits = 0
        self._last_cost = 0
        self._highest = 0
        self._latest = (0, -1)
        self._frames.begins(0, -1)
        self._kept = [[self._take(0, -1)]]  # by frame: its first row, and its highest

    def see(self, event: Event) -> None:
        """Take a census after ``event``, the latest of the run, if one is due."""
        index = len(self._run.timeline.events) - 1
        fresh = self._frames.begins(event.time_ns, index)
        if fresh:
            self._kept.append([])
            self._thin()
        if fresh or self._many_more(index):
            if not self._affordable(event.time_ns, index):
                return
            self._latest = (event.time_ns, index)
            self._keep(self._kept[-1], self._take(event.time_ns, index))

    def _affordable(self, time_ns: int, index: int) -> bool:
        """Whether the next census may be taken now, so that there is budget for later ones."""
        budget = self._free_visits + self._visits_an_event * index
        if self._visits + self._last_cost > budget:
            return False
        if 2 * FRAMES * self._last_cost <= budget:
            return True
        part = DECADES * self._last_cost / budget
        before, number = self._latest
        return time_ns >= (1 + part) * before or index + 1 >= (1 + part) * (number + 1)

    def _many_more(self, index: int) -> bool:
        """Whether there are a tenth more nodes than ever seen; with many guests not asked at every event."""
        guests = self._run.guests
        if index % (1 + len(guests) // 16):
            return False
        return sum([guest.nodes() for guest in guests.values()]) > RISE * self._highest

    def result(self) -> Census:
        """What was seen so far, and the state now."""
        run = self._run
        now = self._take(run.now, len(run.timeline.events) - 1)
        rows = [row for frame in self._kept for row in frame]
        geometry = run.host.geometry
        orders = (0, geometry.pmd_order, geometry.pud_order)
        slots = next(iter(run.guests.values())).page_cache.chunk.size
        return Census(geometry.page_size, slots, orders, (*rows, now))

    def _take(self, time_ns: int, event: int) -> CensusRow:
        nodes: Counter[int] = Counter()
        slots_used: Counter[int] = Counter()
        guest_leaves: Counter[int] = Counter()
        visits, host_pages = 0, 0
        for guest in self._run.guests.values():
            if guest.closed:
                continue
            levels = guest.census()
            nodes.update(levels.nodes)
            slots_used.update(levels.slots_used)
            leaves, pages = guest.mapped()
            guest_leaves.update(leaves)
            host_pages += pages
            visits += levels.visits + guest.attribute_ranges + 8
        self._visits += visits
        self._last_cost = visits
        self._highest = max(self._highest, nodes.total())
        return CensusRow(time_ns, event, nodes, slots_used, guest_leaves, host_pages)

    def _thin(self) -> None:
        part_of = self._frames.thinned()
        if part_of is None:
            return
        kept: list[list[CensusRow]] = [[] for _ in range(part_of[-1] + 1)]
        for frame, rows in zip(part_of, self._kept, strict=True):
            for row in rows:
                self._keep(kept[frame], row)
        self._kept = kept

    @staticmethod
    def _keep(rows: list[CensusRow], row: CensusRow) -> None:
        """Keep ``row`` in its frame if it is the first there, or the highest so far."""
        if not rows:
            rows.append(row)
        elif row.total > max(kept.total for kept in rows):
            rows[1:] = [row]
