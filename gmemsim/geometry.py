# SPDX-License-Identifier: GPL-2.0-or-later
"""Page sizes and orders of the modelled machine.

An *order* is the base-2 logarithm of a number of base pages: with 4 KiB pages order 9 is 2 MiB and order 18 is
1 GiB.  Everything inside the package counts in base pages and orders; bytes appear at its edges only.
"""

from __future__ import annotations

import attrs

from gmemsim.units import size_name

PAGE_SIZES = (4 << 10, 16 << 10, 64 << 10)
"""Base page sizes that Linux supports: 4K (x86-64, arm64), 16K and 64K (arm64)."""

STRUCT_PAGE_BYTES = 64
"""``sizeof(struct page)`` on 64-bit kernels of today (Documentation/mm/vmemmap_dedup.rst)."""


@attrs.frozen
class Geometry:
    """The base page size (bytes) and what follows from it.

    >>> Geometry(4096).order_of(1 << 30)
    18
    """

    page_size: int = attrs.field(default=4096, validator=attrs.validators.in_(PAGE_SIZES))

    @property
    def page_shift(self) -> int:
        """log2 of the base page size."""
        return self.page_size.bit_length() - 1

    @property
    def pmd_order(self) -> int:
        """Order of what one full page table maps: 9 with 4K pages (2M), 11 with 16K (32M), 13 with 64K (512M)."""
        return self.page_shift - 3

    @property
    def pud_order(self) -> int:
        """Order of the memory that a two-level table maps: 18 with 4K pages (1G)."""
        return 2 * self.pmd_order

    def order_of(self, size: int) -> int:
        """The order of ``size`` bytes; ``ValueError`` if that is not a power-of-two number of base pages."""
        pages = size >> self.page_shift
        if size <= 0 or pages << self.page_shift != size or pages & (pages - 1):
            raise ValueError(f"{size_name(size)} is not a power-of-two number of {size_name(self.page_size)} pages")
        return pages.bit_length() - 1

    def size_of(self, order: int) -> int:
        """Bytes in a folio of ``order``."""
        return self.page_size << order

    def name(self, order: int) -> str:
        """The size of ``order`` as the reports write it: ``"4K"``, ``"2M"``, ``"1G"``."""
        return size_name(self.page_size << order)
