# SPDX-License-Identifier: GPL-2.0-or-later
"""The bar and Ctrl-C: quiet when piped, and what was done so far is shown, written and marked."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from gmemsim.cli import progress
from gmemsim.cli.main import gmemsim
from gmemsim.results.timeline import Event
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import Run
from tests.cli.processes import COMMAND

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


@pytest.fixture(autouse=True)
def ctrl_c_is_noticed() -> Iterator[None]:
    """Undo that a shell lets its background jobs ignore SIGINT: the tests may run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(*arguments: str, number: int = signal.SIGINT) -> tuple[int, bytes, str]:
    """Run gmemsim with standard error on a terminal, signal it when the bar is there: code, output, terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        seen, pressed = b"", False
        end = time.monotonic() + 100
        while time.monotonic() < end:
            if not select.select([leader], [], [], 1)[0]:
                continue
            try:
                seen += os.read(leader, 65536)
            except OSError:  # nobody has the other side open any more
                break
            if b" calls, " in seen and not pressed:
                process.send_signal(number)
                pressed = True
        stdout = process.stdout.read() if process.stdout else b""
    os.close(leader)
    return process.returncode, stdout, seen.decode()


@pytest.mark.parametrize("form", [[], ["--format", "csv"]])
def test_ctrl_c_ends_a_run_with_what_it_has_done(scenario: Path, tmp_path: Path, form: list[str]) -> None:
    out = tmp_path / "out"
    code, stdout, terminal = interrupted("run", str(scenario), "--json", "--out", str(out), *form)
    assert code == 130, terminal
    summary = json.loads(stdout)  # the bar has left standard output alone
    assert summary["partial"] is True
    assert summary["conversions"]["requested"] > 0
    assert summary["expect"] == []
    if form:
        assert sorted(path.name for path in out.iterdir()) == [
            "timeline.csv",
            "timeline.events.csv",
            "timeline.provenance.csv",
        ]
    else:
        assert json.loads((out / "summary.json").read_text()) == summary
        assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "simulating" in terminal
    said, wrote = terminal.rstrip().splitlines()[-2:]
    assert "gmemsim: interrupted after " in said
    assert said.endswith(" calls: what follows is partial")
    assert wrote.startswith("wrote ")


def test_sigterm_ends_a_run_with_what_it_has_done(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "summary.json"
    code, stdout, terminal = interrupted("run", str(scenario), "--json", "--out", str(out), number=signal.SIGTERM)
    assert code == 143, terminal
    assert json.loads(stdout)["partial"] is True
    assert json.loads(out.read_text()) == json.loads(stdout)
    assert "gmemsim: interrupted after " in terminal


def press_after(calls: int, times: int = 1) -> Callable[..., Iterator[Event]]:
    """A ``with_bar`` without a bar, which presses Ctrl-C after so many calls of a run."""

    def pressing(run: Run, console: Console | None, label: str, *, look: bool) -> Iterator[Event]:
        for number, event in enumerate(run, 1):
            if number == calls:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
            yield event

    return pressing


def test_the_screen_says_partial_and_a_second_ctrl_c_does_not_wait(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmemsim.cli.simulate.with_bar", press_after(100))
    result = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert result.exit_code == 130
    assert "PARTIAL: interrupted before its end" in result.stdout
    assert result.stderr == "gmemsim: interrupted after 100 calls: what follows is partial\n"
    monkeypatch.setattr("gmemsim.cli.simulate.with_bar", press_after(100, times=2))
    result = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "gmemsim: interrupted\n")


def test_ctrl_c_leaves_the_comparisons_that_are_done(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short.yaml"
    short.write_text(LONG.replace("1000000", "10"))
    monkeypatch.setattr("gmemsim.cli.simulate.with_bar", press_after(100))
    result = CliRunner().invoke(gmemsim, ["compare", str(short), str(scenario), "--json", "--out", str(tmp_path / "o")])
    assert result.exit_code == 130
    told = json.loads(result.stdout)
    assert (told["partial"], list(told["summaries"])) == (True, ["short"])
    assert json.loads((tmp_path / "o" / "compare.json").read_text()) == told
    monkeypatch.setattr("gmemsim.cli.simulate.with_bar", press_after(100))
    result = CliRunner().invoke(gmemsim, ["compare", str(scenario), str(short)])
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("gmemsim: interrupted\n")


def test_what_ctrl_c_did_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with progress.Interruption():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_background_job_goes_on_ignoring_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with progress.Interruption():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_terminal_sees_rate_time_and_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    out = io.StringIO()
    run = Run(parse_scenario(LONG.replace("1000000", "20").replace("4000s", "10s")))
    assert list(progress.with_bar(run, Console(file=out, force_terminal=True, width=80), "[red]staged"))
    shown = out.getvalue()
    assert "[red]staged" in shown
    assert "s of 11 s, holds " in shown
    assert "21 calls" in shown
    assert "MiB" in shown


def test_a_short_run_shows_no_bar() -> None:
    out = io.StringIO()
    run = Run(parse_scenario(LONG.replace("1000000", "2")))
    assert list(progress.with_bar(run, Console(file=out, force_terminal=True, width=80)))
    assert out.getvalue() == ""


def test_there_is_no_bar_where_there_is_no_terminal(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    scenario.write_text(LONG.replace("1000000", "20"))
    result = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "calls, " not in result.stdout


def test_the_end_of_a_workload_is_known_before() -> None:
    text = LONG.replace("expect:", "  - wait: {for: 7s}\nexpect:")
    assert progress.expected_end(parse_scenario(text)) == 4_008_000_000_000
