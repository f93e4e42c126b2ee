# SPDX-License-Identifier: GPL-2.0-or-later
"""Every output of every study names what made it, and pages have what the screen has."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from gmemsim.cli.main import gmemsim
from gmemsim.reports.page.shell import is_live
from gmemsim.version import __version__

SCENARIO = """\
gmemsim: 1
title: Two <hugepages> out
seed: 7
host: {hugetlb: {2M: 2}}
guests: [{name: vm0, memory: 4M, backing: 2M, policy: {split: staged}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 4M}
  - convert: {guest: vm0, offset: 2044K, size: 8K, to: shared}
"""

COMMANDS = {
    "sweep": ["FILE", "--vary", "policy=b-today,staged"],
    "budget": ["FILE"],
    "tune": ["FILE", "--jobs", "1"],
    "faults": ["FILE"],
    "reserve": ["--backing", "2M", "--policy", "staged", "--pages", "1"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_output_names_what_made_it(command: str, tmp_path: Path) -> None:
    file, out = tmp_path / "two.yaml", tmp_path / "out"
    file.write_text(SCENARIO)
    sha256 = hashlib.sha256(SCENARIO.encode()).hexdigest()
    line = f"gmemsim {__version__}, scenario {sha256[:14]}, seed 7, kernel B, costs default"
    if command == "reserve":
        line = f"gmemsim {__version__}, kernel B"
    arguments = [str(file) if argument == "FILE" else argument for argument in COMMANDS[command]]
    result = CliRunner().invoke(gmemsim, [command, *arguments, "--out", str(out)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    words = line if command not in ("tune", "faults") else f"gmemsim {__version__}, scenario {sha256[:14]}, seed 7"
    assert words in result.stdout
    for path in out.iterdir():
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert words in image.info["Description"]
        elif path.suffix == ".json":
            made = json.loads(path.read_text())["provenance"]
            assert made["gmemsim"] == __version__
            assert made.get("scenario") == (None if command == "reserve" else sha256)
            assert "B" in made["generation"]
        elif path.suffix == ".csv":
            for row in csv.DictReader(io.StringIO(path.read_text())):
                assert row["gmemsim"] == __version__
                assert command == "reserve" or (row["scenario"], row["seed"]) == (sha256, "7")
        else:
            assert words in " ".join(path.read_text().replace("\\", "").split())


@pytest.mark.parametrize("command", ["budget", "faults", "tune"])
def test_pages_say_what_the_screen_says(command: str, tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(SCENARIO)
    page = CliRunner().invoke(gmemsim, [command, str(file), "--jobs", "1", "--html"])
    assert page.exit_code == 0, page.output
    told = page.stdout
    assert told.startswith("<!DOCTYPE html>")
    assert "Two &lt;hugepages&gt; out" in told
    assert ("<script" in told) == is_live()
    words = {
        "budget": "the peak of a run without limits",
        "faults": "refused and as before",
        "tune": "left out by proof",
    }
    assert words[command] in told
    assert 'src="data:image/svg+xml,' in told


def test_a_sweep_names_what_its_rows_were_made_by(tmp_path: Path) -> None:
    """Kernel generations of the policies that are varied, and no seed that is; also of rows that a table had."""
    file, table = tmp_path / "two.yaml", tmp_path / "rows.csv"
    file.write_text(SCENARIO)
    varied = ["--vary", "policy=b-today,a-rfc-v2", "--vary", "seed=0,1", "--jobs", "1"]

    def swept(*options: str) -> str:
        result = CliRunner().invoke(gmemsim, ["sweep", str(file), *varied, *options], env={"COLUMNS": "100"})
        assert result.exit_code == 0, result.output
        return result.stdout

    told = json.loads(swept("--json"))
    assert told["provenance"]["generation"] == ["A", "B"]
    assert "seed" not in told
    assert {row["generation"] for row in csv.DictReader(io.StringIO(swept("--csv")))} == {"A", "B"}
    swept("--table", str(table))
    assert "kernel A B, costs default" in swept("--table", str(table), "--resume")
