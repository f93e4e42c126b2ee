# SPDX-License-Identifier: GPL-2.0-or-later
"""What every event of a run took: modelled times by phase, as one array.

Every figure here is an **estimate**: counted work times the prices of a cost profile (:mod:`gmemsim.host.costs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gmemsim.host.costs import PROFILES, CostProfile
from gmemsim.host.work import COUNTERS, PHASES, Work
from gmemsim.results.timeline import Column, Event, Events

Times = npt.NDArray[np.float64]

PHASE_NAMES: tuple[str, ...] = tuple(dict.fromkeys(PHASES.values()))
"""The phases of a call, the columns of :func:`phase_times`."""


def profile_of(summary: Mapping[str, Any]) -> CostProfile:
    """The profile that priced the run of this ``summary``, the user's own prices included."""
    told = summary["estimates"]["modelled_time_ns"]
    return PROFILES[told["profile"]].with_prices(told.get("prices", {}))


def phase_times(events: Sequence[Event], profile: CostProfile) -> Times:
    """Modelled ns of ``events`` under ``profile``, one row each, by phase in the order of :data:`PHASE_NAMES`.

    An event without work (a wait, an injection) took 0.
    """
    prices = np.zeros((len(COUNTERS), len(PHASE_NAMES)))
    for row, counter in enumerate(COUNTERS):
        prices[row, PHASE_NAMES.index(PHASES[counter])] = profile.ns(counter)
    times: Times = np.matmul(_works(events).astype(np.float64), prices)
    return times


def call_times(events: Sequence[Event], profile: CostProfile) -> Times:
    """Modelled ns of ``events`` under ``profile``, all phases together."""
    times: Times = phase_times(events, profile).sum(axis=1)
    return times


def _works(events: Sequence[Event]) -> Column:
    """The counters of every event, a row each; zeros for one without work."""
    if type(events) is Events:  # compiled, it is an abstract class to isinstance(), which takes every sequence for it
        return events.works()
    idle = Work()
    works = [(event.work or idle).counts() for event in events]
    return np.array(works, dtype=np.int64).reshape(len(events), len(COUNTERS))
