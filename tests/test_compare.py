# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparisons: policies from text, and rows whose figures are those of the runs."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.gmem.policy import KEYS as POLICY_KEYS
from gmemsim.gmem.policy import KEYS as READ
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, read_policy
from gmemsim.gmem.rules import MERGES, ORDERINGS, SPLITS, VMEMMAPS, Hysteresis
from gmemsim.host.costs import PROFILES
from gmemsim.results.metrics import metric_value
from gmemsim.results.pricing import PHASE_NAMES, call_times, phase_times
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.sim.run import Result, run
from gmemsim.studies import compare

SCENARIO = parse_scenario("""\
gmemsim: 1
title: Out and back
host: {hugetlb: {1G: 2, 2M: 4}}
guests: [{name: big, memory: 1G, backing: 1G}, {name: small, memory: 8M, backing: 2M}]
workload:
  - allocate: {guest: all, offset: 0, size: 8M}
  - convert: {guest: big, offset: 0, size: 4K, to: shared, at: 1s}
  - pin: {guest: big, offset: 0, size: 4K}
  - convert: {guest: big, offset: 0, size: 4K, to: private, at: 2s, expect_error: {errno: EAGAIN}}
  - wait: {for: 1s}
expect:
  - {metric: filemap_nodes.peak, eq: 4163}
""")

KEYS = {
    "split": st.sampled_from([*SPLITS.names(), (18, 12, 6, 0), (18, 0)]),
    "merge": st.sampled_from(MERGES.names()) | st.builds(Hysteresis, st.integers(1, 10**6)),
    "vmemmap": st.sampled_from(VMEMMAPS.names()),
}
PAIRS = [("conversion", ordering) for ordering in ORDERINGS.names()] + [("fault", "restructure-first")]
POLICIES = st.builds(
    lambda order, **keys: Policy(when=order[0], ordering=order[1], **keys), st.sampled_from(PAIRS), **KEYS
)


def as_text(policy: Policy) -> str:
    split = READ["split"].as_text(policy.split)
    merge = policy.merge if isinstance(policy.merge, str) else f"hysteresis-{policy.merge.limit}"
    rest = f"when:{policy.when},vmemmap:{policy.vmemmap},ordering:{policy.ordering}"
    return f"split:{split},merge:{merge},{rest}"


@given(POLICIES)
def test_every_policy_can_be_written(policy: Policy) -> None:
    assert read_policy(f"mine={as_text(policy)}") == ("mine", policy)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_by_its_name_or_another(name: str) -> None:
    assert read_policy(name) == (name, PRESETS[name].policy)
    assert read_policy(f"x={name}") == ("x", PRESETS[name].policy)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stagd", "found 'stagd', expected the name of a policy, did you mean 'staged'?"),
        ("qqq", "expected the name of a policy (`gmemsim policies` lists them)"),
        ("x=qqq", "expected the name of a policy"),
        ("x=", "found '', expected the name of a policy"),
        ("x=spilt:staged", "found the key 'spilt', expected a key of a policy, did you mean 'split'?"),
        (
            "x=split:stagd",
            f"expected split to be one of {', '.join(SPLITS.names())}, 18-12-6-0, did you mean 'staged'?",
        ),
        ("x=split:staged,split:uniform", "found the key 'split' twice"),
        ("x=split:staged,", f"found the key '', expected a key of a policy ({', '.join(POLICY_KEYS)})"),
        ("x=split:9-18-0", "strictly decreasing"),
        ("x=merge:hysteresis-0", "expected at least 1"),
        ("x=split:hysteresis-1", "found 'hysteresis-1', expected split"),
        ("x=when:٣", "expected when"),
        ("x=when:fault,ordering:reserve-first", "reserve-first cannot keep its promise"),
        ("a b=staged", "found the name 'a b'"),
        ("=staged", "found the name ''"),
    ],
)
def test_a_wrong_policy_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        read_policy(text)
    assert "\n" not in str(caught.value)


def test_every_guest_gets_the_policy_and_expectations_of_its_own_go() -> None:
    changed = compare.with_policy(SCENARIO, PRESETS["staged"].policy)
    assert {guest.policy for guest in changed.guests} == {PRESETS["staged"].policy}
    assert (changed.expect, [step.expect_error for step in changed.workload]) == ((), [None] * 5)
    assert run(changed).summary["expect"] == []


def test_a_ladder_that_does_not_fit_is_refused_with_the_guest() -> None:
    with pytest.raises(ValueError, match=r"guest small: ladder \[18, 12, 6, 0\] starts at order 18"):
        compare.with_policy(SCENARIO, PRESETS["ladder-1g"].policy)
    usual = compare.usual_policies(SCENARIO)
    assert "ladder-1g" not in usual
    assert next(iter(usual)) == "b-today"


def results(*names: str) -> dict[str, Result]:
    return {name: run(compare.with_policy(SCENARIO, PRESETS[name].policy)) for name in names}


def test_rows_have_the_figures_of_the_summaries() -> None:
    found = results("b-today", "staged-partial")
    rows = {row.metric: row for row in compare.Comparison("t", "policy", found).rows}
    for key, account in product(("peak_bytes", "live_bytes"), ("total", "vmemmap", "filemap_nodes")):
        metric = f"{account}.{key}"
        assert rows[metric].values == tuple(metric_value(result.summary, metric) for result in found.values())
    assert rows["filemap_nodes.peak"].values == (4163, 75)
    assert rows["vmemmap.peak"].deltas == (0, 518 - 4095)
    assert rows["splits"].values == (1, 2)
    assert rows["conversions.failed"].values == (1, 1)
    assert rows["conversions.failed"].same
    assert {metric for metric, row in rows.items() if row.estimate} == {
        "attributes.peak_bytes",
        "attributes.live_bytes",
        "modelled_time_ns.total",
        "longest_call_ns",
        "longest_conversion_ns",
    }
    assert "memdesc.peak_bytes" not in rows


def test_a_ratio_is_against_the_first_and_absent_where_that_is_0() -> None:
    row = compare.ComparisonRow("m", "m", "count", (4, 4, 1, 10))
    assert (row.deltas, row.ratios) == ((0, 0, -3, 6), (1, 1, 0.25, 2.5))
    assert compare.ComparisonRow("m", "m", "count", (0, 0, 3)).ratios == (1, 1, None)


def test_modelled_times_of_calls_add_up_to_those_of_the_run() -> None:
    result = run(SCENARIO)
    profile = PROFILES["default"]
    phases = dict(zip(PHASE_NAMES, phase_times(result.timeline.events, profile).sum(axis=0), strict=True))
    for name, ns in result.summary["modelled_time_ns"].items():
        assert (phases | {"total": sum(phases.values())})[name] == pytest.approx(ns)
    each = [0.0 if event.work is None else profile.price(event.work)["total"] for event in result.timeline.events]
    assert call_times(result.timeline.events, profile) == pytest.approx(each)
    assert compare.longest_call(result) == pytest.approx(max(each))
    conversions = [ns for event, ns in zip(result.timeline.events, each, strict=True) if event.kind == "convert"]
    assert compare.longest_call(result, "convert") == pytest.approx(max(conversions))


def test_a_run_without_events_has_no_longest_call() -> None:
    empty = parse_scenario("gmemsim: 1\nguests: [{name: a, memory: 4K, backing: 4K}]\nworkload: []\n")
    assert compare.longest_call(run(empty)) == 0


def test_what_five_orderings_zap_in_vain_where_an_allocation_fails() -> None:
    names = ("b-today", "a-rfc-v2", "reserve-first", "split-first", "block-abort")
    scenario = load_scenario("scenarios/failing-allocations.yaml")
    results = {name: run(compare.with_policy(scenario, PRESETS[name].policy), check=True) for name in names}
    rows = {row.metric: row.values for row in compare.rows(list(results.values()))}
    piece = (1 << 18) - 1
    assert rows["conversions.zapped_in_vain"] == (3 * piece, 6 * piece, 0, 0, 0)
    assert rows["splits"] == (1, 1, 0, 1, 1)
    assert rows["merges"] == (0, 1, 0, 1, 0)
    assert "outcomes" not in rows
