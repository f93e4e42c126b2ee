# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics: dotted paths to the numbers of a summary, as expectations, sweeps and tables name them.

Theory of operation
-------------------
``accounts.`` may be left out of a path (``filemap_nodes.peak``); a guest's numbers are ``guests.NAME.…`` or
``guests.0.…``.  What is absent from a summary counts as 0 (no split of 1G ever happened), so an expectation with a
misspelt path would compare with 0 and nobody would notice.  Therefore :func:`find_metric` checks a path before the run,
by walking it down the rows of :mod:`gmemsim.results.summary`.

What may live here: how paths are read.  A new metric is a new row there and nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gmemsim.errors import Fault
from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry
from gmemsim.results.keys import Fixed, Keys, Number, Variable
from gmemsim.results.summary import GUEST_PARTS, PARTS, Part, account_keys

LONGEST = 200
"""Characters of a metric: several times the longest there is."""

EXPECTED = "a metric such as filemap_nodes.peak or splits.1G->4K"
"""What a message says after "expected" about something that is no metric at all."""


def find_metric(text: str, guests: Sequence[str] | None = None) -> Number:
    """The number that the path ``text`` leads to, in the summary of a run with these ``guests``.

    ``guests`` are the names of all guests in order (default: not known, any name will do).  ``ValueError`` "found …,
    expected …" if ``text`` leads to no number.

    >>> find_metric("vmemmap.peak_bytes")
    Number(unit='bytes', estimate=False)
    """
    if len(text) > LONGEST:
        raise ValueError(f"found {quote(text)}, expected {EXPECTED}")
    parts = text.split(".")
    more: tuple[str, ...] = ("guests",)
    keys: Keys
    if parts[0] == "guests":
        if len(parts) < 3:
            raise ValueError(f"found {quote(text)}, expected guests.NAME. and a metric of that guest")
        _check_guest(parts[1], guests)
        parts, keys, more = parts[2:], _keys_of(GUEST_PARTS), ()
    else:
        keys = _keys_of(PARTS)
    for part in parts:
        if isinstance(keys, Number):
            raise ValueError(f"found {quote(part)} after the end of a metric, expected {EXPECTED}")
        keys, more = _descend(_fixed(keys), part, more), ()
    if not isinstance(keys, Number):
        known = ", ".join(key if isinstance(key, str) else key.expected for key in _fixed(keys))
        raise ValueError(f"found {quote(text)}, which is not a number, expected one more part: {known}")
    return keys


def check_metric(text: str, guests: Sequence[str] | None = None) -> None:
    """``ValueError`` unless ``text`` is a metric of a run with these ``guests`` (default: any): see
    :func:`find_metric`.
    """
    find_metric(text, guests)


def parts_after(path: str, guests: Sequence[str] = ()) -> Iterator[tuple[str, bool]]:
    """What may follow ``path`` (empty: at the beginning) on the way to a metric, and whether that goes on.

    Of keys that depend on the run the usual ones; ``guests`` (default: none) are the names of its guests.
    """
    parts = path.split(".") if path else []
    keys: Keys = _keys_of(PARTS)
    if not parts:
        yield "guests", True
    elif parts[0] == "guests":
        if len(parts) == 1:
            yield from ((name, True) for name in guests)
            return
        parts, keys = parts[2:], _keys_of(GUEST_PARTS)
    try:
        for part in parts:
            keys = _descend({} if isinstance(keys, Number) else _fixed(keys), part, ())
    except ValueError:
        return
    for key, below in ({} if isinstance(keys, Number) else _fixed(keys)).items():
        for part in (key,) if isinstance(key, str) else key.usual:
            yield part, not isinstance(below, Number)


def metric_faults(metrics: Iterable[str], guests: Sequence[str], source: str) -> list[Fault]:
    """A fault of ``source`` for each of ``metrics`` that the summary of a run with these ``guests`` does not have."""
    faults = []
    for metric in metrics:
        try:
            find_metric(metric, guests)
        except ValueError as error:
            faults.append(Fault(source, 0, 0, f"metric {quote(metric)}: {error}"))
    return faults


def is_demand(metric: str) -> bool:
    """Whether ``metric``, which must be one, is what the workload asks for and not what a policy makes of it."""
    return find_metric(metric).demand


def metric_value(summary: Mapping[str, Any], metric: str) -> int | float:
    """The number at the path ``metric`` of ``summary``; 0 where the path leads to nothing."""
    parts = metric.split(".")
    found: Any = summary
    if parts[0] == "guests" and len(parts) > 1:
        names = [guest["name"] for guest in summary["guests"]]
        index = names.index(parts[1]) if parts[1] in names else int(parts[1]) if parts[1].isdecimal() else len(names)
        if index >= len(names):
            return 0
        found, parts = summary["guests"][index], parts[2:]
    if parts[0] in found["accounts"]:
        found = found["accounts"]
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return 0
        found = found[part]
    return found if isinstance(found, int | float) else 0


def _keys_of(rows: Registry[Part]) -> Fixed:
    """The keys of all ``rows`` that have numbers, those of accounts first since ``accounts.`` may be left out."""
    return {**account_keys(), **{name: part.keys for name, part in rows.items() if part.keys is not None}}


def _fixed(keys: Fixed | Any) -> Fixed:
    found: Fixed = keys() if callable(keys) else keys
    return found


def _check_guest(part: str, guests: Sequence[str] | None) -> None:
    if guests is None or part in guests:
        return
    if part.isascii() and part.isdigit():
        if len(part) <= 6 and int(part) < len(guests):
            return
        raise ValueError(f"found guest {quote(part)}, expected a number below {len(guests)}")
    raise ValueError(f"found {quote(part)}, expected the name of a guest{did_you_mean(part, guests)}")


def _descend(keys: Fixed, part: str, more: tuple[str, ...]) -> Keys:
    """What ``part`` leads to below ``keys``, beside which there are ``more``; ``ValueError`` if it leads nowhere."""
    if part in keys:
        return keys[part]
    for key, below in keys.items():
        if isinstance(key, Variable):
            key.check(part)
            return below
    known = (*(key for key in keys if isinstance(key, str)), *more)
    hint = did_you_mean(part, known) or f" ({', '.join(known)})"
    raise ValueError(f"found {quote(part)}, expected a part of the summary{hint}")
