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


def extent(guest: GuestMemfd, step: model.RangeStep) -> tuple[int, int]:
    """Offset and bytes of the range of ``guest`` that ``step`` is for."""
    return step.extent(guest.size, guest.host.geometry.page_size)


def _convert(guest: GuestMemfd, step: model.Convert) -> None:
    guest.set_attributes(*extent(guest, step), step.to == "private")


CALLS: Mapping[type[GuestStep], Callable[..., None]] = MappingProxyType(
    {
        model.Convert: _convert,
        model.Allocate: lambda guest, step: guest.allocate(*extent(guest, step)),
        model.FaultIn: lambda guest, step: guest.fault(*extent(guest, step), by=step.by),
        model.Pin: lambda guest, step: guest.pin(*extent(guest, step), pages=step.pages),
        model.Unpin: lambda guest, step: guest.unpin(*extent(guest, step), pages=step.pages),
        model.PunchHole: lambda guest, step: guest.punch_hole(*extent(guest, step)),
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
