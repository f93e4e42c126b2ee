# SPDX-License-Identifier: GPL-2.0-or-later
"""One hugepage of a guest_memfd, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gmemsim.gmem.ranges import PinCounts
from gmemsim.xarray.node import INDEX_BITS

WHOLE: Final = tuple([{order: 1} for order in range(INDEX_BITS)])
"""The folios of a hugepage that is whole, by its order; all of them share it."""


class Hugepage:
    """``2**order`` pages (``order`` of the hugepage) from index ``first`` on, taken from the pool as number
    ``pool_index``.

    The filemap stores this object at every index, whatever the folios' order: as ``xas_split`` keeps the same entry in
    every slot, a folio is (hugepage, index, order found).  ``restored`` (default: 0) is the number of vmemmap pages
    that are present beyond what HVO keeps; not 0 for a whole hugepage that could not be optimised again.
    """

    __slots__ = (
        "_private",
        "_splits",
        "_touches",
        "first",
        "folios",
        "left_split",
        "lost",
        "optimise_failed",
        "order",
        "pool_index",
        "restored",
    )

    def __init__(self, first: int, order: int, pool_index: int, restored: int = 0) -> None:
        self.first = first
        self.order = order
        self.pool_index = pool_index
        self.restored = restored
        self.folios = WHOLE[order]
        """How many folios of each order it is split into; replaced, never changed."""
        self.optimise_failed = restored > 0
        """Whether there may be more vmemmap than the folios need, because it could not be optimised."""
        self.left_split = False
        """Whether a split that failed has left pieces that the attributes do not ask for."""
        self.lost = False
        """Whether a split of generation A that failed could not put it back into the filemap."""
        self._splits: dict[int, PinCounts] | None = None
        self._private: PinCounts | None = None
        self._touches: PinCounts | None = None

    def folios_after(self, changes: Iterable[tuple[int, int]]) -> dict[int, int]:
        """What the folios (order → number) will be after ``changes``: (order, how many more).  Changes nothing."""
        folios = self.folios.copy()
        for order, more in changes:
            number = folios.get(order, 0) + more
            if number:
                folios[order] = number
            else:
                del folios[order]
        return folios

    def count_split(self, order: int, start: int, end: int) -> None:
        """The folios of ``order`` from ``start`` to ``end`` have been split.  O(log of what has been counted)."""
        if self._splits is None:
            self._splits = {}
        counts = self._splits.get(order)
        if counts is None:
            counts = self._splits[order] = PinCounts()
        counts.change(start, end, 1)

    def times_split(self, order: int, index: int) -> int:
        """How often the folio of ``order`` at ``index`` has been split, as far as that was counted."""
        counts = None if self._splits is None else self._splits.get(order)
        return 0 if counts is None else counts[index]

    def note_private(self, start: int, end: int, now: int) -> None:
        """The pages from ``start`` to ``end`` are private since ``now`` (ns), for policies that ask how long."""
        if self._private is None:
            self._private = PinCounts()
        self._private.assign(start, end, now)

    def private_since(self, start: int, end: int) -> int:
        """When the last page from ``start`` to ``end`` became private, in ns; 0 if none was noted."""
        return 0 if self._private is None else self._private.highest(start, end)

    def count_touch(self, start: int, end: int) -> int:
        """The host has touched the folio from ``start`` to ``end``: how often now, since it was last split."""
        if self._touches is None:
            self._touches = PinCounts()
        self._touches.change(start, end, 1)
        return self._touches[start]

    def forget_touches(self, start: int, end: int) -> None:
        """The folio from ``start`` to ``end`` is split: what becomes of it later has not been touched."""
        if self._touches is not None:
            self._touches.assign(start, end, 0)

    def __repr__(self) -> str:
        return f"hugepage@{self.first}"

    @property
    def end(self) -> int:
        """The index after the last page."""
        return self.first + (1 << self.order)

    @property
    def whole(self) -> bool:
        """Whether this is one folio."""
        return self.order in self.folios
