# SPDX-License-Identifier: GPL-2.0-or-later
"""vmemmap: the memory that holds the struct pages, and how much of it HVO lets the host do without.

Theory of operation
-------------------
Every base page has a ``struct page``; those of one hugepage fill several pages of *vmemmap* (1G: 4096 of
them, 2M: 8).  The tail struct pages of a hugepage all say the same, so the HugeTLB vmemmap optimisation (HVO)
keeps the first vmemmap page, maps the others to it and frees them.  Splitting the hugepage needs them back:
*restore* allocates all but one, or fails and leaves things as they were; *optimise* frees them again
(DOMAIN.md section 5).

A hugepage in pieces needs different amounts, depending on what the kernel is able to do:

* without re-optimising, any split needs all of its vmemmap: ``restored(order)`` pages;
* with it, every piece that is at least one full page table of memory (2M with 4K pages) keeps just one
  vmemmap page, and the smaller pieces need all of theirs.  Not implemented in any tree; the figures are
  derived.

vmemmap is mapped by 2M entries at first.  Freeing single pages of it needs 4K entries, hence one page of PTEs
for each 2M of vmemmap, which restoring does not give back.

This module is arithmetic only: who holds the pages is the ledger's business, when they move is
``gmem.restructure``'s.  The ledger's ``vmemmap`` is what is present beyond the *kept* pages;
:meth:`VmemmapLayout.present` says what is there all the time.
"""

from __future__ import annotations

from collections.abc import Mapping

from gmemsim.host.geometry import STRUCT_PAGE_BYTES, Geometry
from gmemsim.xarray.node import INDEX_BITS

STRUCT_PAGE_SIZES = (64, 32, 8)
"""Bytes of a struct page today and along the memdesc plan (kernelnewbies, MatthewWilcox/Memdescs)."""

KEPT_PAGES = 1
"""vmemmap pages that an optimised hugepage keeps (Documentation/mm/vmemmap_dedup.rst)."""


class VmemmapLayout:
    """The vmemmap of a machine: its ``geometry`` (default: 4K pages) and ``struct_page_bytes`` (default: 64).

    Every answer is a look-up in a table by order.  ``ValueError`` for a size that no kernel has or plans.

    >>> layout = VmemmapLayout(Geometry(4096))
    >>> layout.restored(18), layout.restored(9)
    (4095, 7)
    >>> layout.needed({9: 511, 0: 512}, 18, reoptimised=True)
    518
    """

    def __init__(self, geometry: Geometry | None = None, struct_page_bytes: int = STRUCT_PAGE_BYTES) -> None:
        if struct_page_bytes not in STRUCT_PAGE_SIZES:
            raise ValueError(f"struct_page_bytes is {struct_page_bytes}, expected one of {STRUCT_PAGE_SIZES}")
        self.geometry = geometry or Geometry()
        self.struct_page_bytes = struct_page_bytes
        page_size, pmd_order = self.geometry.page_size, self.geometry.pmd_order
        self._pages = tuple([(struct_page_bytes << order) // page_size for order in range(INDEX_BITS)])
        self._restored = tuple(
            [
                pages - KEPT_PAGES if order >= pmd_order and pages > KEPT_PAGES else 0
                for order, pages in enumerate(self._pages)
            ]
        )

    def pages_of(self, order: int) -> int:
        """Whole vmemmap pages of a folio of ``order``; 0 if it shares one with its neighbours."""
        return self._pages[order]

    def optimizable(self, order: int) -> bool:
        """Whether HVO can save anything on a hugepage of ``order``.

        It takes two vmemmap pages or more, and an order that is a hugepage: the smaller sizes that HugeTLB
        knows (64K with 4K pages, 2M with 16K and 64K pages) have less than one.
        """
        return self._restored[order] > 0

    def kept(self, order: int) -> int:
        """vmemmap pages that an optimised folio of ``order`` keeps: 1, or all if none can be saved."""
        return self._pages[order] - self._restored[order]

    def restored(self, order: int) -> int:
        """vmemmap pages that a restore of a hugepage of ``order`` allocates and an optimise frees."""
        return self._restored[order]

    def present(self, order: int, *, optimised: bool) -> int:
        """Bytes of vmemmap of a whole hugepage of ``order``, or of a base page; ``optimised``: on a host with HVO."""
        if optimised and self.optimizable(order):
            return KEPT_PAGES * self.geometry.page_size
        return self.struct_page_bytes << order

    def page_tables_for(self, order: int, hugepages: int) -> int:
        """PTE pages for the vmemmap of so many neighbouring ``hugepages`` of ``order``, once optimised.

        One per 2M of vmemmap: 8 for each 1G hugepage, one for 64 of 2M; the first starts a region.  None with
        base pages of 16K and 64K: there arm64 maps vmemmap by base pages from the start
        (``vmemmap_populate()`` in arch/arm64/mm/mmu.c uses huge entries with 4K pages only).
        """
        if not self.optimizable(order) or self.geometry.page_size != 4096:
            return 0
        pages_per_table = 1 << self.geometry.pmd_order
        return -(-hugepages * self.pages_of(order) // pages_per_table)

    def needed(self, folio_orders: Mapping[int, int], hugepage_order: int, *, reoptimised: bool) -> int:
        """vmemmap pages, beyond the one kept, of a hugepage of ``hugepage_order`` made of ``folio_orders``.

        ``folio_orders`` gives folios by order.  ``reoptimised`` says whether the pieces that are hugepages themselves
        are optimised.  ``ValueError`` if the folios do not add up to the hugepage.
        """
        pages = saved = 0
        for order, count in folio_orders.items():
            pages += count << order
            saved += count * self._restored[order]
        if pages != 1 << hugepage_order:
            raise ValueError(f"folios {dict(folio_orders)} do not make up one of order {hugepage_order}")
        if folio_orders.get(hugepage_order):
            return 0
        return self._restored[hugepage_order] - (saved if reoptimised else 0)
