# SPDX-License-Identifier: GPL-2.0-or-later
"""``lazy_accept``: a guest accepts its memory unit by unit, when it first needs it, instead of all of it at boot.

Theory of operation
-------------------
UEFI leaves most memory unaccepted and Linux accepts it in units of 2M (the unaccepted-memory table's ``unit_size``; the
kernel's own default) as its allocator runs dry.  For the host, accepting is the guest's first touch of the unit: it
allocates the hugepage.  An SNP guest asks for the page state private first; guest_memfd is private from the start, so
that request changes nothing unless the unit was shared meanwhile.  ``request`` says whether it is made; absent, it is
for SNP guests and not for others.

Units are taken in ascending order, as a young allocator does, or at random.  Use it instead of an ``allocate`` step.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Literal, get_args

import attrs

from gmemsim.scenario.demand import Arrival, PagePool, arrivals, split_rng
from gmemsim.scenario.format.kinds import Choice, Count, Duration, Flag, Size
from gmemsim.scenario.model import Extent, FaultIn, GuestSpec, Step, bytes_of
from gmemsim.scenario.workload import MOST_CONVERSIONS, Generator, misfit, too_many
from gmemsim.units import size_name

Sequence = Literal["ascending", "random"]


@attrs.frozen(kw_only=True)
class LazyAccept(Generator):
    """Accept ``size`` bytes at ``offset`` in units of ``unit`` bytes within ``duration``."""

    key: ClassVar[str] = "lazy_accept"

    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[Extent, Size("bytes of the range, or all: to the guest's end", aligned=True, whole=True)] = "all"
    unit: Annotated[int, Size("bytes accepted at once", aligned=True)] = 2 << 20
    duration: Annotated[int, Duration("time in which units are needed")] = 0
    arrival: Annotated[Arrival, Choice("how the need for them arises", get_args(Arrival))] = "poisson"
    burst: Annotated[int, Count("units of a burst", least=1, most=MOST_CONVERSIONS)] = 16
    order: Annotated[Sequence, Choice("which unit is next", get_args(Sequence))] = "ascending"
    request: Annotated[bool | None, Flag("asks for the state private first; as SNP guests do if absent")] = None

    def span(self) -> int:
        """The duration."""
        return self.duration

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, or one that is not made of units."""
        wrong = list(misfit(self.offset, self.size, guest))
        yield from wrong
        size = bytes_of(self.size, self.offset, guest.memory)
        if not wrong and size % self.unit:
            yield "unit", f"found {size_name(self.unit)}, expected a part of the range of {size_name(size)}"
        yield from too_many("unit", size // self.unit, f"units of {size_name(max(size, 0))}")

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """A touch, or a request and a touch, for every unit."""
        size = bytes_of(self.size, self.offset, guest.memory)
        times, places = split_rng(rng), split_rng(rng)
        pool = PagePool(self.offset, size, self.unit)
        request = guest.mapping_on(page_size) == "snp" if self.request is None else self.request
        needs = arrivals(self.arrival, size // self.unit, self.duration, times, burst=self.burst)
        for i, need in enumerate(needs):
            offset = self.offset + i * self.unit if self.order == "ascending" else pool.take(places)
            if request:
                yield self.convert(name, start + need, offset, self.unit, "private")
            yield FaultIn(guest=name, at=start + need, offset=offset, size=self.unit, where=self.where)
