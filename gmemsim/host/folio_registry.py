# SPDX-License-Identifier: GPL-2.0-or-later
"""guest_memfd's global registry: metadata per folio, found by the physical page number.

One XArray for the whole host (DOMAIN.md section 3), with one entry per hugepage at the hugepage's own order: one
shift-18 node per 64 GiB of 1G hugepages, one shift-6 node per eight 2M hugepages.  The objects themselves belong to the
guest whose folio they describe.
"""

from __future__ import annotations

from gmemsim.host.ledger import Holder
from gmemsim.xarray import XArray
from gmemsim.xarray.check import Verified


class FolioRegistry:
    """The registry's tree; ``nodes`` holds its nodes."""

    __slots__ = ("_tree", "holder")

    def __init__(self, nodes: Holder) -> None:
        self.holder = nodes
        self._tree = XArray(nodes)
        nodes.known = self.nodes

    def add(self, page_number: int, order: int, owner: object) -> None:
        """Enter the folio of ``order`` at physical page ``page_number``, which belongs to ``owner``.

        Raises ``OutOfMemory`` (ENOMEM), and then may leave empty nodes behind as the kernel does.
        """
        self._tree.store_order(page_number, order, owner)

    def add_run(self, page_number: int, order: int, folios: int, owner: object) -> None:
        """:meth:`add` so many ``folios`` of ``order``, all of ``owner``, side by side from ``page_number`` on.

        Raises ``OutOfMemory`` (ENOMEM) if a node cannot be had; the folios before it stay.  O(folios).
        """
        self._tree.store_run(page_number, order, [owner] * folios)

    def most_nodes(self, page_number: int, order: int, folios: int) -> int:
        """At least as many nodes as :meth:`add_run` of ``folios`` of ``order`` from ``page_number`` on can take."""
        return self._tree.chunk.most_nodes(page_number, order, folios)

    def remove(self, page_number: int, order: int) -> None:
        """Take out the folio of ``order`` at physical page ``page_number``."""
        self._tree.store_order(page_number, order, None)

    def nodes(self) -> int:
        """Nodes of the tree."""
        return self._tree.nodes

    def check(self, known: Verified | None = None) -> None:
        """``AssertionError`` unless the tree is sound.  ``known``: its nodes that were right before (default: none)."""
        (known or Verified()).check(self._tree.tree)
