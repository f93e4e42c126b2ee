# SPDX-License-Identifier: GPL-2.0-or-later
"""Timestamps of log lines: those of QEMU's trace backend and of bpftrace, and those of ``-msg timestamp=on``.

Two forms are read: ``PID@SECONDS.FRACTION:``, and ISO 8601 with a date (``2025-11-18T10:20:00.002000Z``; without a zone
it is taken for UTC).  Other text may stand between a stamp and its event; the nearest one before the event counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from operator import add
from typing import Final, NamedTuple

_OF_PROCESS: Final = re.compile(rb"(?P<pid>\d{1,10})@(?P<s>\d{1,12})\.(?P<fraction>\d{1,9}):")
USUAL: Final = rb"(\d{1,10})@(\d{1,12})\.(\d{1,9}):"
"""The stamp of a process as a pattern, for :func:`usual_times`: process, seconds and their fraction."""

_ISO: Final = re.compile(
    rb"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d)?)?(?![\d:.])"
)
_SECOND: Final = 1_000_000_000


class Stamp(NamedTuple):
    """A timestamp: ``start`` is where it begins, ``time`` its time in ns, ``pid`` the process that it names, if it
    does.
    """

    start: int
    time: int
    pid: int | None


def stamp_before(text: bytes, start: int, end: int) -> Stamp | None:
    """The last timestamp between ``start`` and ``end`` of ``text``, behind any carriage return there."""
    start = max(start, text.rfind(b"\r", start, end) + 1)
    match = _of_process(text, start, end)
    behind = start if match is None else match.end()
    iso = _iso(text, behind, end) if end - behind >= len("2025-11-18T10:20:00") else None
    if iso is not None or match is None:
        return iso
    time = int(match["s"]) * _SECOND + int(match["fraction"].ljust(9, b"0"))
    return Stamp(match.start(), time, int(match["pid"]))


def usual_times(seconds: Sequence[bytes], fractions: Sequence[bytes]) -> list[int]:
    """Nanoseconds of stamps of processes, from the groups of :data:`USUAL`: ``seconds`` and their decimal
    ``fractions``.
    """
    widths = set(map(len, fractions))
    if len(widths) == 1:  # as a recorder writes them
        scale = 10 ** (9 - widths.pop())
        return [int(whole) * scale for whole in map(add, seconds, fractions)]
    return [int(whole + part.ljust(9, b"0")) for whole, part in zip(seconds, fractions, strict=True)]


def _of_process(text: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """It has the last ``@``."""
    at = text.rfind(b"@", start, end)
    if at < 0:
        return None
    start = max(start, at - 10, text.rfind(b"@", start, at) + 1)  # ten digits, and none of another stamp
    return _OF_PROCESS.search(text, start, end)


def _iso(text: bytes, start: int, end: int) -> Stamp | None:
    """The last one that is a date and a time of day."""
    at = end
    while (at := text.rfind(b"T", start, at)) >= 0:
        match = _ISO.match(text, at - 10, end) if at - 10 >= start else None
        time = None if match is None else _time(match)
        if time is not None:
            return Stamp(at - 10, time, None)
    return None


def _time(match: re.Match[bytes]) -> int | None:
    """Nanoseconds since 1970; ``None`` if there is no such time."""
    day, *time, fraction, sign, hours, minutes = match.groups()
    days = _days(day)
    hour, minute, second = map(int, time)
    if days is None or hour > 23 or minute > 59 or second > 60:
        return None
    east = (int(hours) * 60 + int(minutes or 0)) * (-1 if sign == b"-" else 1) if sign else 0
    seconds = ((days * 24 + hour) * 60 + minute - east) * 60 + second
    return seconds * _SECOND + int((fraction or b"0").ljust(9, b"0"))


@lru_cache(maxsize=16)  # a log has few days and many events
def _days(day: bytes) -> int | None:
    """Days from 1970 to ``YYYY-MM-DD``; ``None`` if there is no such day."""
    try:
        return date.fromisoformat(day.decode()).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
