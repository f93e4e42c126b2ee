# SPDX-License-Identifier: GPL-2.0-or-later
"""A tmpfs file as its filemap sees it: which stores, splits and merges each system call makes (mm/shmem.c, 6.12).

Only the XArray is gmemsim's; what a call does to it is written down here from the kernel's source.
"""

from __future__ import annotations

from typing import Final

from gmemsim.xarray.array import XArray
from tests.kernel.program import BASE_PAGE, HUGEPAGE

ORDER: Final = (HUGEPAGE // BASE_PAGE).bit_length() - 1
PAGES: Final = HUGEPAGE // BASE_PAGE
FOLIO: Final = "folio"
END: Final = 1 << 62
"""An offset past every page."""


class TmpfsFile:
    """One file; ``huge``: on a tmpfs mounted ``huge=always``.  Nodes are counted by ``filemap.allocator``."""

    def __init__(self, *, huge: bool) -> None:
        self.filemap = XArray()
        self.huge = huge
        self.size = 0
        """The file's size in bytes (i_size)."""

    def write(self, offset: int, size: int) -> None:
        """A folio for every page that has none: a hugepage where there is nothing yet (shmem_alloc_and_add_folio)."""
        for index in range(offset // BASE_PAGE, (offset + size) // BASE_PAGE):
            start = index // PAGES * PAGES
            if self.filemap.load(index) is not None:
                continue
            if self.huge and self._empty(start):
                self.filemap.store_order(start, ORDER, FOLIO)
            else:
                self.filemap.store(index, FOLIO)
        self.size = max(self.size, offset + size)

    def punch(self, offset: int, size: int) -> None:
        """Hugepages that the range cuts are split, then its pages go (shmem_undo_range)."""
        first, end = offset // BASE_PAGE, (offset + size) // BASE_PAGE
        for edge in (first, end):
            if edge % PAGES and self.filemap.load(edge) is not None and self.filemap.get_order(edge) == ORDER:
                self._split(edge // PAGES * PAGES)
        self._erase(first, end)

    def collapse(self, offset: int) -> None:
        """Room for base pages, then one folio in the place of all of them (collapse_file)."""
        start = offset // BASE_PAGE
        if self.filemap.load(start) is None or self.filemap.get_order(start) != ORDER:
            self.filemap.create_range(start, ORDER)
            self.filemap.store_order(start, ORDER, FOLIO)

    def truncate(self, size: int) -> None:
        """All from ``size`` on goes, and a hugepage that it cuts is split; a larger file only has another size."""
        shrinks = size < self.size
        self.size = size
        if shrinks:
            self.punch(size, END - size)

    def hugepages(self) -> int:
        """Folios of 2M."""
        return sum(1 for _, order, _ in self.filemap.entries() if order == ORDER)

    def _empty(self, start: int) -> bool:
        return self.filemap.find(start, start + PAGES - 1) is None

    def _split(self, start: int) -> None:
        """Pages past the end of the file go at once (__split_huge_page)."""
        with self.filemap.split_alloc(start, ORDER, 0) as nodes:
            self.filemap.split(start, ORDER, 0, FOLIO, prealloc=nodes)
        self._erase(max(start, -(-self.size // BASE_PAGE)), start + PAGES)

    def _erase(self, first: int, end: int) -> None:
        found = self.filemap.find(first, end - 1)
        while found is not None:
            self.filemap.erase(found[0])
            found = self.filemap.find(found[0], end - 1)
