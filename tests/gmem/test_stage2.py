# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage-2 mappings: leaves as large as folio, guest and attributes allow, and the tables above them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.stage2 import MappingKind, Stage2
from tests.gmem.worlds import G, K, M, make_guest, make_host, mapping, settle, sound

KINDS: tuple[MappingKind, ...] = ("plain", "snp", "tdx")
P2M, P1G = 512, 1 << 18


def private(_start: int, _end: int) -> bool:
    return True


def stage2(kind: MappingKind = "plain") -> Stage2:
    host = make_host()
    return Stage2(kind, host.geometry, host.ledger.holder("stage2_page_tables", "vm0"), None, host.work, 16)


def leaves(tables: Stage2) -> list[tuple[int, int, int]]:
    return list(tables.leaves(0, 8 * P1G))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("folio", "largest"), [(18, 18), (17, 9), (9, 9), (8, 0), (0, 0)])
def test_leaves_follow_the_folio_and_tdx_stops_at_2m(kind: MappingKind, folio: int, largest: int) -> None:
    tables = stage2(kind)
    tables.touch(P1G + 700, P1G + 701, folio, private)
    order = min(largest, 9) if kind == "tdx" else largest
    assert tables.leaf_order(P1G + 700) == order
    first = P1G + 700 >> order << order
    assert leaves(tables) == [(first, first + (1 << order), order)]
    tables.check(8 * P1G)
    assert tables._holder.live == {18: 0, 9: 1, 0: 2}[order]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda tables: tables._leaves[9]._blocks.append([P1G]), "odd number of flips"),
        (lambda tables: tables._leaves[9].remove(P2M, P2M + 1), "leaf of order 9 at 513 is not aligned"),
        (lambda tables: (tables._leaves[0].remove(0, 1), tables._tables[18].clear()), "leaf of order 9 at 512 has no"),
        (lambda tables: tables._tables[9].clear(), "leaf of order 0 at 0 has no table"),
        (lambda tables: (tables._tables[9].add(1), tables._leaves[0].add(0, 2 * P2M)), "1536 pages mapped twice"),
        (lambda tables: setattr(tables, "mapped", False), "513 pages mapped, but mapped is False"),
    ],
)
def test_what_is_wrong_with_the_tables_is_said(plant: Callable[[Stage2], object], said: str) -> None:
    tables = stage2()
    tables.touch(P2M, 2 * P2M, 9, private)
    tables.touch(0, 1, 0, private)
    tables.check(2 * P2M)
    plant(tables)
    with pytest.raises(AssertionError, match=said):
        tables.check(2 * P2M)


def test_only_pages_are_asked_about_and_a_shared_one_is_mapped_by_itself() -> None:
    def all_private(start: int, end: int) -> bool:
        assert start < end, "asked about no page"
        return not start <= P2M < end

    tables = stage2()
    assert tables.touch(0, 3 * P2M, 9, all_private) == 2 + P2M
    assert leaves(tables) == [(P2M, 2 * P2M, 0), (0, P2M, 9), (2 * P2M, 3 * P2M, 9)]


def test_touching_is_idempotent_and_counts_new_leaves() -> None:
    tables = stage2()
    assert tables.touch(0, 5, 0, private) == 5
    assert tables.touch(3, 8, 0, private) == 3
    assert tables.touch(0, 2 * P2M, 9, private) == 2  # one 2M leaf over the small ones, one beside it
    assert tables.touch(0, 2 * P2M, 9, private) == 0
    assert leaves(tables) == [(0, 2 * P2M, 9)]


PLACES = st.integers(0, 6).map(lambda place: place * P2M // 2) | st.integers(P1G // P2M - 3, P1G // P2M + 3).map(
    lambda place: place * P2M
)
RANGES = st.tuples(PLACES, PLACES).filter(lambda places: places[0] != places[1]).map(lambda places: (*sorted(places),))


def tried(call: Callable[[], object]) -> bool:
    """Whether there was memory for ``call``."""
    try:
        call()
    except OutOfMemory:
        return False
    return True


@given(
    kind=st.sampled_from(KINDS),
    calls=st.lists(st.tuples(st.sampled_from(["touch", "touch", "zap", "fail"]), RANGES, st.sampled_from([0, 9, 18]))),
    shared=RANGES,
)
def test_many_leaves_at_once_are_as_one_after_the_other(
    kind: MappingKind, calls: list[tuple[str, tuple[int, int], int]], shared: tuple[int, int]
) -> None:
    """Leaves, tables and what a failure leaves, with every leaf made by a call of its own."""

    def all_private(start: int, end: int) -> bool:
        return end <= shared[0] or start >= shared[1]

    def piece_by_piece(tables: Stage2, start: int, end: int, order: int) -> None:
        for low in range(start // P2M * P2M, end, P2M):
            tables.touch(max(low, start), min(low + P2M, end), order, all_private)

    at_once, one_by_one = stage2(kind), stage2(kind)
    for what, (start, end), order in calls:
        if what == "touch":
            worked = tried(lambda: at_once.touch(start, end, order, all_private))  # noqa: B023
            assert worked == tried(lambda: piece_by_piece(one_by_one, start, end, order))  # noqa: B023
        for ours in (at_once, one_by_one):
            if what == "zap":
                ours.zap(start, end)
            elif what == "fail":
                ours._holder._ledger.inject("stage2_page_tables", 1 + order // 9)
        assert leaves(at_once) == leaves(one_by_one)
        assert at_once._tables == one_by_one._tables
        assert (at_once._holder.live, at_once._holder.peak) == (one_by_one._holder.live, one_by_one._holder.peak)
    at_once.check(8 * P1G)


@pytest.mark.parametrize("kind", KINDS)
def test_promotion_frees_the_table_below_but_never_in_tdx(kind: MappingKind) -> None:
    tables = stage2(kind)
    tables.touch(0, 1, 0, private)
    assert tables._holder.live == 2
    tables.touch(0, P2M, 9, private)
    tables.check(8 * P1G)
    if kind == "tdx":
        assert leaves(tables) == [(0, P2M, 0)]
        assert tables._holder.deferred == 0
    else:
        assert leaves(tables) == [(0, P2M, 9)]
        assert tables._holder.live - tables._holder.deferred == 1


def test_leaves_are_made_in_one_step_up_to_shared_memory_and_not_past_what_tdx_has_demoted() -> None:
    ours = stage2()
    assert ours.touch(0, 8 * P2M, 9, lambda start, end: end <= 5 * P2M + 3 or start >= 6 * P2M) == 5 + P2M + 2
    assert leaves(ours) == [(5 * P2M, 6 * P2M, 0), (0, 5 * P2M, 9), (6 * P2M, 8 * P2M, 9)]
    demoted = stage2("tdx")
    demoted.touch(3 * P2M, 3 * P2M + 1, 0, private)
    demoted.zap(3 * P2M, 4 * P2M)
    assert demoted.touch(0, 8 * P2M, 9, private) == 7 + P2M
    assert leaves(demoted) == [(3 * P2M, 4 * P2M, 0), (0, 3 * P2M, 9), (4 * P2M, 8 * P2M, 9)]


def test_a_large_leaf_needs_everything_private() -> None:
    guest = make_guest(2 * M, 2, split="uniform", when="fault")
    guest.set_attributes(4 * K, 4 * K, False)
    guest.fault(0, 4 * M)
    assert mapping(guest) == [(0, P2M, 0), (P2M, 2 * P2M, 9)]
    sound(guest)


def test_zapping_takes_exactly_the_range_and_leaves_the_tables() -> None:
    tables = stage2()
    tables.touch(0, P2M, 0, private)
    assert tables.zap(10, 20) == 10
    assert tables.zap(0, P2M) == P2M - 10
    assert leaves(tables) == []
    assert tables._holder.live == 2


def test_a_large_leaf_across_the_bound_of_a_zap_goes_as_a_whole() -> None:
    tables = stage2()
    tables.touch(0, P1G, 18, private)
    assert tables.zap(P2M, P2M + 1) == P1G
    tables.touch(0, 2 * P2M, 9, private)
    assert tables.zap(P2M // 2, P2M) == P2M
    assert leaves(tables) == [(P2M, 2 * P2M, 9)]
    tables.check(8 * P1G)


def test_bounds_move_outwards_to_the_bounds_of_the_leaves_that_cross_them() -> None:
    tables = stage2()
    tables.touch(0, 2 * P2M, 9, private)
    tables.touch(2 * P2M, 3 * P2M, 0, private)
    assert tables.whole_leaves(5, 6) == (0, P2M)
    assert tables.whole_leaves(P2M, 2 * P2M) == (P2M, 2 * P2M)
    assert tables.whole_leaves(P2M - 1, P2M + 1) == (0, 2 * P2M)
    assert tables.whole_leaves(2 * P2M + 5, 3 * P2M - 5) == (2 * P2M + 5, 3 * P2M - 5)


def test_the_first_page_that_is_not_mapped() -> None:
    tables = stage2()
    tables.touch(0, P2M, 9, private)
    tables.touch(P2M, P2M + 9, 0, private)
    tables.touch(P2M + 10, P2M + 12, 0, private)
    assert tables.first_unmapped(3, P2M + 20) == P2M + 9
    assert tables.first_unmapped(P2M + 9, P2M + 20) == P2M + 9
    assert tables.first_unmapped(P2M + 10, P2M + 12) == P2M + 12
    assert tables.first_unmapped(5 * P2M, 6 * P2M) == 5 * P2M


def test_to_private_of_a_range_that_is_private_in_part() -> None:
    guest = make_guest(G, split="staged")
    guest.fault(0, G)
    guest.set_attributes(0, 4 * K, False)
    guest.fault(0, 4 * K)
    guest.set_attributes(0, 3 * M, True)  # ends inside a private 2M leaf
    sound(guest)
    assert guest.inode.stage2.leaf_order(0) is None
    assert guest.inode.stage2.leaf_order(3 * M // (4 * K)) is None


@pytest.mark.parametrize(
    ("start", "end", "tables", "kept"),
    [
        (1, 2, 2, [(0, 1, 0), (2, P2M, 0), (P2M, P1G, 9)]),
        (0, P2M, 1, [(P2M, P1G, 9)]),
        (P2M - 1, P2M + 1, 3, [(0, P2M - 1, 0), (P2M + 1, 2 * P2M, 0), (2 * P2M, P1G, 9)]),
        (0, P1G, 0, []),
    ],
)
def test_splitting_leaves_keeps_what_is_outside(
    start: int, end: int, tables: int, kept: list[tuple[int, int, int]]
) -> None:
    ours = stage2()
    ours.touch(0, P1G, 18, private)
    assert ours.reserve(start, end) == tables
    ours.give_back()
    ours.split_leaves(start, end)
    ours.zap(start, end)
    ours.check(8 * P1G)
    assert leaves(ours) == kept
    assert ours._holder.live == tables


def test_reserved_tables_make_splitting_infallible() -> None:
    ours = stage2()
    ours.touch(0, P1G, 18, private)
    number = ours.reserve(P2M - 1, P2M + 1)
    ours._holder._ledger.inject("stage2_page_tables", 1, "forever")
    ours.split_leaves(P2M - 1, P2M + 1)
    assert ours._holder.live == number
    with pytest.raises(OutOfMemory):
        ours.reserve(9 * P2M + 1, 9 * P2M + 2)
    assert ours._holder.live == number


def test_split_leaves_that_fail_leave_sound_tables() -> None:
    for failing in (1, 2, 3):
        ours = stage2()
        ours.touch(0, P1G, 18, private)
        ours._holder._ledger.inject("stage2_page_tables", failing)
        with pytest.raises(OutOfMemory):
            ours.split_leaves(P2M - 1, P2M + 1)
        ours.check(8 * P1G)
        assert sum(end - start for start, end, _ in leaves(ours)) == P1G


@pytest.mark.parametrize("kind", KINDS)
def test_merged_memory_is_mapped_large_again_except_in_tdx(kind: MappingKind) -> None:
    guest = make_guest(G, mapping=kind)
    guest.fault(0, G)
    guest.set_attributes(0, 4 * K, False)
    guest.fault(0, 4 * K)
    guest.set_attributes(0, 4 * K, True)
    guest.fault(0, G)
    sound(guest)
    settle(guest.host)
    tables = guest.host.ledger.tallies["stage2_page_tables"].live
    if kind == "tdx":
        assert mapping(guest) == [(0, P2M, 0), (P2M, P1G, 9)]
        assert tables == 2
    else:
        assert mapping(guest) == [(0, P1G, 18)]
        assert tables == 0


@pytest.mark.parametrize(("page_size", "backing", "table"), [(16 * K, 32 * M, 32 * M), (64 * K, 512 * M, 512 * M)])
def test_arm64_tables(page_size: int, backing: int, table: int) -> None:
    guest = make_guest(backing, 2, page_size=page_size)
    guest.fault(0, 2 * backing)
    pages = table // page_size
    assert mapping(guest) == [(0, 2 * pages, guest.host.geometry.pmd_order)]
    guest.set_attributes(page_size, page_size, False)
    assert mapping(guest) == [(0, 1, 0), (2, pages, 0), (pages, 2 * pages, guest.host.geometry.pmd_order)]
    assert guest.host.ledger.tallies["stage2_page_tables"].live == 2
    sound(guest)


def test_release_gives_everything_back() -> None:
    ours = stage2()
    ours.touch(0, 3 * P2M, 0, private)
    ours.zap(0, 8 * P1G)
    ours.release()
    ours.check(8 * P1G)
    assert leaves(ours) == []
    assert ours._holder.live == 0
