# SPDX-License-Identifier: GPL-2.0-or-later
"""The step ``replay``: from a scenario file to the conversions of its log, and what a run says of the log."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario import json_schema, load_scenario
from gmemsim.scenario.generators import Replay
from gmemsim.scenario.logs.finding import RANGE, LogFormat
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.slots import Slot
from gmemsim.scenario.model import Convert, State
from gmemsim.scenario.workload import expand_step, step_end
from gmemsim.sim.run import run

G = 1 << 30
LOG = """\
1@10.000000:kvm_convert_memory start 0x0 size 0x1000 private_to_shared
1@10.250000:kvm_convert_memory start 0x100000000 size 0x2000 private_to_shared
1@10.300000:kvm_convert_memory start 0xe0000000 size 0x1000 private_to_shared
1@11.000000:kvm_convert_memory start 0x0 size 0x1000 shared_to_private
1@12.000000:kvm_convert_memory start 0x1234 size 0x1000 shared_to_private
"""
SCENARIO = """\
gmemsim: 1
host: {hugetlb: {1G: 12}}
guests: [{name: vm, memory: 4G, backing: 1G, count: 3}]
workload:
  - allocate: {guest: vm, offset: 0, size: 4G}
  - replay: {guest: vm-0, file: logs/x.log}
  - wait: {for: 1s}
expect: [{metric: splits.1G->4K, eq: 2}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_text(LOG)
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path / "s.yaml"


def rewrite(path: Path, old: str, new: str) -> Path:
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    return [line.replace(f"{path.parent}{os.sep}", "") for line in str(caught.value).splitlines()]


def test_the_log_is_found_beside_the_scenario_and_run(path: Path) -> None:
    scenario = load_scenario(path)
    steps = [step for step in expand_step(scenario, 1, 100) if isinstance(step, Convert)]
    assert [(step.at, step.guest, step.offset, step.size, step.to) for step in steps] == [
        (100, "vm-0", 0, 4096, "shared"),
        (250_000_100, "vm-0", 2 * G, 8192, "shared"),
        (1_000_000_100, "vm-0", 0, 4096, "private"),
    ]
    assert step_end(scenario, 1, 100) == 2_000_000_100  # the last event, though it cannot be used
    result = run(scenario)
    assert result.ok
    assert result.summary["end_time_ns"] == 3_010_000_000


def test_the_summary_says_what_could_not_be_used(path: Path) -> None:
    (entry,) = run(load_scenario(path)).summary["replays"]
    assert entry["not_used"] == {"outside every slot": 1, "not a multiple of the page size": 1}
    assert (entry["guest"], entry["lines"], entry["used"]) == ("vm-0", 5, 3)
    assert "not used, outside every slot: 1 (line 3)" in entry["remarks"]


def test_a_summary_without_logs_has_no_replays(path: Path) -> None:
    rewrite(path, "  - replay: {guest: vm-0, file: logs/x.log}\n", "")
    assert "replays" not in run(load_scenario(path)).summary


def test_a_group_replays_one_log_one_after_another(path: Path) -> None:
    rewrite(path, "guest: vm-0, file: logs/x.log", "guest: vm, file: logs/x.log, stagger: 5s")
    rewrite(path, "eq: 2", "eq: 6")
    result = run(load_scenario(path))
    assert result.ok
    assert result.summary["end_time_ns"] == (2 + 10 + 1) * 10**9 + 10_000_000
    assert [entry["guest"] for entry in result.summary["replays"]] == ["vm-0", "vm-1", "vm-2"]


def test_a_replay_among_others(path: Path) -> None:
    rewrite(path, "replay: {guest: vm-0, file: logs/x.log}", "vfio: {steps: [replay: {guest: vm-0, file: logs/x.log}]}")
    result = run(load_scenario(path))
    assert result.ok
    assert result.summary["calls"]["pin"]["succeeded"] == 3
    assert len(result.summary["replays"]) == 1


def test_slots_of_a_file(path: Path) -> None:
    rewrite(path, "logs/x.log", "logs/x.log, slots: [{gpa: 3G, size: 1G, offset: 1G}, {gpa: 0, size: 4K, offset: 0}]")
    scenario = load_scenario(path)
    step = scenario.workload[1]
    assert isinstance(step, Replay)
    assert step.slots == (Slot(3 * G, G, G), Slot(0, 4096, 0))
    offsets = [step.offset for step in expand_step(scenario, 1, 0) if isinstance(step, Convert)]
    assert offsets == [0, G + 0x20000000, 0]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("file: logs/y.log", "6:33: found no such file, expected a log at 'logs/y.log'"),
        ("file: logs", "6:33: found a directory, expected a log at 'logs'"),
        (
            "file: logs/x.log, format: bpftrace",
            "6:33: found no conversion in 5 lines, expected a bpftrace log of a guest",
        ),
        ("file: logs/x.log, format: qemo", "6:53: found 'qemo', expected one of qemu, bpftrace, did you mean 'qemu'?"),
        ("file: logs/x.log, pid: 7", "6:33: found no conversion that can be used (of other processes: 5), expected a"),
        ("file: logs/x.log, slots: []", "6:52: found no slots, expected at least one, or none given"),
        ("file: logs/x.log, slots: 4G", "6:52: found '4G', expected a list, each item a slot with gpa, size, offset"),
        ("file: logs/x.log, slots: [{gpa: 0, size: 4G}]", "6:53: found no key 'offset', expected a slot to have one"),
        (
            "file: logs/x.log, slots: [{gpa: 0, size: 5G, offset: 0}]",
            "6:52: found slot 0:5G:0, which ends at 5G, expec",
        ),
        (
            "file: logs/x.log, slots: [{gpa: 0, size: 2G, offset: 0}, {gpa: 1G, size: 2G, offset: 2G}]",
            "6:52: found slots 0:2G:0 and 1G:2G:2G, which overlap in addresses",
        ),
        (
            "file: logs/x.log, slots: [{gpa: 8G, size: 4G, offset: 0}]",
            "6:33: found no conversion that can be used (outside every slot: 4 (lines 1, 2, 3, 4); not a multiple",
        ),
    ],
)
def test_what_is_wrong_with_the_step(path: Path, keys: str, fault: str) -> None:
    rewrite(path, "file: logs/x.log", keys)
    (line,) = faults(path)
    assert line.removeprefix("s.yaml:").startswith(fault)


def test_what_is_wrong_with_the_log_is_said_of_the_log(path: Path) -> None:
    rewrite(path.parent / "logs" / "x.log", "10.250000", "9.250000")
    (line,) = faults(path)
    assert line.startswith("logs/x.log:2:1: found a time 750 ms before that of an earlier event, expected times in ord")


def test_a_log_that_changes_is_read_again(path: Path) -> None:
    load_scenario(path)
    log = path.parent / "logs" / "x.log"
    log.write_text(LOG + "nonsense\n" + "kvm_convert_memory start \n")
    assert run(load_scenario(path)).summary["replays"][0]["not_used"]["cannot be read"] == 1


def test_the_next_step_may_not_begin_before_the_last_event(path: Path) -> None:
    rewrite(path, "wait: {for: 1s}", "close: {guest: vm, at: 1.9s}")
    (line,) = faults(path)
    assert line == "s.yaml:7:28: found 1.9 s, expected not before 2 s, when the step before it ends"


def test_a_format_that_is_added_works_in_files_and_in_the_schema(path: Path) -> None:
    states: dict[bytes, State] = {b"s": "shared", b"p": "private"}
    form = LogFormat(
        "mine",
        mark=re.compile(rb"mine start "),
        event=re.compile(rb"mine" + RANGE + rb"(?P<to>[sp])"),
        state=states.get,
    )
    (path.parent / "logs" / "x.log").write_text("mine start 0x1000 size 0x1000 s\nmine start 0x1000 size 0x1000 p\n")
    rewrite(path, "file: logs/x.log", "file: logs/x.log, format: mine")
    rewrite(path, "eq: 2", "eq: 1")
    LOG_FORMATS.add(form.name, form)
    try:
        assert run(load_scenario(path)).ok
        assert "'mine'" in str(json_schema())
    finally:
        LOG_FORMATS.remove(form.name)
    assert "found 'mine', expected one of qemu, bpftrace" in faults(path)[0]
