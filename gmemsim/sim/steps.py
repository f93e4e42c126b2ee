# SPDX-License-Identifier: GPL-2.0-or-later
"""What each step of a workload does to a guest, and the words that tell it apart in the timeline.

A step that calls a guest is one row of :data:`CALLS`.  Steps that are no calls (``wait``, ``inject``) and those that
become several calls are the run's own (:mod:`gmemsim.sim.run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.scenario import model
from gmemsim.scenario.model import GuestStep


def _convert(guest: GuestMemfd, step: model.Convert) -> None:
    guest.set_attributes(step.offset, step.size, step.to == "private")


CALLS: Mapping[type[GuestStep], Callable[..., None]] = MappingProxyType(
    {
        model.Convert: _convert,
        model.Allocate: lambda guest, step: guest.allocate(step.offset, step.size),
        model.FaultIn: lambda guest, step: guest.fault(step.offset, step.size, by=step.by),
        model.Pin: lambda guest, step: guest.pin(step.offset, step.size, pages=step.pages),
        model.Unpin: lambda guest, step: guest.unpin(step.offset, step.size, pages=step.pages),
        model.PunchHole: lambda guest, step: guest.punch_hole(step.offset, step.size),
        model.Poison: lambda guest, step: guest.poison(step.offset),
        model.Close: lambda guest, step: guest.close(),
    }
)
"""What each step calls; the calls raise ``KernelError``."""


def detail(step: GuestStep) -> str:
    """What tells ``step`` apart from others of its kind on the same range, in words; empty if nothing does."""
    match step:
        case model.Convert():
            return f"to {step.to}"
        case model.FaultIn():
            return f"by {step.by}"
        case model.Pin():
            return f"{step.pages} page"
    return ""
