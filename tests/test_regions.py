# SPDX-License-Identifier: GPL-2.0-or-later
"""Aligned GiB of the hugepage pool without a private page of an SNP guest: a metric, exact, and a curve."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.results.summary import regions_without_private
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.regions import RegionsRecorder
from gmemsim.sim.run import Run, run
from tests.gmem.worlds import PAGE, M, make_guest, make_host


def summary(workload: str, *, mapping: str = "snp", backing: str = "1G", pool: str = "1G: 4") -> dict[str, int]:
    """The summary's part on the host after ``workload`` of a guest of 2G."""
    text = f"""\
gmemsim: 1
host: {{hugetlb: {{{pool}}}}}
guests: [{{name: vm0, memory: 2G, backing: {backing}, mapping: {mapping}}}]
workload: {workload or "[]"}
"""
    found: dict[str, int] = run(parse_scenario(text)).summary["host"]
    return found


ALLOCATE = "\n  - allocate: {guest: vm0, offset: 0, size: 2G}"


@pytest.mark.parametrize(
    ("workload", "free"),
    [
        ("", 4),
        (ALLOCATE, 2),
        (ALLOCATE + "\n  - convert: {guest: vm0, offset: 0, size: 1G, to: shared}", 3),
        (ALLOCATE + "\n  - convert: {guest: vm0, offset: 4K, size: 1048572K, to: shared}", 2),
        (ALLOCATE + "\n  - convert: {guest: vm0, offset: 0, size: 2G, to: shared}", 4),
        (ALLOCATE + "\n  - punch_hole: {guest: vm0, offset: 1G, size: 1G}", 3),
        (ALLOCATE + "\n  - close: {guest: vm0}", 4),
    ],
)
@pytest.mark.parametrize(("backing", "pool"), [("1G", "1G: 4"), ("2M", "2M: 2048"), ("2M", "2M: 1800")])
def test_regions_without_private(workload: str, free: int, backing: str, pool: str) -> None:
    assert summary(workload, backing=backing, pool=pool) == {"regions": 4, "regions_without_private": free}


@pytest.mark.parametrize("mapping", ["plain", "tdx"])
def test_only_snp_assigns_pages(mapping: str) -> None:
    assert summary(ALLOCATE, mapping=mapping)["regions_without_private"] == 4


def test_it_is_a_metric_also_after_a_step() -> None:
    scenario = parse_scenario("""\
gmemsim: 1
host: {hugetlb: {1G: 4}}
guests: [{name: vm, memory: 1G, backing: 1G, count: 2}]
workload:
  - allocate: {guest: all, offset: 0, size: 1G, id: full}
  - convert: {guest: vm-1, offset: 0, size: 1G, to: shared}
expect:
  - {metric: host.regions_without_private, eq: 2, after: full}
  - {metric: host.regions_without_private, eq: 3}
  - {metric: host.regions, eq: 4}
""")
    assert run(scenario).ok


def test_regions_are_those_of_the_host_not_of_the_guest() -> None:
    host = make_host({2 * M: 1024})
    first = make_guest(2 * M, 300, host=host)
    second = GuestMemfd(host, "vm1", size=600 * M, backing=2 * M)
    second.allocate(0, 600 * M)
    assert regions_without_private(host, [first, second]) == 0
    first.set_attributes(0, first.size, False)
    assert regions_without_private(host, [first, second]) == 0  # 212 of the second's hugepages lie in the first GiB
    second.set_attributes(0, 212 * 2 * M, False)
    assert regions_without_private(host, [first, second]) == 1


def test_the_curve_is_what_a_slow_look_finds_after_every_event() -> None:
    rng = Random(1)
    steps = []
    for number in range(300):
        guest, unit = rng.choice([("vm0", 256), ("vm1", 512), ("vm1", 512)])
        offset, size = rng.randrange(0, 2048, unit), rng.choice([unit, unit, 2 * unit])
        size = min(size, 2048 - offset)
        call = rng.choice(["allocate", "shared", "shared", "private", "punch_hole"])
        where = f"guest: {guest}, offset: {offset}M, size: {size}M, at: {number}ms"
        steps.append(f"convert: {{{where}, to: {call}}}" if call in ("shared", "private") else f"{call}: {{{where}}}")
    workload = "".join(f"\n  - {step}" for step in [*steps, "close: {guest: vm0}"])
    scenario = parse_scenario(f"""\
gmemsim: 1
host: {{hugetlb: {{1G: 3, 2M: 1100}}}}
guests:
  - {{name: vm0, memory: 2G, backing: 2M}}
  - {{name: vm1, memory: 2G, backing: 1G}}
  - {{name: td, memory: 16M, backing: 2M, mapping: tdx}}
workload:{workload}
""")
    whole = Run(scenario)
    recorder = RegionsRecorder(whole)
    slow = [recorder.result().free[-1]]
    for event in whole:
        recorder.see(event)
        slow.append(regions_without_private(whole.host, whole.guests.values()))
        assert recorder.result().free[-1] == slow[-1]
    seen = recorder.result()
    assert seen.total == 6
    assert len(set(slow)) > 3
    changes = [slow[0], *(b for a, b in pairwise(slow) if a != b)]
    assert list(seen.free) == changes
    assert seen.times == tuple(sorted(seen.times))


def test_static_pamt_is_said_to_be_an_estimate() -> None:
    scenario = parse_scenario("""\
gmemsim: 1
host: {hugetlb: {1G: 4}, pamt: static}
guests: [{name: td, memory: 1G, backing: 1G, mapping: tdx}]
workload:
  - fault: {guest: td, offset: 0, size: 1G}
expect:
  - {metric: pamt.live, eq: 4195}
""")
    result = run(scenario)
    assert result.ok
    assert result.summary["estimates"]["pamt"]["static"] == 4195
    assert any("pamt" in note and "0.4 %" in note for note in result.summary["notes"])
    assert result.summary["accounts"]["pamt"]["live_bytes"] == 4195 * PAGE
