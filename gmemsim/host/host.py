# SPDX-License-Identifier: GPL-2.0-or-later
"""The modelled host: one ledger, one pool, one registry of folios, and the switches of its kernel.

What stays when the last guest is gone: the PTE pages that map the pool's vmemmap page by page, which no kernel gives
back (DOMAIN.md section 5), and the vmemmap of hugepages that could not be optimised again when they were merged.  The
latter is possible only with shared tail pages, where optimising takes a page for the new head; such a hugepage goes
back to the pool unoptimised and its next user finds it so (:attr:`Host.unoptimised`).  ``check()`` holds the ledger to
exactly these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gmemsim.errors import OutOfMemory
from gmemsim.host.folio_registry import FolioRegistry
from gmemsim.host.geometry import Geometry
from gmemsim.host.hugetlb import HugePool
from gmemsim.host.ledger import Holder, Ledger
from gmemsim.host.nodes import Nodes
from gmemsim.host.slab import object_sizes
from gmemsim.host.switches import STATIC_PAMT_PER_MILLE, STRUCT_PAGE_BYTES_OF, KernelSwitches, NodeMemory
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.host.work import Work
from gmemsim.units import duration_of, human_size, size_of
from gmemsim.xarray.check import Verified
from gmemsim.xarray.node import INDEX_BITS

HOST = "(host)"
"""Who holds what belongs to no guest: the registry's nodes and the vmemmap's page tables."""


def by_order(counts: Sequence[int]) -> Counter[int]:
    """``counts``, whose places are orders, by order: those that are not 0."""
    return Counter({order: count for order, count in enumerate(counts) if count})


class Host:
    """A host with ``hugetlb`` hugepages (size in bytes -> number; default: none) and ``kernel_memory`` bytes.

    Sizes and times may be text with a unit: ``{"1G": 4}``, ``"64M"``, ``"10ms"``.
    ``geometry`` (default: 4K pages) and ``kernel`` (default: today's switches) say what machine and kernel it is;
    ``kernel_memory`` is the budget of all accounts in bytes (default: no limit), ``rcu_grace`` how long a deferred free
    takes, in ns (default: 10 ms).  ``nodes`` are its NUMA nodes, which then have the hugepages (default: no NUMA);
    ``kernel_memory`` limits them all together.  Folios of all guests are counted by order in ``folios``.
    ``ValueError`` for hugepages that no machine has with the geometry's base pages (``Geometry.hugepage_sizes``), or of
    the host where nodes have them, and for PAMT where no page is 4K; ``OutOfMemory`` if static PAMT does not fit into
    the budget.

    >>> host = Host(hugetlb={1 << 30: 4})
    >>> host.pool.available(1 << 30)
    4
    """

    def __init__(
        self,
        *,
        geometry: Geometry | None = None,
        hugetlb: Mapping[int, int] | Mapping[str, int] | None = None,
        kernel_memory: int | str | None = None,
        rcu_grace: int | str = 10_000_000,
        kernel: KernelSwitches | None = None,
        nodes: Sequence[NodeMemory] = (),
    ) -> None:
        self.geometry = geometry or Geometry()
        if nodes and hugetlb:
            raise ValueError("the hugepages are the nodes', found hugetlb of the host beside nodes")
        pools = [node.hugetlb for node in nodes] or [{size_of(size): count for size, count in (hugetlb or {}).items()}]
        for size in {size for pool in pools for size in pool}:
            if problem := self.geometry.hugepage_problem(size):
                raise ValueError(problem)
        self.kernel = kernel or KernelSwitches()
        if problem := self.geometry.pamt_problem(self.kernel.pamt):
            raise ValueError(problem)
        self.ledger = Ledger(
            object_sizes(self.geometry.page_size),
            budget=None if kernel_memory is None else size_of(kernel_memory),
            rcu_grace=duration_of(rcu_grace),
            nodes=self._make_nodes(nodes),
        )
        self.work = Work()
        self.pool = HugePool(*pools)
        self.vmemmap = VmemmapLayout(self.geometry, STRUCT_PAGE_BYTES_OF[self.kernel.memdesc])
        self.folio_descriptors = self.kernel.memdesc == "folio-descriptors"
        self.registry = FolioRegistry(self.ledger.holder("registry_nodes", HOST))
        self.folios_of = [0] * INDEX_BITS
        """Folios of all guests by order."""
        self.unoptimised: dict[tuple[int, int], int] = {}
        """Hugepages in the pool, by (order, index), whose vmemmap could not be optimised: how many pages that is."""
        self.vmemmap_of_pool: Holder = self.ledger.holder("vmemmap", HOST)
        """Who holds those pages."""
        self.vmemmap_of_pool.known = self._left_unoptimised
        self.static_pamt = 0
        """Pages of static PAMT, an estimate."""
        pamt = self.ledger.holder("pamt", HOST)
        pamt.known = self._known_pamt
        if self.kernel.pamt == "static":
            for node in range(len(pools)):
                self._take_static_pamt(pamt, node)
        self._vmemmap_tables = self.ledger.holder("vmemmap_page_tables", HOST)
        self._vmemmap_tables.known = self._tables_of_optimised
        self._optimised: set[int] = set()
        """Sizes of hugepages, in bytes, whose pool has been optimised."""

    def __repr__(self) -> str:
        held = human_size(self.ledger.total.live_bytes)
        return f"<Host: {self.geometry.name(0)} pages, {held} held for guests' memory>"

    def _make_nodes(self, nodes: Sequence[NodeMemory]) -> Nodes | None:
        bound = () if self.kernel.vmemmap_fallback else ("vmemmap",)
        return Nodes([node.kernel_memory for node in nodes], bound=bound) if nodes else None

    def _take_static_pamt(self, pamt: Holder, node: int) -> None:
        pages = -(-self.pool.node_bytes(node) * STATIC_PAMT_PER_MILLE // 1000 // self.geometry.page_size)
        self._settle(node)
        pamt.alloc(pages)
        self.static_pamt += pages
        self._settle(0)

    def _settle(self, node: int) -> None:
        """What the host takes for itself has its home on ``node``."""
        if self.ledger.nodes is not None:
            self.ledger.nodes.settle(HOST, node)

    def optimise_pool(self, size: int) -> None:
        """HVO optimises the free hugepages of ``size`` bytes once: the PTE pages for that are never given back.

        The kernel does this when the pool is made (``hugetlb_vmemmap_optimize_folios``).  Raises ``OutOfMemory``.
        """
        if size in self._optimised:
            return
        taken = 0
        try:
            for node, tables in enumerate(self._tables_of(size)):
                self._settle(node)
                self._vmemmap_tables.alloc(tables)
                taken += tables
        except OutOfMemory:
            self._vmemmap_tables.free(taken)
            raise
        finally:
            self._settle(0)
        self._optimised.add(size)

    def optimises(self, size: int) -> bool:
        """Whether HVO has optimised the pool of hugepages of ``size`` bytes."""
        return size in self._optimised

    def _tables_of(self, size: int) -> list[int]:
        """PTE pages for the vmemmap of the hugepages of ``size`` on each node."""
        order = self.geometry.order_of(size)
        return [self.vmemmap.page_tables_for(order, total) for total, _ in self.pool.by_node(size)]

    def _tables_of_optimised(self) -> int:
        return sum([sum(self._tables_of(size)) for size in self._optimised])

    def _known_pamt(self) -> int:
        return self.static_pamt

    def _left_unoptimised(self) -> int:
        return sum(self.unoptimised.values())

    @property
    def folios(self) -> Counter[int]:
        """Folios of all guests by order.  A copy, O(orders)."""
        return by_order(self.folios_of)

    def page_number(self, order: int, pool_index: int) -> int:
        """The physical page number of the first page of hugepage ``pool_index`` of ``order``."""
        return self.pool.address(self.geometry.size_of(order), pool_index) >> self.geometry.page_shift

    def count_flush(self) -> None:
        """One restore or optimise in the single-folio call: a TLB flush, and in older kernels a grace period."""
        work = self.work
        work.tlb_flushes += 1
        work.rcu_synchronisations += self.kernel.synchronize_rcu

    def check(self, known: Verified | None = None) -> None:
        """Verify ledger, pool and registry; ``AssertionError`` shows the one that is wrong.

        ``known``: the nodes of the registry that were right the last time (default: none).
        """
        self.ledger.check()
        self.pool.check()
        self.registry.check(known)
        assert min(self.folios_of) >= 0, f"negative folios: {self.folios}"
        self.ledger.check_held(HOST)
