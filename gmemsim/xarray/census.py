# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tree consists of, level by level, the nodes that Uniforms stand for included."""

from __future__ import annotations

from collections import Counter

from gmemsim.xarray.node import Node, NodeLike, Uniform
from gmemsim.xarray.tree import Tree

_NODES = (Node, Uniform)


class Levels:
    """``nodes`` and ``slots_used`` of those nodes by shift; ``visits`` is how many nodes had to be looked at."""

    __slots__ = ("nodes", "slots_used", "visits")

    def __init__(self) -> None:
        self.nodes: Counter[int] = Counter()
        self.slots_used: Counter[int] = Counter()
        self.visits = 0

    def add(self, node: NodeLike, copies: int) -> None:
        """Count ``node``, which stands for so many ``copies``, and all below it."""
        self.visits += 1
        self.nodes[node.shift] += copies
        self.slots_used[node.shift] += copies * node.count
        if isinstance(node, Uniform):
            if not node.is_leaf:
                self.add(node.below, copies * node.chunk.size)
        elif node.shift:  # below shift 0 there are entries only
            for child in node.slots:
                if isinstance(child, _NODES):
                    self.add(child, copies)


def levels(tree: Tree) -> Levels:
    """The levels of ``tree``.  Costs what the tree really consists of, not what its Uniforms stand for."""
    found = Levels()
    if isinstance(tree.head, Node):
        found.add(tree.head, 1)
    return found


def nodes_by_shift(tree: Tree) -> Counter[int]:
    """Nodes by shift."""
    return levels(tree).nodes
