# SPDX-License-Identifier: GPL-2.0-or-later
"""Every invariant of a tree, verified (as sortedcontainers' ``_check`` does): slow, complete, and shown on failure.

Theory of operation
-------------------
What holds for a node depends on its own fields and on those of its children, nothing else.  So a node that was verified
needs no second look as long as it is as it was and so are its children: :class:`Verified` has a copy of every node
that was, and comparing with a copy is much quicker than verifying.  Nothing is taken on trust: a node that was changed
behind everyone's back differs from its copy like any other.

What may live here: nothing but assertions.  Every field of ``Node`` has one here that computes it from the slots, and
is compared by :class:`_Copy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmemsim.xarray.dump import dump
from gmemsim.xarray.node import FREE_MARK, INDEX_BITS, MARKS, Node, NodeLike, Sibling, Uniform, canonical, is_value

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


def check(tree: Tree) -> None:
    """``AssertionError``, with the faulty node and the dump, unless every invariant of ``tree`` holds.

    Not an invariant: a node without entries, or a tree higher than it needs to be; a failed store may leave both.
    O(nodes that really exist).
    """
    Verified().check(tree)


class Verified:
    """The nodes of a tree that were right when :meth:`check` last looked at it."""

    __slots__ = ("_copies", "_fresh", "_head", "_ranges")

    def __init__(self) -> None:
        self._head: object = None
        self._copies: dict[int, _Copy] = {}
        self._fresh: dict[int, _Copy] = {}
        self._ranges: list[tuple[int, int]] = []

    def check(self, tree: Tree) -> list[tuple[int, int]]:
        """As :func:`check` of ``tree``, always the same one; returns the ranges of indices in which a slot has changed.

        After an ``AssertionError`` it is of no use any more.  O(nodes that really exist): a comparison each, and a
        look at those that have changed.
        """
        head = tree.head
        assert not isinstance(head, Uniform), "the head is a Uniform"
        self._ranges, self._fresh = [], {}
        if isinstance(head, Node):
            try:
                assert head.parent is None, "the top node has a parent"
                self._visit(tree, head, 0)
                for mark in range(MARKS):
                    assert bool(head.marks[mark]) == bool(tree.marks >> mark & 1), f"array mark {mark} disagrees"
            except AssertionError as error:
                raise AssertionError(f"{error}\n{dump(tree)[:4000]}") from None
        if head is not self._head:
            self._ranges = [(0, 1 << INDEX_BITS)]
        self._head, self._copies = head, self._fresh
        return self._ranges

    def _visit(self, tree: Tree, node: Node, base: int) -> bool:
        """Verify ``node``, which begins at index ``base``, and all below it; returns whether it is another one now."""
        copy = self._copies.get(id(node))
        if copy is None or not copy.is_like(node):
            changed = True
            if copy is not None:  # if it is new, the slot that it is in has changed
                self._ranges += [
                    (base + (slot << node.shift), base + (slot + 1 << node.shift))
                    for slot, (before, now) in enumerate(zip(copy.slots, node.slots, strict=False))
                    if before is not now
                ]
            copy = _Copy(node)
        else:
            changed = False
        self._fresh[id(node)] = copy
        below = False
        for slot, child in copy.children:
            below |= self._visit(tree, child, base + (slot << node.shift))
        if changed or below:
            _check_node(tree, node)
        return changed


class _Copy:
    """What a ``node`` was: all its fields, and its ``children`` by slot."""

    __slots__ = ("children", "count", "marks", "node", "nodes", "nr_values", "offset", "parent", "shift", "slots")

    def __init__(self, node: Node) -> None:
        self.node = node  # kept, so that no other node is taken for it
        self.shift, self.offset, self.parent = node.shift, node.offset, node.parent
        self.count, self.nr_values, self.nodes = node.count, node.nr_values, node.nodes
        self.marks = node.marks
        self.slots = node.slots[:]
        self.children = [(slot, child) for slot, child in enumerate(self.slots) if isinstance(child, Node)]

    def is_like(self, node: Node) -> bool:
        """Whether ``node`` still has these fields."""
        return (
            self.slots == node.slots
            and self.parent is node.parent
            and self.count == node.count
            and self.nodes == node.nodes
            and self.marks == node.marks
            and self.nr_values == node.nr_values
            and self.shift == node.shift
            and self.offset == node.offset
        )


def _check_node(tree: Tree, node: Node) -> None:
    """Check ``node``, whose children have been checked."""
    where = f"node shift {node.shift} offset {node.offset}"
    assert len(node.slots) == tree.chunk.size, f"{where}: {len(node.slots)} slots"
    assert node.shift % tree.chunk.shift == 0, f"{where}: odd shift"
    assert node.count == sum(slot is not None for slot in node.slots), f"{where}: count {node.count} is wrong"
    values, nodes, empty = 0, 1, 0
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
            empty |= (entry is None) << slot
        values += is_value(resolved)
        if isinstance(entry, NodeLike):
            assert entry.shift == node.shift - tree.chunk.shift, f"{where}: child {slot} has shift {entry.shift}"
            nodes += _check_child(tree, node, slot, entry)
    for mark in range(MARKS):
        assert not node.marks[mark] & empty or (tree.track_free and mark == FREE_MARK), (
            f"{where}: mark {mark} is set on slots without an entry: {node.marks[mark] & empty:#x}"
        )
    assert node.nr_values == values, f"{where}: nr_values {node.nr_values}, counted {values}"
    assert node.nodes == nodes, f"{where}: nodes {node.nodes}, counted {nodes}"


def _check_child(tree: Tree, node: Node, slot: int, child: NodeLike) -> int:
    """Check that ``child`` fits ``node``; returns its number of nodes."""
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
    return child.nodes
