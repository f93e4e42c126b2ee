# SPDX-License-Identifier: GPL-2.0-or-later
"""What each guest holds over time, by account, and what its holdings were made of when they were highest.

Theory of operation
-------------------
A call changes what its own guest holds and nobody else's.  So after every event only that guest is read; its highest
instant inside the call is that of the whole host, which the timeline has sampled, less what the others hold.  Deferred
frees change a guest without an event: how many bytes a call has deferred is noted, and the point at which they come
back is made when that time has passed.

A guest keeps a few thousand points.  When there are more, time and the numbers of events are cut into equal parts, and
of the points that share both the highest and the last stay.  So peaks and what holds between calls are never lost, and
the beginning of a run is as fine as its end, whether it is drawn over time or over steps.  Of many guests
:data:`MOST_GUESTS` are watched, the first of every kind before a second of any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from operator import sub
from typing import TYPE_CHECKING

import numpy as np

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.ledger import Holder
from gmemsim.host.tallies import Tally
from gmemsim.results.recordings import Holding, Holdings, Point, Row
from gmemsim.sim.layout import kinds

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run

POINTS = 4096
"""Points of a guest at most: more than a picture has columns."""

CELLS = 512
"""Parts of time, and of the events, of which two points stay: with both, at most half of the points do."""


class HoldingsRecorder:
    """Collects the :class:`Holdings` of ``run``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._guests = {name: _Guest(run.host.ledger.guest_tallies(name)) for name in kinds(run)}
        self._seen = len(run.timeline)

    def see(self, event: Event) -> None:
        """Look at the guest of ``event``."""
        timeline, ledger = self._run.timeline, self._run.host.ledger
        number, self._seen = len(timeline) - self._seen, len(timeline)
        guest = self._guests.get(event.guest or "")
        if guest is None:
            return
        time_ns, index = event.time_ns, len(timeline.events) - 1
        guest.come_back(time_ns)
        now = peak = guest.read()
        # The last sample is what the call has left: it alone has nothing above that.
        if number > 1:
            inside = [row for sampled, row in timeline.latest(number) if sampled == time_ns]
            if len(inside) > 1:
                rows = zip(max(inside, key=sum), ledger.live_row(), now, strict=True)
                peak = tuple([high - whole + mine for high, whole, mine in rows])
        if event.kind == "convert" and event.errno is None and "shared" in event.detail:
            guest.note_shared(now, event.size or 0)
        if peak is not now:
            guest.add(time_ns, index, peak)
        guest.add(time_ns, index, now)
        guest.note_deferred(time_ns + ledger.rcu_grace)

    def result(self) -> Holdings:
        """What was seen so far."""
        names = [name for name in self._run.guests if name in self._guests]
        found = {name: self._guests[name].result(self._run.now) for name in names}
        return Holdings(found, len(self._run.guests))


class _Guest:
    """One guest: its points, and the frees that it waits for.

    There is a point or two for every call, of which few stay: so they are kept as columns, and made at the end.
    """

    def __init__(self, tallies: Mapping[str, Tally]) -> None:
        self._tallies = [tallies[name] for name in ACCOUNTS]
        self._deferring = [(i, tally) for i, tally in enumerate(self._tallies) if isinstance(tally, Holder)]
        self._last = self.read()
        self._times, self._events, self._rows, self._totals = [0], [-1], [self._last], [sum(self._last)]
        self._peak = Point(0, -1, self._last)
        self._highest = self._totals[0]
        self._waiting: deque[tuple[int, int, Row]] = deque()  # when due, after which event, and what comes back
        self._deferred = [0] * len(self._deferring)  # objects
        self._first_shared: tuple[int, int] | None = None

    def read(self) -> Row:
        """What it holds now."""
        return tuple([tally.live_bytes for tally in self._tallies])

    def add(self, time_ns: int, event: int, row: Row) -> None:
        """A point, if something is different."""
        if row == self._last:
            return
        total = sum(row)
        if total > self._highest:
            self._peak, self._highest = Point(time_ns, event, row), total
        self._last = row
        self._times.append(time_ns)
        self._events.append(event)
        self._rows.append(row)
        self._totals.append(total)
        if len(self._rows) > POINTS:
            self._thin()

    def come_back(self, now: int) -> None:
        """Make the points of deferred frees that were due by ``now``."""
        while self._waiting and self._waiting[0][0] <= now:
            due, event, amount = self._waiting.popleft()
            left = list(self._last)
            for i, (place, tally) in enumerate(self._deferring):
                self._deferred[i] -= amount[i]
                left[place] -= amount[i] * tally.object_bytes
            self.add(due, event, tuple(left))

    def note_deferred(self, due: int) -> None:
        """What the call that has just been looked at has deferred comes back when it is ``due``."""
        now = [tally.deferred for _, tally in self._deferring]
        if now != self._deferred:
            self._waiting.append((due, self._events[-1], tuple(map(sub, now, self._deferred))))
            self._deferred = now

    def note_shared(self, now: Row, size: int) -> None:
        """The first conversion to shared, of ``size`` bytes, has succeeded, after which the guest holds ``now``."""
        if self._first_shared is None:
            self._first_shared = sum(now) - self._totals[-1], size

    def result(self, now: int) -> Holding:
        """What was seen by the time ``now``."""
        self.come_back(now)
        return Holding(tuple(map(Point, self._times, self._events, self._rows)), self._peak, self._first_shared)

    def _thin(self) -> None:
        times, totals = np.array(self._times), np.array(self._totals)
        events = np.maximum.accumulate(np.array(self._events))  # what comes back has an earlier number
        by_time, by_event = ((int(end) // CELLS).bit_length() for end in (times[-1], events[-1]))
        cells = np.stack([times >> by_time, events >> by_event])
        ends = np.append(np.flatnonzero((np.diff(cells) != 0).any(axis=0)), len(times) - 1)
        cell = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
        by_height = np.lexsort((-totals, cell))  # stable: of equal totals the first
        highest = by_height[np.append(0, ends[:-1] + 1)]
        kept = np.unique(np.append(highest, ends)).tolist()
        self._times, self._events, self._rows, self._totals = (
            [column[i] for i in kept] for column in (self._times, self._events, self._rows, self._totals)
        )
