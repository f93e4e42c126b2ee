# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's second-stage page tables: what is mapped at which size, and the tables that takes.

Theory of operation
-------------------
A leaf maps 1G, 2M or one base page.  Every 2M region with base-page leaves has one table page, and every 1G region with
2M leaves or such tables has one (DOMAIN.md section 4, mapping levels); the levels above are not counted.  Private
memory is mapped at the folio's size, shared memory by base pages.  Zapping takes leaves away but leaves the tables (as
KVM's TDP MMU does) until a larger leaf is mapped over them or the guest goes away.

How large a leaf may get and whether it may grow again depends on the guest:

* ``plain``, ``snp``: up to the folio's size; after a merge the next fault maps it large again (SNP: once the guest has
  re-validated it, which a fault in a scenario stands for);
* ``tdx``: at most 2M, and a 2M region that has ever been mapped by base pages stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from gmemsim.geometry import Geometry
from gmemsim.gmem.ranges import RangeSet
from gmemsim.host.ledger import Holder

MappingKind = Literal["plain", "snp", "tdx"]


class Stage2:
    """The stage-2 tables of one guest; pages are guest_memfd indices, ``tables`` holds the table pages."""

    __slots__ = ("_holder", "_leaves", "_levels", "_reserved", "_tables", "kind")

    def __init__(self, kind: MappingKind, geometry: Geometry, tables: Holder) -> None:
        self.kind = kind
        self._holder = tables
        pmd, pud = geometry.pmd_order, geometry.pud_order
        self._levels = (0, pmd) if kind == "tdx" else (0, pmd, pud)
        self._leaves = {order: RangeSet() for order in (0, pmd, pud)}  # pages by the order of the leaf that maps them
        self._tables: dict[int, set[int]] = {pud: set(), pmd: set()}  # regions of that order that have a table
        self._reserved = 0
        tables.known = self._known_tables

    def _known_tables(self) -> int:
        return sum([len(regions) for regions in self._tables.values()]) + self._reserved

    def touch(self, start: int, end: int, folio_order: int, all_private: Callable[[int, int], bool]) -> int:
        """The guest touches ``start`` to ``end``, which folios of ``folio_order`` hold.

        A leaf is made wherever a page was not mapped, as large as the folio, the guest's kind and the attributes
        allow: ``all_private(start, end)`` must be true of what a large leaf maps.  Returns the leaves made.  Raises
        ``OutOfMemory`` if a table page cannot be had; what was mapped before it stays.
        """
        made, position = 0, start
        while position < end:
            level = self._leaf_level(position, folio_order, all_private)
            size = 1 << (level or self._levels[1])
            stop = min(end, position // size * size + size)
            if self._unmapped(position, stop):
                made += self._map_large(position // size * size, level) if level else self._map_small(position, stop)
            position = stop
        return made

    def _leaf_level(self, page: int, folio_order: int, all_private: Callable[[int, int], bool]) -> int:
        """Order of the largest leaf that may map ``page``."""
        for level in reversed(self._levels):
            first = page >> level << level
            demoted = self.kind == "tdx" and page >> self._levels[1] in self._tables[self._levels[1]]
            if level and level <= folio_order and not demoted and all_private(first, first + (1 << level)):
                return level
        return 0

    def _unmapped(self, start: int, end: int) -> bool:
        return end - start > sum(leaves.pages(start, end) for leaves in self._leaves.values())

    def _map_small(self, start: int, end: int) -> int:
        self._make_tables(start, 0)
        made = end - start - self._leaves[0].pages(start, end)
        self._leaves[0].add(start, end)
        return made

    def _map_large(self, start: int, level: int) -> int:
        end = start + (1 << level)
        self._make_tables(start, level)
        for order, regions in self._tables.items():
            if order <= level:
                gone = {region for region in regions if start <= region << order < end}
                regions -= gone
                self._holder.free(len(gone), rcu=True)
        for order, leaves in self._leaves.items():
            leaves.replace(start, end, member=order == level)
        return 1

    def _make_tables(self, page: int, level: int) -> None:
        """Make the tables above a leaf of ``level`` at ``page`` that are missing."""
        for order, regions in self._tables.items():
            if order > level and page >> order not in regions:
                self._take_table()
                regions.add(page >> order)

    def _take_table(self) -> None:
        if self._reserved:
            self._reserved -= 1
        else:
            self._holder.alloc(1)

    def split_leaves(self, start: int, end: int) -> None:
        """Split the leaves that cross ``start`` or ``end``, so that the range can be zapped exactly.

        Raises ``OutOfMemory`` if a table page cannot be had; leaves split before it stay split.
        """
        if not any(self._leaves.values()):
            return
        for edge in (start, end):
            for order, regions in self._tables.items():
                if edge & (1 << order) - 1 and edge in self._leaves[order]:
                    self._take_table()
                    region = edge >> order
                    regions.add(region)
                    first, last = region << order, region + 1 << order
                    below = max(smaller for smaller in self._leaves if smaller < order)
                    self._leaves[order].remove(first, last)
                    self._leaves[below].add(first, last)

    def reserve(self, start: int, end: int) -> int:
        """Take the tables that :meth:`split_leaves` of this range will need, and return how many.

        Raises ``OutOfMemory`` with none taken.
        """
        needed = set()
        for edge in (start, end):
            for order in self._tables:
                larger = (leaves for above, leaves in self._leaves.items() if above >= order)
                if edge & (1 << order) - 1 and any(edge in leaves for leaves in larger):
                    needed.add((order, edge >> order))
        self._holder.alloc(len(needed))
        self._reserved += len(needed)
        return len(needed)

    def give_back(self) -> None:
        """Give back the tables that are reserved and not used."""
        self._holder.free(self._reserved)
        self._reserved = 0

    def zap(self, start: int, end: int) -> int:
        """Unmap the range and return how many base pages that were; tables stay.

        A leaf that crosses a bound goes as a whole; :meth:`split_leaves` keeps what is outside.
        """
        if not any(self._leaves.values()):
            return 0
        zapped = 0
        start, end = self._whole_leaves(start, end)
        for leaves in self._leaves.values():
            pages = leaves.pages(start, end)
            if pages:
                leaves.remove(start, end)
                zapped += pages
        return zapped

    def _whole_leaves(self, start: int, end: int) -> tuple[int, int]:
        """The bounds moved outwards to those of the large leaves that cross them."""
        for order in self._levels[1:]:
            mask = (1 << order) - 1
            if start & mask and start in self._leaves[order]:
                start &= ~mask
            if end & mask and end in self._leaves[order]:
                end = (end | mask) + 1
        return start, end

    def leaf_order(self, page: int) -> int | None:
        """Order of the leaf that maps ``page``, ``None`` if it is not mapped."""
        return next((order for order, leaves in self._leaves.items() if page in leaves), None)

    def leaves(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What is mapped within the bounds, smallest leaves first: ranges (start, end, order of the leaves)."""
        for order, leaves in self._leaves.items():
            for low, high in leaves.ranges(start, end):
                yield low, high, order

    def release(self, pages: int) -> None:
        """The guest, of so many ``pages``, is gone: free all tables."""
        self._holder.free(sum(map(len, self._tables.values())))
        for regions in self._tables.values():
            regions.clear()
        for leaves in self._leaves.values():
            leaves.remove(0, pages)

    def check(self, pages: int) -> None:
        """``AssertionError`` unless every leaf has the tables above it."""
        mapped = 0
        for order, leaves in self._leaves.items():
            leaves.check()
            for start, end in leaves.ranges(0, pages):
                mapped += end - start
                assert not (start | end) & (1 << order) - 1, (
                    f"leaf of order {order} from {start} to {end} is not aligned"
                )
                for above, regions in self._tables.items():
                    missing = [r for r in range(start >> above, (end - 1 >> above) + 1) if r not in regions]
                    assert above <= order or not missing, f"leaf of order {order} at {start} has no table"
        assert mapped <= pages, f"{mapped} pages mapped twice"
