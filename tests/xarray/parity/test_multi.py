# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries that cover more than one index."""

from __future__ import annotations

import pytest

from gmemsim.xarray import INDEX_MAX, CountingAllocator, XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.node import Node
from tests.xarray.operations import Pointer

PTR, OTHER = Pointer(1), Pointer(2)


def loads(xa: XArray, *indices: int) -> list[object]:
    return [xa.load(index) for index in indices]


def counts(xa: XArray) -> tuple[int, int]:
    head = xa.tree.head
    assert isinstance(head, Node)
    return head.count, head.nr_values


def test_entries_of_many_slots(xa: XArray) -> None:
    """Counterpart of check_multi_store."""
    xa.store_order(0, 1, 0)
    assert loads(xa, 0, 1, 2) == [0, 0, None]
    assert counts(xa) == (2, 2)
    xa.store(3, PTR)
    assert loads(xa, 0, 1, 2) == [0, 0, None]
    assert counts(xa) == (3, 2)
    xa.store_order(0, 2, 1)
    assert loads(xa, 0, 1, 2, 3, 4) == [1, 1, 1, 1, None]
    assert counts(xa) == (4, 4)
    xa.store_order(0, 63, None)
    assert xa.empty
    xa.store(1, 1)
    xa.store(2, 2)
    xa.store_order(0, 2, None)
    assert xa.empty, "the first slot was empty, the others were not"


@pytest.mark.parametrize("old", range(0, 60, 7))
def test_the_last_store_wins_and_the_larger_order_stays(xa: XArray, old: int) -> None:
    """Counterpart of check_multi_store."""
    for new in range(0, 60, 5):
        xa.store_order(0, old, old)
        xa.store_order(0, new, new)
        for order in range(60):
            assert xa.load((1 << order) - 1) == (None if max(old, new) < order else new)
        assert xa.erase(0) == new
        assert xa.empty


@pytest.mark.parametrize("order", range(20))
def test_a_store_at_any_index_replaces_the_entry(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_store_1, check_multi_store_2."""
    for index in (200, 0, (1 << order) + 1, 4095):
        first = index >> order << order
        after = first + (1 << order)

        def outside(first: int = first, after: int = after) -> list[object]:
            return loads(xa, after, *([first - 1] if first else []))

        xa.store_order(index, order, PTR)
        assert loads(xa, first, after - 1) == [PTR, PTR]
        assert not any(outside())
        assert xa.store(index, 7) is PTR
        assert loads(xa, first, after - 1) == [7, 7]
        assert not any(outside())
        cursor = Cursor(xa, index)
        assert cursor.load() == 7
        assert cursor.store(8) == 7
        assert cursor.index == index
        assert cursor.store(None) == 8
        assert xa.empty


@pytest.mark.parametrize("order", range(1, 20))
def test_an_entry_is_seen_once_from_wherever_the_walk_starts(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_store_3."""
    for index in (0, 1 << order):
        xa.store_order(index, order, PTR)
        assert [entry for _, _, entry in Cursor(xa).entries()] == [PTR]
        assert [entry for _, _, entry in Cursor(xa, index + 1).entries()] == [PTR]
        xa.destroy()


@pytest.mark.parametrize("order", range(20))
def test_use_by_the_page_cache(xa: XArray, order: int) -> None:
    """Counterpart of check_multi_store_advanced, check_xa_multi_store_adv, check_xa_multi_store_adv_add,
    check_xa_multi_store_adv_del_entry, check_xa_multi_store_adv_delete.
    """
    pages = 1 << order
    for position in (7, 7 * 7 + 564 + 157, 377_364, 1 << 40):
        base = position // pages * pages
        following, third = base + pages, base + 2 * pages

        def inside(first: int) -> set[object]:
            return {xa.load(first + step) for step in {0, 1, pages // 3, pages // 2, pages - 1} if step < pages}

        xa.insert_order(base, order, PTR)
        assert (inside(base), xa.load(following)) == ({PTR}, None)
        xa.insert_order(following, 0, OTHER)
        assert xa.load(following) is OTHER
        xa.store_order(following, 0, None)
        xa.insert_order(following, order, OTHER)
        assert (inside(base), inside(following), inside(third)) == ({PTR}, {OTHER}, {None})
        xa.store_order(following, order, None)
        xa.store_order(base, order, None)
        assert xa.empty
        for hole in (following, third):
            xa.insert_order(hole, order, OTHER)
            assert [inside(first) for first in (base, following, third)] == [
                {OTHER if first == hole else None} for first in (base, following, third)
            ]
            xa.store_order(hole, order, None)
            assert xa.empty


@pytest.mark.parametrize("order", range(20))
def test_orders_of_entries(xa: XArray, order: int) -> None:
    """Counterpart of check_get_order, check_xas_get_order."""
    assert [xa.get_order(index) for index in range(3)] == [0, 0, 0]
    for number in range(10):
        first = number << order
        xa.store_order(first, order, number)
        for index in {first, first + (1 << order) // 2, first + (1 << order) - 1}:
            assert xa.get_order(index) == order
            cursor = Cursor(xa, index)
            assert (cursor.load(), cursor.order) == (number, order)
        assert xa.get_order((number + 1) << order) == 0
        xa.store_order(first, order, None)
        assert xa.empty


@pytest.mark.parametrize("order", range(20))
def test_conflicts_tell_the_order(xa: XArray, order: int) -> None:
    """Counterpart of check_xas_conflict_get_order."""
    for number in range(10):
        first = number << order
        xa.store_order(first, order, number)
        for smaller in range(order):
            assert list(xa.conflicts(first + (1 << smaller), smaller)) == [(first, order, number)]
        assert list(xa.conflicts((number & ~1) << order, order + 1)) == [(first, order, number)]
        xa.store_order(first, order, None)


@pytest.mark.parametrize("order", range(12))
def test_a_store_meets_every_conflict(xa: XArray, order: int) -> None:
    """Counterpart of check_store_iter, __check_store_iter.  Orders up to 11 of the kernel's 19."""

    def store_over(start: int, present: int) -> None:
        last = start + (1 << order) - 1
        found = list(xa.conflicts(start, order))
        assert len(found) == present
        assert all(base == entry and start <= base <= last for base, _, entry in found)
        xa.store_order(start, order, start)
        assert loads(xa, start, last) == [start, start]
        assert xa.erase(start) == start
        assert xa.empty

    low, high = 1 << order, (2 << order) - 1
    store_over(0, 0)
    store_over(low, 0)
    for only in (low, high):
        xa.store(only, only)
        store_over(low, 1)
    for start in (0, low):
        for index in range(start, start + (1 << order)):
            xa.store(index, index)
        store_over(start, 1 << order)


def test_a_conflict_search_ends_with_the_range(xa: XArray) -> None:
    """Counterpart of check_store_iter."""
    xa.store(63, 63)
    xa.store(65, 65)
    assert list(xa.conflicts(64, 2)) == [(65, 0, 65)]


EDGES = (0, 1, 2, 3, 31, 32, 62, 63, 64, 65, 66, 95, 96, 126, 127)


@pytest.mark.parametrize("base", [0, 128, 4095, 4096, 123456, 1 << 24])
def test_ranges(xa: XArray, base: int) -> None:
    """Counterpart of check_store_range, __check_store_range."""
    for first in (base + edge for edge in EDGES):
        for last in (base + edge for edge in EDGES if base + edge >= first):
            xa.store_range(first, last, PTR)
            assert loads(xa, first, last, (first + last) // 2) == [PTR] * 3
            assert xa.load(last + 1) is None
            assert first == 0 or xa.load(first - 1) is None
            xa.store_range(first, last, None)
            assert xa.empty


def store_many(xa: XArray, allocator: CountingAllocator, index: int, order: int) -> None:
    """Make the nodes of a range, then fill it with single entries, which needs no more memory."""
    first = index >> order << order
    xa.create_range(index, order)
    allocs = allocator.allocs
    for place in range(first, first + (1 << order)):
        xa.store(place, place)
    assert allocator.allocs == allocs


@pytest.mark.parametrize("order", range(12))
def test_a_created_range_needs_no_memory_later(xa: XArray, allocator: CountingAllocator, order: int) -> None:
    """Counterpart of check_create_range, check_create_range_1, check_create_range_4, xa_store_many_order."""
    aligned = [number << order for number in range(4)] + [1 << 24]
    for index in {*aligned, *(max(place + step, 0) for place in aligned for step in (1, -1))}:
        for present in (False, True):
            if present:
                xa.store(index, PTR)
            store_many(xa, allocator, index, order)
            first = index >> order << order
            assert all(xa.erase(place) == place for place in range(first, first + (1 << order)))
            assert xa.empty


@pytest.mark.parametrize("order", range(7))
def test_created_ranges_side_by_side(xa: XArray, allocator: CountingAllocator, order: int) -> None:
    """Counterpart of check_create_range_2."""
    for index in range(0, 1 << 2 * order, 1 << order):
        assert not list(xa.conflicts(index, order))
        store_many(xa, allocator, index, order)
    assert all(xa.erase(index) == index for index in range(1 << 2 * order))
    assert xa.empty


@pytest.mark.parametrize("order", range(12))
def test_creating_a_range_over_an_entry_changes_nothing(xa: XArray, order: int) -> None:
    """Counterpart of check_create_range_5."""
    for index in (0, 1 << order):
        xa.store_order(index, order, PTR)
        before = xa.dump()
        for _ in range(order + 10):
            xa.create_range(index, order)
        assert xa.dump() == before
        xa.destroy()


def test_the_last_index(xa: XArray) -> None:
    """Counterpart of check_find_4."""
    xa.store(INDEX_MAX, PTR)
    assert xa.find_after(0) == (INDEX_MAX, PTR)
    assert xa.find_after(INDEX_MAX) is None
    assert xa.erase(INDEX_MAX) is PTR
    assert xa.empty
