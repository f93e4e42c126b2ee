# SPDX-License-Identifier: GPL-2.0-or-later
"""GuestMemfd: one guest_memfd inode as its callers see it - the ioctl, faults, fallocate, pins, close.

Theory of operation
-------------------
A call checks its arguments as generation C's ioctl contract wants it (DOMAIN.md section 4), then leaves the work to
``conversion`` (attributes), ``restructure`` (splits and merges), ``population`` (memory in and out) and ``stage2``, all
of which work on the ``state`` beneath.  Every call is all or nothing except where the modelled kernel is not, and then
says so.  ``check()`` holds after each.

Offsets and sizes are bytes; inside, everything is a page index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from gmemsim.errors import BadAddress, BadFileDescriptor, Invalid, NotSupported
from gmemsim.gmem import conversion, population, restructure
from gmemsim.gmem.check import check
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.ranges import gaps
from gmemsim.gmem.stage2 import MappingKind
from gmemsim.gmem.state import InodeState
from gmemsim.host.work import Work
from gmemsim.xarray import XArray
from gmemsim.xarray.census import Levels, levels

ATTRIBUTE_PRIVATE = 1 << 3
"""KVM_MEMORY_ATTRIBUTE_PRIVATE (include/uapi/linux/kvm.h)."""


class GuestMemfd(InodeState):
    """A guest_memfd of ``size`` bytes on ``host``, backed by hugepages of ``backing`` bytes (or base pages).

    ``initially_shared`` is refused for hugepages, as generation B does.  Raises ``Invalid`` for a size that is no
    multiple of the backing, ``OutOfMemory`` if the pool has too few hugepages to reserve.

    >>> host = Host(hugetlb={1 << 30: 1})
    >>> guest = GuestMemfd(host, "vm0", size=1 << 30, backing=1 << 30)
    >>> guest.allocate(0, 1 << 30)
    >>> guest.set_attributes(0, 4096, private=False)
    >>> host.ledger.tallies["filemap_nodes"].live, host.ledger.tallies["vmemmap"].live_bytes
    (4162, 16773120)
    """

    # -- the ioctl -------------------------------------------------------------------------------------------------

    def set_attributes(
        self,
        offset: int,
        size: int,
        private: bool | None = None,
        *,
        attributes: int | None = None,
        flags: int = 0,
        reserved: int = 0,
    ) -> None:
        """KVM_SET_MEMORY_ATTRIBUTES2: make ``size`` bytes at ``offset`` private or shared.

        ``attributes`` is the raw value instead of ``private`` (0 or KVM_MEMORY_ATTRIBUTE_PRIVATE).  Raises ``Invalid``
        for bad arguments, ``NotSupported`` without in-place conversion, and with ``error_offset`` ``Again`` at a folio
        in use and ``OutOfMemory``; what those leave behind is the ordering's matter (``gmem.conversion``).
        """
        work = self._begin()
        if not self.in_place:
            raise NotSupported("in-place conversion is off")
        if attributes is not None:
            if attributes & ~ATTRIBUTE_PRIVATE:
                raise Invalid(f"attributes {attributes:#x}: unknown bits, only {ATTRIBUTE_PRIVATE:#x} is known")
            private = bool(attributes)
        if private is None:
            raise Invalid("neither private nor attributes is given")
        if flags or reserved:
            raise Invalid(f"flags {flags:#x} and reserved fields {reserved:#x} must be 0")
        start, end = self._range(offset, size)
        if self.attributes.all_are(start, end, shared=not private):
            return
        work.conversions += 1
        conversion.convert(self, start, end, shared=not private, work=work)

    # -- memory in and out -----------------------------------------------------------------------------------------

    def allocate(self, offset: int, size: int) -> None:
        """fallocate: give every hugepage that touches the range memory now; raises ``OutOfMemory``.

        Hugepages allocated before the failure stay, as after an interrupted fallocate.
        """
        work = self._begin()
        start, end = self._range(offset, size)
        population.populate(self, start, end, work)

    def fault(self, offset: int, size: int | None = None, *, by: Literal["guest", "host"] = "guest") -> None:
        """The guest, or a host process, touches every page of the range (default: one base page).

        Allocates what is missing.  The host may touch shared pages only (``BadAddress``); a folio that is still large
        is split for it first (``when: fault``).  Raises ``Poisoned`` for a folio with a memory error, ``OutOfMemory``.
        """
        work = self._begin()
        start, end = self._range(offset, self.host.geometry.page_size if size is None else size)
        self._touch(start, end, by, work)

    def _touch(self, start: int, end: int, by: Literal["guest", "host"], work: Work) -> None:
        self.refuse_poisoned(start, end, 0)
        if by == "host" and not self.attributes.all_are(start, end, shared=True):
            raise BadAddress("the host touched private memory (SIGBUS)", error_offset=self.bytes(start))
        population.populate(self, start, end, work)
        if by == "host":
            self._split_for_host(start, end, work)
            self.host_mapped.add(start, end)
            return
        for first, number, order in list(self.filemap.folios(start, end)):
            low, high = max(first, start), min(first + (number << order), end)
            self.stage2.touch(low, high, order, self.attributes.all_private)

    def _split_for_host(self, start: int, end: int, work: Work) -> None:
        for low, high, hugepage in self.pieces(start, end):
            if hugepage is not None and any(order for _, _, order in self.filemap.folios(low, high)):
                self.stage2.split_leaves(low, high)
                work.zapped_pages += self.stage2.zap(low, high)
                restructure.split(self, hugepage, low, high, work)

    def punch_hole(self, offset: int, size: int) -> None:
        """FALLOC_FL_PUNCH_HOLE: give the range's memory back; attributes stay as they are.

        On hugepages generation B wants the range aligned to them (``Invalid``); generation A zeroes what is not a whole
        one.  A split hugepage is merged first (``Invalid`` under ``merge: never``); one with pinned pages gives
        ``Again``, and those before it are gone already.
        """
        work = self._begin()
        start, end = self._range(offset, size)
        if not self.page_order:
            population.drop_small(self, start, end, work)
            return
        mask = (1 << self.page_order) - 1
        if (start | end) & mask and not self.metadata_per_split_folio:
            raise Invalid(f"a hole must be aligned to {self.host.geometry.name(self.page_order)}")
        for first in range(start + mask & ~mask, end & ~mask, mask + 1):
            hugepage = self.hugepages.get(first)
            if hugepage is not None:
                self._punch(hugepage, work)

    def _punch(self, hugepage: Hugepage, work: Work) -> None:
        first, end = hugepage.first, hugepage.end
        self.unmap_host(first, end, work)
        self.refuse_if_pinned(first, end, first)
        if not hugepage.whole and self.policy.merge == "never":
            raise Invalid("the hugepage is split and the policy never merges", error_offset=self.bytes(first))
        restructure.merge(self, hugepage, first, end, work, forced=True)
        work.zapped_pages += self.stage2.zap(first, end)
        self.filemap.remove(first, self.page_order)
        population.retire(self, hugepage)

    def close(self) -> None:
        """Close the file: everything goes back, except hugepages with pinned pages; those follow the last unpin."""
        work = self._begin()
        self.unmap_host(0, self.pages, work)
        work.zapped_pages += self.stage2.zap(0, self.pages)
        for first, hugepage in list(self.hugepages.items()):
            if self.pins.first_pinned(first, hugepage.end) is None:
                restructure.merge(self, hugepage, first, hugepage.end, work, forced=True)
                population.retire(self, hugepage)
        population.drop_small(self, 0, self.pages, work)
        self.filemap.destroy()
        self.stage2.release(self.pages)
        self.attributes.release()
        self.closed = True
        if self.subpool is not None:
            self.subpool.release()

    # -- references ------------------------------------------------------------------------------------------------

    def pin(self, offset: int, size: int, *, pages: Literal["each", "first"] = "each") -> None:
        """Take a long-term reference to ``each`` page of the range, or to its ``first``, faulting it in for the host.

        Raises what :meth:`fault` by the host raises.
        """
        work = self._begin()
        start, end = self._range(offset, size)
        if pages == "first":
            end = start + 1
        self._touch(start, end, "host", work)
        self.pins.change(start, end, 1)

    def unpin(self, offset: int, size: int, *, pages: Literal["each", "first"] = "each") -> None:
        """Drop a reference that :meth:`pin` took; works on a closed file too.  ``Invalid`` if a page has none.

        References to what a hole has taken away go first.
        After close, the last reference to a hugepage lets it be merged and returned to the pool.
        """
        work = self.work = Work()
        start, end = self._range(offset, size, closed=True)
        if pages == "first":
            end = start + 1
        gone = list(self.orphaned.pinned(start, end))
        there = list(gaps(((low, high) for low, high, _ in gone), start, end))
        if any(not self.pins.lowest(low, high) for low, high in there):
            raise Invalid("a page of the range is not pinned", error_offset=offset)
        for low, high, _ in gone:
            self.orphaned.change(low, high, -1)
        for low, high in there:
            self.pins.change(low, high, -1)
        if self.closed:
            for _, _, hugepage in list(self.pieces(start, end)):
                if hugepage is not None and self.pins.first_pinned(hugepage.first, hugepage.end) is None:
                    restructure.merge(self, hugepage, hugepage.first, hugepage.end, work, forced=True)
                    population.retire(self, hugepage)

    def poison(self, offset: int) -> None:
        """An uncorrectable memory error hits the memory of the base page at ``offset``, if it has any.

        The folio is zapped everywhere; who touches it later gets ``Poisoned``, until a hole is punched over it.
        """
        work = self._begin()
        page, end = self._range(offset, self.host.geometry.page_size)
        for _, _, order in list(self.filemap.folios(page, end)):
            first = page >> order << order
            self.unmap_host(first, first + (1 << order), work)
            work.zapped_pages += self.stage2.zap(first, first + (1 << order))
            self.poisoned.add(page, end)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self) -> Work:
        self.work = Work()
        if self.closed:
            raise BadFileDescriptor(f"{self.name} is closed")
        return self.work

    def _range(self, offset: int, size: int, *, closed: bool = False) -> tuple[int, int]:
        """First page and the page after the last, or ``Invalid``."""
        if self.closed and not closed:
            raise BadFileDescriptor(f"{self.name} is closed")
        page = self.host.geometry.page_size
        if offset < 0 or size <= 0 or offset % page or size % page:
            raise Invalid(f"offset {offset} and size {size} must be multiples of {page}, the size above 0")
        if offset + size > self.bytes(self.pages):
            raise Invalid(f"offset {offset} and size {size} end past the file's {self.bytes(self.pages)} bytes")
        return offset // page, (offset + size) // page

    def check(self) -> None:
        """Verify every invariant of this guest, slowly; ``AssertionError`` says which is broken."""
        check(self)

    # -- views -------------------------------------------------------------------------------------------------------
    # What reports and recorders read.  Ranges are page indices, half-open.

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.bytes(self.pages)

    @property
    def backing(self) -> int:
        """Bytes of a hugepage, or of a base page where there are none."""
        return self.host.geometry.size_of(self.page_order)

    @property
    def mapping(self) -> MappingKind:
        """How stage 2 maps private memory."""
        return self.stage2.kind

    @property
    def page_cache(self) -> XArray:
        """The filemap's tree, to look at; only the guest may change it."""
        return self.filemap.tree

    def nodes(self) -> int:
        """XArray nodes of the filemap, the root included.  O(1)."""
        return self.filemap.tree.nodes

    def charged_nodes(self) -> int:
        """Those of :meth:`nodes` that a memcg is charged for (``account_nodes``).  O(1)."""
        return self.nodes() - (0 if self.host.kernel.account_nodes else self.filemap.split_nodes)

    def census(self) -> Levels:
        """The filemap's nodes, and their slots in use, by level.  O(nodes that are not all alike)."""
        return levels(self.filemap.tree)

    def mapped(self) -> tuple[Counter[int], int]:
        """The leaves of the guest's stage-2 tables by order, and the base pages that host processes have mapped.

        O(ranges that are mapped).
        """
        geometry = self.host.geometry
        orders = (0, geometry.pmd_order, geometry.pud_order)
        leaves = {order: self.stage2.mapped_pages(order, 0, self.pages) >> order for order in orders}
        return Counter(leaves), self.host_mapped.pages(0, self.pages)

    def all_private(self, start: int, end: int) -> bool:
        """Whether no page of the range is shared."""
        return self.attributes.all_private(start, end)

    def shared_ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The shared ranges (start, end) within the range, cut to it."""
        return self.attributes.shared_ranges(start, end)

    def folio_runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Runs of equal folios that touch the range: (first index, number of folios, order)."""
        return self.filemap.folios(start, end)

    def hugepage_folios(self, page: int) -> Counter[int] | None:
        """The folios by order of the hugepage that begins at ``page``, ``None`` if it has no memory.  O(1)."""
        hugepage = self.hugepages.get(page)
        return None if hugepage is None else hugepage.folios

    def has_memory(self, start: int, end: int) -> bool:
        """Whether any page of the range has memory."""
        if not self.page_order:
            return not self.small.disjoint(start, end)
        return any(hugepage is not None for _, _, hugepage in self.pieces(start, end))

    @property
    def attribute_ranges(self) -> int:
        """Ranges of equal attributes, shared and private.  O(1)."""
        return self.attributes.ranges

    def outcomes(self) -> dict[str, int]:
        """What has gone wrong without an errno, by kind."""
        return {
            "optimise_failures": self.stats.optimise_failures,
            "rollback_failures": self.stats.rollback_failures,
            "inconsistent_pages": self.inconsistent.pages(0, self.pages),
        }
