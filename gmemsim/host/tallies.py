# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects counted: live now, at the highest, taken and given back.  Only the ledger changes them.

What may live here: plain counters.  When a peak is noted is told in :mod:`gmemsim.host.ledger`.
"""

from __future__ import annotations


class Counts:
    """Objects live now, at the highest, taken and given back since the start."""

    __slots__ = ("_noted_peak", "freed", "live")

    def __init__(self) -> None:
        self.live = 0
        self.freed = 0
        self._noted_peak = 0

    @property
    def peak(self) -> int:
        """The most objects that have been live at once, within operations too."""
        return max(self._noted_peak, self.live)

    @property
    def allocated(self) -> int:
        """Objects taken since the start."""
        return self.live + self.freed


class Tally(Counts):
    """Objects of one size, ``object_bytes``."""

    __slots__ = ("object_bytes",)

    def __init__(self, object_bytes: int) -> None:
        super().__init__()
        self.object_bytes = object_bytes

    @property
    def live_bytes(self) -> int:
        """Bytes in the live objects."""
        return self.live * self.object_bytes

    @property
    def peak_bytes(self) -> int:
        """The highest ``live_bytes`` has been."""
        return self.peak * self.object_bytes


class Total(Counts):
    """The sum of tallies of different object sizes; its peaks are peaks of the sum, not sums of peaks."""

    __slots__ = ("_noted_peak_bytes", "live_bytes")

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = 0
        self._noted_peak_bytes = 0

    @property
    def peak_bytes(self) -> int:
        """The most bytes that have been live at once."""
        return max(self._noted_peak_bytes, self.live_bytes)
