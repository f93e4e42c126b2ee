# SPDX-License-Identifier: GPL-2.0-or-later
"""``scatter``: small buffers that a running guest shares anywhere in its memory, for ever or for a while.

Synthetic.  This is ``dma_alloc_*`` of drivers at run time: 4K at a time, wherever the guest's allocator
finds a page (DOMAIN.md section 6).  Places are uniform over the range and do not overlap while they are
alive; arrivals are equally spaced, a Poisson process or bursts; lifetimes are exponential.  What would outlive
``duration`` stays shared. Whether the result resembles a given guest is for the user to say: no production
traces are public.  ``granule`` serves the same demand from a pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import ClassVar

import attrs

from gmemsim.scenario.demand import PagePool, scattered, split_rng
from gmemsim.scenario.model import GuestSpec, Step
from gmemsim.scenario.workload import Demand


@attrs.frozen(kw_only=True)
class Scatter(Demand):
    """``count`` allocations of ``each`` bytes at random places of ``offset`` … ``offset + size``."""

    key: ClassVar[str] = "scatter"

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, or too small for all allocations at once."""
        wrong = list(self.range_problem(guest))
        yield from wrong
        places = self.range_of(guest)[1] // (self.each or page_size)
        if not wrong and places < self.count:
            yield (
                "count",
                f"found {self.count} allocations, expected at most {places}, which fit into the range",
            )

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """To shared as they arrive, to private as they go."""
        each = self.each or page_size
        pool = PagePool(*self.range_of(guest), each)
        return scattered(self.convert, name, self.demand(rng, start), pool, each, split_rng(rng))
