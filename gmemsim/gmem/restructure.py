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
from gmemsim.gmem.descent import Descent
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.xarray import Prealloc


class SplitStep:
    """The folio that holds ``page`` takes the way ``descent`` says."""

    __slots__ = ("descent", "page")

    def __init__(self, page: int, descent: Descent) -> None:
        self.page = page
        self.descent = descent

    def splits(self) -> list[tuple[int, int, int]]:
        """(index, order, new order) of every split of an entry, as the kernel makes them."""
        above, splits = self.descent.order, []
        for below in self.descent.orders[-1:] if self.descent.whole else self.descent.orders:
            splits.append((self.page >> above << above, above, below))
            above = below
        return splits


class Split:
    """Making the pages ``start`` to ``end`` of one hugepage folios of ``order`` (0: of their own) at most."""

    def __init__(self, inode: Inode, hugepage: Hugepage, start: int, end: int, order: int = 0) -> None:
        self.inode = inode
        self.hugepage = hugepage
        self.start = start
        self.end = end
        self.order = order
        self.was_whole = hugepage.whole
        self.was_left_split = hugepage.left_split
        self.finished = False
        """Whether the folios, or those of the first steps, are split."""
        self.steps = self._plan()
        self.folios = self._folios_after()
        """Folios of the hugepage by order after the split."""
        self._nodes: Prealloc | None = None
        self._needed = 0
        self._vmemmap = 0
        self._descriptors = 0
        self._metadata = 0

    def _plan(self) -> list[SplitStep]:
        steps: list[SplitStep] = []
        filemap, start = self.inode.filemap, self.start
        order = self.hugepage.order if self.was_whole else filemap.order_at(start)
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

    def _plan_folio(self, index: int, order: int, steps: list[SplitStep]) -> None:
        """Split the folio around the pages wanted as long as one piece holds them all, then each of its pieces."""
        descents = self.inode.descents
        low, high = max(index, self.start), min(index + (1 << order), self.end)
        if high - low == 1 << order:
            steps.append(SplitStep(index, descents.get(order, self.order, True)))
            return
        within = (low ^ high - 1).bit_length()  # the order of the smallest block that holds them
        fills = high - low == 1 << within
        new_order = max(self.order, descents.rung_at_most[within if fills else within - 1])
        steps.append(SplitStep(low, descents.get(order, new_order, False)))
        if new_order > self.order:
            for piece in range(low >> new_order << new_order, high, 1 << new_order):
                self._plan_folio(piece, new_order, steps)

    def _folios_after(self) -> dict[int, int]:
        folios = self.hugepage.folios.copy()
        for step in self.steps:
            for order, more in step.descent.changes:
                folios[order] = folios.get(order, 0) + more
            if not folios[step.descent.order]:
                del folios[step.descent.order]
        return folios

    # -- what can fail ---------------------------------------------------------------------------------------------

    def shrinking(self) -> list[tuple[int, int, int]]:
        """What leaves must not be larger than, where they follow the folios: ranges of (start, end, order)."""
        if not self.inode.leaves_follow_folios:
            return []
        splits = [split for step in self.steps for split in step.splits()]
        return [(index, index + (1 << order), new_order) for index, order, new_order in splits]

    def shrink_leaves(self) -> None:
        """Split the guest's leaves that will be larger than their folios, where they must not be.

        Raises ``OutOfMemory``; leaves split before it stay split.
        """
        for start, end, order in self.shrinking():
            self.inode.stage2.shrink_leaves(start, end, order)

    def take_nodes(self) -> None:
        """Take the XArray nodes of all steps; raises ``OutOfMemory`` also where the kernel refuses the depth."""
        filemap = self.inode.filemap
        nodes = 0
        for step in self.steps:
            if step.descent.refused is not None and not self.inode.policy.splits_in_single_steps:
                filemap.check_depth(*step.descent.refused)
            nodes += step.descent.nodes
        self._nodes = filemap.preallocate(nodes)

    def take_vmemmap(self) -> None:
        """Restore the vmemmap that the pieces need; all or nothing, raises ``OutOfMemory``."""
        inode, hugepage, work = self.inode, self.hugepage, self.inode.work
        self._needed = inode.vmemmap_needed(hugepage, self.folios)
        restore = max(0, self._needed - hugepage.restored)
        if inode.policy.restores_all_first and not hugepage.restored and self._needed:
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
        if inode.host.folio_descriptors:
            new = sum(self.folios.values()) - sum(self.hugepage.folios.values())
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
            for stretch in step.descent.stretches:
                self.inode.filemap.split(step.page, stretch.order, stretch.new_order, self._nodes, stretch.halves)
        self._nodes.close()

    def merge_entries_back(self) -> None:
        """Undo :meth:`split_entries` in reverse: the old entry at every order that was split."""
        for step in reversed(self.steps):
            for index, order, _ in reversed(step.splits()):
                self.inode.filemap.merge(index, order, self.hugepage)

    def stop_after(self, steps: int) -> bool:
        """Only the first ``steps`` have been carried out, and of the next what the filemap shows.

        The rest of the plan goes, with what was taken for it.  Returns whether anything is left of the plan.
        """
        stopped = self.steps[steps]
        self.steps = self.steps[:steps]
        order, reached = stopped.descent.order, self.inode.filemap.order_at(stopped.page)
        if reached < order:
            self.steps.append(SplitStep(stopped.page, self.inode.descents.get(order, reached, False)))
        before = sum(self.folios.values())
        self.folios = self._folios_after()
        self._needed = self.inode.vmemmap_needed(self.hugepage, self.folios)
        if self._descriptors:
            surplus = before - sum(self.folios.values())
            self.inode.memdesc.free(surplus)
            self._descriptors -= surplus
        return len(self.steps) > 0

    def finish(self) -> None:
        """The folios are split: count them, and optimise pieces that need less vmemmap than was restored."""
        inode, hugepage = self.inode, self.hugepage
        self.finished = True
        along = inode.stats.descents
        for step in self.steps:
            descent = step.descent
            along[descent] = along.get(descent, 0) + 1
            inode.work.folios_split += descent.folios_split
            if inode.policy.counts_splits:
                self._count_splits(step)
        inode.replace_folios(hugepage, self.folios)
        hugepage.restored += self._vmemmap
        if (
            inode.policy.pieces_stay_optimised
            and self.was_whole
            and hugepage.restored == inode.host.vmemmap.restored(hugepage.order)
        ):
            _optimise_pieces(inode, hugepage)
        else:
            optimise(inode, hugepage, self._needed)

    def undo(self) -> None:
        """Merge back what has been split; a split leaves the root, so that takes no node, and nothing is zeroed."""
        if not self.finished:
            return
        end = 0
        for step in self.steps:
            if step.page >= end:  # the steps after it are inside of its folio
                order = step.descent.order
                first = step.page >> order << order
                _merge_block(self.inode, self.hugepage, first, order, None)
                end = first + (1 << order)
        self.hugepage.left_split = self.was_left_split

    def _count_splits(self, step: SplitStep) -> None:
        """Note in the hugepage which of its folios have been split once more."""
        for above, _, _ in step.descent.rungs:
            of_order = step.descent.order if step.descent.whole else above
            first = step.page >> of_order << of_order
            self.hugepage.count_split(above, first, first + (1 << of_order))


def shrink_leaves(inode: Inode, hugepage: Hugepage | None, start: int, end: int, order: int) -> None:
    """Split the leaves that :func:`split` down to ``order`` would find too large; for those who want it done earlier.

    Raises ``OutOfMemory``; leaves split before it stay split.
    """
    if inode.leaves_follow_folios and hugepage is not None:
        Split(inode, hugepage, start, end, order).shrink_leaves()


def split(inode: Inode, hugepage: Hugepage, start: int, end: int, order: int = 0) -> None:
    """Split down to ``order`` (0: base pages) in the sequence of the policy's kernel.

    Raises ``OutOfMemory`` with what that leaves (see above).
    """
    carry_out(Split(inode, hugepage, start, end, order))


def carry_out(plan: Split) -> None:
    """What :func:`split` does, of a split that has been planned.

    Where leaves follow the folios, those that would be too large are split first.
    """
    inode = plan.inode
    if not plan.steps:
        return
    plan.shrink_leaves()
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
            for stretch in step.descent.stretches:
                inode.filemap.split_on_the_spot(step.page, stretch.order, stretch.new_order, stretch.halves)
            done += 1
    except OutOfMemory:
        if not plan.stop_after(done):
            plan.give_back()
            raise
        plan.finish()
        hugepage.left_split = True
        raise


def _split_page_by_page(plan: Split) -> None:
    """Generation A: on a failure the folios are put back, the last first."""
    filemap, hugepage = plan.inode.filemap, plan.hugepage
    splits = [split for step in plan.steps for split in step.splits()]
    filemap.remove(splits[0][0], splits[0][1])
    begun = 1  # splits whose folio has been taken out of the filemap
    try:
        plan.take_vmemmap()
        plan.take_descriptors()
        for index, order, new_order in splits:
            filemap.replace(index, order, new_order, hugepage)
            begun += 1
    except OutOfMemory:
        plan.give_back()
        try:
            for index, order, _ in reversed(splits[:begun]):
                filemap.put_back(index, order, hugepage)
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
        _joined(inode, hugepage, hugepage.folios, hugepage.order)


def merge(inode: Inode, hugepage: Hugepage, start: int, end: int, nodes: Prealloc | None = None) -> None:
    """Merge what may be merged once the pages ``start`` to ``end`` are private (the attributes may not say so yet).

    Raises ``OutOfMemory`` where the filemap must grow for it and ``nodes`` (of :func:`reserve_merge`) are not given.
    """
    if inode.policy.merges_early and not hugepage.whole:
        private = inode.attributes.private_around(start, end)
        _merge_within(inode, hugepage, hugepage.first, hugepage.order, (start, end), private, nodes)


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
            _merge_block(inode, hugepage, index, order, nodes)
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
    return policy.always_merges_early or policy.may_merge(hugepage.times_split(order, index))


def _merge_block(inode: Inode, hugepage: Hugepage, index: int, order: int, nodes: Prealloc | None) -> None:
    """Make one folio of the block; everything in it is smaller."""
    inside = _folios_inside(inode, hugepage, index, order)
    inode.filemap.merge(index, order, hugepage, nodes)
    _joined(inode, hugepage, inside, order)


def _joined(inode: Inode, hugepage: Hugepage, inside: dict[int, int], order: int) -> None:
    """The folios ``inside`` a block have become one of ``order``: count it, and free what it needs no more."""
    _count_merges(inode, inside, order)
    joined = sum(inside.values())
    inode.work.folios_merged += joined
    folios = {}
    if order < hugepage.order:
        for smaller, number in hugepage.folios.items():
            left = number - inside.get(smaller, 0)
            if left:
                folios[smaller] = left
    folios[order] = folios.get(order, 0) + 1
    if inode.host.folio_descriptors:
        inode.memdesc.free(joined - 1, rcu=True)
    if order == hugepage.order:
        hugepage.left_split = False
        if inode.generation.metadata_while_split:
            inode.metadata.free(1)
    inode.replace_folios(hugepage, folios)
    optimise(inode, hugepage, inode.vmemmap_needed(hugepage, folios))


def _folios_inside(inode: Inode, hugepage: Hugepage, index: int, order: int) -> dict[int, int]:
    """Folios by order in a block that is split."""
    if order == hugepage.order:
        return hugepage.folios
    if order == inode.rungs[-2]:  # below the lowest rung but one there are base pages only
        return {0: 1 << order}
    return inode.filemap.histogram(index, index + (1 << order))


def _count_merges(inode: Inode, inside: dict[int, int], order: int) -> None:
    """Count the merges level by level that make one folio of ``order`` of the folios ``inside``."""
    merges, below, smaller = inode.stats.merges, 0, 0
    for above in reversed(inode.rungs[:-1]):
        if above > order:
            break
        smaller += inside.get(below, 0) << below  # pages in folios that are smaller than above
        if smaller:
            merges[below, above] += smaller >> above
        below = above


def optimise(inode: Inode, hugepage: Hugepage, needed: int) -> None:
    """Free the vmemmap beyond the ``needed`` pages; may fail silently and leave it as it is."""
    surplus = hugepage.restored - needed
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
