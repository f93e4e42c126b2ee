# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim examples`` and ``gmemsim init``; names, standard input and single files on the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.scenario.format.load import load_scenario
from gmemsim.scenario.shipped import TEMPLATES, resolve, scenarios
from gmemsim.sim.run import run
from tests.cli.processes import COMMAND


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, [*map(str, arguments)], env={"COLUMNS": "80"})


def test_every_scenario_is_listed_once() -> None:
    listed = invoke("examples").stdout.splitlines()
    for name in scenarios():
        assert sum(line.split(" ")[0] == name for line in listed) == 1, name


def test_a_scenario_is_printed_as_it_is() -> None:
    assert invoke("examples", "rfc-cover").stdout == scenarios()["rfc-cover"].read_text(encoding="utf-8")


def test_copies_run_without_the_originals(tmp_path: Path) -> None:
    assert invoke("examples", "replay-qemu", "memcg", "--copy", tmp_path / "mine").exit_code == 0
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "replay-qemu.yaml",
        "replay-qemu.log",
        "memcg.yaml",
    }
    assert run(load_scenario(tmp_path / "mine" / "replay-qemu.yaml")).ok
    again = invoke("examples", "memcg", "--copy", tmp_path / "mine")
    assert again.exit_code == 2
    assert "memcg.yaml: found it already there; use --force to overwrite it" in again.stderr
    assert invoke("examples", "memcg", "--copy", tmp_path / "mine", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["examples", "rfc-cove"], "there is no example 'rfc-cove', did you mean 'rfc-cover'?"),
        (["examples", "--force"], "--force needs --copy DIR"),
        (["run", "rfc-cover", "--format", "csv"], "--format needs --out PATH"),
        (["run", "rfc-cover", "--out", "x.png", "--figure", "map", "--figure", "calls"], "give a directory"),
        (["sweep", "rfc-cover", "--vary", "seed=0", "--force"], "--force says what --out and --table may do"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_holds_and_is_commented(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert invoke("init", file, "--like", name).exit_code == 0
    scenario = load_scenario(file)
    assert scenario.expect
    assert run(scenario, check=name in ("page", "log")).ok
    assert file.read_text(encoding="utf-8").count("#") >= 3
    assert invoke("init", file, "--like", name).exit_code == 2
    assert invoke("init", file, "--like", name, "--force").exit_code == 0


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("memcg") == str(scenarios()["memcg"])
    assert resolve("scenarios/replay-qemu.log") == str(scenarios()["replay-qemu"].with_suffix(".log"))
    assert resolve("scenarios/../README.md") == "scenarios/../README.md"
    (tmp_path / "staged").mkdir()  # a folder is no scenario
    assert resolve("staged") == str(scenarios()["staged"])
    (tmp_path / "memcg").write_text("gmemsim: 2")
    assert resolve("memcg") == "memcg"
    assert invoke("run", "memcg").stderr.startswith("memcg:1:10: ")


def test_a_shipped_scenario_finds_its_log_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("run", "replay-qemu").exit_code == 0
    assert invoke("compare", "rfc-cover", "staged", "--json").exit_code == 0


def test_standard_input_is_read_and_logs_are_relative_to_the_current_folder(tmp_path: Path) -> None:
    invoke("examples", "replay-qemu", "--copy", tmp_path)
    text = (tmp_path / "replay-qemu.yaml").read_bytes()
    command = [*COMMAND, "run", "-", "--json"]
    done = subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, check=True)
    assert json.loads(done.stdout)["conversions"]["requested"] == 9
    wrong = subprocess.run(command, input=b"gmemsim: 2", capture_output=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr.startswith(b"<stdin>:1:10: found '2'")


@pytest.mark.parametrize(
    ("arguments", "name", "begins"),
    [
        (["run", "memcg"], "a.png", b"\x89PNG"),
        (["run", "memcg", "--figure", "map"], "a.svg", b"<?xml"),
        (["run", "memcg"], "a.json", b"{"),
        (["run", "memcg"], "a.html", b"<!DOCTYPE html>"),
        (["compare", "memcg", "--policy", "staged"], "a.png", b"\x89PNG"),
        (["compare", "memcg", "--policy", "staged"], "compare.md", b"Limits"),
        (["sweep", "memcg", "--vary", "policy=staged,b-today"], "a.svg", b"<?xml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_out_with_the_name_of_a_file_writes_that_file_alone(
    arguments: list[str], name: str, begins: bytes, tmp_path: Path
) -> None:
    assert invoke(*arguments, "--out", tmp_path / name).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes().startswith(begins)
