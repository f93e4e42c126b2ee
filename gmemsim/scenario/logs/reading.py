# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a recorded log of conversions: which events it holds, when they happened, which of them can be used.

Theory of operation
-------------------
A log is read in pieces of bounded size, so memory stays constant however long it or one of its lines is.  It may be
compressed with gzip (told by its first two bytes).  A :class:`LogFormat` says how an event looks.  Lines without one
are counted and passed over.  Every event is *found* by its mark, and then either used or counted by the reason why it
cannot be; no event is lost, wherever in a line it stands (:meth:`Tally.check`, after every reading).  The last line may
be cut off.

Lines end with a newline and are numbered by it.  A carriage return ends no line, but what stands before one does not
belong to the event behind it.

Time starts at 0 with the first event.  An event without a timestamp comes a stated spacing after the one before it; one
with a timestamp as long after the one before it as the two stamps are apart.  Stamps that go back are an error, or
taken for "now" up to a tolerance, for recorders that write each CPU's events for themselves.

What may live here: what all formats have in common.  A format is a module of its own and a row in ``logs.formats``.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import IO, Final, NamedTuple, cast

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.scenario.files import open_without_waiting
from gmemsim.scenario.format.kinds import LARGEST
from gmemsim.scenario.logs.slots import SlotMap
from gmemsim.scenario.model import State
from gmemsim.units import human_duration

GZIP_MAGIC: Final = b"\x1f\x8b"
"""The first bytes of a gzip file (RFC 1952)."""

PIECE: Final = 1 << 16
"""Bytes that are read at once: most lines are shorter, and a file without newlines must not fill memory."""

LONGEST_EVENT: Final = 256
"""Bytes of an event from its mark on; the longest has 110."""

REACH: Final = 4096
"""Bytes before an event in which its timestamp may stand: a warning's own text may come between the two."""

SHOWN_LINES: Final = 5
"""Line numbers that a report names for each reason."""

_STAMP: Final = re.compile(rb"(?P<pid>\d{1,10})@(?P<s>\d{1,12})\.(?P<fraction>\d{1,9}):")
"""The timestamp of QEMU's log backend, ``PID@SECONDS.MICROS:``."""

RANGE: Final = rb" start 0x(?P<start>[0-9a-fA-F]{1,16}) size 0x(?P<size>[0-9a-fA-F]{1,16}) "
"""An event's range of guest-physical addresses."""

UNREADABLE, MISALIGNED, EMPTY, OUTSIDE, ATTRIBUTES = (
    "cannot be read",
    "not a multiple of the page size",
    "size 0",
    "outside every slot",
    "attributes other than private",
)
"""Why an event cannot be used."""


def _usual_line(format: LogFormat) -> re.Pattern[bytes]:
    return re.compile(_STAMP.pattern + format.event.pattern + rb"\r?\n", format.event.flags)


@attrs.frozen(eq=False)
class LogFormat:
    """What writes a log, and how its events look.

    Every event begins with what ``mark`` matches.  One that can be read matches ``event``, with the groups ``start``,
    ``size`` and ``to``; ``state`` tells from the last what the range becomes, ``None`` if that is not ours to model.
    """

    name: str
    mark: re.Pattern[bytes]
    event: re.Pattern[bytes]
    state: Callable[[bytes], State | None]
    usual: re.Pattern[bytes] = attrs.field(init=False, default=attrs.Factory(_usual_line, takes_self=True))
    """A whole line of nothing but a timestamp and an event: nearly all lines of a log, and read in one match."""


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
    found: int = 0
    """Events found, whatever becomes of them."""
    events: int = 0
    """Events usable or not; those of other processes left out."""
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

    def check(self) -> None:
        """Every event found is used, or counted by its reason, or of another process."""
        refused = sum(unusable.count for unusable in self.unusable.values())
        assert self.events == self.usable + refused, self
        assert self.found == self.events + self.other_processes, self

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


class _Found(NamedTuple):
    """An event: where it stands, counted from 1; its timestamp if it has one; its fields if they can be read."""

    line: int
    column: int
    stamp: re.Match[bytes] | None
    event: re.Match[bytes] | None


@attrs.frozen(kw_only=True)
class Log:
    """A file of events: its format and how its times are read.

    ``spacing`` is the time in ns between events without timestamps, ``reorder`` how far stamps may go back, ``pid``
    the only process whose events count (``None``: all do).
    """

    path: str
    format: LogFormat
    spacing: int = 1_000_000
    reorder: int = 0
    pid: int | None = None

    def conversions(self, slots: SlotMap, page_size: int, tally: Tally) -> Iterator[Conversion]:
        """The usable events in order, counted in ``tally``; :class:`InputError` if the log is wrong."""
        clock = _Clock(self, tally)
        for found in self._events(tally):
            tally.found += 1
            if found.event is None:
                tally.events += 1
                tally.refuse(UNREADABLE, found.line)
                continue
            if self.pid is not None and (found.stamp is None or found.stamp["pid"] != b"%d" % self.pid):
                tally.other_processes += 1
                continue
            tally.events += 1
            time = clock.time_of(found)
            start, length, state = found.event.group("start", "size", "to")
            gpa, size = int(start, 16), int(length, 16)
            to = self.format.state(state)
            offset = slots.offset(gpa, size)
            if to is None:
                tally.refuse(ATTRIBUTES, found.line)
            elif not size:
                tally.refuse(EMPTY, found.line)
            elif (gpa | size) % page_size:
                tally.refuse(MISALIGNED, found.line)
            elif offset is None:
                tally.refuse(OUTSIDE, found.line)
            else:
                tally.usable += 1
                yield Conversion(time, found.line, offset, size, to)
        tally.check()

    def fault(self, line: int, column: int, message: str) -> InputError:
        """The error that names a place of the log."""
        return InputError([Fault(self.path if self.path.isprintable() else ascii(self.path), line, column, message)])

    def _events(self, tally: Tally) -> Iterator[_Found]:
        """Every event of the log, and its lines counted."""
        mark = self.format.mark
        line: _Line | None = None  # one of which only the beginning has been read
        has_event = False
        for piece in self._pieces(tally):
            if line is None and (usual := self.format.usual.fullmatch(piece)):
                tally.lines += 1
                yield _Found(tally.lines, 1, usual, usual)
                continue
            ended = piece.endswith(b"\n")
            if line is None:
                tally.lines += 1
                if ended and not mark.search(piece):
                    tally.others += 1
                    continue
                line, has_event = _Line(self.format, tally.lines), False
            for found in line.read(piece, last=ended):
                has_event = True
                yield found
            if ended:
                tally.others += not has_event
                line = None
        if line is not None:  # no newline at its end
            for found in line.read(b"", last=True):
                has_event = True
                yield found
            tally.others += not has_event

    def _pieces(self, tally: Tally) -> Iterator[bytes]:
        """The bytes of the log, a piece ending with each newline."""
        with self._open() as stream:
            try:
                while piece := stream.readline(PIECE):
                    tally.truncated = not piece.endswith((b"\n", b"\r"))
                    yield piece
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
            file = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115 - the caller closes it
            if file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
                file.close()
                return cast("IO[bytes]", gzip.open(path))
            return file
        except FileNotFoundError:
            raise self.fault(0, 0, "found no such file, expected a log") from None
        except OSError as error:
            raise self.fault(0, 0, f"found that it cannot be read ({error.strerror}), expected a log") from None
        except ValueError as error:
            raise self.fault(0, 0, f"found a name that no file has ({error}), expected a log") from None


class _Line:
    """One line that comes in pieces: finds each of its events once, wherever the pieces end.

    Kept is what may hold the timestamp of an event that has not been found yet.
    """

    __slots__ = ("_dropped", "_format", "_free", "_next", "_number", "_text")

    def __init__(self, format: LogFormat, number: int) -> None:
        self._format = format
        self._number = number
        self._text = b""
        self._dropped = 0  # bytes of the line before the text
        self._next = 0  # where in the text the next mark is looked for
        self._free = 0  # where in the text the last event ends

    def read(self, piece: bytes, *, last: bool) -> list[_Found]:
        """The events that are complete with ``piece``; all that are left if it is the ``last``."""
        text = self._text + piece
        end = len(text) if last else max(self._next, len(text) - LONGEST_EVENT)
        events = []
        for mark in self._format.mark.finditer(text, self._next):
            at = mark.start()
            if at >= end:
                break
            event = self._format.event.match(text, at)
            stamp = _stamp_before(text, max(self._free, at - REACH), at)
            if event is not None:
                self._free = event.end()
            column = self._dropped + (at if stamp is None else stamp.start()) + 1
            events.append(_Found(self._number, column, stamp, event))
        if not last:
            drop = max(0, end - REACH)
            self._text = text[drop:]
            self._dropped += drop
            self._next = end - drop
            self._free = max(0, self._free - drop)
        return events


def _stamp_before(text: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """The timestamp between ``start`` and ``end``: it has the last ``@`` there, behind any carriage return."""
    at = text.rfind(b"@", start, end)
    if at < 0 or text.find(b"\r", at, end) >= 0:
        return None
    start = max(start, at - 10, text.rfind(b"@", start, at) + 1)  # ten digits, and none of another stamp
    return _STAMP.search(text, start, end)


class _Clock:
    """Simulated time: 0 at the first event, then as far on as the stamps say, or a spacing."""

    def __init__(self, log: Log, tally: Tally) -> None:
        self._log = log
        self._tally = tally
        self._stamp: int | None = None
        self._begun = False

    def time_of(self, found: _Found) -> int:
        """The time of the next event; :class:`InputError` if its stamp goes back too far."""
        tally = self._tally
        if found.stamp is None:
            tally.spaced += 1
            step = self._log.spacing if self._begun else 0
        else:
            seconds, fraction = found.stamp.group("s", "fraction")
            stamp = int(seconds + fraction.ljust(9, b"0"))
            step = self._step(stamp, found)
            self._stamp = stamp if self._stamp is None else max(stamp, self._stamp)
            tally.stamped += 1
        self._begun = True
        tally.last += step
        if tally.last > LARGEST:
            raise self._log.fault(
                found.line, found.column, "found a time more than 2^63 ns after the first event, expected less"
            )
        return tally.last

    def _step(self, stamp: int, found: _Found) -> int:
        if self._stamp is None:
            return self._log.spacing if self._begun else 0
        if stamp >= self._stamp:
            return stamp - self._stamp
        back = self._stamp - stamp
        if back > self._log.reorder:
            raise self._log.fault(
                found.line,
                found.column,
                f"found a time {human_duration(back)} before that of an earlier event, expected times in order"
                " (reorder: says what is tolerated)",
            )
        self._tally.reordered += 1
        return 0
