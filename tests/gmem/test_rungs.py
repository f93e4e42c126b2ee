# SPDX-License-Identifier: GPL-2.0-or-later
"""A time for every rung: what a conversion splits, what the first host fault splits, and what merges again."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.rules import Hysteresis, Ladder
from tests.gmem.worlds import PAGE, G, M, folios, live, make_guest, outcome, settle, sound, state

LAZY = Ladder((18, 9, 0), ("conversion", "fault"))


def lazy(**policy: Any) -> GuestMemfd:
    guest = make_guest(G, 1, split=LAZY, vmemmap="partial", **policy)
    guest.fault(0, G)
    return guest


def test_the_largest_rung_is_known_for_every_order_of_a_hugepage() -> None:
    at_most = make_guest(G, 1, split=(18, 9, 0)).inode.descents.rung_at_most
    assert at_most == [0] * 9 + [9] * 9 + [18]


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first", "split-first", "block-abort"])
def test_each_rung_at_its_time(ordering: str) -> None:
    guest = lazy(ordering=ordering)
    guest.set_attributes(0, PAGE, False)
    sound(guest)
    assert folios(guest) == {9: 512}
    assert (guest.stats.splits, live(guest, "vmemmap")) == ({(18, 9): 1}, 511)
    guest.fault(0, by="host")
    sound(guest)
    assert folios(guest) == {9: 511, 0: 512}
    assert (guest.stats.splits, live(guest, "vmemmap")) == ({(18, 9): 1, (9, 0): 1}, 518)
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert folios(guest) == {18: 1}


def test_a_range_of_whole_folios_waits_for_the_fault_too() -> None:
    guest = lazy()
    guest.set_attributes(2 * M, 4 * M, False)
    assert folios(guest) == {9: 512}
    guest.fault(4 * M, PAGE, by="host")
    sound(guest)
    assert folios(guest) == {9: 511, 0: 512}
    guest.pin(2 * M, PAGE)
    sound(guest)
    assert folios(guest) == {9: 510, 0: 1024}


def test_memory_that_comes_later_is_split_as_at_conversion() -> None:
    guest = make_guest(G, 1, split=LAZY, allocate=False)
    guest.set_attributes(0, PAGE, False)
    guest.fault(8 * PAGE)
    sound(guest)
    assert folios(guest) == {9: 512}


def test_a_ladder_of_one_time_is_the_ladder_with_that_time() -> None:
    for when in ("conversion", "fault"):
        ours, reference = (
            make_guest(G, split=Ladder((18, 9, 0), (when, when))),
            make_guest(G, split=(18, 9, 0), when=when),
        )
        for guest in (ours, reference):
            guest.set_attributes(0, 3 * M, False)
        assert state(ours) == state(reference)
        for guest in (ours, reference):
            guest.fault(M, M, by="host")
        assert state(ours) == state(reference)


def test_a_folio_with_a_memory_error_is_refused_when_it_is_to_be_split() -> None:
    guest = lazy()
    guest.set_attributes(0, PAGE, False)
    guest.poison(8 * PAGE)
    guest.set_attributes(PAGE, PAGE, False)  # 2M folios stay as they are
    error = outcome(lambda: guest.fault(PAGE, by="host"))
    assert error is not None
    assert error.name == "EHWPOISON"
    sound(guest)


def test_a_memory_error_does_not_refuse_what_only_a_fault_splits() -> None:
    guest = make_guest(2 * M, when="fault")
    guest.fault(0)
    guest.poison(0)
    guest.set_attributes(0, PAGE, False)
    error = outcome(lambda: guest.fault(0, by="host"))
    assert error is not None
    assert error.name == "EHWPOISON"


@pytest.mark.parametrize("number", [1, 8, 64, 65])
@pytest.mark.parametrize("account", ["filemap_nodes", "vmemmap"])
def test_failures_of_each_rung(account: str, number: int) -> None:
    guest = lazy()
    for call in (partial(guest.set_attributes, 0, PAGE, False), partial(guest.fault, 0, by="host")):
        guest.host.ledger.inject(account, number)
        before = folios(guest)
        error = outcome(call)
        sound(guest)
        if error is not None:
            assert (error.name, error.error_offset) == ("ENOMEM", 0)
            assert folios(guest) == before
            settle(guest.host)
            call()
        guest.host.ledger._injections.clear()
        sound(guest)
    assert folios(guest) == {9: 511, 0: 512}


@pytest.mark.parametrize("rule", [LAZY, Hysteresis(3)], ids=repr)
def test_a_rule_travels_to_another_process_and_shows_how_it_is_made(rule: Ladder | Hysteresis) -> None:
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert hash(pickle.loads(pickle.dumps(rule))) == hash(rule)
    assert eval(repr(rule), {"Ladder": Ladder, "Hysteresis": Hysteresis}) == rule
