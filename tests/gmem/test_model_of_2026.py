# SPDX-License-Identifier: GPL-2.0-or-later
"""What the model had wrong until late 2026: merges that need a node, generation A's splits, what failures leave."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.attributes import LEAF_ROOM, preallocation
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.rules import Hysteresis
from gmemsim.host.ledger import Holder
from tests.gmem.worlds import PAGE, G, M, attributes, folios, live, make_guest, outcome, settle, sound, state, without

# -- a merge can need a node -------------------------------------------------------------------------------------------


def shrunken(**policy: Any) -> GuestMemfd:
    """A guest of 2 x 1G whose filemap has lost its root: a page of the first shared, the second punched."""
    guest = make_guest(G, 2, **policy)
    guest.set_attributes(0, PAGE, False)
    guest.punch_hole(G, G)
    sound(guest)
    return guest


@pytest.mark.parametrize(
    "ordering", ["restructure-first", "attributes-first", "reserve-first", "split-first", "block-abort"]
)
def test_a_merge_after_a_hole_takes_a_root(ordering: str) -> None:
    guest = shrunken(ordering=ordering)
    assert guest.nodes() == 4161
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert (guest.nodes(), folios(guest)) == (1, {18: 1})
    assert guest.work.nodes_allocated == 1


@pytest.mark.parametrize(
    "ordering", ["restructure-first", "attributes-first", "reserve-first", "split-first", "block-abort"]
)
def test_a_merge_without_that_root_is_refused_and_says_where(ordering: str) -> None:
    guest = shrunken(ordering=ordering)
    before = state(guest)
    guest.host.ledger.inject("filemap_nodes", 1)
    error = outcome(lambda: guest.set_attributes(0, PAGE, True))
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == 0
    sound(guest)
    assert without(state(guest), "stage2") == without(before, "stage2")
    assert attributes(guest) == [(0, 1)]
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert folios(guest) == {18: 1}


def test_a_hole_whose_merge_needs_a_root_may_fail_and_changes_nothing() -> None:
    guest = shrunken(merge="cleanup")
    guest.fault(0, by="host")
    before = state(guest)
    guest.host.ledger.inject("filemap_nodes", 1)
    error = outcome(lambda: guest.punch_hole(0, G))
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == 0
    assert state(guest) == before
    sound(guest)
    guest.punch_hole(0, G)
    sound(guest)
    assert (guest.nodes(), guest.stats.merges) == (0, {(0, 18): 1})


def test_the_second_of_two_holes_says_its_own_offset() -> None:
    guest = make_guest(G, 3)
    guest.set_attributes(0, PAGE, False)
    guest.punch_hole(2 * G, G)
    guest.set_attributes(G, PAGE, False)
    guest.punch_hole(G, G)
    guest.host.ledger.inject("filemap_nodes", 1)
    error = outcome(lambda: guest.punch_hole(0, G))
    assert error is not None
    assert error.error_offset == 0
    sound(guest)


@pytest.mark.parametrize(
    "ordering", ["restructure-first", "attributes-first", "reserve-first", "split-first", "block-abort"]
)
def test_close_cannot_fail(ordering: str) -> None:
    guest = shrunken(ordering=ordering)
    guest.host.ledger.inject("any", 1, "forever")
    guest.close()
    sound(guest)
    settle(guest.host)
    assert guest.stats.merges == {(0, 18): 1}
    assert [account for account, tally in guest.host.ledger.tallies.items() if tally.live] == ["vmemmap_page_tables"]
    assert guest.host.pool.free(G) == 2


# -- generation A ------------------------------------------------------------------------------------------------------


def test_a_has_one_metadata_object_for_each_split_hugepage() -> None:
    guest = make_guest(G, 2, ordering="attributes-first")
    assert live(guest, "folio_metadata") == 0
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(8 * PAGE, PAGE, False)
    assert live(guest, "folio_metadata") == 1
    guest.set_attributes(G, PAGE, False)
    assert guest.host.ledger.tallies["folio_metadata"].live_bytes == 2 * 64
    guest.set_attributes(0, 2 * G, True)
    assert live(guest, "folio_metadata") == 0
    sound(guest)


def test_a_lone_split_of_a_has_no_root_above_its_pages() -> None:
    guest = make_guest(G, 1, ordering="attributes-first")
    guest.set_attributes(0, PAGE, False)
    sound(guest)
    assert (guest.nodes(), folios(guest)) == (4161, {0: 1 << 18})
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert (guest.nodes(), folios(guest)) == (1, {18: 1})


def test_a_counts_the_node_that_goes_with_the_only_folio() -> None:
    """Above a lone folio that is not the first there is a root; it goes when the folio is taken out to be split."""
    guest = make_guest(G, 2, ordering="attributes-first")
    guest.punch_hole(0, G)
    assert guest.nodes() == 1
    guest.set_attributes(G, PAGE, False)
    sound(guest)
    assert (guest.work.nodes_freed, guest.work.nodes_allocated) == (1, 4162)
    assert guest.nodes() == 4162


def test_a_takes_the_folio_out_before_it_asks_for_anything() -> None:
    """So the node that goes with a lone folio is free when vmemmap is restored, and leaves room for that."""
    guest = make_guest(G, 2, ordering="attributes-first")
    guest.punch_hole(0, G)
    held: dict[str, int] = {}

    def note(holder: Holder, n: int) -> None:
        held.setdefault(holder.account, guest.nodes())

    guest.host.ledger.watch(note)
    guest.set_attributes(G, PAGE, False)
    assert (held["vmemmap"], held["filemap_nodes"]) == (0, 0)


@pytest.mark.parametrize("generation", ["B", "D"])
def test_metadata_of_a_hugepage_takes_32_bytes(generation: str) -> None:
    guest = make_guest(2 * M, 3, generation=generation)
    tally = guest.host.ledger.tallies["folio_metadata"]
    assert (tally.live, tally.live_bytes) == (3, 3 * 32)


@pytest.mark.parametrize("account", ["vmemmap", "folio_metadata", "filemap_nodes"])
@pytest.mark.parametrize("nth", [1, 2, 1000])
@pytest.mark.parametrize("split", ["uniform", "staged", "nonuniform"])
def test_a_failed_split_of_a_puts_the_folio_back(account: str, nth: int, split: str) -> None:
    guest = make_guest(G, 2, ordering="attributes-first", split=split)
    before = state(guest)
    guest.host.ledger.inject(account, nth)
    error = outcome(lambda: guest.set_attributes(G, PAGE, False))
    sound(guest)
    if error is None:
        assert guest.host.ledger.armed()
        return
    assert error.error_offset == G
    assert without(state(guest), "stage2") == without(before, "stage2")
    assert guest.outcomes() == dict.fromkeys(guest.outcomes(), 0)


def test_a_puts_back_what_it_has_taken_out_and_nothing_else() -> None:
    """The pieces above the one that failed need no node: none is left for others."""
    guest = make_guest(G, 2, ordering="attributes-first", split="nonuniform")
    before = state(guest)
    guest.host.ledger.inject("filemap_nodes", 2, "forever")
    assert outcome(lambda: guest.set_attributes(G, PAGE, False)) is not None
    sound(guest)
    assert guest.stats.lost_hugepages == 0
    assert without(state(guest), "stage2") == without(before, "stage2")


def test_a_folio_that_cannot_be_put_back_is_lost_with_its_contents() -> None:
    guest = make_guest(G, 1, ordering="attributes-first")
    guest.fault(0, G)
    guest.host.ledger.inject("vmemmap", 1, "forever")
    guest.host.ledger.inject("filemap_nodes", 1, "forever")
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert isinstance(error, OutOfMemory)
    sound(guest)
    assert guest.stats.lost_hugepages == 1
    assert (folios(guest), attributes(guest), guest.host.pool.free(G)) == ({}, [], 1)


# -- hysteresis --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 512, 1 << 18])
def test_hysteresis_counts_the_splits_of_every_folio_whatever_range_a_call_covers(pages: int) -> None:
    guest = make_guest(G, 1, split="staged", merge=Hysteresis(2))
    for _ in range(2):
        guest.set_attributes(0, pages * PAGE, False)
        guest.set_attributes(0, pages * PAGE, True)
        sound(guest)
    assert folios(guest) == {18: 1}
    guest.set_attributes(0, pages * PAGE, False)
    guest.set_attributes(0, pages * PAGE, True)
    sound(guest)
    stays_small = max(512, pages)
    assert folios(guest)[0] == stays_small


# -- reoptimize --------------------------------------------------------------------------------------------------------


def test_reoptimize_counts_an_optimise_and_a_flush_for_every_remaining_hugepage_sized_folio() -> None:
    guest = make_guest(G, 1, split="staged", vmemmap="reoptimize")
    guest.set_attributes(0, PAGE, False)
    work = guest.work
    assert (work.restores, work.vmemmap_pages_restored) == (1, 4095)
    assert (work.optimises, work.tlb_flushes, work.vmemmap_pages_freed) == (511, 512, 511 * 7)
    assert live(guest, "vmemmap") == 518
    guest.set_attributes(2 * M, PAGE, False)
    work = guest.work
    assert (work.restores, work.vmemmap_pages_restored, work.optimises, work.tlb_flushes) == (1, 7, 0, 1)
    guest.set_attributes(2 * M, PAGE, True)
    assert (guest.work.optimises, guest.work.vmemmap_pages_freed) == (1, 7)
    guest.set_attributes(0, PAGE, True)
    assert (guest.work.optimises, guest.work.vmemmap_pages_freed) == (1, 518)
    sound(guest)


def test_one_piece_that_cannot_be_optimised_keeps_its_vmemmap() -> None:
    switches = {"shared_tail_pages": True}
    guest = make_guest(G, 1, split="staged", vmemmap="reoptimize", switches=switches)
    guest.host.ledger.inject("vmemmap", 4095 + 5)
    guest.set_attributes(0, PAGE, False)
    sound(guest)
    assert guest.stats.optimise_failures == 1
    assert live(guest, "vmemmap") == 518 + 7


# -- non-uniform splits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nth", "left"), [(1, {18: 1}), (2, {17: 1, 16: 1, 15: 1, 14: 1, 13: 1, 12: 2})])
def test_a_failed_chain_leaves_what_it_has_split(nth: int, left: dict[int, int]) -> None:
    guest = make_guest(G, 1, split="nonuniform")
    guest.host.ledger.inject("filemap_nodes", nth)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == 0
    sound(guest)
    assert (folios(guest), attributes(guest)) == (left, [])
    assert live(guest, "vmemmap") == (0 if len(left) == 1 else 4095)
    guest.set_attributes(0, PAGE, False)
    sound(guest)
    assert folios(guest)[0] == 2
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert folios(guest) == {18: 1}


def test_all_or_nothing_is_a_variant_of_its_own() -> None:
    for nth in (1, 2, 3):
        guest = make_guest(G, 1, split="nonuniform-all-or-nothing")
        before = state(guest)
        guest.host.ledger.inject("filemap_nodes", nth)
        assert outcome(partial(guest.set_attributes, 0, PAGE, False)) is not None
        assert state(guest) == before
        sound(guest)


def test_a_chain_takes_its_nodes_level_by_level_after_the_vmemmap() -> None:
    for account, nth, taken in (("vmemmap", 1, 0), ("filemap_nodes", 1, 0), ("filemap_nodes", 3, 2)):
        guest = make_guest(G, 1, split="nonuniform")
        nodes = guest.nodes()
        guest.host.ledger.inject(account, nth)
        assert outcome(partial(guest.set_attributes, 0, PAGE, False)) is not None
        assert guest.nodes() - nodes == taken


@pytest.mark.parametrize(("pages", "derived"), [(1, 0), (2, 1)])
def test_a_non_uniform_split_around_more_than_a_page_is_derived(pages: int, derived: int) -> None:
    guest = make_guest(G, 1, split="nonuniform")
    guest.set_attributes(0, pages * PAGE, False)
    assert guest.stats.derived_splits == derived


# -- attributes --------------------------------------------------------------------------------------------------------


def test_a_spanning_store_asks_for_more() -> None:
    guest = make_guest(2 * M, 4)
    for page in range(0, 200, 2):
        guest.set_attributes(page * PAGE, PAGE, False)
    ranges = guest.attribute_ranges
    before = guest.host.ledger.tallies["attributes"].allocated
    guest.set_attributes(201 * PAGE, PAGE, False)
    within = guest.host.ledger.tallies["attributes"].allocated - before
    assert within == preallocation(ranges, spanning=False)
    ranges, before = guest.attribute_ranges, guest.host.ledger.tallies["attributes"].allocated
    guest.set_attributes(0, 100 * PAGE, False)
    assert guest.host.ledger.tallies["attributes"].allocated - before == preallocation(ranges, spanning=True) > within
    sound(guest)


def test_a_tree_of_one_leaf_takes_one() -> None:
    assert [preallocation(ranges, spanning=False) for ranges in (1, LEAF_ROOM - 1)] == [1, 1]


# -- what stays after close --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backing", "hugepages"), [(2 * M, 4), (G, 2)])
@pytest.mark.parametrize("shared_tail_pages", [False, True])
def test_what_stays_after_close_is_the_page_tables_and_what_could_not_be_optimised(
    backing: int, hugepages: int, shared_tail_pages: bool
) -> None:
    """With a fault that strikes for ever: PTE pages of vmemmap, and the vmemmap of hugepages left unoptimised."""
    guest = make_guest(backing, hugepages, switches={"shared_tail_pages": shared_tail_pages})
    host = guest.host
    for hugepage in range(2):
        guest.set_attributes(hugepage * backing, PAGE, False)
    guest.host.ledger.inject("any", 1, "forever")
    guest.close()
    sound(guest)
    settle(host)
    restored = host.vmemmap.restored(host.geometry.order_of(backing))
    stays = {account: tally.live for account, tally in host.ledger.tallies.items() if tally.live}
    tables = host.vmemmap.page_tables_for(host.geometry.order_of(backing), hugepages)
    unoptimised = {"vmemmap": 2 * restored} if shared_tail_pages else {}
    assert stays == {"vmemmap_page_tables": tables} | unoptimised
    assert sum(host.unoptimised.values()) == stays.get("vmemmap", 0)
    assert guest.stats.optimise_failures == (2 if shared_tail_pages else 0)
