# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``faults`` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.studies import faults as studied
from gmemsim.studies.failing import Seen, Strike

SCENARIO = """\
gmemsim: 1
title: Two hugepages [out]
host: {hugetlb: {2M: 2}}
guests: [{name: vm0, memory: 4M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 4M}
  - convert: {guest: vm0, offset: 2044K, size: 8K, to: shared, id: out}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(SCENARIO)
    return path


def faults(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["faults", *map(str, arguments)], env={"COLUMNS": "80"})


def test_json_has_what_it_promises(scenario: Path) -> None:
    result = faults(scenario, "--ordering", "all", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["schema"], told["broken"], told["complete"], told["left"]) == (1, 0, True, 0)
    assert told["points"] == sum(line["count"] for line in told["outcomes"])
    assert {line["ordering"] for line in told["outcomes"]} == set(ORDERINGS)
    assert {"ordering", "outcome", "account", "step", "count"} <= told["outcomes"][0].keys()


def test_the_policy_is_repeated_as_it_was_given(scenario: Path) -> None:
    policies = ("x=vmemmap:off", "no-hvo")
    told = json.loads(faults(scenario, *(f"--policy={text}" for text in policies), "--json").stdout)
    assert tuple(dict.fromkeys(line["policy"] for line in told["outcomes"])) == policies
    without = [[line for line in told["outcomes"] if line["policy"] == text] for text in policies]
    assert [line | {"policy": ""} for line in without[0]] == [line | {"policy": ""} for line in without[1]]


def test_the_table_fits_a_mail(scenario: Path) -> None:
    lines = faults(scenario, "--ordering", "all").stdout.splitlines()
    assert lines[0] == "Two hugepages [out]"
    assert max(map(len, lines)) <= 77
    assert "every invariant held after each of them" in lines
    assert lines[-2] == "out: convert to shared"


def test_settings_and_the_end_of_the_run(scenario: Path) -> None:
    told = json.loads(faults(scenario, "--set", "policy=no-hvo", "--to-end", "--json").stdout)
    assert told["to_end"] is True
    assert "vmemmap" not in {line["account"] for line in told["outcomes"]}
    assert "and at the end of the run" in faults(scenario, "--to-end").stdout


def test_every_and_a_sample(scenario: Path) -> None:
    whole = json.loads(faults(scenario, "--json").stdout)
    every = json.loads(faults(scenario, "--every", "--json").stdout)
    assert every.pop("carried_out") == whole["points"] > whole.pop("carried_out")
    assert every == whole
    some = json.loads(faults(scenario, "--sample", "5", "--json").stdout)
    assert (some["points"], some["sample_of"]) == (5, whole["points"])
    assert "A SAMPLE of 5 of" in faults(scenario, "--sample", "5").stdout
    assert faults(scenario, "--sample", "5", "--every").exit_code == 2


def test_files(scenario: Path, tmp_path: Path) -> None:
    result = faults(scenario, "--out", tmp_path / "out", "--csv")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"faults.json", "faults.csv", "faults.html", "faults.png", "faults.svg"}
    assert (tmp_path / "out" / "faults.csv").read_text() == result.stdout
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    told = json.loads((tmp_path / "out" / "faults.json").read_text())
    assert sum(int(row["count"]) for row in rows) == told["points"]
    assert faults(scenario, "--out", tmp_path / "out").exit_code == 2
    assert faults(scenario, "--force").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--ordering", "split-frist"], "--ordering split-frist: expected the name of an ordering, did you mean"),
        (["--policy", "stagd"], "--policy stagd: found 'stagd', expected the name of a policy"),
        (["--policy", "ladder-1g"], "--policy ladder-1g: guest vm0: ladder"),
        (["--set", "guests.vm0.memory=5M"], "--set guests.vm0.memory=5M"),
        (["--policy", "fault-time", "--ordering", "reserve-first"], "reserve-first cannot keep its promise"),
    ],
)
def test_what_cannot_be_is_one_line(scenario: Path, arguments: list[str], told: str) -> None:
    result = faults(scenario, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_variant_that_cannot_be_is_told_beside_the_others(scenario: Path) -> None:
    result = faults(scenario, "--policy", "fault-time", "--ordering", "all")
    assert result.exit_code == 0
    assert "not possible: fault-time reserve-first" in result.stdout
    refused = json.loads(faults(scenario, "--policy", "fault-time", "--ordering", "all", "--json").stdout)["refused"]
    assert len(refused) == 3


def test_ctrl_c_keeps_what_is_done_and_tells_what_is_left(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
    real = studied._Note.__call__

    def pressed(note: studied._Note, strike: Strike, seen: Seen) -> None:
        real(note, strike, seen)
        if note._done == 2:  # once: a second one would not wait
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(studied._Note, "__call__", pressed)
    result = faults(scenario, "--ordering", "all", "--jobs", "1", "--json", "--out", tmp_path / "out")
    screen = faults(scenario, "--ordering", "all", "--jobs", "1")
    signal.signal(signal.SIGINT, before)
    assert (result.exit_code, screen.exit_code) == (130, 130)
    told = json.loads(result.stdout)
    assert told["complete"] is False
    assert told["left"] > told["points"] >= told["carried_out"] > 0
    assert f"PARTIAL: interrupted with {told['left']} failures left" in screen.stdout
    assert json.loads((tmp_path / "out" / "faults.json").read_text()) == told
