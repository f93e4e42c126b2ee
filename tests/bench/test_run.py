# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast whole runs are: conversions of a 1 TiB guest, each of which splits or merges something.

Run by ``make bench``; a plain ``pytest`` runs everything once, on small inputs, and asserts no times.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from rich.table import Table

from gmemsim.gmem.policy import Policy
from gmemsim.scenario.generators import Flip, Scatter
from gmemsim.scenario.model import Allocate, GuestSpec, HostSpec, Scenario
from gmemsim.scenario.workload import Generator
from gmemsim.sim.run import run

GIB = 1 << 30
SECOND = 1_000_000_000
POLICIES = {
    "uniform": Policy(),
    "staged": Policy(split="staged"),
    "staged, partial vmemmap": Policy(split="staged", vmemmap="partial"),
    "nonuniform": Policy(split="nonuniform"),
}

ROWS: list[tuple[str, str, int, float]] = []


def scatter(allocations: int) -> Generator:
    """4K allocations anywhere in 1 TiB, most of which end within the run."""
    return Scatter(guest="vm0", count=allocations, duration=100 * SECOND, lifetime=5 * SECOND)


def flip(rounds: int) -> Generator:
    """The same page, over and over."""
    return Flip(guest="vm0", count=rounds, interval=SECOND // 1000)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("load", [scatter, flip])
def test_conversions(
    benchmark: BenchmarkFixture, show: Callable[[Table], None], load: Callable[[int], Generator], policy: str
) -> None:
    scenario = Scenario(
        title="bench",
        host=HostSpec(hugetlb={GIB: 1024}),
        guests=(GuestSpec(name="vm0", memory=1024 * GIB, backing=GIB, policy=POLICIES[policy]),),
        workload=(Allocate(guest="vm0", offset=0, size=1024 * GIB), load(20_000 if benchmark.enabled else 50)),
    )
    pedantic: Callable[..., tuple[dict[str, dict[str, int]], float]] = benchmark.pedantic
    result, seconds = pedantic(timed, args=(scenario,), rounds=1)
    conversions = result["conversions"]["succeeded"]
    assert conversions == result["conversions"]["requested"] > 0
    ROWS.append((load.__name__, policy, conversions, seconds))
    if len(ROWS) == 2 * len(POLICIES):
        show(table())


def timed(scenario: Scenario) -> tuple[dict[str, dict[str, int]], float]:
    """The summary of a run of ``scenario`` and how long it took, in seconds of CPU time."""
    start = time.process_time()
    summary = run(scenario).summary
    return summary, time.process_time() - start


def table() -> Table:
    """All runs, with the most memory that the process has had so far."""
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    rows = Table("load", "policy", "conversions", "µs each", title=f"Runs of a 1 TiB guest ({megabytes} MiB at most)")
    for load, policy, conversions, seconds in ROWS:
        rows.add_row(load, policy, f"{conversions:,}", f"{seconds / conversions * 1e6:.0f}")
    return rows
