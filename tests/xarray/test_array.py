# SPDX-License-Identifier: GPL-2.0-or-later
"""What the array offers besides the kernel's calls: nodes before and after a split, level by level; refusals."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gmemsim.errors import Busy, Invalid, OutOfMemory
from gmemsim.xarray import INDEX_MAX, KEEP, CountingAllocator, XArray
from gmemsim.xarray.node import Node
from tests.xarray.operations import execute

ORDERS = [(order, new_order) for order in range(1, 20) for new_order in range(order)]


def counted(node: Node, nodes: Counter[int], slots_used: Counter[int]) -> None:
    """Count an eager tree node by node."""
    nodes[node.shift] += 1
    slots_used[node.shift] += sum(slot is not None for slot in node.slots)
    for child in node.slots:
        if isinstance(child, Node):
            counted(child, nodes, slots_used)


@pytest.mark.parametrize("seed", range(20))
def test_levels_are_those_of_the_eager_tree(seed: int) -> None:
    rng = random.Random(seed)
    lazy, eager = XArray(), XArray(eager=True)
    for _ in range(12):
        order = rng.choice((0, 5, 6, 9, 12))
        place = rng.randrange(5) << 12
        for xa in (lazy, eager):
            xa.store_order(place, order, "p1")
        if order:
            operation = ("split", (place, order, rng.randrange(order), KEEP))
            assert execute(lazy, operation) == execute(eager, operation)
    nodes, slots_used = Counter[int](), Counter[int]()
    assert isinstance(eager.tree.head, Node)
    counted(eager.tree.head, nodes, slots_used)
    for levels in (lazy.levels(), eager.levels()):
        assert (levels.nodes, levels.slots_used) == (nodes, slots_used)
    assert nodes.total() == lazy.nodes == eager.levels().visits >= lazy.levels().visits


def test_an_array_without_nodes_has_no_levels() -> None:
    xa = XArray()
    xa.store(0, "p1")
    levels = xa.levels()
    assert (levels.nodes.total(), levels.slots_used.total(), levels.visits) == (0, 0, 0)


@pytest.mark.parametrize(("order", "new_order"), ORDERS)
def test_a_split_uses_the_nodes_it_is_said_to_need(order: int, new_order: int) -> None:
    xa = XArray(allocator := CountingAllocator())
    xa.store_order(0, order, "p1")
    live = allocator.live
    with xa.preallocate(xa.nodes_needed(order, new_order) + 2) as prealloc:
        xa.split(0, order, new_order, prealloc=prealloc)
        assert prealloc.available == 2
    assert allocator.live - live == xa.nodes_needed(order, new_order) == prealloc.used


def test_nodes_that_cannot_be_had_are_not_held() -> None:
    xa = XArray(allocator := CountingAllocator())
    allocator.fail_after(5)
    with pytest.raises(OutOfMemory) as caught:
        xa.preallocate(9)
    assert (caught.value.held, allocator.live) == (4, 0)


@pytest.mark.parametrize(("order", "new_order"), [(0, 0), (3, 3), (3, 4), (3, -1), (65, 0)])
def test_what_is_no_split_needs_no_nodes(order: int, new_order: int) -> None:
    with pytest.raises(Invalid):
        XArray().nodes_needed(order, new_order)
    with pytest.raises(Invalid):
        XArray().split_alloc(0, order, new_order)


@pytest.mark.parametrize(("order", "new_order"), ORDERS)
def test_refusals_told_beforehand_are_those_of_the_calls(order: int, new_order: int) -> None:
    xa = XArray(profile="v6.15")
    xa.store_order(0, order, "p1")
    XArray(profile="rfc").check_depth(order, new_order)
    try:
        xa.check_depth(order, new_order)
    except OutOfMemory:
        assert execute(xa, ("split", (0, order, new_order, KEEP))) == "ENOMEM"
    else:
        xa.split_alloc(0, order, new_order).close()
    refused = execute(xa, ("try_split", (0, order, new_order))) == "EINVAL"
    assert refused != xa.try_split_fits(order, new_order)


@pytest.mark.parametrize("index", [-1, -64, INDEX_MAX + 1, INDEX_MAX + (1 << 62)])
@pytest.mark.parametrize("stored", [None, 0, 100, INDEX_MAX])
def test_an_index_out_of_range_is_refused(index: int, stored: int | None) -> None:
    xa = XArray()
    if stored is not None:
        xa.store(stored, "p1")
    for name in ("load", "get_order", "erase", "find"):
        assert execute(xa, (name, (index,))) == "EINVAL"


def test_orders_of_a_part_of_a_tree() -> None:
    xa = XArray()
    xa.store(0, "a")
    assert xa.orders(0, 63) == {0: 1}, "a tree of one entry has no node"
    xa.store_order(8, 3, "b")
    assert xa.orders(12, 63) == {3: 1}, "from the middle of an entry on"
    xa.store_range(33, 35, "c")
    for first in (16, 33, 34, 36):  # an odd number of slots, seen from before, from its ends and from behind
        found: Counter[int] = Counter()
        for _, number, order, _ in xa.runs(first, 63):
            found[order] += number
        assert xa.orders(first, 63) == found


def test_a_mark_that_the_only_entry_has_not() -> None:
    xa = XArray()
    xa.store(0, "a")
    assert xa.find(0, 63, 1) is None
    xa.set_mark(0, 1)
    assert xa.find(0, 63, 1) == (0, "a")


def test_a_cyclic_allocation_that_cannot_wrap_is_refused() -> None:
    xa = XArray(track_free=True)
    for index in range(4):
        assert xa.alloc_cyclic("a", index, 0, 3) == (index, False)
    with pytest.raises(Busy):
        xa.alloc_cyclic("a", 0, 0, 3)
    xa.erase(1)
    assert xa.alloc_cyclic("a", 2, 0, 3) == (1, True)
