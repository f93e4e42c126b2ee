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
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import attrs

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.tallies import Tally
from gmemsim.sim.layout import kinds

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run

POINTS = 4096
"""Points of a guest at most: more than a picture has columns."""

CELLS = 512
"""Parts of time, and of the events, of which two points stay: with both, at most half of the points do."""

Row = tuple[int, ...]
"""Bytes by account, in the order of ``ACCOUNTS``."""


@attrs.frozen
class Point:
    """From ``time_ns`` on, as event number ``event`` left it, a guest held ``row``.

    Several points may have the same time: the highest instant inside a call, then what was left after it.
    """

    time_ns: int
    event: int
    row: Row

    @property
    def total(self) -> int:
        """Bytes of all accounts."""
        return sum(self.row)


@attrs.frozen
class Holding:
    """What one guest held: its ``points`` in the order of time, and the one at which it held most, ``peak``.

    ``first_shared``: what the guest's first successful conversion to shared changed, in bytes, and the size of its
    range; ``None`` if there was none.
    """

    points: tuple[Point, ...]
    peak: Point
    first_shared: tuple[int, int] | None


@attrs.frozen
class Holdings:
    """The ``guests`` watched, of ``total`` that there are, by name in the scenario's order."""

    guests: dict[str, Holding]
    total: int


class HoldingsRecorder:
    """Collects the :class:`Holdings` of ``run``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._guests = {name: _Guest(run.host.ledger.guest_tallies(name)) for name in kinds(run)}
        self._seen = len(run.timeline)

    def see(self, event: Event) -> None:
        """Look at the guest of ``event``."""
        timeline, index = self._run.timeline, len(self._run.timeline.events) - 1
        samples, self._seen = timeline.latest(len(timeline) - self._seen), len(timeline)
        guest = self._guests.get(event.guest or "")
        if guest is None:
            return
        guest.come_back(event.time_ns)
        now = guest.read()
        whole = self._run.host.ledger.live_row()
        inside = [row for time_ns, row in samples if time_ns == event.time_ns]
        highest = max(inside, key=sum, default=whole)
        peak = tuple(high - all_now + mine for high, all_now, mine in zip(highest, whole, now, strict=True))
        if event.kind == "convert" and event.errno is None and "shared" in event.detail:
            guest.note_shared(sum(now), event.size or 0)
        guest.add(event.time_ns, index, peak)
        guest.add(event.time_ns, index, now)
        guest.note_deferred(event.time_ns + self._run.host.ledger.rcu_grace)

    def result(self) -> Holdings:
        """What was seen so far."""
        names = [name for name in self._run.guests if name in self._guests]
        found = {name: self._guests[name].result(self._run.now) for name in names}
        return Holdings(found, len(self._run.guests))


class _Guest:
    """One guest: its points, and the frees that it waits for."""

    def __init__(self, tallies: Mapping[str, Tally]) -> None:
        self._tallies = [tallies[name] for name in ACCOUNTS]
        self._points = [Point(0, -1, self.read())]
        self._peak = self._points[0]
        self._waiting: deque[tuple[int, int, Row]] = deque()  # when due, after which event, and what comes back
        self._deferred: Row = (0,) * len(self._tallies)
        self._first_shared: tuple[int, int] | None = None

    def read(self) -> Row:
        """What it holds now."""
        return tuple([tally.live_bytes for tally in self._tallies])

    def add(self, time_ns: int, event: int, row: Row) -> None:
        """A point, if something is different."""
        if row == self._points[-1].row:
            return
        point = Point(time_ns, event, row)
        if point.total > self._peak.total:
            self._peak = point
        self._points.append(point)
        if len(self._points) > POINTS:
            self._thin()

    def come_back(self, now: int) -> None:
        """Make the points of deferred frees that were due by ``now``."""
        while self._waiting and self._waiting[0][0] <= now:
            due, event, amount = self._waiting.popleft()
            left = tuple(held - back for held, back in zip(self._points[-1].row, amount, strict=True))
            self._deferred = tuple(waits - back for waits, back in zip(self._deferred, amount, strict=True))
            self.add(due, event, left)

    def note_deferred(self, due: int) -> None:
        """What the call that has just been looked at has deferred comes back when it is ``due``."""
        now = tuple([getattr(tally, "deferred", 0) * tally.object_bytes for tally in self._tallies])
        if now != self._deferred:
            new = tuple(after - before for after, before in zip(now, self._deferred, strict=True))
            self._waiting.append((due, self._points[-1].event, new))
            self._deferred = now

    def note_shared(self, total: int, size: int) -> None:
        """The first conversion to shared has succeeded, after which the guest holds ``total`` bytes."""
        if self._first_shared is None:
            self._first_shared = total - self._points[-1].total, size

    def result(self, now: int) -> Holding:
        """What was seen by the time ``now``."""
        self.come_back(now)
        return Holding(tuple(self._points), self._peak, self._first_shared)

    def _thin(self) -> None:
        events = list(accumulate((point.event for point in self._points), max))  # what comes back has an earlier number
        by_time, by_event = ((end // CELLS).bit_length() for end in (self._points[-1].time_ns, events[-1]))
        cells = [(at.time_ns >> by_time, event >> by_event) for at, event in zip(self._points, events, strict=True)]
        kept: list[Point] = []
        for _, members in groupby(zip(cells, self._points, strict=True), key=itemgetter(0)):
            group = [point for _, point in members]
            highest = max(group, key=lambda point: point.total)
            kept += [highest] if highest is group[-1] else [highest, group[-1]]
        self._points = kept
