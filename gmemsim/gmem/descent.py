# SPDX-License-Identifier: GPL-2.0-or-later
"""How folios get smaller: what a split down the rungs of a policy does and takes, worked out once.

Theory of operation
-------------------
A folio is split along one of two kinds of :class:`Descent`.  *Whole*: every piece is split at every rung, so one step
of the filemap makes its last pieces.  *Around a page*: at every rung only the piece that holds the page is split
further.  Such a descent is cut into stretches (:class:`Stretch`), one step of the filemap each: halvings that write the
same node are one stretch, of which only the first can need a node; any other rung is a stretch of its own.

Nothing here depends on a hugepage or on memory.  What may live here: arithmetic of orders.  Splits are carried out by
``filemap`` and ``restructure``.
"""

from __future__ import annotations

from itertools import pairwise

from gmemsim.gmem.filemap import Filemap


class Stretch:
    """One step of the filemap: a folio of ``order`` to ``new_order``, all of it or in ``halves`` around a page."""

    __slots__ = ("halves", "new_order", "order")

    def __init__(self, order: int, new_order: int, halves: bool) -> None:
        self.order = order
        self.new_order = new_order
        self.halves = halves


class Descent:
    """A folio of ``order`` passes through ``orders``, the last included: all of it (``whole``) or around a page.

    ``filemap`` is asked which of these steps it can take.
    """

    __slots__ = ("changes", "folios_split", "nodes", "order", "orders", "refused", "rungs", "stretches", "whole")

    def __init__(self, filemap: Filemap, order: int, orders: tuple[int, ...], whole: bool) -> None:
        self.order = order
        self.orders = orders
        self.whole = whole
        steps = list(pairwise([order, *orders]))
        self.rungs = [(above, below, 1 << order - above if whole else 1) for above, below in steps]
        """(order, next order, folios split) for every rung passed."""
        self.folios_split = sum([number for _, _, number in self.rungs])
        refused = [step for step in steps if not filemap.takes_depth(*step)]
        self.refused: tuple[int, int] | None = refused[0] if refused else None
        """The first rung, if any, for which ``xas_split_alloc`` refuses."""
        last = orders[-1]
        if whole:
            self.stretches = [Stretch(order, last, False)]
            more = [(last, 1 << order - last)]
        else:
            self.stretches = _stretches(steps, filemap.tree.chunk.levels)
            more = [(below, (1 << above - below) - (below != last)) for above, below in steps]
        self.changes = [*more, (order, -1)]
        """(order, how many folios more) of the hugepage."""
        self.nodes = sum([filemap.nodes_for(s.order, s.new_order, s.halves) for s in self.stretches])
        """Nodes that the filemap takes."""


def _stretches(steps: list[tuple[int, int]], levels: tuple[int, ...]) -> list[Stretch]:
    stretches: list[Stretch] = []
    for above, below in steps:
        halves = above - below == 1
        if halves and stretches and stretches[-1].halves and levels[above] != above:
            stretches[-1].new_order = below
        else:
            stretches.append(Stretch(above, below, halves))
    return stretches


class Descents:
    """The descents of a policy whose ``rungs`` are these, largest first, in the ``filemap``; each is made once."""

    __slots__ = ("_filemap", "_made", "_rungs", "rung_at_most")

    def __init__(self, filemap: Filemap, rungs: tuple[int, ...]) -> None:
        self._filemap = filemap
        self._rungs = rungs
        self._made: dict[tuple[int, int, bool], Descent] = {}
        self.rung_at_most = [max([rung for rung in rungs if rung <= order]) for order in range(rungs[0] + 1)]
        """The largest rung that is not above an order, by the order."""

    def get(self, order: int, new_order: int, whole: bool) -> Descent:
        """From ``order`` through the rungs below it to ``new_order``, all of the folio (``whole``) or around a page."""
        found = self._made.get((order, new_order, whole))
        if found is None:
            orders = tuple([rung for rung in self._rungs if new_order <= rung < order])
            found = self._made[order, new_order, whole] = Descent(self._filemap, order, orders, whole)
        return found
