# SPDX-License-Identifier: GPL-2.0-or-later
"""What recorders print: the bpftrace script and its reader agree, stamps of every form, the script that counts."""

from __future__ import annotations

import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.reading import Log
from gmemsim.scenario.logs.slots import SlotMap, default_slots
from gmemsim.scenario.logs.tally import Tally
from tests.scenario.logs import Conversion, usable

K, M, G, S = 1 << 10, 1 << 20, 1 << 30, 1_000_000_000
SLOTS = SlotMap(default_slots(8 * G))
SCRIPTS = files("gmemsim.scenario.logs").joinpath("recording")
EVENT = "kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private"
WARNING = f"warning: memory fault: GPA 0x4000000 size 0x1000 flags 0x8 {EVENT}"


def read(folder: Path, text: str, format: str = "qemu", **settings: int) -> tuple[list[Conversion], Tally]:
    path = folder / "x.log"
    path.write_text(text)
    tally = Tally()
    log = Log(path=str(path), format=LOG_FORMATS[format], **settings)
    return list(usable(log, SLOTS, tally)), tally


# -- timestamps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f"2025-11-18T10:20:01.002000Z {EVENT}",
        f"2025-11-18T10:20:01.002Z {WARNING}",
        f"2025-11-18T10:20:01.002000Z qemu-system-x86_64: {WARNING}",
        f"2025-11-18T11:20:01.002000+01:00 {EVENT}",
        f"2025-11-18T11:20:01.002000+01 {EVENT}",
        f"2025-11-18T08:50:01,002-0130 {EVENT}",
        f"2025-11-18T10:20:01.002000 {EVENT}",
        f"2001-01-01T00:00:00Z then 2025-11-18T10:20:01.002000Z {EVENT}",
        f"1@5.0:other 2025-11-18T10:20:01.002000Z THAT {EVENT}",
        f"2025-11-18T10:20:09Z 7@1763461201.002000:{EVENT}",
    ],
)
def test_stamps_of_timestamp_on(tmp_path: Path, line: str) -> None:
    found, tally = read(tmp_path, f"2025-11-18T10:20:00.000000Z {EVENT}\n{line}\n")
    assert [c.time for c in found] == [0, 1_002_000_000]
    assert (tally.stamped, tally.spaced) == (2, 0)


@pytest.mark.parametrize(
    "stamp",
    ["2025-13-18T10:20:01Z", "2025-11-18T24:20:01Z", "2025-11-18T10:60:01Z", "2025-11-18 10:20:01Z", "T10:20:01Z"],
)
def test_what_is_no_time(tmp_path: Path, stamp: str) -> None:
    _, tally = read(tmp_path, f"{stamp} {EVENT}\n")
    assert (tally.stamped, tally.spaced) == (0, 1)


def test_the_warning_of_a_memory_fault_is_one_event(tmp_path: Path) -> None:
    found, tally = read(tmp_path, f"{WARNING}\n")
    assert found == [Conversion(0, 1, 64 * M, 4 * K, "private")]
    assert (tally.found, tally.others) == (1, 0)


# -- bpftrace ------------------------------------------------------------------------------------------------------

OLD = "kvm_set_memory_attributes start 0x1000 size 0x2000 attributes 0x8"
VM = "kvm_set_memory_attributes fd 12 start 0x{:x} size 0x{:x} attributes 0x{:x} flags 0x0 errno {}"
FILE = (
    "kvm_set_memory_attributes2 fd 14 offset 0x{:x} size 0x{:x} attributes 0x{:x} flags 0x{:x} errno {}"
    " error_offset 0x{:x}"
)


def test_both_calls(tmp_path: Path) -> None:
    lines = [OLD, VM.format(4 * G, 8 * K, 0, 0), FILE.format(4 * G, 8 * K, 8, 0, 0, 0xDEAD)]
    found, tally = read(tmp_path, "".join(f"7@1.000000001:{line}\n" for line in lines), "bpftrace")
    assert [(c.offset, c.size, c.to) for c in found] == [
        (4 * K, 8 * K, "private"),
        (2 * G, 8 * K, "shared"),
        (4 * G, 8 * K, "private"),
    ]
    assert list(tally.sources) == [(7, 12), (7, 14)]
    assert read(tmp_path, "".join(f"7@1.0:{line}\n" for line in lines), "bpftrace", fd=14)[1].usable == 1


def test_calls_that_failed_count_as_far_as_they_got(tmp_path: Path) -> None:
    lines = [
        FILE.format(M, 64 * K, 0, 0, 12, M + 16 * K),
        FILE.format(M, 64 * K, 0, 0, 11, M),
        FILE.format(M, 64 * K, 0, 0, 22, 0),
        VM.format(0, 4 * K, 8, 12),
        FILE.format(8 * G - 4 * K, 8 * K, 0, 0, 0, 0),
        FILE.format(0, 4 * K, 0, 1, 0, 0),
    ]
    found, tally = read(tmp_path, "".join(f"{line}\n" for line in lines), "bpftrace")
    assert [(c.line, c.offset, c.size) for c in found] == [(1, M, 16 * K), (6, 0, 4 * K)]
    assert {reason: unusable.lines for reason, unusable in tally.unusable.items()} == {
        "failed when recorded, EAGAIN": [2],
        "failed when recorded, EINVAL": [3],
        "failed when recorded, ENOMEM": [4],
        "past the end of the guest_memfd": [5],
    }
    assert (tally.partial, tally.flagged, tally.past_end) == (1, 1, 8 * G + 4 * K)


def test_the_script_prints_what_is_read(tmp_path: Path) -> None:
    script = SCRIPTS.joinpath("gmem.bt").read_text()
    printed = re.findall(r'printf\("(.*)\\n"', script)
    assert len(printed) == 2
    assert all(command in script for command in ("0x4020aed2", "0xc080aed2"))
    numbers = {"%d": "7", "%llu": "7", "%09llu": "7".zfill(9), "0x%llx": "0x8"}
    lines = [re.sub(r"0x%llx|%09llu|%llu|%d", lambda match: numbers[match[0]], line) for line in printed]
    _, tally = read(tmp_path, "".join(f"{line}\n" for line in lines), "bpftrace")
    assert (tally.found, tally.stamped) == (2, 2)
    assert "cannot be read" not in tally.unusable
    assert list(tally.sources) == [(7, 7)]


# -- counters ------------------------------------------------------------------------------------------------------


def counters(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPTS.joinpath("gmem-counters.sh")), *arguments],
        env={"PATH": "/usr/bin:/bin", "GMEM_ROOT": str(root), "GMEM_STATE": str(root / "state")},
        capture_output=True,
        text=True,
        check=False,
    )


def kernel(root: Path, nodes: int, vmemmap: int, small: int) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "sys/kernel/debug/kvm").mkdir(exist_ok=True, parents=True)
    (root / "proc/slabinfo").write_text(f"slabinfo - version: 2.1\nradix_tree_node {nodes} 9999 576 28 4 : tunables\n")
    (root / "proc/vmstat").write_text(f"nr_free_pages 5\nnr_memmap_pages {vmemmap}\n")
    (root / "sys/kernel/debug/kvm/pages_4k").write_text(f"{small}\n")


def test_counters_before_and_after_a_conversion(tmp_path: Path) -> None:
    assert counters(tmp_path, "after").returncode == 2
    kernel(tmp_path, 1000, 50, 700)
    assert counters(tmp_path, "before").returncode == 0
    kernel(tmp_path, 5161, 4145, 188)
    done = counters(tmp_path, "after", "1G")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:6] == [
        "radix_tree_node +4161",
        "maple_node not available",
        "nr_memmap_pages +4095",
        "pages_4k -512",
        "pages_2m not available",
        "pages_1g not available",
    ]
    assert "gmemsim explain split 1G 4K --policy b-today" in done.stdout
    assert counters(tmp_path).returncode == 2
