# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run leaves behind: columns of samples, a list of events, and where the peaks were.

Theory of operation
-------------------
A run takes *samples* (how many bytes every account holds and how many folios of every order exist) and
records *events* (the steps it carried out).  A sample stays true until the next one: the columns are step
functions of simulated time ("step-post").

A step takes its samples first and is recorded last, when it is known how it ended.  So a sample belongs to
the next event recorded, and that event is the cause of a peak found in it.  Samples after the last event
(deferred frees at the end of a run) have no cause.  Two samples may carry the same time: the highest instant
inside a step, then what was left after it.

Sampling is the hot path of a run of a million conversions.  A sample is one row in one flat ``array('q')``; a
row that equals the one before it is not stored, since a step function loses nothing by that.  Everything else
(columns, peaks) is computed from the array when asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gmemsim.host.work import Work

Column = npt.NDArray[np.int64]

TOTAL = "total"
"""The name of the sum over all accounts, in columns and among peaks."""

_TIME, _OWNER, _HEAD = 0, 1, 2
"""A row starts with its time and the index of the event it belongs to; the values start at 2."""


@attrs.frozen
class Event:
    """One step that was carried out, successfully or not.

    ``time_ns`` is the simulated time of the step; ``step`` counts the steps of the run from 0; ``id`` is the
    step's name in the scenario; ``kind`` is the step's key there (``"convert"``, ``"allocate"``, …);
    ``offset`` and ``size`` are bytes in the guest's memory; ``detail`` is what else tells it apart (``"to
    shared"``).  For a step that failed, ``errno`` is the errno's name and ``error_offset`` the byte at which
    it stopped, where the call has one. ``work`` is what it made the host do.
    """

    time_ns: int
    step: int
    id: str | None
    kind: str
    guest: str | None = None
    offset: int | None = None
    size: int | None = None
    detail: str = ""
    errno: str | None = None
    error_offset: int | None = None
    work: Work | None = None


@attrs.frozen
class Peak:
    """The highest ``value`` of an account (bytes), the time it was first reached, and the index of its event.

    ``event`` is ``None`` where no step caused it: before the first sample, or after the last event.
    """

    value: int
    time_ns: int
    event: int | None


class Timeline:
    """Samples and events of one run, over the given accounts and folio orders.

    ``accounts`` names the columns of live bytes, ``orders`` those of folio counts (``"4K"``, ``"2M"``, …).
    """

    __slots__ = ("_last", "_rows", "_time", "_width", "accounts", "end_ns", "events", "orders")

    def __init__(self, accounts: Sequence[str], orders: Sequence[str]) -> None:
        self.accounts = tuple(accounts)
        self.orders = tuple(orders)
        self.events: list[Event] = []
        self.end_ns = 0
        self._rows = array("q")
        self._last: list[int] = []
        self._time = 0
        self._width = _HEAD + len(self.accounts) + len(self.orders)

    def __len__(self) -> int:
        """The number of samples stored."""
        return len(self._rows) // self._width

    def sample(self, time_ns: int, live_bytes: Sequence[int], folios: Sequence[int]) -> None:
        """Record that from ``time_ns`` on the accounts hold ``live_bytes`` and there are so many ``folios``.

        Both follow the order given at construction.  ``ValueError`` if there are too many or too few numbers,
        or if time goes backwards.  O(1), about a microsecond.
        """
        if time_ns < self._time or len(live_bytes) != len(self.accounts) or len(folios) != len(self.orders):
            raise ValueError(self._complaint(time_ns, live_bytes, folios))
        values = [*live_bytes, *folios]
        if values == self._last:
            return
        self._time = time_ns
        self._last = values
        self._rows.fromlist([time_ns, len(self.events), *values])

    def event(self, event: Event) -> None:
        """Record that a step was carried out; its samples have been taken before."""
        self.events.append(event)

    def end(self, time_ns: int) -> None:
        """The last sample holds until ``time_ns``, the end of the run; ``ValueError`` if that has passed."""
        latest = max(self._time, self.events[-1].time_ns if self.events else 0)
        if time_ns < latest:
            raise ValueError(f"the run cannot end at {time_ns} ns: something happened at {latest} ns")
        self.end_ns = time_ns

    def columns(self) -> Mapping[str, Column]:
        """The samples as columns of int64: ``time_ns``, every account, :data:`TOTAL`, ``folios.ORDER``.

        Accounts and their total are live bytes, folios are counts.  All but the total are views of one copy.
        """
        table = self._table()
        folios = _HEAD + len(self.accounts)
        named = {"time_ns": table[:, _TIME]}
        named.update((name, table[:, i]) for i, name in enumerate(self.accounts, _HEAD))
        named[TOTAL] = table[:, _HEAD:folios].sum(axis=1, dtype=np.int64)
        named.update((f"folios.{order}", table[:, i]) for i, order in enumerate(self.orders, folios))
        return named

    def owners(self) -> Column:
        """For every sample the index of the event it belongs to; the number of events where there is none."""
        return self._table()[:, _OWNER]

    def peaks(self) -> dict[str, Peak]:
        """The peak of every account and of :data:`TOTAL`, as far as samples show it; empty without samples.

        Inside one step only the instant with the highest total is sampled, so an account's own peak inside a
        step may have been higher: the ledger knows that one.  The peak of the total is exact.
        """
        if not len(self):
            return {}
        columns, owners = self.columns(), self.owners()
        peaks = {}
        for name in (*self.accounts, TOTAL):
            values = columns[name]
            at = int(values.argmax())
            owner = int(owners[at])
            cause = owner if owner < len(self.events) and values[at] else None
            peaks[name] = Peak(int(values[at]), int(columns["time_ns"][at]), cause)
        return peaks

    def _table(self) -> npt.NDArray[np.int64]:
        """A copy of the samples, one row each (a view would forbid further sampling while it lives)."""
        return np.array(self._rows, dtype=np.int64).reshape(-1, self._width)

    def _complaint(self, time_ns: int, live_bytes: Sequence[int], folios: Sequence[int]) -> str:
        if len(live_bytes) != len(self.accounts) or len(folios) != len(self.orders):
            return (
                f"a sample needs {len(self.accounts)} accounts and {len(self.orders)} orders,"
                f" got {len(live_bytes)} and {len(folios)}"
            )
        return f"time goes backwards: a sample at {time_ns} ns after one at {self._time} ns"
