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
with a timestamp as long after the one before it as the two stamps are apart.  Recorders that write each CPU's events
for themselves have stamps that go back: up to a tolerance such an event is taken for "now" and counted.  Beyond it the
log is wrong, which is said when all of it has been read, with the tolerance that would take it.

A call that failed when it was recorded counts as far as it got (its ``error_offset``); the rest, and a failed call that
says nothing of this, cannot be used: whoever made it will have tried again.

What may live here: what all formats have in common.  A format is a module of its own and a row in ``logs.formats``.
"""

from __future__ import annotations

import errno
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
from gmemsim.scenario.logs.stamps import USUAL, Stamp, stamp_before, usual_stamp
from gmemsim.scenario.machine import ABOVE_4G
from gmemsim.scenario.model import State
from gmemsim.units import exact_duration, human_duration

GZIP_MAGIC: Final = b"\x1f\x8b"
"""The first bytes of a gzip file (RFC 1952)."""

PIECE: Final = 1 << 16
"""Bytes that are read at once: most lines are shorter, and a file without newlines must not fill memory."""

LONGEST_EVENT: Final = 256
"""Bytes of an event from its mark on; the longest has some 220."""

REACH: Final = 4096
"""Bytes before an event in which its timestamp may stand: a warning's own text may come between the two."""

SHOWN_LINES: Final = 5
"""Line numbers that a report names for each reason."""

RANGE: Final = rb" start 0x(?P<start>[0-9a-fA-F]{1,16}) size 0x(?P<size>[0-9a-fA-F]{1,16}) "
"""An event's range of guest-physical addresses."""

UNREADABLE, MISALIGNED, EMPTY, OUTSIDE, PAST_END, ATTRIBUTES = (
    "cannot be read",
    "not a multiple of the page size",
    "size 0",
    "outside every slot",
    "past the end of the guest_memfd",
    "attributes other than private",
)
"""Why an event cannot be used."""


class Details(NamedTuple):
    """What an event says beside its range and state.

    ``fd``: the descriptor of the call.  ``in_file``: the range is one of the guest_memfd ``fd``, not of guest-physical
    addresses.  ``errno``: how the call failed, 0 if it did not; ``stopped`` where, in the event's own terms.  ``flags``
    are those of the call.
    """

    fd: int | None = None
    in_file: bool = False
    flags: int = 0
    errno: int = 0
    stopped: int | None = None


_PLAIN: Final = Details()

Source = tuple[int | None, int]
"""Who made a call: process, if the event names it, and descriptor."""


def _usual_line(format: LogFormat) -> re.Pattern[bytes]:
    return re.compile(USUAL + format.event.pattern + rb"\r?\n", format.event.flags)


@attrs.frozen(eq=False)
class LogFormat:
    """What writes a log, and how its events look.

    Every event begins with what ``mark`` matches.  One that can be read matches ``event``, with the groups ``start``,
    ``size`` and ``to``; ``state`` tells from the last what the range becomes, ``None`` if that is not ours to model.
    ``details`` reads what else an event of the format says.
    """

    name: str
    mark: re.Pattern[bytes]
    event: re.Pattern[bytes]
    state: Callable[[bytes], State | None]
    details: Callable[[re.Match[bytes]], Details] | None = None
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
    farthest_back: int = 0
    """By how much one goes back at most, in ns."""
    partial: int = 0
    """Calls that failed when they were recorded, used as far as they got."""
    flagged: int = 0
    """Calls with flags, which are not modelled."""
    sources: dict[Source, int] = attrs.field(factory=dict)
    """Who made the calls, as far as they say it, and when the first of each came, in ns."""
    outside: list[tuple[int, int]] = attrs.field(factory=list)
    """Bounds of the events outside every slot, of those that end below 4G and of those that end above."""
    past_end: int = 0
    """Where the farthest event ends that lies in the guest_memfd itself but past its end."""
    truncated: bool = False
    """Whether the file ends inside a line or inside its compression."""
    last: int = 0
    unusable: dict[str, Unusable] = attrs.field(factory=dict)

    def refuse(self, reason: str, line: int) -> None:
        """Count an event that cannot be used."""
        self.unusable.setdefault(reason, Unusable()).add(line)

    def note_outside(self, start: int, end: int, *, in_file: bool) -> None:
        """Remember where an event lies that no slot, or not the guest_memfd, holds."""
        if in_file:
            self.past_end = max(self.past_end, end)
            return
        self.outside = self.outside or [(0, 0), (0, 0)]
        above = end > ABOVE_4G
        low, high = self.outside[above]
        self.outside[above] = (min(low, start), max(high, end)) if high else (start, end)

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
        if self.partial:
            yield f"failed when recorded, used as far as they got: {self.partial}"
        if self.flagged:
            yield f"with flags, which are not modelled: {self.flagged}"
        if self.reordered:
            back = human_duration(self.farthest_back)
            yield f"times that go back within the tolerance, taken as now: {self.reordered} (by at most {back})"
        if self.spaced:
            yield f"events without a timestamp, which come a spacing apart: {self.spaced}"
        if self.truncated:
            yield "the file ends inside a line"


class _Found(NamedTuple):
    """An event: where it stands, counted from 1; its timestamp if it has one; its fields if they can be read."""

    line: int
    column: int
    stamp: Stamp | None
    event: re.Match[bytes] | None


@attrs.frozen(kw_only=True)
class Log:
    """A file of events: its format and how its times are read.

    ``spacing`` is the time in ns between events without timestamps, ``reorder`` how far stamps may go back, ``pid``
    the only process and ``fd`` the only descriptor whose events count (``None``: all do).
    """

    path: str
    format: LogFormat
    spacing: int = 1_000_000
    reorder: int = 0
    pid: int | None = None
    fd: int | None = None

    def conversions(self, slots: SlotMap, page_size: int, tally: Tally) -> Iterator[Conversion]:
        """The usable events in order, counted in ``tally``; :class:`InputError` if the log is wrong."""
        clock = _Clock(self, tally)
        for found in self._events(tally):
            tally.found += 1
            if found.event is None:
                tally.events += 1
                tally.refuse(UNREADABLE, found.line)
                continue
            details = self.format.details(found.event) if self.format.details else _PLAIN
            pid = None if found.stamp is None else found.stamp.pid
            if (self.pid is not None and pid != self.pid) or (self.fd is not None and details.fd != self.fd):
                tally.other_processes += 1
                continue
            tally.events += 1
            time = clock.time_of(found)
            if details.fd is not None:
                tally.sources.setdefault((pid, details.fd), time)
            first, length, state = found.event.group("start", "size", "to")
            start, size = int(first, 16), int(length, 16)
            to = self.format.state(state)
            if details.errno:
                size = 0 if details.stopped is None else min(size, max(0, details.stopped - start))
            offset = slots.offset_in_file(start, size) if details.in_file else slots.offset(start, size)
            if to is None:
                tally.refuse(ATTRIBUTES, found.line)
            elif not size:
                tally.refuse(
                    f"failed when recorded, {_errno_name(details.errno)}" if details.errno else EMPTY, found.line
                )
            elif (start | size) % page_size:
                tally.refuse(MISALIGNED, found.line)
            elif offset is None:
                tally.refuse(PAST_END if details.in_file else OUTSIDE, found.line)
                tally.note_outside(start, start + size, in_file=details.in_file)
            else:
                tally.usable += 1
                tally.partial += bool(details.errno)
                tally.flagged += bool(details.flags)
                yield Conversion(time, found.line, offset, size, to)
        tally.check()
        clock.check()

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
                yield _Found(tally.lines, 1, usual_stamp(usual), usual)
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
            stamp = stamp_before(text, max(self._free, at - REACH), at)
            if event is not None:
                self._free = event.end()
            column = self._dropped + (at if stamp is None else stamp.start) + 1
            events.append(_Found(self._number, column, stamp, event))
        if not last:
            drop = max(0, end - REACH)
            self._text = text[drop:]
            self._dropped += drop
            self._next = end - drop
            self._free = max(0, self._free - drop)
        return events


class _Clock:
    """Simulated time: 0 at the first event, then as far on as the stamps say, or a spacing."""

    def __init__(self, log: Log, tally: Tally) -> None:
        self._log = log
        self._tally = tally
        self._stamp: int | None = None
        self._begun = False
        self._gone_back: _Found | None = None  # the first event that goes back too far
        self._by = 0
        self._too_far = 0

    def time_of(self, found: _Found) -> int:
        """The time of the next event."""
        tally = self._tally
        if found.stamp is None:
            tally.spaced += 1
            step = self._log.spacing if self._begun else 0
        else:
            stamp = found.stamp.time
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
        self._tally.farthest_back = max(back, self._tally.farthest_back)
        if back <= self._log.reorder:
            self._tally.reordered += 1
            return 0
        self._too_far += 1
        if self._gone_back is None:
            self._gone_back, self._by = found, back
        return 0

    def check(self) -> None:
        """:class:`InputError` if an event went back too far, with the tolerance that would take all of them."""
        if self._gone_back is None:
            return
        events = "event goes" if self._too_far == 1 else "events go"
        raise self._log.fault(
            self._gone_back.line,
            self._gone_back.column,
            f"found a time {human_duration(self._by)} before that of an earlier event, expected times in order"
            f" ({self._too_far} {events} back too far; a reorder of {exact_duration(self._tally.farthest_back)}"
            " takes all)",
        )


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno {number}")
