# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tree gets its nodes: a protocol, and an allocator that counts and can be told to fail.

The kernel tries twice for a node that ``xas_store`` needs: once without sleeping, under the lock, and if that fails
once more outside it (``xas_nomem``), after which the operation starts again.  Nodes for a split are taken beforehand,
one attempt each: a :class:`Prealloc`.  :class:`CountingAllocator` fails by the number of the attempt, as the golden
traces do.

What may live here: allocators that know nothing of trees.  The host's ledger has its own (:mod:`gmemsim.host.ledger`);
a change of the protocol changes both.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, final

from gmemsim.errors import Invalid, OutOfMemory


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
        """Let the ``n``-th attempt from now on (1 = the next) fail; ``n`` = 0 disarms.

        ``times`` attempts in a row fail, that one included (default: 1).  An attempt is one node.
        """
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
        """Give back ``n`` nodes; with or without ``rcu`` they are free at once, as in the golden traces."""
        self.frees += n
        self.live -= n


@final
class Prealloc:
    """Nodes taken beforehand, for a split or a store.

    ``nodes`` are taken from ``allocator`` at once; ``OutOfMemory`` (ENOMEM) if it has fewer, and none is held then.  A
    context manager: nodes not used on exit go back to the allocator at once.

    ``taken`` nodes were had, ``used`` of them are in the tree now, ``available`` are left.
    """

    __slots__ = ("_allocator", "available", "taken", "used")

    def __init__(self, allocator: NodeAllocator, nodes: int) -> None:
        allocator.alloc(nodes)
        self._allocator = allocator
        self.taken = nodes
        self.available = nodes
        self.used = 0

    def use(self, nodes: int) -> None:
        """Hand out ``nodes`` of those taken; ``Invalid`` if there are fewer."""
        if nodes > self.available:
            raise Invalid(f"{nodes} nodes are needed, {self.available} are preallocated")
        self.available -= nodes
        self.used += nodes

    def close(self) -> int:
        """Give back what was not used (``xas_destroy``) and return how many nodes that were."""
        unused, self.available = self.available, 0
        if unused:
            self._allocator.free(unused, rcu=False)
        return unused

    def __enter__(self) -> Prealloc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
