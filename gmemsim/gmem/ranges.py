# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of pages as ranges: two small maps whose cost follows the number of ranges, never the number of pages.

:class:`RangeSet` keeps the pages where membership flips, in order.  Page *p* is a member exactly if an odd number of
flips lies at or below it, so equal neighbours are always one range and there is nothing to coalesce.
:class:`PinCounts` does the same for small numbers instead of yes and no.
All bounds are half-open: ``start <= page < end``.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from sortedcontainers import SortedDict

NO_PAGE: Final = sys.maxsize
"""Above the index of every page."""


def gaps(ranges: Iterable[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """What ``ranges``, which lie in order between ``start`` and ``end``, leave out of these bounds."""
    for low, high in ranges:
        if start < low:
            yield start, low
        start = high
    if start < end:
        yield start, end


class RangeSet:
    """A set of pages; ``len()`` is the number of ranges, O(log n) a lookup, n being that number.

    The flips are kept in blocks: plain lists, in order, each with an even number of flips.  So whether a page is a
    member is seen in one block, by the parity of its flips up to that page, and no flip needs to know its number.
    ``block_flips`` (default: 1024) is about the most that a block has; tests make it small.
    """

    __slots__ = ("_block_flips", "_blocks", "_lasts", "flips")

    def __init__(self, block_flips: int = 1024) -> None:
        self._block_flips = block_flips
        self._blocks: list[list[int]] = []
        self._lasts: list[int] = []  # the last flip of every block
        self.flips = 0
        """How often membership changes; 0 exactly if the set is empty."""

    def __contains__(self, page: int) -> bool:
        at = bisect_right(self._lasts, page)
        return at < len(self._lasts) and bisect_right(self._blocks[at], page) & 1 == 1

    def __len__(self) -> int:
        return self.flips // 2

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Every member range, in order: (start, end).  The set must not change meanwhile."""
        for block in self._blocks:
            yield from zip(block[::2], block[1::2], strict=True)

    def flips_within(self, end: int) -> int:
        """How often membership changes between two neighbouring pages from page 0 to before ``end``."""
        if not self.flips:
            return 0
        return self.flips - (self._blocks[0][0] == 0) - (self._lasts[-1] == end)

    def flips_to(self, page: int) -> int:
        """How often membership has changed from before page 0 up to ``page``.  O(number of blocks)."""
        at = bisect_right(self._lasts, page)
        flips = sum([len(block) for block in self._blocks[:at]])
        return flips if at >= len(self._blocks) else flips + bisect_right(self._blocks[at], page)

    def covers(self, start: int, end: int) -> bool:
        """Whether every page from ``start`` to ``end`` is a member (of no pages, all are)."""
        if start >= end:
            return True
        at = bisect_right(self._lasts, start)
        if at >= len(self._lasts):
            return False
        block = self._blocks[at]
        position = bisect_right(block, start)
        return position & 1 == 1 and block[position] >= end

    def disjoint(self, start: int, end: int) -> bool:
        """Whether no page from ``start`` to ``end`` is a member."""
        if start >= end:
            return True
        at = bisect_right(self._lasts, start)
        if at >= len(self._lasts):
            return True
        block = self._blocks[at]
        position = bisect_right(block, start)
        return position & 1 == 0 and block[position] >= end

    def around(self, start: int, end: int) -> tuple[int, int]:
        """The widest (low, high) around ``start`` to ``end`` in which no page is a member, these left aside.

        ``low`` is 0 and ``high`` is :data:`NO_PAGE` where no member is in the way.
        """
        blocks, lasts = self._blocks, self._lasts
        at = bisect_left(lasts, start)
        position = bisect_left(blocks[at], start) if at < len(blocks) else 0
        if position & 1:
            low = start
        elif position:
            low = blocks[at][position - 1]
        else:
            low = lasts[at - 1] if at else 0
        at = bisect_right(lasts, end, at)
        if at >= len(blocks):
            return low, NO_PAGE
        position = bisect_right(blocks[at], end)
        return low, end if position & 1 else blocks[at][position]

    def replace(self, start: int, end: int, *, member: bool) -> None:
        """Make every page from ``start`` to ``end`` a member, or (not ``member``) none of them.

        O(log n), and moves what comes after it in one block.
        """
        if start >= end or not (self.flips or member):
            return
        blocks = self._blocks
        at = bisect_left(self._lasts, start)
        if at >= len(blocks) or (at + 1 < len(blocks) and blocks[at + 1][0] <= end):
            at = self._block_for(at, start, end)
        block = blocks[at]
        first = bisect_left(block, start)
        last = bisect_right(block, end, first)
        edges = []
        if first & 1 != member:
            edges.append(start)
        if last & 1 != member:
            edges.append(end)
        block[first:last] = edges
        self.flips += len(edges) - last + first
        if not block:
            del self._blocks[at], self._lasts[at]
            return
        self._lasts[at] = block[-1]
        if len(block) > self._block_flips:
            half = len(block) // 4 * 2
            self._blocks[at : at + 1] = [block[:half], block[half:]]
            self._lasts.insert(at, block[half - 1])

    def _block_for(self, at: int, start: int, end: int) -> int:
        """Which block has every flip from ``start``, for which number ``at`` is, to ``end``.

        Makes one of those that share them.
        """
        blocks, lasts = self._blocks, self._lasts
        if at >= len(blocks):
            if at:
                return at - 1
            blocks.append([])
            lasts.append(start)
        after = at + 1
        while after < len(blocks) and blocks[after][0] <= end:
            after += 1
        if after > at + 1:
            blocks[at:after] = [[flip for block in blocks[at:after] for flip in block]]
            del lasts[at : after - 1]
        return at

    def add(self, start: int, end: int) -> None:
        """Make every page from ``start`` to ``end`` a member."""
        self.replace(start, end, member=True)

    def remove(self, start: int, end: int) -> None:
        """Make no page from ``start`` to ``end`` a member."""
        self.replace(start, end, member=False)

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The member ranges from ``start`` to ``end``, cut to these bounds, in order.  The set must not change
        meanwhile.
        """
        at = bisect_right(self._lasts, start)
        if start >= end or at >= len(self._lasts):
            return
        position = bisect_right(self._blocks[at], start) & ~1
        while at < len(self._blocks):
            block = self._blocks[at]
            for flip in range(position, len(block), 2):
                if block[flip] >= end:
                    return
                yield max(block[flip], start), min(block[flip + 1], end)
            at += 1
            position = 0

    def pages(self, start: int, end: int) -> int:
        """The number of member pages from ``start`` to ``end``.  O(ranges within them)."""
        if not self.flips:
            return 0
        return sum([high - low for low, high in self.ranges(start, end)])

    def total(self) -> int:
        """The number of member pages.  O(ranges)."""
        return sum([high - low for low, high in self])

    def check(self) -> None:
        """``AssertionError`` unless the flips are distinct, ordered and even in number, in every block."""
        flips = [flip for block in self._blocks for flip in block]
        assert all(block and len(block) % 2 == 0 for block in self._blocks), f"odd number of flips: {self._blocks}"
        assert all(a < b for a, b in pairwise(flips)), f"flips out of order: {flips}"
        assert self._lasts == [block[-1] for block in self._blocks], f"last flips {self._lasts} of {self._blocks}"
        assert self.flips == len(flips), f"{self.flips} flips counted, there are {flips}"


class PinCounts:
    """How many references a page has, as a step function of the page: O(log n) a lookup in n steps."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: SortedDict = SortedDict({0: 0})

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Every range of pages with equal counts above 0, in order: (start, end, count)."""
        for (start, count), (end, _) in pairwise(self._steps.items()):
            if count:
                yield start, end, count

    def __getitem__(self, page: int) -> int:
        count: int = self._steps.peekitem(self._steps.bisect_right(page) - 1)[1]
        return count

    def _cut(self, page: int) -> None:
        if page not in self._steps:
            self._steps[page] = self[page]

    def change(self, start: int, end: int, by: int) -> None:
        """Add ``by`` to the count of every page from ``start`` to ``end``.

        ``ValueError``, with nothing changed, if one would fall below 0.
        """
        if by < 0 and (low := self.lowest(start, end)) < -by:
            raise ValueError(f"a page has {low} references, cannot drop {-by}")
        self._cut(start)
        self._cut(end)
        for page in list(self._steps.irange(start, end, inclusive=(True, False))):
            self._steps[page] += by
        for page in list(self._steps.irange(max(start, 1), end)):
            if self._steps[page] == self[page - 1]:
                del self._steps[page]

    def assign(self, start: int, end: int, count: int) -> None:
        """Let every page from ``start`` to ``end`` have ``count``.  O(steps within)."""
        self._cut(start)
        self._cut(end)
        for page in list(self._steps.irange(start, end, inclusive=(False, False))):
            del self._steps[page]
        self._steps[start] = count
        for page in (end, start):
            if page and self._steps[page] == self[page - 1]:
                del self._steps[page]

    def highest(self, start: int, end: int) -> int:
        """The largest count of any page from ``start`` to ``end``."""
        inside = self._steps.irange(start, end, inclusive=(False, False))
        highest: int = max([self[start], *(self._steps[page] for page in inside)])
        return highest

    def lowest(self, start: int, end: int) -> int:
        """The smallest count of any page from ``start`` to ``end``."""
        inside = self._steps.irange(start, end, inclusive=(False, False))
        lowest: int = min([self[start], *(self._steps[page] for page in inside)])
        return lowest

    def pinned(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Ranges of pages from ``start`` to ``end`` with equal counts above 0: (start, end, count)."""
        edges = [start, *self._steps.irange(start, end, inclusive=(False, False)), end]
        for low, high in pairwise(edges):
            if self[low]:
                yield low, high, self[low]

    def first_pinned(self, start: int, end: int) -> int | None:
        """The first page from ``start`` to ``end`` with a count above 0, or ``None``."""
        if len(self._steps) == 1:
            return None
        if self[start]:
            return start
        # Neighbouring steps differ, so the one after a page without references has some.
        found: int | None = next(self._steps.irange(start, end, inclusive=(False, False)), None)
        return found

    def check(self) -> None:
        """``AssertionError`` unless counts are not negative and neighbouring steps differ."""
        steps = list(self._steps.items())
        assert steps[0][0] == 0, f"pin counts do not start at page 0: {steps}"
        assert steps[-1][1] == 0, f"pin counts do not end with 0: {steps}"
        assert all(count >= 0 for _, count in steps), f"negative pin count: {steps}"
        assert all(a[1] != b[1] for a, b in pairwise(steps)), f"equal neighbours: {steps}"
