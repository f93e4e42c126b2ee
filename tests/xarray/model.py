# SPDX-License-Identifier: GPL-2.0-or-later
"""What an XArray means, without nodes: a dict of *runs* of slots, each of which holds one entry.

The model knows three facts about nodes, because the kernel's calls let them show: a run is made of slots of
``2**shift`` indices each, it does not cross a node, and an order is found by probing slots at powers of two.
"""

from __future__ import annotations

import attrs

from gmemsim.xarray.node import MARKS, ZERO, same_entry

Listing = list[tuple[int, int, object, tuple[bool, ...]]]
"""(first index, order, entry, marks) of every entry, in order."""


@attrs.define
class Run:
    """``slots`` slots of ``1 << shift`` indices each, from index ``base`` on, that hold ``entry``."""

    base: int
    shift: int
    slots: int
    entry: object
    marks: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        """The index after the last one."""
        return self.base + (self.slots << self.shift)


class Model:
    """The entries of an array by their first index."""

    def __init__(self, chunk_shift: int) -> None:
        self.chunk_shift = chunk_shift
        self.runs: dict[int, Run] = {}

    def covering(self, index: int) -> Run | None:
        """The run that covers ``index``."""
        return next((run for run in self.runs.values() if run.base <= index < run.end), None)

    def touching(self, first: int, last: int) -> list[Run]:
        """The runs that touch ``first`` to ``last``, in order."""
        found = [run for run in self.runs.values() if run.base <= last and first < run.end]
        return sorted(found, key=lambda run: run.base)

    def order(self, run: Run) -> int:
        """The order that ``xas_get_order`` finds: exact for runs of a power of two slots, a guess for others."""
        order = 0
        size = 1 << self.chunk_shift
        slot = run.base >> run.shift & size - 1
        while slot + (1 << order) < size:
            index = run.base + (1 << order << run.shift)
            other = self.covering(index)
            if other is None or other.shift != run.shift or other.base == index:
                break
            order += 1
        return order + run.shift

    def is_entry(self, run: Run, order: int) -> bool:
        """Whether ``run`` is what ``store_order`` of ``order`` makes; ``store_range`` makes others."""
        shift = order - order % self.chunk_shift
        return run.shift == shift and run.slots == 1 << order - shift and run.base % (1 << order) == 0

    def listing(self) -> Listing:
        """Everything there is to see."""
        return [
            (run.base, self.order(run), run.entry, tuple(mark in run.marks for mark in range(MARKS)))
            for run in sorted(self.runs.values(), key=lambda run: run.base)
        ]

    # -- reading ---------------------------------------------------------------------------------------------------

    def load(self, index: int) -> object:
        run = self.covering(index)
        return None if run is None or run.entry is ZERO else run.entry

    def get_order(self, index: int) -> int:
        run = self.covering(index)
        return 0 if run is None else self.order(run)

    def get_mark(self, index: int, mark: int) -> bool:
        run = self.covering(index)
        return run is not None and mark in run.marks

    def marked(self, mark: int) -> bool:
        return any(mark in run.marks for run in self.runs.values())

    def entries(self, first: int, last: int, mark: int | None = None) -> list[tuple[int, int, object]]:
        found = self.touching(first, last) if first <= last else []
        return [(run.base, self.order(run), run.entry) for run in found if mark is None or mark in run.marks]

    def find(self, index: int, last: int, mark: int | None) -> tuple[int, object] | None:
        """The first hit keeps the index asked for; a marked search moves back from a sibling slot first."""
        for run in self.touching(index, last) if index <= last else []:
            if run.entry is ZERO or (mark is not None and mark not in run.marks):
                continue
            return max(run.base, self._seen_from(run, index, mark)), run.entry
        return None

    def find_after(self, index: int, last: int, mark: int | None) -> tuple[int, object] | None:
        """Skips the entry that it starts in, unless a marked search has moved back to its first index."""
        for run in self.touching(index + 1, last) if index + 1 <= last else []:
            seen = max(run.base, self._seen_from(run, index + 1, mark))
            if run.entry is ZERO or (mark is not None and mark not in run.marks) or seen > run.base:
                continue
            return seen, run.entry
        return None

    @staticmethod
    def _seen_from(run: Run, index: int, mark: int | None) -> int:
        """The index at which a search that starts at ``index`` sees ``run``."""
        in_sibling = index >= run.base + (1 << run.shift)
        return run.base if mark is not None and in_sibling else index

    # -- changing --------------------------------------------------------------------------------------------------

    def put(self, index: int, shift: int, slots: int, entry: object) -> int:
        """Store into ``slots`` slots from the one of ``index`` on; returns how many slots the kernel believes done.

        A larger entry is replaced whole.  An entry of the same level takes the store at its own first slot, and what
        the store covers only in part it takes over whole.
        """
        cover = self.covering(index)
        start = index
        if cover is not None and cover.shift > shift:
            start, shift, end, slots = cover.base, cover.shift, cover.end, 1
        else:
            if cover is not None and cover.shift == shift:
                start = cover.base
            end = start + (slots << shift)
            end = max([end, *(run.end for run in self.touching(start, end - 1) if run.shift == shift)])
        replaced = self.touching(start, end - 1)
        marks = frozenset[int]().union(*(run.marks for run in replaced))
        for run in replaced:
            del self.runs[run.base]
        if entry is not None:
            self.runs[start] = Run(start, shift, end - start >> shift, entry, marks)
        return slots

    def store(self, index: int, entry: object) -> object:
        old = self.load(index)
        run = self.covering(index)
        if run is None:
            self.put(index, 0, 1, entry)
        elif entry is None:
            del self.runs[run.base]
        elif not same_entry(run.entry, entry):
            run.entry = entry
        return old

    def store_order(self, index: int, order: int, entry: object) -> None:
        shift = order - order % self.chunk_shift
        self.put(index >> order << order, shift, 1 << order - shift, entry)

    def store_range(self, first: int, last: int, entry: object) -> None:
        while first <= last:
            shift, slots = self._largest(first, last)
            first += self.put(first, shift, slots, entry) << shift

    def _largest(self, first: int, last: int) -> tuple[int, int]:
        """Level and slots of the largest run that starts at ``first``, ends by ``last`` and fits one node."""
        shift = 0
        size = 1 << self.chunk_shift
        while first % (size << shift) == 0 and first + (size << shift) - 1 <= last:
            shift += self.chunk_shift
        slot = first >> shift & size - 1
        return shift, min(last - first + 1 >> shift, size - slot)

    def split(self, index: int, new_order: int, entry: object) -> None:
        """Split the entry that covers ``index``; all parts get its marks."""
        run = self.covering(index)
        assert run is not None
        del self.runs[run.base]
        shift = new_order - new_order % self.chunk_shift
        for base in range(run.base, run.end, 1 << new_order):
            self.runs[base] = Run(base, shift, 1 << new_order - shift, entry, run.marks)

    def set_mark(self, index: int, mark: int, marked: bool) -> None:
        run = self.covering(index)
        if run is not None:
            run.marks = run.marks | {mark} if marked else run.marks - {mark}
