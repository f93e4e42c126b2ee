# SPDX-License-Identifier: GPL-2.0-or-later
"""Every invariant of a tree, verified (as sortedcontainers' ``_check`` does): slow, complete, and shown on failure.

What may live here: nothing but assertions.  Every field of ``Node`` has one here that computes it from the slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmemsim.xarray.dump import dump
from gmemsim.xarray.node import MARKS, Node, NodeLike, Sibling, Uniform, canonical, is_value

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


def check(tree: Tree) -> None:
    """``AssertionError``, with the faulty node and the dump, unless every invariant of ``tree`` holds.

    Not an invariant: a node without entries, or a tree higher than it needs to be; a failed store may leave both.
    O(nodes that really exist).
    """
    head = tree.head
    assert not isinstance(head, Uniform), "the head is a Uniform"
    if isinstance(head, Node):
        try:
            assert head.parent is None, "the top node has a parent"
            _check_node(tree, head)
            for mark in range(MARKS):
                assert bool(head.marks[mark]) == bool(tree.marks >> mark & 1), f"array mark {mark} disagrees"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{dump(tree)[:4000]}") from None


def _check_node(tree: Tree, node: Node) -> int:
    """Check ``node`` and all below it; returns the number of nodes."""
    where = f"node shift {node.shift} offset {node.offset}"
    assert len(node.slots) == tree.chunk.size, f"{where}: {len(node.slots)} slots"
    assert node.shift % tree.chunk.shift == 0, f"{where}: odd shift"
    assert node.count == sum(slot is not None for slot in node.slots), f"{where}: count {node.count} is wrong"
    values, nodes = 0, 1
    marked = node.marks[0] | node.marks[1] | node.marks[2]
    resolved: object = None
    for slot, entry in enumerate(node.slots):
        if isinstance(entry, Sibling):
            assert entry.slot < slot, f"{where}: slot {slot} is a sibling of {entry.slot}"
            resolved = node.slots[canonical(node.slots, entry.slot)]
            assert resolved is not None, f"{where}: slot {slot} is a sibling of nothing"
            assert not marked >> slot & 1, f"{where}: sibling {slot} is marked"
        else:
            resolved = entry
        values += is_value(resolved)
        if isinstance(entry, NodeLike):
            assert entry.shift == node.shift - tree.chunk.shift, f"{where}: child {slot} has shift {entry.shift}"
            nodes += _check_child(tree, node, slot, entry)
    assert node.nr_values == values, f"{where}: nr_values {node.nr_values}, counted {values}"
    assert node.nodes == nodes, f"{where}: nodes {node.nodes}, counted {nodes}"
    return nodes


def _check_child(tree: Tree, node: Node, slot: int, child: NodeLike) -> int:
    for mark in range(MARKS):
        assert bool(child.marks[mark]) == bool(node.marks[mark] >> slot & 1), (
            f"node shift {node.shift} offset {node.offset}: mark {mark} of slot {slot} disagrees with the child's"
        )
    if isinstance(child, Uniform):
        assert not tree.eager, "a Uniform in an eager tree"
        return child.nodes
    assert isinstance(child, Node)
    assert child.parent is node, f"child {slot} of node shift {node.shift} has another parent"
    assert child.offset == slot, f"child in slot {slot} believes to be in {child.offset}"
    return _check_node(tree, child)
