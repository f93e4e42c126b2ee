# SPDX-License-Identifier: GPL-2.0-or-later
"""The orderings of a conversion: what happens first, and what a failure leaves behind.

Theory of operation
-------------------
A conversion zaps the range, restructures folios and stores attributes; which comes first decides what a failure leaves.
The row of each ordering in ``gmem.rules`` says it step by step (``gmemsim policies`` prints that, and docs/failures.md
shows it in runs); in short:

``restructure-first`` (generation B): one hugepage at a time.  Each is zapped, restructured, then its attributes are
stored.  A failure stops the loop: hugepages before it stay converted, the failing one keeps its attributes and folios,
but its zap is not undone (the guest faults the pages in again).

``block-abort`` (Christopherson's suggestion, on B): the same, but the leaves of the second stage are blocked instead of
zapped.  If the restructuring fails they are restored, so the guest faults nothing in again; only success removes them.

``attributes-first`` (generation A): every range that differs is zapped and checked; then for each the attributes are
stored before its folios are restructured.  On a failure what was done is reversed, last first.  The reversal needs
memory itself and may fail; that leaves an inconsistent state, which is counted and which ``inconsistent`` shows.  A
split that cannot put its folio back into the filemap loses the hugepage.

``reserve-first`` (Zhao's suggestion): everything that can fail, for the whole call, happens before anything is torn
down: reference checks, attribute nodes, stage-2 tables, XArray nodes (of a merge too, where the filemap must grow for
it), vmemmap pages, descriptors.  A failure leaves everything as it was.  The price is the peak: all reservations of a
call exist at once.

``split-first`` (generation D): seven steps for the whole call (DOMAIN.md section 10).  1: the attributes' memory and,
to-private, the node that a merge may need.  2: to-private, unmap host users and check references; to-shared, split all
hugepages of the range.  3: invalidate begin, and to-shared split the stage-2 leaves that cross the range.  4: zap, the
point of no return.  5, 6: store the attributes with the memory of step 1, invalidate end.  7: to-private, merge, which
allocates nothing.  So nothing is zapped in vain.  What a failure in 2 or 3 has split is merged back or stays split
(``on_split_failure``: neither is decided); the host mappings of step 2 are gone; leaves that were split stay split, and
a TDX guest can never map them large again.

To-private unmaps host users, then checks references (a pinned folio gives EAGAIN).  To-shared checks no references,
since the guest is the only user of private memory, but must split stage-2 leaves that cross the range, which may fail;
and a folio with a memory error is not split (EHWPOISON).

A new ordering is a procedure here, a row of :data:`PROCEDURES`, and its row in ``gmem.rules``.
"""

from __future__ import annotations

from collections.abc import Callable

from gmemsim.errors import KernelError
from gmemsim.gmem import merging, population, restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.rules import (
    ATTRIBUTES_FIRST,
    BLOCK_ABORT,
    RESERVE_FIRST,
    RESTRUCTURE_FIRST,
    SPLIT_FIRST,
    Ordering,
)
from gmemsim.xarray import Prealloc

Piece = tuple[int, int, Hugepage | None]
"""A range of pages within one hugepage: start, end, the hugepage if it has been allocated."""

Procedure = Callable[[Inode, int, int, bool], None]
"""Converts the pages from start to end of an inode to shared (or private); raises ``Again`` or ``OutOfMemory``."""


def convert(procedure: Procedure, inode: Inode, start: int, end: int, shared: bool) -> None:
    """Convert by ``procedure``; if it fails, count what it has zapped of pieces that it has not converted.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private.  Raises what the procedure raises:
    ``Again`` (EAGAIN), ``OutOfMemory`` (ENOMEM), ``Poisoned`` (EHWPOISON), with ``error_offset``.
    """
    inode.stats.zapped.clear()
    try:
        procedure(inode, start, end, shared)
    except KernelError as error:
        inode.locate(error)
        for low, high, pages in inode.stats.zapped:
            converted = inode.attributes.all_are(low, high, shared=shared) and inode.inconsistent.disjoint(low, high)
            inode.stats.zapped_in_vain += 0 if converted else pages
        raise


def restructure_first(inode: Inode, start: int, end: int, shared: bool) -> None:
    """Generation B: one hugepage after the other, its attributes last.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private; errors as in :func:`convert`.
    """
    _one_by_one(inode, start, end, shared, blocks=False)


def block_abort(inode: Inode, start: int, end: int, shared: bool) -> None:
    """Generation B with leaves that stay, blocked, until nothing can fail any more.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private; errors as in :func:`convert`.
    """
    _one_by_one(inode, start, end, shared, blocks=True)


def _one_by_one(inode: Inode, start: int, end: int, shared: bool, blocks: bool) -> None:
    """One hugepage after the other; if it ``blocks``, the zap comes last.

    Between two calls nobody sees a blocked leaf: it is gone, or restored.
    """
    attributes = inode.attributes
    for low, high, hugepage in inode.pieces(start, end):
        if (low, high) != (start, end) and attributes.all_are(low, high, shared=shared):
            continue  # the caller has asked about the whole range
        inode.at = low
        nodes = attributes.preallocate(low, high)
        try:
            _prepare(inode, low, high, shared)
            if not blocks:
                _zap(inode, low, high)
            _restructure(inode, hugepage, low, high, shared)
        except KernelError:
            attributes.give_back(nodes)
            raise
        if blocks:
            _zap(inode, low, high)
        attributes.store(low, high, shared=shared, preallocated=nodes)


def attributes_first(inode: Inode, start: int, end: int, shared: bool) -> None:
    """Generation A: zap everything, then store and restructure piece by piece; reverse all on a failure.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private; errors as in :func:`convert`.
    """
    pieces = [
        piece
        for low, high in inode.attributes.differing(start, end, shared=shared)
        for piece in inode.pieces(low, high)
    ]
    for low, high, _ in pieces:
        inode.at = low
        _tear_down(inode, low, high, shared)
    done: list[Piece] = []
    for low, high, hugepage in pieces:
        inode.at = low
        try:
            nodes = inode.attributes.preallocate(low, high)
            inode.attributes.store(low, high, shared=shared, preallocated=nodes)
            done.append((low, high, hugepage))
            _restructure(inode, hugepage, low, high, shared)
            inode.inconsistent.remove(low, high)
        except KernelError:
            _lose(inode, hugepage)
            inode.stats.reversals += len(done)
            for piece in reversed(done):
                _reverse(inode, piece, shared)
            raise


def _reverse(inode: Inode, piece: Piece, shared: bool) -> None:
    """Convert one piece back; where that fails too, the state stays inconsistent and is counted."""
    low, high, hugepage = piece
    try:
        nodes = inode.attributes.preallocate(low, high)
        inode.attributes.store(low, high, shared=not shared, preallocated=nodes)
        _restructure(inode, hugepage, low, high, not shared)
    except KernelError:
        inode.stats.rollback_failures += 1
        if not _lose(inode, hugepage):
            inode.inconsistent.add(low, high)


def _lose(inode: Inode, hugepage: Hugepage | None) -> bool:
    """Whether a failed split has lost the hugepage, which then leaves the file."""
    if hugepage is None or not hugepage.lost or hugepage.first not in inode.hugepages:
        return False
    population.lose(inode, hugepage)
    return True


def _pieces_to_convert(inode: Inode, start: int, end: int, shared: bool) -> list[Piece]:
    """The pieces of the range in which some page is not yet as wanted."""
    all_are = inode.attributes.all_are
    return [piece for piece in inode.pieces(start, end) if not all_are(piece[0], piece[1], shared=shared)]


class _Reservation:
    """All that converting one piece needs, taken before anything is torn down."""

    def __init__(self, low: int, high: int, hugepage: Hugepage | None) -> None:
        self.low = low
        self.high = high
        self.hugepage = hugepage
        self.attribute_nodes = 0
        self.split: restructure.Split | None = None
        self.merge_nodes: Prealloc | None = None

    def take(self, inode: Inode, shared: bool) -> None:
        """Take it; raises ``OutOfMemory`` with the part that was had still held."""
        self.attribute_nodes = inode.attributes.preallocate(self.low, self.high)
        if not shared:
            if self.hugepage is not None:
                self.merge_nodes = merging.reserve_merge(inode, self.hugepage)
            return
        inode.refuse_to_split_poisoned(self.low, self.high)
        split = restructure.plan(inode, self.hugepage, self.low, self.high, inode.conversion_order)
        inode.stage2.reserve(self.low, self.high, () if split is None else split.shrinking())
        if split is not None:
            self.split = split
            split.take_nodes()
            split.take_vmemmap()
            split.take_descriptors()

    def give_back(self, inode: Inode) -> None:
        """Give back what is held; the stage-2 tables of all pieces are given back together."""
        inode.attributes.give_back(self.attribute_nodes)
        if self.split is not None:
            self.split.give_back()
        if self.merge_nodes is not None:
            self.merge_nodes.close()


def reserve_first(inode: Inode, start: int, end: int, shared: bool) -> None:
    """Take all that the whole call needs, then convert; what cannot be had is refused with nothing changed.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private; errors as in :func:`convert`.
    """
    pieces = _pieces_to_convert(inode, start, end, shared)
    if not shared:
        for low, high, _ in pieces:
            inode.refuse_if_pinned(low, high)
    reserved: list[_Reservation] = []
    for low, high, hugepage in pieces:
        reservation = _Reservation(low, high, hugepage)
        reserved.append(reservation)
        inode.at = low
        try:
            reservation.take(inode, shared)
        except KernelError:
            for held in reversed(reserved):
                held.give_back(inode)
            inode.stage2.give_back()
            raise
    for reservation in reserved:
        low, high = reservation.low, reservation.high
        _tear_down(inode, low, high, shared)
        if reservation.split is not None:
            reservation.split.split_entries()
            reservation.split.finish()
        elif reservation.merge_nodes is not None and reservation.hugepage is not None:
            merging.merge(inode, reservation.hugepage, low, high, reservation.merge_nodes)
            reservation.merge_nodes.close()
        inode.attributes.store(low, high, shared=shared, preallocated=reservation.attribute_nodes)
    inode.stage2.give_back()


class _Ahead:
    """What ``split-first`` does before the point of no return, of the ``pieces`` that differ."""

    def __init__(self, inode: Inode, pieces: list[Piece]) -> None:
        self.inode = inode
        self.pieces = pieces
        self.plans: list[restructure.Split] = []
        self.merges: list[Prealloc] = []

    def reserve_merges(self) -> None:
        """Take the nodes that merging every hugepage will need; raises ``OutOfMemory`` with some of them held."""
        for low, _, hugepage in self.pieces:
            if hugepage is not None:
                self.inode.at = low
                self.merges.append(merging.reserve_merge(self.inode, hugepage))

    def split(self) -> None:
        """Split folios, then leaves of the second stage; raises ``OutOfMemory`` with some of that done."""
        inode = self.inode
        for low, high, hugepage in self.pieces:
            plan = restructure.plan(inode, hugepage, low, high, inode.conversion_order)
            if plan is not None:
                self.plans.append(plan)
                inode.at = low
                restructure.carry_out(plan)
        for low, high, _ in self.pieces:
            inode.at = low
            inode.stage2.split_leaves(low, high)

    def abandon(self) -> None:
        """The call has failed: give back nodes; merge back what was split, or leave it so."""
        for plan in reversed(self.plans):
            if self.inode.policy.undoes_splits:
                self.inode.stats.reversals += plan.finished
                plan.undo()
            elif plan.finished:
                plan.hugepage.left_split = True
        for nodes in self.merges:
            nodes.close()

    def merge(self) -> None:
        """Merge what may be merged now, with the nodes that were taken."""
        nodes = iter(self.merges)
        for low, high, hugepage in self.pieces:
            if hugepage is not None:
                reserved = next(nodes)
                merging.merge(self.inode, hugepage, low, high, reserved)
                reserved.close()


def split_first(inode: Inode, start: int, end: int, shared: bool) -> None:
    """Generation D: what may fail comes before the zap, for the whole call.

    The pages ``start`` to ``end`` of ``inode`` become ``shared`` or private; errors as in :func:`convert`.
    """
    attributes = inode.attributes
    pieces = _pieces_to_convert(inode, start, end, shared)
    inode.at = pieces[0][0]
    nodes = attributes.preallocate(start, end)
    ahead = _Ahead(inode, pieces)
    try:
        if shared:
            inode.refuse_to_split_poisoned(start, end)
            ahead.split()
        else:
            ahead.reserve_merges()
            inode.unmap_host(start, end)
            inode.refuse_if_pinned(start, end)
    except KernelError:
        ahead.abandon()
        attributes.give_back(nodes)
        raise
    for low, high, _ in pieces:
        _zap(inode, low, high)
    attributes.store(start, end, shared=shared, preallocated=nodes)
    if not shared:
        ahead.merge()


def _prepare(inode: Inode, low: int, high: int, shared: bool) -> None:
    """What must come before the zap: split leaves that cross the range, or unmap host users and check references."""
    if shared:
        inode.refuse_to_split_poisoned(low, high)
        inode.stage2.split_leaves(low, high)
        if inode.leaves_follow_folios:
            restructure.shrink_leaves(inode, inode.hugepage_at(low), low, high, inode.conversion_order)
    else:
        inode.unmap_host(low, high)
        inode.refuse_if_pinned(low, high)


def _zap(inode: Inode, low: int, high: int) -> None:
    """Take the range away from the guest."""
    zapped = inode.zap(low, high)
    if zapped:
        inode.stats.zapped.append((low, high, zapped))


def _tear_down(inode: Inode, low: int, high: int, shared: bool) -> None:
    """Take the range away from those who must lose it: the guest, and (to-private) every host process."""
    _prepare(inode, low, high, shared)
    _zap(inode, low, high)


def _restructure(inode: Inode, hugepage: Hugepage | None, low: int, high: int, shared: bool) -> None:
    """Give the folios of one piece the orders that its new state wants."""
    if hugepage is None or hugepage.lost:
        return
    if not shared:
        merging.merge(inode, hugepage, low, high)
    elif inode.policy.splits_at_conversion:
        restructure.split(inode, hugepage, low, high, inode.conversion_order)


PROCEDURES: dict[Ordering, Procedure] = {
    RESTRUCTURE_FIRST: restructure_first,
    ATTRIBUTES_FIRST: attributes_first,
    RESERVE_FIRST: reserve_first,
    SPLIT_FIRST: split_first,
    BLOCK_ABORT: block_abort,
}
"""How a conversion is carried out in every ordering."""
