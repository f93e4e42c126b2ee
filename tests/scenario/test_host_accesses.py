# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and the VMM touch what a guest shares: generators produce host faults, so that faults can be judged."""

from __future__ import annotations

from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario import parse_scenario
from gmemsim.sim.run import Result, run
from gmemsim.studies.compare import Comparison
from tests.test_conversions import shown

MS = 1_000_000

HEAD = """\
gmemsim: 1
host: {{hugetlb: {{2M: 200}}, rcu_grace: 0}}
guests: [{{name: vm, memory: {}, backing: 2M, policy: {}}}]
workload:
  - allocate: {{guest: vm, offset: 0, size: all}}
"""

GENERATORS = {
    "boot": "boot: {guest: vm, duration: 1s, vcpus: 2, dma_count: 8MORE}",
    "swiotlb": "swiotlb: {guest: vmMORE}",
    "scatter": "scatter: {guest: vm, count: 40, duration: 1s, lifetime: 100msMORE}",
    "granule": "granule: {guest: vm, count: 40, duration: 1s, lifetime: 100msMORE}",
    "psc": "psc: {guest: vm, size: 3M, to: shared, duration: 1sMORE}",
}


def result(step: str, policy: str = "{}", more: str = "", memory: str = "128M") -> Result:
    text = HEAD.format(memory, policy) + f"  - {step.replace('MORE', more)}\n"
    return run(parse_scenario(text), check=True)


def faults(found: Result) -> list[Any]:
    return [event for event in found.timeline.events if event.kind == "fault"]


@pytest.mark.parametrize("name", GENERATORS)
def test_what_is_shared_is_touched_by_the_host(name: str) -> None:
    found = result(GENERATORS[name])
    touched = faults(found)
    assert touched
    assert all(event.errno is None and event.detail == "by host" for event in touched)
    assert found.summary["host_faults"] == len(touched) == found.summary["calls"]["fault"]["succeeded"]
    assert result(GENERATORS[name], more=", host_share: 0").summary["host_faults"] == 0


@pytest.mark.parametrize("name", GENERATORS)
def test_they_change_no_counts_where_conversions_split(name: str) -> None:
    with_faults, without = (result(GENERATORS[name], more=f", host_share: {share}").summary for share in (1, 0))
    for key in ("conversions", "splits", "merges", "folios", "end_time_ns", "accounts"):
        assert with_faults[key] == without[key]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_policy_that_splits_at_faults_splits(name: str) -> None:
    found = result(GENERATORS[name], "{when: fault}").summary
    assert found["splits"]["2M->4K"] > 0
    assert not any("nothing faulted" in note for note in found.get("notes", ()))


def test_without_faults_it_says_so_at_the_top() -> None:
    found = result(GENERATORS["scatter"], "{when: fault}", more=", host_share: 0")
    assert found.summary["splits"] == {}
    assert found.summary["notes"][0].startswith("vm splits at the first host fault, and the host touched nothing")
    assert shown(found).index("the host touched nothing") < shown(found).index("conversions")


def test_a_comparison_says_so_and_how_many_host_faults_there_were() -> None:
    results = {
        name: result(GENERATORS["scatter"], f"{{when: {name}}}", ", host_share: 0") for name in ("conversion", "fault")
    }
    found = Comparison("x", "policy", results)
    assert [row.values for row in found.rows if row.metric == "host_faults"] == [(0, 0)]
    assert found.notes[0].startswith("fault: vm splits at the first host fault, and the host touched nothing")


def test_the_delay() -> None:
    step = "psc: {guest: vm, size: 8K, to: shared, duration: 1sMORE}"
    for delay, at in (("0", 0), ("30ms", 30), ("2s", 1000)):  # at the generator's end at the latest
        assert [event.time_ns // MS for event in faults(result(step, more=f", host_delay: {delay}"))] == [at]


def test_what_is_private_again_is_not_touched() -> None:
    step = "scatter: {guest: vm, count: 40, duration: 1s, lifetime: 10ms, host_delay: 1s}"
    found = result(step)
    assert len(faults(found)) < 5
    assert all(event.errno is None for event in found.timeline.events)


def test_a_share() -> None:
    step = "psc: {guest: vm, size: 100M, to: shared, duration: 1s, entries: 1, large: falseMORE}".replace("100M", "2M")
    half = result(step, more=", host_share: 0.5", memory="4M")
    assert 200 < len(faults(half)) < 312  # one of two pages
    whole = result("psc: {guest: vm, size: 2M, to: shared, host_share: 0.5}", memory="4M")
    (event,) = faults(whole)
    assert (event.offset, event.size) == (0, 1 << 20)
    assert len(faults(result(step, more=", host_share: 1.0", memory="4M"))) == 512


def test_other_random_numbers_stay_what_they_are() -> None:
    step = GENERATORS["scatter"]
    places = [
        [(event.time_ns, event.offset) for event in result(step, more=more).timeline.events if event.kind == "convert"]
        for more in ("", ", host_share: 0.3", ", host_share: 0")
    ]
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize("share", ["1.1", "-0.5", "half"])
def test_a_wrong_share(share: str) -> None:
    with pytest.raises(InputError, match=f"found '{share}', expected a number from 0 to 1"):
        result(GENERATORS["boot"], more=f", host_share: {share}")


def test_the_screen_counts_them() -> None:
    assert "host faults 1" in shown(result("psc: {guest: vm, size: 8K, to: shared}"))
