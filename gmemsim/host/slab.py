# SPDX-License-Identifier: GPL-2.0-or-later
"""Slabs: the sizes of the kernel's objects, and the memory that the slab allocator needs to hold them.

Theory of operation
-------------------
The ledger counts objects; the kernel takes whole *slabs* of 2^k pages
and cuts objects out of them.  The figures here are a **lower bound**: the fewest slabs that can hold so many
objects.  After a merge has freed most of the nodes, the rest may lie scattered over many slabs; that
fragmentation is not modelled, and every report of these figures says so.

SLUB takes the smallest slab that has room for a number of objects which grows with the CPUs of the machine,
and that wastes at most a sixteenth (``calculate_order()`` in mm/slub.c: 4 x (bits of the CPU count + 1)
objects).  The 24 of 16 to 31 CPUs gives the 28 nodes in 16 KiB of DOMAIN.md section 2, as any from 8 to 63
CPUs does.

Accounts that are made of pages (vmemmap, page tables) come from the page allocator and have no slabs.
"""

from __future__ import annotations

import attrs

from gmemsim.host.accounts import ACCOUNTS

MIN_OBJECTS = 24
"""Objects for which a slab must have room, on 16 to 31 CPUs (see above)."""

MAX_ORDER = 3
"""No slab is made larger than 2^3 pages to save waste (``slub_max_order``, Documentation/mm/slab.rst)."""


def object_sizes(page_size: int = 4096) -> dict[str, int]:
    """Bytes of one object of every account on a machine with base pages of ``page_size`` bytes (default: 4096)."""
    return {name: account.size(page_size) for name, account in ACCOUNTS.items()}


@attrs.frozen
class Slab:
    """How one slab is cut up: ``objects`` of ``object_bytes`` in ``slab_bytes``.

    >>> Slab.holding(576)
    Slab(object_bytes=576, objects=28, slab_bytes=16384)
    """

    object_bytes: int
    objects: int
    slab_bytes: int

    @classmethod
    def holding(cls, object_bytes: int, page_size: int = 4096) -> Slab:
        """The slab that SLUB chooses for objects of ``object_bytes``, at most a base page.

        ``page_size`` is the base page in bytes (default: 4096).  ``ValueError`` for larger objects, or smaller ones
        than a byte.
        """
        if not 0 < object_bytes <= page_size:
            raise ValueError(f"objects of {object_bytes} bytes do not fit into pages of {page_size}")
        orders = range(MAX_ORDER + 1)
        roomy = [order for order in orders if page_size << order >= MIN_OBJECTS * object_bytes] or [MAX_ORDER]
        tight = [o for o in roomy if (page_size << o) % object_bytes <= (page_size << o) // 16] or roomy
        slab_bytes = page_size << tight[0]
        return cls(object_bytes, slab_bytes // object_bytes, slab_bytes)

    def slabs_for(self, live: int) -> int:
        """The fewest slabs that hold ``live`` objects."""
        return -(-live // self.objects)

    def bytes_for(self, live: int) -> int:
        """The least memory, in bytes, that holds ``live`` objects."""
        return self.slabs_for(live) * self.slab_bytes


def slab_of(account: str, page_size: int = 4096) -> Slab:
    """The slab of the objects of ``account``; of accounts made of pages, each page is its own.

    ``page_size`` is the base page in bytes (default: 4096).  ``ValueError`` for an unknown account.
    """
    row = ACCOUNTS[account]
    if row.is_pages:
        return Slab(page_size, 1, page_size)
    return Slab.holding(row.size(page_size), page_size)
