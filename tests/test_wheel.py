# SPDX-License-Identifier: GPL-2.0-or-later
"""What the help says works where there is nothing but the installed package: in an empty folder, line by line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest

from gmemsim.cli.main import gmemsim
from gmemsim.scenario.shipped import folder, scenarios
from tests.cli.test_main import commands
from tests.wheel import environment, installed, typed

BPFTRACE_LINE = (
    "4711@5.000001:kvm_set_memory_attributes2 fd 14 offset 0x1000 size 0x1000 attributes 0x0 flags 0x0 errno 0"
)

LOGS = {
    "qemu-system-x86_64": f"#!/bin/sh\ncat '{folder() / 'replay-qemu.log'}' >conversions.log\n",
    "bpftrace": f"#!/bin/sh\necho '{BPFTRACE_LINE}'\n",
}
"""Programs of the examples that no test machine has, as scripts that leave the logs that they would."""


def examples(path: list[str]) -> list[str]:
    """The lines of the examples in the help of a command."""
    command: click.Command = gmemsim
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    _, _, after = re.sub(r"Examples?[^\n]*:\n", "\0", command.help or "").partition("\0")
    return [line.strip() for line in after.partition("\n\n")[0].splitlines()]


PATHS = [path for path in commands(gmemsim) if examples(path)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("wheel"))


def test_the_examples_are_found() -> None:
    assert len(PATHS) > 10
    assert "gmemsim run rfc-cover" in examples(["run"])


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_example_of_the_help_runs_in_an_empty_folder(path: list[str], site: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    variables = environment(site, programs)
    for name, script in LOGS.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    empty = tmp_path / "empty"
    empty.mkdir()
    if "my.yaml" in " ".join(examples(path)):
        shutil.copy(scenarios()["memcg"], empty / "my.yaml")
    for line in examples(path):
        if "| jq " in line and not shutil.which("jq"):
            continue
        typed(line, empty, variables)


def test_the_wheel_has_every_scenario(site: Path) -> None:
    shipped = site / "gmemsim" / "scenarios"
    top = folder()
    assert {path.relative_to(shipped) for path in shipped.rglob("*") if path.is_file()} == {
        path.relative_to(top) for path in top.rglob("*") if path.is_file()
    }
