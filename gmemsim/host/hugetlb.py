# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's pool of hugepages, and the reservations that guest_memfd files make from it.

Theory of operation
-------------------
A file backed by HugeTLB reserves all of its hugepages when it is created: a *subpool* whose minimum and
maximum are both the file's size (DOMAIN.md section 3).  No surplus pages: too few free, unreserved hugepages
fail the creation with ENOMEM, and from then on a first touch cannot fail for want of one.  A page given back
while the file is open returns to its reservation; after the file is closed it returns to the pool.  Pages may
outlive their file, when something still pins them.

Hugepages of one size are numbered from 0 and the lowest free one is handed out, so that runs repeat exactly.
``address()`` places the sizes one after the other, the largest first, which keeps every hugepage naturally
aligned.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import attrs

from gmemsim.errors import OutOfMemory
from gmemsim.units import size_name


@attrs.define(eq=False)
class _Size:
    """The hugepages of one size: those never taken start at ``fresh``, ``returned`` is a heap."""

    total: int
    first_byte: int
    reserved: int = 0
    lost: int = 0
    fresh: int = 0
    returned: list[int] = attrs.field(factory=list)

    @property
    def free(self) -> int:
        return self.total - self.fresh + len(self.returned)

    def take_lowest(self) -> int:
        if self.returned:
            return heapq.heappop(self.returned)
        self.fresh += 1
        return self.fresh - 1


class HugePool:
    """The hugepages of the host: ``counts`` is how many there are of each size in bytes.

    >>> pool = HugePool({1 << 30: 4})
    >>> file = pool.reserve(1 << 30, 3)
    >>> file.take(), file.take(), pool.free(1 << 30), pool.available(1 << 30)
    (0, 1, 2, 1)
    """

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._sizes: dict[int, _Size] = {}
        self._subpools: list[Subpool] = []
        first_byte = 0
        for size in sorted(counts, reverse=True):
            if size <= 0 or size & (size - 1) or counts[size] < 0:
                raise ValueError(f"{counts[size]} hugepages of {size} bytes: not a power of two, or negative")
            self._sizes[size] = _Size(counts[size], first_byte)
            first_byte += size * counts[size]

    def sizes(self) -> tuple[int, ...]:
        """The sizes of the pool in bytes, largest first."""
        return tuple(self._sizes)

    @property
    def bytes(self) -> int:
        """Bytes of all hugepages, lost ones included."""
        return sum(size * pages.total for size, pages in self._sizes.items())

    def total(self, size: int) -> int:
        """Hugepages of ``size`` bytes in all; here and below, ``KeyError`` for a size that is not there."""
        return self._sizes[size].total

    def free(self, size: int) -> int:
        """free hugepages of ``size``, promised ones included."""
        return self._sizes[size].free

    def lost(self, size: int) -> int:
        """Hugepages of ``size`` that memory errors have taken out of the pool."""
        return self._sizes[size].lost

    def reserved(self, size: int) -> int:
        """Hugepages of ``size`` promised to open files and not taken yet."""
        return self._sizes[size].reserved

    def available(self, size: int) -> int:
        """Hugepages of ``size`` that a new reservation can have."""
        return self._sizes[size].free - self._sizes[size].reserved

    def address(self, size: int, index: int) -> int:
        """The physical address, in bytes, of hugepage ``index`` of ``size``."""
        return self._sizes[size].first_byte + index * size

    def reserve(self, size: int, n: int) -> Subpool:
        """Promise ``n`` hugepages of ``size`` bytes to a new file, or raise :class:`OutOfMemory`."""
        if n < 0:
            raise ValueError(f"a file cannot reserve {n} hugepages")
        available = self.available(size) if size in self._sizes else 0
        if n > available:
            raise OutOfMemory(f"{n} hugepages of {size_name(size)} wanted, {available} free and unreserved")
        subpool = Subpool(size=size, limit=n, pool=self, pages=self._sizes.get(size, _Size(0, 0)))
        subpool._pages.reserved += n
        self._subpools.append(subpool)
        return subpool

    def check(self) -> None:
        """Verify that each hugepage is in one place and each promise covered, or show the pool."""
        for size, pages in self._sizes.items():
            of_size = [subpool for subpool in self._subpools if subpool.size == size]
            out = [page for subpool in of_size for page in subpool.outstanding]
            everywhere = {*out, *pages.returned, *range(pages.fresh, pages.total)}
            shown = f"{size_name(size)}: {pages}, outstanding {out}"
            places = len(out) + len(pages.returned) + pages.total - pages.fresh
            assert len(everywhere) == places == pages.total - pages.lost, f"hugepages lost or in two places: {shown}"
            promised = sum(subpool.unused for subpool in of_size)
            assert promised == pages.reserved, f"{promised} promised, but {shown}"
            assert pages.reserved <= pages.free, f"more promised than free: {shown}"
            for subpool in of_size:
                assert subpool.unused >= 0, f"a file took more than its {subpool.limit}: {shown}"


@attrs.define(eq=False)
class Subpool:
    """The hugepages of one file: at most ``limit`` of ``size`` bytes, promised from the start."""

    size: int
    limit: int
    _pool: HugePool
    _pages: _Size
    outstanding: set[int] = attrs.field(factory=set, init=False)
    """The hugepages that have been taken and not given back."""
    released: bool = attrs.field(default=False, init=False)
    """Whether the file is closed."""

    @property
    def unused(self) -> int:
        """Hugepages promised and not taken; none once the file is closed."""
        return 0 if self.released else self.limit - len(self.outstanding)

    def take(self) -> int:
        """The index of a hugepage from the reservation; :class:`OutOfMemory` if all of it is in use.

        ``AssertionError`` if the file is closed: that is a bug in the caller.
        """
        if self.released:
            raise AssertionError("taking a hugepage for a closed file")
        if not self.unused:
            raise OutOfMemory(f"all {self.limit} hugepages of {size_name(self.size)} of the file are in use")
        self._pages.reserved -= 1
        page = self._pages.take_lowest()
        self.outstanding.add(page)
        return page

    def give_back(self, page: int) -> None:
        """Return hugepage ``page``; ``AssertionError`` if this file has not taken it."""
        if page not in self.outstanding:
            raise AssertionError(f"hugepage {page} of {size_name(self.size)} is not the file's to give back")
        self.outstanding.remove(page)
        heapq.heappush(self._pages.returned, page)
        if not self.released:
            self._pages.reserved += 1
        elif not self.outstanding:
            self._pool._subpools.remove(self)

    def discard(self, page: int) -> None:
        """Hugepage ``page`` has a memory error: it leaves the pool for good, and the file's promise is one less."""
        if page not in self.outstanding:
            raise AssertionError(f"hugepage {page} of {size_name(self.size)} is not the file's to discard")
        self.outstanding.remove(page)
        self.limit -= 1
        self._pages.lost += 1
        if self.released and not self.outstanding:
            self._pool._subpools.remove(self)

    def release(self) -> None:
        """Close the file: what it has not taken is free for others now, the rest once it is given back.

        ``AssertionError`` if it is closed already.
        """
        if self.released:
            raise AssertionError("closing a file twice")
        self._pages.reserved -= self.unused
        self.released = True
        if not self.outstanding:
            self._pool._subpools.remove(self)
