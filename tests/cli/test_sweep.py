# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``sweep`` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, stdev

import pyarrow.parquet
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
        *("heatmap.png", "heatmap.svg", "sweep.csv", "sweep.html", "sweep.json"),
    ]
    assert json.loads((tmp_path / "two" / "sweep.json").read_text()) == json.loads(result.stdout)
    assert sweep(scenario, *TWO, "--out", tmp_path / "two").exit_code == 2
    assert sweep(scenario, *TWO, "--out", tmp_path / "two", "--force").exit_code == 0
    assert sweep(scenario, *TWO, "--vary", "seed=1,2", "--out", tmp_path / "three").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == ["sweep.csv", "sweep.html", "sweep.json"]


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_written(scenario: Path, tmp_path: Path) -> None:
    wrong = ("--vary", "seed", "--vary", "seed=1,,2", "--metric", "vmemap.peak", "--out", tmp_path / "out")
    result = sweep(scenario, *wrong)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 3)
    assert "did you mean 'vmemmap'" in result.stderr
    result = sweep(scenario, "--vary", "seed=1", "--vary", "seed=2")
    assert (result.exit_code, result.stderr) == (2, "--vary seed=2: found a second key seed, expected one\n")
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
    assert [line.split(",")[:3] for line in result.stdout.splitlines()] == [
        ["policy", "work.nodes_allocated", "refused"],
        ["b-today", "4161", ""],
        ["staged", "73", ""],
    ]


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
    assert told["interval"] == {"of": "mean", "kind": "student-t", "confidence": 0.95}
    assert told["mean_over"] == {"key": "seed", "values": ["0", "1", "2", "3", "4", "5"]}
    (row,) = told["rows"]
    assert (row["values"], row["n"]) == ({}, 6)
    assert row["metrics"]["splits.2M->4K"] == pytest.approx(fmean(each))
    assert row["sd"]["splits.2M->4K"] == pytest.approx(stdev(each))
    half = 2.5706 * stdev(each) / math.sqrt(6)  # the t quantile of 5 degrees of freedom, from a printed table
    assert row["interval"]["splits.2M->4K"] == pytest.approx([fmean(each) - half, fmean(each) + half], rel=1e-4)
    assert (row["metrics"]["work.bytes_cleared"], row["sd"]["work.bytes_cleared"]) == (128 << 20, 0)
    (line,) = csv.DictReader(io.StringIO(sweep(scenario, *SEEDS, "--mean", "seed", "--csv").stdout))
    assert float(line["splits.2M->4K.sd"]) == pytest.approx(stdev(each))
    assert float(line["splits.2M->4K.low"]) == pytest.approx(fmean(each) - half, rel=1e-4)
    assert (line["n"], line["refused"]) == ("6", "")
    shown = sweep(scenario, *SEEDS, "--mean", "seed").stdout
    assert "mean ± standard deviation over n runs that differ in seed, 95% t interval" in " ".join(shown.split())
    assert f"{fmean(each):.1f} ± {stdev(each):.1f}" in shown


def test_the_other_keys_stay_and_out_has_their_heatmap(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(BOOT)
    both = (*SEEDS, "--vary", "policy=b-today,staged", "--mean", "seed")
    rows = list(csv.DictReader(io.StringIO(sweep(scenario, *both, "--csv", "--out", tmp_path / "one").stdout)))
    assert [(row["policy"], row["n"]) for row in rows] == [("b-today", "6"), ("staged", "6")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        *("heatmap.png", "heatmap.svg", "sweep.csv", "sweep.html", "sweep.json"),
    ]
    assert sweep(scenario, *SEEDS, "--mean", "seed", "--out", tmp_path / "none").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["sweep.csv", "sweep.html", "sweep.json"]


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


def press_after(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes after so many rows."""
    real = sweeping.sweep

    def pressed(
        plan: sweeping.Plan, executor: None, stop: Callable[[], bool], done: bytearray
    ) -> Iterator[tuple[int, sweeping.SweepRow]]:
        for number, row in enumerate(real(plan, executor, stop, done), 1):
            yield row
            if number == rows:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("gmemsim.studies.sweep.sweep", pressed)


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_the_variants_that_are_done(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_after(1, monkeypatch)
    result = sweep(scenario, *TWO, "--json", "--out", tmp_path / "out", "--jobs", "1")
    assert result.exit_code == 130
    told = json.loads(result.stdout)
    assert (told["partial"], len(told["rows"])) == (True, 1)
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == told


# -- the table that grows ----------------------------------------------------------------------------------------------


def rows_of(table: Path) -> dict[int, dict[str, str | float | None]]:
    """The rows of a table by their points, each of which must be there once."""
    if table.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(table.read_text())))
    else:
        rows = pyarrow.parquet.read_table(table).to_pylist()
    found = {int(row["point"]): row for row in rows}
    assert len(found) == len(rows)
    return found


METRIC = ("--metric", "filemap_nodes.peak")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_table_has_a_row_for_every_point(scenario: Path, tmp_path: Path, name: str, jobs: str) -> None:
    table = tmp_path / name
    refused = ("--vary", "host.hugetlb.1G=1,0")
    result = sweep(scenario, *TWO, *refused, *METRIC, "--set", "title=x", "--table", table, "--jobs", jobs)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = rows_of(table)
    assert [rows[point]["policy"] for point in range(8)] == ["b-today"] * 4 + ["staged"] * 4
    assert [rows[point]["host.hugetlb.1G"] for point in range(8)] == ["1", "0"] * 4
    assert [float(rows[point]["filemap_nodes.peak"] or 0) for point in range(8)] == [4162, 0] * 2 + [74, 0] * 2
    assert [str(rows[point]["refused"])[:14] for point in range(2)] == ["", "guest vm0 cann"]
    assert [rows[0][key] for key in ("seed", "generation", "costs", "set")] == ["0", "B", "default", "title=x"]
    assert rows[0]["scenario"] == json.loads(sweep(scenario, *TWO, "--json").stdout)["provenance"]["scenario"]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_sweep_that_was_stopped_goes_on(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    table = tmp_path / name
    options = (scenario, "--vary", "seed=0..9", "--vary", "policy=b-today,staged", *METRIC, "--table", table)
    with monkeypatch.context() as patched:
        press_after(7, patched)
        result = sweep(*options, "--jobs", "1")
        assert result.exit_code == 130
        assert result.stderr == f"gmemsim: {table} has 7 of 20 variants; --resume goes on with it\n"
    assert len(rows_of(table)) == 7
    calls: list[int] = []
    real = sweeping.evaluate

    def counted(plan: sweeping.Plan, place: int) -> sweeping.SweepRow:
        calls.append(place)
        return real(plan, place)

    monkeypatch.setattr(sweeping, "evaluate", counted)
    result = sweep(*options, "--resume", "--jobs", "1", "--csv")
    assert (result.exit_code, sorted(rows_of(table)), calls) == (0, list(range(20)), list(range(7, 20)))
    assert result.stdout == sweep(*options[:-2], "--csv", "--jobs", "1").stdout
    calls.clear()
    assert sweep(*options, "--resume", "--jobs", "1", "--mean", "seed", "--json").exit_code == 0
    assert calls == []


def test_what_a_kill_leaves_of_a_row_is_cut_off(scenario: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    options = (scenario, "--vary", "seed=0..9", *METRIC, "--table", table)
    assert sweep(*options, "--jobs", "1").exit_code == 0
    whole = table.read_text()
    lines = whole.splitlines(keepends=True)
    for kept in ("", lines[0][:9], "".join(lines[:4]) + lines[4][:5]):
        table.write_text(kept)
        assert sweep(*options, "--resume", "--jobs", "1").exit_code == 0
        assert table.read_text() == whole


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_of_another_sweep_is_refused_and_left_alone(scenario: Path, tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    options = (scenario, "--vary", "seed=0..3", *METRIC, "--table", table)
    assert sweep(*options).exit_code == 0
    before = rows_of(table)
    result = sweep(*options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == f"{table}: found it already there; use --resume to go on with it, or --force to begin anew\n"
    )
    other = tmp_path / "other.yaml"
    other.write_text(SCENARIO.replace("4K", "8K"))
    for changed, complaint in (
        ((scenario, "--vary", "seed=1..4", *METRIC), "found point "),
        ((scenario, "--vary", "seed=0..1", *METRIC), "found point "),
        ((scenario, "--vary", "guests.0.vcpus=1..4", *METRIC), "found other columns"),
        ((scenario, "--vary", "seed=0..3"), "found other columns"),
        (
            (scenario, "--vary", "seed=0..3", *METRIC, "--set", "title=x"),
            "found set '' in it, and here it is 'title=x'",
        ),
        ((other, "--vary", "seed=0..3", *METRIC), "found scenario '"),
    ):
        result = sweep(*changed, "--table", table, "--resume")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
        assert result.stderr.startswith(f"{table}: {complaint}")
    assert rows_of(table) == before
    assert sweep(*options, "--force").exit_code == 0


def test_options_of_the_table_that_make_no_sense(scenario: Path, tmp_path: Path) -> None:
    for options, complaint in (
        (("--table", tmp_path / "t.xls"), "expected a name that ends in .csv or .parquet"),
        (("--resume",), "give --table FILE too"),
        (("--table", tmp_path / "t.csv", "--resume", "--force"), "give one of them"),
        (("--force",), "give one of them"),
        (("--dask", "tcp://nowhere:1", "--jobs", "2"), "--jobs says how many processes work here"),
    ):
        result = sweep(scenario, *TWO, *options)
        assert result.exit_code == 2
        assert complaint in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == [scenario]
    folder = tmp_path / "t.parquet"
    folder.mkdir()
    (folder / "letter.txt").touch()
    result = sweep(scenario, *TWO, "--table", folder, "--force")
    assert (result.exit_code, (folder / "letter.txt").exists()) == (2, True)
    assert "--force would remove them" in result.stderr
    result = sweep(scenario, *TWO, "--table", tmp_path / "none" / "t.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
