# SPDX-License-Identifier: GPL-2.0-or-later
"""Storing, loading, erasing; reserving; growing and shrinking."""

from __future__ import annotations

import pytest

from gmemsim.errors import Busy, OutOfMemory
from gmemsim.xarray import INDEX_MAX, ZERO, CountingAllocator, XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import Node
from tests.xarray.operations import Pointer

PTR, OTHER = Pointer(1), Pointer(2)
FOREVER = 1 << 60


def test_out_of_memory_is_an_error_and_no_entry(xa: XArray, allocator: CountingAllocator) -> None:
    """Counterpart of check_xa_err.  Index 0 alone needs no node, and replacing an entry needs none either."""
    allocator.fail_after(1, FOREVER)
    assert xa.store(0, 0) is None
    assert xa.erase(0) == 0
    for _ in range(2):
        with pytest.raises(OutOfMemory):
            xa.store(1, 1)
    allocator.fail_after(0)
    assert xa.store(1, 1) is None
    allocator.fail_after(1, FOREVER)
    assert xa.store(1, 0) == 1
    assert xa.erase(1) == 0
    assert xa.empty


def test_loads_give_what_was_stored_and_nothing_else(xa: XArray) -> None:
    """Counterpart of check_xa_load."""
    size = 1024
    for index in range(size):
        assert xa.store(index, index) is None
        for near in {0, index, index // 2}:
            assert xa.load(near) == near
        assert xa.load(index + 1) is None
        if index % 100 == 0:
            assert [xa.load(other) for other in range(size)] == [*range(index + 1), *[None] * (size - index - 1)]
    for index in range(size):
        assert xa.erase(index) == index
        assert xa.load(index) is None
        if index % 100 == 0:
            assert [xa.load(other) for other in range(size)] == [*[None] * (index + 1), *range(index + 1, size)]
    assert xa.empty


def test_the_tree_shrinks_back(xa: XArray, allocator: CountingAllocator) -> None:
    """Counterpart of check_xa_shrink.  What readers meet in a node that is being freed (RCU) is not modelled."""
    xa.store(0, 0)
    xa.store(1, 1)
    assert allocator.live == 1
    assert Cursor(xa, 1).load() == 1
    assert xa.erase(1) == 1
    assert xa.load(1) is None
    assert allocator.live == 0
    assert xa.load(0) == 0
    assert xa.erase(0) == 0
    for order in range(15):
        last = (1 << order) - 1
        xa.store_order(0, order, 0)
        assert (xa.load(last), xa.load(last + 1)) == (0, None)
        head, live = xa.tree.head, allocator.live
        xa.store(INDEX_MAX, PTR)
        assert xa.tree.head is not head
        assert xa.load(last + 1) is None
        assert xa.erase(INDEX_MAX) is PTR
        assert (xa.tree.head is head, allocator.live) == (True, live)
        assert xa.erase(0) == 0
        assert xa.empty


def test_erasing_while_walking_leaves_nothing(xa: XArray) -> None:
    """Counterpart of check_xas_erase."""
    for first in range(0, 200, 7):
        indices = range(first, 2 * first + 17)
        for index in indices:
            xa.store(index, index)
        xa.store(INDEX_MAX, 0)
        xa.erase(INDEX_MAX)
        cursor = Cursor(xa)
        seen = []
        while (entry := cursor.find()) is not None:
            seen.append(entry)
            assert cursor.store(None) == entry
        assert seen == list(indices)
        assert xa.empty


def test_inserts_touch_no_neighbour(xa: XArray) -> None:
    """Counterpart of check_insert."""
    places = [*range(1, 1024, 5), *(1 << bit for bit in range(10, 64)), *((1 << bit) - 1 for bit in range(10, 65))]
    for index in places:
        xa.insert(index, PTR)
        with pytest.raises(Busy):
            xa.insert(index, OTHER)
        for neighbour in (index - 1, index + 1):
            assert neighbour > INDEX_MAX or xa.load(neighbour) is None
        assert xa.load(0) is None
        assert xa.erase(index) is PTR
        assert xa.empty


def test_cmpxchg_stores_only_over_what_is_expected(xa: XArray) -> None:
    """Counterpart of check_cmpxchg."""
    far = 12345678
    xa.store(far, far)
    with pytest.raises(Busy):
        xa.insert(far, PTR)
    assert xa.cmpxchg(far, 6, 5) == far
    assert xa.load(far) == far
    assert xa.cmpxchg(far, far, 5) == far
    assert xa.cmpxchg(far, 5, far) == 5
    assert xa.cmpxchg(5, 5, None) is None
    assert xa.cmpxchg(5, None, 5) is None
    with pytest.raises(Busy):
        xa.insert(5, 5)
    assert xa.cmpxchg(5, 5, None) == 5
    xa.insert(5, 5)
    assert (xa.erase(far), xa.erase(5)) == (far, 5)
    assert xa.empty


def test_cmpxchg_to_nothing_removes_the_whole_entry(xa: XArray) -> None:
    """Counterpart of check_cmpxchg_order."""
    for first in (0, 8):
        xa.store_order(first, 3, 5)
        assert [(xa.load(index), xa.get_order(index)) for index in range(first, first + 8)] == [(5, 3)] * 8
        assert xa.load(first + 8) is None
    assert xa.cmpxchg(0, 5, None) == 5
    assert [(xa.load(index), xa.get_order(index)) for index in range(8)] == [(None, 0)] * 8
    assert [(xa.load(index), xa.get_order(index)) for index in range(8, 16)] == [(5, 3)] * 8
    xa.store_order(0, 63, None)
    assert xa.empty


@pytest.mark.parametrize("track_free", [False, True], ids=["plain", "allocating"])
def test_reserved_slots(track_free: bool) -> None:
    """Counterpart of check_reserve."""
    allocator = CountingAllocator()
    xa = XArray(allocator, track_free=track_free)
    far = 12345678

    def reserve() -> None:
        xa.reserve(far)
        assert not xa.empty
        assert xa.load(far) is None

    reserve()
    xa.release(far)
    assert xa.empty

    reserve()
    allocator.fail_after(1, FOREVER)
    assert xa.store(far, far) is None, "no memory is needed after reserving"
    allocator.fail_after(0)
    xa.release(far)
    assert xa.erase(far) == far, "releasing an entry that is in use does nothing"
    assert xa.empty

    reserve()
    assert xa.cmpxchg(far, ZERO, far) is None
    assert xa.erase(far) == far

    reserve()
    with pytest.raises(Busy):
        xa.insert(far, far)
    assert xa.erase(far) is None
    assert xa.empty

    xa.store(5, 5)
    xa.reserve(6)
    xa.store(7, 7)
    assert (xa.find(0), xa.find_after(5), xa.find_after(7)) == ((5, 5), (7, 7), None)
    if track_free:
        assert xa.alloc(8, 5, 10) == 8
        xa.release(6)
        assert xa.alloc(6, 5, 10) == 6
    xa.check()
    xa.destroy()
    assert allocator.live == 0


def test_destroy_empties_any_array(xa: XArray, allocator: CountingAllocator) -> None:
    """Counterpart of check_destroy."""
    xa.destroy()
    assert xa.empty
    for index in (*range(0, 1000, 3), INDEX_MAX):
        xa.store(index, PTR)
        assert not xa.empty
        xa.destroy()
        assert xa.empty
        assert allocator.live == 0
    xa.store_order(1 << 11, 11, PTR)
    xa.destroy()
    assert (xa.empty, allocator.live) == (True, 0)


def test_entries_of_any_alignment() -> None:
    """Counterpart of check_align, check_align_1, check_align_2.

    The kernel's entries are words whose low bits mean something; ours are objects, so any object must do, falsy and
    equal ones included.
    """
    things: list[object] = [0, "", (), False, 0.0, b"", [], Pointer(0)]
    ids = XArray(track_free=True)
    assert [ids.alloc(thing) for thing in things] == list(range(8))
    assert [entry for _, _, entry in ids.entries()] == things
    for thing in things:
        xa = XArray(allocator := CountingAllocator())
        assert xa.store(0, thing) is None
        assert xa.erase(0) is thing
        xa.reserve(0)
        allocator.fail_after(1, FOREVER)
        assert xa.store(0, thing) is None
        assert xa.erase(0) is thing
        assert xa.empty


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("index", [0, 64, 4096])
def test_value_only_nodes_are_listed(index: int, eager: bool) -> None:
    """Counterpart of check_workingset, shadow_remove.

    The kernel removes a listed node as a whole (xa_delete_node); here its entries are erased.
    """
    lru = ValueNodeLru()
    xa = XArray(eager=eager, observer=lru)
    xa.store(index, 0)
    xa.store(index + 1, 1)
    assert lru.size == 1
    xa.store(index + 2, PTR)
    assert lru.size == 0
    xa.store(index + 2, 2)
    assert lru.size == 1
    for place in range(index, index + 3):
        xa.erase(place)
    assert lru.size == 0
    assert xa.empty


@pytest.mark.parametrize("order", range(1, 12))
def test_counts_of_slots_and_values(xa: XArray, order: int) -> None:
    """Counterpart of check_account."""
    second = 1 << order
    xa.store_order(0, order, PTR)
    node = xa.tree.walk(second)[0]
    assert isinstance(node, Node)
    assert 0 < node.count <= 1 << order
    assert node.nr_values == 0
    xa.store_order(second, order, second)
    assert node.count == 2 * node.nr_values
    xa.erase(second)
    assert node.nr_values == 0
    xa.erase(0)
    assert xa.empty
