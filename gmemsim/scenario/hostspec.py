# SPDX-License-Identifier: GPL-2.0-or-later
"""The host of a scenario, as frozen values: its pages and pools, its NUMA nodes, what its kernel does, and prices.

Every attribute that a file can set is annotated with its kind, as in :mod:`gmemsim.scenario.model`, which offers what
is here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs

from gmemsim.host.costs import PROFILES, CostProfile
from gmemsim.host.geometry import PAGE_SIZES, Geometry
from gmemsim.host.switches import CLEARINGS, PAMTS
from gmemsim.scenario.format.kinds import Choice, Duration, Flag, Pools, Prices, Records, Size

Memdesc = Literal["struct-page", "struct-page-32", "struct-page-8", "folio-descriptors"]


@attrs.frozen(kw_only=True)
class NodeSpec:
    """A NUMA node of the host: its hugepages by size, and what its kernel memory may come to in bytes."""

    hugetlb: Annotated[Mapping[int, int], Pools("hugepages the node has, by size")] = attrs.field(factory=dict)
    kernel_memory: Annotated[
        int | None, Size("budget of what lies on the node; 0 is a node of movable memory", unlimited=True, zero=True)
    ] = None


@attrs.frozen(kw_only=True)
class HostSpec:
    """The host: its pages, its pools, the kernel's memory and what the modelled kernel does.

    ``hugetlb`` is the number of hugepages by size; ``kernel_memory`` the budget of all accounts together in
    bytes, ``None`` for unlimited; ``prices`` are in ns; ``rcu_grace`` how long a deferred free takes.  A host of
    ``nodes`` has their hugepages, and ``hugetlb`` is empty; :attr:`pools` has them all.
    """

    page_size: Annotated[int, Size("base page", allowed=PAGE_SIZES)] = 4096
    hugetlb: Annotated[Mapping[int, int], Pools("hugepages the host has, by size")] = attrs.field(factory=dict)
    kernel_memory: Annotated[int | None, Size("budget of all accounts together", unlimited=True)] = None
    rcu_grace: Annotated[int, Duration("time until a deferred free returns its memory")] = 10_000_000
    memdesc: Annotated[
        Memdesc,
        Choice(
            "what describes a page: 64, 32 or 8 bytes each, or 8 and 80 a folio",
            ("struct-page", "struct-page-32", "struct-page-8", "folio-descriptors"),
        ),
    ] = "struct-page"
    costs: Annotated[str, Choice("profile that prices the counted work", tuple(PROFILES))] = "default"
    prices: Annotated[Mapping[str, float], Prices("prices that the profile lacks or has wrong, by counter of work")] = (
        attrs.field(factory=dict)
    )
    xarray: Annotated[str, Choice("what the kernel's XArray can split", ("rfc", "v6.15"))] = "rfc"
    synchronize_rcu: Annotated[
        bool, Flag("vmemmap restore and optimise wait for a grace period (kernels until early 2026)")
    ] = False
    account_nodes: Annotated[bool, Flag("preallocated nodes are charged (kernels with the 2026 fix)")] = True
    shared_tail_pages: Annotated[bool, Flag("one shared vmemmap tail page per order and zone")] = False
    pamt: Annotated[
        Literal["none", "static", "dynamic"],
        Choice("TDX's metadata: none, 0.4 % of the pool, or a pair of pages for each 2M mapped by base pages", PAMTS),
    ] = "none"

    clearing: Annotated[
        Literal["allocation", "touch"],
        Choice("hugepages are cleared when they are allocated, or page by page at the first touch", CLEARINGS),
    ] = "allocation"
    nodes: Annotated[
        tuple[NodeSpec, ...], Records("NUMA nodes, which then have the hugepages; none if absent", NodeSpec, "a node")
    ] = ()
    vmemmap_fallback: Annotated[
        bool, Flag("vmemmap that HVO restores may come from another node (kernels since 6.7)")
    ] = True

    @property
    def pools(self) -> Mapping[int, int]:
        """Hugepages by size, of all nodes together."""
        pools: dict[int, int] = {}
        for counts in (self.hugetlb, *(node.hugetlb for node in self.nodes)):
            for size, number in counts.items():
                pools[size] = pools.get(size, 0) + number
        return pools

    @property
    def profile(self) -> CostProfile:
        """What prices the counted work: the profile ``costs`` with ``prices``."""
        return PROFILES[self.costs].with_prices(self.prices)

    @property
    def geometry(self) -> Geometry:
        """Orders and names of the host's page size."""
        return Geometry(self.page_size)
