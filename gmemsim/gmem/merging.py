# SPDX-License-Identifier: GPL-2.0-or-later
"""Merging the folios of one hugepage, and optimising its vmemmap again, as a policy wants it.

Theory of operation
-------------------
A *merge* works upwards: a block of a rung's order merges as soon as all of its pages are private.  Pages of it that
were never touched are zeroed, since a folio is up to date as a whole (Tng, Jun 2026, DOMAIN.md section 10); *touched*
are pages that guest or host have faulted in, which fallocate does not do.  Memory that is merged on its way back to the
pool is assumed not to be zeroed for that.

A merge is a store at the block's order.  That needs a node only where the tree has shrunk since the split and must grow
again: after a hole, or under generation A.  Optimising the vmemmap again can fail too, silently, where that needs a new
head page (the newer scheme with shared tail pages, DOMAIN.md section 5).  The same is true of the pieces of a split
that are optimised again.
"""

from __future__ import annotations

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.ranges import gaps
from gmemsim.xarray import Prealloc


def merge_whole(inode: Inode, hugepage: Hugepage, nodes: Prealloc) -> None:
    """Merge all of ``hugepage`` of ``inode``, since its memory goes back to the pool; policy and attributes do not
    matter.

    ``nodes`` are what :func:`reserve_merge` has taken; what is left of them goes back.
    """
    if not hugepage.whole:
        merge_block(inode, hugepage, hugepage.first, hugepage.order, nodes)
    nodes.close()


def reserve_merge(inode: Inode, hugepage: Hugepage) -> Prealloc:
    """Take the nodes that merging all of ``hugepage`` of ``inode`` will need, so that it cannot fail.

    Raises ``OutOfMemory`` (ENOMEM) with nothing held.
    """
    if hugepage.whole:
        return inode.filemap.preallocate(0)
    return inode.filemap.reserve_merge(hugepage.first, hugepage.order)


def merge_outside(inode: Inode, hugepage: Hugepage) -> None:
    """Merge ``hugepage`` of ``inode``, in no filemap (any more): nothing is stored, so nothing can fail."""
    if not hugepage.whole:
        _joined(inode, hugepage, hugepage.folios, hugepage.order)


def merge(inode: Inode, hugepage: Hugepage, start: int, end: int, nodes: Prealloc | None = None) -> None:
    """Merge what may be merged of ``hugepage`` of ``inode`` once the pages ``start`` to ``end`` are private.

    The attributes may not say so yet.  Raises ``OutOfMemory`` where the filemap must grow for it and ``nodes`` of
    :func:`reserve_merge` (default: none) are not given.
    """
    if inode.policy.asks_of_merges:
        hugepage.note_private(start, end, inode.host.ledger.now)
        inode.waiting[hugepage.first] = hugepage
    if inode.policy.merges_early and not hugepage.whole:
        private = inode.attributes.private_around(start, end)
        _merge_within(inode, hugepage, hugepage.first, hugepage.order, (start, end), private, nodes)


def merge_waiting(inode: Inode) -> None:
    """Ask again of blocks of ``inode`` that were not merged when they could be; what cannot be merged now has to wait.

    O(private ranges of hugepages that are split).
    """
    for first, hugepage in list(inode.waiting.items()):
        if hugepage.whole or inode.hugepages.get(first) is not hugepage:
            del inode.waiting[first]
            continue
        shared = list(inode.attributes.shared_ranges(first, hugepage.end))
        for private in gaps(shared, first, hugepage.end):
            try:
                _merge_within(inode, hugepage, first, hugepage.order, private, private, None)
            except OutOfMemory:
                break


def _merge_within(
    inode: Inode,
    hugepage: Hugepage,
    index: int,
    order: int,
    pages: tuple[int, int],
    private: tuple[int, int],
    nodes: Prealloc | None,
) -> None:
    """Merge the largest private blocks within the block of ``order`` at ``index`` that touch ``pages``.

    ``private`` are the bounds around ``pages`` within which everything is private.
    """
    end = index + (1 << order)
    if private[0] <= index and end <= private[1] and _may_merge(inode, hugepage, index, order):
        if order == hugepage.order or inode.filemap.order_at(index) < order:
            merge_block(inode, hugepage, index, order, nodes)
            _zero_untouched(inode, index, index + (1 << order))
        return
    below = inode.descents.rung_at_most[order - 1]
    if not below:
        return
    first = max(index, pages[0] >> below << below)
    for block in range(first, min(end, pages[1]), 1 << below):
        _merge_within(inode, hugepage, block, below, pages, private, nodes)


def _zero_untouched(inode: Inode, start: int, end: int) -> None:
    """Zero what of a merged folio nobody has ever touched; it counts as touched from now on.  O(ranges touched)."""
    untouched = end - start - inode.touched.pages(start, end)
    if untouched:
        inode.touched.add(start, end)
        inode.work.bytes_zeroed += inode.offset(untouched)


def _may_merge(inode: Inode, hugepage: Hugepage, index: int, order: int) -> bool:
    policy = inode.policy
    if policy.asks_of_merges:
        now, end = inode.host.ledger.now, index + (1 << order)
        splits, since = hugepage.times_split(order, index), hugepage.private_since(index, end)
        return policy.may_merge_block(inode.name, inode.offset(index), order, now - since, splits, now)
    return policy.always_merges_early or policy.may_merge(hugepage.times_split(order, index))


def merge_block(inode: Inode, hugepage: Hugepage, index: int, order: int, nodes: Prealloc | None) -> None:
    """Make one folio of the block of ``order`` at ``index`` of ``hugepage`` of ``inode``; everything in it is smaller.

    Where the filemap must grow for it, the nodes are from ``nodes``; ``None``: from the ledger, which may refuse
    (ENOMEM).
    """
    inside = _folios_inside(inode, hugepage, index, order)
    inode.filemap.merge(index, order, hugepage, nodes)
    _joined(inode, hugepage, inside, order)


def _joined(inode: Inode, hugepage: Hugepage, inside: dict[int, int], order: int) -> None:
    """The folios ``inside`` a block have become one of ``order``: count it, and free what it needs no more."""
    _count_merges(inode, inside, order)
    joined = sum(inside.values())
    inode.work.folios_merged += joined
    changes = [*[(smaller, -number) for smaller, number in inside.items()], (order, 1)]
    inode.count_folios(changes)
    if inode.host.folio_descriptors:
        inode.memdesc.free(joined - 1, rcu=True)
    if order == hugepage.order:
        hugepage.left_split = False
        if inode.generation.metadata_while_split:
            inode.metadata.free(1)
    hugepage.folios = hugepage.folios_after(changes)
    optimise(inode, hugepage, inode.vmemmap_needed(hugepage, hugepage.folios))


def _folios_inside(inode: Inode, hugepage: Hugepage, index: int, order: int) -> dict[int, int]:
    """Folios by order in a block that is split."""
    if order == hugepage.order:
        return hugepage.folios
    if order == inode.rungs[-2]:  # below the lowest rung but one there are base pages only
        return {0: 1 << order}
    return inode.filemap.histogram(index, index + (1 << order))


def _count_merges(inode: Inode, inside: dict[int, int], order: int) -> None:
    """Count the merges level by level that make one folio of ``order`` of the folios ``inside``."""
    joined, below, smaller = inode.stats.joined, 0, 0
    for above in reversed(inode.rungs[:-1]):
        if above <= order:
            smaller += inside.get(below, 0) << below  # pages in folios that are smaller than above
            if smaller:
                joined[above] += smaller >> above
            below = above


def optimise(inode: Inode, hugepage: Hugepage, needed: int) -> None:
    """Free the vmemmap of ``hugepage`` of ``inode`` beyond the ``needed`` pages; may fail silently and leave it as it
    is.
    """
    surplus = hugepage.restored - needed
    if surplus > 0:
        hugepage.optimise_failed = not _optimise_folio(inode, hugepage, surplus)


def optimise_pieces(inode: Inode, hugepage: Hugepage) -> None:
    """Optimise each piece of ``hugepage`` that is a hugepage itself, one call for each; those that fail keep their
    vmemmap.

    The hugepage of ``inode`` has just been split and all of its vmemmap is there.
    """
    layout, failed = inode.host.vmemmap, False
    for order, number in hugepage.folios.items():
        if layout.optimizable(order):
            for _ in range(number):
                failed |= not _optimise_folio(inode, hugepage, layout.restored(order))
    hugepage.optimise_failed = failed


def _optimise_folio(inode: Inode, hugepage: Hugepage, pages: int) -> bool:
    """Free so many vmemmap ``pages`` of one folio; False, and nothing freed, if that could not be done."""
    if inode.host.kernel.shared_tail_pages:
        try:
            inode.vmemmap.alloc(1)  # a folio's new head page, one folio at a time; the old one goes with the others
        except OutOfMemory:
            inode.stats.optimise_failures += 1
            return False
        inode.vmemmap.free(1)
    hugepage.restored -= pages
    inode.vmemmap.free(pages)
    inode.work.vmemmap_pages_freed += pages
    inode.work.optimises += 1
    inode.host.count_flush()
    return True
