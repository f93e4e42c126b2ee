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
* ``tdx``: at most 2M, and a 2M region that has ever been mapped by base pages stays so: there is no promotion, and a
  guest's request to inhibit large mappings of a page is never taken back (Zhao, RFC v3; Christopherson's combined
  series; DOMAIN.md section 10).  A demote takes a page of the S-EPT, which is a table like any other, and with Dynamic
  PAMT a pair of pages (:mod:`gmemsim.gmem.pamt`).

A conversion splits the leaves that cross its range, in every generation (:data:`LeafRule` ``range``), so that the
others may be larger than their folios afterwards (mail of 8 Jan 2026, DOMAIN.md section 10).  Under ``follow-folio``,
Zhao's rule, none may: whoever splits folios also calls :meth:`Stage2.shrink_leaves` for them (``gmem.restructure``
does).  Leaves are split there and not zapped, since zapping private memory of a TD would lose its contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.pamt import DynamicPamt
from gmemsim.gmem.ranges import RangeSet
from gmemsim.host.geometry import Geometry
from gmemsim.host.ledger import Holder
from gmemsim.host.work import Work

MappingKind = Literal["plain", "snp", "tdx"]

LeafRule = Literal["range", "follow-folio"]
"""Which leaves a split of folios takes apart: those that cross the range, or all that are larger than their folio."""


class Stage2:
    """The stage-2 tables of one guest of ``kind``; pages are guest_memfd indices, ``tables`` holds the table pages.

    ``geometry`` tells the orders of large leaves.  ``pamt``: Dynamic PAMT, where the guest has it, else ``None``.
    ``work`` counts TDX's demotes, each of which kicks ``vcpus``.
    """

    __slots__ = (
        "_holder",
        "_leaves",
        "_levels",
        "_pamt",
        "_reserved",
        "_tables",
        "_vcpus",
        "_work",
        "kind",
        "mapped",
    )

    def __init__(
        self,
        kind: MappingKind,
        geometry: Geometry,
        tables: Holder,
        pamt: DynamicPamt | None,
        work: Work,
        vcpus: int,
    ) -> None:
        self.kind = kind
        self._holder = tables
        self._pamt = pamt
        self._work = work
        self._vcpus = vcpus
        pmd, pud = geometry.pmd_order, geometry.pud_order
        self._levels = (0, pmd) if kind == "tdx" else (0, pmd, pud)
        self._leaves = {order: RangeSet() for order in (0, pmd, pud)}  # pages by the order of the leaf that maps them
        self._tables: dict[int, set[int]] = {pud: set(), pmd: set()}  # regions of that order that have a table
        self.mapped = False
        """Whether any page is mapped."""
        self._reserved = 0
        tables.known = self._known_tables

    def _known_tables(self) -> int:
        return sum([len(regions) for regions in self._tables.values()]) + self._reserved

    def touch(self, start: int, end: int, folio_order: int, all_private: Callable[[int, int], bool]) -> int:
        """The guest touches the pages ``start`` to ``end``, which folios of ``folio_order`` hold.

        A leaf is made wherever a page was not mapped, as large as the folio, the guest's kind and the attributes allow:
        ``all_private`` of a range (start, end) must be true of what a large leaf maps.  Returns the leaves made.
        Raises ``OutOfMemory`` if a table page cannot be had; what was mapped before it stays.  Large leaves below one
        table are made in one step where nothing tells them apart.
        """
        made, position = 0, start
        while position < end:
            level = self._leaf_level(position, folio_order, all_private)
            size = 1 << (level or self._levels[1])
            first = position // size * size
            stop = min(end, first + size)
            if self._unmapped(position, stop):
                self._make_tables(position, level)
                if level:
                    stop = self._alike(first, end, level, all_private)
                    made += self._map_large(first, stop, level)
                else:
                    made += self._map_small(position, stop)
            position = stop
        return made

    def _alike(self, start: int, end: int, level: int, all_private: Callable[[int, int], bool]) -> int:
        """To where leaves of ``level`` can be made in one step from ``start`` on, where one is made; before ``end``."""
        stop, limit = start + (1 << level), end >> level << level
        for order, regions in self._tables.items():
            if order > level:
                limit = min(limit, (start >> order) + 1 << order)
            elif regions and self.kind == "tdx":  # a region may have been demoted
                return stop
        for leaves in self._leaves.values():
            limit = min(limit, next(leaves.ranges(stop, limit), (limit,))[0])
        limit = limit >> level << level
        while limit > stop and not all_private(stop, limit):
            limit = stop + (limit - stop >> level + 1 << level)
        return max(stop, limit)

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
        if self._pamt is not None:
            self._pamt.map_small(start, end)
        made = end - start - self._leaves[0].pages(start, end)
        self._leaves[0].add(start, end)
        self.mapped = True
        return made

    def _map_large(self, start: int, end: int, level: int) -> int:
        for order, regions in self._tables.items():
            if order <= level:
                gone = {region for region in regions if start <= region << order < end}
                regions -= gone
                self._holder.free(len(gone), rcu=True)
        for order, leaves in self._leaves.items():
            leaves.replace(start, end, member=order == level)
        self.mapped = True
        return end - start >> level

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
        if not self.mapped:
            return
        for edge in (start, end):
            for order in self._tables:
                if edge & (1 << order) - 1 and edge in self._leaves[order]:
                    self._split_leaf(order, edge >> order)

    def shrink_leaves(self, start: int, end: int, order: int) -> None:
        """Split the leaves of the pages ``start`` to ``end`` that are larger than ``order``.  O(leaves split).

        Raises ``OutOfMemory`` if a table page cannot be had; leaves split before it stay split.
        """
        for above in self._tables:
            if above <= order:
                continue
            for low, high in list(self._leaves[above].ranges(start, end)):
                for region in range(low >> above, (high - 1 >> above) + 1):
                    self._split_leaf(above, region)

    def _split_leaf(self, order: int, region: int) -> None:
        """Make leaves of the next size of the leaf of ``order`` that maps ``region``."""
        below = max(smaller for smaller in self._leaves if smaller < order)
        self._take_table()
        if not below and self._pamt is not None:
            try:
                self._pamt.take(region)
            except OutOfMemory:
                self._holder.free(1)
                raise
        self._tables[order].add(region)
        first, last = region << order, region + 1 << order
        self._leaves[order].remove(first, last)
        self._leaves[below].add(first, last)
        if self.kind == "tdx":
            self._work.demotes += 1
            self._work.kicks += self._vcpus

    def reserve(self, start: int, end: int, shrinking: Iterable[tuple[int, int, int]] = ()) -> int:
        """Take what :meth:`split_leaves` of the pages ``start`` to ``end`` will need.

        And :meth:`shrink_leaves` of each of ``shrinking`` (default: none): (start, end, order).  Returns the number of
        tables.  Raises ``OutOfMemory`` with nothing taken.
        """
        needed = self._to_shrink(shrinking)
        for edge in (start, end):
            for order in self._tables:
                larger = (leaves for above, leaves in self._leaves.items() if above >= order)
                if edge & (1 << order) - 1 and any(edge in leaves for leaves in larger):
                    needed.add((order, edge >> order))
        self._holder.alloc(len(needed))
        if self._pamt is not None:
            try:
                self._pamt.reserve(sum([order == self._levels[1] for order, _ in needed]))
            except OutOfMemory:
                self._holder.free(len(needed))
                raise
        self._reserved += len(needed)
        return len(needed)

    def _to_shrink(self, shrinking: Iterable[tuple[int, int, int]]) -> set[tuple[int, int]]:
        """The tables that :meth:`shrink_leaves` of all these would make: (order, region)."""
        needed: set[tuple[int, int]] = set()
        for start, end, largest in shrinking:
            for order in self._tables:
                for above, leaves in self._leaves.items():
                    if largest < order <= above:
                        for low, high in leaves.ranges(start, end):
                            needed.update([(order, r) for r in range(low >> order, (high - 1 >> order) + 1)])
        return needed

    def give_back(self) -> None:
        """Give back what is reserved and not used."""
        if self._pamt is not None:
            self._pamt.give_back()
        self._holder.free(self._reserved)
        self._reserved = 0

    def zap(self, start: int, end: int) -> int:
        """Unmap the pages ``start`` to ``end`` and return how many base pages that were; tables stay.

        A leaf that crosses a bound goes as a whole; :meth:`split_leaves` keeps what is outside.
        """
        zapped = 0
        start, end = self.whole_leaves(start, end)
        for leaves in self._leaves.values():
            pages = leaves.pages(start, end)
            if pages:
                leaves.remove(start, end)
                zapped += pages
        self.mapped = any(leaves.flips > 0 for leaves in self._leaves.values())
        if self._pamt is not None:
            self._pamt.unmapped(start, end, self._leaves[0])
        return zapped

    def whole_leaves(self, start: int, end: int) -> tuple[int, int]:
        """``start`` and ``end`` (pages), moved outwards to the bounds of the large leaves that cross them."""
        for order in self._levels[1:]:
            mask = (1 << order) - 1
            first = start & ~mask
            if first != start and start in self._leaves[order]:
                start = first
            if end & mask and end in self._leaves[order]:
                end = (end | mask) + 1
        return start, end

    def first_unmapped(self, start: int, end: int) -> int:
        """The first page from ``start`` on that is not mapped; ``end`` if all before it are."""
        for low, high in sorted([(low, high) for low, high, _ in self.leaves(start, end)]):
            if low > start:
                break
            start = high
        return start

    def leaf_order(self, page: int) -> int | None:
        """Order of the leaf that maps ``page``, ``None`` if it is not mapped."""
        return next((order for order, leaves in self._leaves.items() if page in leaves), None)

    def leaves(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What is mapped from ``start`` to ``end``, smallest leaves first: ranges (start, end, order of the leaves)."""
        for order, leaves in self._leaves.items():
            for low, high in leaves.ranges(start, end):
                yield low, high, order

    def all_leaves(self) -> Iterator[tuple[int, int, int]]:
        """:meth:`leaves` of the whole guest."""
        for order, leaves in self._leaves.items():
            for low, high in leaves:
                yield low, high, order

    def release(self) -> None:
        """The guest is gone, and all that it had mapped has been zapped: free all tables."""
        self._holder.free(sum(map(len, self._tables.values())))
        for regions in self._tables.values():
            regions.clear()

    def check(self, pages: int) -> None:
        """``AssertionError`` unless every leaf has the tables above it; ``pages`` is the guest's size in base pages."""
        mapped = 0
        for order, leaves in self._leaves.items():
            leaves.check()
            for start, end in leaves:
                mapped += end - start
                assert not (start | end) & (1 << order) - 1, f"leaf of order {order} at {start} is not aligned"
                for above, regions in self._tables.items():
                    missing = [r for r in range(start >> above, (end - 1 >> above) + 1) if r not in regions]
                    assert above <= order or not missing, f"leaf of order {order} at {start} has no table"
        assert mapped <= pages, f"{mapped} pages mapped twice"
        assert self.mapped == (mapped > 0), f"{mapped} pages mapped, but mapped is {self.mapped}"
        if self._pamt is not None:
            self._pamt.check(self._leaves[0])
