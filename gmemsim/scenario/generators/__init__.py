# SPDX-License-Identifier: GPL-2.0-or-later
"""The workload generators, one module each; :data:`GENERATORS` is the list that the loader knows.

From Python they are steps of a scenario like any other, or streams of plain steps by themselves:

>>> from gmemsim.scenario.model import GuestSpec, Scenario
>>> guest = GuestSpec(name="vm0", memory=1 << 30, backing=4096)
>>> load = Scatter(guest="vm0", count=3, duration=9_000, arrival="fixed")
>>> scenario = Scenario(title="three pages", guests=(guest,), workload=(load, Kexec(guest="vm0")))
>>> [(step.at, step.to) for step in load.expand(scenario, start=1_000)]
[(1000, 'shared'), (4000, 'shared'), (7000, 'shared')]
>>> from gmemsim.sim.run import run
>>> run(scenario).summary["conversions"]
{'requested': 6, 'succeeded': 6, 'failed': {}}
"""

from __future__ import annotations

from collections.abc import Mapping

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

GENERATORS: tuple[type[Generator], ...] = (
    Boot,
    Swiotlb,
    Scatter,
    Granule,
    Flip,
    Psc,
    MapGpa,
    LazyAccept,
    Kexec,
    Replay,
)
"""Those for a guest."""

COMPOSITES: Mapping[type[Composite], tuple[type[Generator | Composite], ...]] = {
    Vfio: GENERATORS,
    Parallel: (*GENERATORS, Vfio),
}
"""Those made of others, and of which."""

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
]
