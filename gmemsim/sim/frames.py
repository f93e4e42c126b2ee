# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames: a run of unknown length, cut into a bounded number of pieces.

Theory of operation
-------------------
A frame is the events whose time and whose number, both shifted right by some bits, are the same.  In the beginning no
bits are shifted and every event has a frame of its own; when there are too many frames, more bits are shifted until
half as many are left.  Both must agree since either alone would fail: a million events may share one instant, and one
event may follow the others after hours.  Time and number only grow, so frames stay in order, and those that become one
are neighbours.
"""

from __future__ import annotations


class Frames:
    """The frames of a run so far, ``most`` at most: where each begins, in ``times`` (ns) and ``events``.

    The latter are indices of the frames' first events.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.times: list[int] = []
        self.events: list[int] = []
        self._shift = 0

    def __len__(self) -> int:
        return len(self.times)

    def begins(self, time_ns: int, event: int) -> bool:
        """Whether ``event`` (its number), at ``time_ns``, begins a frame, which then exists; otherwise it belongs to
        the last one.
        """
        if self.times and self._key(time_ns, event) == self._key(self.times[-1], self.events[-1]):
            return False
        self.times.append(time_ns)
        self.events.append(event)
        return True

    def thinned(self) -> list[int] | None:
        """If there are too many frames, make them fewer: for every old frame the index of the one it is part of now."""
        if len(self) <= self.most:
            return None
        while True:
            self._shift += 1
            part_of: list[int] = []
            last = None
            for key in map(self._key, self.times, self.events):
                part_of.append(part_of[-1] + (key != last) if part_of else 0)
                last = key
            if part_of[-1] < self.most // 2:
                break
        first = [i for i, frame in enumerate(part_of) if not i or frame != part_of[i - 1]]
        self.times = [self.times[i] for i in first]
        self.events = [self.events[i] for i in first]
        return part_of

    def _key(self, time_ns: int, event: int) -> tuple[int, int]:
        return time_ns >> self._shift, event >> self._shift
