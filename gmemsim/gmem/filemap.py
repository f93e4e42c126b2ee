# SPDX-License-Identifier: GPL-2.0-or-later
"""The page cache of one guest_memfd: an XArray whose entries are hugepages, whole or split.

Theory of operation
-------------------
A folio of order k is an entry of order k.  Splitting keeps the same entry object in every slot, as ``xas_split`` does;
the per-folio stores that follow in the kernel change no node, so they are counted as work and not done.  Merging is a
store at the old order.  Guests without HugeTLB have folios of one base page; a range of them is stored as the largest
aligned blocks and split to order 0 at once, which makes exactly the nodes that page by page stores would make.
Generation A adds the pieces of a split hugepage in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gmemsim.errors import OutOfMemory
from gmemsim.host.ledger import Holder
from gmemsim.host.work import Work
from gmemsim.xarray import Prealloc, Profile, XArray


class Filemap:
    """The filemap of one inode.

    ``nodes`` holds its XArray nodes, ``profile`` is what the kernel's splits can do, ``work`` counts what is done.
    ``charges_splits``: whether nodes for splits are charged to the guest's memcg like all others (default: yes).
    """

    __slots__ = ("_charges_splits", "_costs", "_work", "holder", "split_nodes", "tree")

    def __init__(self, nodes: Holder, profile: Profile, work: Work, charges_splits: bool = True) -> None:
        self.holder = nodes
        self._work = work
        self._charges_splits = charges_splits
        if not charges_splits:
            nodes.uncharged = self._uncharged
        self.split_nodes = 0
        """Nodes that splits have made: those that kernels without the 2026 fix charge to no memcg."""
        self.tree = XArray(nodes, profile=profile)
        self._costs: dict[tuple[int, int, bool], tuple[int, int, int]] = {}
        nodes.known = self._nodes

    @property
    def nodes(self) -> int:
        """Nodes of the tree."""
        return self.tree.nodes

    def _nodes(self) -> int:
        return self.tree.nodes

    def charged_nodes(self) -> int:
        """Nodes of the tree that are charged to the guest's memcg."""
        return self.tree.nodes if self._charges_splits else max(0, self.tree.nodes - self.split_nodes)

    def _uncharged(self) -> int:
        return self.holder.live - self.charged_nodes()

    def holds(self, index: int, entry: object) -> bool:
        """Whether ``entry`` is stored at ``index``."""
        return self.tree.load(index) is entry

    def add(self, index: int, order: int, entry: object) -> None:
        """Store ``entry``, a new folio of ``order``, at ``index``.

        Raises ``OutOfMemory``, and then may leave empty nodes behind as the kernel does.
        """
        self.tree.store_order(index, order, entry)

    def add_run(self, index: int, order: int, entries: Sequence[object]) -> None:
        """:meth:`add` folios of ``order``, one for each of ``entries``, side by side from ``index`` on.

        Raises ``OutOfMemory``; those before a failure stay.  O(entries).
        """
        self.tree.store_run(index, order, entries)

    def most_nodes(self, index: int, order: int, folios: int) -> int:
        """At least as many nodes as :meth:`add_run` of so many ``folios`` of ``order`` from ``index`` on can take."""
        return self.tree.chunk.most_nodes(index, order, folios)

    def remove(self, index: int, order: int) -> int:
        """Remove the folio of ``order`` at ``index``; how many nodes went with it, which are not counted as work."""
        before = self.tree.nodes
        self.tree.store_order(index, order, None)
        return before - self.tree.nodes

    def order_at(self, index: int) -> int:
        """Order of the folio that covers ``index``."""
        return self.tree.get_order(index)

    def folios(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Runs of equal folios that touch ``start`` to ``end`` (half-open): (first index, folios, order)."""
        for first, number, order, _ in self.tree.runs(start, end - 1):
            yield first, number, order

    def ranges_by_order(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What folios of one order hold side by side of ``start`` to ``end`` (half-open): (start, end, order)."""
        low, high, of_all = start, start, -1
        for first, number, order in self.folios(start, end):
            if first > high or order != of_all:
                if high > low:
                    yield low, high, of_all
                low, of_all = max(first, start), order
            high = min(first + (number << order), end)
        if high > low:
            yield low, high, of_all

    def histogram(self, start: int, end: int) -> dict[int, int]:
        """Folios by order within ``start`` to ``end``, which must be bounds of folios."""
        return self.tree.orders(start, end - 1)

    def check_depth(self, order: int, new_order: int) -> None:
        """Raise ``OutOfMemory`` if the modelled kernel's ``xas_split_alloc`` refuses ``order`` to ``new_order``."""
        self.tree.check_depth(order, new_order)

    def takes_depth(self, order: int, new_order: int) -> bool:
        """Whether :meth:`check_depth` says nothing about ``order`` to ``new_order``."""
        try:
            self.check_depth(order, new_order)
        except OutOfMemory:
            return False
        return True

    def nodes_for(self, order: int, new_order: int, halves: bool = False) -> int:
        """Nodes that :meth:`split` of ``order`` to ``new_order`` takes, of all of it (default) or in ``halves``."""
        return self._cost(order, new_order, halves)[0]

    def _cost(self, order: int, new_order: int, halves: bool) -> tuple[int, int, int]:
        """Nodes taken, slots written, entries stored by a split."""
        cost = self._costs.get((order, new_order, halves))
        if cost is None:
            chunk = self.tree.chunk
            if halves:
                nodes = order // chunk.shift - new_order // chunk.shift
                slots = sum(
                    [
                        chunk.size if above == chunk.levels[above] else chunk.widths[above]
                        for above in range(order, new_order, -1)
                    ]
                )
                cost = nodes, slots, 2 * (order - new_order)
            else:
                nodes = self.tree.nodes_needed(order, new_order)
                cost = nodes, nodes * chunk.size or chunk.widths[order], 1 << order - new_order
            self._costs[order, new_order, halves] = cost
        return cost

    def preallocate(self, nodes: int) -> Prealloc:
        """Take ``nodes`` for splits to come; raises ``OutOfMemory`` with nothing held."""
        if self._charges_splits:
            return Prealloc(self.holder, nodes)
        self.holder.charged = False
        try:
            return Prealloc(self.holder, nodes)
        finally:
            self.holder.charged = True

    def split(self, index: int, order: int, new_order: int, prealloc: Prealloc, halves: bool = False) -> None:
        """Split the folio of ``order`` that covers ``index`` to ``new_order``, with nodes of ``prealloc``.

        All of it by default; or, with ``halves``, in halves, then the half that covers ``index``, and so on.
        """
        nodes, slots, entries = self._cost(order, new_order, halves)
        if halves:
            self.tree.halve(index, order, new_order, prealloc=prealloc)
        else:
            self.tree.split(index, order, new_order, prealloc=prealloc)
        self.split_nodes += nodes
        work = self._work
        work.nodes_allocated += nodes
        work.slots_written += slots
        work.entries_stored += entries

    def split_on_the_spot(self, index: int, order: int, new_order: int, halves: bool) -> None:
        """:meth:`split` with nodes of its own; raises ``OutOfMemory``, with the folio whole, if one cannot be had.

        ``index``, ``order``, ``new_order`` and ``halves`` are those of :meth:`split`.
        """
        prealloc = self.preallocate(self._cost(order, new_order, halves)[0])
        self.split(index, order, new_order, prealloc, halves)

    def put_back(self, index: int, order: int, entry: object) -> None:
        """Store ``entry``, the old folio of ``order`` at ``index``, in place of what there is of its pieces.

        Raises ``OutOfMemory`` with nothing there.
        """
        self.remove_range(index, index + (1 << order))
        self.add(index, order, entry)

    def reserve_merge(self, index: int, order: int) -> Prealloc:
        """Take the nodes that :meth:`merge` to ``order`` at ``index`` will need.

        None, unless the tree has shrunk and must grow for it.  Raises ``OutOfMemory`` with nothing held.
        """
        return self.tree.preallocate(self.tree.growth(index, order))

    def merge(self, index: int, order: int, entry: object, prealloc: Prealloc | None = None) -> None:
        """Make one folio of ``order``, ``entry``, of all folios in its range, which begins at ``index``; all nodes
        below go.

        Where the tree has shrunk and must grow for it, it takes the nodes from ``prealloc`` (default: the ledger), or
        raises ``OutOfMemory`` with nothing changed.
        """
        grown, freed = self.tree.join(index, order, entry, prealloc=prealloc)
        self.split_nodes = max(0, self.split_nodes - freed)
        work = self._work
        work.nodes_allocated += grown
        work.nodes_freed += freed
        work.slots_written += self.tree.chunk.widths[order]

    def replace(self, index: int, order: int, new_order: int, entry: object, gone: int = 0) -> None:
        """Take out the folio of ``order`` at ``index`` and add ``entry`` as folios of ``new_order`` in its place, one
        by one.

        ``gone`` (default: 0) are the nodes of a folio that was taken out before.  Raises ``OutOfMemory`` with the folio
        taken out and none added.
        """
        gone += self.remove(index, order)
        after = self.tree.nodes
        self.add_folios(index, index + (1 << order), new_order, entry)
        folios = 1 << order - new_order
        work = self._work
        work.nodes_freed += gone
        work.nodes_allocated += self.tree.nodes - after
        work.slots_written += folios * self.tree.chunk.widths[new_order]
        work.entries_stored += folios

    def add_folios(self, start: int, end: int, order: int, entry: object) -> None:
        """Store folios of ``order``, all with ``entry``, from ``start`` to ``end``; raises ``OutOfMemory`` with none
        stored.
        """
        index = start
        try:
            while index < end:
                block = self._block_order(index, end)
                self.tree.store_order(index, block, entry)
                if block > order:
                    try:
                        with self.tree.preallocate(self.nodes_for(block, order)) as prealloc:
                            self.tree.split(index, block, order, prealloc=prealloc)
                    except OutOfMemory:
                        self.tree.store_order(index, block, None)
                        raise
                index += 1 << block
        except OutOfMemory:
            self.remove_range(start, index)
            raise

    def _block_order(self, index: int, end: int) -> int:
        """Order of a large aligned block at ``index`` whose store adds no node that its pages' stores would not.

        Such a node is a root one level too high: a lone entry as large as a root's range needs a slot in the next.  So
        the first block is a half of what it could be.
        """
        order = _aligned_order(index, end)
        return order - 1 if order and not index else order

    def remove_range(self, start: int, end: int) -> None:
        """Remove every folio from ``start`` to ``end``, which must be bounds of folios.  O(log of the range)."""
        index = start
        while index < end:
            order = _aligned_order(index, end)
            self.tree.store_order(index, order, None)
            index += 1 << order

    def destroy(self) -> None:
        """Forget everything (the inode is gone)."""
        self.split_nodes = 0
        self._work.nodes_freed += self.tree.nodes
        self.tree.destroy()

    def check(self) -> None:
        """``AssertionError`` unless the tree is sound."""
        self.tree.check()


def _aligned_order(index: int, end: int) -> int:
    """Order of the largest naturally aligned block that starts at ``index`` and ends by ``end``."""
    length = (end - index).bit_length() - 1
    return min((index & -index).bit_length() - 1, length) if index else length
