# SPDX-License-Identifier: GPL-2.0-or-later
"""Registries of sinks: every row works, and so does one that only this test adds, through the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gmemsim.cli
from gmemsim.cli.main import COMMANDS
from gmemsim.cli.main import gmemsim as command
from gmemsim.registry import late
from gmemsim.reports.export import COMPARE_EXPORTS, EXPORTS, SWEEP_EXPORTS, RunFormat, StudyFormat
from gmemsim.reports.figures import FIGURES, FigureKind
from gmemsim.reports.filesets import compare_files, sweep_files
from gmemsim.reports.screen import SCREENS
from gmemsim.studies.sweep import Sweep, Variation

EXTRA = "tests.reports.extra"
SCENARIO = """\
gmemsim: 1
title: One page
host: {hugetlb: {2M: 1}}
guests: [{name: vm0, memory: 2M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 2M}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["run", *map(str, arguments)])


@pytest.fixture
def figure() -> Iterator[str]:
    FIGURES.add("extra", FigureKind(EXTRA, "events", "How many events there were"))
    yield "extra"
    FIGURES.remove("extra")


@pytest.fixture
def form() -> Iterator[str]:
    EXPORTS.add("count", RunFormat(".count", EXTRA, "a number", stem="events"))
    yield "count"
    EXPORTS.remove("count")


def test_a_figure_is_its_file_and_one_row(figure: str, scenario: Path, tmp_path: Path) -> None:
    result = run(scenario, "--out", tmp_path / "out", "--figure", figure, "--figure-data")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "extra.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "extra.csv").read_text() == "events\n2\n"
    assert "extra (events)" in " ".join(CliRunner().invoke(command, ["run", "--help"]).stdout.split())
    assert run(scenario, "--format", "html", "--figure", figure, "--out", tmp_path / "page.html").exit_code == 0
    assert "How many events there were" in (tmp_path / "page.html").read_text()


def test_a_format_is_its_file_and_one_row(form: str, scenario: Path, tmp_path: Path) -> None:
    result = run(scenario, "--out", tmp_path / "out", "--format", form)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "events.count").read_text() == "One page: 2\n"
    assert "count (a number)" in " ".join(CliRunner().invoke(command, ["run", "--help"]).stdout.split())


def test_a_name_without_a_row_is_refused_with_those_that_there_are(scenario: Path, tmp_path: Path) -> None:
    result = run(scenario, "--out", tmp_path / "out", "--figure", "extra")
    assert result.exit_code == 2
    assert "'extra' is not one of 'memory'" in result.stderr


def test_a_format_of_a_study_is_one_row_too() -> None:
    sweep = Sweep("t", (Variation("seed", ("1",)),), (), ())
    row = StudyFormat("gmemsim.reports.export.sweep_json", "x.json", "")
    for registry, files in ((COMPARE_EXPORTS, compare_files), (SWEEP_EXPORTS, lambda: sweep_files(1))):
        registry.add("extra", row)
        try:
            assert "x.json" in files()
            assert registry["extra"].text(sweep).startswith("{")
        finally:
            registry.remove("extra")


def test_every_row_names_code_that_exists() -> None:
    places = [f"{row.module}:{name}" for row in FIGURES.rows() for name in ("draw", "table")]
    places += [row.needs for row in FIGURES.rows() if row.needs]
    places += [f"{row.module}:{name}" for row in EXPORTS.rows() if not row.missing for name in row.parts.values()]
    places += [f"{row.module}:write" for registry in (COMPARE_EXPORTS, SWEEP_EXPORTS) for row in registry.rows()]
    places += [f"{module}:render" for module in SCREENS.rows()]
    places += [row.place for row in COMMANDS.rows()]
    assert all(callable(late(place)) for place in places)


def test_the_command_line_knows_no_figure_and_no_format_by_name() -> None:
    names = {*FIGURES, *EXPORTS, *COMPARE_EXPORTS, *SWEEP_EXPORTS} | {
        f"gmemsim.reports.{room}.{name}"
        for room, names in (("figures", FIGURES), ("export", EXPORTS))
        for name in names
    }
    for path in Path(str(gmemsim.cli.__file__)).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not used & names, path.name
