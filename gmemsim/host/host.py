# SPDX-License-Identifier: GPL-2.0-or-later
"""The modelled host: one ledger, one pool, one registry of folios, and the switches of its kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from gmemsim.geometry import Geometry
from gmemsim.host.folio_registry import FolioRegistry
from gmemsim.host.hugetlb import HugePool
from gmemsim.host.ledger import Holder, Ledger
from gmemsim.host.slab import object_sizes
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.host.work import Work
from gmemsim.xarray import Profile

HOST = "(host)"
"""Who holds what belongs to no guest: the registry's nodes and the vmemmap's page tables."""

STRUCT_PAGE_BYTES_OF = {"struct-page": 64, "struct-page-32": 32, "struct-page-8": 8, "folio-descriptors": 8}
"""Bytes of vmemmap per base page in every memdesc regime (kernelnewbies' memdesc plan, DOMAIN.md section 5)."""


@attrs.frozen(kw_only=True)
class KernelSwitches:
    """What differs between the kernels that a host may run; see ``scenario.schema.HostSpec`` for the meanings."""

    xarray: Profile = "rfc"
    memdesc: str = attrs.field(default="struct-page", validator=attrs.validators.in_(STRUCT_PAGE_BYTES_OF))
    synchronize_rcu: bool = False
    account_nodes: bool = True
    shared_tail_pages: bool = False


class Host:
    """A host with ``hugetlb`` hugepages (size in bytes -> number) and ``kernel_memory`` bytes for metadata.

    ``rcu_grace`` is in ns.  Folios of all guests are counted by order in ``folios``.

    >>> host = Host(hugetlb={1 << 30: 4})
    >>> host.pool.available(1 << 30)
    4
    """

    def __init__(
        self,
        *,
        geometry: Geometry | None = None,
        hugetlb: Mapping[int, int] | None = None,
        kernel_memory: int | None = None,
        rcu_grace: int = 10_000_000,
        kernel: KernelSwitches | None = None,
    ) -> None:
        self.geometry = geometry or Geometry()
        self.kernel = kernel or KernelSwitches()
        self.ledger = Ledger(object_sizes(self.geometry.page_size), budget=kernel_memory, rcu_grace=rcu_grace)
        self.work = Work()
        self.pool = HugePool(hugetlb or {})
        self.vmemmap = VmemmapLayout(self.geometry, STRUCT_PAGE_BYTES_OF[self.kernel.memdesc])
        self.folio_descriptors = self.kernel.memdesc == "folio-descriptors"
        self.registry = FolioRegistry(self.ledger.holder("registry_nodes", HOST))
        self.folios: Counter[int] = Counter()
        self.unoptimised: dict[tuple[int, int], int] = {}
        """Hugepages in the pool, by (order, index), whose vmemmap could not be optimised: how many pages that is."""
        self.vmemmap_of_pool: Holder = self.ledger.holder("vmemmap", HOST)
        """Who holds those pages."""
        self.vmemmap_of_pool.known = self._left_unoptimised
        self._vmemmap_tables = self.ledger.holder("vmemmap_page_tables", HOST)
        self._vmemmap_tables.known = self._tables_of_optimised
        self._optimised: set[int] = set()
        """Sizes of hugepages, in bytes, whose pool has been optimised."""

    def optimise_pool(self, size: int) -> None:
        """HVO optimises the free hugepages of ``size`` bytes once: the PTE pages for that are never given back.

        The kernel does this when the pool is made (``hugetlb_vmemmap_optimize_folios``).  Raises ``OutOfMemory``.
        """
        if size in self._optimised:
            return
        self._vmemmap_tables.alloc(self._tables_of(size))
        self._optimised.add(size)

    def optimises(self, size: int) -> bool:
        """Whether HVO has optimised the pool of hugepages of ``size`` bytes."""
        return size in self._optimised

    def _tables_of(self, size: int) -> int:
        return self.vmemmap.page_tables_for(self.geometry.order_of(size), self.pool.total(size))

    def _tables_of_optimised(self) -> int:
        return sum([self._tables_of(size) for size in self._optimised])

    def _left_unoptimised(self) -> int:
        return sum(self.unoptimised.values())

    def page_number(self, order: int, pool_index: int) -> int:
        """The physical page number of the first page of a hugepage."""
        return self.pool.address(self.geometry.size_of(order), pool_index) >> self.geometry.page_shift

    def count_flush(self) -> None:
        """One restore or optimise in the single-folio call: a TLB flush, and in older kernels a grace period."""
        work = self.work
        work.tlb_flushes += 1
        work.rcu_synchronisations += self.kernel.synchronize_rcu

    def check(self) -> None:
        """Verify ledger, pool and registry; ``AssertionError`` shows the one that is wrong."""
        self.ledger.check()
        self.pool.check()
        self.registry.check()
        assert all(count >= 0 for count in self.folios.values()), f"negative folios: {self.folios}"
        self.ledger.check_held(HOST)
