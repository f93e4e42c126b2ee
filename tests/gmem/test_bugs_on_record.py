# SPDX-License-Identifier: GPL-2.0-or-later
"""The bugs of DOMAIN.md section 8: each as a story that holds here, and that fails when the bug is put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import pytest

from gmemsim.errors import KernelError
from gmemsim.gmem import conversion, restructure
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import GuestMemfd
from gmemsim.gmem.stage2 import Stage2
from gmemsim.xarray import XArray
from tests.gmem.worlds import PAGE, G, M, attributes, live, make_guest, mapping, outcome, sound, state, without


@attrs.frozen
class Bug:
    """A ``story`` asserts what is right; ``put_in`` makes the code wrong in the way it was."""

    name: str
    story: Callable[[pytest.MonkeyPatch], None]
    put_in: Callable[[pytest.MonkeyPatch], None]


# -- split, then merge, restored stale HVO state, so the folio was not optimised and a later split misbehaved --------


def merged_folios_are_optimised(_: pytest.MonkeyPatch) -> None:
    guest = make_guest(G)
    for _again in range(3):
        guest.set_attributes(0, PAGE, False)
        assert guest.work.vmemmap_pages_restored == 4095
        guest.set_attributes(0, PAGE, True)
        assert live(guest, "vmemmap") == 0
        sound(guest)


def merge_forgets_to_optimise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restructure, "optimise", lambda *_: None)


def merge_believes_in_a_stale_state(patch: pytest.MonkeyPatch) -> None:
    def stale(inode: GuestMemfd, hugepage: Hugepage, work: Any) -> None:
        hugepage.restored = 0  # the flag says optimised, the pages are still there

    patch.setattr(restructure, "optimise", stale)


# -- a non-uniform split briefly exposed the wrong folio at an index -------------------------------------------------


def slots_hold_the_original_until_the_end(patch: pytest.MonkeyPatch) -> None:
    guest = make_guest(G, split="nonuniform")
    original = XArray.split
    steps = []

    def watched(self: XArray, index: int, order: int, new_order: int, *args: Any, **more: Any) -> None:
        original(self, index, order, new_order, *args, **more)
        steps.append((order, new_order))
        for bound in (0, 1, 5, 6, 7, 8, 512, 1 << 17, guest.pages - 1):
            assert self.load(bound) is guest.hugepages[0], f"index {bound} after {order} to {new_order}"

    patch.setattr(XArray, "split", watched)
    guest.set_attributes(6 * PAGE, PAGE, False)
    assert steps == [(order, order - 1) for order in range(18, 0, -1)]
    patch.setattr(XArray, "split", original)
    sound(guest)


def split_stores_something_new_at_once(patch: pytest.MonkeyPatch) -> None:
    original = XArray.split

    def split(self: XArray, index: int, order: int, new_order: int, *_: Any, **more: Any) -> None:
        original(self, index, order, new_order, object(), **more)

    patch.setattr(XArray, "split", split)


# -- two first faults inside one hugepage both allocated and exceeded the subpool ------------------------------------


def two_first_faults_allocate_once(_: pytest.MonkeyPatch) -> None:
    guest = make_guest(2 * M, 1, allocate=False)
    guest.set_attributes(M, PAGE, False)
    guest.fault(0)
    assert guest.work.allocations == 1
    guest.fault(M, by="host")
    assert guest.work.allocations == 0
    assert guest.subpool is not None
    assert len(guest.subpool.outstanding) == 1
    sound(guest)


def every_fault_allocates(patch: pytest.MonkeyPatch) -> None:
    original = GuestMemfd.pieces

    def pieces(self: GuestMemfd, start: int, end: int) -> Iterator[tuple[int, int, Hugepage | None]]:
        for low, high, _ in original(self, start, end):
            yield low, high, None

    patch.setattr(GuestMemfd, "pieces", pieces)


# -- rollback at index 0 underflowed (A) -----------------------------------------------------------------------------


def rollback_at_index_0(_: pytest.MonkeyPatch) -> None:
    for offset, end in ((0, 2 * M + PAGE), (0, PAGE), (2 * M - PAGE, 2 * M + PAGE)):
        guest = make_guest(2 * M, 2, ordering="attributes-first")
        before = state(guest)
        last = 9 if end > 2 * M else 1  # the first node of the last hugepage
        guest.host.ledger.inject("filemap_nodes", last)
        error = outcome(partial(guest.set_attributes, offset, end - offset, False))
        assert error is not None
        assert guest.stats.rollback_failures == 0
        assert attributes(guest) == []
        sound(guest)
        assert without(state(guest), "stage2") == without(before, "stage2")
    guest = make_guest(2 * M, 2, ordering="attributes-first")
    guest.set_attributes(0, 3 * M, False)
    guest.host.ledger.inject("attributes", 2)  # to private again: the second store's
    assert outcome(lambda: guest.set_attributes(0, 3 * M, True)) is not None
    assert guest.stats.rollback_failures == 0
    assert attributes(guest) == [(0, 3 * M // PAGE)]
    sound(guest)


def rollback_starts_one_page_early(patch: pytest.MonkeyPatch) -> None:
    original = conversion._reverse

    def reverse(inode: GuestMemfd, low: int, *rest: Any) -> None:
        original(inode, low - 1, *rest)

    patch.setattr(conversion, "_reverse", reverse)


def rollback_leaves_out_the_first(patch: pytest.MonkeyPatch) -> None:
    original = conversion._reverse

    def reverse(inode: GuestMemfd, low: int, *rest: Any) -> None:
        if low:
            original(inode, low, *rest)

    patch.setattr(conversion, "_reverse", reverse)


# -- ENOMEM after the destructive zap (A, B) -------------------------------------------------------------------------


def nothing_is_torn_down_before_memory_is_there(_: pytest.MonkeyPatch) -> None:
    for account in ("attributes", "stage2_page_tables", "filemap_nodes", "vmemmap"):
        guest = make_guest(2 * M, 2, ordering="reserve-first")
        guest.fault(0, 4 * M)
        before = state(guest)
        guest.host.ledger.inject(account, 1)
        error = outcome(partial(guest.set_attributes, M, 2 * M, False))
        assert error is not None
        assert error.name == "ENOMEM"
        assert state(guest) == before
        sound(guest)


def the_zap_comes_first(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(conversion.orderings, "reserve-first", conversion.orderings["restructure-first"])


def vmemmap_is_not_reserved(patch: pytest.MonkeyPatch) -> None:
    original = restructure.Split.split_entries
    take = restructure.Split.take_vmemmap
    patch.setattr(restructure.Split, "take_vmemmap", lambda *_: None)

    def split_entries(self: restructure.Split, work: Any) -> None:
        take(self, work)
        original(self, work)

    patch.setattr(restructure.Split, "split_entries", split_entries)


# -- the mapping order was computed from the raw index instead of the hugepage's floor -------------------------------


def leaves_start_at_the_floor(_: pytest.MonkeyPatch) -> None:
    for page in (0, 1, 511, 512, 700, (1 << 18) - 1):
        guest = make_guest(G, 2, mapping="plain")
        guest.fault(G + page * PAGE)
        assert mapping(guest) == [(1 << 18, 2 << 18, 18)], f"first touched at page {page}"
        sound(guest)


def order_of_the_raw_index(patch: pytest.MonkeyPatch) -> None:
    original = Stage2._leaf_level

    def leaf_level(self: Stage2, page: int, folio_order: int, *rest: Any) -> int:
        return original(self, page, min(folio_order, (page & -page).bit_length() - 1), *rest)

    patch.setattr(Stage2, "_leaf_level", leaf_level)


BUGS = [
    Bug("merge-not-optimised", merged_folios_are_optimised, merge_forgets_to_optimise),
    Bug("merge-stale-state", merged_folios_are_optimised, merge_believes_in_a_stale_state),
    Bug("split-wrong-folio", slots_hold_the_original_until_the_end, split_stores_something_new_at_once),
    Bug("two-first-faults", two_first_faults_allocate_once, every_fault_allocates),
    Bug("rollback-underflow", rollback_at_index_0, rollback_starts_one_page_early),
    Bug("rollback-skips-0", rollback_at_index_0, rollback_leaves_out_the_first),
    Bug("enomem-after-zap", nothing_is_torn_down_before_memory_is_there, the_zap_comes_first),
    Bug("vmemmap-not-reserved", nothing_is_torn_down_before_memory_is_there, vmemmap_is_not_reserved),
    Bug("raw-index", leaves_start_at_the_floor, order_of_the_raw_index),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_is_right(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.story(monkeypatch)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_would_be_noticed(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.put_in(monkeypatch)
    with pytest.raises((AssertionError, KernelError)):
        bug.story(monkeypatch)
