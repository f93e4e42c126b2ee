# SPDX-License-Identifier: GPL-2.0-or-later
"""A position in an array: the kernel's ``xa_state`` for walking, finding and storing while the array changes.

A Cursor keeps an index and no pointers into the tree, so nothing that happens to the array can make it stale; what
the kernel needs ``xas_pause`` and ``xas_reset`` for is only a matter of where the next search starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from gmemsim.xarray import find
from gmemsim.xarray.array import XArray
from gmemsim.xarray.node import INDEX_MAX


class Cursor:
    """Walks over the entries of ``array`` from ``index`` on (default: 0).

    ``index`` is where the cursor stands, ``order`` and ``entry`` describe the entry found or loaded there last.
    """

    __slots__ = ("_done", "_end", "_fresh", "entry", "index", "order", "tree")

    def __init__(self, array: XArray, index: int = 0) -> None:
        self.tree = array.tree
        self.set(index)

    def set(self, index: int) -> None:
        """Go to ``index`` without looking at it (``xas_set``)."""
        self.index = index
        self.order = 0
        self.entry: object = None
        self._end = index + 1
        self._fresh = True
        self._done = False

    def load(self) -> object:
        """The entry at the index, zero entries included; ``None`` if there is none (``xas_load``)."""
        self.order, self.entry, self._end = 0, None, self.index + 1
        search = find.PresentWalk(self.tree, self.index, self.index)
        if search.advance():
            self.order, self.entry, self._end = search.order, search.entry, search.end
        self._fresh = False
        return self.entry

    def next(self) -> object:
        """Move on by one index (from the last to 0) and load; a fresh cursor loads where it stands (``xas_next``)."""
        if not self._fresh:
            self.index = self.index + 1 & INDEX_MAX
        return self.load()

    def prev(self) -> object:
        """Move back by one index (from 0 to the last) and load; a fresh cursor loads where it stands (``xas_prev``)."""
        if not self._fresh:
            self.index = self.index - 1 & INDEX_MAX
        return self.load()

    def find(self, last: int = INDEX_MAX, mark: int | None = None) -> object:
        """Go to the next entry not after ``last`` (default: no end) and return it, or ``None`` (``xas_find``).

        Only entries that have ``mark`` (default: all) count.  A fresh cursor considers the index where it stands, any
        other one starts behind its present entry.
        """
        if not self._fresh:
            self.pause()
        if self._done or self.index > last:
            self.entry = None
            return None
        walk = find.walk(self.tree, self.index, last, mark)
        self._fresh = False
        if not walk.advance():
            self._done = True
            self.entry = None
            return None
        self.index, self.order, self.entry, self._end = walk.index, walk.order, walk.entry, walk.end
        return self.entry

    def pause(self) -> None:
        """Stand behind the present entry: whatever happens to it now, the walk goes on after it (``xas_pause``)."""
        if self._fresh or self._done:
            return
        self._done = self._end > INDEX_MAX
        self.index = min(self._end, INDEX_MAX)
        self._fresh = True

    def entries(self, last: int = INDEX_MAX, mark: int | None = None) -> Iterator[tuple[int, int, object]]:
        """(index, order, entry) of each entry up to ``last`` (default: all); only those with ``mark`` (default: all).

        The array may change between steps (``xas_for_each``).
        """
        while (entry := self.find(last, mark)) is not None:
            yield self.index, self.order, entry

    def store(self, entry: object) -> object:
        """Store ``entry`` over the entry the cursor stands on, keeping its order (``xas_store``); returns the old one.

        ``None`` removes it.  Raises ``OutOfMemory`` where a node is needed that cannot be had.
        """
        return self.tree.store_at(self.index, 0, 0, entry)[0]
