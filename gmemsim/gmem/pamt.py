# SPDX-License-Identifier: GPL-2.0-or-later
"""Dynamic PAMT: what the TDX module keeps of every base page, held only where memory is mapped by base pages.

Theory of operation
-------------------
The PAMT holds the TDX module's metadata of physical memory.  Static PAMT is allocated for all memory when the module is
initialised.  With Dynamic PAMT a 2M region of a TD's memory has a *pair* of pages if and only if it is mapped by base
pages (DOMAIN.md section 10): the pair is taken with the first such mapping, or with the demote of a 2M leaf, and goes
with the last (Edgecombe, v4 of Dynamic PAMT, Nov 2025).

Only private memory counts.  Shared memory is mapped by tables that the TDX module does not know, so a region that is
all shared has no pair.  A leaf never outlives its attribute (conversions zap before they store), so the attributes tell
which leaves are private.

Not counted: the pairs of the host's own pages that the TDX module uses (S-EPT, control pages), and the 0.004 % of
memory that Dynamic PAMT takes from the start.
"""

from __future__ import annotations

from typing import Final

from sortedcontainers import SortedSet

from gmemsim.gmem.attributes import Attributes
from gmemsim.gmem.ranges import RangeSet, gaps
from gmemsim.host.ledger import Holder

PAGES_PER_REGION: Final = 2
"""Pages of a region's pair."""


class DynamicPamt:
    """The pairs of one guest, whose ``attributes`` tell what is private: one for each region of ``order`` in use.

    ``pages`` holds their memory.
    """

    __slots__ = ("_attributes", "_holder", "_order", "_regions", "_reserved")

    def __init__(self, pages: Holder, order: int, attributes: Attributes) -> None:
        self._holder = pages
        self._order = order
        self._attributes = attributes
        self._regions: SortedSet = SortedSet()
        self._reserved = 0
        pages.known = self._known

    def _known(self) -> int:
        return PAGES_PER_REGION * (len(self._regions) + self._reserved)

    def take(self, region: int) -> None:
        """Private memory of ``region`` will be mapped by base pages; raises ``OutOfMemory`` without its pair."""
        if region in self._regions:
            return
        if self._reserved:
            self._reserved -= 1
        else:
            self._holder.alloc(PAGES_PER_REGION)
        self._regions.add(region)

    def map_small(self, start: int, end: int) -> None:
        """Base pages ``start`` to ``end`` of one region will be mapped; raises ``OutOfMemory`` without its pair."""
        if not self._attributes.all_are(start, end, shared=True):
            self.take(start >> self._order)

    def unmapped(self, start: int, end: int, leaves: RangeSet) -> None:
        """The pages ``start`` to ``end`` have been unmapped: give back unused pairs.

        ``leaves`` are the pages that base pages still map.  O(regions with a pair in the range).
        """
        there = self._regions.irange(start >> self._order, end - 1 >> self._order)
        unused = [region for region in there if not self._is_used(region, leaves)]
        self._regions.difference_update(unused)
        self._holder.free(PAGES_PER_REGION * len(unused))

    def _is_used(self, region: int, leaves: RangeSet) -> bool:
        """Whether ``leaves`` map a private page of ``region``."""
        for start, end in leaves.ranges(region << self._order, region + 1 << self._order):
            if not self._attributes.all_are(start, end, shared=True):
                return True
        return False

    def reserve(self, regions: int) -> None:
        """Take the pairs of so many more ``regions``, which have none; raises ``OutOfMemory`` with none taken."""
        self._holder.alloc(PAGES_PER_REGION * regions)
        self._reserved += regions

    def give_back(self) -> None:
        """Give back the pairs that are reserved and not used."""
        self._holder.free(PAGES_PER_REGION * self._reserved)
        self._reserved = 0

    def check(self, leaves: RangeSet) -> None:
        """``AssertionError`` unless exactly the regions with private pages among ``leaves`` have a pair."""
        private = [
            piece for start, end in leaves for piece in gaps(self._attributes.shared_ranges(start, end), start, end)
        ]
        used = {r for start, end in private for r in range(start >> self._order, (end - 1 >> self._order) + 1)}
        assert self._regions == used, f"regions with a PAMT pair {self._regions}, mapped by base pages {used}"
