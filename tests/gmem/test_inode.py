# SPDX-License-Identifier: GPL-2.0-or-later
"""GuestMemfd as its callers see it: the ioctl's contract, users of memory, holes, memory errors, close."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from gmemsim.errors import Again, BadAddress, BadFileDescriptor, Invalid, NotSupported, OutOfMemory, Poisoned
from gmemsim.gmem.guest import ATTRIBUTE_PRIVATE, GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.host.host import Host
from gmemsim.host.switches import KernelSwitches
from tests.gmem.worlds import (
    PAGE,
    G,
    K,
    M,
    attributes,
    folios,
    layout,
    live,
    make_guest,
    make_host,
    mapping,
    settle,
    sound,
    state,
)

SIZE = 4 * M


def guest_2m(**policy: Any) -> GuestMemfd:
    return make_guest(2 * M, 2, **policy)


# -- the call (DOMAIN.md section 4, generation C's table) --------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "size", "more"),
    [
        (0, 0, {}),
        (0, PAGE, {"flags": 1}),
        (0, PAGE, {"reserved": 1}),
        (1, PAGE, {}),
        (0, PAGE + 1, {}),
        (PAGE // 2, PAGE, {}),
        (0, SIZE + PAGE, {}),
        (SIZE, PAGE, {}),
        (SIZE - PAGE, 2 * PAGE, {}),
        ((1 << 64) - PAGE, 2 * PAGE, {}),
        (-PAGE, PAGE, {}),
    ],
)
def test_einval(offset: int, size: int, more: dict[str, int]) -> None:
    guest = guest_2m()
    before = state(guest)
    with pytest.raises(Invalid) as caught:
        guest.set_attributes(offset, size, False, **more)
    assert caught.value.name == "EINVAL"
    assert state(guest) == before


@pytest.mark.parametrize("raw", [1, 2, 4, ATTRIBUTE_PRIVATE | 1, 1 << 4, -1])
def test_einval_for_unknown_attributes(raw: int) -> None:
    with pytest.raises(Invalid):
        guest_2m().set_attributes(0, PAGE, attributes=raw)


def test_raw_attributes() -> None:
    guest = guest_2m()
    guest.set_attributes(0, PAGE, attributes=0)
    assert attributes(guest) == [(0, 1)]
    guest.set_attributes(0, PAGE, attributes=ATTRIBUTE_PRIVATE)
    assert attributes(guest) == []
    with pytest.raises(Invalid):
        guest.set_attributes(0, PAGE)


def test_enotty_without_in_place_conversion() -> None:
    host = make_host()
    guest = GuestMemfd(host, "vm0", size=PAGE, backing=PAGE, in_place=False)
    with pytest.raises(NotSupported) as caught:
        guest.set_attributes(0, PAGE, False)
    assert caught.value.name == "ENOTTY"


def test_ebadf_after_close_and_nothing_counted_twice() -> None:
    guest = guest_2m()
    guest.set_attributes(0, PAGE, False)
    guest.close()
    assert guest.work.folios_merged == 512
    calls: list[Callable[[], None]] = [
        lambda: guest.set_attributes(0, PAGE, True),
        lambda: guest.allocate(0, PAGE),
        lambda: guest.fault(0),
        lambda: guest.punch_hole(0, SIZE),
        lambda: guest.pin(0, PAGE),
        lambda: guest.poison(0),
        guest.close,
    ]
    for call in calls:
        with pytest.raises(BadFileDescriptor) as caught:
            call()
        assert caught.value.name == "EBADF"
        assert guest.work.folios_merged == 0


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first", "reserve-first"])
@pytest.mark.parametrize("private", [False, True])
def test_what_is_so_already_takes_nothing(private: bool, ordering: str) -> None:
    guest = guest_2m(ordering=ordering)
    guest.fault(0, SIZE)
    guest.set_attributes(0, SIZE, private)
    before = state(guest)
    guest.host.ledger.inject("any", 1)
    guest.set_attributes(2 * PAGE, 5 * PAGE, private)
    assert state(guest) == before
    assert guest.work.conversions == 0
    assert guest.host.ledger.armed()


@pytest.mark.parametrize(("size", "backing"), [(3 * M, 2 * M), (0, 2 * M), (2 * M, G), (PAGE + 1, PAGE)])
def test_the_size_is_a_multiple_of_the_backing(size: int, backing: int) -> None:
    with pytest.raises(Invalid):
        GuestMemfd(make_host({2 * M: 8, G: 1}), "vm0", size=size, backing=backing)


def test_too_few_hugepages() -> None:
    host = make_host({2 * M: 3})
    make_guest(2 * M, 2, host=host, allocate=False)
    with pytest.raises(OutOfMemory):
        make_guest(2 * M, 2, host=host)
    make_guest(2 * M, 1, host=host)
    host.check()


# -- references --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "pinned", "expected"), [(0, 5, 5), (5, 5, 5), (3, 700, 700)])
def test_eagain_names_the_first_pinned_page(start: int, pinned: int, expected: int) -> None:
    guest = guest_2m()
    guest.set_attributes(0, SIZE, False)
    guest.pin(pinned * PAGE, 2 * PAGE)
    with pytest.raises(Again) as caught:
        guest.set_attributes(start * PAGE, SIZE - start * PAGE, True)
    assert caught.value.error_offset == expected * PAGE
    sound(guest)


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first", "reserve-first"])
def test_eagain_by_ordering(ordering: str) -> None:
    guest = guest_2m(ordering=ordering)
    guest.set_attributes(0, SIZE, False)
    guest.fault(0, SIZE, by="host")
    guest.pin(3 * M, PAGE)
    with pytest.raises(Again) as caught:
        guest.set_attributes(0, SIZE, True)
    assert caught.value.error_offset == 3 * M
    sound(guest)
    if ordering == "restructure-first":  # the first hugepage is private already, the second lost its host mappings
        assert attributes(guest) == [(512, 1024)]
        assert folios(guest) == {9: 1, 0: 512}
    else:
        assert attributes(guest) == [(0, 1024)]
        assert guest.inode.host_mapped.covers(0, 1024) == (ordering == "reserve-first")


def test_pins_add_up() -> None:
    guest = guest_2m()
    guest.set_attributes(0, 2 * M, False)
    guest.pin(0, 2 * M)
    guest.pin(0, PAGE)
    guest.unpin(0, 2 * M)
    with pytest.raises(Again):
        guest.set_attributes(0, 2 * M, True)
    with pytest.raises(Invalid):
        guest.unpin(0, 2 * PAGE)  # the second page has none left, so neither is dropped
    assert guest.inode.pins[0] == 1
    guest.unpin(0, PAGE)
    guest.set_attributes(0, 2 * M, True)
    sound(guest)


def test_pinning_the_first_page_pins_one() -> None:
    guest = guest_2m()
    guest.set_attributes(0, 2 * M, False)
    guest.pin(0, 2 * M, pages="first")
    assert (guest.inode.pins[0], guest.inode.pins[1]) == (1, 0)
    guest.unpin(0, 2 * M, pages="first")
    guest.set_attributes(0, 2 * M, True)


def test_private_memory_is_not_the_hosts() -> None:
    guest = guest_2m()
    guest.set_attributes(0, PAGE, False)
    for call in (guest.pin, lambda *a: guest.fault(*a, by="host")):
        with pytest.raises(BadAddress) as caught:
            call(0, 2 * PAGE)
        assert caught.value.name == "EFAULT"
    assert not len(guest.inode.host_mapped)
    assert guest.inode.pins.first_pinned(0, 1024) is None


def test_references_to_base_pages_outlive_the_hole() -> None:
    guest = make_guest(PAGE, 8, shared=True)
    guest.pin(0, 4 * PAGE)
    guest.punch_hole(PAGE, 2 * PAGE)
    guest.fault(0, 8 * PAGE)
    guest.pin(2 * PAGE, PAGE)  # the new page 2
    with pytest.raises(Again) as caught:
        guest.set_attributes(PAGE, 2 * PAGE, True)
    assert caught.value.error_offset == 2 * PAGE
    guest.set_attributes(PAGE, PAGE, True)
    guest.unpin(0, 4 * PAGE)
    sound(guest)
    assert guest.inode.pins[2] == 1
    guest.unpin(2 * PAGE, PAGE)
    guest.set_attributes(0, 8 * PAGE, True)
    sound(guest)


# -- memory in and out -------------------------------------------------------------------------------------------------


def test_faults_allocate_what_they_touch() -> None:
    guest = make_guest(2 * M, 4, allocate=False)
    guest.fault(2 * M + 5 * PAGE)
    assert list(guest.inode.hugepages) == [512]
    guest.fault(2 * M - PAGE, 4 * M)
    assert sorted(guest.inode.hugepages) == [0, 512, 1024]
    guest.allocate(0, 8 * M)
    assert guest.work.allocations == 1
    sound(guest)


@pytest.mark.parametrize(("offset", "size"), [(0, M), (M, 2 * M), (PAGE, 2 * M), (0, 3 * M)])
def test_generation_b_wants_aligned_holes(offset: int, size: int) -> None:
    guest = guest_2m()
    with pytest.raises(Invalid):
        guest.punch_hole(offset, size)
    assert folios(guest) == {9: 2}


def test_generation_a_zeroes_what_is_no_whole_hugepage() -> None:
    guest = make_guest(2 * M, 4, ordering="attributes-first")
    guest.punch_hole(M, 6 * M)
    assert sorted(guest.inode.hugepages) == [0, 1536]
    guest.punch_hole(PAGE, PAGE)
    assert sorted(guest.inode.hugepages) == [0, 1536]
    sound(guest)


def test_a_hole_over_split_folios_merges_first_and_attributes_survive() -> None:
    guest = make_guest(G, 2)
    guest.set_attributes(0, 3 * PAGE, False)
    guest.punch_hole(0, G)
    assert attributes(guest) == [(0, 3)]
    assert layout(guest) == [(1 << 18, 1, 18)]
    assert guest.stats.merges == {(0, 18): 1}
    assert live(guest, "vmemmap") == 0
    assert guest.host.pool.free(G) == 1
    sound(guest)
    guest.fault(0)
    assert folios(guest) == {0: 1 << 18, 18: 1}


def test_a_pinned_hugepage_stops_a_hole_the_ones_before_are_gone() -> None:
    guest = make_guest(2 * M, 3)
    guest.set_attributes(0, 6 * M, False)
    guest.pin(3 * M, PAGE)
    with pytest.raises(Again) as caught:
        guest.punch_hole(0, 6 * M)
    assert caught.value.error_offset == 3 * M
    assert sorted(guest.inode.hugepages) == [512, 1024]
    sound(guest)


def test_a_hole_takes_the_mappings() -> None:
    guest = guest_2m()
    guest.fault(0, SIZE)
    guest.punch_hole(0, 2 * M)
    assert mapping(guest) == [(512, 1024, 9)]
    assert guest.work.zapped_pages == 512


def test_holes_in_base_pages() -> None:
    guest = make_guest(PAGE, 200, shared=True)
    guest.fault(0, 200 * PAGE)
    guest.fault(0, 200 * PAGE, by="host")
    guest.punch_hole(10 * PAGE, 100 * PAGE)
    sound(guest)
    assert folios(guest) == {0: 100}
    assert mapping(guest) == [(0, 10, 0), (110, 200, 0)]
    assert guest.inode.host_mapped.pages(0, 200) == 100


@pytest.mark.parametrize("missing", range(4))
def test_conversions_of_memory_that_is_not_all_there_are_counted(missing: int) -> None:
    guest = make_guest(2 * M, 4, allocate=False)
    for hugepage in {0, 1, 2, 3} - {missing}:
        guest.fault(hugepage * 2 * M)
    guest.set_attributes(0, 8 * M, False)
    assert guest.stats.without_memory == 1
    guest.fault(missing * 2 * M)
    guest.set_attributes(0, 8 * M, True)
    assert guest.stats.without_memory == 1


@pytest.mark.parametrize("missing", range(4))
def test_a_conversion_of_one_page_asks_for_the_memory_of_its_own_hugepage(missing: int) -> None:
    guest = make_guest(2 * M, 4, allocate=False)
    for hugepage in {0, 1, 2, 3} - {missing}:
        guest.fault(hugepage * 2 * M)
    for hugepage in range(4):
        before = guest.stats.without_memory
        guest.set_attributes(hugepage * 2 * M + PAGE, PAGE, False)
        assert guest.stats.without_memory - before == (hugepage == missing)


def test_two_guests_do_not_share_hugepages() -> None:
    host = make_host({2 * M: 4})
    first = make_guest(2 * M, 2, host=host)
    second = GuestMemfd(host, "vm1", size=4 * M, backing=2 * M)
    second.allocate(0, 4 * M)
    taken = [page.pool_index for guest in (first, second) for page in guest.inode.hugepages.values()]
    assert sorted(taken) == [0, 1, 2, 3]
    first.close()
    third = GuestMemfd(host, "vm2", size=4 * M, backing=2 * M)
    third.allocate(0, 4 * M)
    assert sorted(page.pool_index for page in third.inode.hugepages.values()) == [0, 1]
    for guest in (first, second, third):
        sound(guest)


# -- memory errors -----------------------------------------------------------------------------------------------------


def test_a_memory_error_is_zapped_and_refused_later() -> None:
    guest = guest_2m()
    guest.set_attributes(0, 2 * M, False)
    guest.fault(0, 2 * M, by="host")
    guest.fault(0, SIZE)
    guest.poison(5 * PAGE)
    sound(guest)
    assert guest.inode.stage2.leaf_order(5) is None
    assert 5 not in guest.inode.host_mapped
    for by in ("guest", "host"):
        with pytest.raises(Poisoned) as caught:
            guest.fault(4 * PAGE, 4 * PAGE, by=by)
        assert (caught.value.name, caught.value.error_offset) == ("EHWPOISON", 5 * PAGE)
    guest.fault(6 * PAGE, 4 * PAGE, by="host")
    sound(guest)


def test_a_folio_is_poisoned_as_a_whole() -> None:
    guest = guest_2m()
    guest.fault(0, SIZE)
    guest.poison(700 * PAGE)
    assert mapping(guest) == [(0, 512, 9)]
    with pytest.raises(Poisoned) as caught:
        guest.fault(600 * PAGE)
    assert caught.value.error_offset == 600 * PAGE
    sound(guest)


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first", "reserve-first"])
def test_a_poisoned_folio_is_not_split(ordering: str) -> None:
    guest = guest_2m(ordering=ordering)
    guest.poison(700 * PAGE)
    with pytest.raises(Poisoned) as caught:
        guest.set_attributes(M, 2 * M, False)
    assert caught.value.error_offset == 2 * M
    assert not guest.inode.attributes.is_shared(512)
    assert guest.inode.filemap.order_at(512) == 9
    assert folios(guest) == ({0: 512, 9: 1} if ordering == "restructure-first" else {9: 2})
    sound(guest)


def test_a_hole_takes_the_memory_error_away_and_a_hugepage_with_it() -> None:
    guest = make_guest(PAGE, 1024)
    guest.poison(0)
    guest.punch_hole(0, 2 * M)
    guest.fault(0)
    sound(guest)


def test_no_memory_no_memory_error() -> None:
    guest = make_guest(2 * M, 1, allocate=False)
    guest.poison(0)
    guest.fault(0)
    sound(guest)


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first", "reserve-first"])
@pytest.mark.parametrize("backing", [PAGE, 2 * M, G])
def test_close_leaves_nothing(backing: int, ordering: str) -> None:
    guest = make_guest(backing, 3, ordering=ordering, switches={"memdesc": "folio-descriptors"})
    guest.fault(0, 3 * backing)
    guest.set_attributes(backing, PAGE, False)
    guest.fault(backing, by="host")
    guest.close()
    sound(guest)
    settle(guest.host)
    sound(guest)
    assert guest.host.ledger.total.live == live(guest, "vmemmap_page_tables")
    assert not guest.host.folios.total()


def test_nodes_that_are_charged_are_never_negative() -> None:
    guest = guest_2m(switches={"account_nodes": False})
    guest.set_attributes(0, PAGE, False)
    assert guest.inode.filemap.split_nodes == 8
    guest.pin(0, PAGE)
    guest.close()
    assert guest.inode.filemap.tree.nodes - guest.inode.filemap.split_nodes == 0


def _host_maps_private(guest: GuestMemfd) -> None:
    guest.inode.host_mapped.add(1, 2)


def _shared_and_whole(guest: GuestMemfd) -> None:
    guest.inode.attributes._shared.add(512, 513)


def _miscounted(guest: GuestMemfd) -> None:
    guest.inode.count_folios([(0, 1)])


def _leaf_over_nothing(guest: GuestMemfd) -> None:
    guest.punch_hole(2 * M, 2 * M)
    guest.inode.stage2.touch(512, 1024, 9, lambda *_: True)


def _lost_vmemmap(guest: GuestMemfd) -> None:
    guest.inode.hugepages[0].restored -= 1


def _tables_lost(guest: GuestMemfd) -> None:
    guest.inode.stage2.mapped = not guest.inode.stage2.mapped


def _stray_metadata(guest: GuestMemfd) -> None:
    guest.inode.metadata.alloc(1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_host_maps_private, "the host maps private pages"),
        (_shared_and_whole, "are shared, but of orders"),
        (_miscounted, "counted"),
        (_leaf_over_nothing, "pages are not there"),
        (_lost_vmemmap, "vmemmap pages"),
        (_tables_lost, "pages mapped, but"),
        (_stray_metadata, "objects of folio_metadata"),
    ],
)
def test_check_notices_what_is_wrong(spoil: Callable[[GuestMemfd], None], message: str) -> None:
    guest = guest_2m()
    guest.set_attributes(0, PAGE, False)
    sound(guest)
    spoil(guest)
    with pytest.raises(AssertionError, match=message):
        guest.check()


def test_sizes_of_arm64() -> None:
    guest = make_guest(512 * M, 1, page_size=64 * K)
    guest.set_attributes(64 * K, 64 * K, False)
    assert folios(guest) == {0: 8192}
    with pytest.raises(Invalid):
        guest.set_attributes(4 * K, 64 * K, False)
    sound(guest)


@pytest.mark.parametrize("ordering", ["attributes-first", "reserve-first"])
def test_orderings_that_split_at_conversion_do_not_go_with_splitting_at_fault(ordering: str) -> None:
    with pytest.raises(ValueError, match="when: fault"):
        Policy(when="fault", ordering=ordering)


def test_a_hugepage_with_a_memory_error_leaves_the_pool_for_good() -> None:
    host = Host(hugetlb={2 * M: 2})
    guest = GuestMemfd(host, "vm0", size=4 * M, backing=2 * M)
    guest.allocate(0, 4 * M)
    guest.set_attributes(0, 4 * K, private=False)
    guest.poison(8 * K)
    guest.punch_hole(0, 2 * M)
    guest.check()
    host.check()
    assert host.pool.lost(2 * M) == 1
    with pytest.raises(OutOfMemory):
        guest.allocate(0, 2 * M)
    guest.close()
    host.check()
    assert (host.pool.available(2 * M), guest.inode.vmemmap.live) == (1, 0)


def test_pieces_that_cannot_be_optimised_again_keep_their_vmemmap() -> None:
    host = Host(hugetlb={G: 1}, kernel=KernelSwitches(shared_tail_pages=True))
    guest = GuestMemfd(host, "vm0", size=G, backing=G, policy=Policy(split="staged", vmemmap="reoptimize"))
    guest.allocate(0, G)
    host.ledger.inject("vmemmap", 4096)
    guest.set_attributes(0, 4 * K, private=False)
    guest.check()
    assert (guest.inode.vmemmap.live, guest.stats.optimise_failures) == (518 + 7, 1)
    assert guest.inode.hugepages[0].optimise_failed
    guest.set_attributes(0, 4 * K, private=True)
    guest.check()
    assert guest.inode.vmemmap.live == 0


def test_pieces_that_are_all_optimised_again_are_no_failure() -> None:
    guest = make_guest(G, split="staged", vmemmap="reoptimize")
    guest.set_attributes(0, PAGE, False)
    assert not guest.inode.hugepages[0].optimise_failed


def test_nothing_has_happened_to_a_new_inode() -> None:
    stats = make_guest(2 * M, allocate=False).stats
    values = {name: value for name, value in inspect.getmembers(stats) if not name.startswith("_")}
    assert not any(values.pop("joined"))
    assert not any(values.values())
