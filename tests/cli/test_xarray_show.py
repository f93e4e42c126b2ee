# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim xarray show``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim

SCENARIOS = Path(__file__).parents[2] / "scenarios"
TRACE = "> new\n< ok\n> store_order 0 18 p1\n< ok\n> split 0 18 9 =\n> store 5000 v3\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text(TRACE)
    return path


def show(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(gmemsim, ["xarray", "show", *map(str, arguments)], input=stdin)


def test_the_tree_at_the_end(trace: Path) -> None:
    result = show(trace)
    assert result.exit_code == 0
    assert result.output.startswith("XArray: 66 nodes\n")
    assert "8-15: v3 (order 9, 8 slots)" in result.output


@pytest.mark.parametrize(("at", "nodes"), [(0, "empty"), (1, "empty"), (2, "1 node"), (3, "66 nodes")])
def test_the_tree_at_a_moment(trace: Path, at: int, nodes: str) -> None:
    assert show(trace, "--at", at).output.splitlines()[0] == f"XArray: {nodes}"


def test_standard_input() -> None:
    assert show("-", stdin=TRACE).output.startswith("XArray: 66 nodes\n")


def test_a_moment_after_the_end(trace: Path) -> None:
    result = show(trace, "--at", 9)
    assert result.exit_code == 2
    assert f"{trace}: found 4 operations, expected at least 9 (--at)" in result.stderr


def test_the_figure_is_not_written_over_a_file(trace: Path, tmp_path: Path) -> None:
    figure = tmp_path / "tree.png"
    assert show(trace, "--figure", figure).exit_code == 0
    written = figure.read_bytes()
    assert written.startswith(b"\x89PNG")
    assert show(trace, "--at", 2, "--figure", figure).exit_code == 2
    assert figure.read_bytes() == written
    assert show(trace, "--at", 2, "--figure", figure, "--force").exit_code == 0
    assert figure.read_bytes() != written


def test_a_figure_of_another_format(trace: Path, tmp_path: Path) -> None:
    result = show(trace, "--figure", tmp_path / "tree.pdf")
    assert result.exit_code == 2
    assert "ends in .png or .svg" in result.stderr


def test_a_wrong_line_is_named(trace: Path) -> None:
    trace.write_text(TRACE + "> shop 5\n")
    result = show(trace)
    assert result.exit_code == 2
    assert f"{trace}:7:3: found operation 'shop'" in result.stderr


def test_a_missing_file(tmp_path: Path) -> None:
    assert show(tmp_path / "none.txt").exit_code == 2


@pytest.mark.parametrize(
    ("at", "nodes"), [("0", "empty"), ("2", "1 node"), ("3", "1 node"), ("4", "74 nodes"), (None, "1 node")]
)
def test_a_guests_filemap_at_any_moment_of_a_scenario(at: str | None, nodes: str) -> None:
    arguments = ["xarray", "show", str(SCENARIOS / "staged.yaml"), "--guest", "partial"]
    result = CliRunner().invoke(gmemsim, [*arguments, *(["--at", at] if at is not None else [])])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"XArray: {nodes}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([str(SCENARIOS / "staged.yaml"), "--guest", "nobody"], "there is no guest 'nobody'"),
        ([str(SCENARIOS / "staged.yaml"), "--at", "99"], "expected at least 99"),
        (["tests/golden/d01.txt", "--guest", "vm0"], "FILE is a trace"),
        (["nowhere.yaml"], "no such file"),
    ],
)
def test_a_moment_that_is_not_there(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(gmemsim, ["xarray", "show", *arguments])
    assert result.exit_code == 2
    assert message in result.output
