# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gmemsim import __version__, compiled
from gmemsim.cli.group import CommandRow
from gmemsim.cli.main import COMMANDS, gmemsim
from gmemsim.errors import Fault, InputError, OutOfMemory, SimulationRefused
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, read_policy
from tests.cli.processes import COMMAND, interruptible


def outcome_of(error: BaseException | None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that raises ``error``."""

    @click.command()
    def failing() -> None:
        click.echo("so far")
        if error is not None:
            raise error

    class Row(CommandRow):
        command = failing

    COMMANDS.add("failing", Row("Tests", "", "Fail."))
    try:
        result = CliRunner().invoke(gmemsim, ["failing"])
    finally:
        COMMANDS.remove("failing")
    return result.exit_code, result.stdout, result.stderr


def test_no_error_is_0() -> None:
    assert outcome_of(None) == (0, "so far\n", "")


def test_wrong_input_is_2_with_a_line_for_every_fault() -> None:
    faults = [
        Fault("a.yaml", 7, 3, "found x, expected y"),
        Fault("a.yaml", 2, 1, "found z"),
        Fault("b", 0, 0, "is gone"),
    ]
    assert outcome_of(InputError(faults))[::2] == (
        2,
        "a.yaml:2:1: found z\na.yaml:7:3: found x, expected y\nb: is gone\n",
    )


def test_a_refusal_is_3() -> None:
    assert outcome_of(SimulationRefused("too deep"))[::2] == (3, "gmemsim: refused: too deep\n")


def test_a_file_that_cannot_be_written_is_2_and_named() -> None:
    assert outcome_of(PermissionError(13, "Permission denied", "out/x"))[::2] == (2, "out/x: Permission denied\n")


def test_ctrl_c_is_130_in_one_line() -> None:
    assert outcome_of(KeyboardInterrupt())[::2] == (130, "gmemsim: interrupted\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), OutOfMemory("escaped"), AssertionError("check")])
def test_anything_else_is_a_bug_with_a_traceback(error: Exception) -> None:
    code, _, stderr = outcome_of(error)
    assert code == 70
    assert "Traceback" in stderr
    assert str(error) in stderr
    assert stderr.endswith("gmemsim: this is a bug in gmemsim, not in its input\n")


def test_usage_errors_are_2() -> None:
    for arguments in (["run"], ["run", "a", "b"], ["run", "--nonsense", "a"], ["xarray"], []):
        result = CliRunner().invoke(gmemsim, arguments)
        assert result.exit_code == 2, arguments
        assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["rnu"], "'rnu', did you mean 'run'?"), (["xarray", "repaly"], "did you mean 'replay'?"), (["qqq"], "'qqq'\n")],
)
def test_a_mistyped_command_is_answered_with_the_right_one(arguments: list[str], hint: str) -> None:
    result = CliRunner().invoke(gmemsim, arguments)
    assert result.exit_code == 2
    assert hint in result.stderr


def test_version() -> None:
    assert CliRunner().invoke(gmemsim, ["--version"]).stdout == f"gmemsim, version {__version__} ({compiled.form()})\n"


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"gmemsim, version {__version__} ({compiled.form()})\n", "")


def commands(group: click.Group, *path: str) -> Iterator[list[str]]:
    yield list(path)
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield [*path, name]


@pytest.mark.parametrize("path", list(commands(gmemsim)), ids=" ".join)
def test_every_command_has_help_with_examples(path: list[str]) -> None:
    result = CliRunner().invoke(gmemsim, [*path, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    is_group = "COMMAND [ARGS]" in result.stdout
    assert is_group or "Example" in result.stdout


def test_help_does_not_import_what_is_slow() -> None:
    code = (
        "import sys; from gmemsim.cli.main import gmemsim; gmemsim(['--help'], standalone_mode=False);"
        "print(sorted({'numpy', 'matplotlib', 'pyarrow', 'rich', 'yaml', 'sortedcontainers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    trace = tmp_path / "long.txt"
    trace.write_text("> new\n" + "> count\n" * 50_000)
    with subprocess.Popen(
        [*COMMAND, "xarray", "replay", str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "> new\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_ctrl_c_ends_the_command_with_one_line() -> None:
    with interruptible([*COMMAND, "xarray", "replay", "-"]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("> new\n")
        process.stdin.flush()
        assert process.stdout.readline() == "> new\n"  # it is running, and answers at once
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "gmemsim: interrupted\n"
    assert process.returncode == 130


def test_a_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    trace = tmp_path / "t.txt"
    trace.write_text("# désc ≈\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [*COMMAND, "xarray", "replay", str(trace)], capture_output=True, env=environment, check=True
    )
    assert result.stdout.splitlines() == [b"# d?sc ~"]


def test_policies_lists_names_and_how_to_write_others() -> None:
    shown = CliRunner().invoke(gmemsim, ["policies"], env={"COLUMNS": None}).stdout  # as a program reads it
    assert {line.split()[0] for line in shown.partition("\n\n")[0].splitlines()} == set(PRESETS)
    (example,) = re.findall(r"mine=\S+(?=,)", shown)
    assert read_policy(example) == ("mine", Policy(split="staged", vmemmap="partial"))
    for key in ("split", "when", "merge", "vmemmap", "ordering"):
        (listed,) = re.findall(rf"^{key} +(.*)$", shown, re.MULTILINE)
        for value in listed.split(", "):
            assert read_policy(f"x={key}:{value}")[0] == "x"


def test_commands_are_listed_by_what_people_want() -> None:
    shown = CliRunner().invoke(gmemsim, ["--help"]).stdout
    for title in {row.section for row in COMMANDS.rows()}:
        listed = shown.partition(f"{title}:\n")[2].partition("\n\n")[0]
        names = [name for name, row in COMMANDS.items() if row.section == title]
        assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == names


def test_the_list_of_commands_has_the_first_sentence_of_each() -> None:
    for row in COMMANDS.rows():
        assert row.words == row.command.get_short_help_str(1000)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_can_complete(shell: str) -> None:
    environment = {**os.environ, "_GMEMSIM_COMPLETE": f"{shell}_source"}
    code = "from gmemsim.cli.main import main; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "Couldn't detect Bash version" not in shown.stderr:
        assert "_GMEMSIM_COMPLETE" in shown.stdout
    assert f"_GMEMSIM_COMPLETE={shell}_source" in CliRunner().invoke(gmemsim, ["--help"]).stdout
