# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of a run as one JSON object, and expectations tested against it.

The keys are fixed (schema 1): ``schema title seed end_time_ns conversions splits merges folios accounts
modelled_time_ns guests expect``.  Beside them stand ``calls`` (every kind of call, requested and failed), ``outcomes``
(what went wrong without an errno), ``estimates`` (what is no exact count, with its bounds) and
``slabs_at_least_bytes`` (a lower bound).
A metric is a dotted path into the object; ``accounts.`` may be left out, and what is absent is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gmemsim.geometry import Geometry
from gmemsim.gmem.attributes import node_bounds
from gmemsim.gmem.inode import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import CostProfile
from gmemsim.host.host import Host
from gmemsim.host.ledger import Tally, Total
from gmemsim.host.slab import slab_of
from gmemsim.host.work import Work
from gmemsim.results.metrics import OUTCOMES
from gmemsim.scenario.model import Expectation, GuestSpec

SCHEMA = 1
"""Version of the object's layout."""

Calls = dict[tuple[str, str, str | None], int]
"""How often a guest's call of a kind ended with an errno (``None``: success): (guest, kind, errno) -> number."""


def tally_row(tally: Tally | Total) -> dict[str, int]:
    """Live, peak, cumulative objects, and bytes, of one account."""
    return {
        "live": tally.live,
        "peak": tally.peak,
        "allocated": tally.allocated,
        "freed": tally.freed,
        "live_bytes": tally.live_bytes,
        "peak_bytes": tally.peak_bytes,
    }


def _outcomes(calls: Calls, kind: str, guest: str | None = None) -> dict[str, Any]:
    """Calls of one kind: requested, succeeded, failed by errno."""
    ended: Counter[str | None] = Counter()
    for (name, its_kind, errno), number in calls.items():
        if its_kind == kind and guest in (None, name):
            ended[errno] += number
    failed = {errno: number for errno, number in sorted(ended.items(), key=str) if errno is not None}
    return {"requested": ended.total(), "succeeded": ended[None], "failed": failed}


def _changes(counts: Mapping[tuple[int, int], int], geometry: Geometry) -> dict[str, int]:
    """Splits or merges by ``"1G->4K"``, the largest change first."""
    ordered = sorted(counts.items(), key=lambda item: (-max(item[0]), min(item[0])))
    return {f"{geometry.name(before)}->{geometry.name(after)}": number for (before, after), number in ordered if number}


def folio_orders(geometry: Geometry, rungs: Iterable[int]) -> list[int]:
    """The orders that a run reports, ascending: those it can reach, and the page table's sizes."""
    return sorted({0, geometry.pmd_order, geometry.pud_order, *rungs})


def _folios(counts: Mapping[int, int], orders: Iterable[int], geometry: Geometry) -> dict[str, int]:
    return {geometry.name(order): counts.get(order, 0) for order in orders}


def _guest(guest: GuestMemfd, spec: GuestSpec, orders: list[int], calls: Calls) -> dict[str, Any]:
    ledger, geometry = guest.host.ledger, guest.host.geometry
    accounts = {name: tally_row(tally) for name, tally in ledger.guest_tallies(guest.name).items()}
    charged = guest.filemap.tree.nodes - (0 if guest.host.kernel.account_nodes else guest.filemap.split_nodes)
    return {
        "name": guest.name,
        "memory": spec.memory,
        "backing": spec.backing,
        "mapping": spec.mapping,
        "policy": guest.policy.as_file(),
        "conversions": _outcomes(calls, "convert", guest.name),
        "splits": _changes(guest.stats.splits, geometry),
        "merges": _changes(guest.stats.merges, geometry),
        "folios": _folios(guest.folios, orders, geometry),
        "accounts": accounts | {"total": tally_row(ledger.guest_total(guest.name))},
        "outcomes": {
            "optimise_failures": guest.stats.optimise_failures,
            "rollback_failures": guest.stats.rollback_failures,
            "inconsistent_pages": guest.inconsistent.pages(0, guest.pages),
        },
        "filemap_nodes_charged": charged,
    }


def _estimates(guests: Iterable[GuestMemfd], profile: CostProfile) -> dict[str, Any]:
    """What is no exact count: maple tree nodes with their bounds, and every time."""
    bounds = [node_bounds(guest.attributes.ranges) for guest in guests if not guest.closed and guest.pages > 1]
    return {
        "attributes": {
            "live_at_least": sum(low for low, _ in bounds),
            "live_at_most": sum(high for _, high in bounds),
            "source": "nodes of a maple tree with so many ranges, measured on lib/maple_tree.c (6.12)",
        },
        "modelled_time_ns": {"profile": profile.name, "source": profile.description},
    }


def _slabs(host: Host) -> dict[str, int]:
    """Least bytes of slabs that hold the live objects of each account (fragmentation is not modelled)."""
    page = host.geometry.page_size
    return {
        name: slab_of(name, page).bytes_for(tally.live)
        for name, tally in host.ledger.tallies.items()
        if not ACCOUNTS[name].is_pages
    }


def summarise(
    host: Host,
    guests: Mapping[str, tuple[GuestMemfd, GuestSpec]],
    calls: Calls,
    work: Work,
    profile: CostProfile,
) -> dict[str, Any]:
    """The part of the object that describes the state now; title, seed, end and expectations are the caller's."""
    geometry, inodes = host.geometry, [guest for guest, _ in guests.values()]
    orders = folio_orders(geometry, (rung for guest in inodes for rung in guest.rungs))
    splits: Counter[tuple[int, int]] = Counter()
    merges: Counter[tuple[int, int]] = Counter()
    for guest in inodes:
        splits.update(guest.stats.splits)
        merges.update(guest.stats.merges)
    parts = [_guest(guest, spec, orders, calls) for guest, spec in guests.values()]
    accounts = {name: tally_row(host.ledger.tallies[name]) for name in ACCOUNTS}
    return {
        "conversions": _outcomes(calls, "convert"),
        "splits": _changes(splits, geometry),
        "merges": _changes(merges, geometry),
        "folios": _folios(host.folios, orders, geometry),
        "accounts": accounts | {"total": tally_row(host.ledger.total)},
        "modelled_time_ns": profile.price(work),
        "guests": parts,
        "calls": {kind: _outcomes(calls, kind) for kind in sorted({kind for _, kind, _ in calls})},
        "outcomes": {key: sum(part["outcomes"][key] for part in parts) for key in OUTCOMES},
        "estimates": _estimates(inodes, profile),
        "slabs_at_least_bytes": _slabs(host),
    }


def metric_value(summary: Mapping[str, Any], metric: str) -> int | float:
    """The number at the dotted path ``metric``; 0 where the path leads to nothing."""
    parts = metric.split(".")
    found: Any = summary
    if parts[0] == "guests" and len(parts) > 1:
        names = [guest["name"] for guest in summary["guests"]]
        index = names.index(parts[1]) if parts[1] in names else int(parts[1]) if parts[1].isdecimal() else len(names)
        if index >= len(names):
            return 0
        found, parts = summary["guests"][index], parts[2:]
    if parts[0] in found["accounts"]:
        found = found["accounts"]
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return 0
        found = found[part]
    return found if isinstance(found, int | float) else 0


def judge(expectation: Expectation, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of ``expect`` for one expectation, tested against ``summary``."""
    value = metric_value(summary, expectation.metric)
    entry: dict[str, Any] = {"metric": expectation.metric, "ok": expectation.holds(value), "value": value}
    entry |= {"op": expectation.op, "expected": expectation.value, "line": expectation.where.line}
    if expectation.rel is not None:
        entry["rel"] = expectation.rel
    if expectation.after is not None:
        entry["after"] = expectation.after
    return entry
