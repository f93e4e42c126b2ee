# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts and guests for tests, and what can be seen of them from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.stage2 import LeafRule, MappingKind
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import Host
from gmemsim.host.switches import KernelSwitches, NodeMemory

K, M, G = 1 << 10, 1 << 20, 1 << 30
PAGE = 4 * K
GRACE = 1_000


def make_host(
    hugetlb: Mapping[int, int] | None = None,
    *,
    page_size: int = PAGE,
    kernel_memory: int | None = None,
    rcu_grace: int = GRACE,
    nodes: Sequence[int | None] = (),
    **switches: Any,
) -> Host:
    """A host; ``switches`` are those of :class:`KernelSwitches`.

    ``nodes``: budgets of NUMA nodes, each of which has the hugepages then.
    """
    return Host(
        geometry=Geometry(page_size),
        hugetlb=None if nodes else hugetlb,
        nodes=[NodeMemory(hugetlb=hugetlb or {}, kernel_memory=budget) for budget in nodes],
        kernel_memory=kernel_memory,
        rcu_grace=rcu_grace,
        kernel=KernelSwitches(**switches),
    )


def make_guest(
    backing: int = G,
    hugepages: int = 1,
    *,
    host: Host | None = None,
    mapping: MappingKind | None = None,
    page_size: int = PAGE,
    allocate: bool = True,
    shared: bool = False,
    vcpus: int = 16,
    switches: Mapping[str, Any] | None = None,
    stage2: LeafRule = "range",
    **policy: Any,
) -> GuestMemfd:
    """A guest of so many hugepages (or base pages), allocated; on a host of its own if none is given."""
    if host is None:
        pools = {backing: hugepages} if backing > page_size else None
        host = make_host(pools, page_size=page_size, **(switches or {}))
    size = backing * hugepages
    guest = GuestMemfd(
        host,
        "vm0",
        size=size,
        backing=backing,
        mapping=mapping,
        stage2=stage2,
        policy=Policy(**policy),
        initially_shared=shared,
        vcpus=vcpus,
    )
    if allocate:
        guest.allocate(0, size)
    return guest


def sound(guest: GuestMemfd) -> None:
    """Every law of the guest and of its host holds."""
    guest.check()
    guest.host.check()


def settle(host: Host) -> None:
    """Let a grace period pass."""
    host.ledger.advance(host.ledger.now + host.ledger.rcu_grace)


def live(guest: GuestMemfd, account: str) -> int:
    """Objects of ``account`` in all."""
    return guest.host.ledger.tallies[account].live


def usable(host: Host) -> dict[str, int]:
    """Objects live by account, without those that only wait for a grace period."""
    ledger = host.ledger
    waiting = dict.fromkeys(ACCOUNTS, 0)
    for guest in ledger.guests():
        for account in ACCOUNTS:
            waiting[account] += ledger.holder(account, guest).deferred
    return {account: ledger.tallies[account].live - waiting[account] for account in ACCOUNTS}


def attributes(guest: GuestMemfd) -> list[tuple[int, int]]:
    """The shared ranges."""
    return list(guest.inode.attributes.shared_ranges(0, guest.pages))


def layout(guest: GuestMemfd) -> list[tuple[int, int, int]]:
    """All folios in runs: (first, number, order)."""
    return list(guest.inode.filemap.folios(0, guest.pages))


def folios(guest: GuestMemfd) -> dict[int, int]:
    """Folios by order, as the filemap has them."""
    return dict(guest.inode.filemap.histogram(0, guest.pages))


def mapping(guest: GuestMemfd) -> list[tuple[int, int, int]]:
    """Stage-2 leaves as ranges of pages: (start, end, order)."""
    return list(guest.inode.stage2.leaves(0, guest.pages))


def state(guest: GuestMemfd) -> dict[str, Any]:
    """Everything that a call which fails must not change."""
    return {
        "attributes": attributes(guest),
        "filemap": layout(guest),
        "nodes": guest.inode.filemap.tree.nodes,
        "stage2": mapping(guest),
        "host_mapped": list(guest.inode.host_mapped.ranges(0, guest.pages)),
        "restored": {first: hugepage.restored for first, hugepage in guest.inode.hugepages.items()},
        "pool": {size: guest.host.pool.free(size) for size in guest.host.pool.sizes()},
        "ledger": usable(guest.host),
    }


def without(before: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A state without some of what it shows."""
    return {key: value for key, value in before.items() if key not in keys}


def outcome(call: Any) -> KernelError | None:
    """What ``call`` ended with: ``None`` or its error."""
    try:
        call()
    except KernelError as error:
        return error
    return None
