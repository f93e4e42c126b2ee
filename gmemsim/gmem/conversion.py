# SPDX-License-Identifier: GPL-2.0-or-later
"""The three orderings of a conversion: what happens first, and what a failure leaves behind.

Theory of operation
-------------------
A conversion zaps the range, restructures folios and stores attributes; which comes first decides what a failure leaves.

``restructure-first`` (generation B): one hugepage at a time.  Each is zapped, restructured, then its attributes are
stored.  A failure stops the loop: hugepages before it stay converted, the failing one keeps its attributes and folios,
but its zap is not undone (the guest faults the pages in again).

``attributes-first`` (generation A): every range that differs is zapped and checked; then for each the attributes are
stored before its folios are restructured.  On a failure what was done is reversed, last first.  The reversal needs
memory itself and may fail; that leaves an inconsistent state, which is counted and which ``inconsistent`` shows.

``reserve-first`` (Zhao's suggestion): everything that can fail, for the whole call, happens before anything is torn
down: reference checks, attribute nodes, stage-2 tables, XArray nodes, vmemmap pages, descriptors.  A failure leaves
everything as it was.  The price is the peak: all reservations of a call exist at once.

To-private unmaps host users, then checks references (a pinned folio gives EAGAIN).  To-shared checks no references,
since the guest is the only user of private memory, but must split stage-2 leaves that cross the range, which may fail;
and a folio with a memory error is not split (EHWPOISON).
"""

from __future__ import annotations

from contextlib import ExitStack

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem import restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.state import InodeState
from gmemsim.host.work import Work


def convert(inode: InodeState, start: int, end: int, *, shared: bool, work: Work) -> None:
    """Convert the pages ``start`` to ``end`` in the policy's ordering; raises ``Again`` or ``OutOfMemory``."""
    orderings[inode.policy.ordering](inode, start, end, shared, work)


def _restructure_first(inode: InodeState, start: int, end: int, shared: bool, work: Work) -> None:
    for low, high, hugepage in inode.pieces(start, end):
        if (low, high) != (start, end) and inode.attributes.all_are(low, high, shared=shared):
            continue  # the caller has asked about the whole range
        try:
            nodes = inode.attributes.preallocate()
            try:
                _tear_down(inode, low, high, shared, work)
                _restructure(inode, hugepage, low, high, shared, work)
            except KernelError:
                inode.attributes.give_back(nodes)
                raise
        except OutOfMemory as error:
            error.error_offset = inode.bytes(low)
            raise
        inode.attributes.store(low, high, shared=shared, preallocated=nodes)


def _attributes_first(inode: InodeState, start: int, end: int, shared: bool, work: Work) -> None:
    pieces = [
        piece
        for low, high in inode.attributes.differing(start, end, shared=shared)
        for piece in inode.pieces(low, high)
    ]
    for low, high, _ in pieces:
        try:
            _tear_down(inode, low, high, shared, work)
        except OutOfMemory as error:
            error.error_offset = inode.bytes(low)
            raise
    done: list[tuple[int, int, Hugepage | None]] = []
    for low, high, hugepage in pieces:
        try:
            nodes = inode.attributes.preallocate()
            inode.attributes.store(low, high, shared=shared, preallocated=nodes)
            done.append((low, high, hugepage))
            _restructure(inode, hugepage, low, high, shared, work)
            inode.inconsistent.remove(low, high)
        except KernelError as error:
            error.error_offset = inode.bytes(low)
            for piece in reversed(done):
                _reverse(inode, *piece, shared, work)
            raise


def _reverse(inode: InodeState, low: int, high: int, hugepage: Hugepage | None, shared: bool, work: Work) -> None:
    """Convert one piece back; where that fails too, the state stays inconsistent and is counted."""
    try:
        nodes = inode.attributes.preallocate()
        inode.attributes.store(low, high, shared=not shared, preallocated=nodes)
        _restructure(inode, hugepage, low, high, not shared, work)
    except KernelError:
        inode.stats.rollback_failures += 1
        inode.inconsistent.add(low, high)


def _reserve_first(inode: InodeState, start: int, end: int, shared: bool, work: Work) -> None:
    pieces = [p for p in inode.pieces(start, end) if not inode.attributes.all_are(p[0], p[1], shared=shared)]
    if not shared:
        for low, high, _ in pieces:
            inode.refuse_if_pinned(low, high, low)
    reserved: list[tuple[int, restructure.Split | None]] = []
    with ExitStack() as undo:
        for low, high, hugepage in pieces:
            try:
                reserved.append(_reserve(inode, low, high, hugepage, shared, work, undo))
            except OutOfMemory as error:
                error.error_offset = inode.bytes(low)
                raise
        undo.pop_all()
    for (low, high, hugepage), (nodes, split) in zip(pieces, reserved, strict=True):
        _tear_down(inode, low, high, shared, work)
        if split is not None:
            split.split_entries(work)
            split.finish(work)
        elif not shared:
            _restructure(inode, hugepage, low, high, shared, work)
        inode.attributes.store(low, high, shared=shared, preallocated=nodes)
    inode.stage2.give_back()


def _reserve(
    inode: InodeState, low: int, high: int, hugepage: Hugepage | None, shared: bool, work: Work, undo: ExitStack
) -> tuple[int, restructure.Split | None]:
    """Take all that converting one piece needs; registers in ``undo`` how to give it back."""
    nodes = inode.attributes.preallocate()
    undo.callback(inode.attributes.give_back, nodes)
    if not shared:
        return nodes, None
    inode.refuse_to_split_poisoned(low, high)
    inode.stage2.reserve(low, high)
    undo.callback(inode.stage2.give_back)
    if hugepage is None or inode.policy.when == "fault":
        return nodes, None
    split = restructure.Split(inode, hugepage, low, high)
    if not split.steps:
        return nodes, None
    undo.callback(split.give_back)
    split.take_nodes()
    split.take_vmemmap(work)
    split.take_descriptors()
    return nodes, split


def _tear_down(inode: InodeState, low: int, high: int, shared: bool, work: Work) -> None:
    """Take the range away from those who must lose it: the guest, and (to-private) every host process."""
    if shared:
        inode.refuse_to_split_poisoned(low, high)
        inode.stage2.split_leaves(low, high)
    else:
        inode.unmap_host(low, high, work)
        inode.refuse_if_pinned(low, high, low)
    work.zapped_pages += inode.stage2.zap(low, high)


def _restructure(inode: InodeState, hugepage: Hugepage | None, low: int, high: int, shared: bool, work: Work) -> None:
    """Give the folios of one piece the orders that its new state wants."""
    if hugepage is None:
        return
    if not shared:
        restructure.merge(inode, hugepage, low, high, work)
    elif inode.policy.when == "conversion":
        restructure.split(inode, hugepage, low, high, work)


orderings = {
    "restructure-first": _restructure_first,
    "attributes-first": _attributes_first,
    "reserve-first": _reserve_first,
}
