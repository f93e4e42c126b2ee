# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``budget`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.reports.filesets import budget_files
from gmemsim.reports.words import MAIL_COLUMNS

SCENARIO = """\
gmemsim: 1
title: "*One* page out"
host: {hugetlb: {1G: 2}, kernel_memory: 1M}
guests: [{name: vm0, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
"""
TWO = ("--policy", "b-today", "--policy", "mine=split:18-9-0,vmemmap:partial")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO)
    return path


def call(*arguments: object, columns: int = 80) -> Result:
    return CliRunner().invoke(gmemsim, ["budget", *map(str, arguments), "--jobs", "1"], env={"COLUMNS": str(columns)})


def test_json(scenario: Path) -> None:
    """The contract: policy as text, guests, bytes with their interval and quantile; bytes are an unlimited peak."""
    told = json.loads(call(scenario, *TWO, "--json").output)
    ran = CliRunner().invoke(gmemsim, ["run", str(scenario), "--set", "host.kernel_memory=unlimited", "--json"])
    peak = json.loads(ran.output)["accounts"]["total"]["peak_bytes"]
    assert (told["schema"], told["complete"], told["left"]) == (1, True, 0)
    first, second = told["rows"]
    assert [first[key] for key in ("policy", "guests", "bytes", "low", "high", "quantile")] == [
        *("b-today", 1, peak, peak, peak, 0.999)
    ]
    assert second["policy"] == TWO[3]
    assert second["bytes"] < peak


def test_a_policy_that_is_told_is_taken(scenario: Path) -> None:
    """What a row calls its policy, --policy and --set take."""
    text = json.loads(call(scenario, "--set", "guests.vm0.policy=x=split:18-3-0", "--json").output)["rows"][0]["policy"]
    assert json.loads(call(scenario, "--policy", text, "--json").output)["rows"][0]["policy"] == text


def test_files_and_screen(scenario: Path, tmp_path: Path) -> None:
    """All formats, the figure, and a table for a mail."""
    out = tmp_path / "out"
    result = call(scenario, *TWO, "--guests", 3, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == sorted(budget_files())
    mail = (out / "budget.md").read_text()
    assert max(map(len, mail.splitlines())) <= MAIL_COLUMNS
    assert mail.startswith("\\*One\\* page out")
    assert "b-today" in result.output
    assert "3" in result.output.split("b-today")[1].split()[0]


@pytest.mark.parametrize("columns", [60, 80])
def test_a_host_to_fill(scenario: Path, columns: int) -> None:
    """The screen fits, and says what else takes memory."""
    result = call(scenario, "--host-memory", "8G", "--other", "1G", columns=columns)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= columns
    row = json.loads(call(scenario, "--host-memory", "8G", "--other", "1G", "--json").output)["rows"][0]
    assert row["guests"] == 5  # two hugepages for the first, one for each after it, and not quite 2G of all else
    assert row["uses"]["other"] == 1 << 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host-memory", "1X"], "found '1X', expected a size"),
        (["--host-memory", "8G", "--guests", "2"], "--host-memory asks how many guests fit"),
        (["--other", "1G"], "give --host-memory too"),
        (["--for-each", "vm1"], "did you mean 'vm0'"),
        (["--quantile", "1.5"], "expected a number between 0 and 1"),
        (["--guests", "5000"], "expected at most 4,096"),
        (["--policy", "stagedd"], "did you mean 'staged'"),
        (["--policy", "x=split:9-0"], "starts at order 9"),
        (["--policy", "staged", "--policy", "staged"], "found a second policy staged, expected one"),
        (["--force"], "needs --out PATH"),
        (["--stagger", "1"], "expected a time with a unit"),
    ],
)
def test_wrong_input_is_one_line(scenario: Path, arguments: list[str], told: str) -> None:
    """And code 2, without a traceback."""
    result = call(scenario, *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output


def test_what_is_said_of_several_policies_is_said_once(scenario: Path) -> None:
    shown = " ".join(call(scenario, "--policy", "b-today", "--policy", "again=split:uniform").stdout.split())
    assert shown.count("vmemmap has 16.0 MiB of it at 0 ns") == 1
    assert "b-today, again=split:uniform: vmemmap has 16.0 MiB of it" in shown


BROKEN = """\
class Broken:
    def may_merge(self, *_):
        raise ValueError("two\\nlines")
"""


def test_what_is_wrong_in_a_policy_of_ones_own_comes_back_from_other_processes(scenario: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(BROKEN)
    scenario.write_text(SCENARIO + "  - convert: {guest: vm0, offset: 0, size: 4K, to: private}\n")
    arguments = ["budget", scenario, "--policy", "staged", "--policy", f"x={own}:Broken", "--jobs", "2"]
    result = CliRunner().invoke(gmemsim, [*map(str, arguments)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{own}:3:9: found ValueError (two lines) in Broken.may_merge\n"
