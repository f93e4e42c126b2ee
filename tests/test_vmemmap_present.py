# SPDX-License-Identifier: GPL-2.0-or-later
"""All vmemmap of the hugepages: what HVO keeps, what is restored, and what is always there without HVO."""

from __future__ import annotations

import pytest

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.results.metrics import find_metric, metric_value
from gmemsim.scenario import parse_scenario
from gmemsim.sim.run import Result, run
from gmemsim.studies.compare import Comparison, with_policy
from tests.test_conversions import shown

K, M = 1 << 10, 1 << 20

TEXT = """\
gmemsim: 1
host: {hugetlb: {1G: 3, 2M: 64}, rcu_grace: 0}
guests:
  - {name: vm, memory: 2G, backing: 1G}
  - {name: small, memory: 8M, backing: 2M}
  - {name: pages, memory: 1M, backing: 4K}
workload:
  - allocate: {guest: all, offset: 0, size: all}
  - convert: {guest: vm, offset: 0, size: 4K, to: shared}
  - convert: {guest: vm, offset: 0, size: 4K, to: private}
  - convert: {guest: small, offset: 0, size: 4K, to: shared}
"""
PAGES = 256 * 64
"""Bytes of vmemmap of the guest on base pages."""


def under(policy: Policy) -> Result:
    scenario = parse_scenario(TEXT)
    return run(with_policy(scenario, policy), check=True)


def test_with_hvo() -> None:
    found = under(Policy()).summary
    kept = 3 * 4 * K + 64 * 4 * K + PAGES
    assert found["vmemmap_present"]["live"] == kept + 7 * 4 * K
    assert found["vmemmap_present"]["peak"] == kept + 4095 * 4 * K
    vm, small, pages = (guest["vmemmap_present"] for guest in found["guests"])
    assert (vm["live"], vm["peak"]) == (2 * 4 * K, 2 * 4 * K + 4095 * 4 * K)
    assert (small["live"], pages["live"]) == (4 * 4 * K + 7 * 4 * K, PAGES)


def test_without_hvo_it_is_always_there() -> None:
    found = under(Policy(vmemmap="off")).summary
    assert found["vmemmap_present"]["live"] == found["vmemmap_present"]["peak"] == 3 * 16 * M + 64 * 32 * K + PAGES
    assert found["accounts"]["vmemmap"]["peak"] == 0


def test_it_is_no_part_of_the_total() -> None:
    found = under(Policy()).summary
    accounts = found["accounts"]
    assert accounts["total"]["live_bytes"] == sum(
        row["live_bytes"] for name, row in accounts.items() if name != "total"
    )


@pytest.mark.parametrize("metric", ["vmemmap_present.live", "vmemmap_present.peak", "guests.vm.vmemmap_present.peak"])
def test_it_is_a_metric_in_bytes(metric: str) -> None:
    assert find_metric(metric).unit == "bytes"
    assert metric_value(under(Policy()).summary, metric) > 0


def test_the_screen_shows_it_below_the_total() -> None:
    text = shown(under(Policy(vmemmap="off")))
    assert text.index("total") < text.index("vmemmap present 50.0 MiB 50.0 MiB")


def test_a_comparison_across_hvo_says_so_first() -> None:
    results = {name: under(PRESETS[name].policy) for name in ("b-today", "no-hvo")}
    found = Comparison("x", "policy", results)
    assert found.notes[0].startswith("HVO is off in no-hvo and on elsewhere: compare vmemmap_present")
    (row,) = [row for row in found.rows if row.metric == "vmemmap_present.peak"]
    assert row.values == tuple(result.summary["vmemmap_present"]["peak"] for result in results.values())
    alike = Comparison("x", "policy", dict.fromkeys(("a", "b"), results["b-today"]))
    assert not any("HVO" in note for note in alike.notes)
