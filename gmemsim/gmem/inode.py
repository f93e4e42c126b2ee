"""GuestMemfd: one guest_memfd inode as its callers see it - the ioctl, faults, fallocate, pins, close.

Theory of operation
-------------------
The inode owns what belongs to one guest: its attributes, its filemap, its stage-2 tables, its hugepages and the
references to its pages.  A call first checks its arguments as generation C's ioctl contract wants it (DOMAIN.md
section 4), then leaves the work to ``conversion`` (attributes), ``restructure`` (splits and merges) and ``stage2``.
Every call is all or nothing except where the modelled kernel is not, and then says so.  ``check()`` holds after each.

Offsets and sizes are bytes; inside, everything is a page index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import attrs

from gmemsim.errors import (
    Again,
    BadAddress,
    BadFileDescriptor,
    Invalid,
    KernelError,
    NotSupported,
    OutOfMemory,
    Poisoned,
)
from gmemsim.gmem import conversion, restructure
from gmemsim.gmem.attributes import Attributes
from gmemsim.gmem.check import check
from gmemsim.gmem.filemap import Filemap
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.ranges import PinCounts, RangeSet
from gmemsim.gmem.stage2 import MappingKind, Stage2
from gmemsim.host.costs import Work
from gmemsim.host.host import Host
from gmemsim.host.ledger import Holder
from gmemsim.host.slab import FOLIO_METADATA_BYTES
from gmemsim.units import size_name

ATTRIBUTE_PRIVATE = 1 << 3
"""KVM_MEMORY_ATTRIBUTE_PRIVATE (include/uapi/linux/kvm.h)."""

PAGE = "page"
"""The entry of every order-0 folio of a guest_memfd that is not backed by hugepages."""


@attrs.define(eq=False)
class Stats:
    """What has happened to one inode so far; splits and merges are counted by (order, new order)."""

    splits: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    merges: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    optimise_failures: int = 0
    """Merges after which the vmemmap could not be optimised again."""
    rollback_failures: int = 0
    """Conversions of generation A whose rollback failed as well: the state is inconsistent."""


class GuestMemfd:
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

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        size: int,
        backing: int,
        policy: Policy | None = None,
        mapping: MappingKind = "snp",
        in_place: bool = True,
        initially_shared: bool = False,
    ) -> None:
        self.host = host
        self.name = name
        self.policy = policy or Policy()
        self.in_place = in_place
        self.page_order = host.geometry.order_of(backing)
        if size <= 0 or size % backing:
            raise Invalid(f"{name}: size {size_name(size)} is not a multiple of the backing {size_name(backing)}")
        if initially_shared and self.page_order:
            raise Invalid(f"{name}: a guest_memfd on hugepages starts private")
        self.pages = size >> host.geometry.page_shift
        self.rungs = self.policy.rungs(self.page_order, host.geometry)
        generation = "A" if self.policy.ordering == "attributes-first" else "B"
        self.metadata_per_split_folio = generation == "A"
        ledger = host.ledger
        with ExitStack() as undo:
            self.subpool = host.pool.reserve(backing, size // backing) if self.page_order else None
            if self.subpool is not None:
                undo.callback(self.subpool.release)
            if self.page_order and self.policy.vmemmap != "off":
                host.optimise_pool(backing)
            self.attributes = Attributes(self.pages, ledger.holder("attributes", name), shared=initially_shared)
            undo.pop_all()
        self.filemap = Filemap(ledger.holder("filemap_nodes", name), host.kernel.xarray)
        self.metadata = ledger.holder("folio_metadata", name, object_bytes=FOLIO_METADATA_BYTES[generation])
        self.vmemmap = ledger.holder("vmemmap", name)
        self.memdesc = ledger.holder("memdesc", name)
        self.stage2 = Stage2(mapping, host.geometry, ledger.holder("stage2_page_tables", name))
        self.hugepages: dict[int, Hugepage] = {}
        self.small = RangeSet()
        """Pages that base-page folios hold, without hugepages."""
        self.host_mapped = RangeSet()
        """Pages that some host process has mapped."""
        self.poisoned = RangeSet()
        self.pins = PinCounts()
        self.orphaned = PinCounts()
        """References to base pages that a hole has taken out of the file, by the index they had."""
        self.folios: Counter[int] = Counter()
        self.stats = Stats()
        self.closed = False
        self.inconsistent = RangeSet()
        """Where a failed rollback of generation A has left attributes and folios that do not fit each other."""
        self.work = Work()
        """What the latest call made the host do, failed or not."""

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
        self._populate(start, end, work)

    def fault(self, offset: int, size: int | None = None, *, by: Literal["guest", "host"] = "guest") -> None:
        """The guest, or a host process, touches every page of the range (default: one base page).

        Allocates what is missing.  The host may touch shared pages only (``BadAddress``); a folio that is still large
        is split for it first (``when: fault``).  Raises ``Poisoned`` for a folio with a memory error, ``OutOfMemory``.
        """
        work = self._begin()
        start, end = self._range(offset, self.host.geometry.page_size if size is None else size)
        self._touch(start, end, by, work)

    def _touch(self, start: int, end: int, by: Literal["guest", "host"], work: Work) -> None:
        self._refuse_poisoned(start, end, 0)
        if by == "host" and not self.attributes.all_are(start, end, shared=True):
            raise BadAddress("the host touched private memory (SIGBUS)", error_offset=self.bytes(start))
        self._populate(start, end, work)
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
            self._drop_small(start, end, work)
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
        self._retire(hugepage)

    def close(self) -> None:
        """Close the file: everything goes back, except hugepages with pinned pages; those follow the last unpin."""
        work = self._begin()
        self.unmap_host(0, self.pages, work)
        work.zapped_pages += self.stage2.zap(0, self.pages)
        pinned = {}
        for first, hugepage in list(self.hugepages.items()):
            if self.pins.first_pinned(first, hugepage.end) is not None:
                pinned[first] = hugepage
                continue
            restructure.merge(self, hugepage, first, hugepage.end, work, forced=True)
            self._retire(hugepage)
        self._drop_small(0, self.pages, work)
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
        edges = [start, *(edge for low, high, _ in gone for edge in (low, high)), end]
        there = [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high]
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
                    self._retire(hugepage)

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

    # -- what conversion and restructure build on --------------------------------------------------------------------

    def bytes(self, page: int) -> int:
        """Offset in bytes of ``page``."""
        return page << self.host.geometry.page_shift

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, Hugepage | None]]:
        """The range cut at hugepage bounds: (start, end, the hugepage if it has been allocated)."""
        if not self.page_order:
            yield start, end, None
            return
        mask = (1 << self.page_order) - 1
        while start < end:
            stop = min(end, (start | mask) + 1)
            yield start, stop, self.hugepages.get(start & ~mask)
            start = stop

    def unmap_host(self, start: int, end: int, work: Work) -> None:
        """Take the range away from every host process."""
        mapped = self.host_mapped.pages(start, end)
        if mapped:
            self.host_mapped.remove(start, end)
            work.zapped_pages += mapped

    def refuse_if_pinned(self, start: int, end: int, call_start: int) -> None:
        """Raise ``Again`` if a folio of the range is pinned, with the offset ``max(call_start, first folio index)``."""
        page = self.pins.first_pinned(start, end)
        if page is not None:
            order = self.filemap.order_at(page)
            first = page >> order << order
            raise Again(f"page {page} is pinned", error_offset=self.bytes(max(call_start, first)))

    def refuse_to_split_poisoned(self, start: int, end: int) -> None:
        """Raise ``Poisoned`` if making the range shared now would split a folio that has a memory error."""
        if self.policy.when == "conversion":
            self._refuse_poisoned(start, end, 1)

    def _refuse_poisoned(self, start: int, end: int, least_order: int) -> None:
        """Raise ``Poisoned`` if a folio of the range, of ``least_order`` or more, has a memory error."""
        if not len(self.poisoned):
            return
        for first, number, order in self.filemap.folios(start, end):
            if order < least_order:
                continue
            low = max(first, start >> order << order)
            high = min(first + (number << order), (end - 1 >> order) + 1 << order)
            for page, _ in self.poisoned.ranges(low, high):
                where = self.bytes(max(start, page >> order << order))
                raise Poisoned(f"page {page} has a memory error", error_offset=where)

    def vmemmap_needed(self, hugepage: Hugepage, folios: Counter[int]) -> int:
        """vmemmap pages beyond those kept that ``folios`` of the hugepage need under the policy's regime."""
        if self.policy.vmemmap == "off" or hugepage.order in folios:
            return 0
        if self.policy.vmemmap == "whole":
            return self.host.vmemmap.restored(hugepage.order)
        return self.host.vmemmap.needed(folios, hugepage.order, reoptimised=True)

    def replace_folios(self, hugepage: Hugepage, folios: Counter[int]) -> None:
        """The hugepage consists of ``folios`` from now on."""
        self._count_folios(hugepage.folios, -1)
        hugepage.folios = folios
        self._count_folios(folios, 1)

    def _count_folios(self, folios: Counter[int], sign: int) -> None:
        for order, number in folios.items():
            self.folios[order] += sign * number
            self.host.folios[order] += sign * number

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

    def _populate(self, start: int, end: int, work: Work) -> None:
        if not self.page_order:
            self._populate_small(start, end, work)
            return
        for low, _, hugepage in self.pieces(start, end):
            if hugepage is None:
                try:
                    self._allocate_hugepage(low >> self.page_order << self.page_order, work)
                except KernelError as error:
                    error.error_offset = self.bytes(low)
                    raise

    def _allocate_hugepage(self, first: int, work: Work) -> None:
        """Take a hugepage from the reservation, and split it at once if it holds shared pages already."""
        assert self.subpool is not None
        with ExitStack() as undo:
            pool_index = self.subpool.take()
            undo.callback(self.subpool.give_back, pool_index)
            restored = self.host.unoptimised.pop((self.page_order, pool_index), 0)
            self.host.vmemmap_of_pool.hand_over(restored, self.vmemmap)
            hugepage = Hugepage(first, self.page_order, pool_index, self.vmemmap, restored)
            undo.callback(self._leave_unoptimised, hugepage)
            for holder, objects in self._per_hugepage():
                holder.alloc(objects)
                undo.callback(holder.free, objects)
            number = self.host.page_number(hugepage.order, hugepage.pool_index)
            self.host.registry.add(number, self.page_order, self)
            undo.callback(self.host.registry.remove, number, self.page_order)
            self.filemap.add(first, self.page_order, hugepage)
            undo.callback(self.filemap.remove, first, self.page_order)
            self._count_folios(hugepage.folios, 1)
            undo.callback(lambda: self._count_folios(hugepage.folios, -1))
            if self.policy.when == "conversion":
                undo.callback(restructure.merge, self, hugepage, first, hugepage.end, work, forced=True)
                for low, high in list(self.attributes.shared_ranges(first, hugepage.end)):
                    restructure.split(self, hugepage, low, high, work)
            undo.pop_all()
        self.hugepages[first] = hugepage
        work.allocations += 1
        work.entries_stored += 1

    def _per_hugepage(self) -> Iterator[tuple[Holder, int]]:
        """What a whole hugepage holds for as long as it lives: (holder, objects)."""
        if not self.metadata_per_split_folio:
            yield self.metadata, 1
        if self.host.folio_descriptors:
            yield self.memdesc, 1

    def _retire(self, hugepage: Hugepage) -> None:
        """A whole hugepage that is in no filemap any more goes back to the pool."""
        assert self.subpool is not None
        self._count_folios(hugepage.folios, -1)
        self.host.registry.remove(self.host.page_number(hugepage.order, hugepage.pool_index), hugepage.order)
        for holder, objects in self._per_hugepage():
            holder.free(objects)
        self._leave_unoptimised(hugepage)
        self.subpool.give_back(hugepage.pool_index)
        del self.hugepages[hugepage.first]
        for ranges in (self.poisoned, self.inconsistent):
            ranges.remove(hugepage.first, hugepage.end)

    def _leave_unoptimised(self, hugepage: Hugepage) -> None:
        """A hugepage whose vmemmap could not be optimised goes back to the pool as it is; its next user finds it so."""
        if hugepage.restored:
            self.vmemmap.hand_over(hugepage.restored, self.host.vmemmap_of_pool)
            self.host.unoptimised[hugepage.order, hugepage.pool_index] = hugepage.restored

    def _populate_small(self, start: int, end: int, work: Work) -> None:
        present = list(self.small.ranges(start, end))
        edges = [start, *(edge for bounds in present for edge in bounds), end]
        for low, high in zip(edges[::2], edges[1::2], strict=True):
            if low < high:
                self._add_small(low, high, work)

    def _add_small(self, low: int, high: int, work: Work) -> None:
        if self.host.folio_descriptors:
            self.memdesc.alloc(high - low)
        try:
            self.filemap.add_pages(low, high, PAGE)
        except OutOfMemory as error:
            if self.host.folio_descriptors:
                self.memdesc.free(high - low)
            error.error_offset = self.bytes(low)
            raise
        self.small.add(low, high)
        self._count_folios(Counter({0: high - low}), 1)
        work.entries_stored += high - low

    def _drop_small(self, start: int, end: int, work: Work) -> None:
        self.unmap_host(start, end, work)
        work.zapped_pages += self.stage2.zap(start, end)
        for low, high in list(self.small.ranges(start, end)):
            self.filemap.remove_pages(low, high)
            if self.host.folio_descriptors:
                self.memdesc.free(high - low)
            self.small.remove(low, high)
            self.poisoned.remove(low, high)
            for first, last, references in list(self.pins.pinned(low, high)):
                self.orphaned.change(first, last, references)
                self.pins.change(first, last, -references)
            self._count_folios(Counter({0: high - low}), -1)

    def check(self) -> None:
        """Verify every invariant of this guest, slowly; ``AssertionError`` says which is broken."""
        check(self)
