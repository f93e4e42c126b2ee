# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that hold nothing but value entries: the kernel's ``xas_set_lru`` and ``private_list`` bookkeeping.

The page cache keeps nodes whose entries are all shadow entries (values) on a list, so that reclaim can free them
(mm/workingset.c, ``workingset_update_node``): a node is on the list exactly while ``count`` is above zero and equal to
``nr_values``.  A :class:`ValueNodeLru` is the update callback that does this; nodes that a Uniform stands for are on
the list as a number, since nothing tells them apart.
"""

from __future__ import annotations

import attrs

from gmemsim.xarray.node import Node, NodeLike


@attrs.define(eq=False)
class ValueNodeLru:
    """Observer of one tree; ``size`` is the number of nodes on the list, ``updates`` the callback's calls so far."""

    size: int = 0
    updates: int = 0

    def updated(self, node: NodeLike, copies: int) -> None:
        """Put ``node`` on the list or take it off; a Uniform level enters with all its ``copies`` at once."""
        self.updates += copies
        listed = _only_values(node)
        if not isinstance(node, Node):
            self.size += copies if listed else 0
        elif listed != node.on_lru:
            node.on_lru = listed
            self.size += 1 if listed else -1

    def freed(self, node: NodeLike, copies: int) -> None:
        """Take ``node``, which leaves the tree, off the list; a Uniform level stands for ``copies`` nodes."""
        self.updates += copies
        if isinstance(node, Node):
            self.size -= node.on_lru
            node.on_lru = False
        elif _only_values(node):
            self.size -= copies

    def opened(self, node: Node) -> None:
        """``node`` has been counted as one of a Uniform's copies; from now on it remembers by itself."""
        node.on_lru = _only_values(node)


def _only_values(node: NodeLike) -> bool:
    return 0 < node.count == node.nr_values
