# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are no files, names that are no names, and files with very many faults."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.errors import InputError
from gmemsim.scenario import load_scenario, parse_scenario
from gmemsim.scenario.format import yaml
from gmemsim.scenario.format.yaml import MOST_FAULTS
from gmemsim.sim.run import run

SCENARIO = """\
gmemsim: 1
guests: [{name: vm, memory: 16M, backing: 4K}]
workload:
  - replay: {guest: vm, file: x.log}
"""
EVENT = "kvm_convert_memory start 0x1000 size 0x1000 private_to_shared\n"


def message(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    return str(caught.value)


def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert message(tmp_path / "pipe").endswith("pipe: found a pipe that nobody writes to, expected a scenario file")


@pytest.mark.parametrize("pause", [0, 0.3])
def test_a_pipe_is_read_to_its_end(tmp_path: Path, pause: float) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = SCENARIO.partition("workload")[0] + "workload: []\n" + "# filler\n" * 20_000

    def write() -> None:
        time.sleep(pause)
        with pipe.open("w") as file:
            file.write(text[:30])
            file.flush()
            time.sleep(pause)
            file.write(text[30:])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert load_scenario(pipe).guest_names == ("vm",)
    finally:
        writer.join()


def test_what_has_no_end_is_read_to_a_bound() -> None:
    assert message("/dev/zero") == "/dev/zero: found more than 8M, expected a scenario file"


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="needs a kernel log that can be read")
def test_the_kernel_log_does_not_block() -> None:
    assert message("/proc/kmsg").startswith("/proc/kmsg:")
    assert CliRunner().invoke(gmemsim, ["import", "qemu", "/proc/kmsg", "-o", "/nowhere/x.yaml"]).exit_code == 2


def test_a_pipe_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.log")
    (tmp_path / "s.yaml").write_text(SCENARIO)
    assert "s.yaml:4:31: found something else than a file, expected a log at " in message(tmp_path / "s.yaml")


@pytest.mark.parametrize("folder", ["a\nb", "a\tb", "\x1b[31mred", "c\x7f", "plain"])
def test_a_folder_with_control_characters_works(tmp_path: Path, folder: str) -> None:
    there = tmp_path / folder
    there.mkdir()
    (there / "x.log").write_text(EVENT)
    (there / "s.yaml").write_text(SCENARIO)
    assert run(load_scenario(there / "s.yaml")).summary["conversions"]["succeeded"] == 1
    (there / "s.yaml").write_text("gmemsim: 2\n")
    assert message(there / "s.yaml").isprintable()


@pytest.mark.parametrize(
    "name", ["a\nb.log", "\x1b[31m.log", "c\x7f.log", "back\\slash.log", 'quo"te.log', "ünï😀.log"]
)
def test_a_log_of_any_name_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(EVENT)
    result = CliRunner().invoke(gmemsim, ["import", "qemu", name, "-o", "x.yaml", "--memory", "16M", "--backing", "4K"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert run(load_scenario("x.yaml")).ok


def test_what_is_wrong_with_the_name_of_a_log_is_said_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "n" * 210 + ".log"
    Path(name).write_text(EVENT)
    result = CliRunner().invoke(gmemsim, ["import", "qemu", name, "-o", "x.yaml"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{name}: found ")
    assert not Path("x.yaml").exists()


def test_of_very_many_faults_the_first_hundred_and_a_count() -> None:
    text = (
        "gmemsim: 1\nguests: [{name: vm, memory: 16M, backing: 4K}]\nworkload:\n" + "- {clos: {guest: vm}}\n" * 20_000
    )
    with pytest.raises(InputError) as caught:
        parse_scenario(text, source="f.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_FAULTS + 1
    assert lines[99].startswith("f.yaml:103:4: found the step 'clos'")
    assert lines[100] == "f.yaml:104:4: found 19,900 more faults from here on, expected none"


def test_a_long_list_is_not_said_to_have_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "MOST_VALUES", 1000)
    with pytest.raises(InputError) as caught:
        parse_scenario("gmemsim: 1\nguests: [" + "a," * 1001 + "]\n", source="f.yaml")
    assert str(caught.value) == "f.yaml:2:9: found more than 1000 values, expected fewer"
    with pytest.raises(InputError, match="found aliases for more than 1000 values"):
        parse_scenario("gmemsim: 1\nguests: [&a [" + "a," * 600 + "], *a]\n", source="f.yaml")
