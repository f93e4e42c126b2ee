# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``run`` around a simulation that is replaced: exit codes, what is printed where, what is written."""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.errors import SimulationRefused
from gmemsim.reports.filesets import run_files
from gmemsim.results.timeline import Event
from gmemsim.scenario.model import Scenario

from ..reports import fakes

SCENARIO = """\
gmemsim: 1
title: One page out and back
host: {hugetlb: {1G: 4}}
guests:
  - {name: vm0, memory: 2G, backing: 1G}
workload:
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
"""

OUTPUTS = tuple(run_files())

Simulate = Callable[[Scenario], fakes.FakeResult]
Install = Callable[[Simulate], None]


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a function stand in for the simulation."""

    def install(function: Simulate) -> None:
        class Run:
            def __init__(self, scenario: Scenario, keep: int | None = None) -> None:
                self._result = function(scenario)

            def __iter__(self) -> Iterator[Event]:
                return iter(())

            def calls(self) -> Iterator[None]:
                return iter(())

            def result(self) -> fakes.FakeResult:
                return self._result

        module = types.ModuleType("gmemsim.sim.run")
        module.__dict__["Run"] = Run
        monkeypatch.setitem(sys.modules, "gmemsim.sim.run", module)
        command_module = importlib.import_module("gmemsim.cli.run")
        monkeypatch.setattr(command_module, "recorders", lambda figures, run, necessary: {})  # there is no run to watch

    install(lambda scenario: fakes.headline())
    return install


@pytest.fixture
def scenario(tmp_path: Path, simulate: Install) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["run", *map(str, arguments)])


def failed() -> fakes.FakeResult:
    return fakes.FakeResult(fakes.headline().timeline, fakes.headline().summary, ok=False)


def test_the_screen_shows_the_summary(scenario: Path) -> None:
    result = run(scenario)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "filemap_nodes" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_simulation_gets_the_scenario(scenario: Path, simulate: Install) -> None:
    seen = []

    def look(loaded: Scenario) -> fakes.FakeResult:
        seen.append(loaded)
        return fakes.headline()

    simulate(look)
    run(scenario)
    assert [loaded.title for loaded in seen] == ["One page out and back"]


def test_json_is_one_object_and_nothing_else(scenario: Path, tmp_path: Path) -> None:
    for arguments in ([], ["--out", str(tmp_path / "out")]):
        result = run(scenario, "--json", *arguments)
        assert result.exit_code == 0
        assert json.loads(result.stdout) == fakes.headline().summary


def test_out_writes_all_files_and_says_where(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = run(scenario, "--out", out)
    assert result.exit_code == 0
    assert result.stdout.endswith(f"wrote summary.json, timeline.jsonl, plot.png, plot.svg into {out}\n")
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    assert json.loads((out / "summary.json").read_text()) == fakes.headline().summary
    assert len((out / "timeline.jsonl").read_text().splitlines()) == 12
    assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "plot.svg").read_text().startswith("<?xml")


def test_a_failed_expectation_is_1_and_the_files_are_there(scenario: Path, simulate: Install, tmp_path: Path) -> None:
    simulate(lambda _: failed())
    assert run(scenario).exit_code == 1
    assert run(scenario, "--json").exit_code == 1
    assert run(scenario, "--out", tmp_path / "out").exit_code == 1
    assert (tmp_path / "out" / "plot.png").exists()


def test_json_with_a_failed_expectation_names_it_on_stderr(scenario: Path, simulate: Install) -> None:
    simulate(lambda _: failed())
    result = run(scenario, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == failed().summary
    assert result.stderr == f"{scenario}:8: expected filemap_nodes.live, found 1\n"


def test_existing_files_are_not_overwritten_and_nothing_is_run(
    scenario: Path, simulate: Install, tmp_path: Path
) -> None:
    def never(_: Scenario) -> fakes.FakeResult:
        raise AssertionError("the simulation was run")

    simulate(never)
    (tmp_path / "plot.png").write_text("mine")
    result = run(scenario, "--out", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"{tmp_path}: found plot.png already there; use --force to overwrite files, or another directory\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.yaml", "plot.png"]
    assert (tmp_path / "plot.png").read_text() == "mine"


def test_force_overwrites_and_leaves_other_files(scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_text("old")
    assert run(scenario, "--out", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["one.yaml", *OUTPUTS])


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_directory_in_the_way_is_never_overwritten(scenario: Path, tmp_path: Path, force: list[str]) -> None:
    (tmp_path / "summary.json").mkdir()
    assert run(scenario, "--out", tmp_path, *force).exit_code == 2
    assert (tmp_path / "summary.json").is_dir()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_as_output_directory_is_2(scenario: Path, below: str) -> None:
    result = run(scenario, "--out", scenario / below)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert scenario.read_text() == SCENARIO


def test_force_without_out_is_a_usage_error(scenario: Path) -> None:
    result = run(scenario, "--force")
    assert result.exit_code == 2
    assert "--force needs --out PATH" in result.stderr


def test_a_failure_while_writing_leaves_nothing_behind(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gmemsim.reports.figures.write", full)
    result = run(scenario, "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (2, "gmemsim: No space left on device\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_refusal_is_3_and_writes_nothing(scenario: Path, simulate: Install, tmp_path: Path) -> None:
    def refuse(_: Scenario) -> fakes.FakeResult:
        raise SimulationRefused("the host is too small")

    simulate(refuse)
    result = run(scenario, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "gmemsim: refused: the host is too small\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"", 1),
        (b"\x7fELF\x00\xff", 1),
        (SCENARIO.replace("size: 4K", "size: 4096").replace("offset: 0", "offset: 3K").encode(), 2),
        (SCENARIO.replace("title", "titel").encode(), 1),
        (SCENARIO.replace("memory: 2G", "memory: 2G, memory: 3G").encode(), 1),
        (SCENARIO.replace("size: 4K", "size: 4G").encode(), 1),
    ],
)
def test_bad_input_is_2_with_one_line_a_fault_and_nothing_written(
    scenario: Path, tmp_path: Path, content: bytes, faults: int
) -> None:
    scenario.write_bytes(content)
    result = run(scenario, "--json", "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == faults
    assert all(line.startswith(f"{scenario}:") for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["gone.yaml", "."])
def test_a_missing_file_and_a_directory_are_2(simulate: Install, tmp_path: Path, path: str) -> None:
    result = run(tmp_path / path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{tmp_path / path}: found ")
    assert result.stderr.count("\n") == 1


def test_schema_prints_a_json_schema() -> None:
    result = CliRunner().invoke(gmemsim, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_figures_and_their_data_are_written_instead_of_the_plot(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(scenario, "--out", out, "--figure", "calls", "--figure", "memory", "--figure-data")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        *("calls.csv", "calls.png", "calls.svg", "memory.csv", "memory.png", "memory.svg"),
        *("summary.json", "timeline.jsonl"),
    ]
    assert len((out / "memory.csv").read_text().splitlines()) == 1 + len(fakes.headline().timeline)


@pytest.mark.parametrize(
    ("form", "path", "files"),
    [
        ("jsonl", "new", ["new/timeline.jsonl"]),
        ("jsonl", "new/x.jsonl", ["new/x.jsonl"]),
        ("csv", "new/", ["new/timeline.csv", "new/timeline.events.csv", "new/timeline.provenance.csv"]),
        ("csv", "y.csv", ["y.csv", "y.events.csv", "y.provenance.csv"]),
        ("csv", "y.csv.gz", ["y.csv.gz", "y.events.csv.gz", "y.provenance.csv.gz"]),
        ("jsonl", "y.jsonl.zst", ["y.jsonl.zst"]),
        ("parquet", "new.d/", ["new.d/timeline.events.parquet", "new.d/timeline.parquet"]),
        ("perfetto", ".", ["timeline.pftrace"]),
        ("html", "new", ["new/report.html"]),
    ],
)
def test_a_format_goes_to_a_file_or_into_a_directory(
    scenario: Path, tmp_path: Path, form: str, path: str, files: list[str]
) -> None:
    if path.endswith(".zst"):
        pytest.importorskip("zstandard")
    if form in ("parquet", "perfetto"):
        pytest.importorskip({"parquet": "pyarrow"}.get(form, form))
    more = ["--figure", "calls"] if form == "html" else []  # others need a real run
    out = tmp_path if path == "." else f"{tmp_path}/{path}"
    result = run(scenario, "--format", form, "--out", out, *more)
    assert result.exit_code == 0, result.output
    written = [str(found.relative_to(tmp_path)) for found in tmp_path.rglob("*") if found.is_file()]
    assert sorted(written) == sorted(["one.yaml", *files])
    names = ", ".join(Path(file).name for file in sorted(files, key=len))
    assert f"wrote {names} into " in result.stdout
    assert run(scenario, "--format", form, "--out", out, *more).exit_code == 2
    assert run(scenario, "--format", form, "--out", out, "--force", *more).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "csv"], "--format needs --out PATH"),
        (["--figure", "map"], "--figure needs --out PATH"),
        (["--figure-data"], "--figure-data needs --out PATH"),
        (["--format", "csv", "--figure", "map", "--out", "o"], "--figure does not go with --format csv"),
        (["--format", "html", "--figure-data", "--out", "o"], "--figure-data does not go with --format html"),
        (["--format", "htlm", "--out", "o"], "Did you mean 'html'?"),
        (["--out", "o.html.gz"], "--format html writes no compressed files: give a name without .gz"),
        (["--figure", "mapp", "--out", "o"], "Did you mean 'map'?"),
        (["--jsno"], "--json"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(scenario: Path, arguments: list[str], complaint: str) -> None:
    result = run(scenario, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr


def test_a_format_whose_package_is_missing_says_how_to_get_it(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmemsim.reports.export.find_spec", lambda name: None)
    result = run(scenario, "--format", "parquet", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--format parquet needs the package pyarrow: pip install 'gmemsim[parquet]'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_compression_whose_package_is_missing_says_how_to_get_it(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmemsim.reports.export.packing.find_spec", lambda name: None)
    result = run(scenario, "--format", "csv", "--out", tmp_path / "x.csv.zst")
    assert result.exit_code == 2
    assert "a file .zst needs the package zstandard: pip install 'gmemsim[zstd]'" in result.stderr
    assert list(tmp_path.iterdir()) == [scenario]


def test_a_run_that_keeps_some_events_says_so(tmp_path: Path) -> None:
    scenario = tmp_path / "flip.yaml"
    scenario.write_text(
        SCENARIO.replace("  - convert", "  - flip: {guest: vm0, count: 200, interval: 1ms}\n  - convert", 1)
    )
    whole, some = run(scenario, "--json"), run(scenario, "--json", "--keep-events", "100")
    assert (whole.exit_code, whole.stderr) == (0, "")
    assert some.stdout == whole.stdout
    assert re.fullmatch(
        r"gmemsim: the timeline keeps \d+ of 40\d events and \d+ of \d+ samples; summary and peaks are exact\n",
        some.stderr,
    )


def test_figures_that_look_at_every_event_do_not_go_with_fewer(scenario: Path, tmp_path: Path) -> None:
    result = run(scenario, "--keep-events", "100", "--out", tmp_path / "out", "--figure", "map")
    assert result.exit_code == 2
    assert "--keep-events does not go with map, which show every event" in result.stderr
