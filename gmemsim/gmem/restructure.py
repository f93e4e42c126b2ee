# SPDX-License-Identifier: GPL-2.0-or-later
"""Splitting the folios of one hugepage, as a policy wants it; ``gmem.merging`` is the way back.

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
"""

from __future__ import annotations

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.descent import Descent, Descents
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.merging import merge_block, optimise, optimise_pieces
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
    """Making the pages ``start`` to ``end`` of ``hugepage`` of ``inode`` smaller folios by ``steps``; :func:`plan`
    makes it.
    """

    def __init__(self, inode: Inode, hugepage: Hugepage, start: int, end: int, steps: list[SplitStep]) -> None:
        self.inode = inode
        self.hugepage = hugepage
        self.start = start
        self.end = end
        self.was_whole = hugepage.whole
        self.was_left_split = hugepage.left_split
        self.finished = False
        """Whether the folios, or those of the first steps, are split."""
        self.steps = steps
        self.folios = self._folios_after()
        """Folios of the hugepage by order after the split."""
        self._nodes: Prealloc | None = None
        self._needed = 0
        self._vmemmap = 0
        self._descriptors = 0
        self._metadata = 0

    def _folios_after(self) -> dict[int, int]:
        changes: list[tuple[int, int]] = []
        for step in self.steps:
            changes += step.descent.changes
        return self.hugepage.folios_after(changes)

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

        Raises ``OutOfMemory``; what was had until then is held.
        """
        inode = self.inode
        if inode.host.folio_descriptors:
            new = sum(self.folios.values()) - sum(self.hugepage.folios.values())
            inode.memdesc.alloc(new)
            self._descriptors = new
        if inode.generation.metadata_while_split and self.hugepage.whole:
            inode.metadata.alloc(1)
            self._metadata = 1

    def give_back(self) -> None:
        """Give back all that was taken and not used; the plan is of no use any more."""
        if self._nodes is not None:
            self._nodes.close()
        self.inode.vmemmap.free(self._vmemmap)
        self.inode.memdesc.free(self._descriptors)
        self.inode.metadata.free(self._metadata)

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
            inode.count_folios(descent.changes)
            if inode.policy.counts_splits:
                self._count_splits(step)
        hugepage.folios = self.folios
        hugepage.restored += self._vmemmap
        if (
            inode.policy.pieces_stay_optimised
            and self.was_whole
            and hugepage.restored == inode.host.vmemmap.restored(hugepage.order)
        ):
            optimise_pieces(inode, hugepage)
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
                merge_block(self.inode, self.hugepage, first, order, None)
                end = first + (1 << order)
        self.hugepage.left_split = self.was_left_split

    def _count_splits(self, step: SplitStep) -> None:
        """Note in the hugepage which of its folios have been split once more."""
        for above, _, _ in step.descent.rungs:
            of_order = step.descent.order if step.descent.whole else above
            first = step.page >> of_order << of_order
            self.hugepage.count_split(above, first, first + (1 << of_order))


def plan(inode: Inode, hugepage: Hugepage | None, start: int, end: int, order: int = 0) -> Split | None:
    """How to make the pages ``start`` to ``end`` of ``hugepage`` of ``inode`` folios of ``order`` at most.

    ``order`` 0, the default, makes each page a folio of its own.  ``None`` if they are that already, or if there is no
    hugepage (``None``).
    """
    if hugepage is None:
        return None
    steps: list[SplitStep] = []
    filemap = inode.filemap
    found = hugepage.order if hugepage.whole else filemap.order_at(start)
    index = start >> found << found
    if end <= index + (1 << found):  # one folio holds it all: the common case
        if found > order:
            _plan_folio(inode.descents, index, found, start, end, order, steps)
    else:
        for first, number, found in filemap.folios(start, end):
            if found > order:
                for index in range(first, first + (number << found), 1 << found):
                    _plan_folio(inode.descents, index, found, start, end, order, steps)
    return Split(inode, hugepage, start, end, steps) if steps else None


def _plan_folio(
    descents: Descents, index: int, found: int, start: int, end: int, order: int, steps: list[SplitStep]
) -> None:
    """Split the folio around the pages wanted as long as one piece holds them all, then each of its pieces."""
    if start <= index and index + (1 << found) <= end:
        steps.append(SplitStep(index, descents.get(found, order, True)))
        return
    low, high = max(index, start), min(index + (1 << found), end)
    within = (low ^ high - 1).bit_length()  # the order of the smallest block that holds them
    fills = high - low == 1 << within
    new_order = max(order, descents.rung_at_most[within if fills else within - 1])
    steps.append(SplitStep(low, descents.get(found, new_order, False)))
    if new_order > order:
        for piece in range(low >> new_order << new_order, high, 1 << new_order):
            _plan_folio(descents, piece, new_order, start, end, order, steps)


def shrink_leaves(inode: Inode, hugepage: Hugepage | None, start: int, end: int, order: int) -> None:
    """Split the leaves that :func:`split` down to ``order`` would find too large; for those who want it done earlier.

    They map the pages ``start`` to ``end`` of ``hugepage`` of ``inode``.  Raises ``OutOfMemory``; leaves split before
    it stay split.
    """
    if inode.leaves_follow_folios:
        planned = plan(inode, hugepage, start, end, order)
        if planned is not None:
            planned.shrink_leaves()


def split(inode: Inode, hugepage: Hugepage, start: int, end: int, order: int = 0) -> None:
    """Split the pages ``start`` to ``end`` of ``hugepage`` of ``inode`` in the sequence of the policy's kernel.

    Down to ``order`` (default: 0, base pages).  Raises ``OutOfMemory`` with what that leaves (see above).
    """
    planned = plan(inode, hugepage, start, end, order)
    if planned is not None:
        carry_out(planned)


def split_for_host(inode: Inode, start: int, end: int) -> None:
    """Make every page from ``start`` to ``end`` of ``inode`` a folio of its own, since the host touches it.

    The guest loses what it had mapped of them.  No leaf crosses a bound of the range: the pages are shared, and no
    large leaf maps a shared page.  Raises ``OutOfMemory`` with the offset.
    """
    try:
        for low, high, hugepage in inode.pieces(start, end):
            if hugepage is not None and any(order for _, _, order in inode.filemap.folios(low, high)):
                inode.at = low
                shrink_leaves(inode, hugepage, low, high, 0)
                inode.zap(low, high)
                split(inode, hugepage, low, high, 0)
    except OutOfMemory as error:
        inode.locate(error)
        raise


def carry_out(plan: Split) -> None:
    """What :func:`split` does, of a split that has been planned: ``plan``.

    Where leaves follow the folios, those that would be too large are split first.
    """
    inode = plan.inode
    if inode.leaves_follow_folios:
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
    """Generation A: the folio is taken out before anything is asked for; on a failure the folios are put back, the
    last first.
    """
    filemap, hugepage = plan.inode.filemap, plan.hugepage
    splits = [split for step in plan.steps for split in step.splits()]
    gone = filemap.remove(splits[0][0], splits[0][1])
    begun = 1  # splits whose folio has been taken out of the filemap
    try:
        plan.take_vmemmap()
        plan.take_descriptors()
        for index, order, new_order in splits:
            filemap.replace(index, order, new_order, hugepage, gone)
            begun, gone = begun + 1, 0
    except OutOfMemory:
        plan.give_back()
        try:
            for index, order, _ in reversed(splits[:begun]):
                filemap.put_back(index, order, hugepage)
        except OutOfMemory:
            hugepage.lost = True
        raise


def map_for_host(inode: Inode, start: int, end: int, must_map: bool) -> None:
    """The host touches the pages from ``start`` to ``end`` of ``inode``: split for it, and map them.

    ``must_map``: without asking a policy of one's own.

    Raises what :func:`split_for_host` raises.
    """
    if inode.policy.asks_of_touches and not must_map:
        _ask_and_split(inode, start, end)
    else:
        split_for_host(inode, start, end)
        inode.host_mapped.add(start, end)


def _ask_and_split(inode: Inode, start: int, end: int) -> None:
    """The host touches the range: split the folios of which the policy says so, and map them.

    The others are served without a mapping.  Raises what :func:`split_for_host` raises.
    """
    policy, now = inode.policy, inode.host.ledger.now
    for first, number, order in list(inode.filemap.folios(start, end)):
        for folio in range(first, first + (number << order), 1 << order):
            low, high = max(folio, start), min(folio + (1 << order), end)
            hugepage = inode.hugepage_at(folio)
            if order and hugepage is not None:
                touches = hugepage.count_touch(folio, folio + (1 << order))
                if not policy.may_split_at_touch(inode.name, inode.offset(folio), order, touches, now):
                    continue
                split_for_host(inode, low, high)
                hugepage.forget_touches(folio, folio + (1 << order))
            inode.host_mapped.add(low, high)
