# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``import``: logs in, scenarios out that run; one line for what is wrong, and then nothing written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim

EVENTS = """\
7@100.000000:kvm_convert_memory start 0x1000 size 0x1000 private_to_shared
warning: 7@100.500000:kvm_convert_memory start 0x100000000 size 0x200000 private_to_shared
7@100.600000:kvm_run_exit cpu_index 0, reason 3
7@101.000000:kvm_convert_memory start 0xb0000000 size 0x1000 private_to_shared
7@102.000000:kvm_convert_memory start 0x1000 size 0x1000 shared_to_priva"""
REMARKS = [
    "slots (GPA:SIZE:OFFSET, assumed, as on q35): 0:2G:0 4G:14G:2G",
    "5 lines: 2 conversions used, 1 lines of other kinds",
    "not used, outside every slot: 1 (line 4)",
    "not used, cannot be read: 1 (line 5)",
    "the file ends inside a line",
]
HOLE = (
    "events outside every slot, from 0xb0000000 to 0xb0001000: on the machine q35 there is no memory;"
    " on the machine pc there is (--machine pc)"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(EVENTS)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(gmemsim, arguments)


def test_a_log_becomes_a_scenario_that_refers_to_it_and_runs(here: Path) -> None:
    result = invoke("import", "qemu", "a.log", "-o", "deep/er/a.yaml")
    assert (result.exit_code, result.stderr) == (0, f"warning: {HOLE}\n")
    assert result.stdout.splitlines() == [*REMARKS, "wrote deep/er/a.yaml"]
    text = (here / "deep/er/a.yaml").read_text()
    assert 'file: "../../a.log"' in text
    assert [f"#   {line}" for line in (f"WARNING: {HOLE}", *REMARKS)] == text.splitlines()[1 : len(REMARKS) + 2]
    run = invoke("run", "deep/er/a.yaml")
    assert run.exit_code == 0, run.output
    assert "splits       2×2M->4K" in run.stdout


def test_gzip_options_and_times(here: Path) -> None:
    lines = "".join(f"Unkonwn start 0x{i:x}000 size 0x1000 private_to_shared\n" for i in range(1, 6))
    (here / "b.log.gz").write_bytes(gzip.compress(lines.encode()))
    options = ["--slot", "0:8K:0", "--slot", "0x2000:1G:1G", "--memory", "4G", "--backing", "1G", "--spacing", "250us"]
    result = invoke("import", "qemu", "b.log.gz", "-o", "b.yaml", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "slots (GPA:SIZE:OFFSET, as given): 0:8K:0 8K:1G:1G"
    text = (here / "b.yaml").read_text()
    assert "spacing: 250us" in text
    assert "- {gpa: 8K, size: 1G, offset: 1G}" in text
    run = invoke("run", "b.yaml")
    assert "splits       2×1G->4K" in run.stdout
    assert "simulated time 11 ms" in run.stdout  # 4 spacings and a grace period


def test_what_older_recordings_hold(here: Path) -> None:
    line = "{}@5.{:06}:kvm_set_memory_attributes start 0x1000 size 0x1000 attributes 0x{}\n"
    (here / "c.log").write_text(line.format(8, 10, 0) + line.format(9, 5, 8) + line.format(8, 9, 8))
    result = invoke("import", "bpftrace", "c.log", "-o", "c.yaml", "--pid", "8", "--reorder", "1us", "--backing", "4K")
    assert result.exit_code == 0, result.output
    assert "not used, of other processes: 1" in result.stdout
    assert "times that go back within the tolerance, taken as now: 1" in result.stdout
    assert invoke("run", "c.yaml").exit_code == 0


def test_an_existing_file_is_kept_unless_forced(here: Path) -> None:
    (here / "a.yaml").write_text("mine")
    result = invoke("import", "qemu", "a.log", "-o", "a.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.yaml: found it already there; use --force" in result.stderr
    assert (here / "a.yaml").read_text() == "mine"
    assert invoke("import", "qemu", "a.log", "-o", "a.yaml", "--force").exit_code == 0
    result = invoke("import", "qemu", "a.log", "-o", "a.log", "--force")
    assert (result.exit_code, result.stderr) == (
        2,
        "a.log: found the log itself, expected another file for the scenario\n",
    )
    assert (here / "a.log").read_text() == EVENTS


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["no.log"], "no.log: found no such file, expected a log at 'no.log'"),
        (["."], ".: found a directory, expected a log at '.'"),
        (["empty.log"], "empty.log: found no conversion in 0 lines, expected a qemu log of a guest of 16G"),
        (["noise.log"], "noise.log: found no conversion in 3 lines, expected a qemu log of a guest of 16G"),
        (["back.log"], "back.log:2:1: found a time 1 s before that of an earlier event, expected times in order"),
        (["damaged.log"], "damaged.log:1:1: found damaged compression ("),
        (
            ["a.log", "--slot", "0:1G:0", "--slot", "512M:1G:1G"],
            "--slot: found slots 0:1G:0 and 512M:1G:1G, which over",
        ),
        (
            ["a.log", "--slot", "0:1G:0", "--slot", "4G:1G:512M"],
            "--slot: found slots 0:1G:0 and 4G:1G:512M, which over",
        ),
        (["a.log", "--slot", "0:17G:0"], "--slot: found slot 0:17G:0, which ends at 17G, expected at most the guest's"),
        (["a.log", "--slot", "8G:1G:0"], "a.log: found no conversion that can be used (outside every slot: 3 (lines 1"),
        (["a.log", "--slot", "8G:1G"], "Usage: "),
        (["a.log", "--memory", "16"], "Usage: "),
        (["a.log", "--memory", "3M"], "Usage: "),
        (["a.log", "--backing", "0"], "Usage: "),
        (["a.log", "--backing", "2G"], "Usage: "),
        (["a.log", "--spacing", "5"], "Usage: "),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(here: Path, arguments: list[str], fault: str) -> None:
    (here / "empty.log").write_text("")
    (here / "noise.log").write_text("a\nb\nkvm_convert\n")
    event = "kvm_convert_memory start 0x1000 size 0x1000 shared_to_private\n"
    (here / "back.log").write_text(f"1@2.000000:{event}1@1.000000:{event}")
    (here / "damaged.log").write_bytes(b"\x1f\x8b nothing like it")
    before = sorted(here.iterdir())
    result = invoke("import", "qemu", *arguments, "-o", "new/x.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(fault)
    if not fault.startswith("Usage"):
        assert len(result.stderr.splitlines()) == 1
    assert sorted(here.iterdir()) == before


SCENARIO = """\
gmemsim: 1
guests: [{name: vm0, memory: 16M, backing: 4K}]
workload:
  - STEP
"""


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("replay: {guest: vm0, file: back.log}", "back.log:2:1: found a time 1 s before that of an earlier event"),
        ("replay: {guest: vm0, file: no.log}", "s.yaml:4:32: found no such file"),
        ("replay: {guest: vm0, file: noise.log}", "s.yaml:4:32: found no conversion in 1 lines"),
        ("replay: {guest: vm0, file: a.log, slots: []}", "s.yaml:4:46: found no slots"),
        (
            "replay: {guest: vm0, file: a.log, slots: [{gpa: 0, size: 32M, offset: 0}]}",
            "s.yaml:4:46: found slot 0:32M:0, which ends at 32M, expected at most the guest's 16M",
        ),
        ("scatter: {guest: vm0, count: 4097}", "s.yaml:4:34: found 4097 allocations, expected at most 4096"),
        ("psc: {guest: vm0, size: 32M, to: shared}", "s.yaml:4:29: found an end at 32M, expected at most 16M"),
        ("boot: {guest: vm0}", "s.yaml:4:5: found a bounce buffer too large for the low memory of 16M"),
        (
            "parallel: {steps: [granule: {guest: vm0, count: 1, granule: 3M, size: 17M}]}",
            "s.yaml:4:75: found an end at",
        ),
    ],
)
def test_a_run_of_bad_input_is_one_line_too(here: Path, step: str, fault: str) -> None:
    event = "kvm_convert_memory start 0x1000 size 0x1000 shared_to_private\n"
    (here / "back.log").write_text(f"1@2.000000:{event}1@1.000000:{event}")
    (here / "noise.log").write_text("nothing\n")
    (here / "s.yaml").write_text(SCENARIO.replace("STEP", step))
    result = invoke("run", "s.yaml", "--out", "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(fault)
    assert len(result.stderr.splitlines()) == 1
    assert not (here / "out").exists()


QEMU_EVENT = "kvm_convert_memory start 0x{:x} size 0x{:x} {}\n"


def test_memory_that_the_guest_does_not_have_is_a_loud_warning(here: Path) -> None:
    lines = [(0x1000, 0x1000), (0x4_5000_0000, 0x1000), (0x4_7FFF_F000, 0x1000)]
    (here / "m.log").write_text("".join(QEMU_EVENT.format(*line, "private_to_shared") for line in lines))
    result = invoke("import", "qemu", "m.log", "-o", "m.yaml", "--memory", "8G")
    warning = "events outside every slot, from 0x450000000 to 0x480000000: --memory 16G would hold all of them"
    assert result.stderr == f"warning: {warning}\n"
    run = invoke("run", "m.yaml")
    assert f"WARNING: {warning}" in " ".join(run.stdout.split())
    result = invoke("import", "qemu", "m.log", "-o", "m.yaml", "--memory", "16G", "--force")
    assert (result.stderr, "3 conversions used" in result.stdout) == ("", True)


def test_machine_types(here: Path) -> None:
    (here / "m.log").write_text(QEMU_EVENT.format(0xB0000000, 0x1000, "private_to_shared"))
    assert "--machine pc" in invoke("import", "qemu", "m.log", "-o", "m.yaml").stderr
    result = invoke("import", "qemu", "m.log", "-o", "m.yaml", "--machine", "pc", "--memory", "16G")
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == "slots (GPA:SIZE:OFFSET, assumed, as on pc): 0:3G:0 4G:13G:3G"
    assert invoke("run", "m.yaml").exit_code == 0


def test_times_that_go_back_further_are_told_in_one_pass(here: Path) -> None:
    event = QEMU_EVENT.format(0x1000, 0x1000, "private_to_shared")
    times = ("5.000000", "4.999500", "4.9", "6.0", "4.25")
    (here / "b.log").write_text("".join(f"1@{time}:{event}" for time in times))
    result = invoke("import", "qemu", "b.log", "-o", "b.yaml")
    assert result.exit_code == 2
    assert result.stderr == (
        "b.log:3:1: found a time 100 ms before that of an earlier event, expected times in order"
        " (2 events go back too far; a reorder of 1750ms takes all)\n"
    )
    result = invoke("import", "qemu", "b.log", "-o", "b.yaml", "--reorder", "1750ms")
    assert "times that go back within the tolerance, taken as now: 3 (by at most 1.75 s)" in result.stdout


def test_what_import_expects_survives_a_count(here: Path) -> None:
    invoke("import", "qemu", "a.log", "-o", "a.yaml", "--memory", "4G", "--backing", "4K")
    path = here / "a.yaml"
    path.write_text(path.read_text().replace("backing: 4K}", "backing: 4K, count: 40}"))
    run = invoke("run", "a.yaml")
    assert run.exit_code == 0, run.output
    assert "80 requested" in run.stdout
    words = " ".join(run.stdout.split())
    assert words.count("5 lines: 2 conversions used") == 1
    assert "vm0-0 … vm0-39 (40 guests): WARNING: events outside every slot" in words


def test_a_log_that_has_changed_is_noticed(here: Path) -> None:
    invoke("import", "qemu", "a.log", "-o", "a.yaml")
    (here / "a.log").write_text(QEMU_EVENT.format(0x1000, 0x1000, "private_to_shared") + EVENTS)
    run = invoke("run", "a.yaml")
    assert run.exit_code == 2
    assert "found 2, expected 3, the conversions of " in run.stderr


def test_descriptors_become_guests_side_by_side(here: Path) -> None:
    line = "{}@{}:kvm_set_memory_attributes2 fd {} offset 0x{:x} size 0x1000 attributes 0x{} flags 0x0 errno {} {}\n"
    (here / "c.log").write_text(
        line.format(7, "1.0", 14, 0x200000, 0, 0, "error_offset 0x0")
        + line.format(7, "1.5", 15, 0x0, 0, 0, "error_offset 0x0")
        + line.format(8, "2.0", 14, 0x0, 0, 0, "error_offset 0x0")
        + line.format(7, "3.0", 14, 0x200000, 8, 11, "error_offset 0x200000")
        + line.format(7, "4.0", 14, 0x200000, 8, 0, "error_offset 0x0")
    )
    result = invoke("import", "bpftrace", "c.log", "-o", "c.yaml", "--memory", "1G")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "vm0 (descriptor 14 of process 7): not used, failed when recorded, EAGAIN: 1 (line 4)" in result.stdout
    run = invoke("run", "c.yaml", "--json")
    assert run.exit_code == 0, run.output
    summary = json.loads(run.stdout)
    assert [(g["name"], g["splits"], g["merges"]) for g in summary["guests"]] == [
        ("vm0", {"2M->4K": 1}, {"4K->2M": 1}),
        ("vm1", {"2M->4K": 1}, {}),
        ("vm2", {"2M->4K": 1}, {}),
    ]
    assert summary["end_time_ns"] == 3_010_000_000
    assert "at: 500ms" in (here / "c.yaml").read_text()
    result = invoke("import", "bpftrace", "c.log", "-o", "d.yaml", "--pid", "7", "--fd", "15")
    assert "1 conversions used" in result.stdout


def test_how_a_log_of_the_old_model_is_read(here: Path) -> None:
    lines = [
        QEMU_EVENT.format(0, 64 << 20, "shared_to_private"),
        QEMU_EVENT.format(0, 4096, "private_to_shared"),
        QEMU_EVENT.format(0, 4096, "private_to_shared"),
    ]
    (here / "o.log").write_text("".join(lines))
    options = ["--memory", "128M", "--backing", "2M"]
    result = invoke("import", "qemu", "o.log", "-o", "o.yaml", *options)
    assert "conversions that change nothing: 2, to private 1" in result.stdout
    assert "never made private: 64.0 MiB, taken as untouched (never_private)" in result.stdout
    assert "splits       1×2M->4K" in invoke("run", "o.yaml").stdout
    result = invoke("import", "qemu", "o.log", "-o", "p.yaml", "--never-private", "shared", *options)
    assert "never made private: 64.0 MiB, taken as shared (never_private)" in result.stdout
    run = invoke("run", "p.yaml")
    assert run.exit_code == 0, run.output
    assert "splits       33×2M->4K" in run.stdout
    assert "never_private: shared" in (here / "p.yaml").read_text()


def test_the_recording_scripts_come_with_the_package() -> None:
    for name in ("gmem.bt", "gmem-counters.sh"):
        printed = invoke("import", "script", name).stdout
        assert printed.startswith("#!/")
        assert "SPDX-License-Identifier" in printed
    assert invoke("import", "script", "gmem.b").exit_code == 2
