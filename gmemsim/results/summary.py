# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of a run as one JSON object: what ``gmemsim run --json`` prints.

Theory of operation
-------------------
The object is made of parts, in the order of :data:`PARTS`.  A :class:`Part` is one row: its key, how its value is
computed from a :class:`State`, and the numbers in it that can be named as metrics.  The object of each guest, in the
list ``guests``, is made in the same way of :data:`GUEST_PARTS`.  :mod:`gmemsim.results.metrics` walks the same rows to
check a metric, so a new part is one new row and nothing else.

Schema 1 fixes the keys.  The documentation lists them with the words of each part; ``provenance`` alone may differ
where everything else is the same.

What may live here: parts of the summary.  Judging it (expectations) is the run's, showing it is for reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from gmemsim.gmem.attributes import node_bounds
from gmemsim.gmem.guest import GIB_SHIFT, GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import GIVEN, CostProfile
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import HOST, Host
from gmemsim.host.slab import slab_of
from gmemsim.host.tallies import Tally, Total
from gmemsim.host.work import COUNTERS, PHASES, Work
from gmemsim.registry import Registry
from gmemsim.results.keys import (
    BYTES,
    CHANGE,
    COUNT,
    DEMAND,
    DEMAND_BYTES,
    DEMAND_NS,
    ERRNO,
    ESTIMATED_COUNT,
    ESTIMATED_NS,
    NS,
    SIZE,
    Fixed,
    Keys,
    Number,
)
from gmemsim.results.numa import full_nodes, node_keys, nodes_of
from gmemsim.results.provenance import provenance

SCHEMA = 1
"""Version of the object's layout."""

CALL_KINDS = ("allocate", "convert", "fault", "pin", "unpin", "punch_hole", "poison", "close")
"""The calls that a guest's owner makes and the kernel may refuse, by the key of their step in a scenario."""

OUTCOMES = ("optimise_failures", "rollback_failures", "inconsistent_pages", "lost_hugepages")
"""What can go wrong without an errno, counted per guest and in all."""

Retries = Mapping[str, Counter[str]]
"""How often each guest's conversions were ``retried`` and ``given_up``."""

Calls = Mapping[str, Mapping[tuple[str, str | None], int]]
"""How often each guest's calls of a kind ended with an errno (``None``: success): guest -> (kind, errno) -> number."""


@attrs.frozen(kw_only=True)
class State:
    """A run at one moment, as the summary reads it.

    ``now``: simulated ns.  ``orders``: of the folios to report (:func:`folio_orders`).  ``calls``: how calls have ended
    so far.  ``retries``: how many conversions were ``retried`` and ``given_up``.  ``work``: all that the host has done.
    ``profile``: what prices it.  ``partial``: whether the workload is not at its end.  ``replays``: what the recorded
    logs of the workload hold.  ``verdicts``: those on expectations so far.
    ``scenario_sha256``: of the scenario's text, ``None`` if it has none.  ``settings``: what was put into that.
    ``title`` and ``seed`` are the scenario's; ``host`` and ``guests`` are as they are then.
    """

    title: str
    seed: int
    now: int
    host: Host
    guests: Sequence[GuestMemfd]
    orders: Sequence[int]
    calls: Calls
    work: Work
    profile: CostProfile
    retries: Retries = attrs.field(factory=dict)
    partial: bool = False
    replays: Sequence[Mapping[str, Any]] = ()
    verdicts: Sequence[Mapping[str, Any]] = ()
    scenario_sha256: str | None = None
    settings: Sequence[str] = ()

    def of(self, guest: GuestMemfd) -> State:
        """The same moment, of ``guest`` only."""
        return attrs.evolve(self, guests=(guest,))

    @property
    def guest(self) -> GuestMemfd:
        """The one guest of a state that :meth:`of` has made."""
        (guest,) = self.guests
        return guest


@attrs.frozen
class Part:
    """One key of the summary.

    ``fill`` computes the value; ``None`` leaves the key out.  ``keys`` is the shape of the numbers in it that are
    metrics (default: none).  ``words`` say what it is (default: the docstring of ``fill`` does).
    """

    fill: Callable[[State], Any]
    keys: Keys | None = None
    words: str = ""


PARTS: Registry[Part] = Registry("part of the summary")
"""The parts of the summary, in its order."""

GUEST_PARTS: Registry[Part] = Registry("part of a guest's summary")
"""The parts of a guest's object, in its order."""


def summarise(state: State) -> dict[str, Any]:
    """The whole object of ``state``.  O(guests), and O(what is mapped and shared)."""
    return _fill(PARTS, state)


def _fill(parts: Registry[Part], state: State) -> dict[str, Any]:
    values = ((name, part.fill(state)) for name, part in parts.items())
    return {name: value for name, value in values if value is not None}


# -- accounts ----------------------------------------------------------------------------------------------------------

_TALLY: Mapping[str, Number] = {
    "live": COUNT,
    "peak": COUNT,
    "allocated": COUNT,
    "freed": COUNT,
    "live_bytes": BYTES,
    "peak_bytes": BYTES,
}
"""What is known of an account: attributes of the ledger's tallies."""


def _row(tally: Tally | Total) -> dict[str, int]:
    return {key: getattr(tally, key) for key in _TALLY}


def account_keys() -> Fixed:
    """The keys below ``accounts``, which may be left out of a metric."""
    estimates = {name: account.estimate for name, account in ACCOUNTS.items()} | {"total": False}
    return {
        name: {key: attrs.evolve(number, estimate=estimate) for key, number in _TALLY.items()}
        for name, estimate in estimates.items()
    }


def _accounts(state: State) -> dict[str, dict[str, int]]:
    """Kernel memory by account, and in all: objects and bytes, now, at the highest, and since the start."""
    ledger = state.host.ledger
    return {name: _row(ledger.tallies[name]) for name in ACCOUNTS} | {"total": _row(ledger.total)}


def _host_accounts(state: State) -> dict[str, dict[str, int]]:
    """What the host itself holds, which is in no guest's numbers: by account that it has used, and in all."""
    held = _held_by(HOST, state.host)
    return {name: tally for name, tally in held.items() if tally["allocated"] or name == "total"}


def _held_by(name: str, host: Host) -> dict[str, dict[str, int]]:
    tallies = host.ledger.guest_tallies(name)
    return {account: _row(tally) for account, tally in tallies.items()} | {"total": _row(host.ledger.guest_total(name))}


def _slab_keys() -> Fixed:
    return dict.fromkeys(ACCOUNTS, BYTES)


def _slabs(state: State) -> dict[str, int]:
    """Least bytes of slabs that hold the live objects of each account (fragmentation is not modelled)."""
    page = state.host.geometry.page_size
    return {
        name: slab_of(name, page).bytes_for(state.host.ledger.tallies[name].live)
        for name, account in ACCOUNTS.items()
        if not account.is_pages
    }


# -- vmemmap -----------------------------------------------------------------------------------------------------------


def _vmemmap_present(state: State) -> dict[str, int]:
    """Bytes of all vmemmap of hugepage pools and of guests on base pages: kept by HVO, restored, or always there.

    How much is there all the time is fixed when the guests are made; what is restored beyond it is the account
    ``vmemmap``, so the peak of the sum is the sum of that and the account's peak.
    """
    return _present(_always_present(state), state.host.ledger.tallies["vmemmap"])


def _guest_vmemmap_present(state: State) -> dict[str, int]:
    """Bytes of all vmemmap of the guest's memory: kept by HVO, restored, or always there."""
    return _present(_vmemmap_of(state.guest), state.host.ledger.guest_tallies(state.guest.name)["vmemmap"])


def _present(always: int, restored: Tally | Total) -> dict[str, int]:
    live, peak = always + restored.live_bytes, always + restored.peak_bytes
    return {"live": live, "peak": peak, "live_bytes": live, "peak_bytes": peak}


def _vmemmap_of(guest: GuestMemfd) -> int:
    """Bytes of vmemmap that the memory of ``guest`` has all the time."""
    present = guest.host.vmemmap.present(guest.page_order, optimised=guest.policy.uses_hvo)
    return present * (guest.pages >> guest.page_order)


def _always_present(state: State) -> int:
    """Bytes of vmemmap of all guests, and of the hugepages that no guest has reserved."""
    host = state.host
    total = sum(map(_vmemmap_of, state.guests))
    for size in host.pool.sizes():
        reserved = sum(guest.size // size for guest in state.guests if guest.backing == size)
        order = host.geometry.order_of(size)
        total += host.vmemmap.present(order, optimised=host.optimises(size)) * (host.pool.total(size) - reserved)
    return total


# -- calls -------------------------------------------------------------------------------------------------------------

_CALLS: Fixed = {"requested": DEMAND, "succeeded": COUNT, "failed": {ERRNO: COUNT}}

_REMARKABLE = ("unchanged", "retried", "given_up", "zapped_in_vain")
"""What else is counted of conversions; like errnos, only what has happened has a key."""

_CONVERSIONS: Fixed = {**_CALLS, **dict.fromkeys(_REMARKABLE, COUNT)}


def _ended(state: State, kind: str) -> dict[str, Any]:
    """Calls of one kind: requested, succeeded, failed by errno."""
    ended: Counter[str | None] = Counter()
    for guest in state.guests:
        for (its_kind, errno), number in state.calls[guest.name].items():
            if its_kind == kind:
                ended[errno] += number
    failed = {errno: number for errno, number in sorted(ended.items(), key=str) if errno is not None}
    return {"requested": ended.total(), "succeeded": ended[None], "failed": failed}


def _conversions(state: State) -> dict[str, Any]:
    """Conversions requested, succeeded, failed, and what else there is to know of them."""
    more: Counter[str] = Counter()
    for guest in state.guests:
        more["unchanged"] += guest.stats.unchanged
        more["zapped_in_vain"] += guest.stats.zapped_in_vain
        more.update(state.retries.get(guest.name, {}))
    return _ended(state, "convert") | {key: more[key] for key in _REMARKABLE if more[key]}


def _calls(state: State) -> dict[str, Any]:
    """Calls of every kind, by the name of their step: requested, succeeded, failed by errno."""
    kinds = {kind for calls in state.calls.values() for kind, _ in calls}
    return {kind: _ended(state, kind) for kind in sorted(kinds)}


def _host_faults(state: State) -> int:
    """Calls by which the host touched shared memory."""
    return sum(guest.stats.host_faults for guest in state.guests)


def _outcomes(state: State) -> dict[str, int]:
    """What went wrong without an errno, by kind."""
    found = [guest.outcomes() for guest in state.guests]
    return {kind: sum(outcomes[kind] for outcomes in found) for kind in OUTCOMES}


# -- folios ------------------------------------------------------------------------------------------------------------


def folio_orders(geometry: Geometry, guests: Iterable[GuestMemfd]) -> tuple[int, ...]:
    """The orders to report, ascending: those that ``guests`` can reach, and the page table's of ``geometry``."""
    rungs = {rung for guest in guests for rung in guest.rungs}
    return tuple(sorted({0, geometry.pmd_order, geometry.pud_order} | rungs))


def _changes(counts: Iterable[Counter[tuple[int, int]]], geometry: Geometry) -> dict[str, int]:
    """Splits or merges by ``"1G->4K"``, the largest change first."""
    total: Counter[tuple[int, int]] = Counter()
    for count in counts:
        total.update(count)
    ordered = sorted(total.items(), key=lambda item: (-max(item[0]), min(item[0])))
    return {f"{geometry.name(before)}->{geometry.name(after)}": number for (before, after), number in ordered if number}


def _splits(state: State) -> dict[str, int]:
    """Folios taken apart, by the sizes before and after."""
    return _changes((guest.stats.splits for guest in state.guests), state.host.geometry)


def _merges(state: State) -> dict[str, int]:
    """Folios joined, by the sizes before and after."""
    return _changes((guest.stats.merges for guest in state.guests), state.host.geometry)


def _folios(state: State) -> dict[str, int]:
    """Folios of each size that the policies can reach, at the end."""
    counts: Counter[int] = Counter()
    for guest in state.guests:
        counts.update(guest.folios)
    return {state.host.geometry.name(order): counts[order] for order in state.orders}


# -- time --------------------------------------------------------------------------------------------------------------


def _modelled(state: State) -> dict[str, float]:
    """Modelled time of all work, by phase: an estimate."""
    return state.profile.price(state.work)


def regions_without_private(host: Host, guests: Iterable[GuestMemfd]) -> int:
    """Aligned GiB of the pool of ``host`` in which no SNP guest of ``guests`` has a private page.

    See ``GuestMemfd.private_regions``.  O(hugepages).
    """
    return host_regions(host) - len(set().union(*(guest.regions_with_private() for guest in guests)))


def host_regions(host: Host) -> int:
    """Aligned GiB that the hugepage pool of ``host`` lies in; the last may be filled in part."""
    return host.pool.regions(GIB_SHIFT)


def _host(state: State) -> dict[str, int]:
    """Aligned GiB of the hugepage pool, and those in which no SNP guest has a private page."""
    return {
        "regions": host_regions(state.host),
        "regions_without_private": regions_without_private(state.host, state.guests),
    }


def _static_pamt(state: State) -> dict[str, Any]:
    """The estimate of static PAMT, where the host has it."""
    pages = state.host.static_pamt
    source = "about 0.4 % of memory, a rounded figure, of the hugepage pool (DOMAIN.md section 10)"
    return {"pamt": {"static": pages, "source": source}} if pages else {}


def _estimates(state: State) -> dict[str, Any]:
    """What is no exact count: maple tree nodes with their bounds, static PAMT, and every time."""
    open_guests = (guest for guest in state.guests if not guest.closed and guest.pages > 1)
    bounds = [node_bounds(guest.attribute_ranges) for guest in open_guests]
    return {
        "attributes": {
            "live_at_least": sum(low for low, _ in bounds),
            "live_at_most": sum(high for _, high in bounds),
            "source": "nodes of a maple tree with so many ranges, measured on lib/maple_tree.c (6.12)",
        },
        **_static_pamt(state),
        "modelled_time_ns": _about_times(state.profile, state.work),
    }


def _about_times(profile: CostProfile, work: Work) -> dict[str, Any]:
    """What must be known to read the modelled times: where the prices are from, how far off, what is not in them."""
    low, high = profile.band(work)
    given = {name: price.ns for name, price in profile.figures.items() if price.source == GIVEN}
    told: dict[str, Any] = {"profile": profile.name, "source": profile.description, "at_least": low, "at_most": high}
    told["not_priced"] = profile.not_priced(work)
    told["extrapolated"] = profile.extrapolated(work)
    told |= {"leaves_out": profile.leaves_out} if profile.leaves_out else {}
    return told | ({"prices": given} if given else {})


def _work(state: State) -> dict[str, int]:
    """Exact counts of what the host has done; modelled times are computed from them."""
    return dict(zip(COUNTERS, state.work.counts(), strict=True))


def _notes(state: State) -> list[str] | None:
    """What must be said of the whole result, a sentence each; ``None`` if there is nothing."""
    notes = []
    lazy = (guest for guest in state.guests if guest.page_order and guest.policy.splits_at_fault)
    idle = [guest.name for guest in lazy if not guest.stats.host_faults]
    if idle:
        names = ", ".join(idle[:3]) + (f" and {len(idle) - 3:,} more" if len(idle) > 3 else "")
        split = "splits" if len(idle) == 1 else "split"
        notes.append(f"{names} {split} at the first host fault, and the host touched nothing: that split nothing")
    if bare := sum(guest.stats.without_memory for guest in state.guests):
        were = "1 conversion was" if bare == 1 else f"{bare:,} conversions were"
        notes.append(f"{were} of memory that is not allocated: nothing was split or merged there")
    if derived := sum(guest.stats.derived_splits for guest in state.guests):
        splits = "1 non-uniform split is" if derived == 1 else f"{derived:,} non-uniform splits are"
        notes.append(f"derived: {splits} around more than one page; folio_split works around one page")
    if pages := state.host.static_pamt:
        notes.append(f"estimate: {pages:,} pages of pamt are static, about 0.4 % of the hugepage pool")
    return notes + full_nodes(state.host) or None


def _charged(state: State) -> dict[str, int]:
    """What is charged to the guest's memcg, and its limit if it has one."""
    guest = state.guest
    limit = {} if guest.kernel_memory is None else {"limit_bytes": guest.kernel_memory}
    return {"charged_bytes": guest.charged_bytes(), **limit}


# -- provenance --------------------------------------------------------------------------------------------------------


def _provenance(state: State) -> dict[str, Any]:
    """What made the result, and of what; without a time or a place, so the same run gives the same object."""
    generations = (guest.policy.generation for guest in state.guests)
    return provenance(state.scenario_sha256, state.settings, generations, state.profile.name)


# -- the tables --------------------------------------------------------------------------------------------------------

_OUTCOMES: Fixed = dict.fromkeys(OUTCOMES, COUNT)

_ESTIMATES: Fixed = {
    "attributes": dict.fromkeys(("live_at_least", "live_at_most"), ESTIMATED_COUNT),
    "pamt": {"static": ESTIMATED_COUNT},
    "modelled_time_ns": {
        "at_least": ESTIMATED_NS,
        "at_most": ESTIMATED_NS,
        "not_priced": dict.fromkeys(COUNTERS, COUNT),
        "prices": dict.fromkeys(COUNTERS, NS),
    },
}

_PRESENT: Fixed = dict.fromkeys(("live", "peak", "live_bytes", "peak_bytes"), BYTES)
"""All in bytes; like an account's, so that whoever reads those finds it."""

_PARTS: Mapping[str, Part] = {
    "schema": Part(lambda state: SCHEMA, words="Version of this layout."),
    "title": Part(lambda state: state.title, words="The scenario's title."),
    "seed": Part(lambda state: state.seed, words="The scenario's seed."),
    "end_time_ns": Part(lambda state: state.now, DEMAND_NS, "When the run ended: a grace period after its last step."),
    "partial": Part(lambda state: state.partial or None, words="Whether the run was ended early."),
    "conversions": Part(_conversions, _CONVERSIONS),
    "splits": Part(_splits, {CHANGE: COUNT}),
    "merges": Part(_merges, {CHANGE: COUNT}),
    "folios": Part(_folios, {SIZE: COUNT}),
    "accounts": Part(_accounts, account_keys),
    "vmemmap_present": Part(_vmemmap_present, _PRESENT),
    "modelled_time_ns": Part(_modelled, dict.fromkeys((*PHASES.values(), "total"), ESTIMATED_NS)),
    "guests": Part(
        lambda state: [_fill(GUEST_PARTS, state.of(guest)) for guest in state.guests], words="The same, guest by guest."
    ),
    "calls": Part(_calls, dict.fromkeys(CALL_KINDS, _CALLS)),
    "host_faults": Part(_host_faults, DEMAND),
    "outcomes": Part(_outcomes, _OUTCOMES),
    "estimates": Part(_estimates, _ESTIMATES),
    "slabs_at_least_bytes": Part(_slabs, _slab_keys),
    "notes": Part(_notes),
    "host": Part(_host, {"regions": COUNT, "regions_without_private": COUNT}),
    "host_accounts": Part(_host_accounts, account_keys),
    "nodes": Part(lambda state: nodes_of(state.host), node_keys, "NUMA nodes by number, where the scenario has them."),
    "work": Part(_work, dict.fromkeys(COUNTERS, COUNT)),
    "replays": Part(lambda state: list(state.replays) or None, words="What the replayed logs held."),
    "provenance": Part(_provenance),
    "expect": Part(lambda state: list(state.verdicts), words="Each expectation: metric, verdict, value found."),
}

_GUEST_PARTS: Mapping[str, Part] = {
    "name": Part(lambda state: state.guest.name, words="Its name."),
    "memory": Part(lambda state: state.guest.size, DEMAND_BYTES, "Bytes of its memory."),
    "backing": Part(lambda state: state.guest.backing, DEMAND_BYTES, "Bytes of its hugepages, or of a base page."),
    "mapping": Part(lambda state: state.guest.mapping, words="How stage 2 maps its private memory."),
    "policy": Part(lambda state: state.guest.policy.as_file(), words="Its policy, key by key."),
    "conversions": Part(_conversions, _CONVERSIONS),
    "splits": Part(_splits, {CHANGE: COUNT}),
    "merges": Part(_merges, {CHANGE: COUNT}),
    "folios": Part(_folios, {SIZE: COUNT}),
    "accounts": Part(
        lambda state: _held_by(state.guest.name, state.host), account_keys, "What it holds by account, and in all."
    ),
    "vmemmap_present": Part(_guest_vmemmap_present, _PRESENT),
    "host_faults": Part(_host_faults, DEMAND),
    "outcomes": Part(_outcomes, _OUTCOMES),
    "filemap_nodes_charged": Part(
        lambda state: state.guest.charged_nodes(), COUNT, "Its filemap nodes that are charged to its memcg."
    ),
    "kernel_memory": Part(_charged, {"charged_bytes": BYTES, "limit_bytes": BYTES}),
}

for _name, _part in _PARTS.items():
    PARTS.add(_name, _part)
for _name, _part in _GUEST_PARTS.items():
    GUEST_PARTS.add(_name, _part)
