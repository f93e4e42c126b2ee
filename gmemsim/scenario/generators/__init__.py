# SPDX-License-Identifier: GPL-2.0-or-later
"""The workload generators, one module and one row each: the loader and the JSON Schema read the registries here.

From Python they are steps of a scenario like any other, or streams of plain steps by themselves:

>>> from gmemsim.scenario.model import GuestSpec, Scenario
>>> guest = GuestSpec(name="vm0", memory=1 << 30, backing=4096)
>>> load = Scatter(guest="vm0", count=3, duration=9_000, arrival="fixed")
>>> scenario = Scenario(title="three pages", guests=(guest,), workload=(load, Kexec(guest="vm0")))
>>> [(step.at, step.key) for step in load.expand(scenario, start=1_000)]  # the host touches what is shared
[(1000, 'convert'), (4000, 'convert'), (7000, 'convert'), (10000, 'fault'), (10000, 'fault'), (10000, 'fault')]
>>> from gmemsim.sim.run import run
>>> run(scenario).summary["conversions"]
{'requested': 6, 'succeeded': 6, 'failed': {}}
"""

from __future__ import annotations

from typing import Final

from gmemsim.registry import Registry
from gmemsim.scenario.generators.boot import Boot
from gmemsim.scenario.generators.flip import Flip
from gmemsim.scenario.generators.granule import Granule
from gmemsim.scenario.generators.kexec import Kexec
from gmemsim.scenario.generators.lazy_accept import LazyAccept
from gmemsim.scenario.generators.mapgpa import MapGpa
from gmemsim.scenario.generators.parallel import Parallel
from gmemsim.scenario.generators.psc import Psc
from gmemsim.scenario.generators.scatter import Scatter
from gmemsim.scenario.generators.swiotlb import Swiotlb
from gmemsim.scenario.generators.vfio import Vfio
from gmemsim.scenario.logs.replay import Replay
from gmemsim.scenario.workload import Composite, Generator

GENERATORS: Final[Registry[type[Generator]]] = Registry("generator")
"""Those for a guest, by their key in a file."""

for _generator in (Boot, Swiotlb, Scatter, Granule, Flip, Psc, MapGpa, LazyAccept, Kexec, Replay):
    GENERATORS.add(_generator.key, _generator)

COMPOSITES: Final[Registry[type[Composite]]] = Registry("composite step")
"""Those made of others."""

for _composite in (Vfio, Parallel):
    COMPOSITES.add(_composite.key, _composite)


def parts_of(composite: type[Composite]) -> dict[str, type[Generator | Composite]]:
    """What ``composite`` can be made of: every generator, and the composites that it says."""
    return {**dict(GENERATORS.items()), **{key: COMPOSITES[key] for key in composite.holds}}


__all__ = [
    "COMPOSITES",
    "GENERATORS",
    "Boot",
    "Flip",
    "Granule",
    "Kexec",
    "LazyAccept",
    "MapGpa",
    "Parallel",
    "Psc",
    "Replay",
    "Scatter",
    "Swiotlb",
    "Vfio",
    "parts_of",
]
