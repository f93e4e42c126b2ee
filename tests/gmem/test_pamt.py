# SPDX-License-Identifier: GPL-2.0-or-later
"""TDX's PAMT: a pair of pages for every 2M region that a guest maps by base pages, or a constant."""

from typing import Any

import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.stage2 import MappingKind
from tests.gmem.worlds import PAGE, G, K, M, attributes, live, make_guest, make_host, mapping, outcome, sound, state

P2M, P1G = 512, 1 << 18


def tdx(backing: int = G, hugepages: int = 1, mapping: MappingKind = "tdx", **others: Any) -> GuestMemfd:
    """A guest on a host with Dynamic PAMT, all of it mapped."""
    guest = make_guest(backing, hugepages, mapping=mapping, switches={"pamt": "dynamic"}, **others)
    guest.fault(0, guest.size)
    return guest


def test_a_demote_takes_a_table_and_a_pair() -> None:
    guest = tdx()
    tables = live(guest, "stage2_page_tables")
    assert (tables, live(guest, "pamt")) == (1, 0)
    guest.set_attributes(0, PAGE, False)
    assert (live(guest, "stage2_page_tables"), live(guest, "pamt")) == (tables + 1, 2)
    assert mapping(guest) == [(1, P2M, 0), (P2M, P1G, 9)]
    sound(guest)


def test_a_range_that_crosses_two_leaves_takes_two_pairs() -> None:
    guest = tdx()
    guest.set_attributes(2 * M - PAGE, 2 * PAGE, False)
    assert live(guest, "pamt") == 4
    sound(guest)


def test_following_folios_takes_a_pair_for_every_region() -> None:
    guest = tdx(stage2="follow-folio")
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "pamt") == 2 * 512
    assert live(guest, "stage2_page_tables") == 1 + 512
    sound(guest)


def test_no_promotion_and_the_pair_stays_with_the_small_mapping() -> None:
    guest = tdx()
    guest.set_attributes(0, PAGE, False)
    guest.fault(0)
    guest.set_attributes(0, PAGE, True)
    guest.fault(0, G)
    assert +guest.folios == {18: 1}
    assert mapping(guest) == [(0, P2M, 0), (P2M, P1G, 9)]
    assert live(guest, "pamt") == 2
    sound(guest)


def test_shared_memory_needs_no_pair_since_it_is_no_memory_of_the_td() -> None:
    guest = tdx()
    guest.set_attributes(0, 2 * M, False)  # a whole leaf: it is zapped, not demoted
    guest.fault(0, 2 * M)
    assert mapping(guest) == [(0, P2M, 0), (P2M, P1G, 9)]
    assert live(guest, "pamt") == 0
    sound(guest)


def test_the_pair_goes_with_the_last_private_page() -> None:
    guest = tdx()
    guest.set_attributes(0, M, False)
    guest.fault(0, M)
    assert live(guest, "pamt") == 2
    guest.set_attributes(M, M - PAGE, False)
    assert live(guest, "pamt") == 2
    guest.set_attributes(2 * M - PAGE, PAGE, False)
    assert live(guest, "pamt") == 0
    sound(guest)
    guest.set_attributes(0, 2 * M, True)
    assert live(guest, "pamt") == 0  # nothing is mapped yet
    guest.fault(4 * K)
    assert live(guest, "pamt") == 2  # and it has been mapped by base pages: never large again
    assert mapping(guest)[0] == (1, 2, 0)
    sound(guest)


def test_base_pages_take_a_pair_at_the_first_touch_of_a_region() -> None:
    guest = make_guest(PAGE, 2048, mapping="tdx", switches={"pamt": "dynamic"})
    guest.fault(5 * PAGE)
    guest.fault(7 * PAGE, 3 * PAGE)
    assert live(guest, "pamt") == 2
    guest.fault(0, 4 * M)
    assert live(guest, "pamt") == 4
    guest.punch_hole(0, 2 * M)
    assert live(guest, "pamt") == 2
    guest.close()
    assert live(guest, "pamt") == 0
    sound(guest)


@pytest.mark.parametrize("backing", [2 * M, G])
def test_holes_and_close_give_all_pairs_back(backing: int) -> None:
    guest = tdx(backing, 2)
    for offset in (0, backing):
        guest.set_attributes(offset, PAGE, False)
        guest.set_attributes(offset, PAGE, True)
    assert live(guest, "pamt") == 4
    guest.punch_hole(0, backing)
    assert live(guest, "pamt") == 2
    guest.close()
    assert live(guest, "pamt") == 0
    sound(guest)


@pytest.mark.parametrize("mapping", ["plain", "snp"])
def test_other_guests_have_none(mapping: MappingKind) -> None:
    guest = tdx(mapping=mapping)
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "pamt") == 0


def test_a_pair_that_cannot_be_had_leaves_the_leaf_as_it_was() -> None:
    guest = tdx()
    before = state(guest)
    for nth in (1, 2):  # each of the two pages
        guest.host.ledger.inject("pamt", nth)
        error = outcome(lambda: guest.set_attributes(0, PAGE, False))
        assert isinstance(error, OutOfMemory)
        assert error.error_offset == 0
        assert state(guest) == before
        sound(guest)
    small = make_guest(PAGE, 2048, mapping="tdx", switches={"pamt": "dynamic"})
    small.host.ledger.inject("pamt", 3)
    with pytest.raises(OutOfMemory):
        small.fault(0, 4 * M)
    assert mapping(small) == [(0, P2M, 0)]
    sound(small)


def test_reserve_first_reserves_pairs_too() -> None:
    guest = tdx(ordering="reserve-first", stage2="follow-folio")
    before = state(guest)
    guest.host.ledger.inject("pamt", 1000)
    assert isinstance(outcome(lambda: guest.set_attributes(0, PAGE, False)), OutOfMemory)
    assert state(guest) == before
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "pamt") == 1024
    assert attributes(guest) == [(0, 1)]
    sound(guest)


def test_static_pamt_is_a_constant_of_the_host() -> None:
    host = make_host({G: 4}, pamt="static")
    pages = -(-4 * G * 4 // 1000 // PAGE)
    assert host.ledger.tallies["pamt"].live == pages == 4195
    guest = make_guest(G, host=host, mapping="tdx")
    guest.fault(0, G)
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "pamt") == pages
    guest.close()
    sound(guest)


def test_static_pamt_counts_against_the_budget() -> None:
    with pytest.raises(OutOfMemory, match="pamt"):
        make_host({G: 4}, pamt="static", kernel_memory=16 * M)


def test_by_default_there_is_no_pamt() -> None:
    guest = make_guest(G, mapping="tdx")
    guest.fault(0, G)
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "pamt") == 0
