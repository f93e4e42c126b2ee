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

Sampling is the hot path of a run of a million conversions.  Samples and events are rows of integers
(:mod:`gmemsim.results.rows`); a sample that equals the one before it is not stored, since a step function loses
nothing by that.  What tells events apart in words is kept once for all events that share it.  Everything else (columns,
peaks, :class:`Event` objects) is made when asked for.

A timeline may be told how many events to keep.  When there are more, every second one goes, and of the samples that
belong to an event left and to those before it that went, the highest total and the last stay.  The highest sample of
every account and its event always stay, so peaks are as exact as without.  :attr:`Events.dropped` and
:attr:`Timeline.dropped_samples` say how many went.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, overload

from gmemsim.host.work import COUNTERS, Counts, Work
from gmemsim.results.event import NONE as NONE
from gmemsim.results.event import Event as Event
from gmemsim.results.event import Label as Label
from gmemsim.results.event import Peak as Peak
from gmemsim.results.rows import ITEM, Rows
from gmemsim.results.rows import Column as Column

if TYPE_CHECKING:  # imported where it is used: a run needs none, and a small one should not wait for it
    import numpy as np
    import numpy.typing as npt

TOTAL = "total"
"""The name of the sum over all accounts, in columns and among peaks."""

_TIME: Final = 0
_OWNER: Final = 1
_HEAD: Final = 2
"""A row starts with its time and the index of the event it belongs to; the values start here."""

_VALUES: Final = _HEAD * ITEM
"""Where the values of a packed row start, in bytes."""

LEAST_KEPT: Final = 100
"""The fewest events that a timeline may keep: peaks and their events are among them."""

ROW: Final = ("time_ns", "step", "label", "offset", "size", "error_offset")
"""The columns of an event's row; the counters of its work follow."""


class Events(Sequence[Event]):
    """The events of a run, in order.

    Each is a row until somebody asks for it: so ``events[i]`` makes an :class:`Event` (the latest is made once), and
    :meth:`times`, :meth:`labels`, :meth:`work` and :meth:`works` read all without making any.
    """

    __slots__ = ("_labels", "_latest", "_numbers", "_rows", "_totals", "dropped", "number")

    def __init__(self) -> None:
        self.number = 0
        """How many there are, as ``len`` says."""
        self.dropped = 0
        """How many have been recorded and dropped again."""
        self._rows = Rows(len(ROW) + len(COUNTERS), running=len(COUNTERS))
        self._labels: list[Label] = []
        self._numbers: dict[tuple[object, ...], int] = {}
        self._latest: Event | None = None
        self._totals: Counts = (0,) * len(COUNTERS)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        """One event, or a list of those in a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place < len(self) - 1:
            return self._made(self._rows.row(place))
        if self._latest is None:
            self._latest = self._made(self._rows.row(place))
        return self._latest

    def __iter__(self) -> Iterator[Event]:
        return map(self._made, self._rows.rows())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events | list):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{len(self)} events>"

    def times(self) -> Column:
        """``time_ns`` of every event."""
        return self._rows.column(0)

    def work(self, counter: str) -> Column:
        """One ``counter`` of what every event made the host do; see :class:`~gmemsim.host.work.Work`."""
        return self._rows.column(len(ROW) + COUNTERS.index(counter))

    def works(self) -> npt.NDArray[np.int64]:
        """What every event made the host do, a row each, by counter in the order of ``COUNTERS``."""
        return self._rows.table(*range(len(ROW), self._rows.width))

    def labels(self) -> tuple[Sequence[Label], Column]:
        """The labels that there are, and which of them every event has: few for many events."""
        return self._labels, self._rows.column(ROW.index("label"))

    def rows(self, start: int = 0) -> Iterator[tuple[Label, list[int]]]:
        """The events from number ``start`` on (default: 0, all) as label and row: see :data:`ROW`."""
        labels = self._labels
        for row in self._rows.rows(start):
            yield labels[row[2]], row

    def append(self, event: Event) -> None:
        """Record ``event``."""
        label = Label(event.id, event.kind, event.guest, event.detail, event.errno, event.work is not None)
        if event.work is not None:
            pairs = zip(self._totals, event.work.counts(), strict=True)
            self._totals = tuple([total + count for total, count in pairs])
        optional = (event.offset, event.size, event.error_offset)
        offset, size, error_offset = (NONE if value is None else value for value in optional)
        self.record(event.time_ns, event.step, label, offset, size, error_offset, self._totals)
        self._latest = event

    def record(
        self,
        time_ns: int,
        step: int,
        label: tuple[str | None, str, str | None, str, str | None, bool],
        offset: int,
        size: int,
        error_offset: int,
        totals: Counts,
    ) -> None:
        """Record an event by the parts of its :data:`ROW`: ``time_ns``, ``step``, ``offset``, ``size``,
        ``error_offset``.

        Offsets and size are in bytes, :data:`NONE` where it has none.  ``label`` are the fields of its :class:`Label`,
        ``totals`` the counters of work up to and with it.
        """
        number = self._numbers.get(label)
        if number is None:
            number = len(self._labels)
            self._labels.append(Label(*label))
            self._numbers[self._labels[number]] = number
        self._latest = None
        self._totals = totals
        self.number += 1
        rows = self._rows
        rows.append(rows.pack(time_ns, step, number, offset, size, error_offset, *totals))

    def keep(self, chosen: Column) -> None:
        """Drop all events but those whose numbers are ``chosen``, which ascend.  O(events)."""
        self._rows.keep(chosen)
        self._latest = None
        self.dropped += self.number - len(chosen)
        self.number = len(chosen)

    def _made(self, row: list[int]) -> Event:
        time_ns, step, number, offset, size, error_offset, *counts = row
        label = self._labels[number]
        return Event(
            time_ns,
            step,
            label.id,
            label.kind,
            label.guest,
            None if offset == NONE else offset,
            None if size == NONE else size,
            label.detail,
            label.errno,
            None if error_offset == NONE else error_offset,
            Work.of(tuple(counts)) if label.works else None,
        )


class Timeline:
    """Samples and events of one run, over the given accounts and folio orders.

    ``accounts`` names the columns of live bytes, ``orders`` those of folio counts (``"4K"``, ``"2M"``, …).  ``keep`` is
    how many events stay, and about twice as many samples (default: all); ``ValueError`` below :data:`LEAST_KEPT`.
    """

    __slots__ = (
        *("_folios", "_keep", "_last", "_rows", "_time"),
        *("accounts", "dropped_samples", "end_ns", "events", "orders"),
    )

    def __init__(self, accounts: Sequence[str], orders: Sequence[str], *, keep: int | None = None) -> None:
        if keep is not None and keep < LEAST_KEPT:
            raise ValueError(f"keep is {keep}, expected at least {LEAST_KEPT}")
        self.accounts = tuple(accounts)
        self.orders = tuple(orders)
        self.events = Events()
        self.end_ns = 0
        self.dropped_samples = 0
        """Samples that were stored and dropped again."""
        self._keep = sys.maxsize if keep is None else keep
        self._last = b""  # the values of the last sample, packed
        self._time = 0
        self._folios = len(self.orders)
        self._rows = Rows(_HEAD + len(self.accounts) + self._folios)

    def __len__(self) -> int:
        """The number of samples stored."""
        return len(self._rows)

    def sample(
        self, time_ns: int, live_bytes: Sequence[int], folios: Sequence[int], highest: Sequence[int] | None = None
    ) -> None:
        """Record that from ``time_ns`` on the accounts hold ``live_bytes`` and there are so many ``folios``.

        Both follow the order given at construction, and so does ``highest``: what the accounts held when the total was
        highest since the last sample, if it was above what it is now (default: it was not).  ``ValueError`` if there
        are too many or too few numbers, or if time goes backwards.  O(1), about a microsecond.
        """
        if time_ns < self._time or len(live_bytes) != len(self.accounts) or len(folios) != self._folios:
            raise ValueError(self._complaint(time_ns, live_bytes, folios))
        if self.events.number >= self._keep and self._last:
            self._thin()
        rows, number = self._rows, self.events.number
        for held in (live_bytes,) if highest is None else (highest, live_bytes):
            row = rows.pack(time_ns, number, *held, *folios)
            values = row[_VALUES:]
            if values != self._last:
                self._time = time_ns
                self._last = values
                rows.append(row)

    def event(self, event: Event) -> None:
        """Record that ``event``, a step that was carried out, has happened; its samples have been taken before."""
        self.events.append(event)

    def end(self, time_ns: int) -> None:
        """The last sample holds until ``time_ns``, the end of the run; ``ValueError`` if that has passed."""
        latest = max(self._time, self.events[-1].time_ns if self.events else 0)
        if time_ns < latest:
            raise ValueError(f"the run cannot end at {time_ns} ns: something happened at {latest} ns")
        self.end_ns = time_ns

    def times(self) -> Column:
        """``time_ns`` of every sample."""
        return self._rows.column(_TIME)

    def column(self, name: str) -> Column:
        """The column ``name`` of :meth:`columns`, without the others: an account, or ``folios.ORDER``.

        ``ValueError`` if it is neither.
        """
        names = [*self.accounts, *(f"folios.{order}" for order in self.orders)]
        return self._rows.column(_HEAD + names.index(name))

    def columns(self) -> Mapping[str, Column]:
        """The samples as columns of int64: ``time_ns``, every account, :data:`TOTAL`, ``folios.ORDER``.

        Accounts and their total are live bytes, folios are counts.  All but the total are views of one copy.
        """
        import numpy as np

        table = self._rows.table()
        folios = _HEAD + len(self.accounts)
        named = {"time_ns": table[:, _TIME]}
        named.update((name, table[:, i]) for i, name in enumerate(self.accounts, _HEAD))
        named[TOTAL] = table[:, _HEAD:folios].sum(axis=1, dtype=np.int64)
        named.update((f"folios.{order}", table[:, i]) for i, order in enumerate(self.orders, folios))
        return named

    def samples(self) -> Iterator[tuple[int, list[int]]]:
        """The samples one by one: the index of the event that each belongs to, and time, accounts and folios."""
        for time_ns, owner, *values in self._rows.rows():
            yield owner, [time_ns, *values]

    def latest(self, number: int) -> list[tuple[int, list[int]]]:
        """The last ``number`` samples: time (ns), and bytes by account.  O(number)."""
        first, after = len(self) - number, _HEAD + len(self.accounts)
        rows = [self._rows.row(i) for i in range(max(first, 0), len(self))]
        return [(row[_TIME], row[_HEAD:after]) for row in rows]

    def owners(self) -> Column:
        """For every sample the index of the event it belongs to; the number of events where there is none."""
        return self._rows.column(_OWNER)

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

    def _thin(self) -> None:
        """Drop every second event, and the samples that are neither highest nor last of those around an event left."""
        import numpy as np

        table, number = self._rows.table(), self.events.number
        totals = table[:, _HEAD : _HEAD + len(self.accounts)].sum(axis=1)
        accounts = table[:, _HEAD : _HEAD + len(self.accounts)]
        peaks = np.append(accounts.argmax(axis=0), totals.argmax())
        causes = table[peaks, _OWNER]
        events = np.unique(np.concatenate([np.arange(1, number, 2), [number - 1], causes[causes < number]]))
        owners = np.searchsorted(events, table[:, _OWNER])  # of a sample whose event goes: the next that stays
        ends = np.append(np.flatnonzero(np.diff(owners)), len(owners) - 1)
        by_height = np.lexsort((-totals, owners))  # stable: of equal totals the first
        highest = by_height[np.append(0, ends[:-1] + 1)]
        samples = np.unique(np.concatenate([ends, highest, peaks, [0]]))
        self._rows.keep(samples, (_OWNER, owners[samples]))
        self.events.keep(events)
        self.dropped_samples += len(table) - len(samples)

    def _complaint(self, time_ns: int, live_bytes: Sequence[int], folios: Sequence[int]) -> str:
        if len(live_bytes) != len(self.accounts) or len(folios) != len(self.orders):
            return (
                f"a sample needs {len(self.accounts)} accounts and {len(self.orders)} orders,"
                f" got {len(live_bytes)} and {len(folios)}"
            )
        return f"time goes backwards: a sample at {time_ns} ns after one at {self._time} ns"
