# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tree gets its nodes: a protocol, and an allocator that counts and can be told to fail.

The kernel tries twice for a node that ``xas_store`` needs: once without sleeping, under the lock, and if that fails
once more outside it (``xas_nomem``), after which the operation starts again.  Nodes for a split are taken beforehand,
one attempt each.  :class:`CountingAllocator` fails by the number of the attempt, as the golden traces do.

What may live here: allocators that know nothing of trees.  The host's ledger has its own (:mod:`gmemsim.host.ledger`);
a change of the protocol changes both.
"""

from __future__ import annotations

from typing import Protocol, final

from gmemsim.errors import OutOfMemory


class NodeAllocator(Protocol):
    """What a tree asks of the memory below it; all counts are nodes."""

    def alloc(self, n: int) -> None:
        """Take ``n`` nodes, or raise ``OutOfMemory`` with ``held`` nodes taken before it and given back."""

    def retry(self) -> bool:
        """The second attempt at one node that ``alloc(1)`` could not have; True if it was taken."""

    def free(self, n: int, *, rcu: bool) -> None:
        """Give back ``n`` nodes: at once, or (``rcu``) when the readers that may still see them are gone."""


@final
class CountingAllocator:
    """Counts nodes: ``live`` now, ``allocs`` and ``frees`` since the start.  :meth:`fail_after` makes attempts fail.

    >>> nodes = CountingAllocator()
    >>> nodes.alloc(3)
    >>> nodes.free(1, rcu=False)
    >>> nodes.live, nodes.allocs, nodes.frees
    (2, 3, 1)
    """

    __slots__ = ("_fail_first", "_fail_last", "allocs", "frees", "live")

    def __init__(self) -> None:
        self.live = 0
        self.allocs = 0
        self.frees = 0
        self._fail_first = 0
        self._fail_last = 0

    def fail_after(self, n: int, times: int = 1) -> None:
        """Let the ``n``-th attempt from now on (1 = the next) and the ``times - 1`` after it fail; 0 disarms."""
        self._fail_first, self._fail_last = n, n + times - 1 if n else 0

    def alloc(self, n: int) -> None:
        """Take ``n`` nodes in as many attempts; see :class:`NodeAllocator`.  O(1)."""
        if not self._fail_last:
            granted = n
        else:
            granted = n if n < self._fail_first else max(0, self._fail_first - 1)
            tried = granted + (granted < n)
            self._fail_first = max(1, self._fail_first - tried)
            self._fail_last = max(0, self._fail_last - tried)
        self.allocs += granted
        self.live += granted
        if granted < n:
            self.free(granted, rcu=False)
            raise OutOfMemory(f"XArray node {granted + 1} of {n}: injected failure", held=granted)

    def retry(self) -> bool:
        """Another attempt at one node; see :class:`NodeAllocator`."""
        try:
            self.alloc(1)
        except OutOfMemory:
            return False
        return True

    def free(self, n: int, *, rcu: bool) -> None:
        """Give back ``n`` nodes; grace periods are over at once, as in the golden traces."""
        self.frees += n
        self.live -= n
