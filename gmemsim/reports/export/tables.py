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

from gmemsim.host.work import COUNTERS, Work
from gmemsim.reports import Reportable
from gmemsim.results.pricing import call_times, profile_of

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
    happened, idle = result.timeline.events, Work()
    columns: Columns = {}
    for name in EVENT_COLUMNS:
        if name in COUNTERS:
            columns[name] = [getattr(event.work or idle, name) for event in happened]
        elif name in TIMES:
            columns[name] = call_times(happened, profile_of(result.summary)).tolist()
        else:
            columns[name] = [getattr(event, name) for event in happened]
    return columns
