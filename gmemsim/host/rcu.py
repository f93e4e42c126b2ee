# SPDX-License-Identifier: GPL-2.0-or-later
"""Deferred frees: memory that goes back only after an RCU grace period.

Theory of operation
-------------------
A node freed by the kernel's XArray goes through ``call_rcu()``: it is out of the tree at once, but its memory
returns when every reader that might still see it has finished (DOMAIN.md section 2).  The model is a constant
*grace* between the two, so frees come due in the order they were made, and a plain queue is always sorted.

Merging a hugepage frees thousands of nodes at one instant.  They are one entry: frees of one owner that come
due at the same time are added up, so the queue's length is bounded by the number of distinct instants within
one grace period times the number of owners, not by the number of objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)


class Deferred(Generic[Owner]):
    """``objects`` of ``owner`` whose memory returns at the instant ``due`` (simulated ns)."""

    def __init__(self, due: int, owner: Owner, objects: int) -> None:
        self.due = due
        self.owner = owner
        self.objects = objects

    def __repr__(self) -> str:
        return f"{self.objects} of {self.owner} due at {self.due} ns"


class DeferredFrees(Generic[Owner]):
    """A first-in, first-out queue of :class:`Deferred` frees, sorted by due time.

    >>> queue = DeferredFrees[str]()
    >>> for due in (10, 10, 12):
    ...     queue.push(due, "vm0", 8)
    >>> [(free.due, free.objects) for free in queue.pop_due(11)], queue.next_due()
    ([(10, 16)], 12)
    """

    __slots__ = ("_latest", "_queue")

    def __init__(self) -> None:
        self._queue: deque[Deferred[Owner]] = deque()
        self._latest: dict[Owner, Deferred[Owner]] = {}  # each owner's last entry that is still queued

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Deferred[Owner]]:
        return iter(self._queue)

    def push(self, due: int, owner: Owner, objects: int) -> None:
        """Queue ``objects`` of ``owner`` for ``due``, never earlier than the last one pushed.  O(1)."""
        latest = self._latest.get(owner)
        if latest is not None and latest.due == due:
            latest.objects += objects
            return
        if self._queue and due < self._queue[-1].due:
            raise AssertionError(f"a deferred free due at {due} ns after one due at {self._queue[-1].due} ns")
        self._latest[owner] = entry = Deferred(due, owner, objects)
        self._queue.append(entry)

    def next_due(self) -> int | None:
        """When the oldest deferred free comes due, or ``None`` if there is none.  O(1)."""
        return self._queue[0].due if self._queue else None

    def pop_due(self, until: int) -> Iterator[Deferred[Owner]]:
        """Take out, oldest first, every free that is due at ``until`` or before."""
        while self._queue and self._queue[0].due <= until:
            entry = self._queue.popleft()
            if self._latest[entry.owner] is entry:
                del self._latest[entry.owner]
            yield entry

    def check(self) -> None:
        """Verify that the queue is sorted and that no entry is empty; ``AssertionError`` shows the queue."""
        entries = list(self._queue)
        dues = [entry.due for entry in entries]
        assert dues == sorted(dues), f"deferred frees out of order: {entries}"
        assert all(entry.objects > 0 for entry in entries), f"an empty deferred free: {entries}"
        assert self._latest.keys() == {entry.owner for entry in entries}, f"stale owners: {entries}"
