# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pages of a guest_memfd are shared and which are private, and how much memory the kernel's map of it takes.

Theory of operation
-------------------
The kernel keeps the attributes in a maple tree that covers every index of the inode, equal neighbours coalesced
(DOMAIN.md section 3).  The ranges here are exact; the number of maple tree nodes is an **estimate**, since the tree's
shape depends on the order of all stores.  What is known, measured on lib/maple_tree.c (6.12): with n = ranges + 1
slots a tree has at least ⌈n/16⌉ nodes a level and at most max(1, ⌊n/7⌋), level by level until 1; these bounds held in
all 765 runs.  The single estimate of 0.0921 n is within ±29 % where there are 24 nodes or more; below that it was off
by up to 33 % (6 nodes, 4 estimated).  A file of two pages or more starts with one node, a single page needs none.

Before a store the kernel takes the nodes that the worst case of its kind needs, and gives back the surplus after it:
one while the only leaf has room, 2h + 1 in a tree of height h for a store within a leaf, 3h + 1 for a *spanning* store,
one that crosses leaves.  Where the leaves end is not known; they are taken to be filled evenly, with
:data:`SLOTS_PER_LEAF`, so that is an estimate too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from gmemsim.gmem.ranges import RangeSet, gaps
from gmemsim.host.ledger import Holder

NODES_PER_SLOT = 0.0921
"""Maple tree nodes per slot, the single estimate of DOMAIN.md section 3 (within ±29 % from 24 nodes on)."""

SLOTS_PER_LEAF = 12
"""Slots of a leaf on average: with 0.0921 nodes a slot in all levels some 0.084 are leaves, *derived*."""

MOST_PER_NODE = 16
"""Slots of a leaf and of an inner node of a tree that tracks no gaps (MAPLE_RANGE64_SLOTS)."""

LEAST_PER_NODE = 7
"""Slots of a node in the upper bound of DOMAIN.md section 3."""

LEAF_ROOM = 14
"""Slots in use up to which turning one range into three needs one node only (DOMAIN.md section 3)."""


def node_bounds(ranges: int) -> tuple[int, int]:
    """The least and the most maple tree nodes of a map of so many ``ranges``."""
    low = high = 0
    n = ranges + 1
    while True:
        n = -(-n // MOST_PER_NODE)
        low += n
        if n == 1:
            break
    n = ranges + 1
    while True:
        n = max(1, n // LEAST_PER_NODE)
        high += n
        if n == 1:
            break
    return low, high


@lru_cache(maxsize=1024)
def node_estimate(ranges: int) -> int:
    """The estimated maple tree nodes of a map of so many ``ranges``: always within :func:`node_bounds`."""
    if ranges < LEAST_PER_NODE:
        return 1
    low, high = node_bounds(ranges)
    return min(max(low, round(NODES_PER_SLOT * (ranges + 1))), high)


@lru_cache(maxsize=1024)
def preallocation(ranges: int, spanning: bool = False) -> int:
    """Nodes taken before a store into a map of so many ``ranges``: 1, 2h + 1, or 3h + 1 for a ``spanning`` one.

    h is the height of the map; ``spanning`` (default: no) says that the store touches more than one leaf.
    """
    if ranges + 1 <= LEAF_ROOM:
        return 1
    height, n = 1, ranges + 1
    while n > MOST_PER_NODE:
        n = -(-n // MOST_PER_NODE)
        height += 1
    return (3 if spanning else 2) * height + 1


class Attributes:
    """The attributes of ``pages`` pages: all private at first (default), or all ``shared``; ``nodes`` holds the map's
    memory.
    """

    __slots__ = ("_nodes", "_preallocated", "_released", "_shared", "pages", "ranges")

    def __init__(self, pages: int, nodes: Holder, *, shared: bool = False) -> None:
        self.pages = pages
        self._nodes = nodes
        self._shared = RangeSet()
        self._preallocated = 0
        self._released = False
        self.ranges = 1
        """Ranges of equal attributes, shared and private, that cover all pages."""
        nodes.alloc(1 if pages > 1 else 0)
        nodes.known = self._expected_nodes
        if shared:
            self._shared.add(0, pages)

    def is_shared(self, page: int) -> bool:
        """Whether ``page`` is shared."""
        return page in self._shared

    def all_private(self, start: int, end: int) -> bool:
        """Whether no page from ``start`` to ``end`` is shared."""
        return self._shared.disjoint(start, end)

    def all_are(self, start: int, end: int, *, shared: bool) -> bool:
        """Whether every page from ``start`` to ``end`` is shared, or every one private if not ``shared``."""
        return self._shared.covers(start, end) if shared else self._shared.disjoint(start, end)

    def private_around(self, start: int, end: int) -> tuple[int, int]:
        """The widest bounds around ``start`` to ``end`` (pages) within which all pages outside of that range are
        private.
        """
        return self._shared.around(start, end)

    def shared_ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The shared ranges within the pages ``start`` to ``end``, cut to them."""
        return self._shared.ranges(start, end)

    def every_shared_range(self) -> Iterator[tuple[int, int]]:
        """The shared ranges of the file, in order."""
        return iter(self._shared)

    def differing(self, start: int, end: int, *, shared: bool) -> list[tuple[int, int]]:
        """The ranges within the pages ``start`` to ``end`` that are not ``shared`` yet, or not private yet."""
        ranges = self._shared.ranges(start, end)
        return list(gaps(ranges, start, end) if shared else ranges)

    def preallocate(self, start: int, end: int) -> int:
        """Take the nodes for one store to the pages ``start`` to ``end`` and return their number.

        Raises ``OutOfMemory`` with nothing held.  O(log ranges).
        """
        spanning = end - start > 1 and self.ranges > SLOTS_PER_LEAF and self._spans(start, end)
        nodes = preallocation(self.ranges, spanning)
        self._nodes.alloc(nodes)
        self._preallocated += nodes
        return nodes

    def _spans(self, start: int, end: int) -> bool:
        """Whether a store to the range crosses leaves, of which there are several."""
        shared = self._shared
        if shared.disjoint(start, end) or shared.covers(start, end):
            return False
        return shared.flips_to(start) // SLOTS_PER_LEAF != shared.flips_to(end - 1) // SLOTS_PER_LEAF

    def give_back(self, nodes: int) -> None:
        """Give back preallocated ``nodes`` that no store used."""
        self._nodes.free(nodes)
        self._preallocated -= nodes

    def store(self, start: int, end: int, *, shared: bool, preallocated: int) -> None:
        """Make all pages from ``start`` to ``end`` ``shared`` or private; keeps what it needs of the ``preallocated``
        nodes.
        """
        self._shared.replace(start, end, member=shared)
        self.ranges = self._shared.flips_within(self.pages) + 1
        target = 0 if self.pages == 1 else node_estimate(self.ranges)
        self._preallocated -= preallocated  # what is left belongs to other stores
        surplus = self._nodes.live - self._nodes.deferred - self._preallocated - target
        if surplus > preallocated:
            self._nodes.free(preallocated)
            self._nodes.free(surplus - preallocated, rcu=True)  # they were in use: readers may still see them
        else:
            assert surplus >= 0, "a store needs more nodes than were taken for it"
            self._nodes.free(surplus)

    def release(self) -> None:
        """Give back all nodes (the inode is gone)."""
        self._nodes.free(self._nodes.held)
        self._released = True

    def _expected_nodes(self) -> int:
        if self._released:
            return 0
        return self._preallocated + (0 if self.pages == 1 else node_estimate(self.ranges))

    def check(self) -> None:
        """``AssertionError`` unless the ranges are well formed and nothing is preallocated."""
        self._shared.check()
        outside = [(start, end) for start, end in self._shared if start < 0 or end > self.pages]
        assert not outside, f"attributes of pages that the file of {self.pages} does not have: {outside}"
        assert not self._preallocated, f"{self._preallocated} preallocated nodes were not given back"
