# SPDX-License-Identifier: GPL-2.0-or-later
"""The inode: all state of one guest_memfd, and the small steps that several of those who work on it need.

What may live here: state, and methods that keep two parts of it in step (a folio is counted here and on the host).
What a call does is elsewhere: ``conversion`` (attributes), ``restructure`` (splits), ``merging`` (merges),
``population`` (memory in and out), ``stage2``; the calls themselves are ``guest``'s.  Each part of the state has few
writers:

=================================================  ==============================================
attributes                                         ``conversion``
hugepages' folios, restored vmemmap, descriptors   ``restructure``, ``merging``
hugepages, small, filemap roots, metadata          ``population``
host_mapped, pins, orphaned, poisoned, closed      ``guest`` (``population`` for holes)
touched                                            ``guest``, ``restructure``; ``population`` forgets
assigned                                           ``guest`` (``population`` for memory that goes)
stage2                                             ``guest``, ``conversion``, ``restructure``
=================================================  ==============================================

``check`` verifies how they fit together; a new part of the state belongs into the table above and into ``check``.
Ranges are page indices, half-open; offsets of errors are bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from gmemsim.errors import Again, Invalid, KernelError, OutOfMemory, Poisoned
from gmemsim.gmem.assigned import Assigned
from gmemsim.gmem.attributes import Attributes
from gmemsim.gmem.descent import Descent, Descents
from gmemsim.gmem.filemap import Filemap
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.pamt import DynamicPamt
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.ranges import PinCounts, RangeSet, gaps
from gmemsim.gmem.stage2 import LeafRule, MappingKind, Stage2
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import Host
from gmemsim.host.hugetlb import Subpool
from gmemsim.units import size_name


class Stats:
    """What has happened to one inode so far, whose folios have the orders ``rungs``, largest first.

    Splits and merges are counted by (order, new order).
    """

    def __init__(self, rungs: tuple[int, ...]) -> None:
        self._rungs = rungs
        self.descents: dict[Descent, int] = {}
        """How many folios were split along which way."""
        self.joined = [0] * (rungs[0] + 1)
        """Folios that merges have made, by order: of those of the rung below, whatever they were before."""
        self.unchanged = 0
        """Conversions of ranges that were already as wanted."""
        self.without_memory = 0
        """Conversions of ranges of which some memory is not allocated: there only the attributes change."""
        self.host_faults = 0
        """Calls by which the host touched shared memory: faults and pins."""
        self.zapped_in_vain = 0
        """Mapped base pages that conversions have taken out of the second stage and then not converted."""
        self.zapped: list[tuple[int, int, int]] = []
        """What the latest conversion has zapped: (start, end, base pages that were mapped)."""
        self.optimise_failures = 0
        """Merges after which the vmemmap could not be optimised again."""
        self.reversals = 0
        """Pieces that calls which failed had converted, or split, and have reversed, or tried to."""
        self.rollback_failures = 0
        """Conversions of generation A whose rollback failed as well: the state is inconsistent."""
        self.lost_hugepages = 0
        """Hugepages that a failed split of generation A could not put back into the filemap; their contents go too."""
        self.derived_splits = 0
        """Non-uniform splits around more than one page, which no kernel does: their counts are derived."""

    @property
    def splits(self) -> Counter[tuple[int, int]]:
        """Folios split, by (order, new order).  O(rungs)."""
        splits: Counter[tuple[int, int]] = Counter()
        for descent, times in self.descents.items():
            for order, new_order, number in descent.rungs:
                splits[order, new_order] += number * times
        return splits

    @property
    def merges(self) -> Counter[tuple[int, int]]:
        """Folios that merges have made, by (order, new order).  O(rungs)."""
        return Counter({(low, high): self.joined[high] for high, low in pairwise(self._rungs) if self.joined[high]})


def _refuse_unknown_machine(geometry: Geometry, name: str, backing: int, mapping: MappingKind) -> None:
    problem = None if backing == geometry.page_size else geometry.hugepage_problem(backing)
    problem = problem or geometry.mapping_problem(mapping, backing)
    if problem:
        raise Invalid(f"{name}: {problem}")


class Inode:
    """The state of a guest_memfd: ``host``, ``name``, ``size`` and ``backing`` in bytes, ``policy``, ``mapping``,
    ``vcpus``.

    These, ``initially_shared``, ``stage2`` and ``node`` are the arguments of :class:`~gmemsim.gmem.guest.GuestMemfd`,
    which also says what is refused.
    """

    def __init__(  # noqa: PLR0915 - one line a part of the state
        self,
        host: Host,
        name: str,
        size: int,
        backing: int,
        policy: Policy,
        mapping: MappingKind,
        initially_shared: bool,
        stage2: LeafRule,
        vcpus: int,
        node: int,
    ) -> None:
        self.host = host
        self.name = name
        self.policy = policy
        self.generation = policy.generation_rule
        self.work = host.work
        self.vcpus = vcpus
        self.page_shift = host.geometry.page_shift
        _refuse_unknown_machine(host.geometry, name, backing, mapping)
        self.page_order = host.geometry.order_of(backing)
        self._refuse_arguments(size, backing, initially_shared)
        self.pages = size >> self.page_shift
        self.rungs = policy.rungs(self.page_order, host.geometry)
        # shared pages are split down to this order at conversion: 0, unless some steps are for host faults
        self.conversion_order = policy.conversion_rungs(self.page_order, host.geometry)[-1]
        ledger = host.ledger
        attribute_nodes = ledger.holder("attributes", name)
        self.subpool: Subpool | None = None
        if self.page_order:
            self.subpool = host.pool.reserve(backing, size // backing, node)
            try:
                if policy.uses_hvo:
                    host.optimise_pool(backing)
                self.attributes = Attributes(self.pages, attribute_nodes, shared=False)
            except OutOfMemory:
                self.subpool.release()
                raise
        else:
            self.attributes = Attributes(self.pages, attribute_nodes, shared=initially_shared)
        self.filemap = Filemap(
            ledger.holder("filemap_nodes", name), host.kernel.xarray, host.work, host.kernel.account_nodes
        )
        self.waiting: dict[int, Hugepage] = {}
        """Hugepages with private pages that a policy of one's own will be asked of again, by their first page."""
        self.descents = Descents(self.filemap, self.rungs)
        self.metadata = ledger.holder("folio_metadata", name, object_bytes=self.generation.metadata_bytes)
        self.vmemmap = ledger.holder("vmemmap", name)
        self.memdesc = ledger.holder("memdesc", name)
        self.stage2 = self._make_stage2(mapping)
        self.leaves_follow_folios = stage2 == "follow-folio"  # no leaf may be larger than its folio
        self.assigned: Assigned | None = None
        """Pages that belong to the guest and no longer to the host; ``None`` of a guest that is not confidential."""
        if mapping != "plain":
            self.assigned = Assigned(host.geometry.pmd_order, host.work, rmp=mapping == "snp")
        self.hugepages: dict[int, Hugepage] = {}
        self.small = RangeSet()
        """Pages that base-page folios hold, without hugepages."""
        self.host_mapped = RangeSet()
        """Pages that some host process has mapped."""
        self.clears_at_touch = host.kernel.clearing == "touch"
        self.touched = RangeSet()
        """Pages of hugepages that guest or host have faulted in, or that a merge has zeroed; fallocate touches none."""
        self.poisoned = RangeSet()
        self.pins = PinCounts()
        self.orphaned = PinCounts()
        """References to base pages that a hole has taken out of the file, by the index they had."""
        self.folios_of = [0] * (self.page_order + 1)
        """Folios by order."""
        self.stats = Stats(self.rungs)
        self.closed = False
        self.at = 0
        """The page at which a call is that goes through a range: where it stops if memory runs out."""
        self.inconsistent = RangeSet()
        """Where a failed rollback of generation A has left attributes and folios that do not fit each other."""
        self._account()

    def _refuse_arguments(self, size: int, backing: int, initially_shared: bool) -> None:
        if size <= 0 or size % backing:
            raise Invalid(f"{self.name}: size {size_name(size)} is not a multiple of the backing {size_name(backing)}")
        if initially_shared and self.page_order:
            raise Invalid(f"{self.name}: a guest_memfd on hugepages starts private")

    def _make_stage2(self, mapping: MappingKind) -> Stage2:
        """The second stage, with Dynamic PAMT if this is a TD on a host that has it."""
        host, ledger = self.host, self.host.ledger
        pamt: DynamicPamt | None = None
        if mapping == "tdx" and host.kernel.pamt == "dynamic":
            pamt = DynamicPamt(ledger.holder("pamt", self.name), host.geometry.pmd_order, self.attributes)
        return Stage2(
            mapping, host.geometry, ledger.holder("stage2_page_tables", self.name), pamt, self.work, self.vcpus
        )

    def _account(self) -> None:
        """Tell the ledger what this knows of the objects that it holds."""
        self.metadata.known = self._known_metadata
        self.vmemmap.known = self._known_vmemmap
        self.memdesc.known = self._known_descriptors

    def _known_metadata(self) -> int:
        if self.generation.metadata_while_split:
            return sum([not hugepage.whole for hugepage in self.hugepages.values()])
        return len(self.hugepages)

    def _known_vmemmap(self) -> int:
        return sum([hugepage.restored for hugepage in self.hugepages.values()])

    def _known_descriptors(self) -> int:
        return sum(self.folios_of) if self.host.folio_descriptors else 0

    def locate(self, error: KernelError) -> None:
        """Memory ran out at the page ``at``: say so in ``error``; errors of other kinds know their place."""
        if isinstance(error, OutOfMemory):
            error.error_offset = self.offset(self.at)

    def offset(self, page: int) -> int:
        """Offset of ``page`` in bytes."""
        return page << self.page_shift

    def pieces(self, start: int, end: int) -> Iterable[tuple[int, int, Hugepage | None]]:
        """The pages ``start`` to ``end`` (not none) cut at hugepage bounds: (start, end, the hugepage if it is
        allocated).
        """
        order = self.page_order
        if not order:
            return ((start, end, None),)
        if start >> order == end - 1 >> order:  # one hugepage holds it all: the common case
            return ((start, end, self.hugepages.get(start >> order << order)),)
        return self._cut(start, end)

    def _cut(self, start: int, end: int) -> Iterator[tuple[int, int, Hugepage | None]]:
        mask = (1 << self.page_order) - 1
        while start < end:
            stop = min(end, (start | mask) + 1)
            yield start, stop, self.hugepages.get(start & ~mask)
            start = stop

    def is_allocated(self, start: int, end: int) -> bool:
        """Whether all pages ``start`` to ``end`` are allocated.

        O(hugepages of the range), or O(log ranges) of base pages.
        """
        if not self.page_order:
            return self.small.covers(start, end)
        order = self.page_order
        if start >> order == end - 1 >> order:  # one hugepage holds it all: the common case
            return start >> order << order in self.hugepages
        return all(first in self.hugepages for first in range(start >> order << order, end, 1 << order))

    def hugepage_at(self, page: int) -> Hugepage | None:
        """The hugepage that holds ``page``, if it has been allocated."""
        return self.hugepages.get(page >> self.page_order << self.page_order) if self.page_order else None

    def unmap_host(self, start: int, end: int) -> None:
        """Take the pages ``start`` to ``end`` away from every host process."""
        mapped = self.host_mapped.pages(start, end) if self.host_mapped.flips else 0
        if mapped:
            self.host_mapped.remove(start, end)
            self.work.host_pages_unmapped += mapped

    def zap(self, start: int, end: int) -> int:
        """Take the pages ``start`` to ``end`` away from the guest; it is kicked if it had mapped any.

        Returns how many base pages it had mapped.
        """
        zapped = self.stage2.zap(start, end) if self.stage2.mapped else 0
        if zapped:
            self.work.zapped_pages += zapped
            self.work.kicks += self.vcpus
        return zapped

    def touched_by_guest(self, start: int, end: int) -> None:
        """The guest has touched the pages ``start`` to ``end``: what of them is private and mapped belongs to it.

        To the ends of its leaves.  O(leaves' ranges of it).
        """
        if self.assigned is None:
            return
        start, end = self.stage2.whole_leaves(start, end)
        for low, high in list(gaps(self.attributes.shared_ranges(start, end), start, end)):
            for first, last, order in list(self.stage2.leaves(low, high)):
                self.assigned.add(first, last, large=order > 0)

    def give_back_shared(self, start: int, end: int) -> None:
        """What is shared now of the pages ``start`` to ``end`` is the host's.  O(shared ranges)."""
        if self.assigned is not None and not self.assigned.none():
            for low, high in list(self.attributes.shared_ranges(start, end)):
                self.assigned.give_back(low, high)

    def memory_goes(self, start: int, end: int) -> None:
        """The pages ``start`` to ``end`` have no memory any more: they are the host's."""
        if self.assigned is not None:
            self.assigned.give_back(start, end)

    def refuse_if_pinned(self, start: int, end: int) -> None:
        """Raise ``Again`` (EAGAIN) if one of the pages ``start`` to ``end`` is pinned.

        Its offset is that of the first such page.  It is a folio of its own, since the host has touched it.
        """
        page = self.pins.first_pinned(start, end)
        if page is not None:
            raise Again(f"page {page} is pinned", error_offset=self.offset(page))

    def refuse_to_split_poisoned(self, start: int, end: int) -> None:
        """Raise ``Poisoned`` if making ``start`` to ``end`` shared now would split a folio that has a memory error."""
        if self.poisoned.flips:  # where a fault splits, no folio is that large
            self.refuse_poisoned(start, end, self.conversion_order + 1)

    def refuse_poisoned(self, start: int, end: int, least_order: int) -> None:
        """Raise ``Poisoned`` if a folio of the pages ``start`` to ``end``, of ``least_order`` or more, has a memory
        error.
        """
        if not self.poisoned.flips:
            return
        for first, number, order in self.filemap.folios(start, end):
            if order < least_order:
                continue
            for page, _ in self.poisoned.ranges(first, first + (number << order)):
                where = self.offset(max(start, page >> order << order))
                raise Poisoned(f"page {page} has a memory error", error_offset=where)

    def vmemmap_needed(self, hugepage: Hugepage, folios: dict[int, int]) -> int:
        """vmemmap pages beyond those kept that ``folios`` (order → number) of ``hugepage`` need under the policy."""
        policy = self.policy
        if not policy.uses_hvo or hugepage.order in folios:
            return 0
        if policy.pieces_stay_optimised:
            return self.host.vmemmap.needed(folios, hugepage.order, reoptimised=True)
        return self.host.vmemmap.restored(hugepage.order)

    def count_folios(self, changes: Iterable[tuple[int, int]]) -> None:
        """Folios appear, or disappear: ``changes`` are (order, how many more), counted here and on the host."""
        here, host = self.folios_of, self.host.folios_of
        for order, more in changes:
            here[order] += more
            host[order] += more
