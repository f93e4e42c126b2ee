# SPDX-License-Identifier: GPL-2.0-or-later
"""The orderings of 2026: split-first (generation D) and block-abort, and what every k-th failure leaves under them."""

from __future__ import annotations

from typing import Any

import pytest

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from tests.gmem.test_failures import SPLITS, across, failures, mapped, outside, pieces, share, take_back
from tests.gmem.worlds import (
    PAGE,
    G,
    K,
    M,
    attributes,
    folios,
    layout,
    make_guest,
    mapping,
    outcome,
    settle,
    sound,
    state,
    without,
)

NEW = ("split-first", "block-abort")


# -- policies --------------------------------------------------------------------------------------------------------


def test_generation_d_and_its_ordering_imply_each_other() -> None:
    assert Policy(generation="D").ordering == "split-first"
    assert Policy(ordering="split-first").generation == "D"
    assert Policy(ordering="block-abort").generation == "B"
    assert {PRESETS[name].policy.ordering for name in NEW} == set(NEW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ordering": "split-first", "generation": "B"}, "ordering split-first belongs to generation D, found B"),
        ({"ordering": "restructure-first", "generation": "D"}, "restructure-first belongs to generation B, found D"),
        ({"ordering": "split-first", "when": "fault"}, "split-first orders what a conversion splits"),
        ({"on_split_failure": "keep"}, "on_split_failure: keep is for ordering split-first, found restructure-first"),
        ({"on_split_failure": "keep", "ordering": "block-abort"}, "found block-abort"),
    ],
)
def test_what_makes_no_sense(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**settings)


def test_every_ordering_says_what_a_failing_step_leaves() -> None:
    for rule in ORDERINGS.rows():
        assert rule.failures
        assert all(step and left for step, left in rule.failures)


# -- success is the same ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", NEW)
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_what_a_success_leaves_is_what_restructure_first_leaves(backing: int, policy: Any, ordering: str) -> None:
    ours, reference = (mapped(backing, 2, ordering=name, **policy) for name in (ordering, "restructure-first"))
    for call in (share, take_back):
        for guest in (ours, reference):
            call(guest)
            sound(guest)
            settle(guest.host)
        assert without(state(ours), "ledger") == without(state(reference), "ledger")
        left = without(state(ours)["ledger"], "attributes")
        assert left == without(state(reference)["ledger"], "attributes")
        assert ours.work.zapped_pages == reference.work.zapped_pages


# -- every failure ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_split_first_zaps_nothing_and_merges_back(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2
    stops = set()
    for failure in failures(lambda: mapped(backing, hugepages, ordering="split-first", **policy), share, account):
        guest, before, error = failure.guest, failure.before, failure.error
        assert error is not None
        assert error.error_offset in pieces(guest)
        stops.add(error.error_offset)
        assert outside(state(guest)) == outside(before)
        assert sum(end - start for start, end, _ in mapping(guest)) == _mapped_pages(before)
        assert guest.stats.zapped_in_vain == 0
    if account == "any":
        assert len(stops) == hugepages


def _mapped_pages(found: dict[str, Any]) -> int:
    return sum(end - start for start, end, _ in found["stage2"])


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_split_first_may_keep_what_it_has_split(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2

    def make() -> GuestMemfd:
        return mapped(backing, hugepages, ordering="split-first", on_split_failure="keep", **policy)

    done = make()
    share(done)
    kept = 0
    for failure in failures(make, share, account):
        guest, before, error = failure.guest, failure.before, failure.error
        assert error is not None
        assert attributes(guest) == before["attributes"]
        assert _mapped_pages(state(guest)) == _mapped_pages(before)
        assert guest.stats.zapped_in_vain == 0
        stopped = (error.error_offset or 0) // PAGE >> guest.page_order << guest.page_order
        split = [run for run in layout(done) if run[0] < stopped]
        if layout(guest) != before["filemap"]:
            kept += 1
            assert [run for run in layout(guest) if run[0] < stopped] == split or policy.get("split") == "nonuniform"
            guest.host.ledger._injections.clear()
            share(guest)  # what is split already takes nothing
            sound(guest)
            assert layout(guest) == layout(done)
            take_back(guest)
            settle(guest.host)
            assert layout(guest) == before["filemap"]
    if account == "any":
        assert kept


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_block_abort_leaves_the_failing_hugepage_mapped(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2
    for failure in failures(lambda: mapped(backing, hugepages, ordering="block-abort", **policy), share, account):
        guest, before, error = failure.guest, failure.before, failure.error
        assert error is not None
        start, stop = across(guest)[0] // PAGE, (error.error_offset or 0) // PAGE
        assert attributes(guest) == ([(start, stop)] if start < stop else []) + before["attributes"]
        assert _mapped_pages(state(guest)) == _mapped_pages(before) - (stop - start)
        assert guest.stats.zapped_in_vain == 0


@pytest.mark.parametrize("ordering", NEW)
def test_to_private_with_a_pin(ordering: str) -> None:
    guest = make_guest(2 * M, 3, ordering=ordering)
    guest.set_attributes(0, 6 * M, False)
    guest.fault(0, 6 * M)
    guest.fault(0, 6 * M, by="host")
    guest.pin(4 * M + 8 * K, PAGE)
    before = state(guest)
    error = outcome(lambda: guest.set_attributes(PAGE, 6 * M - PAGE, True))
    assert error is not None
    assert (error.name, error.error_offset) == ("EAGAIN", 4 * M + 8 * K)
    sound(guest)
    assert guest.stats.zapped_in_vain == 0
    if ordering == "split-first":
        assert without(state(guest), "host_mapped") == without(before, "host_mapped")
        assert state(guest)["host_mapped"] == [(0, 1)]
    else:
        assert attributes(guest) == [(0, 1), (2 * M // PAGE * 2, 6 * M // PAGE)]
    guest.unpin(4 * M + 8 * K, PAGE)
    guest.set_attributes(0, 6 * M, True)
    assert folios(guest) == {9: 3}
    sound(guest)


def test_split_first_holds_the_root_of_a_merge_beforehand() -> None:
    guest = make_guest(G, 2, ordering="split-first")
    guest.set_attributes(0, PAGE, False)
    guest.punch_hole(G, G)
    guest.fault(0)
    guest.fault(0, by="host")
    before = state(guest)
    guest.host.ledger.inject("filemap_nodes", 1)
    error = outcome(lambda: guest.set_attributes(0, PAGE, True))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 0)
    assert state(guest) == before
    guest.set_attributes(0, PAGE, True)
    assert folios(guest) == {18: 1}
    sound(guest)


def test_split_first_merges_back_what_was_split_once_from_the_top() -> None:
    """Two 2M pieces of one 1G folio were split; merging the folio takes both along."""
    guest = make_guest(G, ordering="split-first", split="staged")
    guest.fault(0, G)
    before = state(guest)
    guest.host.ledger.inject("stage2_page_tables", 1)
    error = outcome(lambda: guest.set_attributes(2 * M - PAGE, 2 * PAGE, False))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 2 * M - PAGE)
    assert guest.stats.splits == {(18, 9): 1, (9, 0): 2}
    assert guest.stats.merges == {(0, 9): 2, (9, 18): 1}
    assert guest.stats.reversals == 1
    assert folios(guest) == {18: 1}
    assert without(state(guest), "ledger") == without(before, "ledger")
    sound(guest)


def test_attributes_first_counts_the_pieces_that_it_reverses() -> None:
    guest = make_guest(2 * M, 3, ordering="attributes-first")
    guest.host.ledger.inject("attributes", 3)
    error = outcome(lambda: guest.set_attributes(0, 6 * M, False))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 4 * M)
    assert guest.stats.reversals == 2
    assert (attributes(guest), folios(guest)) == ([], {9: 3})
    sound(guest)


@pytest.mark.parametrize("ordering", ["split-first", "block-abort", "restructure-first", "reserve-first"])
def test_attributes_that_cannot_be_stored_fail_at_the_first_piece_that_differs(ordering: str) -> None:
    guest = make_guest(2 * M, 3, ordering=ordering)
    guest.set_attributes(0, 2 * M, False)
    guest.host.ledger.inject("attributes", 1)
    error = outcome(lambda: guest.set_attributes(0, 4 * M + PAGE, False))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 2 * M)
    assert attributes(guest) == [(0, 512)]
    sound(guest)


@pytest.mark.parametrize("ordering", NEW)
def test_base_pages_are_converted_both_ways(ordering: str) -> None:
    guest = make_guest(PAGE, 8, ordering=ordering)
    for private, shared in ((False, [(1, 4)]), (True, [])):
        guest.set_attributes(PAGE, 3 * PAGE, private)
        assert attributes(guest) == shared
        sound(guest)


@pytest.mark.parametrize("kind", ["plain", "snp", "tdx"])
def test_leaves_that_were_split_stay_split(kind: Any) -> None:
    guest = make_guest(2 * M, 2, ordering="split-first", mapping=kind)
    guest.fault(0, 4 * M)
    before = state(guest)
    guest.host.ledger.inject("stage2_page_tables", 2)
    error = outcome(lambda: guest.set_attributes(2 * M - PAGE, 2 * PAGE, False))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 2 * M)
    sound(guest)
    assert outside(state(guest)) == outside(before)
    assert mapping(guest) == [(0, 512, 0), (512, 1024, 9)]
    guest.punch_hole(0, 2 * M)
    guest.fault(0, 2 * M)
    assert mapping(guest)[0] == ((0, 512, 0) if kind == "tdx" else (0, 1024, 9))


# -- zaps in vain ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ordering", "in_vain"),
    [
        ("restructure-first", 512),  # the second hugepage; the first is converted
        ("attributes-first", 1 + 512 + 1),  # all are zapped, none is converted
        ("reserve-first", 0),
        ("split-first", 0),
        ("block-abort", 0),
    ],
)
def test_zaps_without_conversion(ordering: str, in_vain: int) -> None:
    guest = make_guest(2 * M, 3, ordering=ordering)
    guest.fault(0, 6 * M)
    guest.host.ledger.inject("vmemmap", 8)  # the second of 7
    call = lambda: guest.set_attributes(2 * M - PAGE, 2 * M + 2 * PAGE, False)  # noqa: E731
    error = outcome(call)
    assert error is not None
    assert guest.stats.zapped_in_vain == in_vain
    assert outcome(call) is None
    assert guest.stats.zapped_in_vain == in_vain  # a success zaps nothing in vain
    sound(guest)


def test_a_leaf_that_a_cannot_split_is_named_by_its_place() -> None:
    guest = make_guest(G, 2, ordering="attributes-first")
    guest.fault(0, 2 * G)
    guest.set_attributes(0, PAGE, False)
    guest.host.ledger.inject("stage2_page_tables", 1)
    error = outcome(lambda: guest.set_attributes(G, PAGE, False))
    assert error is not None
    assert error.error_offset == G
    sound(guest)
