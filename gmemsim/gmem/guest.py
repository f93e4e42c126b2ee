# SPDX-License-Identifier: GPL-2.0-or-later
"""GuestMemfd: one guest_memfd inode as its callers see it - the ioctl, faults, fallocate, pins, close.

Theory of operation
-------------------
A call checks its arguments as generation C's ioctl contract wants it (DOMAIN.md section 4), then leaves the work to
``conversion`` (attributes), ``restructure`` (splits), ``merging`` (merges), ``population`` (memory in and out) and
``stage2``, all of which work on the :class:`~gmemsim.gmem.inode.Inode`.  Every call is all or nothing except where the
modelled kernel is not, and then says so.  ``check()`` holds after each.

Offsets and sizes are bytes; inside, everything is a page index.  What may live here: calls, and views of the state for
those who only look (reports, recorders, tests); none of them needs to know how the state is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from gmemsim.errors import BadAddress, BadFileDescriptor, Invalid, KernelError, NotSupported, OutOfMemory
from gmemsim.gmem import merging, population, restructure
from gmemsim.gmem.check import check
from gmemsim.gmem.conversion import PROCEDURES, convert
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode, Stats
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import read_policy
from gmemsim.gmem.ranges import gaps
from gmemsim.gmem.stage2 import LeafRule, MappingKind
from gmemsim.host.host import Host, by_order
from gmemsim.host.memcg import charged_bytes
from gmemsim.host.work import Work
from gmemsim.units import size_name, size_of
from gmemsim.xarray import Levels, XArray

GIB_SHIFT = 30
"""An RMP check can be skipped for an aligned GiB (RMPOPT; Kalra, Mar 2026; DOMAIN.md section 10)."""

ATTRIBUTE_PRIVATE = 1 << 3
"""KVM_MEMORY_ATTRIBUTE_PRIVATE (include/uapi/linux/kvm.h)."""

VCPUS = 16
"""vCPUs of a guest, **assumed**: as many as the generator ``boot`` has."""


class GuestMemfd:
    """The guest_memfd ``name`` of ``size`` bytes on ``host``, backed by hugepages of ``backing`` bytes (or base pages).

    Sizes may be text with a unit (``"1G"``), the policy may be text too, as on the command line (``"staged"``).
    ``policy`` says how conversions are carried out (default: ``Policy()``, generation B as it is); ``mapping`` how the
    second stage maps private memory (``"snp"``, ``"tdx"`` or ``"plain"``; default: ``"snp"`` on x86's page sizes,
    ``"plain"`` on those of arm64); ``stage2`` which of its leaves are split with the folios: those that cross the range
    (``"range"``, the default), or all that are larger than their folio (``"follow-folio"``); without ``in_place``
    (default: with) the ioctl answers ENOTTY.  ``initially_shared`` (default: no) is refused for hugepages, as
    generation B does.  ``kernel_memory`` is the most, in bytes, that may be charged to the guest's memcg (default: no
    limit).  ``vcpus`` are kicked when mappings go (default: 16, as the generator ``boot`` assumes).  ``node`` is the
    NUMA node of its memory and its VMM (default: 0), ``ValueError`` if the host has no such node.  Raises ``Invalid``
    (EINVAL) for a size that is no multiple of the backing, for hugepages that no machine has and for SNP or TDX on
    arm64's, ``OutOfMemory`` (ENOMEM) if the pool has too few hugepages to reserve.

    >>> from gmemsim import Host
    >>> host = Host(hugetlb={1 << 30: 1})
    >>> guest = GuestMemfd(host, "vm0", size=1 << 30, backing=1 << 30)
    >>> guest.allocate(0, 1 << 30)
    >>> guest.set_attributes(0, 4096, private=False)
    >>> guest.nodes(), host.ledger.tallies["vmemmap"].live_bytes
    (4162, 16773120)
    """

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        size: int | str,
        backing: int | str,
        policy: Policy | str | None = None,
        mapping: MappingKind | None = None,
        in_place: bool = True,
        initially_shared: bool = False,
        stage2: LeafRule = "range",
        kernel_memory: int | str | None = None,
        vcpus: int = VCPUS,
        node: int = 0,
    ) -> None:
        size, backing = size_of(size), size_of(backing)
        kernel_memory = None if kernel_memory is None else size_of(kernel_memory)
        self.host = host
        self.name = name
        self.size: int = size
        self.backing: int = backing
        self.mapping: MappingKind = mapping or host.geometry.default_mapping(backing)
        self.policy: Policy = read_policy(policy)[1] if isinstance(policy, str) else policy or Policy()
        self.in_place = in_place
        self.kernel_memory = kernel_memory
        self.node = node
        if host.ledger.nodes is not None:
            host.ledger.nodes.settle(name, node)
        elif node:
            raise ValueError(f"{name} on node {node}: the host has no NUMA nodes")
        if kernel_memory is not None:
            host.ledger.limit_guest(name, kernel_memory)
        self.inode = Inode(host, name, size, backing, self.policy, self.mapping, initially_shared, stage2, vcpus, node)
        self._page_shift = host.geometry.page_shift
        self._procedure = PROCEDURES[self.policy.ordering_rule]
        self._work_before = host.work.counts()

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
        """KVM_SET_MEMORY_ATTRIBUTES2: make ``size`` bytes at ``offset`` private (``private``) or shared.

        ``attributes`` (default: ``private`` is given) is the raw value instead: 0 or KVM_MEMORY_ATTRIBUTE_PRIVATE;
        ``flags`` and ``reserved`` must be 0, their default.  Raises ``Invalid`` (EINVAL) for bad arguments,
        ``NotSupported`` (ENOTTY) without in-place conversion, and with ``error_offset`` ``Again`` (EAGAIN) at a folio
        in use and ``OutOfMemory`` (ENOMEM); what those leave behind is the ordering's matter (``gmem.conversion``).
        """
        self._begin()
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
        inode = self.inode
        inode.work.exits += 1
        if inode.attributes.all_are(start, end, shared=not private):
            inode.stats.unchanged += 1
            return
        inode.stats.without_memory += not inode.is_allocated(start, end)
        inode.work.conversions += 1
        try:
            convert(self._procedure, inode, start, end, not private)
        finally:
            if not private:  # whatever was converted, also before a failure
                inode.give_back_shared(start, end)

    # -- memory in and out -----------------------------------------------------------------------------------------

    def allocate(self, offset: int, size: int) -> None:
        """fallocate: give memory now to every hugepage that touches ``size`` bytes at ``offset``.

        Raises ``OutOfMemory`` (ENOMEM).  Hugepages allocated before the failure stay, as after an interrupted
        fallocate.
        """
        self._begin()
        start, end = self._range(offset, size)
        population.populate(self.inode, start, end)

    def fault(self, offset: int, size: int | None = None, *, by: Literal["guest", "host"] = "guest") -> None:
        """The guest, or a host process (``by``, default the guest), touches every page of ``size`` bytes at ``offset``.

        ``size`` is one base page by default.  What is missing is allocated.  The host may touch shared pages only
        (``BadAddress``, EFAULT); a folio that is still large is split for it first (``when: fault``).  Raises
        ``Poisoned`` (EHWPOISON) for a folio with a memory error, ``OutOfMemory`` (ENOMEM).
        """
        self._begin()
        start, end = self._range(offset, self.host.geometry.page_size if size is None else size)
        self._touch(start, end, by)

    def _touch(self, start: int, end: int, by: Literal["guest", "host"], must_map: bool = False) -> None:
        inode = self.inode
        inode.refuse_poisoned(start, end, 0)
        if by == "host" and not inode.attributes.all_are(start, end, shared=True):
            raise BadAddress("the host touched private memory (SIGBUS)", error_offset=inode.offset(start))
        inode.stats.host_faults += by == "host"
        population.populate(inode, start, end)
        if by == "host":
            restructure.map_for_host(inode, start, end, must_map)
            self._note_touched(start, end)
            return
        for low, high, order in list(inode.filemap.ranges_by_order(start, end)):
            try:
                inode.stage2.touch(low, high, order, inode.attributes.all_private)
            except OutOfMemory:
                self._note_touched(start, inode.stage2.first_unmapped(low, high))
                raise
            finally:
                inode.touched_by_guest(low, high)
        self._note_touched(start, end)

    def _note_touched(self, start: int, end: int) -> None:
        inode = self.inode
        if inode.page_order:
            if inode.clears_at_touch:
                inode.work.bytes_cleared += inode.offset(end - start - inode.touched.pages(start, end))
            inode.touched.add(start, end)

    def punch_hole(self, offset: int, size: int) -> None:
        """FALLOC_FL_PUNCH_HOLE: give back the memory of ``size`` bytes at ``offset``; attributes stay as they are.

        On hugepages generation B wants the range aligned to them (``Invalid``, EINVAL); generation A zeroes what is not
        a whole one.  A split hugepage is merged first (under ``merge: never`` ``Invalid``, the hugepage unchanged); one
        with pinned pages gives ``Again`` (EAGAIN), and those before it are gone already.  The merge needs a node where
        the filemap has shrunk since the split: without it the hole is refused with ``OutOfMemory`` (ENOMEM), the
        hugepage unchanged.
        """
        self._begin()
        inode = self.inode
        start, end = self._range(offset, size)
        if not inode.page_order:
            population.drop_small(inode, start, end)
            return
        mask = (1 << inode.page_order) - 1
        if (start | end) & mask and not inode.generation.zeroes_partial_holes:
            raise Invalid(f"a hole must be aligned to {self.host.geometry.name(inode.page_order)}")
        for first in range(start + mask & ~mask, end & ~mask, mask + 1):
            hugepage = inode.hugepages.get(first)
            if hugepage is not None:
                self._punch(hugepage)

    def _punch(self, hugepage: Hugepage) -> None:
        inode, first, end = self.inode, hugepage.first, hugepage.end
        inode.at = first
        if not hugepage.whole and not self.policy.merges_at_all:
            raise Invalid("the hugepage is split and the policy never merges", error_offset=inode.offset(first))
        try:
            nodes = merging.reserve_merge(inode, hugepage)
        except OutOfMemory as error:
            inode.locate(error)
            raise
        try:
            inode.unmap_host(first, end)
            inode.refuse_if_pinned(first, end)
        except KernelError:
            nodes.close()
            raise
        merging.merge_whole(inode, hugepage, nodes)
        inode.zap(first, end)
        inode.filemap.remove(first, inode.page_order)
        population.retire(inode, hugepage)

    def close(self) -> None:
        """Close the file: everything goes back, except hugepages with pinned pages; those follow the last unpin."""
        self._begin()
        inode = self.inode
        start, end = self._range(0, self.size)
        population.drop_small(inode, start, end)  # takes all away from host and guest as well
        self._retire_unpinned(start, end)
        inode.filemap.destroy()
        inode.stage2.release()
        inode.attributes.release()
        inode.closed = True
        if inode.subpool is not None:
            inode.subpool.release()

    def _retire_unpinned(self, start: int, end: int) -> None:
        """Merge and give back every hugepage of the range that is not pinned any more.

        The file goes, so nothing is stored in its filemap and nothing can fail.
        """
        inode = self.inode
        for _, _, hugepage in list(inode.pieces(start, end)):
            if hugepage is not None and inode.pins.first_pinned(hugepage.first, hugepage.end) is None:
                merging.merge_outside(inode, hugepage)
                population.retire(inode, hugepage)

    # -- references ------------------------------------------------------------------------------------------------

    def pin(self, offset: int, size: int, *, pages: Literal["each", "first"] = "each") -> None:
        """Take a long-term reference to pages of ``size`` bytes at ``offset``, faulting them in for the host.

        ``pages``: ``each`` (default) of the range, or its ``first``.
        Raises what :meth:`fault` by the host raises.
        """
        self._begin()
        start, end = self._range(offset, size)
        if pages == "first":
            end = start + 1
        self._touch(start, end, "host", must_map=True)
        self.inode.pins.change(start, end, 1)

    def unpin(self, offset: int, size: int, *, pages: Literal["each", "first"] = "each") -> None:
        """Drop references that :meth:`pin` took of ``pages`` (its default too) of ``size`` bytes at ``offset``; after
        close too.

        ``Invalid`` (EINVAL) if a page has none.  References to what a hole has taken away go first.  After close, the
        last reference to a hugepage lets it be merged and returned to the pool.
        """
        self._work_before = self.host.work.counts()
        inode = self.inode
        start, end = self._range(offset, size)
        if pages == "first":
            end = start + 1
        gone = list(inode.orphaned.pinned(start, end))
        there = list(gaps([(low, high) for low, high, _ in gone], start, end))
        if any(not inode.pins.lowest(low, high) for low, high in there):
            raise Invalid("a page of the range is not pinned", error_offset=offset)
        for low, high, _ in gone:
            inode.orphaned.change(low, high, -1)
        for low, high in there:
            inode.pins.change(low, high, -1)
        if inode.closed:
            self._retire_unpinned(start, end)

    def poison(self, offset: int) -> None:
        """An uncorrectable memory error hits the memory of the base page at ``offset``, if it has any.

        The folio is zapped everywhere; who touches it later gets ``Poisoned``, until a hole is punched over it.
        """
        self._begin()
        inode = self.inode
        page, end = self._range(offset, self.host.geometry.page_size)
        for _, _, order in list(inode.filemap.folios(page, end)):
            first = page >> order << order
            inode.unmap_host(first, first + (1 << order))
            inode.zap(first, first + (1 << order))
            inode.poisoned.add(page, end)

    # -- views -----------------------------------------------------------------------------------------------------

    @property
    def work(self) -> Work:
        """What the host has done since this guest's latest call began; read it before another guest's call."""
        return self.host.work.since(self._work_before)

    @property
    def pages(self) -> int:
        """The size in base pages."""
        return self.inode.pages

    @property
    def page_order(self) -> int:
        """The order of the backing: 18 for 1G with 4K pages, 0 for base pages."""
        return self.inode.page_order

    @property
    def rungs(self) -> tuple[int, ...]:
        """The orders that a hugepage's folios may have, largest first."""
        return self.inode.rungs

    @property
    def folios(self) -> Counter[int]:
        """Folios by order.  A copy, O(orders)."""
        return by_order(self.inode.folios_of)

    @property
    def stats(self) -> Stats:
        """Splits, merges, and what went wrong without an errno."""
        return self.inode.stats

    @property
    def closed(self) -> bool:
        """Whether the file has been closed."""
        return self.inode.closed

    @property
    def attribute_ranges(self) -> int:
        """Ranges of equal attributes, shared and private, that cover the file."""
        return self.inode.attributes.ranges

    def offset(self, page: int) -> int:
        """Offset of ``page`` in bytes."""
        return self.inode.offset(page)

    def nodes(self) -> int:
        """XArray nodes of the filemap.  O(1)."""
        return self.inode.filemap.nodes

    def charged_nodes(self) -> int:
        """XArray nodes of the filemap that are charged to the guest's memcg.  O(1)."""
        return self.inode.filemap.charged_nodes()

    def charged_bytes(self) -> int:
        """Bytes of kernel memory that are charged to the guest's memcg; see :mod:`gmemsim.host.memcg`."""
        return charged_bytes(self.host.ledger.charged(self.name))

    def census(self) -> Levels:
        """The filemap's nodes, and their slots in use, by level.  O(nodes that are not all alike)."""
        return self.inode.filemap.tree.levels()

    @property
    def page_cache(self) -> XArray:
        """The filemap's tree, to look at; only the guest may change it."""
        return self.inode.filemap.tree

    def mapped(self) -> tuple[Counter[int], int]:
        """What is mapped now: leaves of the second stage by order, and base pages that host processes map.

        O(ranges that are mapped).
        """
        leaves: Counter[int] = Counter()
        for start, end, order in self.inode.stage2.all_leaves():
            leaves[order] += end - start >> order
        return leaves, self.inode.host_mapped.total()

    def all_private(self, start: int, end: int) -> bool:
        """Whether no page from ``start`` to before ``end`` (indices) is shared.  O(log ranges)."""
        return self.inode.attributes.all_private(start, end)

    def shared_ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The shared ranges within ``start`` to ``end`` (page indices), cut to them.

        The guest must not be called meanwhile.
        """
        return self.inode.attributes.shared_ranges(start, end)

    def folio_runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Runs of equal folios that touch ``start`` to ``end`` (page indices): (first index, folios, order)."""
        return self.inode.filemap.folios(start, end)

    def hugepage_folios(self, page: int) -> dict[int, int] | None:
        """Folios by order of the hugepage that holds ``page``; ``None`` if it has no memory."""
        hugepage = self.inode.hugepage_at(page)
        return None if hugepage is None else hugepage.folios

    def private_regions(self, page: int) -> list[int]:
        """The aligned GiB of host memory, by number, in which the hugepage that holds ``page`` has a private page.

        None unless this is an open SNP guest and the hugepage has been allocated.  What is counted, and why: an RMP
        check can be skipped for a GiB in which no page is *assigned*, and the kernel assigns what is private
        (DOMAIN.md section 10).  It does so at the guest's first touch; here a page counts from the allocation of its
        hugepage on, as scenarios allocate what guests use.  A page stops counting when it is shared or given back.
        """
        hugepage = self.inode.hugepage_at(page)
        if hugepage is None or self.mapping != "snp" or self.closed:
            return []
        return [region for region, start, end in self._regions(hugepage) if not self._all_shared(start, end)]

    def regions_with_private(self) -> set[int]:
        """The :meth:`private_regions` of all hugepages.  O(hugepages), of which one a region is looked at closely."""
        found: set[int] = set()
        if self.mapping == "snp" and not self.closed:
            for hugepage in self.inode.hugepages.values():
                for region, start, end in self._regions(hugepage):
                    if region not in found and not self._all_shared(start, end):
                        found.add(region)
        return found

    def _regions(self, hugepage: Hugepage) -> list[tuple[int, int, int]]:
        """The GiB of host memory that the hugepage lies in, with the part of it that is there: (GiB, start, end)."""
        shift = GIB_SHIFT - self.inode.page_shift
        number = self.host.page_number(hugepage.order, hugepage.pool_index)
        last, to_index = number + (1 << hugepage.order), hugepage.first - number
        return [
            (region, max(number, region << shift) + to_index, min(last, region + 1 << shift) + to_index)
            for region in range(number >> shift, (last - 1 >> shift) + 1)
        ]

    def _all_shared(self, start: int, end: int) -> bool:
        return self.inode.attributes.all_are(start, end, shared=True)

    def outcomes(self) -> dict[str, int]:
        """What went wrong without an errno, by the summary's names."""
        stats = self.inode.stats
        return {
            "optimise_failures": stats.optimise_failures,
            "rollback_failures": stats.rollback_failures,
            "inconsistent_pages": self.inode.inconsistent.total(),
            "lost_hugepages": stats.lost_hugepages,
        }

    def check(self) -> None:
        """Verify every invariant of this guest, slowly; ``AssertionError`` says which is broken."""
        check(self.inode)

    def __repr__(self) -> str:
        return f"<GuestMemfd {self.name}: {size_name(self.size)} on {size_name(self.backing)}>"

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._work_before = self.host.work.counts()
        if self.inode.closed:
            raise BadFileDescriptor(f"{self.name} is closed")
        if self.inode.waiting:
            merging.merge_waiting(self.inode)

    def _range(self, offset: int, size: int) -> tuple[int, int]:
        """First page and the page after the last, or ``Invalid``."""
        shift = self._page_shift
        if offset < 0 or size <= 0 or (offset | size) & (1 << shift) - 1:
            page = self.host.geometry.page_size
            raise Invalid(f"offset {offset} and size {size} must be multiples of {page}, the size above 0")
        if offset + size > self.size:
            raise Invalid(f"offset {offset} and size {size} end past the file's {self.size} bytes")
        return offset >> shift, offset + size >> shift
