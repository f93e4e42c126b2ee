# SPDX-License-Identifier: GPL-2.0-or-later
"""How many nodes a tree has at every level, those that Uniforms stand for included."""

from __future__ import annotations

from collections import Counter

from gmemsim.xarray.node import Node, NodeLike, Uniform
from gmemsim.xarray.tree import Tree


def nodes_by_shift(tree: Tree) -> Counter[int]:
    """Nodes by shift.  Costs what the tree really consists of, not what its Uniforms stand for."""
    counts: Counter[int] = Counter()
    if isinstance(tree.head, Node):
        _count(tree.head, 1, counts)
    return counts


def _count(node: NodeLike, copies: int, counts: Counter[int]) -> None:
    counts[node.shift] += copies
    if isinstance(node, Uniform):
        if not node.is_leaf:
            _count(node.below, copies * node.chunk.size, counts)
        return
    for child in node.slots:
        if isinstance(child, Node | Uniform):
            _count(child, copies, counts)
