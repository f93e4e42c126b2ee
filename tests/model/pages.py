# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest_memfd as arrays with one element a page, written from docs/DOMAIN.md and sharing no code with gmemsim.

Theory of operation
-------------------
The model is told of every call and of its errno, and predicts what the file looks like then: which pages are private,
the order of the folio that each page lies in, and how many XArray nodes such folios need.  It says where it differs.

It does not know how much memory a host has.  So it cannot say that a call must succeed; it says what a call that did
succeed has done, and that pinned pages refuse a conversion to private with EAGAIN, at the place where they are.

A call that failed for want of memory, or met a memory error, leaves what the ordering says, which is more than one
state.  Then the model checks what is certain (pages outside the range are as they were) and *adopts* the rest: it looks
at the file and goes on from there.  What a kernel without memory leaves of folios may stay so, so from then on folios
of this file are only checked to cover the file without gaps.

What may live here: numpy and arithmetic.  No import of gmemsim; ``watch`` translates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL_BITS = 6
"""Index bits that a node of the XArray resolves: XA_CHUNK_SHIFT (DOMAIN.md section 2)."""

ABSENT = -1
"""The order of a page without memory."""


class Mismatch(AssertionError):
    """The file is not as the model says."""


@dataclass(frozen=True)
class Rules:
    """What the model knows of a policy: ``rungs`` are the orders that a hugepage passes through, down to 0.

    ``at_conversion``: how many of the steps between them a conversion takes; a host fault takes the others.
    ``early``: blocks are merged as soon as they are all private, with ``limit`` only until they have been split
    so often after the first split.  ``stops_between_hugepages``: a failed call leaves earlier hugepages converted.
    ``all_or_nothing``: a failed call leaves everything as it was.  ``partial_holes``: holes need not be aligned.
    """

    rungs: tuple[int, ...]
    at_conversion: int
    early: bool
    limit: int | None
    stops_between_hugepages: bool
    all_or_nothing: bool
    partial_holes: bool


@dataclass(frozen=True)
class Call:
    """A call: its ``kind`` as scenarios name it, pages from ``start`` to before ``end``, and what it ended with.

    ``stop`` is the page of the error's offset; ``shared`` the direction of a conversion; ``host``: who touched it.
    """

    kind: str
    start: int
    end: int
    errno: str | None = None
    stop: int | None = None
    shared: bool = False
    host: bool = False


@dataclass(frozen=True)
class Seen:
    """The file as it is: private by page, order by page (:data:`ABSENT`: no memory), nodes of its XArray."""

    private: NDArray[np.bool_]
    order: NDArray[np.int8]
    nodes: int


@dataclass
class Pages:
    """The model of one file of ``pages`` pages."""

    pages: int
    rules: Rules
    shared_at_first: bool = False
    private: NDArray[np.bool_] = field(init=False)
    order: NDArray[np.int8] = field(init=False)
    pins: NDArray[np.int32] = field(init=False)
    splits: list[NDArray[np.int32]] = field(init=False)
    closed: bool = False
    sure: bool = True
    """Whether folios are predicted, not only looked at."""

    def __post_init__(self) -> None:
        self.private = np.full(self.pages, not self.shared_at_first)
        self.order = np.full(self.pages, ABSENT, np.int8)
        self.pins = np.zeros(self.pages, np.int32)
        self.splits = [np.zeros(self.pages >> order, np.int32) for order in self.rules.rungs]

    @property
    def top(self) -> int:
        """The order of a hugepage."""
        return self.rules.rungs[0]

    # -- a call ----------------------------------------------------------------------------------------------------

    def after(self, call: Call, seen: Seen | None) -> bool:
        """Compare with what is ``seen`` after ``call``; whether all of it had been predicted.

        :class:`Mismatch` says what differs.  ``seen`` is ``None`` when the file is closed.
        """
        before = self.private.copy(), self.order.copy()
        known = self._apply(call)
        if seen is None:
            if not self.closed:
                raise Mismatch("the file is closed, and nobody closed it")
            return True
        if self.closed:
            raise Mismatch("the file was closed and is open")
        if not known:
            self._adopt(call, seen, *before)
            return False
        self._same("private pages", self.private, seen.private)
        if self.sure:
            self._same("orders of folios", self.order, seen.order)
            self._check_nodes(seen)
        else:
            self.order = seen.order
        check_cover(seen.order)
        return self.sure

    def _apply(self, call: Call) -> bool:
        """Change the arrays as ``call`` says; whether they are what must be seen."""
        if call.errno in ("EINVAL", "ENOTTY", "EBADF", "EFAULT"):
            return True  # refused before anything was done
        if call.kind == "close":
            self.closed = True
            return True
        if call.kind == "unpin":
            np.maximum(self.pins[call.start : call.end] - 1, 0, out=self.pins[call.start : call.end])
            return True
        if call.kind in ("wait", "inject", "poison"):
            return True
        if call.errno == "EAGAIN":
            return self._refused_by_pins(call)
        if call.errno is not None:
            return False
        return bool(getattr(self, f"_{call.kind}")(call))

    def _adopt(self, call: Call, seen: Seen, private: NDArray[np.bool_], order: NDArray[np.int8]) -> None:
        """Check what is certain of a call that failed, and take the rest as it is."""
        outside = np.ones(self.pages, bool)
        outside[call.start : call.end] = False
        changes = call.kind == "convert"
        if changes and self.rules.all_or_nothing:
            outside[:] = True
        self._same("private pages that the call leaves", private[outside], seen.private[outside])
        if not changes:
            self._same("private pages", private, seen.private)
        outside[self._floor(call.start) : self._ceil(call.end)] = changes and self.rules.all_or_nothing
        if self.sure:
            self._same("orders of folios that the call leaves", order[outside], seen.order[outside])
        if changes and self.rules.stops_between_hugepages and call.stop is not None:
            done = seen.private[call.start : max(call.start, self._floor(call.stop))]
            if (done == call.shared).any():
                raise Mismatch(f"{call.kind}: a hugepage before page {call.stop} was not converted")
        check_cover(seen.order)
        self.private, self.order = seen.private, seen.order
        self.sure = False

    # -- conversions -----------------------------------------------------------------------------------------------

    def _convert(self, call: Call) -> bool:
        if not call.shared and self.pins[call.start : call.end].any():
            raise Mismatch(f"pinned pages in {call.start} to {call.end} became private")
        self._set(call.start, call.end, call.shared)
        return True

    def _set(self, start: int, end: int, shared: bool) -> None:
        if (self.private[start:end] == (not shared)).all():
            return
        self.private[start:end] = not shared
        if shared:
            self._split(self._wanted(start, end), self.rules.at_conversion)
        elif self.rules.early:
            self._merge(start, end)

    def _refused_by_pins(self, call: Call) -> bool:
        """EAGAIN: some page is pinned, and the first of them is where the call stopped."""
        pinned = np.flatnonzero(self.pins[call.start : call.end]) + call.start
        if call.kind == "punch_hole":
            pinned = np.flatnonzero(self.pins[self._floor(call.start) : self._ceil(call.end)])
            if not len(pinned):
                raise Mismatch("EAGAIN, and no page of the hole is pinned")
            return True
        if call.kind != "convert" or call.shared or not len(pinned):
            raise Mismatch(f"{call.kind}: EAGAIN, and no page of {call.start} to {call.end} is pinned")
        first = int(pinned[0])
        size = 1 << max(0, int(self.order[first]))
        place = max(call.start, first // size * size)
        if self.sure and call.stop != place:
            raise Mismatch(f"EAGAIN at page {call.stop}, but the first that is pinned is in the folio at {place}")
        if self.rules.stops_between_hugepages:
            self._set(call.start, max(call.start, self._floor(first)), False)
        return True

    def _wanted(self, start: int, end: int) -> NDArray[np.bool_]:
        """Pages from ``start`` to ``end``, as a mask of the file."""
        mask = np.zeros(self.pages, bool)
        mask[start:end] = True
        return mask

    def _split(self, wanted: NDArray[np.bool_], steps: int) -> None:
        """Let blocks with ``wanted`` pages pass through the first ``steps`` steps of the rungs."""
        for level in range(steps):
            size = 1 << self.rules.rungs[level]
            blocks = self.order.reshape(-1, size)
            split = wanted.reshape(-1, size).any(1) & (blocks[:, 0] == self.rules.rungs[level])
            blocks[split] = self.rules.rungs[level + 1]
            self.splits[level] += split

    def _merge(self, start: int, end: int) -> None:
        """Merge blocks that ``start`` to ``end`` touches, level by level, where all pages are private."""
        touched = self._wanted(start, end)
        for level in range(len(self.rules.rungs) - 2, -1, -1):
            size = 1 << self.rules.rungs[level]
            blocks = self.order.reshape(-1, size)
            whole = (blocks == self.rules.rungs[level + 1]).all(1) & self.private.reshape(-1, size).all(1)
            whole &= touched.reshape(-1, size).any(1)
            if self.rules.limit is not None:
                whole &= self.splits[level] <= self.rules.limit
            blocks[whole] = self.rules.rungs[level]

    # -- memory in and out -----------------------------------------------------------------------------------------

    def _allocate(self, call: Call) -> bool:
        self._populate(call.start, call.end)
        return True

    def _populate(self, start: int, end: int) -> None:
        """Give memory to every hugepage that the range touches; shared pages in it split it at once."""
        low, high = self._floor(start), self._ceil(end)
        fresh = np.zeros(self.pages, bool)
        fresh[low:high] = self.order[low:high] == ABSENT
        self.order[fresh] = self.top
        self._split(fresh & ~self.private, self.rules.at_conversion)

    def _fault(self, call: Call) -> bool:
        if call.host and self.private[call.start : call.end].any():
            raise Mismatch(f"the host touched private pages in {call.start} to {call.end}")
        self._populate(call.start, call.end)
        if call.host:
            self._split(self._wanted(call.start, call.end), len(self.rules.rungs) - 1)
        return True

    def _pin(self, call: Call) -> bool:
        self._fault(Call("fault", call.start, call.end, host=True))
        self.pins[call.start : call.end] += 1
        return True

    def _punch_hole(self, call: Call) -> bool:
        low, high = self._ceil(call.start), self._floor(call.end)
        if not self.rules.partial_holes and (low, high) != (call.start, call.end):
            raise Mismatch(f"a hole of pages {call.start} to {call.end} is not aligned to hugepages")
        if low >= high:
            return True
        if self.top and self.pins[low:high].any():
            raise Mismatch(f"pinned pages in {low} to {high} were given back")
        self.pins[low:high] = 0  # of base pages: who had pinned them keeps them, and the file does not
        self.order[low:high] = ABSENT
        for level, order in enumerate(self.rules.rungs):
            self.splits[level][low >> order : high >> order] = 0
        return True

    def _floor(self, page: int) -> int:
        return page >> self.top << self.top

    def _ceil(self, page: int) -> int:
        return self._floor(page + (1 << self.top) - 1)

    # -- comparing -------------------------------------------------------------------------------------------------

    def _same(self, what: str, mine: NDArray[Any], found: NDArray[Any]) -> None:
        wrong = np.flatnonzero(mine != found)
        if len(wrong):
            at = int(wrong[0])
            raise Mismatch(f"{what}: {len(wrong)} differ, the first at {at}: {found[at]}, the model says {mine[at]}")

    def _check_nodes(self, seen: Seen) -> None:
        least = nodes_of(seen.order)
        if seen.nodes not in (least, least + taller(seen.order)):
            raise Mismatch(f"{seen.nodes} nodes, and these folios need {least}")


def check_cover(order: NDArray[np.int8]) -> None:
    """:class:`Mismatch` unless every folio is whole: aligned, and all of its pages say the same order."""
    for found in map(int, np.unique(order)):
        if found <= 0:
            continue
        if len(order) % (1 << found):
            raise Mismatch(f"a folio of order {found} in a file of {len(order)} pages")
        blocks = order.reshape(-1, 1 << found) == found
        if (blocks.any(1) != blocks.all(1)).any():
            raise Mismatch(f"a folio of order {found} is not whole")


def nodes_of(order: NDArray[np.int8]) -> int:
    """Nodes of the lowest XArray that has these folios (DOMAIN.md section 2).

    An entry of order k lies in a node of shift 6·⌊k/6⌋.  So a node of shift s is there for each aligned block of
    2^(s + 6) pages with a folio of an order below s + 6, up to a root that has them all.
    """
    present = np.flatnonzero(order != ABSENT)
    if not len(present):
        return 0
    last, highest, nodes, shift = int(present[-1]), int(order.max()), 0, 0
    if last == 0 and highest == 0:
        return 0  # a lone entry at index 0 needs no node
    smallest = np.where(order == ABSENT, np.int8(127), order)
    while True:
        size = 1 << shift + LEVEL_BITS
        padded = np.concatenate([smallest, np.full(-len(smallest) % size, 127, np.int8)])
        nodes += int((padded.reshape(-1, size).min(1) < shift + LEVEL_BITS).sum())
        if last < size and highest < shift + LEVEL_BITS:
            return nodes
        shift += LEVEL_BITS


def taller(order: NDArray[np.int8]) -> int:
    """1 if the root may be a level higher than these folios need: an entry that was larger made it so, else 0.

    A lone hugepage at index 0 whose order is a multiple of 6 has a root of its own shift; a split leaves that.
    """
    present = np.flatnonzero(order != ABSENT)
    return int(len(present) > 0 and len(present) == int(present[-1]) + 1)
