# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs: the scenarios that come with gmemsim, the summary's keys, expectations, time, faults, determinism."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
import numpy as np
import pytest

import gmemsim
from gmemsim import compiled
from gmemsim.errors import SimulationRefused
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.scenario.model import GuestSpec, HostSpec, Pin, Scenario, Unpin
from gmemsim.sim.run import Result, Run, run

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))

DESIGNED = {
    "schema",
    "title",
    "seed",
    "end_time_ns",
    "conversions",
    "splits",
    "merges",
    "folios",
    "accounts",
    "modelled_time_ns",
    "guests",
    "expect",
}
"""The keys that docs/ARCHITECTURE.md lists."""

DOCUMENTED = {
    "host",
    "host_accounts",
    "vmemmap_present",
    "calls",
    "host_faults",
    "outcomes",
    "estimates",
    "slabs_at_least_bytes",
    "work",
    "provenance",
}
"""What ``gmemsim.results.summary`` documents beside them, in every run."""

ROW = {"live", "peak", "allocated", "freed", "live_bytes", "peak_bytes"}

MS = 1_000_000

HEAD = """\
gmemsim: 1
title: a test
host: {hugetlb: {1G: 2}, rcu_grace: 10ms}
guests:
  - {name: vm0, memory: 1G, backing: 1G}
"""


def carry_out(workload: str, *, head: str = HEAD, expect: str = "") -> Result:
    text = head + "workload:\n" + dedent(workload)
    if expect:
        text += "expect:\n" + dedent(expect)
    return run(parse_scenario(text), check=True)


@cache
def result_of(path: Path) -> tuple[Result, int]:
    """The run of a scenario, and how often the invariants were verified: after events 1, 2, 4, 8, … of thousands."""
    going = Run(load_scenario(path))
    going.host.check()
    checked = 0
    for number, event in enumerate(going, 1):
        if number.bit_count() == 1:
            checked += 1
            going.host.check()
            if event.guest is not None:
                going.guests[event.guest].check()
    return going.result(), checked


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_holds_and_keeps_the_invariants(path: Path) -> None:
    result, checked = result_of(path)
    assert [entry for entry in result.summary["expect"] if not entry["ok"]] == []
    assert result.ok
    assert len(result.summary["expect"]) >= len(result.scenario.expect) > 0
    assert checked >= 2


@pytest.mark.parametrize("name", ["rfc-cover", "staged", "is-it-necessary", "memdescs", "replay-qemu"])
def test_small_scenarios_keep_them_after_every_step(name: str) -> None:
    assert run(load_scenario(SCENARIOS[0].parent / f"{name}.yaml"), check=True).ok


# -- the object ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_summary_has_the_keys_of_the_design(path: Path) -> None:
    summary = result_of(path)[0].summary
    assert set(summary) - {"replays", "notes", "nodes"} == DESIGNED | DOCUMENTED
    assert summary["schema"] == 1
    assert set(summary["conversions"]) - {"unchanged", "zapped_in_vain"} == {"requested", "succeeded", "failed"}
    assert set(summary["accounts"]) == {*ACCOUNTS, "total"}
    assert all(set(row) == ROW for row in summary["accounts"].values())
    assert {"4K", "2M", "1G"} <= set(summary["folios"])
    assert "total" in summary["modelled_time_ns"]
    assert all({"metric", "ok", "value"} <= set(entry) for entry in summary["expect"])


def test_the_guests_add_up_to_the_whole() -> None:
    summary = result_of(next(path for path in SCENARIOS if path.stem == "is-it-necessary"))[0].summary
    guests = summary["guests"]
    for account in ("filemap_nodes", "vmemmap", "attributes"):
        for key in ("live", "allocated", "freed"):
            assert sum(guest["accounts"][account][key] for guest in guests) == summary["accounts"][account][key]
    for key in ("requested", "succeeded"):
        assert sum(guest["conversions"][key] for guest in guests) == summary["conversions"][key]
    for order, number in summary["folios"].items():
        assert sum(guest["folios"][order] for guest in guests) == number
    for row in summary["accounts"].values():
        assert row["allocated"] - row["freed"] == row["live"] <= row["peak"]


def test_requested_succeeded_and_failed_calls() -> None:
    summary = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 8K, to: shared}
        - pin: {guest: vm0, offset: 4K, size: 4K}
        - convert: {guest: vm0, offset: 0, size: 8K, to: private}
        - convert: {guest: vm0, offset: 0, size: 4K, to: private}
        - fault: {guest: vm0, offset: 0, size: 4K, by: host}
        """
    ).summary
    assert summary["conversions"] == {"requested": 3, "succeeded": 2, "failed": {"EAGAIN": 1}}
    assert summary["calls"]["fault"] == {"requested": 1, "succeeded": 0, "failed": {"EFAULT": 1}}
    assert summary["splits"] == {"1G->4K": 1}
    assert summary["merges"] == {}
    assert summary["guests"][0]["conversions"] == summary["conversions"]


def test_calls_on_a_closed_guest_cost_nothing() -> None:
    close = """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
        - close: {guest: vm0}
        """
    late = "- convert: {guest: vm0, offset: 0, size: 4K, to: private, expect_error: {errno: EBADF}}\n"
    result = carry_out(dedent(close) + late)
    assert result.ok
    assert result.summary["modelled_time_ns"] == carry_out(close).summary["modelled_time_ns"]
    accounts = result.summary["accounts"]
    assert {name: row["live"] for name, row in accounts.items() if row["live"]} == {
        "vmemmap_page_tables": 16,
        "total": 16,
    }


# -- expectations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "ok"),
    [
        ("{errno: EAGAIN}", True),
        ("{errno: EAGAIN, error_offset: 4K}", True),
        ("{errno: EAGAIN, error_offset: 8K}", False),
        ("{errno: EAGAIN, error_offset: 0}", False),
        ("{errno: ENOMEM}", False),
    ],
)
def test_expect_error(expected: str, ok: bool) -> None:
    result = carry_out(
        f"""\
        - convert: {{guest: vm0, offset: 0, size: 16K, to: shared}}
        - pin: {{guest: vm0, offset: 4K, size: 4K}}
        - convert: {{guest: vm0, offset: 0, size: 16K, to: private, id: back, expect_error: {expected}}}
        """
    )
    entry = result.summary["expect"][-1]
    assert (entry["metric"], entry["ok"], result.ok) == ("steps.back.errno", ok, ok)
    assert entry["value"].startswith("EAGAIN")
    assert entry["line"] == 9


def test_expect_error_of_a_step_that_succeeds() -> None:
    result = carry_out("- convert: {guest: vm0, offset: 0, size: 4K, to: shared, expect_error: {errno: EAGAIN}}\n")
    assert not result.ok
    assert result.summary["expect"][0]["value"] == "success"


def test_expectations_after_a_step_and_at_the_end() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G, id: there}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1s, id: split}
        - convert: {guest: vm0, offset: 0, size: 4K, to: private, at: 2s, id: merged}
        """,
        expect="""\
        - {metric: filemap_nodes.live, eq: 1}
        - {metric: filemap_nodes.live, eq: 1, after: there}
        - {metric: filemap_nodes.live, eq: 4162, after: split}
        - {metric: filemap_nodes.live, eq: 4162, after: merged}
        - {metric: vmemmap.live, eq: 0, after: merged}
        - {metric: splits.1G->4K, eq: 0, after: there}
        - {metric: conversions.failed.EAGAIN, eq: 0}
        - {metric: end_time_ns, eq: 2010000000}
        - {metric: filemap_nodes.live, ge: 2}
        """,
    )
    assert [entry["ok"] for entry in result.summary["expect"]] == [True] * 8 + [False]
    assert not result.ok


# -- time ------------------------------------------------------------------------------------------------------------


def test_deferred_frees_come_at_their_times() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 10ms}
        - convert: {guest: vm0, offset: 0, size: 4K, to: private, at: 20ms}
        - wait: {for: 5ms}
        - fault: {guest: vm0, offset: 0, size: 4K, at: 100ms}
        """
    )
    columns = result.timeline.columns()
    times, nodes = columns["time_ns"], columns["filemap_nodes"] // 576
    changes = [(int(t), int(n)) for t, n in zip(times, nodes, strict=True)]
    steps = [changes[0], *(b for a, b in pairwise(changes) if a[1] != b[1])]
    assert steps == [(0, 0), (0, 1), (10 * MS, 4162), (30 * MS, 1)]
    assert result.timeline.end_ns == result.summary["end_time_ns"] == 110 * MS
    assert [event.time_ns // MS for event in result.timeline.events] == [0, 10, 20, 25, 100]


def test_a_run_ends_one_grace_period_after_its_last_step() -> None:
    result = carry_out("- allocate: {guest: vm0, offset: 0, size: 1G, at: 7ms}\n- close: {guest: vm0}\n")
    assert result.summary["end_time_ns"] == 17 * MS
    assert result.summary["accounts"]["filemap_nodes"]["live"] == 0


def test_a_peak_inside_a_step_is_in_the_timeline() -> None:
    head = HEAD.replace("backing: 1G}", "backing: 1G, policy: {split: staged, vmemmap: reoptimize}}")
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1s}
        """,
        head=head,
    )
    vmemmap = result.timeline.columns()["vmemmap"] // 4096
    assert int(vmemmap.max()) == 4095
    assert int(vmemmap[-1]) == 518
    peak = result.timeline.peaks()["total"]
    assert peak.value == result.summary["accounts"]["total"]["peak_bytes"]
    assert peak.time_ns == 1000 * MS
    assert peak.event is not None
    assert result.timeline.events[peak.event].kind == "convert"


def test_a_failed_step_leaves_its_peak_too() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - inject: {account: vmemmap, nth: 4095}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1s}
        """
    )
    columns = result.timeline.columns()
    assert int(columns["vmemmap"].max()) == 4094 * 4096
    assert int(columns["vmemmap"][-1]) == 0
    assert result.summary["conversions"]["failed"] == {"ENOMEM": 1}


# -- faults and limits -----------------------------------------------------------------------------------------------


def test_inject_counts_from_where_it_stands() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
        - convert: {guest: vm0, offset: 0, size: 4K, to: private}
        - inject: {account: filemap_nodes, nth: 4161}
        - convert: {guest: vm0, offset: 8K, size: 4K, to: shared, expect_error: {errno: ENOMEM, error_offset: 8K}}
        - convert: {guest: vm0, offset: 8K, size: 4K, to: shared}
        - inject: {account: any, nth: 1, mode: forever}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, expect_error: {errno: ENOMEM}}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, expect_error: {errno: ENOMEM}}
        """
    )
    assert result.ok
    assert result.summary["conversions"] == {"requested": 6, "succeeded": 3, "failed": {"ENOMEM": 3}}
    assert [event.kind for event in result.timeline.events if event.guest is None] == ["inject", "inject"]


def test_a_budget_makes_conversions_fail() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0, offset: 0, size: 4K, to: shared, expect_error: {errno: ENOMEM, error_offset: 0}}
        """,
        head=HEAD.replace("rcu_grace: 10ms", "rcu_grace: 10ms, kernel_memory: 16M"),
    )
    assert result.ok
    assert result.summary["accounts"]["total"]["peak_bytes"] <= 16 << 20


@pytest.mark.parametrize(
    ("host", "count"), [(HostSpec(hugetlb={1 << 30: 2}), 3), (HostSpec(hugetlb={1 << 30: 4}, kernel_memory=1024), 1)]
)
def test_a_guest_that_cannot_be_created(host: HostSpec, count: int) -> None:
    scenario = Scenario(
        title="too many", host=host, guests=(GuestSpec(name="vm", memory=1 << 30, backing=1 << 30, count=count),)
    )
    with pytest.raises(SimulationRefused, match=r"guest vm(-2)? cannot be created"):
        run(scenario)


def test_in_place_conversion_can_be_off() -> None:
    result = carry_out(
        "- convert: {guest: vm0, offset: 0, size: 4K, to: shared, expect_error: {errno: ENOTTY}}\n",
        head=HEAD.replace("backing: 1G}", 'backing: 1G, conversion: "off"}'),
    )
    assert result.ok


def test_a_step_for_a_group_addresses_every_guest() -> None:
    result = carry_out(
        """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - convert: {guest: vm0-1, offset: 0, size: 4K, to: shared}
        - convert: {guest: all, offset: 0, size: 4K, to: shared}
        """,
        head=HEAD.replace("backing: 1G}", "backing: 1G, count: 2}"),
    )
    assert [guest["name"] for guest in result.summary["guests"]] == ["vm0-0", "vm0-1"]
    assert [guest["conversions"]["requested"] for guest in result.summary["guests"]] == [1, 2]
    assert [event.guest for event in result.timeline.events] == ["vm0-0", "vm0-1", "vm0-1", "vm0-0", "vm0-1"]


def test_unpin_drops_what_pin_took() -> None:
    result = carry_out(
        """\
        - convert: {guest: vm0, offset: 0, size: 16K, to: shared}
        - pin: {guest: vm0, offset: 0, size: 16K, pages: each}
        - convert: {guest: vm0, offset: 0, size: 16K, to: private, expect_error: {errno: EAGAIN}}
        - unpin: {guest: vm0, offset: 0, size: 16K}
        - convert: {guest: vm0, offset: 0, size: 16K, to: private}
        """
    )
    assert result.ok
    assert {Pin.key, Unpin.key} <= result.summary["calls"].keys()
    assert result.summary["folios"]["1G"] == 1


# -- the same again --------------------------------------------------------------------------------------------------

RANDOM = """\
        - allocate: {guest: vm0, offset: 0, size: 1G}
        - scatter: {guest: vm0, count: 60, duration: 1s}
        """


def seeded(seed: int) -> Result:
    return carry_out(RANDOM, head=HEAD.replace("title: a test", f"title: a test\nseed: {seed}"))


def frames(result: Result) -> dict[str, Any]:
    return {name: np.asarray(column).tolist() for name, column in result.timeline.columns().items()}


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = seeded(3), seeded(3)
    assert first.summary == second.summary
    assert frames(first) == frames(second)
    assert first.timeline.events == second.timeline.events


def test_another_seed_gives_another_run() -> None:
    first, second = seeded(3), seeded(4)
    assert [event.offset for event in first.timeline.events] != [event.offset for event in second.timeline.events]
    assert first.summary["conversions"]["requested"] == second.summary["conversions"]["requested"]


def test_runs_do_not_touch_the_scenario() -> None:
    scenario = parse_scenario(HEAD + "workload:\n" + dedent(RANDOM))
    assert run(scenario).summary == run(scenario).summary


def test_what_stands_in_the_timeline_stands_in_the_summary() -> None:
    result = seeded(5)
    columns = result.timeline.columns()
    for account in ACCOUNTS:
        assert int(columns[account][-1]) == result.summary["accounts"][account]["live_bytes"]
    assert int(columns["total"].max()) == result.summary["accounts"]["total"]["peak_bytes"]
    for order in result.timeline.orders:
        assert int(columns[f"folios.{order}"][-1]) == result.summary["folios"][order]


def test_memory_errors_pins_of_first_pages_and_initially_shared_guests() -> None:
    text = """
gmemsim: 1
host: {hugetlb: {2M: 2}}
guests:
  - {name: huge, memory: 4M, backing: 2M}
  - {name: small, memory: 64K, backing: 4K, initially_shared: true}
workload:
  - pin: {guest: small, offset: 0, size: 64K, pages: first}
  - convert: {guest: small, offset: 0, size: 64K, to: private, expect_error: {errno: EAGAIN, error_offset: 0}}
  - unpin: {guest: small, offset: 0, size: 64K, pages: first}
  - convert: {guest: small, offset: 0, size: 64K, to: private}
  - allocate: {guest: huge, offset: 0, size: 2M}
  - poison: {guest: huge, offset: 4K}
  - fault: {guest: huge, offset: 4K, size: 4K, expect_error: {errno: EHWPOISON}}
  - convert: {guest: huge, offset: 0, size: 4K, to: shared, expect_error: {errno: EHWPOISON}}
"""
    result = run(parse_scenario(text), check=True)
    assert result.ok, result.summary["expect"]


def test_a_guest_that_cannot_be_created_is_refused() -> None:
    text = """
gmemsim: 1
host: {hugetlb: {2M: 2}}
guests:
  - {name: huge, memory: 4M, backing: 2M, initially_shared: true}
workload: []
"""
    with pytest.raises(SimulationRefused, match="starts private"):
        run(parse_scenario(text))


# -- provenance --------------------------------------------------------------------------------------------------------


def test_the_summary_says_what_made_it(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_bytes(SCENARIOS[0].read_bytes())
    scenario = load_scenario(path)
    made = run(scenario).summary["provenance"]
    assert made == {
        "gmemsim": gmemsim.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "compiled": compiled.active(),
        "scenario": hashlib.sha256(path.read_bytes()).hexdigest(),
        "generation": ["B"],
        "costs": scenario.host.costs,
    }
    assert run(attrs.evolve(scenario, sha256=None)).summary["provenance"]["scenario"] is None
