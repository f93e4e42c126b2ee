# SPDX-License-Identifier: GPL-2.0-or-later
"""gmemsim: what converting guest_memfd memory between shared and private costs the host.

The names below are what scripts and notebooks need::

    host = gmemsim.Host(hugetlb={1 << 30: 4})
    guest = gmemsim.GuestMemfd(host, "vm0", size=1 << 30, backing=1 << 30, policy=gmemsim.Policy(split="staged"))
    guest.set_attributes(0, 4096, private=False)
    result = gmemsim.run(gmemsim.load_scenario("scenarios/staged.yaml"))

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
    from gmemsim.scenario.format.load import load_scenario
    from gmemsim.sim.run import run
    from gmemsim.xarray import XArray


__all__ = ["GuestMemfd", "Host", "Policy", "XArray", "load_scenario", "run"]

_HOMES = {
    "GuestMemfd": "gmemsim.gmem.guest",
    "Host": "gmemsim.host.host",
    "Policy": "gmemsim.gmem.policy",
    "XArray": "gmemsim.xarray",
    "load_scenario": "gmemsim.scenario.format.load",
    "run": "gmemsim.sim.run",
}
"""Where each name comes from."""


activate()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
