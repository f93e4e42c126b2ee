# SPDX-License-Identifier: GPL-2.0-or-later
"""Tuning: the best is no worse than what is run by brute force, and what is left out is never better."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import read_policy
from gmemsim.reports.export import tune_html
from gmemsim.reports.export.tune_json import as_json
from gmemsim.reports.figures import canvas, front
from gmemsim.reports.filesets import tune_files
from gmemsim.reports.tuned import asked, sentences
from gmemsim.reports.words import MAIL_COLUMNS
from gmemsim.scenario.model import Allocate, Convert, FaultIn, GuestSpec, HostSpec, Scenario
from gmemsim.studies.ladders import number_of_ladders, rungs_of
from gmemsim.studies.trials import WEIGHED, Workload, always_there, measure
from gmemsim.studies.tune import PLANES, Constraint, Tuning, tune

M = 1 << 20
SCENARIO = """\
gmemsim: 1
title: "*Some* pages out and back"
host: {hugetlb: {2M: 2}}
guests: [{name: vm0, memory: 4M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 4M}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1ms}
  - convert: {guest: vm0, offset: 96K, size: 64K, to: shared, at: 2ms}
  - convert: {guest: vm0, offset: 0, size: 1M, to: private, at: 30ms}
  - convert: {guest: vm0, offset: 2M, size: 1M, to: shared, at: 40ms}
"""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    steps = (
        Allocate(guest="vm0", offset=0, size="all"),
        FaultIn(guest="vm0", offset=0, size="all"),  # so that merges have nothing to zero, and the bounds are tight
        Convert(guest="vm0", offset=0, size=4096, to="shared", at=10**6),
        Convert(guest="vm0", offset=24 * 4096, size=16 * 4096, to="shared", at=2 * 10**6),
        Convert(guest="vm0", offset=0, size=M, to="private", at=3 * 10**7),
        Convert(guest="vm0", offset=2 * M, size=M, to="shared", at=4 * 10**7),
    )
    guest = GuestSpec(name="vm0", memory=4 * M, backing=2 * M)
    return Scenario(title="some", host=HostSpec(hugetlb={2 * M: 2}), guests=(guest,), workload=steps)


@pytest.fixture(scope="module")
def found(scenario: Scenario) -> Tuning:
    return tune(scenario)


def weighed(scenario: Scenario, policy: Policy) -> dict[str, float]:
    load = Workload(scenario=scenario, kept=always_there(Workload(scenario=scenario)))
    return dict(measure(load, (policy, False)).values)


def test_the_best_is_no_worse_than_every_preset_when_run_again(scenario: Scenario, found: Tuning) -> None:
    """In what was asked for; those that the workload cannot judge apart."""
    assert found.best is not None
    again = weighed(scenario, read_policy(as_json(found)["best"])[1])
    assert again == dict(found.best.values)
    for name, named in found.named.items():
        if not named.policy.splits_at_fault:
            assert again["peak_bytes"] <= named.values["peak_bytes"], name


def test_no_ladder_beats_the_front_by_brute_force(scenario: Scenario, found: Tuning) -> None:
    """All ladders, in three settings; a peak may be better by the slack."""
    assert found.proved
    assert found.best_is_proved
    front = [dict(each.values) for each in found.front]
    for setting in ({}, {"vmemmap": "off", "ordering": "split-first", "merge": "cleanup"}):
        for mask in range(len(setting), number_of_ladders(9), 3):
            policy = Policy(split=(9, *rungs_of(mask), 0), **setting)
            values = weighed(scenario, policy)
            for peak, other in PLANES:
                assert any(
                    each[peak] - found.slack <= values[peak] and each[other] <= values[other] * (1 + 1e-9)
                    for each in front
                ), (policy, values, peak, other)


def test_constraints_are_kept(scenario: Scenario, found: Tuning) -> None:
    """The least time among those that do not hold more than the bound; none keeps what is impossible."""
    most = sorted(each.values["peak_bytes"] for each in found.front)[0]
    kept = tune(scenario, minimize="modelled_time", subject_to=[Constraint("peak_bytes", most)])
    assert kept.best is not None
    assert kept.best.values["peak_bytes"] <= most
    assert tune(scenario, subject_to=[Constraint("filemap_nodes.peak", 0)]).best is None


def test_without_memory_nothing_is_proved(scenario: Scenario) -> None:
    """A call that fails makes a block depend on more than the rung above it."""
    tight = attrs.evolve(scenario, host=attrs.evolve(scenario.host, kernel_memory=40_000))
    result = tune(tight, minimize="conversions.failed.ENOMEM")
    assert not result.lawful
    assert not result.proved
    assert not result.best_is_proved
    assert result.pruned == 0
    assert result.best is not None
    assert result.best.failed == 0
    assert "calls fail" not in asked(result)


def test_calls_that_fail_under_the_best_are_said_at_the_top(scenario: Scenario) -> None:
    """What fails holds nothing, so a policy under which more fails looks better than it is."""
    tight = attrs.evolve(scenario, host=attrs.evolve(scenario.host, kernel_memory=9_000))
    result = tune(tight)
    assert result.best is not None
    assert result.best.failed > 0
    assert f"under which {result.best.failed} calls fail for want of memory" in asked(result)
    told = as_json(result)
    assert {row["failed"] for row in told["front"]} == {found.failed for found in result.front}
    least = min(found.failed for found in (*result.front, *result.named.values()))
    assert any(f"from {least} to " in words and "--subject-to" in words for words in sentences(result))


def test_the_figure_has_one_axis_of_sizes_and_hides_no_policy(found: Tuning) -> None:
    """Policies that are equal are drawn over each other, and peaks that are nearly equal near each other."""
    with canvas.paper():
        figure = front.draw(found)
    limits = {ax.get_xlim() for ax in figure.axes}
    assert len(limits) == 1
    low, high = limits.pop()
    assert high >= 2 * low
    marks = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert all(marks[name].get_markerfacecolor() == "none" for name in ("b-today", "staged", "nonuniform", "best"))
    assert len({marks[name].get_markersize() for name in ("b-today", "staged", "nonuniform")}) == 3
    assert "of b-today's" in figure.axes[0].get_title(loc="left")


TIMES = "-".join(["conversion"] * 8 + ["fault"])
LONG = f"tuned=split:9-8-7-6-5-4-3-2-1-0@{TIMES},merge:cleanup,vmemmap:partial"


def test_a_policy_of_many_rungs_is_read_to_its_end(found: Tuning) -> None:
    """In the figure, where its line left the paper, and on the page, where it hid the numbers behind it."""
    assert found.best is not None
    tuned = attrs.evolve(found, best=attrs.evolve(found.best, policy=read_policy(LONG)[1]))
    with canvas.paper():
        figure = front.draw(tuned)
        figure.draw_without_rendering()
    title = figure.axes[0]._left_title  # type: ignore[attr-defined]
    assert title.get_window_extent().x1 < figure.get_size_inches()[0] * figure.dpi
    assert "vmemmap:partial" in title.get_text()
    assert f'<td class="long">{LONG}</td>' in tune_html.write(tuned)


def test_reoptimize_is_never_better_than_partial() -> None:
    """Which is why it is not searched."""
    steps = (
        Allocate(guest="vm0", offset=0, size="all"),
        Convert(guest="vm0", offset=4 * M, size=4096, to="shared", at=10**6),
        Convert(guest="vm0", offset=512 * M, size=64 * M, to="shared", at=2 * 10**6),
        Convert(guest="vm0", offset=0, size=256 * M, to="private", at=3 * 10**7),
    )
    guest = GuestSpec(name="vm0", memory=1 << 30, backing=1 << 30)
    load = Scenario(title="1G", host=HostSpec(hugetlb={1 << 30: 1}), guests=(guest,), workload=steps)
    for split in ((18, 9, 0), (18, 14, 10, 9, 3, 0)):
        partial, reoptimize = (weighed(load, Policy(split=split, vmemmap=way)) for way in ("partial", "reoptimize"))
        assert all(partial[metric] <= reoptimize[metric] for metric in WEIGHED)


def test_a_stop_keeps_what_is_done(scenario: Scenario) -> None:
    """The best so far, and how many runs were not made."""
    calls = iter([False] * 5)
    result = tune(scenario, stop=lambda: next(calls, True))
    assert (result.complete, result.evaluated) == (False, 5)
    assert result.left > 0
    assert result.best is not None


@pytest.mark.parametrize("backing", [4096, 2 * M])
def test_a_ladder_needs_one_size_of_hugepages(backing: int) -> None:
    """Guests without hugepages, or with several sizes."""
    guests = tuple(GuestSpec(name=f"g{size}", memory=1 << 30, backing=size) for size in {backing, 4096, backing * 1})
    more = () if backing == 4096 else (GuestSpec(name="large", memory=1 << 30, backing=1 << 30),)
    with pytest.raises(ValueError, match="expected one"):
        tune(Scenario(title="", host=HostSpec(hugetlb={2 * M: 512, 1 << 30: 1}), guests=(*guests, *more)))


def test_the_command(tmp_path: Path) -> None:
    """JSON by the contract, the files, a mail that fits, and errors in one line."""
    path = tmp_path / "some.yaml"
    path.write_text(SCENARIO)
    call = ["tune", str(path), "--jobs", "1"]
    result = CliRunner().invoke(gmemsim, [*call, "--json", "--out", str(tmp_path / "out")])
    told = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert result.exit_code == 0
    assert told["schema"] == 1
    assert {row["policy"] for row in told["front"]} >= {told["best"]}
    assert all(read_policy(row["policy"]) and row["peak_bytes"] > 0 for row in told["front"])
    assert told["evaluated"] > 0
    assert told["pruned"] > 0
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(tune_files())
    mail = (tmp_path / "out" / "tune.md").read_text()
    assert max(map(len, mail.splitlines())) <= MAIL_COLUMNS
    for wrong, said in (
        (["--minimize", "peek"], "expected a part of the summary"),
        (["--subject-to", "peak_bytes<4M"], "expected METRIC<=VALUE"),
        (["--subject-to", "peak_bytes<=4X"], "expected a size"),
        (["--subject-to", "filemap_nodes.peak<=many"], "expected a number"),
    ):
        failed = CliRunner().invoke(gmemsim, [*call, *wrong])
        assert (failed.exit_code, said in failed.output, "Traceback" in failed.output) == (2, True, False), wrong
