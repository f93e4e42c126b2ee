"""The bar and Ctrl-C: quiet when piped, and what was done so far is shown, written and marked."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from gmemsim.cli import progress
from gmemsim.cli.main import gmemsim
from gmemsim.run import Run, run
from gmemsim.scenario.load import parse_scenario
from gmemsim.timeline import Event

COMMAND = [sys.executable, "-m", "gmemsim.cli"]
LONG = """\
gmemsim: 1
title: A run that nobody waits for
host: {hugetlb: {1G: 4}}
guests: [{name: vm0, memory: 4G, backing: 1G, policy: {split: staged, vmemmap: partial}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 4G}
  - scatter: {guest: vm0, at: 1s, count: 1000000, duration: 4000s, lifetime: 5s}
expect:
  - {metric: folios.1G, eq: 4}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "long.yaml"
    path.write_text(LONG)
    return path


def interrupted_when(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Press Ctrl-C once the run goes on: its Python has started and imported everything by then."""
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("form", [[], ["--format", "csv"]])
def test_ctrl_c_ends_a_run_with_what_it_has_done(scenario: Path, tmp_path: Path, form: list[str]) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, "run", str(scenario), "--json", "--out", str(out), *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        interrupted_when(process, 4)
        stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stderr
    summary = json.loads(stdout)
    assert summary["partial"] is True
    assert summary["conversions"]["requested"] > 0
    assert summary["expect"] == []
    if form:
        assert sorted(path.name for path in out.iterdir()) == ["timeline.csv", "timeline.events.csv"]
    else:
        assert json.loads((out / "summary.json").read_text()) == summary
        assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")
    lines = stderr.decode().splitlines()
    assert lines[0].startswith("gmemsim: interrupted after ")
    assert lines[0].endswith(" calls: what follows is partial")
    assert lines[1].startswith("wrote ")
    assert len(lines) == 2


def press_after(calls: int, times: int = 1) -> type[progress.Interruption]:
    """An ``Interruption`` for which Ctrl-C is pressed after so many calls."""

    class Pressed(progress.Interruption):
        seen = 0

        def stepped(self, run: Run, event: Event) -> None:
            type(self).seen += 1
            if type(self).seen == calls:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
            super().stepped(run, event)

    return Pressed


def test_the_screen_says_partial_and_a_second_ctrl_c_does_not_wait(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmemsim.cli.simulate.Interruption", press_after(100))
    result = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert result.exit_code == 130
    assert "PARTIAL: interrupted before its end" in result.stdout
    assert result.stderr == "gmemsim: interrupted after 100 calls: what follows is partial\n"
    monkeypatch.setattr("gmemsim.cli.simulate.Interruption", press_after(100, times=2))
    result = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "gmemsim: interrupted\n")


def test_ctrl_c_leaves_the_comparisons_that_are_done(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short.yaml"
    short.write_text(LONG.replace("1000000", "10"))
    monkeypatch.setattr("gmemsim.cli.simulate.Interruption", press_after(100))
    result = CliRunner().invoke(gmemsim, ["compare", str(short), str(scenario), "--json", "--out", str(tmp_path / "o")])
    assert result.exit_code == 130
    told = json.loads(result.stdout)
    assert (told["partial"], list(told["summaries"])) == (True, ["short"])
    assert json.loads((tmp_path / "o" / "compare.json").read_text()) == told
    monkeypatch.setattr("gmemsim.cli.simulate.Interruption", press_after(100))
    result = CliRunner().invoke(gmemsim, ["compare", str(scenario), str(short)])
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("gmemsim: interrupted\n")


def test_what_ctrl_c_did_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with progress.Interruption().awaited():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminal_sees_rate_time_and_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    out = io.StringIO()
    bar = progress.Bar(Console(file=out, force_terminal=True, width=80), "staged")
    run(parse_scenario(LONG.replace("1000000", "20").replace("4000s", "10s")), observer=bar)
    bar.close()
    shown = out.getvalue()
    assert "staged" in shown
    assert "s of 11 s, holds " in shown
    assert "21 calls" in shown
    assert "MiB" in shown


def test_a_short_run_shows_no_bar() -> None:
    out = io.StringIO()
    bar = progress.Bar(Console(file=out, force_terminal=True, width=80))
    run(parse_scenario(LONG.replace("1000000", "2")), observer=bar)
    bar.close()
    assert out.getvalue() == ""


def test_the_bar_is_for_terminals_only_and_leaves_standard_output_alone(scenario: Path) -> None:
    leader, follower = pty.openpty()
    command = [*COMMAND, "run", str(scenario), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        seen = b""
        end = time.monotonic() + 60
        while b"calls" not in seen and time.monotonic() < end:
            if select.select([leader], [], [], 1)[0]:
                seen += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        stdout = process.stdout.read() if process.stdout else b""
    os.close(leader)
    assert b"simulating" in seen
    assert json.loads(stdout)["partial"] is True


def test_the_end_of_a_workload_is_known_before() -> None:
    text = LONG.replace("expect:", "  - wait: {for: 7s}\nexpect:")
    assert progress.expected_end(parse_scenario(text)) == 4_008_000_000_000
