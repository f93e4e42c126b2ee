# SPDX-License-Identifier: GPL-2.0-or-later
"""What must always hold in a ledger, verified slowly: sums against parts, limits, frees that wait, NUMA nodes.

What may live here: invariants of :class:`gmemsim.host.ledger.Ledger`; what it does is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmemsim.host.ledger import Holder, Ledger
    from gmemsim.host.tallies import Total


def problems(ledger: Ledger) -> list[str]:
    """Every invariant of ``ledger`` that does not hold, a line each.  O(holders)."""
    found = [*_wrong_sums(ledger), *_wrong_limits(ledger), *_wrong_deferred(ledger)]
    return found if ledger.nodes is None else [*found, *ledger.nodes.problems(list(ledger.holders()))]


def _wrong_sums(ledger: Ledger) -> Iterator[str]:
    """Totals and accounts against the holders they are made of."""
    holders = list(ledger.holders())
    sums: list[tuple[str, Total, list[Holder]]] = [("total", ledger.total, holders)]
    sums += [(a, tally, [h for h in holders if h.account == a]) for a, tally in ledger.tallies.items()]
    sums += [(g, ledger.guest_total(g), [h for h in holders if h.guest == g]) for g in ledger.guests()]
    for name, whole, parts in sums:
        for field in ("live", "freed", "live_bytes"):
            if getattr(whole, field) != (found := sum(getattr(part, field) for part in parts)):
                yield f"{name}: {field} is {getattr(whole, field)}, but its holders have {found}"
        if whole.peak_bytes > sum(part.peak_bytes for part in parts):
            yield f"{name}: the peak of {whole.peak_bytes} bytes exceeds the peaks of its holders together"
    rows = [tally.live_bytes for tally in ledger.tallies.values()]
    if rows != ledger.live_row():
        yield f"the row is {ledger.live_row()}, but the accounts have {rows}"


def _wrong_limits(ledger: Ledger) -> Iterator[str]:
    """No figure below 0, none above the budget or a guest's limit."""
    for holder in ledger.holders():
        for field in ("live", "freed", "deferred"):
            if getattr(holder, field) < 0:
                yield f"{holder.account} of {holder.guest}: {field} is {getattr(holder, field)}"
    if ledger.budget is not None and ledger.total.peak_bytes > ledger.budget:
        yield f"{ledger.total.peak_bytes} bytes were live at once, the budget is {ledger.budget}"
    for guest, memcg in ledger.memcgs.items():
        if memcg.charged() > memcg.limit:
            yield f"{guest}: {memcg.charged()} bytes are charged, the limit is {memcg.limit}"
    if sum(ledger.high_water_row()) > ledger.total.peak_bytes:
        yield f"the high-water row {ledger.high_water_row()} exceeds the peak"


def _wrong_deferred(ledger: Ledger) -> Iterator[str]:
    """The holders' deferred objects against the queue and against what is live."""
    queued = dict.fromkeys(ledger.holders(), 0)
    for free in ledger.waiting():
        queued[free.owner] += free.objects
    for holder, waiting in queued.items():
        if holder.deferred != waiting or holder.deferred > holder.live:
            yield (
                f"{holder.account} of {holder.guest}: {holder.deferred} deferred of {holder.live} live,"
                f" but {waiting} are queued"
            )
    due = ledger.next_release()
    if due is not None and due <= ledger.now:
        yield f"a free due at {due} ns is overdue"
