# SPDX-License-Identifier: GPL-2.0-or-later
"""The page cache of one guest_memfd: an XArray whose entries are hugepages, whole or split.

Theory of operation
-------------------
A folio of order k is an entry of order k.  Splitting keeps the same entry object in every slot, as ``xas_split`` does;
the per-folio stores that follow in the kernel change no node, so they are counted as work and not done.  Merging is a
store at the old order.  Guests without HugeTLB have folios of one base page; a range of them is stored as the largest
aligned blocks and split to order 0 at once, which makes exactly the nodes that page by page stores would make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gmemsim.errors import OutOfMemory
from gmemsim.host.ledger import Holder
from gmemsim.host.work import Work
from gmemsim.xarray import Prealloc, Profile, XArray
from gmemsim.xarray.split import check_depth, nodes_needed


class Filemap:
    """The filemap of one inode.

    ``nodes`` holds its XArray nodes, ``profile`` is what the kernel's splits can do, ``work`` counts what is done.
    """

    __slots__ = ("_work", "split_nodes", "tree")

    def __init__(self, nodes: Holder, profile: Profile, work: Work) -> None:
        self._work = work
        self.split_nodes = 0
        """Nodes that splits have made: those that kernels without the 2026 fix charge to no memcg."""
        self.tree = XArray(nodes, profile=profile)
        nodes.known = self._nodes

    @property
    def nodes(self) -> int:
        """Nodes of the tree."""
        return self.tree.nodes

    def _nodes(self) -> int:
        return self.tree.nodes

    def holds(self, index: int, entry: object) -> bool:
        """Whether ``entry`` is stored at ``index``."""
        return self.tree.load(index) is entry

    def add(self, index: int, order: int, entry: object) -> None:
        """Store a new folio; raises ``OutOfMemory``, and then may leave empty nodes behind as the kernel does."""
        self.tree.store_order(index, order, entry)

    def remove(self, index: int, order: int) -> None:
        """Remove the folio of ``order`` at ``index``."""
        self.tree.store_order(index, order, None)

    def order_at(self, index: int) -> int:
        """Order of the folio that covers ``index``."""
        return self.tree.get_order(index)

    def folios(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Runs of equal folios that touch ``start`` to ``end`` (half-open): (first index, folios, order)."""
        for first, number, order, _ in self.tree.runs(start, end - 1):
            yield first, number, order

    def histogram(self, start: int, end: int) -> Counter[int]:
        """Folios by order within ``start`` to ``end``, which must be bounds of folios."""
        counts: Counter[int] = Counter()
        for _, number, order in self.folios(start, end):
            counts[order] += number
        return counts

    def check_depth(self, order: int, new_order: int) -> None:
        """Raise ``OutOfMemory`` if the modelled kernel's ``xas_split_alloc`` refuses this split."""
        check_depth(self.tree.chunk, order, new_order, self.tree.profile)

    def nodes_for(self, order: int, new_order: int) -> int:
        """Nodes that splitting a folio of ``order`` to ``new_order`` takes."""
        return nodes_needed(self.tree.chunk, order, new_order)

    def preallocate(self, nodes: int) -> Prealloc:
        """Take ``nodes`` for splits to come; raises ``OutOfMemory`` with nothing held."""
        return Prealloc(self.tree, nodes)

    def split(self, index: int, order: int, new_order: int, prealloc: Prealloc) -> None:
        """Split the folio of ``order`` at ``index`` with nodes of ``prealloc``."""
        used = prealloc.used
        self.tree.split(index, order, new_order, prealloc=prealloc)
        filled = prealloc.used - used
        self.split_nodes += filled
        work = self._work
        work.nodes_allocated += filled
        work.slots_written += filled * self.tree.chunk.size or self.tree.chunk.width(order)
        work.entries_stored += 1 << order - new_order

    def merge(self, index: int, order: int, entry: object) -> None:
        """Make one folio of ``order`` of all folios in its range: a store that allocates nothing."""
        before = self.tree.nodes
        self.tree.store_order(index, order, entry)
        freed = before - self.tree.nodes
        self.split_nodes -= freed
        work = self._work
        work.nodes_freed += freed
        work.slots_written += self.tree.chunk.width(order)

    def add_pages(self, start: int, end: int, entry: object) -> None:
        """Store folios of order 0 in the whole range; raises ``OutOfMemory`` with none stored."""
        index = start
        try:
            while index < end:
                order = self._block_order(index, end)
                self.tree.store_order(index, order, entry)
                if order:
                    try:
                        with self.preallocate(self.nodes_for(order, 0)) as prealloc:
                            self.tree.split(index, order, 0, prealloc=prealloc)
                    except OutOfMemory:
                        self.tree.store_order(index, order, None)
                        raise
                index += 1 << order
        except OutOfMemory:
            self.remove_pages(start, index)
            raise

    def _block_order(self, index: int, end: int) -> int:
        """Order of the largest aligned block at ``index`` whose store adds no node that its pages' stores would not.

        Such a node is a root one level too high: a lone entry as large as a root's range needs a slot in the next.
        """
        order = _aligned_order(index, end)
        fills_root = not index and order and order % self.tree.chunk.shift == 0
        return order - 1 if fills_root else order

    def remove_pages(self, start: int, end: int) -> None:
        """Remove every folio of order 0 in the range."""
        index = start
        while index < end:
            order = _aligned_order(index, end)
            self.tree.store_order(index, order, None)
            index += 1 << order

    def destroy(self) -> None:
        """Forget everything (the inode is gone)."""
        self.split_nodes = 0
        self.tree.destroy()

    def check(self) -> None:
        """``AssertionError`` unless the tree is sound."""
        self.tree.check()


def _aligned_order(index: int, end: int) -> int:
    """Order of the largest naturally aligned block that starts at ``index`` and ends by ``end``."""
    length = (end - index).bit_length() - 1
    return min((index & -index).bit_length() - 1, length) if index else length
