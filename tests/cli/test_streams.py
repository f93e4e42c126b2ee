# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals, and standard output that is closed, full or gone.

The exit is documented, there is no traceback, and files are whole or absent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.text import Text

from gmemsim.cli import exits, terminal
from tests.cli.processes import COMMAND, ended, interruptible

SCENARIO = """\
gmemsim: 1
title: "{title}"
host: {{hugetlb: {{2M: 1}}}}
guests: [{{name: vm0, memory: 2M, backing: 2M}}]
workload:
  - allocate: {{guest: vm0, offset: 0, size: 2M}}
  - convert: {{guest: vm0, offset: 0, size: 4K, to: shared}}
"""

SLOW_FIGURE = """
import sys, time
from gmemsim.reports import figures

def write(name, view, path, kept):
    path.write_text("half")
    print("drawing", file=sys.stderr, flush=True)
    time.sleep(60)

figures.write = write
from gmemsim.__main__ import main
main()
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO.format(title="One page"))
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def shell(command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("gmemsim", f"{sys.executable} -m gmemsim", 1)
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **settings}
    )


@pytest.mark.parametrize("arguments", ["--help", "policies", "run {} --json", "run {}", "xarray replay {}"])
def test_a_closed_standard_output_is_74_and_said_before_the_run(arguments: str, scenario: Path) -> None:
    done = shell(f"gmemsim {arguments.format(scenario)} >&-")
    assert done.returncode == exits.OUTPUT_BROKEN
    assert done.stderr == "gmemsim: standard output: it is closed\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["--help", "--version", "policies", "run {} --json", "run {} --out {}.d"])
def test_a_full_standard_output_is_74_and_files_are_whole(arguments: str, scenario: Path) -> None:
    done = shell(f"gmemsim {arguments.format(scenario, scenario)} >/dev/full")
    assert (done.returncode, done.stderr) == (74, "gmemsim: standard output: No space left on device\n")
    if "--out" in arguments:
        assert names(Path(f"{scenario}.d")) == ["plot.png", "plot.svg", "summary.json", "timeline.jsonl"]


def test_a_closed_standard_error_is_no_trouble(scenario: Path) -> None:
    assert shell(f"gmemsim run {scenario} --json 2>&-").returncode == 0
    assert shell("gmemsim run /nowhere.yaml 2>&-").returncode == 2
    assert shell("gmemsim run /nowhere.yaml 2>/dev/full").returncode == 2


def test_a_reader_that_has_gone_is_141(scenario: Path) -> None:
    done = shell(f"gmemsim policies | true; echo ${{PIPESTATUS[0]}}; cat {scenario} >/dev/null")
    assert done.stdout in ("141\n", "0\n")  # 0 if the reader was slower
    assert done.stderr == ""


@pytest.mark.parametrize(("number", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_while_figures_are_drawn_keeps_summary_and_timeline(
    number: str, code: int, word: str, scenario: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with interruptible([sys.executable, "-c", SLOW_FIGURE, "run", str(scenario), "--out", str(out)]) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "drawing\n"
        process.send_signal(getattr(signal, number))
        said = process.stderr.read()
    assert process.returncode == code
    assert word in said
    assert "Traceback" not in said
    assert names(out) == ["summary.json", "timeline.jsonl"]


IMPORTS_SAID = """
import sys
from gmemsim.__main__ import main
sys.addaudithook(lambda event, what: event == "import" and what[0] == "gmemsim.cli.main" and print("up", flush=True))
main()
"""
"""The command, which says "up" when its slow imports begin: inside ``main``, wherever the scheduler stops it."""


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.3])
def test_ctrl_c_during_start_up_has_no_traceback(delay: float) -> None:
    with interruptible([sys.executable, "-c", IMPORTS_SAID, "xarray", "replay", "-"]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        ended(process)  # its input stays open, so nothing else ends it
        said = process.stderr.read()
    assert process.returncode == 130
    assert said == "gmemsim: interrupted\n"


def test_input_is_read_once(scenario: Path, tmp_path: Path) -> None:
    done = shell(f"gmemsim run <(cat {scenario}) --format html --figure calls --out {tmp_path}/page.html")
    assert done.returncode == 0, done.stderr
    assert "title: &quot;One page&quot;" in (tmp_path / "page.html").read_text()


def test_a_sweep_reads_its_input_once_too(scenario: Path) -> None:
    done = shell(f"gmemsim sweep <(cat {scenario}) --vary seed=0..1 --csv")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)


def test_text_is_never_markup(tmp_path: Path) -> None:
    path = tmp_path / "[red].yaml"
    path.write_text(SCENARIO.format(title="[bold]x[/bold] :boom:"))
    for command in ("run", "compare"):
        done = shell(f"gmemsim {command} '{path}'", FORCE_COLOR="1")
        assert done.returncode == 0
        assert "[bold]x[/bold] :boom:" in done.stdout
    two = tmp_path / "[two].yaml"
    two.write_text(path.read_text())
    assert "[red]" in shell(f"gmemsim compare '{path}' '{two}'").stdout


def test_a_screen_shows_control_characters_and_sends_none(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console(width=80).print("a\x1b[31m\u202eb\udcff", Text("c\x9b2J"))
    terminal.say("d\x1b]0;title\a\n")
    shown = capsys.readouterr().out
    assert shown == "a\\x1b[31m\\u202eb\\udcff c\\x9b2J\nd\\x1b]0;title\\x07\\n\n"


def test_names_of_files_are_shown_with_what_cannot_be_seen(tmp_path: Path) -> None:
    for name in (b"a\x1b[31m.yaml", b"b\xff.yaml", b"c\n.yaml"):
        done = subprocess.run(
            [*map(os.fsencode, COMMAND), b"run", name], capture_output=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 2
        assert b"\x1b" not in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert b"no such file" in done.stderr
