# SPDX-License-Identifier: GPL-2.0-or-later
"""What is always true of a guest_memfd, whatever was called and however it ended.

The exceptions are documented ones: with ``when: fault`` shared pages are split only once the host has touched them, and
generation A's failed rollbacks leave ranges, listed in ``inconsistent``, whose folios do not fit their attributes.
"""

from __future__ import annotations

from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.state import InodeState


def check(guest: InodeState) -> None:
    """``AssertionError`` unless all invariants of ``guest`` hold."""
    for ranges in (guest.small, guest.host_mapped, guest.poisoned, guest.inconsistent):
        ranges.check()
    guest.pins.check()
    for hugepage in guest.hugepages.values():
        _check_hugepage(guest, hugepage)
    folios = sum((hugepage.folios for hugepage in guest.hugepages.values()), start=type(guest.folios)())
    folios[0] += guest.small.pages(0, guest.pages)
    assert +guest.folios == +folios, f"{guest.name}: folios {guest.folios} counted, {folios} exist"
    restored = sum(hugepage.restored for hugepage in guest.hugepages.values())
    assert guest.vmemmap.live == restored, f"{guest.name}: {guest.vmemmap.live} vmemmap pages, {restored} known"
    if guest.closed:
        return
    guest.attributes.check()
    guest.filemap.check()
    guest.stage2.check(guest.pages)
    resident = sum(1 << hugepage.order for hugepage in guest.hugepages.values()) + guest.small.pages(0, guest.pages)
    assert sum(number << order for order, number in guest.folios.items()) == resident, f"{guest.name}: pages lost"
    _check_ledger(guest)
    _check_users(guest)


def _check_ledger(guest: InodeState) -> None:
    """What is held for each hugepage and each folio, and nothing else."""
    metadata, memdesc = len(guest.hugepages), 0
    if guest.metadata_per_split_folio:
        metadata = sum(h.folios.total() for h in guest.hugepages.values() if not h.whole)
    if guest.host.folio_descriptors:
        memdesc = guest.folios.total()
    for holder, expected in ((guest.metadata, metadata), (guest.memdesc, memdesc)):
        held = holder.held
        assert held == expected, f"{guest.name}: {held} objects of {holder.account}, expected {expected}"
    taken = len(guest.subpool.outstanding) if guest.subpool is not None else 0
    assert taken == len(guest.hugepages), f"{guest.name}: {taken} hugepages taken, {len(guest.hugepages)} in the file"


def _check_users(guest: InodeState) -> None:
    """The host uses shared pages only; the guest maps what exists, and large leaves hold private pages only."""
    shared = guest.attributes.all_are
    for start, end in guest.host_mapped.ranges(0, guest.pages):
        assert shared(start, end, shared=True), f"{guest.name}: the host maps private pages of {start} to {end}"
    for start, end, _ in guest.pins.pinned(0, guest.pages):
        assert shared(start, end, shared=True), f"{guest.name}: pinned private pages in {start} to {end}"
    for start, end, order in guest.stage2.leaves(0, guest.pages):
        where = f"{guest.name}, leaves of order {order} from {start} to {end}"
        hugepages = all(hugepage is not None for _, _, hugepage in guest.pieces(start, end))
        there = hugepages if guest.page_order else guest.small.covers(start, end)
        assert there, f"{where}: pages are not there"
        assert guest.poisoned.disjoint(start, end), f"{where}: a page with a memory error is mapped"
        if order and guest.inconsistent.disjoint(start, end):
            assert guest.attributes.all_private(start, end), f"{where}: shared pages are mapped large"


def _check_hugepage(guest: InodeState, hugepage: Hugepage) -> None:
    where = f"{guest.name}, hugepage at {hugepage.first}"
    assert guest.hugepages[hugepage.first] is hugepage, f"{where}: filed at another index"
    assert guest.closed or guest.filemap.tree.load(hugepage.first) is hugepage, f"{where}: another one in the filemap"
    needed = guest.vmemmap_needed(hugepage, hugepage.folios)
    if not hugepage.optimise_failed:
        assert hugepage.restored == needed, f"{where}: {hugepage.restored} vmemmap pages restored, {needed} needed"
    assert hugepage.restored >= needed, f"{where}: {hugepage.restored} vmemmap pages restored, {needed} needed"
    if guest.closed:
        return
    found = guest.filemap.histogram(hugepage.first, hugepage.end)
    assert found == +hugepage.folios, f"{where}: the filemap has {found}, counted are {hugepage.folios}"
    private = guest.attributes.all_private(hugepage.first, hugepage.end)
    consistent = guest.inconsistent.disjoint(hugepage.first, hugepage.end)
    if consistent and private and guest.policy.merge == "eager":
        assert hugepage.whole, f"{where}: all private, but {hugepage.folios}"
    must_be_split = guest.attributes.shared_ranges if guest.policy.when == "conversion" else guest.host_mapped.ranges
    for start, end in must_be_split(hugepage.first, hugepage.end) if consistent else ():
        orders = {order for _, _, order in guest.filemap.folios(start, end)}
        assert orders == {0}, f"{where}: pages {start} to {end} are shared, but of orders {orders}"
