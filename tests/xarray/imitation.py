# SPDX-License-Identifier: GPL-2.0-or-later
"""An XArray with the kernel's mistakes, to prove that they explain every difference from the kernel's traces.

The traces in tests/golden/quirks were recorded where the kernel is wrong.  That ours differs there is not enough to
know; that it would *not* differ if it made exactly these mistakes is proof that nothing else is different.  A hash of
a whole tree cannot be compared by halves, so this is also the only way to explain one.

All the mistakes but one are wrong sums in ``nr_values``, which decides nothing in an XArray.  So an :class:`Imitation`
has an array of ours, looks at the slots before an operation, and spoils the sums after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from gmemsim.xarray import INDEX_MAX, KEEP, CountingAllocator, Prealloc, Profile, XArray
from gmemsim.xarray.array import slots_for_range
from gmemsim.xarray.node import Node, NodeLike, Sibling, canonical, is_value, same_entry

NR_VALUES_MASK = 0xFF
"""``nr_values`` is an ``unsigned char`` (include/linux/xarray.h)."""

MISTAKES = ("split", "store", "try_split")
"""Names of the imitated mistakes; what they are is told in :mod:`tests.xarray.differences`."""

Result = TypeVar("Result")

Make = Callable[[CountingAllocator, bool], XArray]
"""What an interpreter makes its arrays with."""


def imitating(mistakes: frozenset[str]) -> Make:
    """Makes arrays that make just these mistakes."""
    return lambda allocator, eager: cast(XArray, Imitation(XArray(allocator, eager=eager), mistakes))


class Imitation:
    """The array ``xa``, wrong in those of the kernel's ways that ``mistakes`` names."""

    def __init__(self, xa: XArray, mistakes: frozenset[str]) -> None:
        self._xa = xa
        self._mistakes = mistakes

    def __getattr__(self, name: str) -> object:
        """Whatever is not wrong."""
        return getattr(self._xa, name)

    @property
    def profile(self) -> Profile:
        return self._xa.profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._xa.profile = profile

    # -- stores ----------------------------------------------------------------------------------------------------

    def store(self, index: int, entry: object) -> object:
        return self._storing(index, 0, 0, entry, lambda: self._xa.store(index, entry))

    def erase(self, index: int) -> object:
        return self._storing(index, 0, 0, None, lambda: self._xa.erase(index))

    def insert(self, index: int, entry: object) -> None:
        self._storing(index, 0, 0, entry, lambda: self._xa.insert(index, entry))

    def cmpxchg(self, index: int, old: object, entry: object) -> object:
        if not same_entry(self._xa.tree.walk(index)[2], old):
            return self._xa.cmpxchg(index, old, entry)
        return self._storing(index, 0, 0, entry, lambda: self._xa.cmpxchg(index, old, entry))

    def reserve(self, index: int) -> None:
        self._storing(index, 0, 0, None, lambda: self._xa.reserve(index))

    def release(self, index: int) -> None:
        self._storing(index, 0, 0, None, lambda: self._xa.release(index))

    def store_order(self, index: int, order: int, entry: object) -> None:
        shift = self._xa.chunk.levels[order]
        sibs = self._xa.chunk.widths[order] - 1
        start = index >> order << order
        self._storing(start, shift, sibs, entry, lambda: self._xa.store_order(index, order, entry))

    def store_range(self, first: int, last: int, entry: object) -> None:
        """Slot run by slot run, since each is a store of its own."""
        if not 0 <= first <= last <= INDEX_MAX or entry is None:
            self._xa.store_range(first, last, entry)
            return
        tree = self._xa.tree
        order = (~last & last + 1).bit_length() - 1
        shift = self._xa.chunk.levels[order]
        tree.create(last >> order << order, shift, (1 << order - shift) - 1)
        while first <= last:
            first = self._store_run(first, last, entry)

    def _store_run(self, first: int, last: int, entry: object) -> int:
        """Store the first run of slots of the range; the index after it."""
        shift, sibs = slots_for_range(first, last, self._xa.chunk.shift)
        tree = self._xa.tree
        _, done = self._storing(first, shift, sibs, entry, lambda: tree.store_at(first, shift, sibs, entry))
        return first + ((done + 1) << shift)

    def _storing(self, index: int, shift: int, sibs: int, entry: object, operation: Callable[[], Result]) -> Result:
        """A store that ends inside a larger entry counts the slots stored to, not the siblings it takes over."""
        missed = self._values_missed(index, shift, sibs, entry)
        result = operation()
        node, _ = self._place(index, shift)
        if isinstance(node, Node):  # not gone with its last entry
            node.nr_values = node.nr_values - missed & NR_VALUES_MASK
        return result

    def _place(self, index: int, shift: int) -> tuple[NodeLike | None, int]:
        """The node of ``shift`` (or above, if an entry is larger) on the way to ``index``, and the canonical slot."""
        tree = self._xa.tree
        node: NodeLike | None = None
        slot, entry = 0, tree.head if index <= tree.max_index else None
        while isinstance(entry, NodeLike) and entry.shift >= shift:
            node = entry
            slot = canonical(node.view(), index >> node.shift & tree.chunk.mask)
            entry = node.view()[slot]
        return node, slot

    def _values_missed(self, index: int, shift: int, sibs: int, entry: object) -> int:
        """What ours will count and the kernel does not, in the node stored to."""
        node, slot = self._place(index, shift)
        if entry is None or node is None or "store" not in self._mistakes:
            return 0
        slots = node.view()
        end = slot + (sibs if node.shift == shift else 0) + 1
        tail = 0
        while end + tail < len(slots) and isinstance(slots[end + tail], Sibling):
            tail += 1
        return tail * (is_value(entry) - is_value(slots[canonical(slots, end)])) if tail else 0

    # -- splits ----------------------------------------------------------------------------------------------------

    def split(self, index: int, order: int, new_order: int, entry: object = KEEP, *, prealloc: Prealloc) -> None:
        """The RFC's split takes the new entry for the old one when it corrects ``nr_values``."""
        old = self._xa.tree.walk(index)[2]
        self._xa.split(index, order, new_order, entry, prealloc=prealloc)
        wrong = entry is not KEEP and self._xa.profile == "rfc" and "split" in self._mistakes
        self._adjust(index, order, is_value(old) - is_value(entry) if wrong else 0)

    def try_split(self, index: int, order: int, new_order: int, entry: object = KEEP) -> Prealloc:
        """From a full slot into the order one below a full slot, any level down, is accepted, and halves the entry."""
        shift = self._xa.chunk.shift
        if "try_split" in self._mistakes and not order % shift and new_order < order and new_order % shift == shift - 1:
            new_order = order - 1
        prealloc = self._xa.try_split(index, order, new_order, entry)
        self._adjust(index, order, 0)
        return prealloc

    def _adjust(self, index: int, order: int, values: int) -> None:
        """Correct, or spoil, ``nr_values`` of the node that held the entry of ``order`` by ``values`` for each slot."""
        node, _, _ = self._xa.tree.walk_to(index, self._xa.chunk.levels[order])
        assert node is not None
        node.nr_values = node.nr_values + self._xa.chunk.widths[order] * values & NR_VALUES_MASK
