# SPDX-License-Identifier: GPL-2.0-or-later
"""What is counted while a log is read: its lines, its events, and why some of them cannot be used.

Theory of operation
-------------------
Every event that is found is used, counted by the reason why it cannot be, or of another process
(:meth:`Tally.check`).  The reasons are constants here; :meth:`Tally.remarks` puts all of it into words.

What may live here: counting, and the words for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from gmemsim.scenario.machine import ABOVE_4G
from gmemsim.units import human_duration

SHOWN_LINES: Final = 5
"""Line numbers that a report names for each reason."""

UNREADABLE, MISALIGNED, EMPTY, OUTSIDE, PAST_END, ATTRIBUTES = (
    "cannot be read",
    "not a multiple of the page size",
    "size 0",
    "outside every slot",
    "past the end of the guest_memfd",
    "attributes other than private",
)
"""Why an event cannot be used."""


Source = tuple[int | None, int]
"""Who made a call: process, if the event names it, and descriptor."""


@attrs.define
class Unusable:
    """How many events (``count``) could not be used for one reason, and the first few of their ``lines``."""

    count: int = 0
    lines: list[int] = attrs.field(factory=list)

    def add(self, line: int) -> None:
        """One more, in ``line`` (from 1) of the log."""
        self.count += 1
        if len(self.lines) < SHOWN_LINES:
            self.lines.append(line)

    def __str__(self) -> str:
        """``12 (lines 3, 5, 8, …)``."""
        listed = ", ".join(map(str, self.lines))
        more = ", …" if self.count > len(self.lines) else ""
        return f"{self.count} ({'line' if self.count == 1 else 'lines'} {listed}{more})"


@attrs.define
class Tally:
    """What a log holds, as far as it has been read: its ``lines``, and how many events were ``usable``.

    ``unusable`` has the others by reason.  ``last`` is the time of the latest event in ns.
    """

    lines: int = 0
    found: int = 0
    """Events found, whatever becomes of them."""
    events: int = 0
    """Events usable or not; those of other processes left out."""
    usable: int = 0
    others: int = 0
    """Lines without an event."""
    other_processes: int = 0
    """Events of processes that were not asked for."""
    stamped: int = 0
    """Events with a timestamp, as far as they can be read."""
    spaced: int = 0
    """Events without one."""
    reordered: int = 0
    """Events whose timestamp goes back by no more than is tolerated."""
    farthest_back: int = 0
    """By how much one goes back at most, in ns."""
    partial: int = 0
    """Calls that failed when they were recorded, used as far as they got."""
    flagged: int = 0
    """Calls with flags, which are not modelled."""
    sources: dict[Source, int] = attrs.field(factory=dict)
    """Who made the calls, as far as they say it, and when the first of each came, in ns."""
    outside: list[tuple[int, int]] = attrs.field(factory=list)
    """Bounds of the events outside every slot, of those that end below 4G and of those that end above."""
    past_end: int = 0
    """Where the farthest event ends that lies in the guest_memfd itself but past its end."""
    truncated: bool = False
    """Whether the file ends inside a line or inside its compression."""
    last: int = 0
    unusable: dict[str, Unusable] = attrs.field(factory=dict)

    def refuse(self, reason: str, line: int) -> None:
        """Count an event in ``line`` (from 1) that cannot be used, under the ``reason``."""
        self.unusable.setdefault(reason, Unusable()).add(line)

    def note_outside(self, start: int, end: int, *, in_file: bool) -> None:
        """Remember that an event's range, bytes ``start`` to ``end``, lies where no slot holds it.

        ``in_file``: the bytes are those of the file, and lie past the end of the guest_memfd.
        """
        if in_file:
            self.past_end = max(self.past_end, end)
            return
        self.outside = self.outside or [(0, 0), (0, 0)]
        above = end > ABOVE_4G
        low, high = self.outside[above]
        self.outside[above] = (min(low, start), max(high, end)) if high else (start, end)

    def check(self) -> None:
        """Every event found is used, or counted by its reason, or of another process."""
        refused = sum(unusable.count for unusable in self.unusable.values())
        assert self.events == self.usable + refused, self
        assert self.found == self.events + self.other_processes, self

    def remarks(self) -> Iterator[str]:
        """What there is to say of the log, a line each."""
        yield f"{self.lines} lines: {self.usable} conversions used, {self.others} lines of other kinds"
        for reason, unusable in self.unusable.items():
            yield f"not used, {reason}: {unusable}"
        if self.other_processes:
            yield f"not used, of other processes: {self.other_processes}"
        if self.partial:
            yield f"failed when recorded, used as far as they got: {self.partial}"
        if self.flagged:
            yield f"with flags, which are not modelled: {self.flagged}"
        if self.reordered:
            back = human_duration(self.farthest_back)
            yield f"times that go back within the tolerance, taken as now: {self.reordered} (by at most {back})"
        if self.spaced:
            yield f"events without a timestamp, which come a spacing apart: {self.spaced}"
        if self.truncated:
            yield "the file ends inside a line"
