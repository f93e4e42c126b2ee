# SPDX-License-Identifier: GPL-2.0-or-later
"""One hugepage of a guest_memfd, whole or in pieces."""

from __future__ import annotations

from collections import Counter

import attrs


@attrs.define(eq=False)
class Hugepage:
    """``2**order`` pages from index ``first`` on, taken from the pool as hugepage ``pool_index``.

    The filemap stores this object at every index, whatever the folios' order: as ``xas_split`` keeps the same entry in
    every slot, a folio is (hugepage, index, order found).  ``folios`` counts the folios it is split into by order.
    """

    first: int
    order: int
    pool_index: int
    restored: int = 0
    """vmemmap pages present beyond what HVO keeps.  Not 0 for a whole hugepage that could not be optimised again."""
    folios: Counter[int] = attrs.field(init=False)
    optimise_failed: bool = attrs.field(init=False)
    """Whether there may be more vmemmap than the folios need, because it could not be optimised."""
    splits: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    """How often the folio at (first index, order) has been split: what hysteresis goes by."""

    @folios.default
    def _one_folio(self) -> Counter[int]:
        return Counter({self.order: 1})

    @optimise_failed.default
    def _found_unoptimised(self) -> bool:
        return self.restored > 0

    def __str__(self) -> str:
        return f"hugepage@{self.first}"

    @property
    def end(self) -> int:
        """The index after the last page."""
        return self.first + (1 << self.order)

    @property
    def whole(self) -> bool:
        """Whether this is one folio."""
        return self.folios[self.order] == 1
