# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts of kernel memory: one row each, with all that anyone needs to know of it.

A new account is a new row here, and the place that takes its memory.  The ledger, the summary, metrics, tables, figures
and slabs read this table; nothing else names an account, except whoever holds its objects.  An object's size is
in bytes; the size of an account made of pages is the base page.

*Charged* to the memcg of the guest is what the kernel allocates with ``__GFP_ACCOUNT``; the row says why.  Not charged:
the registry, whose XArray has no accounting flag (DOMAIN.md section 3); ``attributes``, whose nodes guest_memfd takes
with GFP_KERNEL (posted with "In-place conversion support"); ``vmemmap``, restored with GFP_KERNEL and
__GFP_RETRY_MAYFAIL (DOMAIN.md section 10).  Assumed not to be charged: ``folio_metadata``, since A's come from
kmalloc-64 and not from kmalloc-cg-64, and ``memdesc``, as struct pages are not.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from gmemsim.registry import Registry

XA_NODE_BYTES = 576
"""``sizeof(struct xa_node)`` with 64 slots on a 64-bit kernel (DOMAIN.md section 2)."""

MAPLE_NODE_BYTES = 256
"""``sizeof(struct maple_node)`` (DOMAIN.md section 3)."""

FOLIO_METADATA_BYTES = 32
"""guest_memfd's object for a hugepage in generation B (DOMAIN.md section 3); A's holder has a size of its own."""

FOLIO_DESCRIPTOR_BYTES = 80
"""A folio's memory descriptor in the memdesc plan (DOMAIN.md section 5)."""


@attrs.frozen
class Account:
    """One account.

    ``object_bytes``: bytes of one object, ``None`` for base pages.  ``estimate``: the number of objects is an estimate
    and not a count.  ``colour``: the account's colour in every figure, as ``#rrggbb``.  ``words``: what it is.
    ``charged``: why a guest's objects are charged to its memcg; empty if they are not (see above).  ``name`` is how
    files, metrics and figures call it.
    """

    name: str
    object_bytes: int | None
    colour: str
    words: str
    estimate: bool = False
    charged: str = ""

    @property
    def is_pages(self) -> bool:
        """Whether its objects are base pages, which come from the page allocator and not from a slab."""
        return self.object_bytes is None

    def size(self, page_size: int) -> int:
        """Bytes of one object on a machine with base pages of ``page_size`` bytes."""
        return page_size if self.object_bytes is None else self.object_bytes


ACCOUNTS: Registry[Account] = Registry("account")
"""Every account by name, in the order of rows and tables."""


def _add(rows: Iterable[Account]) -> None:
    for row in rows:
        ACCOUNTS.add(row.name, row)


_add(
    (
        Account(
            "filemap_nodes",
            XA_NODE_BYTES,
            "#0072B2",
            "XArray nodes of the guests' page caches, roots included",
            charged="the page cache has XA_FLAGS_ACCOUNT; those of splits: host.account_nodes (DOMAIN.md section 2)",
        ),
        Account("registry_nodes", XA_NODE_BYTES, "#56B4E9", "XArray nodes of the global registry of folio metadata"),
        Account(
            "attributes",
            MAPLE_NODE_BYTES,
            "#009E73",
            "maple tree nodes of the maps of shared and private ranges",
            estimate=True,
        ),
        Account("folio_metadata", FOLIO_METADATA_BYTES, "#F0E442", "guest_memfd's own objects for its hugepages"),
        Account("vmemmap", None, "#E69F00", "pages of struct pages that are present beyond what HVO keeps"),
        Account("vmemmap_page_tables", None, "#CC79A7", "PTE pages that map vmemmap page by page"),
        Account(
            "stage2_page_tables",
            None,
            "#D55E00",
            "tables of the guests' second-stage translation",
            charged="KVM takes its page tables with GFP_KERNEL_ACCOUNT (virt/kvm/kvm_main.c, arch/x86/kvm/mmu)",
        ),
        Account(
            "pamt",
            None,
            "#882255",
            "pages of the TDX module's metadata of memory (PAMT)",
            charged="a guest's pairs are taken with GFP_KERNEL_ACCOUNT (Edgecombe, Dynamic PAMT v4 07/16, Nov 2025)",
        ),
        Account(
            "memdesc",
            FOLIO_DESCRIPTOR_BYTES,
            "#999999",
            "folio descriptors, where a struct page has become a pointer to one",
        ),
    )
)
