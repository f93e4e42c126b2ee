# SPDX-License-Identifier: GPL-2.0-or-later
"""Which metrics there are: the dotted paths into a run's summary that an expectation can name.

Theory of operation
-------------------
What is absent from a summary counts as 0 (no split of 1G ever happened), so an expectation with a misspelt path would
compare with 0 and nobody would notice.  Therefore :func:`check_metric` checks a path before the run, by walking it down
:data:`ROOT`, a tree of the summary's keys.  A step down is a fixed key or, where keys depend on the run, a
:class:`Variable`, which checks one.

What may live here: the keys of the summary.  A new part of the summary is a new line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gmemsim.errors import ERRNO_NAMES
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.work import PHASES
from gmemsim.messages import did_you_mean, quote
from gmemsim.units import parse_size, size_name

LONGEST = 200
"""Characters of a metric: several times the longest there is."""

EXPECTED = "a metric such as filemap_nodes.peak or splits.1G->4K"
"""What a message says after "expected" about something that is no metric at all."""

CALL_KINDS = ("allocate", "convert", "fault", "pin", "unpin", "punch_hole", "poison", "close")
"""The calls that a guest's owner makes and the kernel may refuse, by the key of their step in a scenario."""

OUTCOMES = ("optimise_failures", "rollback_failures", "inconsistent_pages")
"""What can go wrong without an errno, counted per guest and in all."""


class Variable:
    """A part of a path that depends on the run.

    ``expected`` is what a message says after "expected"; ``check`` raises ``ValueError`` for any other text.
    """

    def __init__(self, expected: str, check: Callable[[str], None]) -> None:
        self.expected = expected
        self.check = check


def _check_size(text: str) -> None:
    """A folio's size as reports write it: ``4K``, not ``4096B``."""
    try:
        canonical = size_name(parse_size(text))
    except ValueError:
        canonical = None
    if canonical != text or text == "0":
        raise ValueError(f"found {quote(text)}, expected {_SIZE.expected}")


def _check_change(text: str) -> None:
    """A split or a merge: two sizes, ``1G->4K``."""
    before, arrow, after = text.partition("->")
    if arrow:
        _check_size(before)
        _check_size(after)
    if not arrow or before == after:
        raise ValueError(f"found {quote(text)}, expected {_CHANGE.expected}")


def _check_errno(text: str) -> None:
    """The name of an errno."""
    if text not in ERRNO_NAMES:
        raise ValueError(f"found {quote(text)}, expected {_ERRNO.expected}{did_you_mean(text, ERRNO_NAMES)}")


_SIZE = Variable("a size as reports write it, such as 4K", _check_size)
_CHANGE = Variable("two sizes, such as 1G->4K", _check_change)
_ERRNO = Variable("the name of an errno, such as EAGAIN", _check_errno)

Keys = Mapping[str | Variable, Any]
"""What may follow: fixed keys and variables, each with what follows it; ``None``: the path ends, here is a number."""

_TALLY: Keys = dict.fromkeys(("live", "peak", "allocated", "freed", "live_bytes", "peak_bytes"))
_ACCOUNTS: Keys = dict.fromkeys((*ACCOUNTS, "total"), _TALLY)
_CALLS: Keys = {"requested": None, "succeeded": None, "failed": {_ERRNO: None}}
_COMMON: Keys = {
    **_ACCOUNTS,  # "accounts." may be left out
    "accounts": _ACCOUNTS,
    "conversions": _CALLS,
    "splits": {_CHANGE: None},
    "merges": {_CHANGE: None},
    "folios": {_SIZE: None},
    "outcomes": dict.fromkeys(OUTCOMES),
}
PER_GUEST: Keys = {**_COMMON, "memory": None, "backing": None, "filemap_nodes_charged": None}
"""What ``guests.NAME.`` and ``guests.0.`` lead to."""

ROOT: Keys = {
    **_COMMON,
    "end_time_ns": None,
    "modelled_time_ns": dict.fromkeys((*PHASES.values(), "total")),
    "calls": dict.fromkeys(CALL_KINDS, _CALLS),
    "estimates": {"attributes": {"live_at_least": None, "live_at_most": None}},
    "slabs_at_least_bytes": dict.fromkeys(ACCOUNTS),
}
"""The summary of a run; below ``guests`` come their names and :data:`PER_GUEST`."""


def check_metric(text: str, guests: tuple[str, ...] | None) -> None:
    """``ValueError`` "found …, expected …" unless ``text`` is a path into the summary of a run with these ``guests``.

    ``guests`` are the names of all guests in order, ``None`` if they are not known: then any name will do.
    """
    if len(text) > LONGEST:
        raise ValueError(f"found {quote(text)}, expected {EXPECTED}")
    parts = text.split(".")
    keys: Keys | None = ROOT
    if parts[0] == "guests":
        if len(parts) < 3:
            raise ValueError(f"found {quote(text)}, expected guests.NAME. and a metric of that guest")
        _check_guest(parts[1], guests)
        parts, keys = parts[2:], PER_GUEST
    for part in parts:
        if keys is None:
            raise ValueError(f"found {quote(part)} after the end of a metric, expected {EXPECTED}")
        keys = _descend(keys, part)
    if keys is not None:
        known = ", ".join(key if isinstance(key, str) else key.expected for key in keys)
        raise ValueError(f"found {quote(text)}, which is not a number, expected one more part: {known}")


def _check_guest(part: str, guests: tuple[str, ...] | None) -> None:
    if guests is None or part in guests:
        return
    if part.isascii() and part.isdigit():
        if len(part) <= 6 and int(part) < len(guests):
            return
        raise ValueError(f"found guest {quote(part)}, expected a number below {len(guests)}")
    raise ValueError(f"found {quote(part)}, expected the name of a guest{did_you_mean(part, guests)}")


def _descend(keys: Keys, part: str) -> Keys | None:
    """What ``part`` leads to below ``keys``; ``ValueError`` if it leads nowhere."""
    below: Keys | None
    if part in keys:
        below = keys[part]
        return below
    for key, below in keys.items():
        if isinstance(key, Variable):
            key.check(part)
            return below
    known = (*(key for key in keys if isinstance(key, str)), *(("guests",) if keys is ROOT else ()))
    hint = did_you_mean(part, known) or f" ({', '.join(known)})"
    raise ValueError(f"found {quote(part)}, expected a part of the summary{hint}")
