# SPDX-License-Identifier: GPL-2.0-or-later
"""The same workload under several policies, or several scenarios, side by side.

Theory of operation
-------------------
A :class:`Comparison` takes results that exist and puts their figures into rows, one value for each result.  The first
result is the *reference*; deltas and ratios are against it.  A row that is a metric has the metric's name
(``vmemmap.peak_bytes``), so a scenario can expect what was compared.

Times are as good as their prices, and profiles disagree.  ``costs`` prices the same counted work by several of them;
:attr:`Comparison.orders` says in which order each of them puts the results, so that one sees what depends on prices.

:func:`with_policy` gives a policy to every guest of a scenario.

What may live here: which figures are compared.  How they are shown is in the reports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, Literal

import attrs

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, distinct_splits
from gmemsim.host.costs import PROFILES
from gmemsim.host.work import Work
from gmemsim.messages import together
from gmemsim.results.keys import Unit
from gmemsim.results.metrics import find_metric, is_demand, metric_value
from gmemsim.results.page import outcome
from gmemsim.results.pricing import call_times
from gmemsim.results.timeline import TOTAL
from gmemsim.scenario.model import Scenario, Step
from gmemsim.sim.run import Result
from gmemsim.studies.sameness import told_of_sameness

ERRORS_OF_WORKLOAD: Final = ("EBADF", "EFAULT", "ENOTTY")
"""Errors that a call deserves under every policy: a closed file, the host in private memory, no in-place conversion."""


def check_fit(scenario: Scenario, policy: Policy) -> None:
    """``ValueError`` if ``policy`` does not fit the backing of a guest of ``scenario``."""
    for guest in scenario.guests:
        try:
            policy.rungs(scenario.host.geometry.order_of(guest.backing), scenario.host.geometry)
        except ValueError as error:
            raise ValueError(f"guest {guest.name}: {error}") from None


def with_policy(scenario: Scenario, policy: Policy) -> Scenario:
    """``scenario`` with ``policy`` for every guest; ``ValueError`` as of :func:`check_fit`.

    Of its expectations those stay that are about the workload (``results.metrics.is_demand``): calls asked for, say.
    The others were written for its own policies, and so were its errors, except :data:`ERRORS_OF_WORKLOAD`.
    """
    check_fit(scenario, policy)
    guests = tuple(attrs.evolve(guest, policy=policy) for guest in scenario.guests)
    workload = tuple(map(_without_errors_of_policies, scenario.workload))
    expect = tuple(expectation for expectation in scenario.expect if is_demand(expectation.metric))
    return attrs.evolve(scenario, guests=guests, workload=workload, expect=expect)


def _without_errors_of_policies(step: Step) -> Step:
    wanted = step.expect_error
    return step if wanted is None or wanted.errno in ERRORS_OF_WORKLOAD else attrs.evolve(step, expect_error=None)


def usual_policies(scenario: Scenario) -> dict[str, Policy]:
    """The named policies that differ in how they split or in their vmemmap and fit all guests of ``scenario``."""
    fitting = {}
    for name in distinct_splits():
        with contextlib.suppress(ValueError):
            check_fit(scenario, PRESETS[name].policy)
            fitting[name] = PRESETS[name].policy
    return fitting


@attrs.frozen
class ComparisonRow:
    """One figure of every result: its ``metric``, a ``label`` in words, and ``values`` in the order of the results.

    ``unit`` is that of the values; ``estimate`` (default: no) says that they are no exact counts.
    """

    metric: str
    label: str
    unit: Unit
    values: tuple[float, ...]
    estimate: bool = False

    @property
    def same(self) -> bool:
        """Whether all results have the same value."""
        return len(set(self.values)) == 1

    @property
    def deltas(self) -> tuple[float, ...]:
        """What each value is above the first."""
        return tuple(value - self.values[0] for value in self.values)

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Each value in parts of the first; ``None`` where the first is 0 and the value is not."""
        first = self.values[0]
        return tuple(1.0 if value == first else value / first if first else None for value in self.values)


@attrs.frozen(repr=False)
class Comparison:
    """``results`` by name, the reference first, and the ``rows`` of their figures; ``what`` is being compared.

    ``title`` is what the table is called.  ``metrics`` (default: none) have rows after those that every comparison has;
    all results must have them.  ``costs`` (default: none) are names of cost profiles, each of which has a row with the
    modelled time under it.  ``partial`` (default: no): not all that was to be compared has been run to its end.
    """

    title: str
    what: Literal["policy", "scenario"]
    results: Mapping[str, Result]
    partial: bool = False
    metrics: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    rows: tuple[ComparisonRow, ...] = attrs.field(init=False)

    @rows.default
    def _compare(self) -> tuple[ComparisonRow, ...]:
        return tuple(rows(list(self.results.values()), self.metrics, self.costs))

    @property
    def orders(self) -> dict[str, Order]:
        """By cost profile, the names of the results from the least modelled time to the most.

        Profiles of ``costs`` under which all results take the same time are left out: they order nothing.
        """
        rows = {row.metric: row for row in self.rows}
        found = {profile: _order(self.names, rows[_total_under(profile)].values) for profile in self.costs}
        return {profile: order for profile, order in found.items() if len(order) > 1}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the results, the reference first."""
        return tuple(self.results)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said first: sentences on the whole comparison, then those on single results."""
        notes = together(
            (name, note) for name, result in self.results.items() for note in result.summary.get("notes", ())
        )
        same = told_of_sameness(self.results) if self.what == "policy" else []
        return (*_across_hvo(self.results), *same, *notes)

    def __repr__(self) -> str:
        return f"<Comparison {self.title!r} of {', '.join(self.names)}>"

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<dt>{escape(name)}</dt><dd>{outcome(result.summary)}</dd>" for name, result in self.results.items()
        )
        return f"<p><b>{escape(self.title)}</b></p><dl>{lines}</dl>"

    @property
    def ok(self) -> bool:
        """Whether every expectation of every result holds."""
        return all(result.ok for result in self.results.values())


def _across_hvo(results: Mapping[str, Result]) -> list[str]:
    """A sentence if some results are of hosts with HVO and others of hosts without; none if all are alike."""
    uses = {name: {guest.policy.uses_hvo for guest in result.scenario.guests} for name, result in results.items()}
    if len(set().union(*uses.values())) < 2:
        return []
    without = ", ".join(name for name, found in uses.items() if False in found)
    return [
        f"HVO is off in {without} and on elsewhere: compare vmemmap_present, all vmemmap that is there;"
        " the account vmemmap is only what is restored"
    ]


Order = tuple[tuple[str, ...], ...]
"""Names of results in ascending order; those that are equal stand together."""

SAME_TIME = 1e-9
"""Times that differ by less than this part are equal: what is left is rounding."""


def _order(names: Sequence[str], times: Sequence[float]) -> Order:
    ascending = sorted(zip(times, names, strict=True), key=lambda pair: pair[0])
    groups: list[list[str]] = []
    before = -1.0
    for time, name in ascending:
        if before < 0 or time > before * (1 + SAME_TIME):
            groups.append([])
        groups[-1].append(name)
        before = time
    return tuple(map(tuple, groups))


def _total_under(profile: str) -> str:
    """What the row of the modelled time under ``profile`` is called."""
    return f"modelled_time_ns.total@{profile}"


def rows(results: Sequence[Result], metrics: Sequence[str] = (), costs: Sequence[str] = ()) -> list[ComparisonRow]:
    """The figures of ``results``, then those of ``metrics`` (default: none) that are not among them.

    Modelled times under the cost profiles ``costs`` (default: none) follow the one under the scenario's own.

    An account that is 0 in all results has no rows.
    """
    summaries = [result.summary for result in results]
    accounts = [
        name
        for name in summaries[0]["accounts"]
        if name != TOTAL and any(summary["accounts"][name]["allocated"] for summary in summaries)
    ]
    found = [
        _row(summaries, f"{name}.{key}", f"{name}, {word}")
        for key, word in (("peak_bytes", "peak"), ("live_bytes", "final"))
        for name in (TOTAL, *accounts)
    ]
    found += [
        _row(summaries, "filemap_nodes.peak", "XArray nodes, peak"),
        _row(summaries, "vmemmap.peak", "vmemmap pages, peak"),
        _sums("conversions.failed", "conversions failed", [summary["conversions"]["failed"] for summary in summaries]),
        _sums("splits", "splits", [summary["splits"] for summary in summaries]),
        _sums("merges", "merges", [summary["merges"] for summary in summaries]),
    ]
    present = (("peak", "peak"), ("live", "final"))
    found += [_row(summaries, f"vmemmap_present.{key}", f"vmemmap present, {word}") for key, word in present]
    found.append(_row(summaries, "host_faults", "host faults"))
    vain = _row(summaries, "conversions.zapped_in_vain", "zapped in vain")
    wrong = _sums("outcomes", "gone wrong", [summary["outcomes"] for summary in summaries])
    found += [row for row in (vain, wrong) if any(row.values)]
    found.append(_row(summaries, "modelled_time_ns.total", "modelled time"))
    found += [_row_of_costs(results, profile) for profile in costs]
    for metric, label, kind in (
        ("longest_call_ns", "longest call", None),
        ("longest_conversion_ns", "longest conversion", "convert"),
    ):
        longest = tuple(longest_call(result, kind) for result in results)
        found.append(ComparisonRow(metric, label, "ns", longest, estimate=True))
    there = {row.metric for row in found}
    return found + [_row(summaries, metric, metric) for metric in dict.fromkeys(metrics) if metric not in there]


def _row(summaries: Sequence[Mapping[str, Any]], metric: str, label: str) -> ComparisonRow:
    """The row of a ``metric``, which says its unit and whether it is an estimate."""
    number = find_metric(metric)
    values = tuple(metric_value(summary, metric) for summary in summaries)
    return ComparisonRow(metric, label, number.unit, values, number.estimate)


def _row_of_costs(results: Sequence[Result], profile: str) -> ComparisonRow:
    """The modelled times of the same work under ``profile``, with the scenario's own prices."""
    times = [
        PROFILES[profile].with_prices(result.scenario.host.prices).price(Work(**result.summary["work"]))["total"]
        for result in results
    ]
    return ComparisonRow(_total_under(profile), f"modelled time, {profile}", "ns", tuple(times), estimate=True)


def _sums(metric: str, label: str, counts: Sequence[Mapping[str, int]]) -> ComparisonRow:
    """The row of what ``metric`` leads to, added up."""
    return ComparisonRow(metric, label, "count", tuple(sum(each.values()) for each in counts))


def longest_call(result: Result, kind: str | None = None) -> float:
    """Modelled ns of the longest single call of ``result``, an estimate; ``kind``: only calls of it (default: any)."""
    events = [event for event in result.timeline.events if kind is None or event.kind == kind]
    return float(call_times(events, result.scenario.host.profile).max(initial=0.0))
