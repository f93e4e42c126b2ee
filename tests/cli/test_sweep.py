# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``sweep`` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, stdev

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.studies import sweep as sweeping

SCENARIO = """\
gmemsim: 1
title: One page out
host: {hugetlb: {1G: 1}}
guests: [{name: vm0, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
expect:
  - {metric: filemap_nodes.peak, eq: 7}
"""
TWO = ("--vary", "policy=b-today,staged", "--vary", "host.memdesc=struct-page,folio-descriptors")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO)
    return path


def sweep(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["sweep", *map(str, arguments)])


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_csv_has_a_line_for_every_variant(scenario: Path, jobs: str) -> None:
    metrics = ("--metric", "filemap_nodes.peak", "--metric", "memdesc.peak")
    result = sweep(scenario, *TWO, *metrics, "--csv", "--jobs", jobs)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["policy"], row["filemap_nodes.peak"], row["memdesc.peak"]) for row in rows] == [
        *(("b-today", "4162", "0"), ("b-today", "4162", "262144")),
        *(("staged", "74", "0"), ("staged", "74", "1023")),
    ]


def test_out_has_tables_and_a_heatmap_of_two_keys_at_most(scenario: Path, tmp_path: Path) -> None:
    result = sweep(scenario, *TWO, "--json", "--out", tmp_path / "two")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        *("heatmap.png", "heatmap.svg", "sweep.csv", "sweep.json"),
    ]
    assert json.loads((tmp_path / "two" / "sweep.json").read_text()) == json.loads(result.stdout)
    assert sweep(scenario, *TWO, "--out", tmp_path / "two").exit_code == 2
    assert sweep(scenario, *TWO, "--out", tmp_path / "two", "--force").exit_code == 0
    assert sweep(scenario, *TWO, "--vary", "seed=1,2", "--out", tmp_path / "three").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == ["sweep.csv", "sweep.json"]


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_written(scenario: Path, tmp_path: Path) -> None:
    wrong = ("--vary", "seed", "--vary", "seed=1,,2", "--metric", "vmemap.peak", "--out", tmp_path / "out")
    result = sweep(scenario, *wrong)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 3)
    assert "did you mean 'vmemmap'" in result.stderr
    result = sweep(scenario, "--vary", "seed=1", "--vary", "seed=2")
    assert (result.exit_code, result.stderr) == (2, "--vary seed: found this key twice, expected it once\n")
    result = sweep(scenario, "--vary", "host.memdsc=a,b", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "did you mean 'memdesc'?" in result.stderr
    result = sweep(scenario, "--vary", "seed=5..2")
    assert (result.exit_code, result.stderr) == (
        2,
        "--vary seed=5..2: found the empty range '5..2', expected numbers that ascend\n",
    )
    result = sweep(scenario, "--vary", "seed=1,2", "--metric", "guests.vm7.vmemmap.peak")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "found 'vm7', expected the name of a guest" in result.stderr
    assert sweep(scenario).exit_code == 2
    assert sweep(scenario, *TWO, "--force").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_work_is_swept(scenario: Path) -> None:
    result = sweep(scenario, "--vary", "policy=b-today,staged", "--metric", "work.nodes_allocated", "--csv")
    assert result.stdout.splitlines() == ["policy,work.nodes_allocated,refused", "b-today,4161,", "staged,73,"]


BOOT = """\
gmemsim: 1
title: Pages here and there
host: {hugetlb: {2M: 64}}
guests: [{name: vm0, memory: 128M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 128M}
  - scatter: {guest: vm0, at: 1s, count: 40, duration: 10s, lifetime: 3s}
"""
SEEDS = ("--vary", "seed=0..5", "--metric", "splits.2M->4K", "--metric", "work.bytes_cleared")


def test_one_key_is_folded_into_mean_and_deviation(scenario: Path) -> None:
    scenario.write_text(BOOT)
    each = [float(row["splits.2M->4K"]) for row in csv.DictReader(io.StringIO(sweep(scenario, *SEEDS, "--csv").stdout))]
    assert len(set(each)) > 1
    told = json.loads(sweep(scenario, *SEEDS, "--mean", "seed", "--json").stdout)
    assert told["mean_over"] == {"key": "seed", "values": ["0", "1", "2", "3", "4", "5"]}
    (row,) = told["rows"]
    assert (row["values"], row["n"]) == ({}, 6)
    assert row["metrics"]["splits.2M->4K"] == pytest.approx(fmean(each))
    assert row["sd"]["splits.2M->4K"] == pytest.approx(stdev(each))
    assert (row["metrics"]["work.bytes_cleared"], row["sd"]["work.bytes_cleared"]) == (128 << 20, 0)
    (line,) = csv.DictReader(io.StringIO(sweep(scenario, *SEEDS, "--mean", "seed", "--csv").stdout))
    assert float(line["splits.2M->4K.sd"]) == pytest.approx(stdev(each))
    assert (line["n"], line["refused"]) == ("6", "")
    shown = sweep(scenario, *SEEDS, "--mean", "seed").stdout
    assert "mean ± standard deviation over n runs that differ in seed" in shown
    assert f"{fmean(each):.1f} ± {stdev(each):.1f}" in shown


def test_the_other_keys_stay_and_out_has_their_heatmap(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(BOOT)
    both = (*SEEDS, "--vary", "policy=b-today,staged", "--mean", "seed")
    rows = list(csv.DictReader(io.StringIO(sweep(scenario, *both, "--csv", "--out", tmp_path / "one").stdout)))
    assert [(row["policy"], row["n"]) for row in rows] == [("b-today", "6"), ("staged", "6")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        *("heatmap.png", "heatmap.svg", "sweep.csv", "sweep.json"),
    ]
    assert sweep(scenario, *SEEDS, "--mean", "seed", "--out", tmp_path / "none").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["sweep.csv", "sweep.json"]


def test_refused_runs_are_not_in_a_mean(scenario: Path) -> None:
    pools = ("--vary", "host.hugetlb.1G=0,1,2", "--vary", "seed=1")
    told = json.loads(sweep(scenario, *pools, "--mean", "host.hugetlb.1G", "--json").stdout)
    assert [row["n"] for row in told["rows"]] == [2]
    told = json.loads(sweep(scenario, *pools, "--mean", "seed", "--json").stdout)
    assert [row["n"] for row in told["rows"]] == [0, 1, 1]
    assert "refused" in told["rows"][0]
    assert told["rows"][1]["sd"] == {"total.peak_bytes": None}
    assert "refused" in sweep(scenario, *pools, "--mean", "seed").stdout


def test_only_a_key_that_varies_can_be_folded(scenario: Path) -> None:
    result = sweep(scenario, "--vary", "seed=1,2", "--mean", "seeds")
    assert (result.exit_code, result.stderr) == (2, "--mean seeds: expected a key of --vary, did you mean 'seed'?\n")


def test_a_refused_variant_is_told_and_is_no_failure(scenario: Path) -> None:
    result = sweep(scenario, "--vary", "host.hugetlb.1G=0,1")
    assert result.exit_code == 0
    assert "refused, 1 ×: guest vm0 cannot be created" in result.stdout


def test_ctrl_c_keeps_the_variants_that_are_done(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    real = sweeping.sweep

    def pressed(
        variants: list[sweeping.Point], source: str, metrics: tuple[str, ...], executor: None, stop: Callable[[], bool]
    ) -> Iterator[tuple[int, sweeping.SweepRow]]:
        for row in real(variants, source, metrics, executor, stop):
            yield row
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("gmemsim.studies.sweep.sweep", pressed)
    result = sweep(scenario, *TWO, "--json", "--out", tmp_path / "out")
    signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    told = json.loads(result.stdout)
    assert (told["partial"], len(told["rows"])) == (True, 1)
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == told
