# SPDX-License-Identifier: GPL-2.0-or-later
"""One conversion explained: what a split takes, level by level, and what one shared page costs under every policy.

There are no formulas here: the figures are read from a tree that has been split, and from small hosts on which the
conversion has been carried out, so they are those of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, distinct_splits
from gmemsim.host.accounts import FOLIO_DESCRIPTOR_BYTES, XA_NODE_BYTES
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import Host
from gmemsim.host.slab import Slab
from gmemsim.host.switches import KernelSwitches
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.xarray import Profile, XArray


@attrs.frozen
class Level:
    """``nodes`` new nodes of one ``shift``."""

    shift: int
    nodes: int


@attrs.frozen
class SplitFacts:
    """What splitting one folio of ``order`` into folios of ``new_order`` takes, with the pages of ``geometry``.

    ``levels`` are the new nodes, from the top.
    """

    geometry: Geometry
    order: int
    new_order: int
    levels: tuple[Level, ...]
    reused_shift: int
    """Shift of the node that held the old entry and is kept."""
    vmemmap_pages: int
    """vmemmap pages that HVO's restore allocates, if the folio was an optimised hugepage."""
    vmemmap_pages_if_kept_optimised: int
    """The same if pieces that are hugepages themselves stay optimised (not implemented in any tree)."""

    @property
    def folios(self) -> int:
        """Folios after the split."""
        return 1 << self.order - self.new_order

    @property
    def nodes(self) -> int:
        """New XArray nodes."""
        return sum(level.nodes for level in self.levels)

    @property
    def node_bytes(self) -> int:
        """Bytes of the new nodes."""
        return self.nodes * XA_NODE_BYTES

    @property
    def slabs(self) -> tuple[int, int]:
        """The fewest slabs that hold the new nodes, and their bytes (a lower bound: fragmentation is not modelled)."""
        slab = Slab.holding(XA_NODE_BYTES, self.geometry.page_size)
        return slab.slabs_for(self.nodes), slab.bytes_for(self.nodes)

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of the folio descriptors, where those have replaced struct pages (the memdesc plan)."""
        return self.folios * FOLIO_DESCRIPTOR_BYTES

    @property
    def kernels(self) -> dict[str, bool]:
        """Which kernel's call can do it in one step."""
        return {
            "RFC xas_split_alloc + xas_split (Nov 2025)": self._accepted("rfc"),
            "upstream xas_split_alloc + xas_split": self._accepted("v6.15"),
            "xas_try_split (since 6.15)": XArray().try_split_fits(self.order, self.new_order),
        }

    def _accepted(self, profile: Profile) -> bool:
        try:
            XArray(profile=profile).check_depth(self.order, self.new_order)
        except OutOfMemory:
            return False
        return True


def explain_split(order: int, new_order: int, geometry: Geometry | None = None) -> SplitFacts:
    """Split one folio of ``order`` into folios of ``new_order`` in a tree of its own, and look.

    ``geometry`` (default: 4K pages) says what vmemmap that takes.  ``Invalid`` (EINVAL) unless
    ``0 <= new_order < order``.
    """
    geometry = geometry or Geometry()
    tree = XArray()
    tree.store_order(0, order, "folio")
    before = tree.levels().nodes
    with tree.split_alloc(0, order, new_order) as prealloc:
        tree.split(0, order, new_order, prealloc=prealloc)
    new = tree.levels().nodes - before
    layout = VmemmapLayout(geometry)
    folios = {new_order: 1 << order - new_order}
    return SplitFacts(
        geometry,
        order,
        new_order,
        tuple(Level(shift, new[shift]) for shift in sorted(new, reverse=True)),
        tree.chunk.levels[order],
        layout.needed(folios, order, reoptimised=False),
        layout.needed(folios, order, reoptimised=True),
    )


@attrs.frozen
class PolicyCost:
    """What sharing one base page out of a private hugepage costs under ``policy``.

    ``vmemmap_page_bytes`` is the size of a vmemmap page.
    """

    policy: Policy
    nodes: int
    """New XArray nodes."""
    vmemmap_pages: int
    """vmemmap pages restored, once the conversion is over."""
    vmemmap_peak: int
    """The most of them at any moment of it."""
    vmemmap_page_bytes: int
    folios: Counter[int]
    """Folios of the hugepage by order."""
    refused: str | None
    """Why the modelled kernel cannot do it."""

    @property
    def bytes(self) -> int:
        """Bytes of new nodes and restored vmemmap."""
        return self.nodes * XA_NODE_BYTES + self.vmemmap_pages * self.vmemmap_page_bytes

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of folio descriptors, where those have replaced struct pages (the memdesc plan)."""
        return self.folios.total() * FOLIO_DESCRIPTOR_BYTES


def share_one_page(policy: Policy, order: int, geometry: Geometry, kernel: KernelSwitches) -> PolicyCost:
    """Share the first page of a private hugepage of ``order`` under ``policy``, and read the ledger.

    The host, with pages of ``geometry`` and the switches of ``kernel``, is made for this.  ``ValueError`` if the policy
    does not fit the hugepage (a ladder that starts elsewhere).
    """
    size = geometry.size_of(order)
    host = Host(geometry=geometry, hugetlb={size: 1}, kernel=kernel)
    guest = GuestMemfd(host, "guest", size=size, backing=size, policy=policy)
    guest.allocate(0, size)
    before = guest.nodes()
    refused = None
    try:
        guest.set_attributes(0, geometry.page_size, private=False)
        if policy.splits_at_fault:
            guest.fault(0, by="host")
    except KernelError as error:
        refused = str(error)
    vmemmap = host.ledger.guest_tallies(guest.name)["vmemmap"]
    return PolicyCost(
        policy=policy,
        nodes=guest.nodes() - before,
        vmemmap_pages=vmemmap.live,
        vmemmap_peak=vmemmap.peak,
        vmemmap_page_bytes=geometry.page_size,
        folios=guest.folios,
        refused=refused,
    )


def costs_by_policy(
    policies: Mapping[str, Policy] | None, order: int, geometry: Geometry, kernel: KernelSwitches
) -> dict[str, PolicyCost]:
    """:func:`share_one_page` under each of ``policies``, by name (``None``: those that split differently and fit).

    The hugepage is of ``order`` (log2 of base pages) on a machine of that ``geometry``, whose ``kernel`` may refuse.
    ``ValueError``, with the name, for one of ``policies`` that does not fit it.
    """
    costs = {}
    usual = {name: PRESETS[name].policy for name in distinct_splits()}
    for name, policy in (usual if policies is None else policies).items():
        try:
            costs[name] = share_one_page(policy, order, geometry, kernel)
        except ValueError as error:
            if policies is not None:
                raise ValueError(f"{name}: {error}") from None
    return costs
