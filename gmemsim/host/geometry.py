# SPDX-License-Identifier: GPL-2.0-or-later
"""Page sizes and orders of the modelled machine, and which machines there are.

An *order* is the base-2 logarithm of a number of base pages: with 4 KiB pages order 9 is 2 MiB and order 18 is
1 GiB.  Everything inside the package counts in base pages and orders; bytes appear at its edges only.

What may live here: arithmetic on page sizes, and the tables of what hardware has.  A machine that does not exist is
refused where it is described (:meth:`Geometry.hugepage_problem`, :meth:`Geometry.mapping_problem`), by the loader, the
command line and the Python classes alike: its figures would be arithmetic about nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from gmemsim.units import size_name

PAGE_SIZES = (4 << 10, 16 << 10, 64 << 10)
"""Base page sizes that Linux supports: 4K (x86-64, arm64), 16K and 64K (arm64)."""

HUGEPAGE_SIZES: Final[Mapping[int, tuple[int, ...]]] = {
    4 << 10: (64 << 10, 2 << 20, 32 << 20, 1 << 30),
    16 << 10: (2 << 20, 32 << 20, 1 << 30),
    64 << 10: (2 << 20, 512 << 20, 16 << 30),
}
"""Hugepage sizes by base page size: contiguous PTEs, a PMD, contiguous PMDs, a PUD
(Documentation/arch/arm64/hugetlbpage.rst; a PUD only with 4K pages)."""

X86_HUGEPAGE_SIZES: Final = (2 << 20, 1 << 30)
"""Those that x86-64 has too (Documentation/admin-guide/mm/hugetlbpage.rst); all others are arm64's."""

STRUCT_PAGE_BYTES = 64
"""``sizeof(struct page)`` on 64-bit kernels of today (Documentation/mm/vmemmap_dedup.rst)."""


@attrs.frozen
class Geometry:
    """The base page size, ``page_size`` in bytes (default: 4096), and what follows from it.

    ``ValueError`` for a size that no machine has (:data:`PAGE_SIZES`).

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

    @property
    def class_orders(self) -> tuple[int, int]:
        """The orders of the second and the last size that stand out: a PMD's, and the largest hugepage's.

        >>> Geometry(4096).class_orders
        (9, 18)
        """
        return self.pmd_order, self.order_of(self.hugepage_sizes[-1])

    def size_class(self, order: int) -> int:
        """Which of five classes folios of ``order`` belong to, 0 for base pages: see :attr:`class_names`.

        >>> [Geometry(4096).size_class(order) for order in (0, 3, 9, 12, 18)]
        [0, 1, 2, 3, 4]
        """
        pmd, top = self.class_orders
        return (order > 0) + (order >= pmd) + (order > pmd) + (order >= top)

    @property
    def class_names(self) -> tuple[str, str, str, str, str]:
        """The classes of sizes, ascending: three sizes that stand out, and what lies above the first two of them.

        >>> Geometry(4096).class_names
        ('4K', 'over 4K', '2M', 'over 2M', '1G')
        """
        page, pmd, top = (self.name(order) for order in (0, *self.class_orders))
        return page, f"over {page}", pmd, f"over {pmd}", top

    @property
    def hugepage_sizes(self) -> tuple[int, ...]:
        """Bytes of the hugepages that a machine with such base pages can have, ascending."""
        return HUGEPAGE_SIZES[self.page_size]

    def hugepage_problem(self, size: int) -> str | None:
        """Why no machine has hugepages of ``size`` bytes with such base pages; ``None`` if there is one.

        >>> Geometry(64 << 10).hugepage_problem(1 << 30)
        'no machine has hugepages of 1G with 64K pages: they are of 2M, 512M or 16G'
        """
        if size in self.hugepage_sizes:
            return None
        return (
            f"no machine has hugepages of {size_name(size)} with {size_name(self.page_size)} pages:"
            f" they are of {self.hugepage_names}"
        )

    @property
    def hugepage_names(self) -> str:
        """The sizes of hugepages in words: ``"2M, 512M or 16G"``."""
        *names, last = map(size_name, self.hugepage_sizes)
        return f"{', '.join(names)} or {last}"

    def default_mapping(self, backing: int) -> Literal["snp", "plain"]:
        """How guests on pages of ``backing`` bytes are mapped unless they say: ``snp``, ``plain`` where only arm64 is.

        >>> Geometry(4096).default_mapping(2 << 20), Geometry(16 << 10).default_mapping(2 << 20)
        ('snp', 'plain')
        """
        return "snp" if self._on_x86(backing) else "plain"

    def mapping_problem(self, mapping: str, backing: int) -> str | None:
        """Why no guest is mapped as ``mapping`` on pages of ``backing`` bytes; ``None`` if one can be.

        >>> Geometry(64 << 10).mapping_problem("tdx", 2 << 20)
        'tdx is of x86, whose pages are 4K, not 64K'
        """
        if mapping == "plain" or self._on_x86(backing):
            return None
        if self.page_size != PAGE_SIZES[0]:
            return f"{mapping} is of x86, whose pages are 4K, not {size_name(self.page_size)}"
        return f"{mapping} is of x86, whose hugepages are 2M or 1G; those of {size_name(backing)} are arm64's"

    def pamt_problem(self, pamt: str) -> str | None:
        """Why no machine with such base pages has this ``pamt``; ``None`` if one can have it.

        >>> Geometry(16 << 10).pamt_problem("dynamic")
        'PAMT is of TDX on x86, whose pages are 4K, not 16K'
        """
        if pamt == "none" or self.page_size == PAGE_SIZES[0]:
            return None
        return f"PAMT is of TDX on x86, whose pages are 4K, not {size_name(self.page_size)}"

    def _on_x86(self, backing: int) -> bool:
        return self.page_size == PAGE_SIZES[0] and backing in (self.page_size, *X86_HUGEPAGE_SIZES)
