# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded logs: what is an event and when it happened, what cannot be used, and what is wrong with the whole."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gmemsim.errors import InputError
from gmemsim.scenario.logs.finding import PIECE
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.reading import GZIP_MAGIC, Log
from gmemsim.scenario.logs.slots import Slot, SlotMap, default_slots
from gmemsim.scenario.logs.tally import Tally
from tests.scenario.logs import Conversion, usable

K, M, G = 1 << 10, 1 << 20, 1 << 30
MS, S = 1_000_000, 1_000_000_000
SLOTS = SlotMap(default_slots(8 * G))

Write = Callable[[bytes | str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(data: bytes | str) -> str:
        path = tmp_path / "x.log"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return write


def read(path: str, format: str = "qemu", **settings: Any) -> tuple[list[Conversion], Tally]:
    tally = Tally()
    return list(usable(Log(path=path, format=LOG_FORMATS[format], **settings), SLOTS, tally)), tally


def fault(path: str, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **settings)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix(path)


EVENT = "kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private"


@pytest.mark.parametrize(
    "line",
    [
        EVENT,
        f"4711@1700000000.000001:{EVENT}",
        f"4711@1700000000.000001:{EVENT}\r",
        f"qemu-system-x86_64: warning: no such thing: 4711@1700000000.000001:{EVENT}",
        f"4711@1700000000.000001:kvm_run_exit cpu_index 0, reason 38{EVENT}",
        f"{EVENT} and more",
        EVENT.replace("kvm_convert_memory", "Unkonwn"),
        "kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private".replace("0x1000", "0x01000"),
        "kvm_convert_memory start 0x0000000004000000 size 0x00001000 shared_to_private",
        b"\xff\xfe\0 ".decode("latin-1") + EVENT,
    ],
)
def test_forms_of_a_line(write: Write, line: str) -> None:
    found, tally = read(write(line.encode("latin-1") + b"\n"))
    assert found == [Conversion(0, 1, 64 * M, 4 * K, "private")]
    assert (tally.lines, tally.events, tally.usable, tally.others, tally.unusable) == (1, 1, 1, 0, {})


def test_directions_and_slots(write: Write) -> None:
    text = (
        "kvm_convert_memory start 0x7fe00000 size 0x200000 private_to_shared\n"
        "kvm_convert_memory start 0x100000000 size 0x3000 shared_to_private\n"
    )
    found, _ = read(write(text))
    assert [(c.offset, c.size, c.to) for c in found] == [(2 * G - 2 * M, 2 * M, "shared"), (2 * G, 12 * K, "private")]


def test_a_stamp_counts_with_other_text_behind_it_and_with_fewer_digits(write: Write) -> None:
    text = f"1@100.500000:warning: odd {EVENT}\n1@102.5:{EVENT}\n1@103.25:and mail@example {EVENT}\n"
    found, tally = read(write(text))
    assert [c.time for c in found] == [0, 2_000_000_000, 2_001_000_000]
    assert (tally.stamped, tally.spaced) == (2, 1)


def test_times_are_counted_from_the_first_event(write: Write) -> None:
    text = f"1@99.000000:other\n1@100.500000:{EVENT}\n2@100.500000:{EVENT}\n1@102.000001:{EVENT}\n"
    found, tally = read(write(text))
    assert [c.time for c in found] == [0, 0, 1_500_001_000]
    assert (tally.stamped, tally.last, tally.others) == (3, 1_500_001_000, 1)


def test_events_without_times_are_spaced(write: Write) -> None:
    found, _ = read(write(f"{EVENT}\n" * 3), spacing=5)
    assert [c.time for c in found] == [0, 5, 10]


def test_with_and_without_times(write: Write) -> None:
    lines = [EVENT, f"1@7.000000:{EVENT}", EVENT, f"1@7.000003:{EVENT}"]
    found, tally = read(write("\n".join(lines) + "\n"), spacing=1000)
    assert [c.time for c in found] == [0, 1000, 2000, 5000]
    assert "events without a timestamp, which come a spacing apart: 2" in list(tally.remarks())


def test_what_cannot_be_used_is_counted_by_reason(write: Write) -> None:
    lines = [
        EVENT,
        "kvm_convert_memory start 0x1001 size 0x1000 shared_to_private",
        "kvm_convert_memory start 0x1000 size 0x800 shared_to_private",
        "kvm_convert_memory start 0x1000 size 0x0 shared_to_private",
        "kvm_convert_memory start 0xc0000000 size 0x1000 shared_to_private",
        "kvm_convert_memory start 0x7ffff000 size 0x2000 shared_to_private",
        "kvm_convert_memory start 0x280000000 size 0x1000 shared_to_private",
        "kvm_convert_memory start 0xffffffffffffffff size 0xffffffffffffffff shared_to_private",
        "kvm_convert_memory start 0x1000 size 0x1000 shared_to_nobody",
        "kvm_convert_memory start 0x1000 size 0x1000 shared_to_priva" + EVENT,
        "other",
    ]
    found, tally = read(write("\n".join(lines) + "\n"))
    assert [c.line for c in found] == [1, 10]
    assert list(tally.remarks()) == [
        "11 lines: 2 conversions used, 1 lines of other kinds",
        "not used, not a multiple of the page size: 3 (lines 2, 3, 8)",
        "not used, size 0: 1 (line 4)",
        "not used, outside every slot: 3 (lines 5, 6, 7)",
        "not used, cannot be read: 2 (lines 9, 10)",
        "events without a timestamp, which come a spacing apart: 9",
    ]
    assert tally.events == tally.usable + sum(unusable.count for unusable in tally.unusable.values())


def test_only_the_first_lines_are_named(write: Write) -> None:
    _, tally = read(write("kvm_convert_memory start \n" * 7))
    assert str(tally.unusable["cannot be read"]) == "7 (lines 1, 2, 3, 4, 5, …)"


@pytest.mark.parametrize("cut", range(len(EVENT) + 1))
def test_a_last_line_cut_anywhere(write: Write, cut: int) -> None:
    found, tally = read(write(f"{EVENT}\n{EVENT[:cut]}"))
    assert len(found) == (2 if cut == len(EVENT) else 1)
    assert tally.truncated == (cut > 0)
    assert tally.events == tally.usable + sum(unusable.count for unusable in tally.unusable.values())


def test_gzip_is_told_by_its_first_bytes(write: Write) -> None:
    found, tally = read(write(gzip.compress(f"{EVENT}\n".encode() * 3)))
    assert (len(found), tally.truncated) == (3, False)


def test_gzip_that_ends_early_is_a_cut(write: Write) -> None:
    data = gzip.compress(b"".join(b"%d@%d.000000:%b\n" % (i, i, EVENT.encode()) for i in range(5000)))
    found, tally = read(write(data[: len(data) // 2]))
    assert 1000 < len(found) < 5000
    assert tally.truncated


def test_gzip_that_is_damaged_is_a_fault(write: Write) -> None:
    data = bytearray(gzip.compress(f"{EVENT}\n".encode() * 1000))
    data[-6] ^= 0xFF
    path = write(bytes(data))
    assert "found damaged compression (" in fault(path)


def test_times_that_go_back(write: Write) -> None:
    path = write(f"1@2.000000:{EVENT}\nx 1@1.999990:{EVENT}\n1@2.000001:{EVENT}\n")
    assert fault(path) == (
        ":2:3: found a time 10 µs before that of an earlier event, expected times in order"
        " (1 event goes back too far; a reorder of 10us takes all)"
    )
    found, tally = read(path, reorder=10_000)
    assert [c.time for c in found] == [0, 0, 1000]
    assert tally.reordered == 1
    assert fault(path, reorder=9_999).startswith(":2:3: found a time")


def test_time_has_an_end(write: Write) -> None:
    path = write(f"1@1.000000:{EVENT}\n1@999999999999.000000:{EVENT}\n")
    assert fault(path) == ":2:1: found a time more than 2^63 ns after the first event, expected less"


def test_one_process_of_many(write: Write) -> None:
    path = write(f"1@1.000000:{EVENT}\n2@2.000000:{EVENT}\n{EVENT}\n1@3.000000:{EVENT}\n")
    found, tally = read(path, pid=1)
    assert [(c.line, c.time) for c in found] == [(1, 0), (4, 2 * S)]
    assert (tally.events, tally.other_processes) == (2, 2)


def test_what_the_one_liner_prints(write: Write) -> None:
    line = "77@12.000500:kvm_set_memory_attributes start 0x{:x} size 0x2000 attributes 0x{:x}\n"
    text = "Attaching 1 probe...\n" + "".join(line.format(4 * K, bits) for bits in (0, 8, 9, 0x18))
    found, tally = read(write(text), "bpftrace")
    assert [(c.offset, c.size, c.to) for c in found] == [(4 * K, 8 * K, "shared"), (4 * K, 8 * K, "private")]
    assert str(tally.unusable["attributes other than private"]) == "2 (lines 4, 5)"
    assert tally.others == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "found no such file, expected a log"),
        (".", "found a directory, expected a log"),
        ("a\0b", "found a name that no file has (embedded null byte), expected a log"),
        ("n" * 300, "found that it cannot be read (File name too long), expected a log"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    assert fault(str(tmp_path / name)).endswith(message)


def test_devices_and_pipes_are_no_logs() -> None:
    assert fault("/dev/zero").endswith("found something else than a file, expected a log")


def test_a_line_without_end_fills_no_memory(write: Write) -> None:
    path = write(b"x" * (20 << 20) + b"\n" + EVENT.encode() + b"\n")
    tracemalloc.start()
    found, tally = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ([c.line for c in found], tally.others) == ([2], 1)
    assert peak < 20 * PIECE


def test_a_long_log_fills_no_memory(write: Write) -> None:
    lines = b"".join(b"9@%d.%06d:%b\nother\n" % (i // 10**6, i % 10**6, EVENT.encode()) for i in range(50_000))
    path = write(gzip.compress(lines, 1))
    tracemalloc.start()
    tally = Tally()
    count = sum(1 for _ in usable(Log(path=path, format=LOG_FORMATS["qemu"]), SLOTS, tally))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, tally.others, tally.last) == (50_000, 50_000, 49_999_000)
    assert peak < 4 << 20


PIECES = [
    *(
        b"1@5.000000:",
        b"2@4.999999:",
        b"kvm_convert_memory",
        b"Unkonwn",
        b" start ",
        b" size ",
        b"0x1000",
        b"0x",
        b"0xfffff000",
    ),
    *(
        b" shared_to_private",
        b" private_to_shared",
        b" attributes ",
        b"kvm_set_memory_attributes",
        b"\n",
        b"\r\n",
        b"\0",
        b"8",
    ),
    EVENT.encode(),
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=30), st.sampled_from(("qemu", "bpftrace")))
@example([b"\x1f\x8b"], "qemu")
@settings(max_examples=200, deadline=None)
def test_whatever_the_bytes(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], form: str) -> None:
    """Usable events or a fault of one line; and every event is accounted for."""
    path = tmp_path_factory.getbasetemp() / "fuzz.log"
    path.write_bytes(b"".join(pieces))
    try:
        found, tally = read(str(path), form)
    except InputError as error:
        (line,) = str(error).splitlines()
        assert "found " in line
        assert ", expected " in line
        return
    assert len(found) == tally.usable
    assert tally.events == tally.usable + sum(unusable.count for unusable in tally.unusable.values())
    assert [c.time for c in found] == sorted(c.time for c in found)
    if not path.read_bytes().startswith(GZIP_MAGIC):
        with path.open("rb") as file:
            assert tally.lines == sum(1 for _ in file)


def offset(slots: SlotMap, start: int, size: int, *, in_file: bool = False) -> int | None:
    """Where one range begins in the file, ``None`` if no slot holds all of it."""
    found, inside = slots.offsets(np.array([start], np.uint64), np.array([size], np.uint64), np.array([in_file]))
    return int(found[0]) if inside[0] else None


def test_slots_given() -> None:
    slots = SlotMap([Slot(4 * G, 2 * G, G), Slot(0, G, 0), Slot(6 * G, M, 3 * G)])
    assert offset(slots, 0, G) == 0
    assert offset(slots, G - 4 * K, 8 * K) is None
    assert offset(slots, 4 * G + 4 * K, 4 * K) == G + 4 * K
    assert offset(slots, 6 * G - 4 * K, 8 * K) == 3 * G - 4 * K  # the slots continue each other
    assert offset(slots, 6 * G + M, 4 * K) is None
    assert offset(slots, 5 * G, (1 << 64) - 4 * K) is None
    assert offset(slots, (1 << 64) - 4 * K, 8 * K) is None
    assert offset(SlotMap([Slot(G, G, 0)]), G - 4 * K, 4 * K) is None
    assert offset(SlotMap([]), 0, 4 * K) is None


def test_offsets_of_the_file_itself() -> None:
    slots = SlotMap([Slot(4 * G, 2 * G, G), Slot(0, G, 0)])
    assert offset(slots, 2 * G, G, in_file=True) == 2 * G
    assert offset(slots, 2 * G, G + 4 * K, in_file=True) is None
    assert offset(slots, (1 << 64) - 4 * K, 8 * K, in_file=True) is None


# -- no event is lost, wherever it stands ----------------------------------------------------------------------------

MARK = b"kvm_convert_memory start "


def accounted(tally: Tally) -> int:
    """All events that have been found, by what became of them."""
    refused = sum(unusable.count for unusable in tally.unusable.values())
    assert tally.found == tally.usable + refused + tally.other_processes
    return tally.found


def test_carriage_returns_end_no_line_but_separate_events(write: Write) -> None:
    text = f"1@5.000000:other\r1@7.000000:{EVENT}\r{EVENT}\r1@9.000000:{EVENT}\r"
    found, tally = read(write(text))
    assert [(c.time, c.line) for c in found] == [(0, 1), (MS, 1), (MS + 2 * S, 1)]
    assert (tally.lines, tally.spaced, tally.truncated, accounted(tally)) == (1, 1, False, 3)


@pytest.mark.parametrize("before", [PIECE - 300, PIECE - 256, PIECE - len(EVENT), PIECE - 30, PIECE, 3 * PIECE + 7])
def test_events_in_the_middle_of_long_lines(write: Write, before: int) -> None:
    stamped = b"4711@1.500000:" + EVENT.encode()
    path = write(b"x" * before + stamped + b" " * PIECE + b"@" + stamped + b" " * 100_000 + b"\n" + stamped + b"\n")
    found, tally = read(path)
    assert [(c.time, c.line) for c in found] == [(0, 1), (0, 1), (0, 2)]
    assert (tally.lines, tally.others, tally.stamped, accounted(tally)) == (2, 0, 3, 3)


def test_a_timestamp_far_before_its_event_in_a_long_line(write: Write) -> None:
    path = write(
        b"x" * (PIECE - 2000) + b"1@5.000000:" + b"w" * 3000 + EVENT.encode() + b" 1@7.000000:" + EVENT.encode()
    )
    found, tally = read(path)
    assert [c.time for c in found] == [0, 2 * S]
    assert tally.stamped == 2


def test_the_place_of_a_fault_in_a_long_line(write: Write) -> None:
    pad = b"." * (2 * PIECE)
    path = write(pad + b" 1@5.000000:" + EVENT.encode() + pad + b" 1@4.000000:" + EVENT.encode() + b"\n")
    column = 2 * len(pad) + len(b" 1@5.000000:") + len(EVENT) + 2
    assert fault(path).startswith(f":1:{column}: found a time 1 s before")


@given(
    st.lists(
        st.sampled_from(
            [MARK, EVENT.encode() + b" ", b" 1@5.000000:", b"\n", b"\r", b"\r\n", b"." * 100, b"." * (PIECE - 40)]
        ),
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_as_many_events_are_accounted_for_as_the_log_has(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "account.log"
    data = b"".join(pieces)
    path.write_bytes(data)
    found, tally = read(str(path))
    assert accounted(tally) == data.count(MARK)
    assert len(found) == tally.usable == data.count(EVENT.encode())
    with path.open("rb") as file:
        lines = list(file)
    assert tally.lines == len(lines)
    assert tally.others == sum(MARK not in line for line in lines)
