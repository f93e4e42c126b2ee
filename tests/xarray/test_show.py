# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of trees: nothing is lost by folding, and what is alike is folded."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmemsim.xarray import XArray
from gmemsim.xarray.lab.interpreter import Interpreter
from gmemsim.xarray.lab.show import Children, Entries, NodePicture, Rest, picture
from tests.xarray.traces import CLEAN, read


def split(xa: XArray, index: int, order: int, new_order: int) -> None:
    with xa.split_alloc(index, order, new_order) as prealloc:
        xa.split(index, order, new_order, prealloc=prealloc)


def one_page_of_1g(*, eager: bool = False) -> XArray:
    """A 1G entry split to 2M, one of which is split to 4K, one page of it marked."""
    xa = XArray(eager=eager)
    xa.store_order(1 << 18, 18, "p1")
    split(xa, 1 << 18, 18, 9)
    split(xa, (1 << 18) + 5000, 9, 0)
    xa.set_mark((1 << 18) + 5000, 2)
    return xa


def count_nodes(node: NodePicture) -> int:
    """Nodes in a picture, those that are folded or not shown included."""
    below = sum(part.number * count_nodes(part.child) for part in node.children)
    return 1 + below + sum(part.nodes for part in node.parts if isinstance(part, Rest))


def check_picture(node: NodePicture) -> None:
    """Parts in order, without overlaps, of as many slots as are in use; the number of nodes adds up."""
    used: list[int] = []
    for part in node.parts:
        used += part.where if isinstance(part, Rest) else range(part.first, part.first + part.slots)
        if isinstance(part, Children):
            assert (part.child.offset, part.child.shift) == (part.first, node.shift - 6)
            assert part.child.base == node.base + (part.first << node.shift)
            check_picture(part.child)
    assert len(set(used)) == len(used) == node.count
    assert max(used, default=0) < node.size
    assert [part.first for part in node.parts] == sorted(part.first for part in node.parts)
    assert count_nodes(node) == node.nodes


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
@pytest.mark.parametrize("most", [None, 2])
@pytest.mark.parametrize("path", CLEAN[::19], ids=lambda path: path.stem)
def test_nothing_is_lost(path: Path, most: int | None, eager: bool) -> None:
    """At several moments of golden traces, a picture has every slot and every node."""
    interpreter = Interpreter(eager=eager)
    for number, record in enumerate(read(path)):
        interpreter.execute(record.operation)
        if number % 50 == 0:
            seen = picture(interpreter.tree, most=most)
            assert seen.nodes == interpreter.array.nodes
            if isinstance(seen.head, NodePicture):
                assert seen.head.nodes == seen.nodes
                check_picture(seen.head)


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_a_split_of_1g_is_three_nodes_to_look_at(eager: bool) -> None:
    xa = XArray(eager=eager)
    xa.store_order(0, 18, "p1")
    split(xa, 0, 18, 0)
    head = picture(xa.tree).head
    assert isinstance(head, NodePicture)
    numbers = []
    node = head
    while node.children:
        (part,) = node.parts
        assert isinstance(part, Children)
        numbers.append((part.number, part.child.shift))
        node = part.child
    assert numbers == [(1, 12), (64, 6), (64, 0)]
    assert node.parts == (Entries(0, 64, 1, 0, "p1", ()),)


def test_what_differs_stands_alone() -> None:
    head = picture(one_page_of_1g().tree).head
    assert isinstance(head, NodePicture)
    (middle,) = head.children
    assert [(part.first, part.number) for part in middle.child.children] == [(0, 1), (1, 1), (2, 62)]
    opened = middle.child.children[1].child
    assert opened.parts[0] == Entries(0, 1, 8, 9, "p1", ())
    (leaf,) = [part.child for part in opened.children if part.child.marks]
    assert (leaf.marks, leaf.offset) == ((2,), 5000 // 64 % 64)
    page = 5000 % 64
    assert Entries(page, 1, 1, 0, "p1", (2,)) in leaf.parts


def test_most_counts_what_it_leaves_out() -> None:
    xa = XArray()
    for index in range(0, 4096, 64):
        xa.store(index, index)
    head = picture(xa.tree, most=3).head
    assert isinstance(head, NodePicture)
    assert head.parts[-1] == (rest := Rest(tuple(range(3, 64)), 61))
    assert (rest.first, rest.slots) == (3, 61)
    check_picture(head)


def test_trees_without_nodes() -> None:
    xa = XArray()
    assert picture(xa.tree).head is None
    xa.store(0, 7)
    assert (picture(xa.tree).head, picture(xa.tree).nodes) == ("v7", 0)


def test_equal_entries_side_by_side_are_one_part() -> None:
    xa = XArray()
    for index, order, entry in ((0, 2, "a"), (4, 2, "a"), (8, 2, "b"), (12, 1, "b"), (20, 1, "b"), (22, 1, "b")):
        xa.store_order(index, order, entry)
    xa.set_mark(22, 0)
    head = picture(xa.tree).head
    assert isinstance(head, NodePicture)
    parts = [part for part in head.parts if isinstance(part, Entries)]
    assert [(part.first, part.number, part.slots, part.order) for part in parts] == [
        (0, 2, 8, 2),
        (8, 1, 4, 2),
        (12, 1, 2, 1),
        (20, 1, 2, 1),
        (22, 1, 2, 1),
    ]
    check_picture(head)
