# SPDX-License-Identifier: GPL-2.0-or-later
"""Splitting, over the extended range of the series' patch 4/4: every order below four levels, every lower order."""

from __future__ import annotations

import random

import pytest

from gmemsim.errors import Invalid
from gmemsim.xarray import CountingAllocator, XArray
from gmemsim.xarray.node import Node
from tests.xarray.operations import Pointer

PTR = Pointer(1)

ALL_CHECKED = 4096
"""Up to so many new entries, each is stored over and read; of more, a sample."""

EAGER_NODES = 4200
"""Largest eager split: 1G to 4K makes 4161 nodes."""


def expected_nodes(chunk_shift: int, order: int, new_order: int) -> int:
    """The sum of DOMAIN.md §2: over the levels between, width of the old entry times full nodes below."""
    levels = order // chunk_shift - new_order // chunk_shift
    return sum(2 ** (order % chunk_shift) * (1 << chunk_shift * level) for level in range(levels))


def visited_nodes(xa: XArray) -> int:
    """Nodes of an eager tree, counted one by one."""
    found, rest = 0, [xa.tree.head]
    while rest:
        node = rest.pop()
        if isinstance(node, Node):
            found += 1
            rest += node.slots
    return found


def pairs(chunk_shift: int) -> list[tuple[int, int]]:
    """Every order up to four levels, with every lower order."""
    return [(order, new_order) for order in range(1, 4 * chunk_shift + 1) for new_order in range(order)]


def split_one(chunk_shift: int, index: int, order: int, new_order: int, *, eager: bool) -> None:
    """Split the entry at ``index``, from an index inside it, and look at every new entry or at a sample of them."""
    rng = random.Random(f"{index} {order} {new_order}")
    allocator = CountingAllocator()
    xa = XArray(allocator, chunk_shift=chunk_shift, eager=eager)
    xa.store_order(index, order, PTR)
    xa.set_mark(index, 1)
    nodes = xa.nodes
    with xa.split_alloc(index, order, new_order) as prealloc:
        xa.split(index + rng.randrange(1 << order), order, new_order, prealloc=prealloc)
    assert xa.nodes - nodes == prealloc.used == prealloc.taken == expected_nodes(chunk_shift, order, new_order)
    assert allocator.live == xa.nodes
    if eager:
        assert visited_nodes(xa) == xa.nodes
    look_at_parts(xa, index, order, new_order, rng)
    xa.check()
    xa.store_order(index, order, None)
    assert xa.empty
    assert allocator.live == 0


def look_at_parts(xa: XArray, index: int, order: int, new_order: int, rng: random.Random) -> None:
    """Store over the new entries, each of which must change alone, and count the marked ones."""
    number, size = 1 << order - new_order, 1 << new_order
    everything = number <= ALL_CHECKED
    sample = range(number) if everything else sorted({0, 1, number // 2, number - 1, *rng.sample(range(number), 20)})
    parts = [index + (part << new_order) for part in sample]
    for first in parts:
        assert (xa.load(first), xa.load(first + size - 1), xa.get_order(first)) == (PTR, PTR, new_order)
        xa.store_order(first, new_order, first)
    for first in parts:
        assert (xa.load(first), xa.load(first + size - 1)) == (first, first)
        assert xa.get_order(first + rng.randrange(size)) == new_order
        assert xa.get_mark(first, 1)
    if everything:
        marked = [(base, order) for base, order, _ in xa.entries(mark=1)]
        assert marked == [(first, new_order) for first in parts]
        assert xa.find(0) == (index, index)
    xa.set_mark(index, 0)
    assert xa.get_mark(index, 0)
    assert xa.load(index + (1 << order)) is None


@pytest.mark.parametrize("chunk_shift", [3, 4, 6])
def test_every_split(chunk_shift: int) -> None:
    """Counterpart of check_split, check_split_1."""
    for order, new_order in pairs(chunk_shift):
        for index in (0, 1 << order, 3 << order):
            split_one(chunk_shift, index, order, new_order, eager=False)


@pytest.mark.parametrize("chunk_shift", [3, 4, 6])
def test_every_split_eagerly(chunk_shift: int) -> None:
    """Counterpart of check_split, check_split_1.  As far as 4200 new nodes; at order 24 that is order 6."""
    for order, new_order in pairs(chunk_shift):
        nodes = expected_nodes(chunk_shift, order, new_order)
        if nodes <= EAGER_NODES:
            for place in (0, 1, 3) if nodes <= EAGER_NODES // 8 else (new_order % 3,):
                split_one(chunk_shift, place << order, order, new_order, eager=True)


def test_the_counts_that_the_series_states() -> None:
    """Counterpart of check_split: DOMAIN.md §2."""
    counts = {(18, 0): 4161, (18, 9): 65, (9, 0): 8, (18, 12): 1, (18, 17): 1, (5, 0): 0, (24, 0): 266305}
    for (order, new_order), nodes in counts.items():
        assert expected_nodes(6, order, new_order) == nodes
        xa = XArray()
        xa.store_order(0, order, PTR)
        with xa.split_alloc(0, order, new_order) as prealloc:
            assert prealloc.taken == nodes


@pytest.mark.parametrize("order", range(1, 13))
def test_splitting_with_one_node(xa: XArray, allocator: CountingAllocator, order: int) -> None:
    """Counterpart of check_split_2.  One pair is refused here that the kernel accepts: KERNEL_DIFFERENCES.md."""
    for new_order in range(order):
        for index in (0, 1 << order, 3 << order):
            xa.store_order(index, order, PTR)
            xa.set_mark(index, 1)
            levels = order // 6 - new_order // 6
            if levels and new_order < order - 1:
                with pytest.raises(Invalid):
                    xa.try_split(index, order, new_order)
                assert xa.get_order(index) == order
            else:
                xa.try_split(index, order, new_order)
                look_at_parts(xa, index, order, new_order, random.Random(new_order))
            xa.destroy()
            assert allocator.live == 0
