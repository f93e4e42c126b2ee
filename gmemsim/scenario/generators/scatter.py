"""``scatter``: small buffers that a running guest shares anywhere in its memory, for ever or for a while.

Synthetic.  This is ``dma_alloc_*`` of drivers at run time: 4K at a time, wherever the guest's allocator
finds a page (DOMAIN.md section 6).  Places are uniform over the range and do not overlap while they are
alive; arrivals are a Poisson process or equally spaced; lifetimes are exponential.  What would outlive
``duration`` stays shared. Whether the result resembles a given guest is for the user to say: no production
traces are public.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, get_args

import attrs

from gmemsim.scenario.kinds import Choice, Count, Duration, Size
from gmemsim.scenario.schema import GuestSpec, Step
from gmemsim.scenario.workload import MOST_CONVERSIONS, Arrival, Demand, Generator, PagePool, arrivals
from gmemsim.units import size_name


@attrs.frozen(kw_only=True)
class Scatter(Generator):
    """``count`` allocations of ``each`` bytes at random places of ``offset`` … ``offset + size``."""

    key: ClassVar[str] = "scatter"

    count: Annotated[int, Count("allocations", least=1, most=MOST_CONVERSIONS)]
    duration: Annotated[int, Duration("time in which they arrive")] = 0
    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[int | None, Size("bytes of the range; to the guest's end if absent", aligned=True)] = None
    each: Annotated[int | None, Size("bytes of an allocation; one page if absent", aligned=True)] = None
    arrival: Annotated[Arrival, Choice("how they arrive", get_args(Arrival))] = "poisson"
    lifetime: Annotated[int | None, Duration("mean lifetime; for ever if absent", zero=False)] = None

    def span(self) -> int:
        """The time in which allocations arrive and go."""
        return self.duration

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, or too small for all allocations at once."""
        length = guest.memory - self.offset if self.size is None else self.size
        end = self.offset + length
        if length <= 0 or end > guest.memory:
            key = "offset" if self.size is None else "size"
            found = max(end, self.offset)
            yield key, f"found an end at {size_name(found)}, expected at most {size_name(guest.memory)}"
            return
        places = length // (self.each or page_size)
        if places < self.count:
            yield (
                "count",
                f"found {self.count} allocations, expected at most {places}, which fit into the range",
            )

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """To shared as they arrive, to private as they go."""
        each = self.each or page_size
        pool = PagePool(self.offset, guest.memory - self.offset if self.size is None else self.size, each)
        times = (start + at for at in arrivals(self.arrival, self.count, self.duration, rng))
        return Demand(pool, each, self.lifetime, start + self.duration).conversions(self, name, times, rng)
