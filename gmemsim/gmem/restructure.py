# SPDX-License-Identifier: GPL-2.0-or-later
"""Splitting and merging the folios of one hugepage, as a policy wants it.

Theory of operation
-------------------
A *split* makes every page of a range a folio of its own.  It walks down the policy's rungs: at each, only folios that
hold such pages are split further.  It has three parts, so that the orderings of ``gmem.conversion`` can arrange them:
a :class:`Split` is planned from what the filemap holds; ``take_…`` obtain everything that can fail (XArray nodes,
vmemmap pages, descriptors, metadata); ``split_entries`` and ``finish`` cannot fail.  Generation B interleaves them
(DOMAIN.md section 4): nodes, entries, vmemmap, descriptors, and merges the entries back if a later part fails.

A folio that lies wholly in the range ends as base pages whatever the rungs are, so its entries are split in one step;
the splits counted are still those of every rung.

A *merge* works upwards: a block of a rung's order merges as soon as all of its pages are private.  It is a store at the
block's order, allocates no nodes, and cannot fail; only optimising the vmemmap again can, silently, where that needs a
new head page (the newer scheme with shared tail pages, DOMAIN.md section 5).  The same is true of the pieces of a split
that are optimised again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.xarray import Prealloc


class SplitStep:
    """The entry of ``order`` at ``index`` becomes entries of the last of ``orders``, passing through the others."""

    __slots__ = ("index", "new_order", "order", "orders")

    def __init__(self, index: int, order: int, orders: tuple[int, ...]) -> None:
        self.index = index
        self.order = order
        self.orders = orders
        self.new_order = orders[-1]

    def rungs(self) -> Iterator[tuple[int, int, int]]:
        """(order, next order, folios split) for every rung passed."""
        above = self.order
        for below in self.orders:
            yield above, below, 1 << self.order - above
            above = below


class Split:
    """Making the pages ``start`` to ``end`` of one hugepage folios of their own."""

    def __init__(self, inode: Inode, hugepage: Hugepage, start: int, end: int) -> None:
        self.inode = inode
        self.hugepage = hugepage
        self.start = start
        self.end = end
        self.steps = self._plan()
        self.folios: Counter[int] = hugepage.folios.copy()
        """Folios of the hugepage by order after the split."""
        for step in self.steps:
            self.folios[step.new_order] += 1 << step.order - step.new_order
            self.folios[step.order] -= 1
            if not self.folios[step.order]:
                del self.folios[step.order]
        self._nodes: Prealloc | None = None
        self._vmemmap = 0
        self._descriptors = 0
        self._metadata = 0

    def _plan(self) -> list[SplitStep]:
        steps: list[SplitStep] = []
        filemap, start = self.inode.filemap, self.start
        order = filemap.order_at(start)
        index = start >> order << order
        if self.end <= index + (1 << order):  # one folio holds it all: the common case
            if order:
                self._plan_folio(index, order, steps)
            return steps
        for first, number, order in filemap.folios(start, self.end):
            if order:
                for index in range(first, first + (number << order), 1 << order):
                    self._plan_folio(index, order, steps)
        return steps

    def _plan_folio(self, index: int, order: int, steps: list[SplitStep]) -> None:
        below = tuple([rung for rung in self.inode.rungs if rung < order])
        if self.start <= index and index + (1 << order) <= self.end:
            steps.append(SplitStep(index, order, below))
            return
        new_order = below[0]
        steps.append(SplitStep(index, order, (new_order,)))
        if not new_order:
            return
        size = 1 << new_order
        first = max(index, self.start >> new_order << new_order)
        for piece in range(first, min(index + (1 << order), self.end), size):
            self._plan_folio(piece, new_order, steps)

    # -- what can fail ---------------------------------------------------------------------------------------------

    def take_nodes(self) -> None:
        """Take the XArray nodes of all steps; raises ``OutOfMemory`` also where the kernel refuses the depth."""
        filemap = self.inode.filemap
        nodes = 0
        for step in self.steps:
            if not self.inode.policy.splits_in_single_steps:
                for order, new_order, _ in step.rungs():
                    filemap.check_depth(order, new_order)
            nodes += filemap.nodes_for(step.order, step.new_order)
        self._nodes = filemap.preallocate(nodes)

    def take_vmemmap(self) -> None:
        """Restore the vmemmap that the pieces need; all or nothing, raises ``OutOfMemory``."""
        inode, hugepage, work = self.inode, self.hugepage, self.inode.work
        needed = inode.vmemmap_needed(hugepage, self.folios)
        restore = max(0, needed - hugepage.restored)
        if inode.policy.restores_all_first and not hugepage.restored and needed:
            restore = inode.host.vmemmap.restored(hugepage.order)
        if restore:
            inode.vmemmap.alloc(restore)
            work.restores += 1
            work.vmemmap_pages_restored += restore
            work.pages_copied += restore
            inode.host.count_flush()
        self._vmemmap = restore

    def take_descriptors(self) -> None:
        """Take the folio descriptors and generation A's metadata of the new folios; raises ``OutOfMemory``."""
        new = self.folios.total() - self.hugepage.folios.total()
        if self.inode.host.folio_descriptors:
            self.inode.memdesc.alloc(new)
            self._descriptors = new
        if self.inode.generation.metadata_per_split:
            try:
                self._take_metadata()
            except OutOfMemory:
                self.inode.memdesc.free(self._descriptors)
                self._descriptors = 0
                raise

    def _take_metadata(self) -> None:
        objects = (0 if self.hugepage.whole else -self.hugepage.folios.total()) + self.folios.total()
        self.inode.metadata.alloc(objects)
        self._metadata = objects

    def give_back(self) -> None:
        """Give back all that was taken and not used."""
        if self._nodes is not None:
            self._nodes.close()
        self.inode.vmemmap.free(self._vmemmap)
        self.inode.memdesc.free(self._descriptors)
        self.inode.metadata.free(self._metadata)
        self._vmemmap = self._descriptors = self._metadata = 0

    # -- what cannot -----------------------------------------------------------------------------------------------

    def split_entries(self) -> None:
        """Split the filemap's entries with the nodes taken."""
        assert self._nodes is not None
        for step in self.steps:
            self.split_entry(step)
        self._nodes.close()

    def split_entry(self, step: SplitStep) -> None:
        """Split the filemap's entry of one step; until the split is finished every slot holds the hugepage itself."""
        assert self._nodes is not None
        self.inode.filemap.split(step.index, step.order, step.new_order, self._nodes)

    def merge_entries_back(self) -> None:
        """Undo :meth:`split_entries` in reverse: the old entry at every step's order."""
        for step in reversed(self.steps):
            self.inode.filemap.merge(step.index, step.order, self.hugepage)

    def finish(self) -> None:
        """The folios are split: count them, and optimise pieces that need less vmemmap than was restored."""
        inode, hugepage = self.inode, self.hugepage
        splits = inode.stats.splits
        for step in self.steps:
            for order, new_order, number in step.rungs():
                splits[order, new_order] += number
                inode.work.folios_split += number
            hugepage.splits[step.index, step.order] += 1
        inode.replace_folios(hugepage, self.folios)
        hugepage.restored += self._vmemmap
        optimise(inode, hugepage)


def split(inode: Inode, hugepage: Hugepage, start: int, end: int) -> None:
    """Split in generation B's order; raises ``OutOfMemory`` with the hugepage as it was."""
    plan = Split(inode, hugepage, start, end)
    if not plan.steps:
        return
    plan.take_nodes()
    plan.split_entries()
    try:
        plan.take_vmemmap()
        plan.take_descriptors()
    except OutOfMemory:
        plan.merge_entries_back()
        plan.give_back()
        raise
    plan.finish()


def merge_whole(inode: Inode, hugepage: Hugepage) -> None:
    """Merge the whole hugepage, since its memory goes back to the pool; policy and attributes do not matter."""
    if not hugepage.whole:
        _merge_block(inode, hugepage, hugepage.first, hugepage.order)


def merge(inode: Inode, hugepage: Hugepage, start: int, end: int) -> None:
    """Merge what may be merged once the pages ``start`` to ``end`` are private (the attributes may not say so yet)."""
    if inode.policy.merges_early and not hugepage.whole:
        _merge_within(inode, hugepage, hugepage.first, hugepage.order, start, end)


def _merge_within(inode: Inode, hugepage: Hugepage, index: int, order: int, start: int, end: int) -> None:
    """Merge the largest private blocks within the block of ``order`` at ``index`` that touch ``start`` to ``end``."""
    private = inode.attributes.all_private
    others_private = private(index, max(index, start)) and private(end, max(end, index + (1 << order)))
    if others_private and inode.policy.may_merge(hugepage.splits[index, order]):
        if inode.filemap.order_at(index) < order:
            _merge_block(inode, hugepage, index, order)
        return
    below = _rung_below(inode, order)
    if not below:
        return
    first = max(index, start >> below << below)
    for block in range(first, min(index + (1 << order), end), 1 << below):
        _merge_within(inode, hugepage, block, below, start, end)


def _rung_below(inode: Inode, order: int) -> int:
    for rung in inode.rungs:
        if rung < order:
            return rung
    return 0


def _merge_block(inode: Inode, hugepage: Hugepage, index: int, order: int) -> None:
    """Make one folio of the block; everything in it is smaller."""
    inside = _folios_inside(inode, hugepage, index, order)
    if not inode.closed:
        inode.filemap.merge(index, order, hugepage)
    _count_merges(inode, inside, order)
    inode.work.folios_merged += inside.total()
    folios = hugepage.folios - inside if order < hugepage.order else Counter[int]()
    folios[order] += 1
    freed = inside.total() - 1
    if inode.host.folio_descriptors:
        inode.memdesc.free(freed, rcu=True)
    if inode.generation.metadata_per_split:
        inode.metadata.free(freed + (order == hugepage.order))
    inode.replace_folios(hugepage, folios)
    optimise(inode, hugepage)


def _folios_inside(inode: Inode, hugepage: Hugepage, index: int, order: int) -> Counter[int]:
    """Folios by order in a block that is split."""
    if order == hugepage.order:
        return hugepage.folios.copy()
    if order == inode.rungs[-2]:  # below the lowest rung but one there are base pages only
        return Counter({0: 1 << order})
    return inode.filemap.histogram(index, index + (1 << order))


def _count_merges(inode: Inode, inside: Counter[int], order: int) -> None:
    """Count the merges level by level that make one folio of ``order`` of the folios ``inside``."""
    if order == inode.rungs[-2]:  # of base pages, in one level
        inode.stats.merges[0, order] += 1
        return
    rungs = [rung for rung in reversed(inode.rungs) if rung <= order]
    for below, above in pairwise(rungs):
        there = sum([number << folio - above for folio, number in inside.items() if folio >= above])
        merged = (1 << order - above) - there
        if merged:
            inode.stats.merges[below, above] += merged


def optimise(inode: Inode, hugepage: Hugepage) -> None:
    """Free the vmemmap that the folios do not need any more; may fail silently and leave it as it is."""
    surplus = hugepage.restored - inode.vmemmap_needed(hugepage, hugepage.folios)
    if surplus <= 0:
        return
    if inode.host.kernel.shared_tail_pages:
        try:
            inode.vmemmap.alloc(1)  # a folio's new head page, one folio at a time; the old one goes with the others
        except OutOfMemory:
            inode.stats.optimise_failures += 1
            hugepage.optimise_failed = True
            return
        inode.vmemmap.free(1)
    hugepage.optimise_failed = False
    hugepage.restored -= surplus
    inode.vmemmap.free(surplus)
    inode.work.vmemmap_pages_freed += surplus
    inode.work.optimises += 1
    inode.host.count_flush()
