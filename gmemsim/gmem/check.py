"""What is always true of a guest_memfd, whatever was called and however it ended.

The exceptions are documented ones: with ``when: fault`` shared pages are split only once the host has touched them, and
generation A's failed rollbacks leave ranges, listed in ``inconsistent``, whose folios do not fit their attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmemsim.gmem.hugepage import Hugepage

if TYPE_CHECKING:
    from gmemsim.gmem.inode import GuestMemfd


def check(guest: GuestMemfd) -> None:
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


def _check_hugepage(guest: GuestMemfd, hugepage: Hugepage) -> None:
    where = f"{guest.name}, hugepage at {hugepage.first}"
    assert guest.hugepages[hugepage.first] is hugepage, f"{where}: filed at another index"
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
