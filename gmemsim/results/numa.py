# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary's part on NUMA nodes: hugepages and kernel memory of each, and what had to go to another.

What may live here: what the summary says of a node.  Where objects lie is :mod:`gmemsim.host.nodes`'s.
"""

from __future__ import annotations

from typing import Any

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.host import Host
from gmemsim.host.nodes import Node
from gmemsim.results.keys import BYTES, COUNT, NODE, SIZE, Fixed
from gmemsim.units import size_name


def node_keys() -> Fixed:
    """The keys below ``nodes``."""
    tally: Fixed = {"live": COUNT, "live_bytes": BYTES}
    return {
        NODE: {
            "hugepages": {SIZE: {"total": COUNT, "free": COUNT}},
            "kernel_memory": {"live_bytes": BYTES, "peak_bytes": BYTES, "limit_bytes": BYTES},
            "fallbacks": COUNT,
            "accounts": dict.fromkeys(ACCOUNTS, tally),
        }
    }


def nodes_of(host: Host) -> dict[str, Any] | None:
    """Every node of ``host`` by its number, as text; ``None`` where nodes are not modelled.  O(holders x nodes)."""
    nodes = host.ledger.nodes
    if nodes is None:
        return None
    return {str(node.number): _node(host, node) for node in nodes.all}


def _node(host: Host, node: Node) -> dict[str, Any]:
    limit = {} if node.budget is None else {"limit_bytes": node.budget}
    return {
        "hugepages": {size_name(size): _hugepages(host, size, node.number) for size in host.pool.sizes()},
        "kernel_memory": {"live_bytes": node.live_bytes, "peak_bytes": node.peak_bytes, **limit},
        "fallbacks": node.fallbacks,
        "accounts": _accounts(host, node.number),
    }


def _hugepages(host: Host, size: int, number: int) -> dict[str, int]:
    total, free = host.pool.by_node(size)[number]
    return {"total": total, "free": free}


def _accounts(host: Host, number: int) -> dict[str, dict[str, int]]:
    """What of every account lies on the node."""
    found = {name: {"live": 0, "live_bytes": 0} for name in ACCOUNTS}
    assert host.ledger.nodes is not None
    for holder in host.ledger.holders():
        live = host.ledger.nodes.placed(holder)[number]
        found[holder.account]["live"] += live
        found[holder.account]["live_bytes"] += live * holder.object_bytes
    return found


def full_nodes(host: Host) -> list[str]:
    """A sentence for every NUMA node of ``host`` that has sent objects to others."""
    nodes = () if host.ledger.nodes is None else host.ledger.nodes.all
    return [
        f"node {node.number} was full: {node.fallbacks:,} objects that wanted it are from other nodes"
        for node in nodes
        if node.fallbacks
    ]
