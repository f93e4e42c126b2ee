# SPDX-License-Identifier: GPL-2.0-or-later
"""gmemsim: what converting guest_memfd memory between shared and private costs the host.

The names below are what scripts and notebooks need::

    host = gmemsim.Host(hugetlb={"1G": 4})
    guest = gmemsim.GuestMemfd(host, "vm0", size="1G", backing="1G", policy="staged")
    guest.set_attributes(0, 4096, private=False)
    result = gmemsim.run(gmemsim.load_scenario("staged"))  # a file, or the name of a shipped scenario
    gmemsim.figure(result, "map")
    gmemsim.events(result)  # a data frame
    comparison = gmemsim.compare(gmemsim.load_scenario("rfc-cover"), ["b-today", "staged"])
    print(gmemsim.text(comparison))  # as the command line shows it
    gmemsim.explain("1G", "4K")

Each is imported when it is first used, so ``import gmemsim`` alone loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmemsim.compiled import activate
from gmemsim.version import __version__ as __version__

if TYPE_CHECKING:
    from gmemsim.gmem.guest import GuestMemfd
    from gmemsim.gmem.policy import Policy
    from gmemsim.host.host import Host
    from gmemsim.reports.notebook import (
        compare,
        events,
        explain,
        figure,
        markdown,
        presets,
        samples,
        text,
        with_policy,
    )
    from gmemsim.scenario.format.load import load_scenario, parse_scenario
    from gmemsim.sim.run import Run, run
    from gmemsim.sim.watch import Watch
    from gmemsim.units import human_size, parse_size
    from gmemsim.xarray import XArray


__all__ = [
    "GuestMemfd",
    "Host",
    "Policy",
    "Run",
    "Watch",
    "XArray",
    "compare",
    "events",
    "explain",
    "figure",
    "human_size",
    "load_scenario",
    "markdown",
    "parse_scenario",
    "parse_size",
    "presets",
    "run",
    "samples",
    "text",
    "with_policy",
]

_HOMES = {
    "GuestMemfd": "gmemsim.gmem.guest",
    "Host": "gmemsim.host.host",
    "Policy": "gmemsim.gmem.policy",
    "Run": "gmemsim.sim.run",
    "Watch": "gmemsim.sim.watch",
    "XArray": "gmemsim.xarray",
    "compare": "gmemsim.reports.notebook",
    "events": "gmemsim.reports.notebook",
    "explain": "gmemsim.reports.notebook",
    "figure": "gmemsim.reports.notebook",
    "human_size": "gmemsim.units",
    "load_scenario": "gmemsim.scenario.format.load",
    "markdown": "gmemsim.reports.notebook",
    "parse_scenario": "gmemsim.scenario.format.load",
    "parse_size": "gmemsim.units",
    "presets": "gmemsim.reports.notebook",
    "run": "gmemsim.sim.run",
    "samples": "gmemsim.reports.notebook",
    "text": "gmemsim.reports.notebook",
    "with_policy": "gmemsim.reports.notebook",
}
"""Where each name comes from."""


activate()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
