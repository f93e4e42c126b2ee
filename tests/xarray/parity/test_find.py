# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding, walking, pausing; marks."""

from __future__ import annotations

import pytest

from gmemsim.xarray import INDEX_MAX, XArray
from gmemsim.xarray.lab.cursor import Cursor
from tests.xarray.operations import Pointer

PTR = Pointer(1)


def marked(xa: XArray, mark: int, start: int = 0) -> list[object]:
    """What a walk over the entries with ``mark`` meets."""
    return [entry for _, _, entry in Cursor(xa, start).entries(mark=mark)]


@pytest.mark.parametrize("index", [0, 4, 60, 64, 128, 252, 256, 1020, 4092, 4096, 8188, 16380])
def test_marks_of_an_entry(xa: XArray, index: int) -> None:
    """Counterpart of check_xa_mark, check_xa_mark_1."""
    xa.set_mark(index, 0)
    assert not xa.get_mark(index, 0), "nothing has no marks"
    xa.store(index, index)
    assert not xa.get_mark(index, 0), "a new entry has none"
    xa.set_mark(index, 0)
    assert [xa.get_mark(index, mark) for mark in range(3)] == [True, False, False]
    assert not xa.get_mark(index + 1, 0)
    xa.erase(index)
    assert xa.empty
    assert not xa.get_mark(index, 0)
    xa.set_mark(index, 0)
    assert not xa.get_mark(index, 0), "an erased entry cannot be marked"
    for order in range(2, 8):
        base = index >> order << order
        following = base + (1 << order)
        xa.store(index + 1, 1)
        xa.set_mark(index + 1, 0)
        xa.store(index + 2, 2)
        xa.set_mark(index + 2, 2)
        xa.store(following, 3)
        xa.store_order(index, order, PTR)
        for place in range(base, following):
            assert [xa.get_mark(place, mark) for mark in range(3)] == [True, False, True], "the union of the marks"
            assert [entry for _, _, entry in Cursor(xa, place).entries()] == [PTR, 3]
        assert marked(xa, 0) == [PTR]
        assert not any(xa.get_mark(following, mark) for mark in range(3))
        assert (xa.erase(index), xa.erase(following)) == (PTR, 3)
        assert xa.empty


def test_many_marks(xa: XArray) -> None:
    """Counterpart of check_xa_mark_2."""
    xa.store(0, 0)
    xa.set_mark(0, 0)
    xa.clear_mark(0, 0)
    assert not xa.get_mark(0, 0)
    for index in range(3500, 4500):
        xa.store(index, index)
        xa.set_mark(index, 0)
    assert marked(xa, 0) == list(range(3500, 4500))
    cursor = Cursor(xa)
    while cursor.find() is not None:
        xa.clear_mark(cursor.index, 0)
        assert not xa.get_mark(cursor.index, 0)
    assert not xa.marked(0)


def test_a_marked_walk_from_inside_the_entry(xa: XArray) -> None:
    """Counterpart of check_xa_mark_3."""
    xa.store_order(0x40, 2, PTR)
    xa.set_mark(0x41, 0)
    assert marked(xa, 0, start=0x41) == [PTR]


def test_pairs_of_entries_are_found(xa: XArray) -> None:
    """Counterpart of check_find, check_find_1."""
    for high in range(0, 100, 9):
        xa.store(high, high)
        xa.set_mark(high, 0)
        for low in range(0, high, 4):
            xa.store(low, low)
            xa.set_mark(low, 0)
            for start in {0, low - 1, low, low + 1, high - 1, high, high + 1, 99} - {-1}:
                expected = low if start <= low else high if start <= high else None
                found = None if expected is None else (expected, expected)
                assert xa.find(start) == xa.find(start, mark=0) == found
            xa.erase(low)
            assert (xa.get_mark(low, 0), xa.get_mark(high, 0)) == (False, True)
        xa.erase(high)
        assert not xa.get_mark(high, 0)
    assert xa.empty


def test_every_entry_is_met_in_order(xa: XArray) -> None:
    """Counterpart of check_find_2."""
    assert xa.find(0) is None
    for count in range(1024):
        xa.store(count, count)
        if count % 60 == 0:
            assert [(base, entry) for base, _, entry in xa.entries()] == [(index, index) for index in range(count + 1)]


def test_a_marked_walk_keeps_to_its_range(xa: XArray) -> None:
    """Counterpart of check_find_3."""
    for count in range(0, 100, 3):
        for start in range(0, 100, 11):
            for last in range(0, 100, 13):
                met = [entry for _, _, entry in Cursor(xa, start).entries(last, mark=0)]
                assert met == [index for index in range(0, count, 3) if start <= index <= last]
        xa.store(count, count)
        xa.set_mark(count, 0)


@pytest.mark.parametrize("order", range(2, 10))
def test_find_and_large_entries(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_find_1."""
    multi, following = 3 << order, 4 << order
    xa.store_order(multi, order, 0)
    xa.store(following, 1)
    xa.store(following + 1, 2)
    assert xa.find(0) == (multi, 0)
    found = xa.find(multi + 1)
    assert found is not None
    assert multi <= found[0] < following
    assert found[1] == 0
    assert xa.find_after(found[0]) == (following, 1)
    assert xa.find_after(following, following) is None
    assert [xa.erase(index) for index in (multi, following, following + 1)] == [0, 1, 2]
    assert xa.empty


@pytest.mark.parametrize("order", range(10))
def test_the_entry_found_may_go_while_walking(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_find_2."""
    index = 1 << order
    for start in range(index, 2 * index):
        xa.store(index - 1, PTR)
        xa.store_order(index, order, index)
        cursor = Cursor(xa, start)
        while cursor.find() is not None:
            assert xa.erase(index) == index
        assert xa.erase(index - 1) is PTR
        assert xa.empty


@pytest.mark.parametrize("order", range(5, 64))
def test_nothing_is_found_after_the_only_entry(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_find_3."""
    xa.store_order(0, order - 4, PTR)
    assert xa.find_after(1 << (order - 5)) is None
    xa.erase(0)
    assert xa.empty


def index_of(xa: XArray, item: object) -> int | None:
    """Where ``item`` is, found by a walk that pauses at every fourth entry, as mm/shmem.c does."""
    cursor = Cursor(xa)
    for count, (index, _, entry) in enumerate(cursor.entries()):
        if entry == item:
            return index
        if count % 4 == 3:
            cursor.pause()
    return None


@pytest.mark.parametrize("order", range(20))
def test_a_walk_with_pauses_finds_every_entry(xa: XArray, order: int) -> None:
    """Counterpart of check_find_entry, xa_find_entry."""
    for index in range(0, 1 << (order + 5), 1 << order):
        xa.store_order(index, order, index)
        assert xa.load(index) == index
        assert index_of(xa, index) == index
    assert index_of(xa, PTR) is None
    xa.destroy()
    xa.store(INDEX_MAX, INDEX_MAX >> 1)
    assert index_of(xa, PTR) is None
    assert index_of(xa, INDEX_MAX >> 1) == INDEX_MAX


@pytest.mark.parametrize("orders", [range(64), range(63, -1, -1)], ids=["rising", "falling"])
@pytest.mark.parametrize("pause", [False, True])
def test_a_walk_meets_entries_of_all_orders(xa: XArray, orders: range, pause: bool) -> None:
    """Counterpart of check_pause."""
    starts = []
    index = 1 if orders[0] == 0 else 0
    for order in orders:
        starts.append(index)
        xa.store_order(index, order, index)
        index += 1 << order
    for begin in (0, 1):
        cursor = Cursor(xa, begin)
        met = []
        for _, order, entry in cursor.entries():
            met.append((entry, order))
            if pause:
                cursor.pause()
        assert met == list(zip(starts, orders, strict=True))


def test_steps_in_an_array_of_one(xa: XArray) -> None:
    """Counterpart of check_move_tiny."""
    cursor = Cursor(xa)
    assert [cursor.next(), cursor.next()] == [None, None]
    xa.store(0, PTR)
    for step in (Cursor.next, Cursor.prev):
        cursor.set(0)
        assert [step(cursor), step(cursor)] == [PTR, None]


def test_the_walk_ends_at_the_last_index(xa: XArray) -> None:
    """Counterpart of check_move_max."""
    xa.store(INDEX_MAX, PTR)
    for pause in (False, True):
        cursor = Cursor(xa)
        assert cursor.find() is PTR
        if pause:
            cursor.pause()
        assert cursor.find() is None


@pytest.mark.parametrize("index", sorted({1 << bit for bit in range(10)} | {(1 << bit) - 1 for bit in range(2, 10)}))
def test_steps_over_gaps(xa: XArray, index: int) -> None:
    """Counterpart of check_move_small."""
    here: dict[int, object] = {0: 0, index: index}
    for place, entry in here.items():
        xa.store(place, entry)
    cursor = Cursor(xa)
    for place in range(index * 4):
        assert (cursor.next(), cursor.index) == (here.get(place), place)
    cursor.next()
    for place in range(index * 4 - 1, -1, -1):
        assert (cursor.prev(), cursor.index) == (here.get(place), place)
    cursor.set(INDEX_MAX)
    assert [(cursor.next(), cursor.index), (cursor.next(), cursor.index)] == [(None, INDEX_MAX), (0, 0)]
    assert (cursor.prev(), cursor.index) == (None, INDEX_MAX)


def test_steps_over_a_full_array_with_a_hole(xa: XArray) -> None:
    """Counterpart of check_move.  Three levels of nodes, of the kernel's 65,536 entries 8192."""
    size = 1 << 13
    hole = range(1 << 6, 1 << 12)
    for index in range(size):
        xa.store(index, index)
    for missing in (range(0), hole):
        for index in missing:
            xa.erase(index)
        cursor = Cursor(xa, size)
        cursor.load()
        for index in range(size - 1, -1, -1):
            assert (cursor.prev(), cursor.index) == (None if index in missing else index, index)
        assert (cursor.prev(), cursor.index) == (None, INDEX_MAX)
        for index in range(size):
            assert (cursor.next(), cursor.index) == (None if index in missing else index, index)
