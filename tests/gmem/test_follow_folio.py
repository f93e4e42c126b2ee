# SPDX-License-Identifier: GPL-2.0-or-later
"""Which leaves of stage 2 a split takes apart: those that cross the range, or all that are larger than their folio."""

from typing import Any

import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.rules import GENERATIONS
from gmemsim.gmem.stage2 import MappingKind
from tests.gmem.worlds import PAGE, G, K, M, live, make_guest, mapping, outcome, settle, sound, state, without

P2M, P1G = 512, 1 << 18

FOLLOW: Any = {"stage2": "follow-folio"}
SPLIT_RANGE = [(0, 1, 0), (2, P2M, 0), (P2M, P1G, 9)]
"""What is left of a 1G leaf when the second page is converted and only leaves that cross the range are split."""

SPLIT_ALL = [(0, 1, 0), (2, P1G, 0)]
"""The same when no leaf may be larger than its folio, a base page."""


def mapped(mapping: MappingKind = "snp", **others: Any) -> GuestMemfd:
    """A guest of one 1G hugepage that it has mapped as large as it may."""
    guest = make_guest(G, mapping=mapping, **others)
    guest.fault(0, G)
    return guest


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("kind", ["plain", "snp", "tdx"])
def test_by_default_only_leaves_that_cross_the_range_are_split(kind: MappingKind, generation: str) -> None:
    guest = mapped(kind, generation=generation)
    guest.set_attributes(PAGE, PAGE, False)
    assert mapping(guest) == SPLIT_RANGE
    assert +guest.folios == {0: P1G}  # the 2M leaves are larger than their folios
    assert live(guest, "stage2_page_tables") == 2
    sound(guest)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("kind", ["plain", "snp", "tdx"])
def test_follow_folio_splits_every_leaf_that_is_larger_than_its_folio(kind: MappingKind, generation: str) -> None:
    guest = mapped(kind, **FOLLOW, generation=generation)
    guest.set_attributes(PAGE, PAGE, False)
    assert mapping(guest) == SPLIT_ALL
    assert live(guest, "stage2_page_tables") == 1 + 512
    assert guest.host.work.zapped_pages == 1  # splitting keeps what is mapped
    sound(guest)


@pytest.mark.parametrize("ordering", ["restructure-first", "block-abort", "split-first", "reserve-first"])
def test_where_all_folios_are_base_pages_no_leaf_is_too_large(ordering: str) -> None:
    guest = mapped(**FOLLOW, ordering=ordering)
    guest.set_attributes(PAGE, PAGE, False)
    tables = live(guest, "stage2_page_tables")
    guest.set_attributes(2 * PAGE, PAGE, False)
    assert (live(guest, "stage2_page_tables"), mapping(guest)) == (tables, [(0, 1, 0), (3, P1G, 0)])
    sound(guest)


@pytest.mark.parametrize(("split", "kept"), [("staged", SPLIT_RANGE), ("nonuniform", SPLIT_RANGE)])
def test_follow_folio_keeps_leaves_that_are_no_larger_than_their_folio(split: str, kept: Any) -> None:
    guest = mapped(split=split, **FOLLOW)
    guest.set_attributes(PAGE, PAGE, False)
    assert mapping(guest) == kept
    sound(guest)


def test_follow_folio_with_folios_below_2m() -> None:
    guest = mapped(split=(18, 12, 6, 0), **FOLLOW)
    guest.set_attributes(PAGE, PAGE, False)
    # 64 folios of 16M (order 12), the first of them in folios of 256K and base pages
    assert mapping(guest) == [(0, 1, 0), (2, 1 << 12, 0), (1 << 12, P1G, 9)]
    assert live(guest, "stage2_page_tables") == 1 + 8
    sound(guest)


def test_follow_folio_waits_for_the_host_where_folios_are_split_at_fault() -> None:
    guest = mapped(when="fault", **FOLLOW)
    guest.set_attributes(PAGE, PAGE, False)
    assert mapping(guest) == SPLIT_RANGE
    guest.fault(PAGE, by="host")
    assert mapping(guest) == SPLIT_ALL
    sound(guest)


def test_follow_folio_reserves_every_table() -> None:
    guest = mapped(ordering="reserve-first", **FOLLOW)
    guest.host.ledger.inject("stage2_page_tables", 513)
    before = state(guest)
    error = outcome(lambda: guest.set_attributes(PAGE, PAGE, False))
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == PAGE
    assert state(guest) == before
    sound(guest)
    guest.set_attributes(PAGE, PAGE, False)
    assert mapping(guest) == SPLIT_ALL
    sound(guest)


def test_follow_folio_reserves_the_tables_of_the_hugepage_that_is_split() -> None:
    guest = make_guest(G, 2, mapping="snp", ordering="reserve-first", **FOLLOW)
    guest.fault(0, 2 * G)
    before = state(guest)
    guest.host.ledger.inject("stage2_page_tables", 513)
    error = outcome(lambda: guest.set_attributes(G + PAGE, PAGE, False))
    assert isinstance(error, OutOfMemory)
    assert state(guest) == before


def test_a_failed_leaf_leaves_those_split_before_it_and_zaps_nothing() -> None:
    guest = mapped(**FOLLOW)
    guest.host.ledger.inject("stage2_page_tables", 5)
    before = state(guest)
    error = outcome(lambda: guest.set_attributes(PAGE, PAGE, False))
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == PAGE
    assert mapping(guest) == [(0, 3 * P2M, 0), (3 * P2M, P1G, 9)]
    assert without(state(guest), "stage2", "ledger") == without(before, "stage2", "ledger")
    sound(guest)


def test_merged_folios_are_mapped_large_again() -> None:
    guest = mapped(**FOLLOW)
    guest.set_attributes(PAGE, PAGE, False)
    guest.set_attributes(PAGE, PAGE, True)
    guest.fault(0, G)
    settle(guest.host)
    assert mapping(guest) == [(0, P1G, 18)]
    assert live(guest, "stage2_page_tables") == 0
    sound(guest)


def test_16k_pages() -> None:
    guest = make_guest(32 * M, page_size=16 * K, **FOLLOW)
    guest.fault(0, 32 * M)
    guest.set_attributes(0, 16 * K, False)
    assert mapping(guest) == [(1, 2048, 0)]
    sound(guest)
