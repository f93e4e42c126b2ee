# SPDX-License-Identifier: GPL-2.0-or-later
"""``granule``: the demand of ``scatter``, served from a pool of shared granules of 2M or any other size.

Synthetic.  A guest that pools its shared memory converts whole granules and hands out pieces of them, so that a
4K buffer does not shatter a hugepage of its own (DOMAIN.md section 9, question 5).  An allocation goes to the oldest
granule that has room; if none has, another granule becomes shared at a random place, aligned to its size.  A granule
that is empty goes back to private unless it is one of the ``keep`` that stay to save the next conversion.

With the same seed, ``count``, ``duration``, ``arrival`` and ``lifetime`` as a ``scatter`` the allocations arrive and go
at the same times; only where they lie differs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar

import attrs

from gmemsim.scenario.demand import PagePool, split_rng
from gmemsim.scenario.format.kinds import Count, Size
from gmemsim.scenario.model import GuestSpec, Step
from gmemsim.scenario.workload import MOST_CONVERSIONS, Demand
from gmemsim.units import size_name


@attrs.define
class _Granule:
    """A shared granule at ``offset`` of which ``used`` pieces are taken."""

    offset: int
    used: int = 0


class _Shelf:
    """The shared granules by age; ``room`` is a heap of those that may have room, oldest first."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces
        self._granules: dict[int, _Granule] = {}
        self._room: list[int] = []
        self._listed: set[int] = set()
        self._next = 0
        self.empty = 0

    def oldest_with_room(self) -> int | None:
        """The number of the oldest granule with room."""
        while self._room:
            number = self._room[0]
            granule = self._granules.get(number)
            if granule is not None and granule.used < self._pieces:
                return number
            heapq.heappop(self._room)
            self._listed.discard(number)
        return None

    def add(self, offset: int) -> int:
        """A granule more, empty; its number."""
        self._next += 1
        self._granules[self._next] = _Granule(offset)
        self._list(self._next)
        self.empty += 1
        return self._next

    def take(self, number: int) -> None:
        """Use a piece of a granule that has room."""
        granule = self._granules[number]
        self.empty -= granule.used == 0
        granule.used += 1

    def give_back(self, number: int, keep: int) -> int | None:
        """Free a piece of a granule; its offset if that leaves it empty and ``keep`` others are: then it is gone."""
        granule = self._granules[number]
        granule.used -= 1
        self._list(number)
        if granule.used:
            return None
        if self.empty >= keep:
            del self._granules[number]
            return granule.offset
        self.empty += 1
        return None

    def _list(self, number: int) -> None:
        if number not in self._listed:
            self._listed.add(number)
            heapq.heappush(self._room, number)


@attrs.frozen(kw_only=True)
class Granule(Demand):
    """``count`` allocations of ``each`` bytes, served from shared granules of ``granule`` bytes."""

    key: ClassVar[str] = "granule"

    granule: Annotated[int, Size("bytes that become shared or private at once", aligned=True)] = 2 << 20
    keep: Annotated[int, Count("empty granules that stay shared (1: assumed)", most=MOST_CONVERSIONS)] = 1

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, allocations larger than a granule, a range too small for all at once."""
        wrong = list(self.range_problem(guest))
        yield from wrong
        pieces = self.granule // (self.each or page_size)
        if not pieces:
            yield (
                "granule",
                f"found {size_name(self.granule)}, expected at least an allocation"
                f" ({size_name(self.each or page_size)})",
            )
            return
        if self.offset % self.granule:
            yield "offset", f"found {size_name(self.offset)}, expected a multiple of {size_name(self.granule)}"
        places = self.range_of(guest)[1] // self.granule
        if not wrong and places * pieces < self.count:
            yield (
                "count",
                f"found {self.count} allocations, expected at most {places * pieces},"
                f" which fit into {places} granules of {size_name(self.granule)}",
            )

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """Granules to shared when there is no room, to private when they are empty."""
        demand, places = self.demand(rng, start), split_rng(rng)
        pool = PagePool(*self.range_of(guest), self.granule)
        shelf = _Shelf(self.granule // (self.each or page_size))
        homes: dict[int, int] = {}
        for at, number, born in demand:
            if born:
                home = shelf.oldest_with_room()
                if home is None:
                    offset = pool.take(places)
                    home = shelf.add(offset)
                    yield self.convert(name, at, offset, self.granule, "shared")
                shelf.take(home)
                homes[number] = home
            else:
                gone = shelf.give_back(homes.pop(number), self.keep)
                if gone is not None:
                    pool.give_back(gone)
                    yield self.convert(name, at, gone, self.granule, "private")
