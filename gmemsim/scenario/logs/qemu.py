# SPDX-License-Identifier: GPL-2.0-or-later
r"""Recorded logs of conversions: QEMU's trace event, and what a bpftrace one-liner prints on a running host.

Theory of operation
-------------------
A log is read line by line in constant memory, however long it is, compressed with gzip or not (told by its first two
bytes).  Most lines are other events or warnings: they are counted and passed over.  A line with a conversion is used
wherever in the line the event begins; one that cannot be used is counted by its reason, with the first few line
numbers, so that nothing disappears silently.  The last line may be cut off.

``qemu``
    ``kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private`` (or ``private_to_shared``), with or without
    ``PID@SECONDS.MICROS:`` and other text before it; older builds print ``Unkonwn`` (sic) for the event's name.

``bpftrace``
    What this prints on a host, for every process that sets KVM's memory attributes (KVM_SET_MEMORY_ATTRIBUTES is
    0x4020aed2: _IOW(0xae, 0xd2, 32 bytes); address, size and attributes are the first three 64-bit words)::

        bpftrace -q -e 'tracepoint:syscalls:sys_enter_ioctl /args->cmd == 0x4020aed2/ {
            $a = args->arg;
            printf("%d@%llu.%06llu:kvm_set_memory_attributes start 0x%llx size 0x%llx attributes 0x%llx\n",
                pid, nsecs / 1000000000, nsecs % 1000000000 / 1000,
                *(uint64 *)uptr($a), *(uint64 *)uptr($a + 8), *(uint64 *)uptr($a + 16)); }' > attributes.log

    Attribute bit 3 is private; a call with any other bit cannot be used.

Time starts at 0 with the first event.  An event without a timestamp comes a stated spacing after the one before it; one
with a timestamp as long after the one before it as the two stamps are apart.  Stamps that go back are an error, or
taken for "now" up to a tolerance, for recorders that write each CPU's events for themselves.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import IO, Final, Literal, NamedTuple, cast, get_args

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.scenario.format.kinds import LARGEST
from gmemsim.scenario.logs.slots import SlotMap
from gmemsim.scenario.model import State
from gmemsim.units import human_duration

Format = Literal["qemu", "bpftrace"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

GZIP_MAGIC: Final = b"\x1f\x8b"
"""The first bytes of a gzip file (RFC 1952)."""

LONGEST_LINE: Final = 1 << 16
"""Bytes of a line that are looked at: an event has a hundred, and a file without newlines must not fill memory."""

SHOWN_LINES: Final = 5
"""Line numbers that a report names for each reason."""

PRIVATE_BIT: Final = 1 << 3
"""KVM_MEMORY_ATTRIBUTE_PRIVATE (include/uapi/linux/kvm.h)."""

_STAMP = rb"(?:(?P<pid>\d{1,10})@(?P<s>\d{1,12})\.(?P<fraction>\d{1,9}):[^@]{0,4096}?)?"
"""The backend's stamp; a warning's own text may stand between it and the event."""

_RANGE = rb" start 0x(?P<start>[0-9a-fA-F]{1,16}) size 0x(?P<size>[0-9a-fA-F]{1,16}) "
_QEMU_NAMES = rb"(?:kvm_convert_memory|Unkonwn)"

_MARKS: Final = {
    "qemu": re.compile(_QEMU_NAMES + rb" start "),
    "bpftrace": re.compile(rb"kvm_set_memory_attributes start "),
}
"""What every event of a format has."""

_EVENTS: Final = {
    "qemu": re.compile(_STAMP + _QEMU_NAMES + _RANGE + rb"(?P<to>shared_to_private|private_to_shared)\b"),
    "bpftrace": re.compile(
        _STAMP + rb"kvm_set_memory_attributes" + _RANGE + rb"attributes 0x(?P<to>[0-9a-fA-F]{1,16})\b"
    ),
}

UNREADABLE, MISALIGNED, EMPTY, OUTSIDE, ATTRIBUTES = (
    "cannot be read",
    "not a multiple of the page size",
    "size 0",
    "outside every slot",
    "attributes other than private",
)
"""Why an event cannot be used."""


class Conversion(NamedTuple):
    """A usable event: its time in ns from the first event, its line, its range in the file, what it becomes."""

    time: int
    line: int
    offset: int
    size: int
    to: State


@attrs.define
class Unusable:
    """How many events could not be used for one reason, and the first few of their lines."""

    count: int = 0
    lines: list[int] = attrs.field(factory=list)

    def add(self, line: int) -> None:
        """One more."""
        self.count += 1
        if len(self.lines) < SHOWN_LINES:
            self.lines.append(line)

    def __str__(self) -> str:
        """``12 (lines 3, 5, 8, …)``."""
        listed = ", ".join(map(str, self.lines))
        more = ", …" if self.count > len(self.lines) else ""
        return f"{self.count} ({'line' if self.count == 1 else 'lines'} {listed}{more})"


@attrs.define
class Tally:
    """What a log holds, as far as it has been read.  ``last`` is the time of the latest event in ns."""

    lines: int = 0
    events: int = 0
    """Conversions found, usable or not; those of other processes left out."""
    usable: int = 0
    others: int = 0
    """Lines without an event."""
    other_processes: int = 0
    """Events of processes that were not asked for."""
    stamped: int = 0
    """Events with a timestamp, as far as they can be read."""
    spaced: int = 0
    """Events without one."""
    reordered: int = 0
    """Events whose timestamp goes back by no more than is tolerated."""
    truncated: bool = False
    """Whether the file ends inside a line or inside its compression."""
    last: int = 0
    unusable: dict[str, Unusable] = attrs.field(factory=dict)

    def refuse(self, reason: str, line: int) -> None:
        """Count an event that cannot be used."""
        self.unusable.setdefault(reason, Unusable()).add(line)

    def remarks(self) -> Iterator[str]:
        """What there is to say of the log, a line each."""
        yield f"{self.lines} lines: {self.usable} conversions used, {self.others} lines of other kinds"
        for reason, unusable in self.unusable.items():
            yield f"not used, {reason}: {unusable}"
        if self.other_processes:
            yield f"not used, of other processes: {self.other_processes}"
        if self.reordered:
            yield f"times that go back within the tolerance, taken as now: {self.reordered}"
        if self.spaced:
            yield f"events without a timestamp, which come a spacing apart: {self.spaced}"
        if self.truncated:
            yield "the file ends inside a line"


@attrs.frozen(kw_only=True)
class Log:
    """A file of events: its format and how its times are read.

    ``spacing`` is the time in ns between events without timestamps, ``reorder`` how far stamps may go back, ``pid``
    the only process whose events count (``None``: all do).
    """

    path: str
    format: Format = "qemu"
    spacing: int = 1_000_000
    reorder: int = 0
    pid: int | None = None

    def conversions(self, slots: SlotMap, page_size: int, tally: Tally) -> Iterator[Conversion]:
        """The usable events in order, counted in ``tally``; :class:`InputError` if the log is wrong."""
        mark, pattern = _MARKS[self.format], _EVENTS[self.format]
        clock = _Clock(self, tally)
        for number, line in self._lines(tally):
            marks = len(mark.findall(line))
            if not marks:
                tally.others += 1
                continue
            found = 0
            for match in pattern.finditer(line):
                found += 1
                if self.pid is not None and match["pid"] != b"%d" % self.pid:
                    tally.other_processes += 1
                    continue
                tally.events += 1
                time = clock.time_of(match, number)
                gpa, size = int(match["start"], 16), int(match["size"], 16)
                to = _state(match["to"])
                offset = slots.offset(gpa, size)
                if to is None:
                    tally.refuse(ATTRIBUTES, number)
                elif not size:
                    tally.refuse(EMPTY, number)
                elif (gpa | size) % page_size:
                    tally.refuse(MISALIGNED, number)
                elif offset is None:
                    tally.refuse(OUTSIDE, number)
                else:
                    tally.usable += 1
                    yield Conversion(time, number, offset, size, to)
            for _ in range(marks - found):
                tally.events += 1
                tally.refuse(UNREADABLE, number)

    def fault(self, line: int, column: int, message: str) -> InputError:
        """The error that names a place of the log."""
        return InputError([Fault(self.path if self.path.isprintable() else ascii(self.path), line, column, message)])

    def _lines(self, tally: Tally) -> Iterator[tuple[int, bytes]]:
        """Line number and as much of the line as is looked at."""
        with self._open() as stream:
            try:
                while line := stream.readline(LONGEST_LINE):
                    tally.lines += 1
                    rest = line
                    while rest and not rest.endswith(b"\n"):
                        rest = stream.readline(LONGEST_LINE)
                    tally.truncated = not rest
                    yield tally.lines, line
            except EOFError:
                tally.truncated = True
            except (zlib.error, gzip.BadGzipFile) as error:
                raise self.fault(
                    tally.lines + 1, 1, f"found damaged compression ({error}), expected a gzip file"
                ) from None
            except OSError as error:
                raise self.fault(0, 0, f"found that it cannot be read ({error.strerror}), expected a log") from None

    def _open(self) -> IO[bytes]:
        try:
            path = Path(self.path)
            if not S_ISREG(path.stat().st_mode):  # a pipe has no second reading, a device no end
                found = "a directory" if path.is_dir() else "something else than a file"
                raise self.fault(0, 0, f"found {found}, expected a log")
            with path.open("rb") as file:
                magic = file.read(len(GZIP_MAGIC))
            return cast("IO[bytes]", gzip.open(path)) if magic == GZIP_MAGIC else path.open("rb")
        except FileNotFoundError:
            raise self.fault(0, 0, "found no such file, expected a log") from None
        except OSError as error:
            raise self.fault(0, 0, f"found that it cannot be read ({error.strerror}), expected a log") from None
        except ValueError as error:
            raise self.fault(0, 0, f"found a name that no file has ({error}), expected a log") from None


def _state(text: bytes) -> State | None:
    """What an event converts to; ``None`` for attributes that are not ours."""
    if text == b"shared_to_private":
        return "private"
    if text == b"private_to_shared":
        return "shared"
    bits = int(text, 16)
    return None if bits & ~PRIVATE_BIT else "private" if bits else "shared"


class _Clock:
    """Simulated time: 0 at the first event, then as far on as the stamps say, or a spacing."""

    def __init__(self, log: Log, tally: Tally) -> None:
        self._log = log
        self._tally = tally
        self._stamp: int | None = None
        self._begun = False

    def time_of(self, match: re.Match[bytes], line: int) -> int:
        """The time of the next event; :class:`InputError` if its stamp goes back too far."""
        tally = self._tally
        if match["s"] is None:
            tally.spaced += 1
            step = self._log.spacing if self._begun else 0
        else:
            stamp = int(match["s"]) * 1_000_000_000 + int(match["fraction"].ljust(9, b"0"))
            step = self._step(stamp, match, line)
            self._stamp = stamp if self._stamp is None else max(stamp, self._stamp)
            tally.stamped += 1
        self._begun = True
        tally.last += step
        if tally.last > LARGEST:
            raise self._log.fault(
                line, match.start() + 1, "found a time more than 2^63 ns after the first event, expected less"
            )
        return tally.last

    def _step(self, stamp: int, match: re.Match[bytes], line: int) -> int:
        if self._stamp is None:
            return self._log.spacing if self._begun else 0
        if stamp >= self._stamp:
            return stamp - self._stamp
        back = self._stamp - stamp
        if back > self._log.reorder:
            raise self._log.fault(
                line,
                match.start() + 1,
                f"found a time {human_duration(back)} before that of an earlier event, expected times in order"
                " (reorder: says what is tolerated)",
            )
        self._tally.reordered += 1
        return 0
