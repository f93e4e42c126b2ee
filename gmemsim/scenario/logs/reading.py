# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a recorded log of conversions: which events it holds, when they happened, which of them can be used.

Theory of operation
-------------------
A log is read in texts of bounded size, so that memory stays constant however long it or one of its lines is.  It may
be compressed with gzip (told by its first two bytes).  Every event is *found* (``logs.finding``), and then either used
or counted by the reason why it cannot be; no event is lost, wherever in a line it stands (:meth:`Tally.check`, after
every reading).  Lines without one are counted.  The last line may be cut off.

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
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.scenario.files import open_without_waiting
from gmemsim.scenario.format.kinds import LARGEST
from gmemsim.scenario.logs.finding import PIECE, PLAIN, Events, Finder, LogFormat
from gmemsim.scenario.logs.slots import SlotMap
from gmemsim.scenario.logs.tally import ATTRIBUTES, EMPTY, MISALIGNED, OUTSIDE, PAST_END, UNREADABLE, Tally
from gmemsim.scenario.model import State
from gmemsim.units import exact_duration, human_duration

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GZIP_MAGIC: Final = b"\x1f\x8b"
"""The first bytes of a gzip file (RFC 1952)."""


class Block(NamedTuple):
    """Usable events as columns: ``lines``, ``times`` in ns from the first event, ranges in the file, and what these
    become.

    ``offsets`` and ``sizes`` are in bytes; ``shared`` is 1 for shared, 0 for private.
    """

    lines: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    shared: npt.NDArray[np.uint8]


_CODES: Final[dict[State | None, int]] = {"private": 0, "shared": 1, None: 2}
"""States in columns; ``None`` is what is not ours to model."""


@attrs.frozen(kw_only=True)
class Log:
    """A file of events: its ``path``, its ``format``, and how its times are read.

    ``spacing`` is the time in ns between events without timestamps (default: 1 ms), ``reorder`` how far stamps may go
    back (ns; default: 0), ``pid`` the only process and ``fd`` the only descriptor whose events count (default: all do).
    """

    path: str
    format: LogFormat
    spacing: int = 1_000_000
    reorder: int = 0
    pid: int | None = None
    fd: int | None = None

    def blocks(self, slots: SlotMap, page_size: int, tally: Tally) -> Iterator[Block]:
        """The usable events in order, counted in ``tally``; :class:`InputError` if the log is wrong.

        ``slots`` say where guest-physical memory lies in the file, ``page_size`` is in bytes.  They come as they are
        read, some hundred at a time.
        """
        clock = _Clock(self, tally)
        for found in self._events(tally):
            tally.found += len(found)
            events = found if self.pid is None and self.fd is None else found.of(self.pid, self.fd)
            tally.other_processes += len(found) - len(events)
            tally.events += len(events)
            times = clock.times_of(events)
            if self.format.details is not None:
                for pid, details, time in zip(events.pids, events.details, times, strict=True):
                    if details.fd is not None:
                        tally.sources.setdefault((pid, details.fd), time)
            yield _usable(events, times, slots, page_size, tally)
            if events.unreadable:
                tally.found += 1
                tally.events += 1
                tally.refuse(UNREADABLE, events.unreadable)
        tally.check()
        clock.check()

    def fault(self, line: int, column: int, message: str) -> InputError:
        """The error that names a place of the log, ``line`` and ``column`` (from 1), with its ``message``."""
        return InputError([Fault(self.path if self.path.isprintable() else ascii(self.path), line, column, message)])

    def _events(self, tally: Tally) -> Iterator[Events]:
        """Every event of the log, and its lines counted."""
        finder = Finder(self.format, tally)
        for text in self._texts(tally):
            yield from finder.read(text)
        yield from finder.end()

    def _texts(self, tally: Tally) -> Iterator[bytes]:
        """The bytes of the log: many whole lines at a time, or pieces of a longer line up to its end."""
        rest, long = b"", False  # what no newline has followed yet; whether it belongs to a line that came in part
        for data in self._data(tally):
            text = rest + data
            tally.truncated = not text.endswith((b"\n", b"\r"))
            if long and (end := text.find(b"\n") + 1):
                yield text[:end]
                text, long = text[end:], False
            end = text.rfind(b"\n") + 1
            if end:
                yield text[:end]
            rest = text[end:]
            if len(rest) >= PIECE or (rest and long):
                yield rest
                rest, long = b"", True
        if rest:
            yield rest

    def _data(self, tally: Tally) -> Iterator[bytes]:
        """The bytes of the log as they are read."""
        with self._open() as stream:
            try:
                while data := stream.read1(PIECE):
                    yield data
            except EOFError:
                tally.truncated = True
            except (zlib.error, gzip.BadGzipFile) as error:
                raise self.fault(
                    tally.lines + 1, 1, f"found damaged compression ({error}), expected a gzip file"
                ) from None
            except OSError as error:
                raise self.fault(0, 0, f"found that it cannot be read ({error.strerror}), expected a log") from None

    def _open(self) -> BufferedReader | gzip.GzipFile:
        try:
            path = Path(self.path)
            if not S_ISREG(path.stat().st_mode):  # a pipe has no second reading, a device no end
                found = "a directory" if path.is_dir() else "something else than a file"
                raise self.fault(0, 0, f"found {found}, expected a log")
            file = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115 - the caller closes it
            if file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
                file.close()
                return gzip.GzipFile(path)
            return file
        except FileNotFoundError:
            raise self.fault(0, 0, "found no such file, expected a log") from None
        except OSError as error:
            raise self.fault(0, 0, f"found that it cannot be read ({error.strerror}), expected a log") from None
        except ValueError as error:
            raise self.fault(0, 0, f"found a name that no file has ({error}), expected a log") from None


def _usable(events: Events, times: list[int], slots: SlotMap, page_size: int, tally: Tally) -> Block:
    """Those of ``events``, which come at ``times``, that can be used; the others are counted."""
    import numpy as np

    starts, sizes = np.array(events.starts, np.uint64), np.array(events.sizes, np.uint64)
    states = np.array(list(map(_CODES.__getitem__, events.states)), np.uint8)
    in_file = np.zeros(len(starts), np.bool_)
    all_plain = events.details.count(PLAIN) == len(events)
    detailed = [] if all_plain else [at for at, details in enumerate(events.details) if details is not PLAIN]
    for at in detailed:
        in_file[at] = events.details[at].in_file
        sizes[at] = _done(events, at)
    offsets, inside = slots.offsets(starts, sizes, in_file)
    usable = inside & (states != _CODES[None]) & (sizes > 0) & ((starts | sizes) % page_size == 0)
    for at in np.flatnonzero(~usable).tolist():
        _refuse(events, at, int(sizes[at]), page_size, tally)
    for at in detailed:
        if usable[at]:
            tally.partial += bool(events.details[at].errno)
            tally.flagged += bool(events.details[at].flags)
    lines, whens = np.array(events.lines, np.int64), np.array(times, np.int64)
    kept = Block(*(column[usable] for column in (lines, whens, offsets, sizes.astype(np.int64), states)))
    tally.usable += len(kept.lines)
    return kept


def _done(events: Events, at: int) -> int:
    """The bytes of event number ``at`` that a call converted, which may have failed."""
    size, details = events.sizes[at], events.details[at]
    if not details.errno:
        return size
    return 0 if details.stopped is None else min(size, max(0, details.stopped - events.starts[at]))


def _refuse(events: Events, at: int, size: int, page_size: int, tally: Tally) -> None:
    """Count event number ``at``, of which ``size`` bytes were done, by the first reason why it cannot be used."""
    line, start, details = events.lines[at], events.starts[at], events.details[at]
    if events.states[at] is None:
        tally.refuse(ATTRIBUTES, line)
    elif not size:
        tally.refuse(f"failed when recorded, {_errno_name(details.errno)}" if details.errno else EMPTY, line)
    elif (start | size) % page_size:
        tally.refuse(MISALIGNED, line)
    else:
        tally.refuse(PAST_END if details.in_file else OUTSIDE, line)
        tally.note_outside(start, start + size, in_file=details.in_file)


class _Clock:
    """Simulated time: 0 at the first event, then as far on as the stamps say, or a spacing."""

    def __init__(self, log: Log, tally: Tally) -> None:
        self._log = log
        self._tally = tally
        self._stamp: int | None = None  # the latest so far
        self._begun = False
        self._gone_back: tuple[int, int] | None = None  # line and column of the first event that goes back too far
        self._by = 0
        self._too_far = 0

    def times_of(self, events: Events) -> list[int]:
        """The times of the next events."""
        tally, times = self._tally, []
        last, latest = tally.last, self._stamp
        for at, stamp in enumerate(events.stamps):
            if stamp is not None and latest is not None:
                if stamp >= latest:
                    last += stamp - latest
                    latest = stamp
                else:
                    self._note_back(latest - stamp, events.lines[at], events.columns[at])
            else:
                last += self._log.spacing if self._begun else 0
                latest = latest if stamp is None else stamp
            self._begun = True
            if last > LARGEST:
                found = "found a time more than 2^63 ns after the first event, expected less"
                raise self._log.fault(events.lines[at], events.columns[at], found)
            times.append(last)
        tally.last, self._stamp = last, latest
        spaced = events.stamps.count(None)
        tally.spaced += spaced
        tally.stamped += len(times) - spaced
        return times

    def _note_back(self, back: int, line: int, column: int) -> None:
        """An event whose stamp goes ``back`` by so many ns."""
        self._tally.farthest_back = max(back, self._tally.farthest_back)
        if back <= self._log.reorder:
            self._tally.reordered += 1
            return
        self._too_far += 1
        if self._gone_back is None:
            self._gone_back, self._by = (line, column), back

    def check(self) -> None:
        """:class:`InputError` if an event went back too far, with the tolerance that would take all of them."""
        if self._gone_back is None:
            return
        events = "event goes" if self._too_far == 1 else "events go"
        raise self._log.fault(
            *self._gone_back,
            f"found a time {human_duration(self._by)} before that of an earlier event, expected times in order"
            f" ({self._too_far} {events} back too far; a reorder of {exact_duration(self._tally.farthest_back)}"
            " takes all)",
        )


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno {number}")
