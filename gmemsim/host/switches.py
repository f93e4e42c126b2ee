# SPDX-License-Identifier: GPL-2.0-or-later
"""What tells one host from another: the switches of its kernel, and the memory of its NUMA nodes.

What may live here: values.  What a host does with them is :mod:`gmemsim.host.host`'s, which may be compiled, as attrs
classes may not.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gmemsim.xarray import Profile

STRUCT_PAGE_BYTES_OF = {"struct-page": 64, "struct-page-32": 32, "struct-page-8": 8, "folio-descriptors": 8}
"""Bytes of vmemmap per base page in every memdesc regime (kernelnewbies' memdesc plan, DOMAIN.md section 5)."""

PAMTS = ("none", "static", "dynamic")
"""How the host keeps the TDX module's metadata: not at all, for all memory, or where it is mapped by base pages."""

CLEARINGS = ("allocation", "touch")
"""When hugepages are cleared: whole ones as they are allocated, or each page as it is first touched."""

STATIC_PAMT_PER_MILLE = 4
"""Static PAMT is "about 0.4 %" of memory (DOMAIN.md section 10), a rounded figure, so that its pages are an estimate.

Here it is taken of the hugepage pool, rounded up to pages; a host has it for all of its memory.
"""


@attrs.frozen(kw_only=True)
class KernelSwitches:
    """What differs between the kernels that a host may run.

    ``xarray``: what its splits can do.  ``memdesc``: what describes a page.  ``synchronize_rcu``: vmemmap is restored
    and optimised only after a grace period.  ``account_nodes``: preallocated nodes are charged.  ``shared_tail_pages``:
    one vmemmap tail page for each order and zone.  ``pamt``: TDX's metadata.  ``vmemmap_fallback``: restored vmemmap
    may come from another node.  ``clearing``: when hugepages are cleared.  Values and defaults are those of the
    scenario key ``host`` (``scenario.hostspec.HostSpec``).
    """

    xarray: Profile = "rfc"
    memdesc: str = attrs.field(default="struct-page", validator=attrs.validators.in_(STRUCT_PAGE_BYTES_OF))
    synchronize_rcu: bool = False
    account_nodes: bool = True
    shared_tail_pages: bool = False
    pamt: str = attrs.field(default="none", validator=attrs.validators.in_(PAMTS))
    vmemmap_fallback: bool = True
    clearing: str = attrs.field(default="allocation", validator=attrs.validators.in_(CLEARINGS))


@attrs.frozen(kw_only=True)
class NodeMemory:
    """One NUMA node: ``hugetlb`` hugepages (size in bytes -> number), ``kernel_memory`` bytes (default: no limit)."""

    hugetlb: Mapping[int, int] = attrs.field(factory=dict)
    kernel_memory: int | None = None
