# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory in and out of a guest_memfd: hugepages from the reservation and back, and single base pages.

Theory of operation
-------------------
The first touch of a hugepage takes it from the reservation, with what it holds as long as it lives: an entry in the
filemap and in the global registry, generation B's metadata, a descriptor.  If it holds shared pages already it is split
at once (DOMAIN.md section 4).  Each step that can fail gives back what the steps before it took.  A run of hugepages of
which none can fail is allocated in one step: that leaves the same, since only the order of allocations differs.

A guest_memfd without hugepages has folios of one base page; ranges of them come and go together.
"""

from __future__ import annotations

from typing import Final

from gmemsim.errors import OutOfMemory
from gmemsim.gmem import merging, restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.ranges import gaps
from gmemsim.host.foresight import cannot_fail
from gmemsim.host.ledger import Holder

PAGE = "page"
"""The entry of every order-0 folio of a guest_memfd that is not backed by hugepages."""

RUN: Final = 4096
"""The most hugepages that are allocated in one step."""


def populate(inode: Inode, start: int, end: int) -> None:
    """Give memory to every hugepage, or base page, of ``inode`` that touches the pages ``start`` to ``end`` and has
    none.

    Raises ``OutOfMemory`` (ENOMEM) with the offset; what was allocated before the failure stays.
    """
    try:
        if inode.page_order:
            _populate_hugepages(inode, start, end)
        else:
            for low, high in list(gaps(inode.small.ranges(start, end), start, end)):
                inode.at = low
                _add_small(inode, low, high)
    except OutOfMemory as error:
        inode.locate(error)
        raise


def _populate_hugepages(inode: Inode, start: int, end: int) -> None:
    order, there = inode.page_order, inode.hugepages
    first = start >> order << order
    while first < end:
        if first in there:
            number = 1
        elif (number := alike(inode, first, end)) > 1:
            _allocate_run(inode, first, number)
        else:
            inode.at = max(first, start)
            _allocate_hugepage(inode, first)
            number = 1
        first += number << order


def alike(inode: Inode, first: int, end: int) -> int:
    """How many hugepages of ``inode`` from page ``first`` on, up to ``end``, can be allocated in one step.

    They are all alike, and none can fail: they have no memory and no shared page, the pool has never handed them out,
    and the ledger has room for all.  Less than two if the first must be allocated by itself.
    """
    assert inode.subpool is not None
    order, there = inode.page_order, inode.hugepages
    most = min(RUN, -(first - end >> order))
    if inode.policy.splits_at_conversion:
        most = min(most, inode.attributes.private_around(first, first)[1] - first >> order)
    most = inode.subpool.fresh(most)
    number = next((n for n in range(most) if first + (n << order) in there), most)
    while number > 1 and not cannot_fail(inode.host.ledger, _needs(inode, first, number)):
        number //= 2
    return number


def _needs(inode: Inode, first: int, number: int) -> list[tuple[Holder, int]]:
    """The most that allocating so many hugepages from ``first`` on can take, without those that are split at once."""
    assert inode.subpool is not None
    metadata, descriptors = _lifelong_objects(inode)
    order, registry = inode.page_order, inode.host.registry
    page_number = inode.host.page_number(order, inode.subpool.next_fresh)
    return [
        (inode.metadata, metadata * number),
        (inode.memdesc, descriptors * number),
        (registry.holder, registry.most_nodes(page_number, order, number)),
        (inode.filemap.holder, inode.filemap.most_nodes(first, order, number)),
    ]


def _allocate_run(inode: Inode, first: int, number: int) -> None:
    """Allocate what :func:`alike` has found."""
    assert inode.subpool is not None
    order, indices = inode.page_order, inode.subpool.take_fresh(number)
    starts = range(first, first + (number << order), 1 << order)
    hugepages = [Hugepage(start, order, index) for start, index in zip(starts, indices, strict=True)]
    metadata, descriptors = _lifelong_objects(inode)
    inode.metadata.alloc(metadata * number)
    inode.memdesc.alloc(descriptors * number)
    inode.host.registry.add_run(inode.host.page_number(order, indices[0]), order, number, inode)
    inode.filemap.add_run(first, order, hugepages)
    inode.count_folios([(order, number)])
    inode.hugepages.update(zip(starts, hugepages, strict=True))
    _count_allocations(inode, number)


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
    inode.count_folios([(hugepage.order, 1)])
    try:
        for low, high in inode.attributes.shared_ranges(first, hugepage.end):
            restructure.split(inode, hugepage, low, high, inode.conversion_order)
    except OutOfMemory:
        _drop(inode, hugepage)
        _give_back(inode, hugepage)
        raise
    inode.hugepages[first] = hugepage
    _count_allocations(inode, 1)


def _count_allocations(inode: Inode, hugepages: int) -> None:
    pages, work = hugepages << inode.page_order, inode.work
    work.allocations += hugepages
    work.pages_allocated += pages
    work.bytes_cleared += 0 if inode.clears_at_touch else inode.offset(pages)
    work.entries_stored += hugepages


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
    """``hugepage`` of ``inode``, whole and in no filemap any more, goes back to the pool.

    Or out of use, if it has a memory error.
    """
    _give_back(inode, hugepage)
    inode.memory_goes(hugepage.first, hugepage.end)
    del inode.hugepages[hugepage.first]
    for ranges in (inode.touched, inode.poisoned, inode.inconsistent):
        ranges.remove(hugepage.first, hugepage.end)


def lose(inode: Inode, hugepage: Hugepage) -> None:
    """``hugepage`` of ``inode`` could not be put back into the filemap: its last reference goes, and its contents with
    it.
    """
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
    inode.count_folios([(hugepage.order, -1)])
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
    except OutOfMemory:
        inode.memdesc.free(descriptors)
        raise
    inode.small.add(low, high)
    inode.count_folios([(0, high - low)])
    inode.work.entries_stored += high - low
    inode.work.base_pages_allocated += high - low
    inode.work.bytes_cleared += inode.offset(high - low)


def drop_small(inode: Inode, start: int, end: int) -> None:
    """Take the base pages ``start`` to ``end`` out of the file of ``inode``.

    Pinned ones live on as orphans until their last reference goes.
    """
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
        inode.count_folios([(0, low - high)])
