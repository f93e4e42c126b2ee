# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine itself is out of memory: one line, exit code 3, and what is done so far is there and marked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from gmemsim.cli.main import gmemsim
from gmemsim.errors import NO_MEMORY
from gmemsim.results.timeline import Event
from gmemsim.sim.run import Run
from gmemsim.studies import failing, snapshots
from gmemsim.studies import faults as studied
from gmemsim.studies.failing import Seen, Strike
from gmemsim.studies.tune import _Search

SCENARIO = """\
gmemsim: 1
title: Two hugepages
host: {hugetlb: {2M: 2}}
guests: [{name: vm0, memory: 4M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 4M}
  - convert: {guest: vm0, offset: 2044K, size: 8K, to: shared}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(SCENARIO)
    return path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, list(map(str, arguments)), env={"COLUMNS": "80"})


def exhausted(run: Run, console: Console | None, label: str, *, look: bool) -> Iterator[Event]:
    """A ``with_bar`` without a bar, after whose first call there is no memory."""
    yield next(run)
    raise MemoryError


def test_a_run_and_a_comparison(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmemsim.cli.simulate.with_bar", exhausted)
    result = call("run", scenario, "--json", "--out", tmp_path / "summary.json")
    assert result.exit_code == 3
    line = f"gmemsim: refused: {NO_MEMORY}: ended after 1 calls: what follows is partial\n"
    assert result.stderr.startswith(line)
    assert json.loads(result.stdout)["partial"] is True
    assert (tmp_path / "summary.json").read_text() == result.stdout
    result = call("compare", scenario, "--policy", "b-today", "--policy", "staged")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"{line}gmemsim: refused: {NO_MEMORY}\n"


def test_failures_that_were_seen_are_told(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = studied._Note.__call__

    def note(note: studied._Note, strike: Strike, seen: Seen) -> None:
        if note._done == 2:
            raise MemoryError
        real(note, strike, seen)

    monkeypatch.setattr(studied._Note, "__call__", note)
    result = call("faults", scenario, "--jobs", "1", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["complete"], told["carried_out"]) == (3, False, 2)
    assert result.stderr == (
        f"gmemsim: refused: {NO_MEMORY}: {told['left']:,} runs were not made, what is above is partial\n"
    )


@pytest.mark.skipif(not snapshots.possible(), reason="processes cannot be copied here")
def test_a_branch_without_memory_is_no_broken_invariant(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(*given: object, failed: bool) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(failing, "outcome", outcome)
    result = call("faults", scenario, "--jobs", "1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "gmemsim: refused: a process of this command was killed, as for want of memory\n"


def test_policies_that_were_run_are_told(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(search: _Search) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(_Search, "_branch", exhausted)
    result = call("tune", scenario, "--jobs", "1", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["complete"], told["proved"]["best"]) == (3, False, False)
    assert told["evaluated"] > 0
    assert f"refused: {NO_MEMORY}: 1 runs were not made" in result.stderr
