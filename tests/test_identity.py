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


def calls_of(path: Path) -> list[str]:
    """The lines of a timeline but for the first, which says what made it."""
    first, *calls = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["type"] == "run"
    return calls


@pytest.mark.skipif(
    not (REQUIRED or compiled.up_to_date()), reason="there is no compiled form of these sources: `make fast`"
)
def test_compiled_and_pure_runs_are_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "compiled", tmp_path / "pure"
    assert run_all(first) == "compiled"
    assert run_all(second, GMEMSIM_PURE="1") == "pure Python"
    assert len(list(first.iterdir())) == 2 * len(SCENARIOS)
    for name in SCENARIOS:
        assert calls_of(first / f"{name}.jsonl") == calls_of(second / f"{name}.jsonl")
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


Row = tuple[str, str, str, str]
"""Scenario, metric, old, new; the first two may be patterns, with :data:`MANY` for old and new."""


@cache
def table() -> tuple[Row, ...]:
    """The table of CHANGELOG.md."""
    (section,) = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split(HEADING)[1:]
    rows = []
    for line in re.findall(r"^\| `.*$", section.split("\n#")[0], re.MULTILINE):
        scenario, metric, old, new, why = (cell.strip().strip("`") for cell in line.strip("| ").split(" | "))
        assert why, "a reason"
        rows.append((scenario, metric, old, new))
    assert len(rows) == len(set(rows)), "once"
    return tuple(rows)


def fits(row: Row, scenario: str, metric: str, change: tuple[str, str]) -> bool:
    """Whether a row stands for this difference."""
    return fnmatchcase(scenario, row[0]) and fnmatchcase(metric, row[1]) and row[2:] in (change, (MANY, MANY))


@cache
def found(name: str) -> dict[str, tuple[str, str]]:
    """:func:`differences`, once."""
    return differences(name)


def test_scenarios_are_still_there() -> None:
    assert BEFORE.keys() <= SCENARIOS.keys()


@pytest.mark.parametrize("name", BEFORE)
def test_a_number_is_that_from_before_the_rebuild_or_in_the_table(name: str) -> None:
    unexplained = {
        metric: change
        for metric, change in found(name).items()
        if not any(fits(row, name, metric, change) for row in table())
    }
    assert unexplained == {}, "a row in CHANGELOG.md, or a mistake"


def test_every_row_of_the_table_is_a_difference() -> None:
    differing = [(name, metric, change) for name in BEFORE for metric, change in found(name).items()]
    idle = [row for row in table() if not any(fits(row, *difference) for difference in differing)]
    assert idle == []
