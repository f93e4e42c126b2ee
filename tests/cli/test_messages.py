# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a command is one clear line, whatever is wrong and with whichever command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim


def said(*arguments: str) -> str:
    """The one line that a command with wrong ``arguments`` says, without usage."""
    done = CliRunner().invoke(gmemsim, [*arguments], env={"COLUMNS": "80"})
    assert done.exit_code == 2, done.output
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(("Usage: ", "Try "))]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("Error: ")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\x7fELF\x02\x01\x01\xf0")
    (tmp_path / "text").write_text("hello\n")
    return tmp_path


SCENARIOS = [
    ("run", "FILE"),
    ("compare", "FILE"),
    ("sweep", "FILE", "--vary", "seed=0,1"),
    ("faults", "FILE"),
    ("budget", "FILE"),
    ("tune", "FILE"),
    ("fuzz", "--replay", "FILE"),
]
LOGS = [("import", "qemu", "FILE", "-o", "out.yaml"), ("import", "bpftrace", "FILE", "-o", "out.yaml")]
TRACES = [("xarray", "replay", "FILE"), ("xarray", "show", "FILE")]


@pytest.mark.parametrize("command", SCENARIOS, ids=lambda command: command[0])
def test_a_file_that_is_no_scenario(command: tuple[str, ...], folder: Path) -> None:
    def line(name: str) -> str:
        return said(*(name if word == "FILE" else word for word in command))

    assert line("no-file") == "no-file: found no such file, expected a scenario file"
    assert line("rfc-covr").endswith("expected a scenario file, did you mean 'rfc-cover'?")
    assert line("folder") == "folder: found a directory, expected a scenario file"
    assert line("empty") == "empty:1:1: found an empty file, expected a mapping that begins with 'gmemsim: 1'"
    assert line("binary").startswith("binary:1:")
    assert line("text") == "text:1:1: found 'hello', expected a mapping that begins with 'gmemsim: 1'"


@pytest.mark.parametrize("command", [*LOGS, *TRACES], ids=" ".join)
def test_a_file_that_is_no_log_and_no_trace(command: tuple[str, ...], folder: Path) -> None:
    def line(name: str) -> str:
        return said(*(name if word == "FILE" else word for word in command))

    assert line("no-file").startswith("no-file: found no such file, expected a ")
    assert line("folder").startswith("folder: found a directory, expected a ")
    assert line("binary").startswith("binary:")
    assert line("text").startswith("text:")
    assert not (folder / "out.yaml").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("command", [*SCENARIOS, *LOGS, *TRACES], ids=" ".join)
def test_a_file_that_may_not_be_read(command: tuple[str, ...], folder: Path) -> None:
    (folder / "text").chmod(0)
    assert "Permission denied" in said(*("text" if word == "FILE" else word for word in command))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run rfc-cover --format csv", "--format needs --out PATH"),
        ("run rfc-cover --figure map", "--figure needs --out PATH"),
        ("run rfc-cover --figure-data", "--figure-data needs --out PATH"),
        ("run rfc-cover --force", "--force needs --out PATH"),
        ("budget rfc-cover --force", "--force needs --out PATH"),
        ("run rfc-cover --figure mop --out x", "Did you mean 'map'?"),
        ("run rfc-cover --format cvs --out x", "Did you mean 'csv'?"),
        ("runn rfc-cover", "there is no command 'runn', did you mean 'run'?"),
        ("xarray repla x", "did you mean 'replay'?"),
        ("compare rfc-cover --policy stagd", "did you mean 'staged'?"),
        ("compare rfc-cover --policy x=own.py", "found 'own.py', expected FILE.py:CLASS for a policy in Python"),
        ("compare rfc-cover --policy x=splt:staged", "did you mean 'split'?"),
        ("compare rfc-cover --policy x=split:stagd", "did you mean 'staged'?"),
        ("compare rfc-cover --metric filemap_node.peak", "did you mean 'filemap_nodes'?"),
        ("compare rfc-cover --costs roth", "did you mean 'roth-snp-2025'?"),
        ("run rfc-cover --set host.kernl_memory=4G", "did you mean 'kernel_memory'?"),
        ("run rfc-cover --set guests.vm1.memory=4G", "did you mean 'vm0'?"),
        ("run rfc-cover --set host.kernel_memory=4GB", "did you mean '4G'?"),
        ("run rfc-cover --price rmp_update5=2us", "did you mean 'rmp_updates'?"),
        ("sweep rfc-cover --vary host.cots=default", "did you mean 'costs'?"),
        ("sweep rfc-cover --vary seed=0,1 --mean sed", "did you mean 'seed'?"),
        ("sweep rfc-cover --vary seed=0,1 --metric vmemap.peak", "did you mean 'vmemmap'?"),
        ("tune rfc-cover --minimize peak_byte", "did you mean 'peak_bytes'?"),
        ("tune rfc-cover --subject-to longest_cal<=4ms", "did you mean 'longest_call'?"),
        ("budget rfc-cover --for-each vm1", "did you mean 'vm0'?"),
        ("xarray show rfc-cover --guest vm1", "did you mean 'vm0'?"),
        ("faults rfc-cover --ordering restructure", "did you mean 'restructure-first'?"),
        ("init x --like bot", "Did you mean 'boot'?"),
        ("init folder", "found a directory, expected the name of a file to write"),
        ("costs defalt", "did you mean 'default'?"),
        ("examples rfc-covr", "did you mean 'rfc-cover'?"),
        ("explain split 1G 4K --policy stagd", "did you mean 'staged'?"),
        ("explain split 1G 4K --xarray rf", "Did you mean 'rfc'?"),
        ("explain split 1g 4K", "did you mean '1G'?"),
        ("reserve --policy stagd", "did you mean 'staged'?"),
        ("reserve --pattern blok", "Did you mean 'block'?"),
        ("import script gmem.b", "Did you mean 'gmem.bt'?"),
        ("import qemu text -o x --machine q3", "Did you mean 'q35'?"),
    ],
)
def test_what_was_probably_meant_is_said(arguments: str, message: str, folder: Path) -> None:
    assert message in said(*arguments.split())
