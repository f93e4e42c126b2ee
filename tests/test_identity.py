# SPDX-License-Identifier: GPL-2.0-or-later
"""The same counts: from compiled modules as from their sources, and as before the rebuild of the house.

What differs from before the rebuild must be a row of the table in CHANGELOG.md, and each row must be a difference.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gmemsim import compiled
from tests.identity import ROOT, SCENARIOS, numbers_of

REQUIRED = os.environ.get("GMEMSIM_COMPILED") == "required"
"""Whether the compiled form must be there (``make test-compiled``)."""

BEFORE: dict[str, dict[str, dict[str, Any]]] = json.loads((ROOT / "tests/data/before_the_rebuild.json").read_text())
"""The numbers of revision 6861c5a, by scenario (:mod:`tests.identity`)."""

HEADING = "### Results that changed on purpose\n"

MANY = "many"
"""What stands for old and new in the row of a pattern of metrics: the workload is another one, say."""

RUN_ALL = """
import sys
from pathlib import Path
from click.testing import CliRunner
from gmemsim import compiled
from gmemsim.cli.main import gmemsim
out = Path(sys.argv[1])
for file in map(Path, sys.argv[2:]):
    timeline = out / f"{file.stem}.jsonl"
    result = CliRunner().invoke(gmemsim, ["run", str(file), "--json", "--format", "jsonl", "--out", str(timeline)])
    assert result.exit_code == 0, result.output
    (out / f"{file.stem}.json").write_text(result.stdout)
print(compiled.form())
"""

# -- compiled and pure -------------------------------------------------------------------------------------------------


def run_all(out: Path, **environment: str) -> str:
    """Write the summary and the timeline of every scenario into ``out``; the form that ran."""
    out.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "GMEMSIM_PURE"}
    command = [sys.executable, "-c", RUN_ALL, str(out), *map(str, SCENARIOS.values())]
    done = subprocess.run(command, env=clean | environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(
    not (REQUIRED or compiled.up_to_date()), reason="there is no compiled form of these sources: `make fast`"
)
def test_compiled_and_pure_runs_are_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "compiled", tmp_path / "pure"
    assert run_all(first) == "compiled"
    assert run_all(second, GMEMSIM_PURE="1") == "pure Python"
    assert len(list(first.iterdir())) == 2 * len(SCENARIOS)
    for name in SCENARIOS:
        assert (first / f"{name}.jsonl").read_bytes() == (second / f"{name}.jsonl").read_bytes()
        ours, theirs = (json.loads((form / f"{name}.json").read_text()) for form in (first, second))
        assert (ours.pop("provenance")["compiled"], theirs.pop("provenance")["compiled"]) == (True, False)
        assert ours == theirs


# -- before the rebuild ------------------------------------------------------------------------------------------------


def same(old: Any, new: Any) -> bool:
    """Whether two numbers are the same; modelled times may be added up in another order."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-9)
    return type(old) is type(new) and old == new


def written(value: Any) -> str:
    """A number as the table writes it."""
    if value is None:
        return "absent"
    return f"{value:,.1f}" if isinstance(value, float) else str(value) if isinstance(value, bool) else f"{value:,}"


def differences(name: str) -> dict[str, tuple[str, str]]:
    """Metrics of the scenario that were another number before: old and new.

    A number of the only guest is left out where the host's number of that name has changed in the same way.
    """
    before, now = BEFORE[name], numbers_of(SCENARIOS[name])
    found: dict[str, tuple[str, str]] = {}
    for metric, old in before["host"].items():
        new = now["host"].get(metric)
        if not same(old, new):
            found[metric] = written(old), written(new)
    alone = len(before["names"]) == 1
    for metric, olds in before["guests"].items():
        news = dict(zip(now["names"], now["guests"].get(metric, ()), strict=False))
        for guest, old in zip(before["names"], olds, strict=True):
            new = news.get(guest)
            change = written(old), written(new)
            if not (same(old, new) or (alone and found.get(metric) == change)):
                found[f"guests.{guest}.{metric}"] = change
    return found


@cache
def table() -> dict[str, dict[str, tuple[str, str]]]:
    """The tables of CHANGELOG.md: scenario -> metric, or a pattern of metrics -> old and new."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for section in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split(HEADING)[1:]:
        for line in re.findall(r"^\| `.*$", section.split("\n#")[0], re.MULTILINE):
            scenario, metric, old, new, why = (cell.strip().strip("`") for cell in line.strip("| ").split(" | "))
            assert why, "a reason"
            assert metric not in rows.setdefault(scenario, {}), "once"
            rows[scenario][metric] = old, new
    return rows


def test_the_table_names_scenarios_that_are_compared() -> None:
    assert table().keys() <= BEFORE.keys() <= SCENARIOS.keys()


@pytest.mark.parametrize("name", BEFORE)
def test_the_numbers_are_those_from_before_the_rebuild_or_in_the_table(name: str) -> None:
    listed = table().get(name, {})
    patterns = {metric for metric, (old, _) in listed.items() if old == MANY}
    found = differences(name)
    several = {metric: next((p for p in patterns if fnmatchcase(metric, p)), "") for metric in found}
    assert {metric: change for metric, change in found.items() if not several[metric]} == {
        metric: change for metric, change in listed.items() if metric not in patterns
    }
    assert patterns <= set(several.values()), "a pattern that matches no difference"
