# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes zeroed when folios are merged: what neither guest nor host has ever touched, exactly, and once."""

from random import Random
from typing import Any

import pytest

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.costs import PROFILES
from tests.gmem.worlds import PAGE, G, M, attributes, make_guest, outcome, sound

P2M = 512


def zeroed(guest: GuestMemfd) -> int:
    """Bytes zeroed so far."""
    return guest.host.work.bytes_zeroed


def there_and_back(guest: GuestMemfd, offset: int = 0, size: int = PAGE) -> None:
    """The range is shared and taken back."""
    guest.set_attributes(offset, size, False)
    guest.set_attributes(offset, size, True)
    sound(guest)


@pytest.mark.parametrize("backing", [2 * M, G])
def test_fallocate_touches_nothing(backing: int) -> None:
    guest = make_guest(backing)
    guest.set_attributes(0, PAGE, False)
    assert zeroed(guest) == 0
    guest.set_attributes(0, PAGE, True)
    assert zeroed(guest) == backing
    assert guest.work.bytes_zeroed == backing


def test_what_was_zeroed_counts_as_touched() -> None:
    guest = make_guest(2 * M, 2)
    there_and_back(guest)
    there_and_back(guest, 5 * PAGE, 3 * PAGE)
    assert zeroed(guest) == 2 * M
    there_and_back(guest, 2 * M)
    assert zeroed(guest) == 4 * M


def test_faults_of_guest_and_host_touch_pages_and_pins_too() -> None:
    guest = make_guest(2 * M)
    guest.fault(0, 10 * PAGE)  # maps 2M, touches 10 pages
    guest.set_attributes(100 * PAGE, 8 * PAGE, False)
    guest.fault(100 * PAGE, 2 * PAGE, by="host")
    guest.fault(101 * PAGE, 2 * PAGE, by="guest")
    guest.pin(104 * PAGE, PAGE)
    guest.unpin(104 * PAGE, PAGE)
    guest.set_attributes(100 * PAGE, 8 * PAGE, True)
    assert zeroed(guest) == 2 * M - (10 + 3 + 1) * PAGE
    sound(guest)


def test_a_guest_that_has_touched_everything_has_nothing_zeroed() -> None:
    guest = make_guest(G)
    guest.fault(0, G)
    there_and_back(guest)
    assert zeroed(guest) == 0
    assert len(guest.inode.touched) == 1  # ranges, however many pages


def test_each_level_zeroes_what_is_left() -> None:
    guest = make_guest(G, split="staged")
    guest.set_attributes(0, 2 * PAGE, False)
    guest.set_attributes(4 * M, PAGE, False)
    guest.fault(4 * M, by="host")
    guest.set_attributes(0, 2 * PAGE, True)  # 4K to 2M, the 1G stays split
    assert zeroed(guest) == 2 * M
    guest.set_attributes(4 * M, PAGE, True)
    assert zeroed(guest) == G - PAGE
    sound(guest)


def test_a_hole_forgets() -> None:
    guest = make_guest(2 * M)
    guest.fault(0, 2 * M)
    guest.punch_hole(0, 2 * M)
    guest.allocate(0, 2 * M)
    there_and_back(guest)
    assert zeroed(guest) == 2 * M


def test_memory_that_goes_back_is_not_zeroed_for_it() -> None:
    guest = make_guest(2 * M, 2)
    guest.set_attributes(0, PAGE, False)
    guest.punch_hole(0, 2 * M)  # merged, since it leaves
    guest.set_attributes(2 * M, PAGE, False)
    guest.close()
    assert zeroed(guest) == 0


def test_a_merge_that_fails_zeroes_nothing() -> None:
    guest = make_guest(G, 2)
    guest.set_attributes(0, PAGE, False)
    guest.punch_hole(G, G)
    guest.host.ledger.inject("filemap_nodes", 1)
    assert outcome(lambda: guest.set_attributes(0, PAGE, True)) is not None
    assert zeroed(guest) == 0
    guest.set_attributes(0, PAGE, True)
    assert zeroed(guest) == G


def test_a_fault_that_fails_has_touched_what_it_reached() -> None:
    guest = make_guest(2 * M, 2)
    guest.set_attributes(0, PAGE, False)
    guest.host.ledger.inject("stage2_page_tables", 3)  # the first hugepage has its two tables, the second none
    guest.set_attributes(2 * M, PAGE, False)
    assert outcome(lambda: guest.fault(PAGE, 4 * M - PAGE)) is not None
    guest.set_attributes(0, PAGE, True)
    assert zeroed(guest) == PAGE
    guest.set_attributes(2 * M, PAGE, True)
    assert zeroed(guest) == PAGE + 2 * M


@pytest.mark.parametrize("policy", [{}, {"ordering": "reserve-first"}, {"generation": "A"}, {"when": "fault"}])
def test_random_calls_against_a_page_by_page_model(policy: dict[str, Any]) -> None:
    rng = Random(7)
    guest = make_guest(2 * M, 4, **policy)
    touched: set[int] = set()
    expected = 0
    for _ in range(400):
        first = rng.randrange(guest.pages)
        size = min(rng.choice([1, 3, 50, P2M]), guest.pages - first)
        call = rng.choice(["shared", "private", "private", "guest", "host", "host", "hole"])
        if call == "host" and attributes(guest):
            first, end = rng.choice(attributes(guest))
            size = min(size, end - first)
        elif call == "host":
            call = "guest"
        split = {start for start, hugepage in guest.inode.hugepages.items() if not hugepage.whole}
        pages = set(range(first, first + size))
        if call in ("shared", "private"):
            guest.set_attributes(first * PAGE, size * PAGE, call == "private")
        elif call == "hole":
            start = first // P2M * P2M
            guest.punch_hole(start * PAGE, 2 * M)
            touched -= set(range(start, start + P2M))
        else:
            guest.fault(first * PAGE, size * PAGE, by="guest" if call == "guest" else "host")
            touched |= pages
        if call == "private":
            for start in sorted(split):
                if guest.inode.hugepages[start].whole:
                    block = set(range(start, start + P2M))
                    expected += len(block - touched) * PAGE
                    touched |= block
        assert zeroed(guest) == expected
    assert expected
    sound(guest)


@pytest.mark.parametrize("profile", PROFILES)
def test_zeroing_a_byte_costs_what_clearing_it_costs(profile: str) -> None:
    cleared, zeroed = (PROFILES[profile].figures[counter] for counter in ("bytes_cleared", "bytes_zeroed"))
    assert (zeroed.ns, zeroed.within) == (cleared.ns, cleared.within)


def test_what_a_merge_zeroes_is_priced_in_the_merge_and_once() -> None:
    guest = make_guest(2 * M)
    allocated = PROFILES["default"].price(guest.work)
    assert allocated["clear"] == pytest.approx(2 * M / 13.7)
    assert allocated["zero"] == 0
    guest.fault(0, M)
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(0, PAGE, True)
    merged = PROFILES["default"].price(guest.work)
    assert merged["zero"] == pytest.approx(M / 13.7)
    assert merged["clear"] == 0
    there_and_back(guest)
    assert PROFILES["default"].price(guest.work)["zero"] == 0


def test_where_pages_are_cleared_at_the_first_touch_each_is_written_once() -> None:
    guest = make_guest(2 * M, 2, switches={"clearing": "touch"})
    work = guest.host.work
    assert work.bytes_cleared == 0  # fallocate touches nothing
    guest.fault(0, 10 * PAGE)
    guest.fault(5 * PAGE, 10 * PAGE)
    assert work.bytes_cleared == 15 * PAGE
    guest.set_attributes(20 * PAGE, 2 * PAGE, False)
    guest.fault(20 * PAGE, PAGE, by="host")
    assert work.bytes_cleared == 16 * PAGE
    there_and_back(guest, 20 * PAGE, 2 * PAGE)
    assert (work.bytes_cleared, work.bytes_zeroed) == (16 * PAGE, 2 * M - 16 * PAGE)
    guest.fault(0, 4 * M)
    assert work.bytes_cleared + work.bytes_zeroed == 4 * M
    guest.punch_hole(0, 2 * M)
    guest.fault(0, PAGE)
    assert work.bytes_cleared + work.bytes_zeroed == 4 * M + PAGE
    sound(guest)


def test_base_pages_are_cleared_when_they_are_allocated_either_way() -> None:
    guest = make_guest(PAGE, 16, switches={"clearing": "touch"})
    guest.fault(0, 16 * PAGE)
    assert guest.host.work.bytes_cleared == 16 * PAGE
