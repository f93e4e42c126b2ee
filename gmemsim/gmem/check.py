# SPDX-License-Identifier: GPL-2.0-or-later
"""What is always true of a guest_memfd, whatever was called and however it ended.

The exceptions are documented ones: where the policy splits at faults, shared pages become base pages only once the host
has touched them; and generation A's failed rollbacks leave ranges, listed in ``inconsistent``, whose folios do not fit
their attributes.

Theory of operation
-------------------
Most of a guest is hugepages, and most of these a call has nothing to do with.  What must hold for a hugepage depends on
its own fields, on the filemap's slots and on the attributes and the host's mappings of its pages, nothing else.  So
:class:`Verified` notes these when they are right, and the next time looks at the hugepages for which one of them
differs.  Everything is compared, none of it is what a call says that it did, so whatever a bug changes is seen.  What
holds for the guest as a whole is verified every time.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain

from gmemsim.gmem.hugepage import WHOLE, Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.gmem.ranges import RangeSet
from gmemsim.host.host import by_order
from gmemsim.xarray.check import Verified as VerifiedNodes


def check(inode: Inode) -> None:
    """``AssertionError`` unless all invariants of ``inode`` hold."""
    Verified().check(inode)


class Verified:
    """What of an inode was right when :meth:`check` last looked at it."""

    __slots__ = ("_closed", "_flips", "_nodes", "_states")

    def __init__(self) -> None:
        self._nodes = VerifiedNodes()
        self._states: dict[int, tuple[object, ...]] = {}
        self._flips: list[list[int]] = [[], [], []]
        self._closed = False

    def check(self, inode: Inode) -> None:
        """As :func:`check` of ``inode``, always the same one.  After an ``AssertionError`` it is of no use any more.

        O(hugepages, ranges and nodes): a comparison each, and a look at those that have changed.
        """
        for ranges in (inode.small, inode.host_mapped, inode.touched, inode.poisoned, inode.inconsistent):
            ranges.check()
        inode.pins.check()
        for hugepage in self._changed(inode):
            _check_hugepage(inode, hugepage)
        _check_whole(inode)

    def _changed(self, inode: Inode) -> list[Hugepage]:
        """The hugepages of which anything has changed that they are checked by; notes how all is now."""
        hugepages = inode.hugepages
        assert {inode.page_order: 1} == WHOLE[inode.page_order], f"whole folios are {WHOLE[inode.page_order]}"
        states = {first: _state(hugepage) for first, hugepage in hugepages.items()}
        changed = {first for first, state in states.items() if self._states.get(first) != state}
        followed = (inode.inconsistent, inode.host_mapped, inode.attributes.every_shared_range())
        flips = [list(chain.from_iterable(ranges)) for ranges in followed]
        places = [] if inode.closed else self._nodes.check(inode.filemap.tree.tree)
        for before, now in zip(self._flips, flips, strict=True):
            moved = sorted(set(before) ^ set(now))  # where just one of two sets has pages, their flips differ
            places += zip(moved[::2], moved[1::2], strict=True)
        differing = RangeSet()
        for start, end in places:
            differing.add(start, end)
        changed.update([first for first, hugepage in hugepages.items() if not differing.disjoint(first, hugepage.end)])
        if self._closed != inode.closed:
            changed.update(hugepages)
        self._states, self._flips, self._closed = states, flips, inode.closed
        return [hugepages[first] for first in sorted(changed)]


def _state(hugepage: Hugepage) -> tuple[object, ...]:
    """What of ``hugepage`` itself its check depends on."""
    folios = hugepage.folios
    pieces = None if folios is WHOLE[hugepage.order] else tuple(folios.items())
    fields = (hugepage.first, hugepage.order, hugepage.restored, hugepage.optimise_failed, hugepage.left_split)
    return (hugepage, pieces, *fields)


def _check_whole(inode: Inode) -> None:
    """What must hold for the guest as a whole, its hugepages being right."""
    for start, end in inode.touched:
        there = inode.page_order and _are_there(inode, start, end)
        assert there, f"{inode.name}: pages touched that are not there, in {start} to {end}"
    kinds = {id(hugepage.folios): hugepage.folios for hugepage in inode.hugepages.values()}
    folios = Counter[int]()
    for kind, number in Counter([id(hugepage.folios) for hugepage in inode.hugepages.values()]).items():
        for order, pieces in kinds[kind].items():
            folios[order] += number * pieces
    folios[0] += inode.small.total()
    counted = by_order(inode.folios_of)
    assert counted == folios, f"{inode.name}: folios {counted} counted, {folios} exist"
    inode.host.ledger.check_held(inode.name)
    taken = len(inode.subpool.outstanding) if inode.subpool is not None else 0
    assert taken == len(inode.hugepages), f"{inode.name}: {taken} hugepages taken, {len(inode.hugepages)} in the file"
    if inode.closed:
        return
    inode.attributes.check()
    inode.stage2.check(inode.pages)
    if inode.assigned is not None:
        inode.assigned.check()
        for start, end in inode.attributes.every_shared_range():
            assert not inode.assigned.pages(start, end), f"{inode.name}: shared pages of {start} to {end} are assigned"
    resident = sum(1 << hugepage.order for hugepage in inode.hugepages.values()) + inode.small.total()
    assert sum(number << order for order, number in enumerate(inode.folios_of)) == resident, f"{inode.name}: pages lost"
    _check_users(inode)


def _check_users(inode: Inode) -> None:
    """The host uses shared pages only; the guest maps what exists, and large leaves hold private pages only."""
    shared = inode.attributes.all_are
    for start, end in inode.host_mapped:
        assert shared(start, end, shared=True), f"{inode.name}: the host maps private pages of {start} to {end}"
        assert not inode.page_order or inode.touched.covers(start, end), (
            f"{inode.name}: the host has not touched {start}"
        )
    for start, end, _ in inode.pins:
        assert shared(start, end, shared=True), f"{inode.name}: pinned private pages in {start} to {end}"
    for start, end, order in inode.stage2.all_leaves():
        where = f"{inode.name}, leaves of order {order} from {start} to {end}"
        assert _are_there(inode, start, end), f"{where}: pages are not there"
        assert inode.poisoned.disjoint(start, end), f"{where}: a page with a memory error is mapped"
        if order and inode.inconsistent.disjoint(start, end):
            assert inode.attributes.all_private(start, end), f"{where}: shared pages are mapped large"
        if order and inode.leaves_follow_folios:
            smallest = _smallest(inode, start, end)
            assert order <= smallest, f"{where}: larger than a folio of order {smallest}"


def _are_there(inode: Inode, start: int, end: int) -> bool:
    """Whether there is memory for all pages from ``start`` to ``end``."""
    order = inode.page_order
    if not order:
        return inode.small.covers(start, end)
    return all(block << order in inode.hugepages for block in range(start >> order, (end - 1 >> order) + 1))


def _smallest(inode: Inode, start: int, end: int) -> int:
    """The least order of a folio of the pages ``start`` to ``end``; the hugepages have been checked."""
    found = inode.page_order
    for low, high, hugepage in inode.pieces(start, end):
        if hugepage is not None and high - low == 1 << hugepage.order:
            found = min(found, min(hugepage.folios))
        else:
            found = min(found, min([order for _, _, order in inode.filemap.folios(low, high)]))
    return found


def _check_hugepage(inode: Inode, hugepage: Hugepage) -> None:
    where = f"{inode.name}, hugepage at {hugepage.first}"
    assert inode.hugepages.get(hugepage.first) is hugepage, f"{where}: filed at another index"
    assert inode.closed or inode.filemap.holds(hugepage.first, hugepage), f"{where}: another one in the filemap"
    needed = inode.vmemmap_needed(hugepage, hugepage.folios)
    if not hugepage.optimise_failed:
        assert hugepage.restored == needed, f"{where}: {hugepage.restored} vmemmap pages restored, {needed} needed"
    assert hugepage.restored >= needed, f"{where}: {hugepage.restored} vmemmap pages restored, {needed} needed"
    if inode.closed:
        return
    found = inode.filemap.histogram(hugepage.first, hugepage.end)
    assert found == hugepage.folios, f"{where}: the filemap has {found}, counted are {hugepage.folios}"
    private = inode.attributes.all_private(hugepage.first, hugepage.end)
    consistent = inode.inconsistent.disjoint(hugepage.first, hugepage.end)
    if consistent and private and inode.policy.always_merges_early and not hugepage.left_split:
        assert hugepage.whole, f"{where}: all private, but {hugepage.folios}"
    if not consistent:
        return
    for start, end in inode.attributes.shared_ranges(hugepage.first, hugepage.end):
        orders = {order for _, _, order in inode.filemap.folios(start, end)}
        assert max(orders) <= inode.conversion_order, (
            f"{where}: pages {start} to {end} are shared, but of orders {orders}"
        )
    for start, end in inode.host_mapped.ranges(hugepage.first, hugepage.end):
        orders = {order for _, _, order in inode.filemap.folios(start, end)}
        assert orders == {0}, f"{where}: the host maps pages {start} to {end} of orders {orders}"
