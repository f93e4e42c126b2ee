# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that follows size, counted where it happens: what a conversion makes of pages, entries, leaves and vCPUs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.stage2 import MappingKind
from gmemsim.host.work import Work
from tests.gmem.worlds import PAGE, G, M, make_guest, make_host, sound


def counted(guest: GuestMemfd, *names: str) -> tuple[int, ...]:
    """Counters of the latest call."""
    sound(guest)
    return tuple(getattr(guest.work, name) for name in names)


RMP = ("rmp_updates", "psmashes")


def touched(mapping: MappingKind = "snp", backing: int = G, vcpus: int = 16) -> GuestMemfd:
    """A guest that has touched all of its memory."""
    guest = make_guest(backing, mapping=mapping, vcpus=vcpus)
    guest.fault(0, backing)
    return guest


@pytest.mark.parametrize("backing", [2 * M, G])
def test_the_first_touch_assigns_and_later_ones_do_not(backing: int) -> None:
    guest = make_guest(backing)
    assert counted(guest, *RMP, "pages_accepted") == (0, 0, 0)  # fallocate touches nothing
    guest.fault(0)
    pages = backing // PAGE
    assert counted(guest, *RMP, "pages_accepted") == (pages, 0, pages)
    guest.fault(0, backing)
    assert counted(guest, *RMP, "pages_accepted") == (0, 0, 0)


@pytest.mark.parametrize(
    ("offset", "size", "updates", "psmashes"),
    [(0, PAGE, 1, 1), (0, 2 * M, 512, 0), (M, 2 * M, 512, 2), (M, M, 256, 1), (M - PAGE, 6 * M, 1536, 2)],
)
def test_sharing_changes_entries_page_by_page_and_splits_those_it_crosses(
    offset: int, size: int, updates: int, psmashes: int
) -> None:
    guest = touched()
    guest.set_attributes(offset, size, False)
    assert counted(guest, *RMP) == (updates, psmashes)
    guest.set_attributes(offset, size, True)
    assert counted(guest, *RMP) == (0, 0)  # assigned again when it is touched
    guest.fault(offset, size)
    assert guest.work.pages_accepted == updates
    sound(guest)


def test_an_entry_is_split_once() -> None:
    guest = touched()
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(2 * PAGE, PAGE, False)
    assert counted(guest, *RMP) == (1, 0)


def test_memory_that_goes_is_given_back_and_private_memory_never_touched_is_not() -> None:
    guest = make_guest(2 * M, 3)
    guest.fault(0, 2 * M)
    guest.set_attributes(2 * M, PAGE, False)
    assert counted(guest, *RMP) == (0, 0)
    guest.punch_hole(0, 2 * M)
    assert counted(guest, *RMP) == (512, 0)
    guest.fault(4 * M, PAGE)
    guest.close()
    assert guest.work.rmp_updates == 512


def test_a_refused_conversion_changes_no_entry_and_a_half_done_one_those_before() -> None:
    guest = make_guest(2 * M, 2)
    guest.fault(0, 4 * M)
    guest.host.ledger.inject("filemap_nodes", 9)  # 8 are one split's
    with pytest.raises(OutOfMemory):
        guest.set_attributes(0, 4 * M, False)
    assert counted(guest, *RMP) == (512, 0)


@pytest.mark.parametrize("mapping", ["plain", "tdx"])
def test_other_guests_have_no_entries(mapping: MappingKind) -> None:
    guest = touched(mapping)
    accepted = 0 if mapping == "plain" else G // PAGE
    assert counted(guest, *RMP, "pages_accepted") == (0, 0, accepted)
    guest.set_attributes(0, PAGE, False)
    assert counted(guest, *RMP) == (0, 0)


def test_tdx_demotes_the_leaves_that_the_range_crosses() -> None:
    guest = touched("tdx", vcpus=4)
    guest.set_attributes(M, 2 * M, False)
    assert counted(guest, "demotes", "zapped_pages", "kicks") == (2, 512, 3 * 4)
    guest.set_attributes(4 * M, 2 * M, False)
    assert counted(guest, "demotes", "zapped_pages", "kicks") == (0, 512, 4)
    other = touched("snp", vcpus=4)
    other.set_attributes(M, 2 * M, False)
    assert counted(other, "demotes", "kicks") == (0, 4)


def test_only_a_zap_that_unmaps_kicks() -> None:
    guest = make_guest(2 * M)
    guest.set_attributes(0, PAGE, False)
    assert counted(guest, "kicks", "zapped_pages") == (0, 0)
    guest.fault(0, PAGE)
    guest.set_attributes(0, PAGE, True)
    assert counted(guest, "kicks", "zapped_pages") == (16, 1)


def test_a_guest_has_16_vcpus_unless_it_says_otherwise() -> None:
    guest = GuestMemfd(make_host({2 * M: 1}), "vm0", size=2 * M, backing=2 * M)
    guest.allocate(0, 2 * M)
    guest.fault(0, PAGE)
    guest.set_attributes(0, PAGE, False)
    assert counted(guest, "kicks") == (16,)


def test_host_users_are_counted_apart_from_guest_mappings() -> None:
    guest = make_guest(2 * M)
    guest.set_attributes(0, M, False)
    guest.fault(0, 3 * PAGE, by="host")
    guest.fault(0, 5 * PAGE, by="guest")
    guest.set_attributes(0, M, True)
    assert counted(guest, "host_pages_unmapped", "zapped_pages") == (3, 5)


def test_every_request_is_an_exit_even_one_that_finds_nothing_to_do() -> None:
    guest = make_guest(2 * M)
    guest.set_attributes(0, PAGE, True)
    assert counted(guest, "exits", "conversions") == (1, 0)
    guest.set_attributes(0, 2 * M, False)
    assert counted(guest, "exits", "conversions") == (1, 1)


@pytest.mark.parametrize(("backing", "hugepages"), [(2 * M, 512), (G, 1), (PAGE, 262_144)])
def test_the_same_memory_is_cleared_whatever_it_is_made_of(backing: int, hugepages: int) -> None:
    host = make_host({2 * M: 512, G: 1})
    guest = make_guest(backing, hugepages, host=host, allocate=False)
    guest.allocate(0, G)
    work = guest.work
    assert work.bytes_cleared == G
    assert work.pages_allocated + work.base_pages_allocated == G // PAGE
    assert bool(work.base_pages_allocated) == (backing == PAGE)
    guest.allocate(0, G)
    assert guest.work.bytes_cleared == 0


def test_base_pages_are_cleared_wherever_they_lie() -> None:
    guest = make_guest(PAGE, 300, allocate=False)
    guest.allocate(100 * PAGE, 5 * PAGE)
    assert guest.host.work.bytes_cleared == 5 * PAGE
    guest.allocate(103 * PAGE, 5 * PAGE)
    assert guest.host.work.bytes_cleared == 8 * PAGE


steps = st.lists(
    st.tuples(st.sampled_from(["guest", "host", "shared", "private", "hole"]), st.integers(0, 15), st.integers(1, 16)),
    max_size=25,
)


@given(steps, st.sampled_from(["snp", "tdx", "plain"]), st.sampled_from([0, 3, 9]))
def test_what_is_assigned_is_what_was_accepted_and_not_given_back(
    calls: list[tuple[str, int, int]], mapping: MappingKind, failing: int
) -> None:
    """A model that has a set of pages: touched while private goes in, shared or gone goes out."""
    guest = make_guest(2 * M, 2, mapping=mapping)
    if failing:
        guest.host.ledger.inject("filemap_nodes", failing, "forever")
    total = guest.host.work
    for what, first, length in calls:
        offset, size = first * 256 * 1024, min(length * 256 * 1024, 4 * M - first * 256 * 1024)
        with contextlib.suppress(KernelError):
            if what == "hole":
                guest.punch_hole(offset & -2 * M, 2 * M)
            elif what in ("guest", "host"):
                guest.fault(offset, size, by="guest" if what == "guest" else "host")
            else:
                guest.set_attributes(offset, size, what == "private")
        sound(guest)
    held = guest.inode.assigned.pages(0, 1024) if guest.inode.assigned is not None else 0
    assert held <= total.pages_accepted
    if mapping == "snp":
        before = total.rmp_updates
        guest.close()
        assert total.rmp_updates - before == held
    else:
        assert total.rmp_updates == total.psmashes == 0


def test_a_new_guest_has_had_no_call_whatever_the_host_has_done() -> None:
    host = make_host({2 * M: 2})
    first = make_guest(2 * M, host=host)
    first.set_attributes(0, 4096, False)
    second = GuestMemfd(host, "vm1", size=2 * M, backing=2 * M)
    assert first.work.conversions == 1
    assert second.work == Work()


@pytest.mark.parametrize("touched", [0, 1, 5])
def test_only_what_the_host_has_mapped_is_unmapped(touched: int) -> None:
    guest = make_guest(2 * M)
    guest.set_attributes(0, 8 * PAGE, False)
    if touched:
        guest.fault(0, touched * PAGE, by="host")
    guest.set_attributes(0, 8 * PAGE, True)
    assert guest.work.host_pages_unmapped == touched
    assert guest.host.work.host_pages_unmapped == touched
    sound(guest)


@pytest.mark.parametrize("backing", [PAGE, 2 * M])
def test_closing_takes_the_file_away_from_the_host(backing: int) -> None:
    guest = make_guest(backing, 4, shared=backing == PAGE)
    guest.set_attributes(0, 4 * PAGE, False)
    guest.fault(0, 3 * PAGE, by="host")
    guest.close()
    assert counted(guest, "host_pages_unmapped") == (3,)
    assert guest.mapped() == ({}, 0)


@pytest.mark.parametrize(("split", "folios"), [("uniform", 1), ("staged", 2), ("nonuniform", 18)])
def test_a_folio_split_is_counted_at_every_rung(split: str, folios: int) -> None:
    guest = make_guest(G, split=split)
    guest.set_attributes(0, PAGE, False)
    assert counted(guest, "folios_split", "folios_merged") == (folios, 0)
    guest.set_attributes(0, PAGE, True)
    assert guest.work.folios_split == 0


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("split", ["uniform", "staged"])
def test_nodes_that_come_and_go_are_those_of_the_filemap(generation: str, split: str) -> None:
    """Where a folio is split twice too, each time out of the filemap and back in pieces."""
    guest = make_guest(G, 2, generation=generation, split=split)
    for offset, size, private in ((0, PAGE, False), (G, 3 * M, False), (0, PAGE, True), (G, 3 * M, True)):
        before = guest.nodes()
        guest.set_attributes(offset, size, private)
        allocated, freed = counted(guest, "nodes_allocated", "nodes_freed")
        assert allocated - freed == guest.nodes() - before
