# SPDX-License-Identifier: GPL-2.0-or-later
"""What each step of a workload does to a guest, and the words that tell it apart in the timeline.

A step that calls a guest is one row of :data:`CALLS`.  Steps that are no calls (``wait``, ``inject``) and those that
become several calls are the run's own (:mod:`gmemsim.sim.run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gmemsim.scenario import model
from gmemsim.scenario.model import GuestStep

CALLS: Mapping[type[GuestStep], Callable[..., None]] = MappingProxyType(
    {
        model.Convert: lambda guest, step, offset, size: guest.set_attributes(offset, size, step.to == "private"),
        model.Allocate: lambda guest, step, offset, size: guest.allocate(offset, size),
        model.FaultIn: lambda guest, step, offset, size: guest.fault(offset, size, by=step.by),
        model.Pin: lambda guest, step, offset, size: guest.pin(offset, size, pages=step.pages),
        model.Unpin: lambda guest, step, offset, size: guest.unpin(offset, size, pages=step.pages),
        model.PunchHole: lambda guest, step, offset, size: guest.punch_hole(offset, size),
        model.Poison: lambda guest, step, offset, size: guest.poison(step.offset),
        model.Close: lambda guest, step, offset, size: guest.close(),
    }
)
"""What each step calls with its guest, itself, offset and bytes of its range; the calls raise ``KernelError``."""


_TO: Mapping[model.State, str] = MappingProxyType({"shared": "to shared", "private": "to private"})
"""What a conversion is told apart by: made once, since all that is asked of most steps is this."""


def detail(step: GuestStep) -> str:
    """What tells ``step`` apart from others of its kind on the same range, in words; empty if nothing does."""
    match step:
        case model.Convert():
            return _TO[step.to]
        case model.FaultIn():
            return f"by {step.by}"
        case model.Pin():
            return f"{step.pages} page"
    return ""
