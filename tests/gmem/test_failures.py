# SPDX-License-Identifier: GPL-2.0-or-later
"""What a failed call leaves, for the failure of every single object that it asks for.

Each test repeats one call on a fresh host with the first, second, … object of an account refused, until the call no
longer asks for that many, and compares what is left with what the ordering documents (``gmem.conversion``).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, count
from typing import Any

import attrs
import pytest

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from tests.gmem.worlds import (
    PAGE,
    G,
    K,
    M,
    attributes,
    live,
    make_guest,
    make_host,
    outcome,
    settle,
    sound,
    state,
    without,
)

ORDERINGS = ("restructure-first", "attributes-first", "reserve-first", "split-first", "block-abort")

SPLITS = [
    pytest.param(2 * M, {"split": "uniform"}, id="2M-uniform"),
    pytest.param(2 * M, {"split": "nonuniform"}, id="2M-nonuniform"),
    pytest.param(2 * M, {"split": (9, 6, 0), "vmemmap": "off"}, id="2M-ladder-off"),
    pytest.param(2 * M, {"switches": {"memdesc": "folio-descriptors"}}, id="2M-descriptors"),
    pytest.param(G, {"split": "staged", "vmemmap": "partial"}, id="1G-staged-partial"),
    pytest.param(G, {"split": "nonuniform", "vmemmap": "partial"}, id="1G-nonuniform-partial"),
    pytest.param(G, {"split": (18, 12, 6, 0), "vmemmap": "partial"}, id="1G-ladder-partial"),
]
AT_FAULT = pytest.param(2 * M, {"when": "fault"}, id="2M-at-fault")


@attrs.frozen
class Failure:
    """One failed call: the guest after it, its state before, the error."""

    number: int
    guest: GuestMemfd
    before: dict[str, Any]
    error: KernelError | None


def failures(make: Callable[[], GuestMemfd], call: Callable[[GuestMemfd], None], account: str) -> Iterator[Failure]:
    """The call with the 1st, 2nd, … object of ``account`` refused, as long as it asks for so many.

    Of a single account some of the later ones: every object is refused once as one of ``any``.
    """
    numbers = count(1) if account == "any" else chain(range(1, 30), count(30, 37))
    for number in numbers:
        guest = make()
        before = state(guest)
        guest.host.ledger.inject(account, number)
        error = outcome(partial(call, guest))
        sound(guest)
        if guest.host.ledger.armed():
            assert error is None
            return
        yield Failure(number, guest, before, error)


def mapped(backing: int, hugepages: int, **policy: Any) -> GuestMemfd:
    """A guest that has touched all of its memory and shares some pages, so that its attributes fill a node."""
    guest = make_guest(backing, hugepages + 1, **policy)
    guest.fault(0, backing * (hugepages + 1))
    for page in range(1, 15, 2):
        guest.set_attributes(backing * hugepages + page * PAGE, PAGE, False)
    settle(guest.host)
    return guest


def across(guest: GuestMemfd) -> tuple[int, int]:
    """A range from the last page of the first hugepage to the first of the last but one: offset and size."""
    hugepage = guest.offset(1 << guest.page_order)
    last = guest.offset(guest.pages) - 2 * hugepage
    return hugepage - PAGE, last - hugepage + 2 * PAGE


def share(guest: GuestMemfd) -> None:
    guest.set_attributes(*across(guest), False)


def take_back(guest: GuestMemfd) -> None:
    guest.set_attributes(*across(guest), True)


def outside(found: dict[str, Any]) -> dict[str, Any]:
    """A state without the guest's mappings, which a conversion may have torn down, and the tables that split them."""
    rest = without(found, "stage2")
    return rest | {"ledger": without(rest["ledger"], "stage2_page_tables")}


def pieces(guest: GuestMemfd) -> list[int]:
    """Where the hugepages' parts of :func:`across` begin, in bytes."""
    offset, size = across(guest)
    return [guest.offset(low) for low, _, _ in guest.inode.pieces(offset // PAGE, (offset + size) // PAGE)]


# -- conversions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), [*SPLITS, AT_FAULT])
def test_restructure_first_stops_at_a_hugepage(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2
    stops = set()
    for failure in failures(lambda: mapped(backing, hugepages, **policy), share, account):
        guest, before, error = failure.guest, failure.before, failure.error
        assert error is not None
        assert error.name == "ENOMEM"
        assert error.error_offset in pieces(guest)
        stops.add(error.error_offset)
        start, stop = across(guest)[0] // PAGE, error.error_offset // PAGE
        converted = [(start, stop)] if start < stop else []
        assert attributes(guest) == converted + before["attributes"]
        first = stop >> guest.page_order << guest.page_order
        if policy.get("split") == "nonuniform":
            first += 1 << guest.page_order  # the hugepage that failed keeps what has been split of it
        unchanged = list(guest.inode.filemap.folios(first, guest.pages))
        assert unchanged == list(_cut(before["filemap"], first))
        if not converted and policy.get("split") != "nonuniform":
            assert outside(state(guest)) == outside(before)
    if account in ("attributes", "any"):
        assert len(stops) == hugepages


def _cut(runs: list[tuple[int, int, int]], first: int) -> Iterator[tuple[int, int, int]]:
    """The runs of folios from index ``first`` on."""
    for index, number, order in runs:
        skipped = max(0, first - index >> order)
        if skipped < number:
            yield index + (skipped << order), number - skipped, order


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_reserve_first_changes_nothing(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2

    def make() -> GuestMemfd:
        return mapped(backing, hugepages, ordering="reserve-first", **policy)

    stops = set()
    for failure in failures(make, share, account):
        assert failure.error is not None
        assert state(failure.guest) == failure.before
        assert failure.error.error_offset in pieces(failure.guest)
        stops.add(failure.error.error_offset)
    if account in ("attributes", "any"):
        assert len(stops) == hugepages


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize(("backing", "policy"), SPLITS)
def test_attributes_first_rolls_back(backing: int, policy: Any, account: str) -> None:
    hugepages = 3 if backing == 2 * M else 2

    def make() -> GuestMemfd:
        return mapped(backing, hugepages, ordering="attributes-first", **policy)

    for failure in failures(make, share, account):
        assert failure.error is not None
        assert failure.guest.stats.rollback_failures == 0
        assert outside(state(failure.guest)) == outside(failure.before)


@pytest.mark.parametrize("account", ["filemap_nodes", "vmemmap", "attributes", "folio_metadata", "any"])
def test_a_rollback_that_fails_is_counted_and_listed(account: str) -> None:
    inconsistent = 0

    def make() -> GuestMemfd:
        return mapped(2 * M, 3, ordering="attributes-first")

    for number in chain(range(1, 40), range(40, 10_000, 1 if account == "any" else 37)):
        guest = make()
        before = state(guest)
        guest.host.ledger.inject(account, number, "forever")
        error = outcome(partial(share, guest))
        sound(guest)
        listed = list(guest.inode.inconsistent.ranges(0, guest.pages))
        assert bool(listed) == bool(guest.stats.rollback_failures)
        if error is None:
            break
        if listed:
            inconsistent += 1
            assert attributes(guest) != before["attributes"]
        else:
            assert outside(state(guest)) == outside(before)
    else:
        pytest.fail("the call never succeeds")
    assert (inconsistent > 0) == (account in ("attributes", "any"))


def test_a_rollback_can_lose_a_hugepage() -> None:
    """What was merged is split again; it is alone in its XArray node, so its return to the filemap takes a node too."""
    guest = make_guest(2 * M, 10, ordering="attributes-first", allocate=False)
    for hugepage in (0, 8):
        guest.fault(hugepage * 2 * M)
    guest.set_attributes(16 * M, 4 * M, False)
    settle(guest.host)
    guest.host.ledger.inject("attributes", 2)  # of the second piece, where no memory is
    guest.host.ledger.inject("filemap_nodes", 1, "forever")
    error = outcome(lambda: guest.set_attributes(16 * M, 4 * M, True))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 18 * M)
    assert (guest.stats.lost_hugepages, guest.stats.rollback_failures) == (1, 1)
    assert list(guest.inode.hugepages) == [0]
    assert (attributes(guest), list(guest.inode.inconsistent.ranges(0, guest.pages))) == ([(4096, 5120)], [])
    sound(guest)


def test_an_inconsistent_range_is_consistent_after_the_next_success() -> None:
    guest = mapped(2 * M, 2, ordering="attributes-first")
    guest.host.ledger.inject("attributes", 4, "forever")  # the store takes three; the reversal's are refused
    guest.host.ledger.inject("filemap_nodes", 1)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert error is not None
    assert guest.stats.rollback_failures == 1
    assert list(guest.inode.inconsistent.ranges(0, guest.pages)) == [(0, 1)]
    assert guest.inode.attributes.is_shared(0)  # but it is one folio, and so
    assert guest.inode.filemap.order_at(0) == 9
    sound(guest)
    guest.host.ledger._injections.clear()
    guest.set_attributes(0, PAGE, True)
    assert not len(guest.inode.inconsistent)
    sound(guest)


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("account", ["attributes", "filemap_nodes", "vmemmap", "any"])
def test_to_private(ordering: str, account: str) -> None:
    def make() -> GuestMemfd:
        guest = mapped(2 * M, 3, ordering=ordering)
        share(guest)
        guest.fault(*across(guest), by="host")
        settle(guest.host)
        return guest

    for failure in failures(make, take_back, account):
        guest, before, error = failure.guest, failure.before, failure.error
        assert error is not None
        assert error.error_offset in pieces(guest)
        if ordering == "reserve-first":
            assert state(guest) == before
        elif ordering in ("attributes-first", "split-first"):
            assert guest.stats.rollback_failures == 0
            assert without(outside(state(guest)), "host_mapped") == without(outside(before), "host_mapped")
        else:
            start, end = before["attributes"][0]
            assert attributes(guest)[0] == (max(start, error.error_offset // PAGE), end)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_every_node_and_every_page_of_a_whole_gigabyte(ordering: str) -> None:
    """1G to 4K: 4161 nodes and 4095 vmemmap pages, each of them refused once."""
    guest = make_guest(G, ordering=ordering)
    guest.fault(0, G)
    before = outside(state(guest))
    for account, objects in (("filemap_nodes", 4161), ("vmemmap", 4095)):
        for number in [*range(1, 40), *range(40, objects, 37), objects - 1, objects]:
            guest.host.ledger.inject(account, number)
            error = outcome(lambda: guest.set_attributes(G // 2, PAGE, False))
            assert error is not None
            assert (error.name, error.error_offset) == ("ENOMEM", G // 2)
            assert outside(state(guest)) == before
            sound(guest)
            settle(guest.host)
        guest.host.ledger.inject(account, objects + 1)
        assert outcome(lambda: guest.set_attributes(G // 2, PAGE, False)) is None
        assert guest.host.ledger.armed()
        guest.host.ledger._injections.clear()
        guest.set_attributes(G // 2, PAGE, True)
        settle(guest.host)


# -- a budget --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(("backing", "split"), [(2 * M, "uniform"), (G, "uniform"), (G, "staged")])
def test_a_budget_one_byte_short(ordering: str, backing: int, split: str) -> None:
    def make(budget: int | None) -> GuestMemfd:
        host = make_host({backing: 2}, kernel_memory=budget)
        guest = make_guest(backing, 2, host=host, ordering=ordering, split=split)
        guest.fault(0, 2 * backing)
        return guest

    def call(guest: GuestMemfd) -> None:
        guest.set_attributes(backing - PAGE, 2 * PAGE, False)

    free = make(None)
    least = free.host.ledger.total.peak_bytes
    call(free)
    most = free.host.ledger.total.peak_bytes
    assert outcome(lambda: call(make(most))) is None
    for budget in [*range(least, most, max(1, (most - least) // 50)), most - 1]:
        guest = make(budget)
        before = state(guest)
        error = outcome(partial(call, guest))
        assert error is not None
        assert error.name == "ENOMEM"
        sound(guest)
        assert guest.host.ledger.total.peak_bytes <= budget
        if ordering == "reserve-first":
            assert state(guest) == before
        elif ordering == "split-first":
            assert outside(state(guest)) == outside(before)
        elif ordering == "attributes-first":
            rolled_back = guest.stats.rollback_failures == 0
            assert rolled_back == (attributes(guest) == [])
        elif error.error_offset == backing - PAGE:
            assert outside(state(guest)) == outside(before)
        else:
            assert attributes(guest) == [((backing - PAGE) // PAGE, backing // PAGE)]


# -- other calls -----------------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[[GuestMemfd], None], bool]] = {
    "allocate": (lambda guest: guest.allocate(0, 6 * M), False),
    "fault": (lambda guest: guest.fault(0, 6 * M), False),
    "host fault": (lambda guest: guest.fault(2 * M, 2 * M, by="host"), False),
    "pin": (lambda guest: guest.pin(2 * M, 2 * M), False),
    "host fault that splits": (lambda guest: guest.fault(2 * M, 2 * M, by="host"), True),
    "pin that splits": (lambda guest: guest.pin(2 * M, 2 * M), True),
    "punch_hole": (lambda guest: guest.punch_hole(0, 6 * M), True),
    "close": (lambda guest: guest.close(), True),
}


@pytest.mark.parametrize("account", [*ACCOUNTS, "any"])
@pytest.mark.parametrize("switches", [{}, {"memdesc": "folio-descriptors"}, {"shared_tail_pages": True}], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_other_calls_stop_where_memory_ends(name: str, switches: Any, account: str) -> None:
    call, allocated = CALLS[name]

    def make() -> GuestMemfd:
        when = "fault" if "splits" in name else "conversion"
        guest = make_guest(2 * M, 3, allocate=allocated, when=when, switches=switches)
        guest.set_attributes(2 * M, 2 * M, False)
        if allocated:
            guest.fault(0, 6 * M)
        settle(guest.host)
        return guest

    for failure in failures(make, call, account):
        guest, before, error = failure.guest, failure.before, failure.error
        if name in ("punch_hole", "close"):
            assert error is None  # optimising may fail, silently
            assert guest.stats.optimise_failures == 1
            continue
        assert error is not None
        assert error.name == "ENOMEM"
        assert attributes(guest) == before["attributes"]
        assert guest.inode.pins.first_pinned(0, guest.pages) is None
        assert not len(guest.inode.host_mapped)
        if allocated:
            assert outside(state(guest)) == outside(before)
        elif error.error_offset is not None:
            first = error.error_offset // PAGE
            assert not list(guest.inode.filemap.folios(first, guest.pages)) or "host" in name or name == "pin"
        retried = outcome(partial(call, guest))
        assert retried is None
        sound(guest)


@pytest.mark.parametrize("account", ["filemap_nodes", "memdesc", "stage2_page_tables", "any"])
@pytest.mark.parametrize("call", [lambda g: g.allocate(8 * K, 900 * K), lambda g: g.fault(8 * K, 900 * K)])
def test_base_pages(call: Callable[[GuestMemfd], None], account: str) -> None:
    def make() -> GuestMemfd:
        guest = make_guest(PAGE, 300, allocate=False, switches={"memdesc": "folio-descriptors"})
        guest.allocate(400 * K, 20 * K)
        return guest

    for failure in failures(make, call, account):
        assert failure.error is not None
        assert failure.error.name == "ENOMEM"
        assert live(failure.guest, "memdesc") == failure.guest.inode.small.pages(0, 300)
        call(failure.guest)
        sound(failure.guest)
        assert failure.guest.inode.small.pages(0, 300) == 225


@pytest.mark.parametrize("account", ["attributes", "vmemmap_page_tables"])
def test_a_guest_that_cannot_be_created_leaves_nothing(account: str) -> None:
    host = make_host({2 * M: 4})
    host.ledger.inject(account, 1)
    error = outcome(lambda: make_guest(2 * M, 3, host=host))
    assert error is not None
    host.check()
    assert host.pool.available(2 * M) == 4
    assert host.ledger.total.live == host.ledger.tallies["vmemmap_page_tables"].live
    sound(make_guest(2 * M, 4, host=host))
