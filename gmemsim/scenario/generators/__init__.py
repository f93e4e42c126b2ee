"""The workload generators, one module each; :data:`GENERATORS` is the list that the loader knows."""

from __future__ import annotations

from gmemsim.scenario.generators.boot import Boot
from gmemsim.scenario.generators.flip import Flip
from gmemsim.scenario.generators.scatter import Scatter
from gmemsim.scenario.generators.swiotlb import Swiotlb
from gmemsim.scenario.workload import Generator

GENERATORS: tuple[type[Generator], ...] = (Boot, Swiotlb, Scatter, Flip)

__all__ = ["GENERATORS", "Boot", "Flip", "Scatter", "Swiotlb"]
