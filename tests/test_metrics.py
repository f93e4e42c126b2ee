# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics and the summary share one table: units, work, and what adding a row takes."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from gmemsim.host.work import COUNTERS, Work
from gmemsim.results.keys import BYTES, COUNT, Number
from gmemsim.results.metrics import find_metric, metric_faults, metric_value
from gmemsim.results.pricing import profile_of
from gmemsim.results.summary import CALL_KINDS, OUTCOMES, PARTS, Part, State
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.model import Expectation
from gmemsim.sim.run import Run, run
from gmemsim.sim.steps import CALLS
from gmemsim.studies.compare import Comparison
from gmemsim.studies.sweep import Plan, Variation, sweep

TEXT = """\
gmemsim: 1
title: One page out and back
host: {hugetlb: {1G: 2}}
guests: [{name: vm, memory: 1G, backing: 1G, count: 2}]
workload:
  - allocate: {guest: vm, offset: 0, size: 1G}
  - convert: {guest: vm, offset: 0, size: 4K, to: shared}
  - convert: {guest: vm-0, offset: 0, size: 4K, to: private, at: 1s}
expect:
  - {metric: METRIC, eq: 2}
"""


@pytest.mark.parametrize(
    ("metric", "unit", "estimate"),
    [
        ("filemap_nodes.peak", "count", False),
        ("accounts.vmemmap.live_bytes", "bytes", False),
        ("total.peak_bytes", "bytes", False),
        ("attributes.live", "count", True),
        ("guests.vm-1.attributes.peak_bytes", "bytes", True),
        ("guests.0.memory", "bytes", False),
        ("guests.0.filemap_nodes_charged", "count", False),
        ("end_time_ns", "ns", False),
        ("modelled_time_ns.split", "ns", True),
        ("slabs_at_least_bytes.filemap_nodes", "bytes", False),
        ("estimates.attributes.live_at_most", "count", True),
        ("work.slots_written", "count", False),
        ("splits.1G->4K", "count", False),
    ],
)
def test_a_metric_has_a_unit_and_may_be_an_estimate(metric: str, unit: str, estimate: bool) -> None:
    found = find_metric(metric, ("vm-0", "vm-1"))
    assert (found.unit, found.estimate) == (unit, estimate)
    assert found in (BYTES, COUNT) or isinstance(found, Number)


def test_all_metrics_that_a_summary_will_not_have_are_named() -> None:
    faults = metric_faults(("work.flushes", "vmemmap.peak", "guests.vm-2.folios.4K"), ("vm-0", "vm-1"), "x.yaml")
    assert [str(fault) for fault in faults] == [
        "x.yaml: metric 'work.flushes': found 'flushes', expected a part of the summary, did you mean 'tlb_flushes'?",
        "x.yaml: metric 'guests.vm-2.folios.4K': found 'vm-2', expected the name of a guest, did you mean 'vm-1'?",
    ]


def test_work_is_what_all_calls_have_done() -> None:
    result = run(parse_scenario(TEXT.replace("METRIC", "work.folios_split")))
    assert result.ok
    works = [event.work for event in result.timeline.events if event.work is not None]
    assert result.summary["work"] == dict(zip(COUNTERS, sum(works, Work()).counts(), strict=True))
    assert result.summary["work"]["nodes_freed"] == 4161
    assert metric_value(result.summary, "work.folios_merged") == 262144


def test_work_can_be_expected_compared_and_swept() -> None:
    text = TEXT.replace("METRIC", "work.tlb_flushes")
    scenario = parse_scenario(text)
    result = run(scenario)
    expected = attrs.evolve(scenario, expect=(Expectation(metric="work.tlb_flushes", op="eq", value=3),))
    assert run(expected).ok
    assert metric_value(result.summary, "work.tlb_flushes") == 3  # two restores and an optimise
    (row,) = (
        r for r in Comparison("", "policy", {"a": result}, metrics=("work.exits",)).rows if r.metric == "work.exits"
    )
    assert row.values == (3,)
    variation = Variation("host.synchronize_rcu", ("false", "true"))
    swept = sweep(Plan(text, "x.yaml", [variation], ["work.rcu_synchronisations"]))
    assert [row.results for _, row in swept] == [(0,), (3,)]


def test_the_times_say_how_far_they_may_be_off_and_what_is_not_in_them() -> None:
    text = TEXT.replace("METRIC", "folios.4K")
    summary = run(parse_scenario(text)).summary
    told, total = summary["estimates"]["modelled_time_ns"], summary["modelled_time_ns"]["total"]
    assert told["at_least"] < total < told["at_most"]
    assert metric_value(summary, "estimates.modelled_time_ns.at_most") == told["at_most"]
    assert told["not_priced"] == {"exits": 3}
    assert "vmemmap_pages_restored" in told["extrapolated"]
    assert "tlb_flushes" not in told["extrapolated"]
    assert "prices" not in told
    priced = run(parse_scenario(text.replace("host: {", "host: {prices: {exits: 3us}, "))).summary
    told = priced["estimates"]["modelled_time_ns"]
    assert (told["prices"], told["not_priced"]) == ({"exits": 3000}, {})
    assert priced["modelled_time_ns"]["exit"] == 9000
    assert profile_of(priced).figures["exits"].ns == 3000


def test_what_the_host_itself_holds_and_what_guests_hold_is_all_there_is() -> None:
    result = run(parse_scenario(TEXT.replace("METRIC", "host_accounts.vmemmap_page_tables.peak_bytes")))
    summary = result.summary
    assert summary["expect"][0]["value"] > 0
    for key in ("live", "live_bytes", "allocated"):
        guests = sum(guest["accounts"]["total"][key] for guest in summary["guests"])
        assert summary["host_accounts"]["total"][key] + guests == summary["accounts"]["total"][key]


def test_the_names_in_the_table_are_those_of_the_model() -> None:
    assert {step.key for step in CALLS} == set(CALL_KINDS)
    (guest, _) = Run(parse_scenario(TEXT.replace("METRIC", "folios.4K"))).guests.values()
    assert tuple(guest.outcomes()) == OUTCOMES


@pytest.fixture
def open_guests() -> Iterator[str]:
    """A metric of this test: one row."""

    def count(state: State) -> int:
        return sum(not guest.closed for guest in state.guests)

    PARTS.add("open_guests", Part(count, COUNT))
    yield "open_guests"
    PARTS.remove("open_guests")


def test_a_new_metric_is_one_row(open_guests: str) -> None:
    text = TEXT.replace("METRIC", open_guests)
    result = run(parse_scenario(text))
    assert (result.ok, result.summary["expect"][0]["value"]) == (True, 2)
    plan = Plan(text, "t", [Variation("seed", ("1", "2"))], (open_guests,))
    plan.check()
    assert [row.results for _, row in sweep(plan)] == [(2,), (2,)]
    comparison = Comparison("t", "policy", {"a": result, "b": result}, metrics=(open_guests,))
    assert comparison.rows[-1].metric == open_guests
    assert comparison.rows[-1].values == (2, 2)
