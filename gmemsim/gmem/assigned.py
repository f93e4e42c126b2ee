# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that belong to a confidential guest: in SNP's reverse map table (RMP), in TDX's secure page tables.

Theory of operation
-------------------
A page is *assigned* to a guest when the guest first touches it while it is private: memory that was only allocated is
still the host's.  The guest has to accept such a page.  It is given back when it becomes shared or leaves the file.

SNP keeps one entry for every page of the host.  It stands for a base page, or for 2M where the guest has the page
mapped by a leaf of 2M or more; before a part of such an entry can change it must be split (PSMASH).

The tables take no memory that the ledger counts here; what is counted is the work: ``pages_accepted``, and for SNP
``rmp_updates`` and ``psmashes`` of :class:`~gmemsim.host.work.Work`.

What may live here: which pages are assigned, and by entries of which size.
"""

from __future__ import annotations

from gmemsim.gmem.ranges import RangeSet
from gmemsim.host.work import Work


class Assigned:
    """The pages of one guest, as guest_memfd indices.

    ``pmd_order`` is the order of an entry of 2M (9 with 4K pages); ``rmp`` says whether there is an RMP: SNP.  The
    pages that the guest accepts and gives back are counted in ``work``.
    """

    __slots__ = ("_large", "_pages", "_pmd_order", "_rmp", "_work")

    def __init__(self, pmd_order: int, work: Work, *, rmp: bool) -> None:
        self._pmd_order = pmd_order
        self._work = work
        self._rmp = rmp
        self._pages = RangeSet()
        self._large = RangeSet()
        """Those of the pages that entries of 2M stand for."""

    def add(self, start: int, end: int, *, large: bool) -> None:
        """The pages ``start`` to ``end`` are the guest's from now on; ``large``: by entries of 2M, aligned to them.

        O(log ranges).
        """
        new = end - start - self._pages.pages(start, end)
        changed = end - start - self._large.pages(start, end) if large else new
        if not changed:
            return
        self._work.pages_accepted += new
        if self._rmp:
            self._work.rmp_updates += changed
        self._pages.add(start, end)
        if large:
            self._large.add(start, end)

    def give_back(self, start: int, end: int) -> None:
        """The pages ``start`` to ``end`` are the host's again; entries of 2M that cross a bound are split.  O(log
        ranges).
        """
        gone = self._pages.pages(start, end)
        if not gone:
            return
        size = 1 << self._pmd_order
        for first in {edge & -size for edge in (start, end) if edge & size - 1}:
            if first in self._large:
                self._large.remove(first, first + size)
                self._work.psmashes += self._rmp
        self._large.remove(start, end)
        self._pages.remove(start, end)
        if self._rmp:
            self._work.rmp_updates += gone

    def none(self) -> bool:
        """Whether the guest has no page."""
        return not len(self._pages)

    def pages(self, start: int, end: int) -> int:
        """How many of the pages ``start`` to ``end`` are the guest's."""
        return self._pages.pages(start, end)

    def check(self) -> None:
        """``AssertionError`` unless large entries are aligned and stand for pages of the guest."""
        self._pages.check()
        self._large.check()
        for start, end in self._large:
            assert not (start | end) & (1 << self._pmd_order) - 1, f"entries of 2M from {start} to {end}"
            assert self._pages.covers(start, end), f"entries of 2M from {start} to {end}: not the guest's pages"
