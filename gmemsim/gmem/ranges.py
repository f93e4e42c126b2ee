# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of pages as ranges: two small maps whose cost follows the number of ranges, never the number of pages.

:class:`RangeSet` keeps the pages where membership flips, in order.  Page *p* is a member exactly if an odd number of
flips lies at or below it, so equal neighbours are always one range and there is nothing to coalesce.
:class:`PinCounts` does the same for small numbers instead of yes and no.
All bounds are half-open: ``start <= page < end``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from sortedcontainers import SortedDict, SortedList


def gaps(ranges: Iterable[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """What ``ranges``, which lie in order within the bounds, leave out of them."""
    for low, high in ranges:
        if start < low:
            yield start, low
        start = high
    if start < end:
        yield start, end


class RangeSet:
    """A set of pages; ``len()`` is the number of ranges, O(log n) a lookup, n being that number."""

    __slots__ = ("_flips",)

    def __init__(self) -> None:
        self._flips: SortedList = SortedList()

    def __contains__(self, page: int) -> bool:
        return bool(self._flips.bisect_right(page) & 1)

    def __len__(self) -> int:
        return len(self._flips) // 2

    def flips_within(self, end: int) -> int:
        """How often membership changes between two neighbouring pages from page 0 to before ``end``."""
        flips = self._flips
        if not flips:
            return 0
        at_edges = int(flips[0] == 0) + int(flips[-1] == end)
        return len(flips) - at_edges

    def flips_to(self, page: int) -> int:
        """How often membership has changed from before page 0 up to ``page``: the number of the range it lies in."""
        position: int = self._flips.bisect_right(page)
        return position

    def covers(self, start: int, end: int) -> bool:
        """Whether every page is a member (of no pages, all are)."""
        if start >= end:
            return True
        flips = self._flips
        before = flips.bisect_right(start)
        return bool(before & 1) and flips.bisect_left(end) == before

    def disjoint(self, start: int, end: int) -> bool:
        """Whether no page is a member."""
        if start >= end:
            return True
        flips = self._flips
        before = flips.bisect_right(start)
        return not before & 1 and flips.bisect_left(end) == before

    def replace(self, start: int, end: int, *, member: bool) -> None:
        """Make every page a member, or none of them."""
        flips = self._flips
        if start >= end or not (flips or member):
            return
        first = flips.bisect_left(start)
        last = flips.bisect_right(end)
        edges = []
        if bool(first & 1) != member:
            edges.append(start)
        if bool(last & 1) != member:
            edges.append(end)
        if last > first:
            del flips[first:last]
        for edge in edges:
            flips.add(edge)

    def add(self, start: int, end: int) -> None:
        """Make every page a member."""
        self.replace(start, end, member=True)

    def remove(self, start: int, end: int) -> None:
        """Make no page a member."""
        self.replace(start, end, member=False)

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The member ranges within the bounds, cut to them, in order.  The set must not change meanwhile."""
        flips = self._flips
        if not flips:
            return
        position = flips.bisect_right(start)
        low = start
        if not position & 1:
            if position == len(flips):
                return
            low = flips[position]
            position += 1
        while low < end:
            high = flips[position]
            yield low, min(high, end)
            if position + 1 == len(flips):
                return
            low = flips[position + 1]
            position += 2

    def pages(self, start: int, end: int) -> int:
        """The number of member pages within the bounds."""
        if not self._flips:
            return 0
        return sum(high - low for low, high in self.ranges(start, end))

    def check(self) -> None:
        """``AssertionError`` unless the flips are distinct, ordered and even in number."""
        flips = list(self._flips)
        assert len(flips) % 2 == 0, f"odd number of flips: {flips}"
        assert all(a < b for a, b in pairwise(flips)), f"flips out of order: {flips}"


class PinCounts:
    """How many references a page has, as a step function of the page: O(log n) a lookup in n steps."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: SortedDict = SortedDict({0: 0})

    def __getitem__(self, page: int) -> int:
        count: int = self._steps.peekitem(self._steps.bisect_right(page) - 1)[1]
        return count

    def _cut(self, page: int) -> None:
        if page not in self._steps:
            self._steps[page] = self[page]

    def change(self, start: int, end: int, by: int) -> None:
        """Add ``by`` to the count of every page; ``ValueError``, with nothing changed, if one would fall below 0."""
        if by < 0 and (low := self.lowest(start, end)) < -by:
            raise ValueError(f"a page has {low} references, cannot drop {-by}")
        self._cut(start)
        self._cut(end)
        for page in list(self._steps.irange(start, end, inclusive=(True, False))):
            self._steps[page] += by
        for page in list(self._steps.irange(max(start, 1), end)):
            if self._steps[page] == self[page - 1]:
                del self._steps[page]

    def lowest(self, start: int, end: int) -> int:
        """The smallest count of any page within the bounds."""
        inside = self._steps.irange(start, end, inclusive=(False, False))
        lowest: int = min([self[start], *(self._steps[page] for page in inside)])
        return lowest

    def pinned(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Ranges of pages within the bounds with equal counts above 0: (start, end, count)."""
        edges = [start, *self._steps.irange(start, end, inclusive=(False, False)), end]
        for low, high in pairwise(edges):
            if self[low]:
                yield low, high, self[low]

    def first_pinned(self, start: int, end: int) -> int | None:
        """The first page within the bounds with a count above 0, or ``None``."""
        if len(self._steps) == 1:
            return None
        if self[start]:
            return start
        for page in self._steps.irange(start, end, inclusive=(False, False)):
            if self._steps[page]:
                found: int = page
                return found
        return None

    def check(self) -> None:
        """``AssertionError`` unless counts are not negative and neighbouring steps differ."""
        steps = list(self._steps.items())
        assert steps[0][0] == 0, f"pin counts do not start at page 0: {steps}"
        assert steps[-1][1] == 0, f"pin counts do not end with 0: {steps}"
        assert all(count >= 0 for _, count in steps), f"negative pin count: {steps}"
        assert all(a[1] != b[1] for a, b in pairwise(steps)), f"equal neighbours: {steps}"
