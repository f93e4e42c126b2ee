# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's guest_memfd conversion tests in our own words (see :mod:`tests.gmem.parity`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gmemsim.errors import Again, BadAddress, Invalid
from gmemsim.gmem.guest import GuestMemfd
from tests.gmem.worlds import PAGE, G, M, attributes, live, make_guest, mapping, settle, sound

SIZES = [pytest.param(PAGE, id="4K"), pytest.param(2 * M, id="2M"), pytest.param(G, id="1G")]
ORDERINGS = ["restructure-first", "attributes-first", "reserve-first"]

Make = Callable[..., GuestMemfd]


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    """The size of one page of the file: what upstream's tests call a page."""
    return int(request.param)


@pytest.fixture(params=ORDERINGS)
def make(request: pytest.FixtureRequest, size: int) -> Make:
    """Makes a guest of so many pages of ``size``, nothing allocated."""

    def guest(pages: int, **more: Any) -> GuestMemfd:
        return make_guest(size, pages, ordering=request.param, allocate=False, **more)

    return guest


def host_can_read(guest: GuestMemfd, offset: int) -> bool:
    """Whether a host process gets at the base page at ``offset`` (else it gets SIGBUS)."""
    try:
        guest.fault(offset, by="host")
    except BadAddress:
        return False
    return True


def guest_reads(guest: GuestMemfd, offset: int) -> None:
    """The guest touches the page, which it always may, and has it mapped then."""
    guest.fault(offset)
    assert guest.inode.stage2.leaf_order(offset // PAGE) is not None


def everyone_agrees(guest: GuestMemfd, size: int, shared: set[int]) -> None:
    """The pages in ``shared`` are open to the host, the others are not, and the guest gets at all of them."""
    for page in range(guest.offset(guest.pages) // size):
        for offset in {page * size, (page + 1) * size - PAGE}:
            assert host_can_read(guest, offset) == (page in shared)
            guest_reads(guest, offset)
    sound(guest)


def test_init_private(make: Make, size: int) -> None:
    """A file starts private: the host cannot read until a page is converted, and not after it is converted back.

    Counterpart of C:init_private, A:init_private.
    """
    guest = make(1)
    everyone_agrees(guest, size, set())
    guest.set_attributes(0, size, False)
    everyone_agrees(guest, size, {0})
    guest.set_attributes(0, size, True)
    everyone_agrees(guest, size, set())


def test_init_shared(make: Make, size: int) -> None:
    """A file may start shared on base pages; hugepages refuse that with EINVAL.

    Counterpart of C:init_shared, A:init_shared.
    """
    if size > PAGE:
        with pytest.raises(Invalid):
            make(1, shared=True)
        return
    guest = make(1, shared=True)
    everyone_agrees(guest, size, {0})
    guest.set_attributes(0, size, True)
    everyone_agrees(guest, size, set())
    guest.set_attributes(0, size, False)
    everyone_agrees(guest, size, {0})


@pytest.mark.parametrize("page", range(4))
def test_indexing(make: Make, size: int, page: int) -> None:
    """Converting one of four pages converts that one and no other.

    Counterpart of C:indexing, A:indexing.
    """
    guest = make(4)
    everyone_agrees(guest, size, set())
    guest.set_attributes(page * size, size, False)
    everyone_agrees(guest, size, {page})
    guest.set_attributes(page * size, size, True)
    everyone_agrees(guest, size, set())


def test_before_allocation_shared(make: Make, size: int) -> None:
    """A page made shared before it exists is shared when it is allocated.

    Counterpart of C:before_allocation_shared, A:before_allocation_shared.
    """
    guest = make(1)
    guest.set_attributes(0, size, False)
    assert not guest.folios.total()
    everyone_agrees(guest, size, {0})
    guest.set_attributes(0, size, True)
    everyone_agrees(guest, size, set())


def test_before_allocation_private(make: Make, size: int) -> None:
    """A page converted there and back before it exists is private when it is allocated.

    Counterpart of C:before_allocation_private, A:before_allocation_private.
    """
    guest = make(1)
    guest.set_attributes(0, size, False)
    guest.set_attributes(0, size, True)
    assert not guest.folios.total()
    everyone_agrees(guest, size, set())


@pytest.mark.parametrize("page", range(8))
def test_unallocated_folios(make: Make, size: int, page: int) -> None:
    """A range converts as a whole while only one of its eight pages has memory.

    Counterpart of C:unallocated_folios, A:unallocated_folios.
    """
    guest = make(8)
    guest.allocate(page * size, size)
    guest.set_attributes(0, 8 * size, False)
    assert len(guest.inode.hugepages) + guest.inode.small.pages(0, guest.pages) == 1
    sound(guest)
    everyone_agrees(guest, size, set(range(8)))
    guest.set_attributes(0, 8 * size, True)
    everyone_agrees(guest, size, set())


@pytest.mark.parametrize("shared", [False, True])
def test_truncate(make: Make, size: int, shared: bool) -> None:
    """Punching a hole gives the memory back and does not change the state of a page.

    Counterpart of C:truncate, A:truncate.
    """
    guest = make(1)
    guest.set_attributes(0, size, not shared)
    everyone_agrees(guest, size, {0} if shared else set())
    guest.punch_hole(0, size)
    sound(guest)
    assert not guest.folios.total()
    everyone_agrees(guest, size, {0} if shared else set())


def test_forked_accesses(make: Make, size: int) -> None:
    """To private takes the page away from every host process (all of them are one set of mapped pages here).

    Counterpart of C:forked_accesses, A:forked_accesses.
    """
    guest = make(1)
    guest.set_attributes(0, size, False)
    for _ in ("parent", "child"):
        guest.fault(0, size, by="host")
    assert guest.inode.host_mapped.covers(0, size // PAGE)
    guest.set_attributes(0, size, True)
    assert not len(guest.inode.host_mapped)
    assert guest.work.host_pages_unmapped == size // PAGE
    everyone_agrees(guest, size, set())


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("pinned", range(4))
def test_elevated_refcount(make: Make, size: int, pinned: int, where: str) -> None:
    """A pinned page gives EAGAIN with its offset, in bulk and alone; the others convert; after unpin all do.

    Counterpart of C:elevated_refcount, A:elevated_refcount.
    """
    guest = make(4)
    guest.set_attributes(0, 4 * size, False)
    guest.fault(0, 4 * size, by="host")
    place = pinned * size + (0 if where == "first" else size - PAGE)
    guest.pin(place, PAGE)
    with pytest.raises(Again) as bulk:
        guest.set_attributes(0, 4 * size, True)
    assert bulk.value.error_offset == place
    sound(guest)
    one_by_one = size > PAGE and guest.policy.ordering == "restructure-first"
    assert attributes(guest) == [((pinned * size if one_by_one else 0) // PAGE, 4 * size // PAGE)]
    for page in range(4):
        if page != pinned:
            guest.set_attributes(page * size, size, True)
    with pytest.raises(Again) as single:
        guest.set_attributes(pinned * size, size, True)
    assert single.value.error_offset == place
    everyone_agrees(guest, size, {pinned})
    guest.unpin(place, PAGE)
    guest.set_attributes(0, 4 * size, True)
    everyone_agrees(guest, size, set())


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_conversion_of_sub_folios(make: Make, size: int, place: float) -> None:
    """One base page of a hugepage is shared; every other stays private, and the hugepage is whole again after it.

    Counterpart of A:sub_folios.
    """
    guest = make(1)
    guest.allocate(0, size)
    offset = int(place * (size // PAGE - 1)) * PAGE
    guest.set_attributes(offset, PAGE, False)
    assert attributes(guest) == [(offset // PAGE, offset // PAGE + 1)]
    assert host_can_read(guest, offset)
    for other in {offset - PAGE, offset + PAGE, 0, size - PAGE} - {offset}:
        if 0 <= other < size:
            assert not host_can_read(guest, other)
            guest_reads(guest, other)
    sound(guest)
    guest.set_attributes(offset, PAGE, True)
    everyone_agrees(guest, size, set())
    assert live(guest, "vmemmap") == 0


def test_fault_type_independent_of_vm_attributes(make: Make, size: int) -> None:
    """What a fault of the guest finds follows from the file's own attributes; the guest never says which it wants.

    Counterpart of A:fault_type_independent_of_vm_attributes.
    """
    guest = make(2)
    guest.set_attributes(0, size, False)
    guest.fault(0, 2 * size)
    sound(guest)
    order = guest.page_order
    assert guest.inode.stage2.leaf_order(0) == 0
    assert guest.inode.stage2.leaf_order(guest.pages - 1) == order


def test_truncate_shared_while_pinned(make: Make, size: int) -> None:
    """Base pages go although they are pinned; a hugepage gives EAGAIN until the last reference is dropped.

    Counterpart of A:truncate_shared_while_pinned.
    """
    guest = make(1)
    guest.set_attributes(0, size, False)
    guest.pin(0, PAGE)
    if size > PAGE:
        with pytest.raises(Again) as caught:
            guest.punch_hole(0, size)
        assert caught.value.error_offset == 0
        guest.unpin(0, PAGE)
    guest.punch_hole(0, size)
    sound(guest)
    assert not guest.folios.total()
    if size == PAGE:
        guest.set_attributes(0, size, True)  # the page that is pinned is not the file's any more
        guest.fault(0, size)
        guest.unpin(0, PAGE)
        with pytest.raises(Invalid):
            guest.unpin(0, PAGE)
    sound(guest)


def test_truncate_private(make: Make, size: int) -> None:
    """A private page goes, and is private and new when it is touched again.

    Counterpart of A:truncate_private.
    """
    guest = make(1)
    everyone_agrees(guest, size, set())
    guest.punch_hole(0, size)
    assert mapping(guest) == []
    assert not guest.folios.total()
    guest.fault(0)
    assert guest.folios.total() == 1
    everyone_agrees(guest, size, set())


def test_close_with_pinning(make: Make, size: int) -> None:
    """After close a hugepage stays out of the pool until its last page is unpinned; then it is merged and returned.

    Counterpart of A:close_with_pinning.
    """
    guest = make(2)
    host = guest.host
    guest.set_attributes(0, 2 * size, False)
    # One page of the first hugepage, two of the second (the same one twice where it has no other).
    places = [0, size, 2 * size - PAGE]
    for place in places:
        guest.pin(place, PAGE)
    guest.close()
    sound(guest)
    for place, back in zip(places, (1, 1, 2), strict=True):
        guest.unpin(place, PAGE)
        sound(guest)
        if size > PAGE:
            assert host.pool.free(size) == host.pool.available(size) == back
            assert guest.stats.merges[0, guest.page_order] == back
    with pytest.raises(Invalid):
        guest.unpin(0, PAGE)
    settle(host)
    assert host.ledger.total.live == live(guest, "vmemmap_page_tables")
    assert not host.folios.total()


def test_allocate_subfolios(make: Make, size: int) -> None:
    """Faults from the last page backwards hit the right base page, and allocate each hugepage once.

    Counterpart of A:allocate_subfolios.
    """
    guest = make(2)
    guest.set_attributes(0, 2 * size, False)
    step = max(PAGE, size // 16)
    allocations = 0
    seen = set()
    for offset in [*range(2 * size - PAGE, 0, -step), 0]:
        guest.fault(offset, by="host")
        allocations += guest.work.allocations
        page = offset // PAGE
        seen.add(page)
        assert guest.inode.filemap.order_at(page) == 0
        entry = guest.inode.filemap.tree.load(page)
        if size > PAGE:
            assert entry is guest.inode.hugepages[page >> guest.page_order << guest.page_order]
        assert page in guest.inode.host_mapped
    assert guest.inode.host_mapped.pages(0, guest.pages) == len(seen)
    assert allocations == (2 if size > PAGE else 0)
    sound(guest)


def test_convert_subfolios(make: Make, size: int) -> None:
    """Base pages of a hugepage convert one by one, to shared and back; only the last brings the hugepage back.

    Counterpart of A:convert_subfolios.
    """
    guest = make(1)
    guest.allocate(0, size)
    step = max(PAGE, size // 32)
    offsets = range(0, size, step)
    for offset in offsets:
        guest.set_attributes(offset, PAGE, False)
        assert host_can_read(guest, offset)
    if size > PAGE:
        assert not host_can_read(guest, PAGE) or step == PAGE
    for offset in offsets:
        assert size == PAGE or not guest.folios[guest.page_order]
        guest.set_attributes(offset, PAGE, True)
        assert not host_can_read(guest, offset)
        sound(guest)
    assert +guest.folios == {guest.page_order: 1}
    everyone_agrees(guest, size, set())
