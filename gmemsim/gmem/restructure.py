# SPDX-License-Identifier: GPL-2.0-or-later
"""Splitting and merging the folios of one hugepage, as a policy wants it.

Theory of operation
-------------------
A *split* makes every page of a range a folio of its own, or stops at the order from which the policy leaves the rest to
the first host fault.  It walks down the policy's rungs: at each, only folios that hold such pages are split further.
It has three parts, so that the orderings of ``gmem.conversion`` can arrange them: a :class:`Split` is planned from what
the filemap holds; ``take_…`` obtain everything that can fail (XArray nodes, vmemmap pages, descriptors, metadata);
``split_entries`` and ``finish`` cannot fail.  :func:`split` carries it out in one of three sequences, whichever the
policy's kernel has (DOMAIN.md section 4):

* *generation B*: nodes, entries, vmemmap, descriptors; the entries are merged back if a later part fails;
* *level by level* (non-uniform splits, ``folio_split``): vmemmap and descriptors, then for each level its node, without
  sleeping, and its entries.  A failure leaves what has been split until then;
* *generation A*: the folio leaves the filemap, then vmemmap, metadata, descriptors, then its pages are added one by
  one.  A failure puts the folio back into the filemap.  That may need nodes and fail too: then the last reference to
  the hugepage is gone, and the hugepage with it (``Hugepage.lost``; whoever called takes it out of the file).

A folio that lies wholly in the range ends as base pages whatever the rungs are, so its entries are split in one step;
the splits counted are still those of every rung.

A *merge* works upwards: a block of a rung's order merges as soon as all of its pages are private.  It is a store at the
block's order.  That needs a node only where the tree has shrunk since the split and must grow again: after a hole, or
under generation A.  Optimising the vmemmap again can fail too, silently, where that needs a new head page (the newer
scheme with shared tail pages, DOMAIN.md section 5).  The same is true of the pieces of a split that are optimised
again.
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
    """Making the pages ``start`` to ``end`` of one hugepage folios of ``order`` (0: of their own) at most."""

    def __init__(self, inode: Inode, hugepage: Hugepage, start: int, end: int, order: int = 0) -> None:
        self.inode = inode
        self.hugepage = hugepage
        self.start = start
        self.end = end
        self.order = order
        self.steps = self._plan()
        self.folios = self._folios_after()
        """Folios of the hugepage by order after the split."""
        self.was_whole = hugepage.whole
        self.was_left_split = hugepage.left_split
        self.finished = False
        """Whether the folios, or those of the first steps, are split."""
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
            if order > self.order:
                self._plan_folio(index, order, steps)
            return steps
        for first, number, order in filemap.folios(start, self.end):
            if order > self.order:
                for index in range(first, first + (number << order), 1 << order):
                    self._plan_folio(index, order, steps)
        return steps

    def _folios_after(self) -> Counter[int]:
        folios: Counter[int] = self.hugepage.folios.copy()
        for step in self.steps:
            folios[step.new_order] += 1 << step.order - step.new_order
            folios[step.order] -= 1
            if not folios[step.order]:
                del folios[step.order]
        return folios

    def _plan_folio(self, index: int, order: int, steps: list[SplitStep]) -> None:
        below = tuple([rung for rung in self.inode.rungs if self.order <= rung < order])
        if self.start <= index and index + (1 << order) <= self.end:
            steps.append(SplitStep(index, order, below))
            return
        new_order = below[0]
        steps.append(SplitStep(index, order, (new_order,)))
        if new_order == self.order:
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
        """Take the new folios' descriptors and, where the kernel has one for a split, the metadata object.

        Raises ``OutOfMemory`` with neither held.
        """
        inode = self.inode
        new = self.folios.total() - self.hugepage.folios.total()
        if inode.host.folio_descriptors:
            inode.memdesc.alloc(new)
            self._descriptors = new
        if inode.generation.metadata_while_split and self.hugepage.whole:
            try:
                inode.metadata.alloc(1)
            except OutOfMemory:
                inode.memdesc.free(self._descriptors)
                self._descriptors = 0
                raise
            self._metadata = 1

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

    def stop_after(self, steps: int) -> None:
        """Only the first ``steps`` have been carried out: the rest of the plan goes, with what was taken for it."""
        self.steps = self.steps[:steps]
        before = self.folios.total()
        self.folios = self._folios_after()
        if self._descriptors:
            self.inode.memdesc.free(before - self.folios.total())
            self._descriptors -= before - self.folios.total()

    def finish(self) -> None:
        """The folios are split: count them, and optimise pieces that need less vmemmap than was restored."""
        inode, hugepage = self.inode, self.hugepage
        self.finished = True
        splits = inode.stats.splits
        for step in self.steps:
            for order, new_order, number in step.rungs():
                splits[order, new_order] += number
                inode.work.folios_split += number
                if inode.policy.counts_splits:
                    hugepage.count_split(order, step.index, step.index + (1 << step.order))
        inode.replace_folios(hugepage, self.folios)
        hugepage.restored += self._vmemmap
        all_there = self.was_whole and hugepage.restored == inode.host.vmemmap.restored(hugepage.order)
        if all_there and inode.policy.pieces_stay_optimised:
            _optimise_pieces(inode, hugepage)
        else:
            optimise(inode, hugepage)

    def undo(self) -> None:
        """Merge back what has been split; a split leaves the root, so that takes no node."""
        if not self.finished:
            return
        end = 0
        for step in self.steps:
            if step.index >= end:  # the steps after it are inside of it
                _merge_block(self.inode, self.hugepage, step.index, step.order, None)
                end = step.index + (1 << step.order)
        self.hugepage.left_split = self.was_left_split


def split(inode: Inode, hugepage: Hugepage, start: int, end: int, order: int = 0) -> None:
    """Split down to ``order`` in the sequence of the policy's kernel.

    Raises ``OutOfMemory`` with what that leaves (see above).
    """
    carry_out(Split(inode, hugepage, start, end, order))


def carry_out(plan: Split) -> None:
    """What :func:`split` does, of a split that has been planned."""
    inode = plan.inode
    if not plan.steps:
        return
    if inode.policy.splits_in_single_steps and plan.end - plan.start > 1:
        inode.stats.derived_splits += 1
    if inode.generation.splits_page_by_page:
        _split_page_by_page(plan)
    elif inode.policy.keeps_failed_steps:
        _split_level_by_level(plan)
    else:
        _split_at_once(plan)
    plan.finish()


def _split_at_once(plan: Split) -> None:
    """Generation B: on a failure the entries are merged back and the hugepage is as it was."""
    plan.take_nodes()
    plan.split_entries()
    try:
        plan.take_vmemmap()
        plan.take_descriptors()
    except OutOfMemory:
        plan.merge_entries_back()
        plan.give_back()
        raise


def _split_level_by_level(plan: Split) -> None:
    """``folio_split`` around the range: a failure leaves the levels that have been split."""
    inode, hugepage = plan.inode, plan.hugepage
    plan.take_vmemmap()
    try:
        plan.take_descriptors()
    except OutOfMemory:
        plan.give_back()
        raise
    done = 0
    try:
        for step in plan.steps:
            inode.filemap.split_on_the_spot(step.index, step.order, step.new_order)
            done += 1
    except OutOfMemory:
        if not done:
            plan.give_back()
            raise
        plan.stop_after(done)
        plan.finish()
        hugepage.left_split = True
        raise


def _split_page_by_page(plan: Split) -> None:
    """Generation A: on a failure the folios are put back, the last first."""
    filemap, hugepage = plan.inode.filemap, plan.hugepage
    filemap.remove(plan.steps[0].index, plan.steps[0].order)
    begun = 1  # steps whose folio has been taken out of the filemap
    try:
        plan.take_vmemmap()
        plan.take_descriptors()
        for step in plan.steps:
            filemap.replace(step.index, step.order, step.new_order, hugepage)
            begun += 1
    except OutOfMemory:
        plan.give_back()
        try:
            for step in reversed(plan.steps[:begun]):
                filemap.put_back(step.index, step.order, hugepage)
        except OutOfMemory:
            hugepage.lost = True
        raise


def merge_whole(inode: Inode, hugepage: Hugepage, nodes: Prealloc) -> None:
    """Merge the whole hugepage, since its memory goes back to the pool; policy and attributes do not matter.

    ``nodes`` are what :func:`reserve_merge` has taken; what is left of them goes back.
    """
    if not hugepage.whole:
        _merge_block(inode, hugepage, hugepage.first, hugepage.order, nodes)
    nodes.close()


def reserve_merge(inode: Inode, hugepage: Hugepage) -> Prealloc:
    """Take the nodes that merging the whole hugepage will need, so that it cannot fail; raises ``OutOfMemory``."""
    if hugepage.whole:
        return inode.filemap.preallocate(0)
    return inode.filemap.reserve_merge(hugepage.first, hugepage.order)


def merge_outside(inode: Inode, hugepage: Hugepage) -> None:
    """Merge a hugepage that is in no filemap (any more): nothing is stored, so nothing can fail."""
    if not hugepage.whole:
        _joined(inode, hugepage, hugepage.folios.copy(), hugepage.order)


def merge(inode: Inode, hugepage: Hugepage, start: int, end: int, nodes: Prealloc | None = None) -> None:
    """Merge what may be merged once the pages ``start`` to ``end`` are private (the attributes may not say so yet).

    Raises ``OutOfMemory`` where the filemap must grow for it and ``nodes`` (of :func:`reserve_merge`) are not given.
    """
    if inode.policy.merges_early and not hugepage.whole:
        _merge_within(inode, hugepage, hugepage.first, hugepage.order, start, end, nodes)


def _merge_within(
    inode: Inode, hugepage: Hugepage, index: int, order: int, start: int, end: int, nodes: Prealloc | None
) -> None:
    """Merge the largest private blocks within the block of ``order`` at ``index`` that touch ``start`` to ``end``."""
    private = inode.attributes.all_private
    others_private = private(index, max(index, start)) and private(end, max(end, index + (1 << order)))
    if others_private and inode.policy.may_merge(hugepage.times_split(order, index)):
        if inode.filemap.order_at(index) < order:
            _merge_block(inode, hugepage, index, order, nodes)
        return
    below = _rung_below(inode, order)
    if not below:
        return
    first = max(index, start >> below << below)
    for block in range(first, min(index + (1 << order), end), 1 << below):
        _merge_within(inode, hugepage, block, below, start, end, nodes)


def _rung_below(inode: Inode, order: int) -> int:
    for rung in inode.rungs:
        if rung < order:
            return rung
    return 0


def _merge_block(inode: Inode, hugepage: Hugepage, index: int, order: int, nodes: Prealloc | None) -> None:
    """Make one folio of the block; everything in it is smaller."""
    inside = _folios_inside(inode, hugepage, index, order)
    inode.filemap.merge(index, order, hugepage, nodes)
    _joined(inode, hugepage, inside, order)


def _joined(inode: Inode, hugepage: Hugepage, inside: Counter[int], order: int) -> None:
    """The folios ``inside`` a block have become one of ``order``: count it, and free what it needs no more."""
    _count_merges(inode, inside, order)
    inode.work.folios_merged += inside.total()
    folios = hugepage.folios - inside if order < hugepage.order else Counter[int]()
    folios[order] += 1
    if inode.host.folio_descriptors:
        inode.memdesc.free(inside.total() - 1, rcu=True)
    if order == hugepage.order:
        hugepage.left_split = False
        if inode.generation.metadata_while_split:
            inode.metadata.free(1)
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
    if surplus > 0:
        hugepage.optimise_failed = not _optimise_folio(inode, hugepage, surplus)


def _optimise_pieces(inode: Inode, hugepage: Hugepage) -> None:
    """Optimise each piece that is a hugepage itself, one call for each; those that fail keep their vmemmap.

    The hugepage has just been split and all of its vmemmap is there.
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
