# SPDX-License-Identifier: GPL-2.0-or-later
"""What is always true of a guest_memfd, whatever was called and however it ended.

The exceptions are documented ones: where the policy splits at faults, shared pages become base pages only once the host
has touched them; and generation A's failed rollbacks leave ranges, listed in ``inconsistent``, whose folios do not fit
their attributes.
"""

from __future__ import annotations

from collections import Counter

from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode


def check(inode: Inode) -> None:
    """``AssertionError`` unless all invariants of ``inode`` hold."""
    for ranges in (inode.small, inode.host_mapped, inode.touched, inode.poisoned, inode.inconsistent):
        ranges.check()
    inode.pins.check()
    for hugepage in inode.hugepages.values():
        _check_hugepage(inode, hugepage)
    there = sum([inode.touched.pages(hugepage.first, hugepage.end) for hugepage in inode.hugepages.values()])
    assert inode.touched.pages(0, inode.pages) == there, f"{inode.name}: pages touched that are not there"
    folios = Counter[int]()
    for hugepage in inode.hugepages.values():
        folios.update(hugepage.folios)
    folios[0] += inode.small.pages(0, inode.pages)
    assert +inode.folios == +folios, f"{inode.name}: folios {inode.folios} counted, {folios} exist"
    inode.host.ledger.check_held(inode.name)
    taken = len(inode.subpool.outstanding) if inode.subpool is not None else 0
    assert taken == len(inode.hugepages), f"{inode.name}: {taken} hugepages taken, {len(inode.hugepages)} in the file"
    if inode.closed:
        return
    inode.attributes.check()
    inode.filemap.check()
    inode.stage2.check(inode.pages)
    if inode.assigned is not None:
        inode.assigned.check()
        for start, end in inode.attributes.shared_ranges(0, inode.pages):
            assert not inode.assigned.pages(start, end), f"{inode.name}: shared pages of {start} to {end} are assigned"
    resident = sum(1 << hugepage.order for hugepage in inode.hugepages.values()) + inode.small.pages(0, inode.pages)
    assert sum(number << order for order, number in inode.folios.items()) == resident, f"{inode.name}: pages lost"
    _check_users(inode)


def _check_users(inode: Inode) -> None:
    """The host uses shared pages only; the guest maps what exists, and large leaves hold private pages only."""
    shared = inode.attributes.all_are
    for start, end in inode.host_mapped.ranges(0, inode.pages):
        assert shared(start, end, shared=True), f"{inode.name}: the host maps private pages of {start} to {end}"
        assert not inode.page_order or inode.touched.covers(start, end), (
            f"{inode.name}: the host has not touched {start}"
        )
    for start, end, _ in inode.pins.pinned(0, inode.pages):
        assert shared(start, end, shared=True), f"{inode.name}: pinned private pages in {start} to {end}"
    for start, end, order in inode.stage2.leaves(0, inode.pages):
        where = f"{inode.name}, leaves of order {order} from {start} to {end}"
        hugepages = all(hugepage is not None for _, _, hugepage in inode.pieces(start, end))
        there = hugepages if inode.page_order else inode.small.covers(start, end)
        assert there, f"{where}: pages are not there"
        assert inode.poisoned.disjoint(start, end), f"{where}: a page with a memory error is mapped"
        if order and inode.inconsistent.disjoint(start, end):
            assert inode.attributes.all_private(start, end), f"{where}: shared pages are mapped large"
        if order and inode.leaves_follow_folios:
            smallest = min(folio for _, _, folio in inode.filemap.folios(start, end))
            assert order <= smallest, f"{where}: larger than a folio of order {smallest}"


def _check_hugepage(inode: Inode, hugepage: Hugepage) -> None:
    where = f"{inode.name}, hugepage at {hugepage.first}"
    assert inode.hugepages[hugepage.first] is hugepage, f"{where}: filed at another index"
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
