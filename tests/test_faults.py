# SPDX-License-Identifier: GPL-2.0-or-later
"""Every allocation of a run fails in turn: what is counted, what is found, and that short cuts change nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import attrs
import pytest

from gmemsim.errors import SimulationRefused
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.figures import canvas, faultmap
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.scenario.model import Inject, Scenario
from gmemsim.sim.run import Run, run
from gmemsim.studies.failing import MODES, Seen, Strike, observe, requests_of
from gmemsim.studies.faults import LEAST_SERIES, Faults, faults, with_ordering
from gmemsim.studies.outcomes import AS_BEFORE, BROKEN, OUTCOMES, WITHOUT
from gmemsim.studies.snapshots import Branches
from tests.planted import ROOT, run_with_bug

ACROSS = """\
gmemsim: 1
title: Three hugepages, out and back
host: {hugetlb: {2M: 6}}
guests:
  - {name: vm0, memory: 6M, backing: 2M}
workload:
  - allocate: {guest: vm0, offset: 0, size: 6M}
  - fault: {guest: vm0, offset: 0, size: 6M, by: guest}
  - convert: {guest: vm0, offset: 2044K, size: 2056K, to: shared, id: out}
  - fault: {guest: vm0, offset: 2044K, size: 2056K, by: host}
  - convert: {guest: vm0, offset: 2044K, size: 2056K, to: private, id: back}
"""
MANY = """\
gmemsim: 1
title: Many hugepages, and a pool that ends
host: {hugetlb: {2M: 24}, kernel_memory: 150K}
guests:
  - {name: vm0, memory: 48M, backing: 2M, policy: {ordering: %s}}
workload:
  - allocate: {guest: vm0, offset: 0, size: 48M}
  - convert: {guest: vm0, offset: 0, size: 20M, to: shared}
"""


@pytest.fixture
def across() -> Scenario:
    return parse_scenario(ACROSS)


@pytest.fixture(scope="module")
def everywhere() -> Faults:
    """Of that scenario in every ordering, each failure in a run of its own."""
    return faults(parse_scenario(ACROSS), list(ORDERINGS), copies=False)


def counted(found: Faults) -> Counter[tuple[Any, ...]]:
    return Counter({attrs.astuple(attrs.evolve(row, count=0)): row.count for row in found.rows})


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_what_is_equal_is_equal(ordering: str) -> None:
    """Carrying out every failure finds what was counted."""
    for text in (ACROSS, MANY % "restructure-first"):
        scenario = parse_scenario(text)
        short, long = (faults(scenario, [ordering], every=every, copies=False) for every in (False, True))
        assert counted(short) == counted(long)
        assert short.points == long.points == long.carried_out > 2 * short.carried_out
        assert (short.complete, long.complete) == (True, True)


def test_a_long_series_is_looked_at_by_halves() -> None:
    scenario = parse_scenario(MANY % "restructure-first")
    requests = [request for request in requests_of(scenario) if request.does == "allocate"]
    assert sum(request.account == "folio_metadata" for request in requests) == 24 > LEAST_SERIES
    found = faults(scenario)
    outcomes = Counter({row.outcome: row.count for row in found.rows if row.account == "folio_metadata"})
    assert outcomes == {"done in part": 2 * 23, AS_BEFORE: 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
def test_branches_see_what_runs_of_their_own_see(across: Scenario, everywhere: Faults) -> None:
    assert faults(across, list(ORDERINGS), copies=True, jobs=2) == everywhere


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
def test_branches_see_the_same_at_the_end_of_the_run(across: Scenario) -> None:
    """In the ordering that leaves most behind, and in the one that leaves nothing."""
    orderings = ["restructure-first", "reserve-first"]
    branched, alone = (faults(across, orderings, to_end=True, copies=copies, jobs=2) for copies in (True, False))
    assert branched == alone


def test_hugepages_that_could_be_had_together_fail_one_by_one() -> None:
    """A run that nobody watches allocates alike hugepages in one step, which must not be seen here."""
    scenario = parse_scenario((MANY % "restructure-first").replace(", kernel_memory: 150K", ""))
    assert not faults(scenario, copies=False).broken_points


def test_every_object_that_is_asked_for_is_covered_twice(across: Scenario) -> None:
    ended = run(across).summary["accounts"]
    before = Run(across).host.ledger
    asked = {name: ended[name]["allocated"] - before.tallies[name].allocated for name in ACCOUNTS}
    found = Counter[str]()
    for row in faults(across).rows:
        found[row.account] += row.count
    assert found == Counter({name: 2 * objects for name, objects in asked.items() if objects})


def test_each_ordering_leaves_what_it_is_known_to_leave(everywhere: Faults) -> None:
    """The kinds of docs/failures.md."""
    kinds = {
        ordering: {row.outcome for row in everywhere.rows if row.ordering == ordering and row.step == "out"}
        for ordering in ORDERINGS
    }
    assert kinds == {
        "restructure-first": {AS_BEFORE, "earlier hugepages converted", "zapped without conversion"},
        "attributes-first": {
            AS_BEFORE,
            "zapped without conversion",
            "rolled back",
            "rollback failed",
            "inconsistent",
        },
        "reserve-first": {AS_BEFORE},
        "split-first": {AS_BEFORE, "rolled back"},
        "block-abort": {AS_BEFORE, "earlier hugepages converted", "refused, mappings smaller"},
    }
    assert not everywhere.broken_points


def test_a_lost_hugepage_and_a_failed_optimisation_are_outcomes() -> None:
    scenario = load_scenario(ROOT / "scenarios" / "rfc-cover.yaml")
    lost = faults(scenario, ["attributes-first"])
    assert sum(row.count for row in lost.rows if row.outcome == "a hugepage lost to the pool") == 4161 + 4095 + 1
    host = attrs.evolve(scenario.host, shared_tail_pages=True)
    without = [row for row in faults(attrs.evolve(scenario, host=host)).rows if row.outcome == WITHOUT]
    assert [(row.account, row.step, row.count) for row in without] == [("vmemmap", "private", 2)]


@pytest.mark.parametrize("ordering", ["restructure-first", "attributes-first"])
def test_a_point_can_be_repeated_by_inject(across: Scenario, ordering: str) -> None:
    """The number that is told is that of the object in its step: ``inject`` before the step does the same."""
    scenario = with_ordering(across, ordering)
    requests = requests_of(scenario)
    assert {request.place for request in requests} == {0, 1, 2, 4}
    for request in requests:
        for nth in {1, request.objects}:
            seen: dict[Strike, Seen] = {}
            strike = Strike(request.number, nth, "once")
            observe(scenario, requests, [strike], seen.__setitem__, copies=False)
            inject = Inject(account=request.account, nth=request.before + nth, mode="once")
            steps = (*scenario.workload[: request.place], inject, *scenario.workload[request.place :])
            events = list(Run(attrs.evolve(scenario, workload=steps)))
            assert [event.errno for event in events if event.step == request.place + 1] == [seen[strike].errno]


BUG = ("gmem/restructure.py", "        plan.merge_entries_back()\n", "")
"""A split that fails leaves the filemap's entries split."""


def test_a_planted_bug_is_found(tmp_path: Path) -> None:
    """Each failure after it breaks an invariant, the command ends with 1, and what it tells repeats the failure."""
    (tmp_path / "across.yaml").write_text(ACROSS)
    ended = run_with_bug(
        tmp_path,
        *BUG,
        "from gmemsim.cli.main import main; import sys; sys.argv[1:] = ARGUMENTS; main()".replace(
            "ARGUMENTS", repr(["faults", str(tmp_path / "across.yaml"), "--json"])
        ),
    )
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout)
    failing = [line for line in told["outcomes"] if line["account"] == "vmemmap"]
    assert told["broken"] == sum(line["count"] for line in failing) == 2 * 3 * 7
    assert {line["outcome"] for line in failing} == {BROKEN}
    point = told["broken_points"][0]
    assert point["told"].startswith("AssertionError: vm0, hugepage at 0: the filemap has")
    inject = f"  - inject: {{account: {point['account']}, nth: {point['nth']}, mode: {point['mode']}}}\n"
    lines = ACROSS.splitlines(keepends=True)
    lines.insert(lines.index("workload:\n") + 1 + point["place"], inject)
    code = f"""
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
run(parse_scenario({"".join(lines)!r}), check=True)
"""
    again = tmp_path / "again"
    again.mkdir()
    assert "the filemap has" in run_with_bug(again, *BUG, code).stderr


def test_a_sample_is_named_as_one(across: Scenario) -> None:
    whole, some, same, other = (
        faults(across, sample=sample, seed=seed, copies=False) for sample, seed in ((None, 0), (9, 3), (9, 3), (9, 4))
    )
    assert (some.points, some.carried_out, some.sample_of, some.left) == (9, 9, whole.points, 0)
    assert some == same != other
    assert faults(across, sample=10**9, copies=False).sample_of is None
    assert counted(faults(across, sample=10**9, copies=False)) == counted(whole)


def test_what_is_left_is_told(across: Scenario) -> None:
    whole = faults(across, copies=False)
    done: list[tuple[int, int]] = []
    part = faults(
        across,
        stop=lambda: len(done) >= 5,
        progress=lambda carried_out, left: done.append((carried_out, left)),
        copies=False,
    )
    assert (part.carried_out, part.points + part.left) == (5, whole.points)
    assert not part.complete
    assert part.points < whole.points
    assert [carried_out for carried_out, _ in done] == [1, 2, 3, 4, 5]


class Here(Executor):
    """An executor whose work is done when it is submitted; ``dies`` says of which task the worker dies."""

    workers = 1

    def __init__(self, dies: Callable[[int], bool] = lambda task: False) -> None:
        self.tasks = 0
        self.dies = dies

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.tasks += 1
        if self.dies(self.tasks):
            future.set_exception(type("KilledWorker", (Exception,), {})())
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_an_executor_finds_the_same(across: Scenario) -> None:
    executor = Here()
    assert faults(across, list(ORDERINGS), executor=executor, copies=False) == faults(
        across, list(ORDERINGS), copies=False
    )
    assert executor.tasks >= len(ORDERINGS)


def test_what_kills_its_workers_is_left(across: Scenario) -> None:
    found = faults(across, executor=Here(lambda task: True), copies=False)
    assert (found.points, found.carried_out) == (0, 0)
    assert found.left == faults(across, copies=False).points


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
def test_a_branch_that_dies_is_an_error_and_not_a_result() -> None:
    told: list[tuple[int, int]] = []
    branches: Branches[int, int] = Branches(2, lambda key, value: told.append((key, value)))
    for key in range(3):
        if branches.branch(key):
            if key == 1:
                os._exit(1)
            branches.report(10 * key)
    with pytest.raises(MemoryError, match="killed"):
        branches.close()
    branches.close()
    assert told == [(0, 0), (2, 20)]


def test_variants_that_cannot_be_are_told(across: Scenario) -> None:
    policies = {name: PRESETS[name].policy for name in ("fault-time", "ladder-1g", "staged")}
    found = faults(across, ["reserve-first"], policies, copies=False)
    assert found.variants == (("staged", "reserve-first"),)
    assert [why.partition(":")[0] for why in found.refused] == ["fault-time reserve-first", "ladder-1g"]


def test_guests_that_cannot_be_made_are_refused(across: Scenario) -> None:
    with pytest.raises(SimulationRefused):
        faults(attrs.evolve(across, host=attrs.evolve(across.host, hugetlb={})))


def test_the_legend_of_the_figure_has_the_number_of_every_outcome(everywhere: Faults) -> None:
    """One of many thousand cannot be seen in its bar."""
    with canvas.paper():
        (legend,) = [found for ax in faultmap.draw(everywhere).axes if (found := ax.get_legend())]
    counts = Counter[str]()
    for row in everywhere.rows:
        counts[row.outcome] += row.count
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(f"{o}: {n:,}" for o, n in counts.items())


def test_every_outcome_has_a_colour_of_its_own() -> None:
    from gmemsim.reports.faulted import COLOURS

    assert list(COLOURS) == list(OUTCOMES)
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert MODES == ("once", "forever")
