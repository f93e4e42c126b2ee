# SPDX-License-Identifier: GPL-2.0-or-later
"""What one guest_memfd consists of: the state that its calls, conversions and restructuring work on.

An :class:`InodeState` owns what belongs to one guest: its attributes, its filemap, its stage-2 tables, its hugepages
and the references to its pages.  Its methods are the small steps that several of those who work on it need; the calls
that a user sees are ``inode.GuestMemfd``'s.  Ranges are page indices, half-open; offsets of errors are bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import attrs

from gmemsim.errors import Again, Invalid, Poisoned
from gmemsim.gmem.attributes import Attributes
from gmemsim.gmem.filemap import Filemap
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.ranges import PinCounts, RangeSet
from gmemsim.gmem.stage2 import MappingKind, Stage2
from gmemsim.host.host import Host
from gmemsim.host.work import Work
from gmemsim.units import size_name


@attrs.define(eq=False)
class Stats:
    """What has happened to one inode so far; splits and merges are counted by (order, new order)."""

    splits: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    merges: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    optimise_failures: int = 0
    """Merges after which the vmemmap could not be optimised again."""
    rollback_failures: int = 0
    """Conversions of generation A whose rollback failed as well: the state is inconsistent."""


class InodeState:
    """The state of a guest_memfd of ``size`` bytes; see :class:`~gmemsim.gmem.inode.GuestMemfd` for the arguments."""

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
        generation = self.policy.generation_rule
        self.metadata_per_split_folio = generation.metadata_per_split
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
        self.metadata = ledger.holder("folio_metadata", name, object_bytes=generation.metadata_bytes)
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
            self.refuse_poisoned(start, end, 1)

    def refuse_poisoned(self, start: int, end: int, least_order: int) -> None:
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
        self.count_folios(hugepage.folios, -1)
        hugepage.folios = folios
        self.count_folios(folios, 1)

    def count_folios(self, folios: Counter[int], sign: int) -> None:
        """``folios`` appear (``sign`` 1) or disappear (-1): here and on the host."""
        for order, number in folios.items():
            self.folios[order] += sign * number
            self.host.folios[order] += sign * number
