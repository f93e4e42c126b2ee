# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``run`` with the real simulation: the scenarios that come with gmemsim, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["run", *map(str, arguments)])


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_holds_what_it_expects_and_fits_the_screen(path: Path) -> None:
    result = run(path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "FAIL" not in result.stdout


def test_the_cover_letter_in_figures() -> None:
    result = run(next(path for path in SCENARIOS if path.stem == "rfc-cover"), "--json")
    accounts = json.loads(result.stdout)["accounts"]
    assert (accounts["filemap_nodes"]["peak"], accounts["filemap_nodes"]["live"]) == (4162, 1)
    assert accounts["vmemmap"]["peak_bytes"] == 16_773_120


def test_the_same_scenario_gives_the_same_files(tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == "is-it-necessary")
    for name in ("a", "b"):
        assert run(path, "--out", tmp_path / name).exit_code == 0
    for first in (tmp_path / "a").iterdir():
        assert first.read_bytes() == (tmp_path / "b" / first.name).read_bytes(), first.name


def test_a_failed_expectation_is_1_and_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("""\
gmemsim: 1
host: {hugetlb: {1G: 1}}
guests: [{name: vm0, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
expect:
  - {metric: filemap_nodes.peak, le: 4000}
  - {metric: folios.1G, eq: 0}
""")
    result = run(path, "--json")
    assert (result.exit_code, result.stderr) == (1, f"{path}:8: expected filemap_nodes.peak ≤ 4,000, found 4,162\n")
    assert json.loads(result.stdout)["accounts"]["filemap_nodes"]["peak"] == 4162


def test_a_host_too_small_for_its_guests_is_3(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(
        "gmemsim: 1\nhost: {hugetlb: {1G: 1}}\nguests: [{name: vm0, memory: 2G, backing: 1G}]\nworkload: []\n"
    )
    result = run(path, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("gmemsim: refused: guest vm0 cannot be created: ")
    assert not (tmp_path / "out").exists()
