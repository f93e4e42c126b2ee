# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as two tables for data frames: its samples and its events; :mod:`csv` and :mod:`parquet` write them.

*Samples*, a row each: the state from ``time_ns`` on, until the next row

    ================  ==========================================================================================
    ``time_ns``       simulated time, nanoseconds
    *ACCOUNT*         bytes that the account holds, one column for every account
    ``total``         the sum of all accounts, bytes
    ``folios.ORDER``  folios of that size, one column for every order
    ================  ==========================================================================================

*Events*, a row each: a step of the workload, in order

    ================  ==========================================================================================
    ``time_ns``       simulated time, nanoseconds
    ``step``          number of the step in the workload, from 0
    ``id``            the step's name in the scenario
    ``kind``          ``convert``, ``allocate``, …
    ``guest``         the guest's name
    ``offset``        first byte in the guest's memory
    ``size``          bytes
    ``detail``        what else tells the step apart: ``to shared``
    ``errno``         how it failed: ``EAGAIN``
    ``error_offset``  the byte at which it stopped
    *COUNTER*         what it made the host do, one column for every counter of ``gmemsim.host.costs.Work``
    ``modelled_ns``   modelled time of the call in nanoseconds, an estimate
    ================  ==========================================================================================

What an event does not have is absent: nothing in CSV, null in Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence

from gmemsim.host.work import COUNTERS
from gmemsim.reports import Reportable
from gmemsim.results.pricing import call_times, profile_of
from gmemsim.results.timeline import NONE

Columns = dict[str, Sequence[object]]

TEXTS = ("id", "kind", "guest", "detail", "errno")
"""Columns of events that hold words."""

NUMBERS = ("time_ns", "step", "offset", "size", "error_offset", *COUNTERS)
"""Columns of events that hold integers."""

TIMES = ("modelled_ns",)
"""Columns of events that hold estimated times."""

EVENT_COLUMNS = (
    *("time_ns", "step", "id", "kind", "guest", "offset", "size", "detail", "errno", "error_offset"),
    *COUNTERS,
    *TIMES,
)


def samples(result: Reportable) -> Columns:
    """The samples by column."""
    return {name: values.tolist() for name, values in result.timeline.columns().items()}


def events(result: Reportable) -> Columns:
    """The events by column."""
    happened = result.timeline.events
    head: list[tuple[object, ...]] = []
    for label, (time_ns, step, _, offset, size, error_offset, *_) in happened.rows():
        places = [None if value == NONE else value for value in (offset, size, error_offset)]
        words = (label.id, label.kind, label.guest, *places[:2], label.detail, label.errno, places[2])
        head.append((time_ns, step, *words))
    named = EVENT_COLUMNS[: -len(COUNTERS) - len(TIMES)]
    columns: Columns = dict(zip(named, zip(*head, strict=True), strict=True) if head else dict.fromkeys(named, ()))
    columns |= zip(COUNTERS, happened.works().T.tolist(), strict=True)
    return columns | {TIMES[0]: call_times(happened, profile_of(result.summary)).tolist()}
