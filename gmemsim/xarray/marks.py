# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks of entries: what the bits in the nodes (``mark_bits``) mean for an index."""

from __future__ import annotations

from gmemsim.xarray.mark_bits import clear_up, set_up
from gmemsim.xarray.node import MARKS, Node, NodeLike, Sibling, Uniform
from gmemsim.xarray.tree import Tree


def change(tree: Tree, index: int, mark: int, *, marked: bool) -> None:
    """Set or clear ``mark`` on the entry at ``index``; nothing happens where there is no entry.

    Opens the Uniforms on the way, except where the mark already is as wanted.
    """
    if index > tree.max_index or not 0 <= mark < MARKS:
        return
    node, slot, entry = tree.walk(index)
    if entry is None:
        return
    if node is not None:
        if (node.marks[mark] >> slot & 1) == marked:
            return
        node, slot, _ = tree.walk_to(index, 0)
    assert not isinstance(node, Uniform)
    (set_up if marked else clear_up)(tree, node, slot, mark)


def get(tree: Tree, index: int, mark: int) -> bool:
    """Whether the entry at ``index`` has ``mark``: the bits on the way down to it are all set."""
    if index > tree.max_index or not tree.marks >> mark & 1:
        return False
    entry = tree.head
    while type(entry) is Node or type(entry) is Uniform:
        node: NodeLike = entry
        slot = index >> node.shift & tree.chunk.mask
        while type(entry := node.slots[slot]) is Sibling:
            slot = entry.slot
        if not node.marks[mark] >> slot & 1:
            return False
    return True
