# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the events of a log, wherever in a line they stand: many at once where lines are usual.

Theory of operation
-------------------
A log comes in texts of bounded size: whole lines, or pieces of a line that is longer than :data:`PIECE`.  Nearly all
lines of a log are *usual*: a timestamp and an event, nothing else.  One pattern reads all lines of a text at once and
says of each whether it is usual.  What is not usual is searched for the mark with which every event begins, and a line
with a mark is read by :class:`_Line`, event by event.  Both ways end in the same columns (:class:`Events`).

An event whose mark is there but whose fields are not cannot be read; it ends its columns, so that the order of events
is kept.

What may live here: where events are.  What they mean, and whether they can be used, is in ``logs.reading``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import Final, NamedTuple

import attrs

from gmemsim.scenario.logs.stamps import USUAL, Stamp, stamp_before, usual_times
from gmemsim.scenario.logs.tally import Tally
from gmemsim.scenario.model import State

PIECE: Final = 1 << 16
"""Bytes that are read at once: most lines are shorter, and a file without newlines must not fill memory."""

LONGEST_EVENT: Final = 256
"""Bytes of an event from its mark on; the longest has some 220."""

REACH: Final = 4096
"""Bytes before an event in which its timestamp may stand: a warning's own text may come between the two."""

RANGE: Final = rb" start 0x(?P<start>[0-9a-fA-F]{1,16}) size 0x(?P<size>[0-9a-fA-F]{1,16}) "
"""An event's range of guest-physical addresses."""


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


PLAIN: Final = Details()
"""Those of an event that says nothing else."""


def _lines(format: LogFormat) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + USUAL + format.event.pattern + rb"\r?|([^\n]*))\n", format.event.flags)


@attrs.frozen(eq=False)
class LogFormat:
    """What writes a log, and how its events look.

    Every event begins with what ``mark`` matches.  One that can be read matches ``event``, with the groups ``start``,
    ``size`` and ``to``; ``state`` tells from the last what the range becomes, ``None`` if that is not ours to model.
    ``details`` reads what else an event of the format says, from the texts of the groups ``more``, each empty if the
    event does not have it.  ``name`` is how scenarios call it.
    """

    name: str
    mark: re.Pattern[bytes]
    event: re.Pattern[bytes]
    state: Callable[[bytes], State | None]
    more: tuple[str, ...] = ()
    details: Callable[..., Details] | None = None
    lines: re.Pattern[bytes] = attrs.field(init=False, default=attrs.Factory(_lines, takes_self=True))
    """One line: the groups of a usual one (its timestamp's first), or the last group, which is any other's text."""


class _Found(NamedTuple):
    """One event: where it stands, counted from 1; its timestamp if it has one; its fields if they can be read."""

    line: int
    column: int
    stamp: Stamp | None
    event: re.Match[bytes] | None


@attrs.define
class Events:
    """Events in the order of the log, as columns: lists that are equally long.

    ``lines`` and ``columns`` say where they begin, from 1; ``stamps`` are ns or ``None``; ``pids`` the processes that
    stamps name; ``starts`` and ``sizes`` are bytes, in the event's own terms; ``states`` what the ranges become, as
    :attr:`LogFormat.state` says.  ``unreadable`` is the line of an event behind them that cannot be read, 0 if there is
    none.  ``details`` is what else the events say.
    """

    lines: list[int] = attrs.field(factory=list)
    columns: list[int] = attrs.field(factory=list)
    stamps: list[int | None] = attrs.field(factory=list)
    pids: list[int | None] = attrs.field(factory=list)
    starts: list[int] = attrs.field(factory=list)
    sizes: list[int] = attrs.field(factory=list)
    states: list[State | None] = attrs.field(factory=list)
    details: list[Details] = attrs.field(factory=list)
    unreadable: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def of(self, pid: int | None, fd: int | None) -> Events:
        """Those of one process, ``pid``, and one descriptor, ``fd``; ``None`` for any."""
        keep = [
            (pid is None or by == pid) and (fd is None or details.fd == fd)
            for by, details in zip(self.pids, self.details, strict=True)
        ]
        return Events(
            lines=list(compress(self.lines, keep)),
            columns=list(compress(self.columns, keep)),
            stamps=list(compress(self.stamps, keep)),
            pids=list(compress(self.pids, keep)),
            starts=list(compress(self.starts, keep)),
            sizes=list(compress(self.sizes, keep)),
            states=list(compress(self.states, keep)),
            details=list(compress(self.details, keep)),
            unreadable=self.unreadable,
        )

    def _add(self, format: LogFormat, found: _Found, event: re.Match[bytes]) -> None:
        """One event."""
        start, size, to = event.group("start", "size", "to")
        self.lines.append(found.line)
        self.columns.append(found.column)
        self.stamps.append(None if found.stamp is None else found.stamp.time)
        self.pids.append(None if found.stamp is None else found.stamp.pid)
        self.starts.append(int(start, 16))
        self.sizes.append(int(size, 16))
        self.states.append(format.state(to))
        texts = (event[name] or b"" for name in format.more)
        self.details.append(PLAIN if format.details is None else format.details(*texts))

    def _add_usual(self, format: LogFormat, lines: Iterable[int], rows: list[tuple[bytes, ...]]) -> None:
        """The events of usual ``lines``, of which ``rows`` are the groups."""
        if not rows:
            return
        columns = list(zip(*rows, strict=True))
        group = {name: number - 1 for name, number in format.lines.groupindex.items()}
        self.lines.extend(lines)
        self.columns.extend([1] * len(rows))
        self.stamps.extend(usual_times(columns[1], columns[2]))
        self.pids.extend(map(int, columns[0]))
        self.starts.extend([int(text, 16) for text in columns[group["start"]]])
        self.sizes.extend([int(text, 16) for text in columns[group["size"]]])
        self.states.extend(map(format.state, columns[group["to"]]))
        if format.details is None:
            self.details.extend([PLAIN] * len(rows))
        else:
            self.details.extend(map(format.details, *(columns[group[name]] for name in format.more)))


class Finder:
    """Finds the events in the texts of one log in ``format``, and counts its lines in ``tally``."""

    def __init__(self, format: LogFormat, tally: Tally) -> None:
        self._format = format
        self._tally = tally
        self._line: _Line | None = None  # one of which only the beginning has been read
        self._has_event = False  # whether an event of it has been found

    def read(self, text: bytes) -> Iterator[Events]:
        """The events of the next ``text``: whole lines, or the next piece of a line."""
        whole = text.endswith(b"\n")
        if whole and self._line is None:
            return self._of_lines(self._format.lines.findall(text))
        if self._line is None:
            self._tally.lines += 1
            self._line, self._has_event = _Line(self._format, self._tally.lines), False
        return self._of_piece(text, last=whole)

    def end(self) -> Iterator[Events]:
        """The events that are left of a last line without a newline."""
        return iter(()) if self._line is None else self._of_piece(b"", last=True)

    def _of_lines(self, rows: list[tuple[bytes, ...]]) -> Iterator[Events]:
        """The events of whole lines."""
        tally, format, events = self._tally, self._format, Events()
        first = tally.lines + 1
        tally.lines += len(rows)
        odd = [at for at, row in enumerate(rows) if not row[0]]
        marked = [at for at in odd if format.mark.search(rows[at][-1])]
        tally.others += len(odd) - len(marked)
        begin = 0
        for end in (*marked, len(rows)):
            usual = range(begin, end) if not odd else [at for at in range(begin, end) if rows[at][0]]
            events._add_usual(format, [first + at for at in usual], [rows[at] for at in usual])
            if end < len(rows):
                for found in _Line(format, first + end).read(rows[end][-1], last=True):
                    if (full := self._with(events, found)) is not None:
                        yield full
                        events = Events()
            begin = end + 1
        yield events

    def _of_piece(self, piece: bytes, *, last: bool) -> Iterator[Events]:
        """The events of a piece of a long line."""
        assert self._line is not None
        events = Events()
        for found in self._line.read(piece, last=last):
            self._has_event = True
            if (full := self._with(events, found)) is not None:
                yield full
                events = Events()
        if last:
            self._tally.others += not self._has_event
            self._line = None
        yield events

    def _with(self, events: Events, found: _Found) -> Events | None:
        """Add ``found`` to ``events``; they, if that ends them."""
        if found.event is not None:
            events._add(self._format, found, found.event)
            return None
        events.unreadable = found.line
        return events


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
