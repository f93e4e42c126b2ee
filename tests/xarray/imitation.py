# SPDX-License-Identifier: GPL-2.0-or-later
"""An XArray with the kernel's mistakes, to prove that they explain every difference from the kernel's traces.

The traces in tests/golden/quirks were recorded where the kernel is wrong.  That ours differs there is not enough to
know; that it would *not* differ if it made exactly these mistakes is proof that nothing else is different.  A hash of
a whole tree cannot be compared by halves, so this is also the only way to explain one.
"""

from __future__ import annotations

from gmemsim.xarray import KEEP, XArray
from gmemsim.xarray.node import Node, Sibling, is_value
from gmemsim.xarray.split import Prealloc

NR_VALUES_MASK = 0xFF
"""``nr_values`` is an ``unsigned char`` (include/linux/xarray.h)."""

MISTAKES = ("split", "store", "try_split")
"""Names of the imitated mistakes; what they are is told in :mod:`tests.xarray.differences`."""


class Imitation(XArray):
    """Our XArray, wrong in those of the kernel's ways that ``mistakes`` names (all of them by default)."""

    mistakes: frozenset[str] = frozenset(MISTAKES)

    def _store_slots(self, node: Node, offset: int, sibs: int, entry: object) -> None:
        """A store that ends inside a larger entry counts the slots stored to, not the siblings it takes over."""
        missed = 0
        if entry is not None and "store" in self.mistakes:
            missed = self._values_missed(node, offset + sibs + 1, is_value(entry))
        super()._store_slots(node, offset, sibs, entry)
        node.nr_values = node.nr_values - missed & NR_VALUES_MASK

    def _values_missed(self, node: Node, end: int, stores_value: bool) -> int:
        tail = 0
        while end + tail < self.chunk.size and type(node.slots[end + tail]) is Sibling:
            tail += 1
        if not tail:
            return 0
        sibling = node.slots[end]
        assert isinstance(sibling, Sibling)
        return tail * (stores_value - is_value(node.slots[sibling.slot]))

    def split(self, index: int, order: int, new_order: int, entry: object = KEEP, *, prealloc: Prealloc) -> None:
        """The RFC's split takes the new entry for the old one when it corrects ``nr_values``."""
        old = self.walk(index)[2]
        super().split(index, order, new_order, entry, prealloc=prealloc)
        wrong = entry is not KEEP and self.profile == "rfc" and "split" in self.mistakes
        self._adjust(index, order, is_value(old) - is_value(entry) if wrong else 0)

    def try_split(self, index: int, order: int, new_order: int, entry: object = KEEP) -> Prealloc:
        """From a full slot into the order one below a full slot, any level down, is accepted, and halves the entry."""
        shift = self.chunk.shift
        if "try_split" in self.mistakes and not order % shift and new_order < order and new_order % shift == shift - 1:
            new_order = order - 1
        prealloc = super().try_split(index, order, new_order, entry)
        self._adjust(index, order, 0)
        return prealloc

    def _adjust(self, index: int, order: int, values: int) -> None:
        """Correct, or spoil, ``nr_values`` of the node that held the entry of ``order`` by ``values`` for each slot."""
        node, _, _ = self.walk_to(index, self.chunk.level(order))
        assert node is not None
        node.nr_values = node.nr_values + self.chunk.width(order) * values & NR_VALUES_MASK
