# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory in and out of a guest_memfd: hugepages from the reservation and back, and single base pages.

Theory of operation
-------------------
The first touch of a hugepage takes it from the reservation, with what it holds as long as it lives: an entry in the
filemap and in the global registry, generation B's metadata, a descriptor.  If it holds shared pages already it is split
at once (DOMAIN.md section 4).  Each step that can fail gives back what the steps before it took.

A guest_memfd without hugepages has folios of one base page; ranges of them come and go together.
"""

from __future__ import annotations

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem import merging, restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.ranges import gaps

PAGE = "page"
"""The entry of every order-0 folio of a guest_memfd that is not backed by hugepages."""


def populate(inode: Inode, start: int, end: int) -> None:
    """Give memory to every hugepage, or base page, that touches the range and has none.

    Raises ``OutOfMemory`` (ENOMEM) with the offset; what was allocated before the failure stays.
    """
    if not inode.page_order:
        for low, high in list(gaps(inode.small.ranges(start, end), start, end)):
            _add_small(inode, low, high)
        return
    for low, _, hugepage in inode.pieces(start, end):
        if hugepage is None:
            try:
                _allocate_hugepage(inode, low >> inode.page_order << inode.page_order)
            except KernelError as error:
                error.error_offset = inode.offset(low)
                raise


def _allocate_hugepage(inode: Inode, first: int) -> None:
    """Take a hugepage from the reservation, and split it at once if it holds shared pages already."""
    assert inode.subpool is not None
    pool_index = inode.subpool.take()
    restored = inode.host.unoptimised.pop((inode.page_order, pool_index), 0)
    if restored:
        inode.host.vmemmap_of_pool.hand_over(restored, inode.vmemmap)
    hugepage = Hugepage(first, inode.page_order, pool_index, restored)
    try:
        _take_lifelong(inode, hugepage)
    except OutOfMemory:
        _leave_unoptimised(inode, hugepage)
        inode.subpool.give_back(pool_index)
        raise
    inode.count_folios(hugepage.order, 1)
    if inode.policy.splits_at_conversion and not inode.attributes.all_private(first, hugepage.end):
        try:
            for low, high in list(inode.attributes.shared_ranges(first, hugepage.end)):
                restructure.split(inode, hugepage, low, high, inode.conversion_order)
        except OutOfMemory:
            _drop(inode, hugepage)
            _give_back(inode, hugepage)
            raise
    inode.hugepages[first] = hugepage
    inode.work.allocations += 1
    inode.work.pages_allocated += 1 << inode.page_order
    inode.work.bytes_cleared += inode.offset(1 << inode.page_order)
    inode.work.entries_stored += 1


def _take_lifelong(inode: Inode, hugepage: Hugepage) -> None:
    """Take what a whole hugepage holds as long as it lives, all or nothing: objects, registry, filemap."""
    host, number = inode.host, inode.host.page_number(hugepage.order, hugepage.pool_index)
    metadata, descriptors = _lifelong_objects(inode)
    inode.metadata.alloc(metadata)
    try:
        inode.memdesc.alloc(descriptors)
        try:
            host.registry.add(number, hugepage.order, inode)
            try:
                inode.filemap.add(hugepage.first, hugepage.order, hugepage)
            except OutOfMemory:
                host.registry.remove(number, hugepage.order)
                raise
        except OutOfMemory:
            inode.memdesc.free(descriptors)
            raise
    except OutOfMemory:
        inode.metadata.free(metadata)
        raise


def _lifelong_objects(inode: Inode) -> tuple[int, int]:
    """What a whole hugepage holds: metadata objects, folio descriptors."""
    return int(not inode.generation.metadata_while_split), int(inode.host.folio_descriptors)


def retire(inode: Inode, hugepage: Hugepage) -> None:
    """A whole hugepage that is in no filemap any more goes back to the pool, or out of use if it has a memory error."""
    _give_back(inode, hugepage)
    inode.memory_goes(hugepage.first, hugepage.end)
    del inode.hugepages[hugepage.first]
    for ranges in (inode.touched, inode.poisoned, inode.inconsistent):
        ranges.remove(hugepage.first, hugepage.end)


def lose(inode: Inode, hugepage: Hugepage) -> None:
    """A hugepage that could not be put back into the filemap: its last reference goes, and its contents with it."""
    inode.stats.lost_hugepages += 1
    inode.unmap_host(hugepage.first, hugepage.end)
    inode.zap(hugepage.first, hugepage.end)
    _drop(inode, hugepage)
    retire(inode, hugepage)


def _drop(inode: Inode, hugepage: Hugepage) -> None:
    """Take a hugepage, in whatever pieces it is, out of the filemap; it is whole then.  Erasing needs no memory."""
    inode.filemap.remove_range(hugepage.first, hugepage.end)
    merging.merge_outside(inode, hugepage)


def _give_back(inode: Inode, hugepage: Hugepage) -> None:
    assert inode.subpool is not None
    inode.count_folios(hugepage.order, -1)
    inode.host.registry.remove(inode.host.page_number(hugepage.order, hugepage.pool_index), hugepage.order)
    metadata, descriptors = _lifelong_objects(inode)
    inode.memdesc.free(descriptors)
    inode.metadata.free(metadata)
    if inode.poisoned.disjoint(hugepage.first, hugepage.end):
        _leave_unoptimised(inode, hugepage)
        inode.subpool.give_back(hugepage.pool_index)
    else:
        inode.vmemmap.free(hugepage.restored)
        inode.subpool.discard(hugepage.pool_index)


def _leave_unoptimised(inode: Inode, hugepage: Hugepage) -> None:
    """A hugepage whose vmemmap could not be optimised goes back to the pool as it is; its next user finds it so."""
    if hugepage.restored:
        inode.vmemmap.hand_over(hugepage.restored, inode.host.vmemmap_of_pool)
        inode.host.unoptimised[hugepage.order, hugepage.pool_index] = hugepage.restored


def _add_small(inode: Inode, low: int, high: int) -> None:
    descriptors = high - low if inode.host.folio_descriptors else 0
    inode.memdesc.alloc(descriptors)
    try:
        inode.filemap.add_folios(low, high, 0, PAGE)
    except OutOfMemory as error:
        inode.memdesc.free(descriptors)
        error.error_offset = inode.offset(low)
        raise
    inode.small.add(low, high)
    inode.count_folios(0, high - low)
    inode.work.entries_stored += high - low
    inode.work.base_pages_allocated += high - low
    inode.work.bytes_cleared += inode.offset(high - low)


def drop_small(inode: Inode, start: int, end: int) -> None:
    """Take the range's base pages out of the file; pinned ones live on as orphans until their last reference goes."""
    inode.unmap_host(start, end)
    inode.zap(start, end)
    for low, high in list(inode.small.ranges(start, end)):
        inode.filemap.remove_range(low, high)
        if inode.host.folio_descriptors:
            inode.memdesc.free(high - low)
        inode.small.remove(low, high)
        inode.memory_goes(low, high)
        inode.poisoned.remove(low, high)
        for first, last, references in list(inode.pins.pinned(low, high)):
            inode.orphaned.change(first, last, references)
            inode.pins.change(first, last, -references)
        inode.count_folios(0, low - high)
