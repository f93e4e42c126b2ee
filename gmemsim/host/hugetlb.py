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

On a host with NUMA nodes each has hugepages of its own, numbered on from those of the node before; its memory begins at
a multiple of 1 GiB and of its largest hugepage.  A file takes its hugepages from one node, as a VMM does that binds its
guest's memory: a reservation under ``MPOL_BIND`` that exceeds the free hugepages of the allowed nodes fails
(``allowed_mems_nr()``, mm/hugetlb.c).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import attrs

from gmemsim.errors import OutOfMemory
from gmemsim.units import size_name

_NODE_ALIGNMENT = 1 << 30
"""A node's memory begins at a multiple of this; so an aligned GiB of host memory belongs to one node."""


@attrs.define(eq=False)
class _Size:
    """The ``total`` hugepages of one size on one node: numbers from ``first`` on, addresses from ``first_byte`` on.

    Those never taken start at ``fresh``, ``returned`` is a heap.
    """

    total: int
    first: int
    first_byte: int
    reserved: int = 0
    lost: int = 0
    fresh: int = attrs.field(default=attrs.Factory(lambda self: self.first, takes_self=True))
    returned: list[int] = attrs.field(factory=list)

    @property
    def end(self) -> int:
        """The number after the last."""
        return self.first + self.total

    @property
    def free(self) -> int:
        return self.end - self.fresh + len(self.returned)

    def take_lowest(self) -> int:
        if self.returned:
            return heapq.heappop(self.returned)
        self.fresh += 1
        return self.fresh - 1


class HugePool:
    """The hugepages of the host: for each of its ``nodes``, how many there are of each size in bytes.

    Without NUMA there is one node.  ``ValueError`` for sizes that are no powers of two, and numbers below 0.

    >>> pool = HugePool({1 << 30: 4})
    >>> file = pool.reserve(1 << 30, 3)
    >>> file.take(), file.take(), pool.free(1 << 30), pool.available(1 << 30)
    (0, 1, 2, 1)
    """

    def __init__(self, *nodes: Mapping[int, int]) -> None:
        self._sizes: dict[int, list[_Size]] = {}
        self._nodes = len(nodes)
        self._subpools: list[Subpool] = []
        sizes = sorted({size for counts in nodes for size in counts}, reverse=True)
        first_byte = 0
        for node, counts in enumerate(nodes):
            alignment = max([_NODE_ALIGNMENT, *counts])
            first_byte = -(-first_byte // alignment) * alignment
            for size in sizes:
                number = counts.get(size, 0)
                if size <= 0 or size & (size - 1) or number < 0:
                    raise ValueError(f"{number} hugepages of {size} bytes: not a power of two, or negative")
                parts = self._sizes.setdefault(size, [])
                parts.append(_Size(number, parts[node - 1].end if node else 0, first_byte))
                first_byte += size * number

    def sizes(self) -> tuple[int, ...]:
        """The sizes of the pool in bytes, largest first."""
        return tuple(self._sizes)

    def node_bytes(self, node: int) -> int:
        """Bytes of all hugepages of ``node``, lost ones included."""
        return sum([size * parts[node].total for size, parts in self._sizes.items()])

    def regions(self, shift: int) -> int:
        """Aligned blocks of 2 to the ``shift`` bytes, of 1 GiB at most, that its memory lies in, perhaps in part."""
        return sum([-(-self.node_bytes(node) >> shift) for node in range(self._nodes)])

    def total(self, size: int) -> int:
        """Hugepages of ``size`` bytes in all; here and below, ``KeyError`` for a size that is not there."""
        return sum([part.total for part in self._sizes[size]])

    def by_node(self, size: int) -> list[tuple[int, int]]:
        """Hugepages of ``size`` bytes in all, and free ones, on each node."""
        return [(part.total, part.free) for part in self._sizes[size]]

    def free(self, size: int) -> int:
        """free hugepages of ``size``, promised ones included."""
        return sum([part.free for part in self._sizes[size]])

    def lost(self, size: int) -> int:
        """Hugepages of ``size`` that memory errors have taken out of the pool."""
        return sum([part.lost for part in self._sizes[size]])

    def reserved(self, size: int) -> int:
        """Hugepages of ``size`` promised to open files and not taken yet."""
        return sum([part.reserved for part in self._sizes[size]])

    def available(self, size: int) -> int:
        """Hugepages of ``size`` that new reservations can have, on all nodes together."""
        return sum([part.free - part.reserved for part in self._sizes[size]])

    def address(self, size: int, index: int) -> int:
        """The physical address, in bytes, of hugepage ``index`` of ``size``.  O(nodes)."""
        for part in self._sizes[size]:
            if index < part.end:
                return part.first_byte + (index - part.first) * size
        raise IndexError(f"hugepage {index} of {size_name(size)}")

    def reserve(self, size: int, n: int, node: int = 0) -> Subpool:
        """Promise ``n`` hugepages of ``size`` bytes on ``node`` (default: 0) to a new file.

        Raises :class:`OutOfMemory` (ENOMEM) if fewer are free and unreserved, ``ValueError`` for a negative ``n``.
        """
        if n < 0:
            raise ValueError(f"a file cannot reserve {n} hugepages")
        parts = self._sizes.get(size)
        pages = _Size(0, 0, 0) if parts is None else parts[node]
        available = pages.free - pages.reserved
        if n > available:
            where = f" on node {node}" if self._nodes > 1 else ""
            raise OutOfMemory(f"{n} hugepages of {size_name(size)} wanted{where}, {available} free and unreserved")
        subpool = Subpool(size=size, limit=n, pool=self, pages=pages)
        subpool._pages.reserved += n
        self._subpools.append(subpool)
        return subpool

    def check(self) -> None:
        """Verify that each hugepage is in one place and each promise covered, or show the pool."""
        for size, parts in self._sizes.items():
            for pages in parts:
                self._check(size, pages)

    def _check(self, size: int, pages: _Size) -> None:
        files = [subpool for subpool in self._subpools if subpool._pages is pages]
        out = [page for subpool in files for page in subpool.outstanding]
        everywhere = {*out, *pages.returned, *range(pages.fresh, pages.end)}
        places = len(out) + len(pages.returned) + pages.end - pages.fresh
        promised = sum(subpool.unused for subpool in files)

        def shown() -> str:  # long, and wanted in a message only
            return f"{size_name(size)}: {pages}, outstanding {out}"

        assert len(everywhere) == places == pages.total - pages.lost, f"hugepages lost or in two places: {shown()}"
        assert promised == pages.reserved, f"{promised} promised, but {shown()}"
        assert pages.reserved <= pages.free, f"more promised than free: {shown()}"
        for subpool in files:
            assert subpool.unused >= 0, f"a file took more than its {subpool.limit}: {shown()}"


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

    @property
    def next_fresh(self) -> int:
        """The index of the next of them."""
        return self._pages.fresh

    def fresh(self, most: int) -> int:
        """How many hugepages :meth:`take` would hand out next, ``most`` at most, that have never been taken before.

        Their numbers follow one another.
        """
        return 0 if self._pages.returned else min(most, self.unused)

    def take_fresh(self, n: int) -> range:
        """:meth:`take` of ``n`` hugepages, no more than :meth:`fresh` allows: their indices."""
        first = self._pages.fresh
        self._pages.reserved -= n
        self._pages.fresh += n
        taken = range(first, first + n)
        self.outstanding.update(taken)
        return taken

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
