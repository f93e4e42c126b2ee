# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory in and out of a guest_memfd: hugepages from the pool's reservation, or base pages.

A first touch takes a whole hugepage and, if some of its pages are shared already, splits it at once; it is all or
nothing.  A hugepage goes back whole: whoever takes it out of the file merges it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem import restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.ranges import gaps
from gmemsim.gmem.state import InodeState
from gmemsim.host.ledger import Holder
from gmemsim.host.work import Work

PAGE = "page"
"""The entry of every order-0 folio of a guest_memfd that is not backed by hugepages."""


def populate(inode: InodeState, start: int, end: int, work: Work) -> None:
    """Give memory to every hugepage, or base page, that touches the range and has none.

    Raises ``OutOfMemory`` with the offset; what was allocated before the failure stays.
    """
    if not inode.page_order:
        _populate_small(inode, start, end, work)
        return
    for low, _, hugepage in inode.pieces(start, end):
        if hugepage is None:
            try:
                _allocate_hugepage(inode, low >> inode.page_order << inode.page_order, work)
            except KernelError as error:
                error.error_offset = inode.bytes(low)
                raise


def _allocate_hugepage(inode: InodeState, first: int, work: Work) -> None:
    """Take a hugepage from the reservation, and split it at once if it holds shared pages already."""
    assert inode.subpool is not None
    with ExitStack() as undo:
        pool_index = inode.subpool.take()
        undo.callback(inode.subpool.give_back, pool_index)
        restored = inode.host.unoptimised.pop((inode.page_order, pool_index), 0)
        inode.host.vmemmap_of_pool.hand_over(restored, inode.vmemmap)
        hugepage = Hugepage(first, inode.page_order, pool_index, restored)
        undo.callback(_leave_unoptimised, inode, hugepage)
        for holder, objects in _per_hugepage(inode):
            holder.alloc(objects)
            undo.callback(holder.free, objects)
        number = inode.host.page_number(hugepage.order, hugepage.pool_index)
        inode.host.registry.add(number, inode.page_order, inode)
        undo.callback(inode.host.registry.remove, number, inode.page_order)
        inode.filemap.add(first, inode.page_order, hugepage)
        undo.callback(inode.filemap.remove, first, inode.page_order)
        inode.count_folios(hugepage.folios, 1)
        undo.callback(lambda: inode.count_folios(hugepage.folios, -1))
        if inode.policy.when == "conversion":
            undo.callback(restructure.merge, inode, hugepage, first, hugepage.end, work, forced=True)
            for low, high in list(inode.attributes.shared_ranges(first, hugepage.end)):
                restructure.split(inode, hugepage, low, high, work)
        undo.pop_all()
    inode.hugepages[first] = hugepage
    work.allocations += 1
    work.entries_stored += 1


def _per_hugepage(inode: InodeState) -> Iterator[tuple[Holder, int]]:
    """What a whole hugepage holds for as long as it lives: (holder, objects)."""
    if not inode.metadata_per_split_folio:
        yield inode.metadata, 1
    if inode.host.folio_descriptors:
        yield inode.memdesc, 1


def retire(inode: InodeState, hugepage: Hugepage) -> None:
    """A whole hugepage that is in no filemap any more goes back to the pool, or out of use if it has a memory error."""
    assert inode.subpool is not None
    inode.count_folios(hugepage.folios, -1)
    inode.host.registry.remove(inode.host.page_number(hugepage.order, hugepage.pool_index), hugepage.order)
    for holder, objects in _per_hugepage(inode):
        holder.free(objects)
    if inode.poisoned.disjoint(hugepage.first, hugepage.end):
        _leave_unoptimised(inode, hugepage)
        inode.subpool.give_back(hugepage.pool_index)
    else:
        inode.vmemmap.free(hugepage.restored)
        inode.subpool.discard(hugepage.pool_index)
    del inode.hugepages[hugepage.first]
    for ranges in (inode.poisoned, inode.inconsistent):
        ranges.remove(hugepage.first, hugepage.end)


def _leave_unoptimised(inode: InodeState, hugepage: Hugepage) -> None:
    """A hugepage whose vmemmap could not be optimised goes back to the pool as it is; its next user finds it so."""
    if hugepage.restored:
        inode.vmemmap.hand_over(hugepage.restored, inode.host.vmemmap_of_pool)
        inode.host.unoptimised[hugepage.order, hugepage.pool_index] = hugepage.restored


def _populate_small(inode: InodeState, start: int, end: int, work: Work) -> None:
    for low, high in list(gaps(inode.small.ranges(start, end), start, end)):
        _add_small(inode, low, high, work)


def _add_small(inode: InodeState, low: int, high: int, work: Work) -> None:
    if inode.host.folio_descriptors:
        inode.memdesc.alloc(high - low)
    try:
        inode.filemap.add_pages(low, high, PAGE)
    except OutOfMemory as error:
        if inode.host.folio_descriptors:
            inode.memdesc.free(high - low)
        error.error_offset = inode.bytes(low)
        raise
    inode.small.add(low, high)
    inode.count_folios(Counter({0: high - low}), 1)
    work.entries_stored += high - low


def drop_small(inode: InodeState, start: int, end: int, work: Work) -> None:
    """Take the range's base pages out of the file; pinned ones live on as orphans until their last reference goes."""
    inode.unmap_host(start, end, work)
    work.zapped_pages += inode.stage2.zap(start, end)
    for low, high in list(inode.small.ranges(start, end)):
        inode.filemap.remove_pages(low, high)
        if inode.host.folio_descriptors:
            inode.memdesc.free(high - low)
        inode.small.remove(low, high)
        inode.poisoned.remove(low, high)
        for first, last, references in list(inode.pins.pinned(low, high)):
            inode.orphaned.change(first, last, references)
            inode.pins.change(first, last, -references)
        inode.count_folios(Counter({0: high - low}), -1)
