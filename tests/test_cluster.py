# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep on a real Dask cluster of this machine: processes of their own, one of which is killed half-way.

``make cluster`` runs it with 100,000 points; ``make test`` with a few hundred.
"""

from __future__ import annotations

import csv
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmemsim.cli.executors import LOCAL, Workers
from gmemsim.reports.export.sweep_table import opened
from gmemsim.studies.gather import Gathering
from gmemsim.studies.sweep import Plan, Variation, sweep

POINTS = int(os.environ.get("GMEMSIM_CLUSTER_POINTS", "200"))

SCENARIO = """\
gmemsim: 1
host: {hugetlb: {2M: 4}}
guests: [{name: vm0, memory: 8M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 8M}
  - scatter: {guest: vm0, at: 1s, count: 2, duration: 1s, lifetime: 1s}
"""


@pytest.fixture
def plan() -> Plan:
    seeds = Variation("seed", tuple(map(str, range(POINTS // 2))))
    return Plan(SCENARIO, "t", [Variation("policy", ("b-today", "never")), seeds], ("filemap_nodes.peak",))


@pytest.mark.filterwarnings("ignore")  # what libraries of a cluster say while it starts and ends
def test_a_killed_worker_of_a_cluster_loses_nothing(plan: Plan, tmp_path: Path) -> None:
    from distributed import default_client

    killed: list[int] = []
    gathering = Gathering(plan, keep=0)
    with Workers(2, LOCAL).start() as executor, opened(tmp_path / "t.csv", plan) as table:
        assert executor is not None
        assert list(table.rows()) == []
        for number, (place, row) in enumerate(sweep(plan, executor), 1):
            table.add(place, row)
            gathering.add(place, row)
            if number == POINTS // 4:
                workers = default_client().run(os.getpid)
                assert os.getpid() not in workers.values()
                assert len(set(workers.values())) == 2
                killed.append(sorted(workers.values())[0])
                os.kill(killed[0], signal.SIGKILL)
    assert killed
    assert gathering.total == len(plan) == POINTS
    with (tmp_path / "t.csv").open() as file:
        rows = {int(row["point"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == list(range(POINTS))
    assert {row["refused"] for row in rows.values()} == {""}
    some = Plan(SCENARIO, "t", plan.variations, plan.metrics)
    done = bytearray(b"\1" * POINTS)
    for place in range(0, POINTS, POINTS // 20):
        done[place] = 0
    for place, row in sweep(some, done=done):
        assert float(rows[place]["filemap_nodes.peak"]) == row.results[0], f"point {place}"


def test_the_memory_of_a_sweep_does_not_grow_with_what_a_point_is(plan: Plan) -> None:
    """A point is a number: neither a scenario nor its text is kept for it."""

    def places() -> Iterator[int]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        gathering = Gathering(plan, keep=0)
        for place, row in sweep(plan):
            gathering.add(place, row)
            yield resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert max(places()) * 1024 < (8 << 20) + 200 * POINTS
