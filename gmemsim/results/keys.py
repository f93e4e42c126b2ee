# SPDX-License-Identifier: GPL-2.0-or-later
"""What the keys of a summary can be: fixed words, words that depend on the run, and the numbers at their ends.

Theory of operation
-------------------
The shape of a summary's part is a tree of :data:`Keys`.  A step down is a fixed key or, where the keys depend on the
run, a :class:`Variable`, which checks one.  A path ends at a :class:`Number`, which says its unit and whether it is an
estimate.  Keys that depend on a registry, to which a row may be added later, are a function that returns them.

What may live here: kinds of keys and of numbers.  Which keys there are stands in :mod:`gmemsim.results.summary`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import attrs

from gmemsim.errors import ERRNO_NAMES
from gmemsim.messages import did_you_mean, quote
from gmemsim.units import parse_size, size_name

Unit = Literal["bytes", "count", "ns"]


@attrs.frozen
class Number:
    """A number of a summary: its ``unit`` (default: a count), and whether it is an ``estimate`` (default: no).

    ``demand``: it is what the workload asks for, the same under every policy (default: not).
    """

    unit: Unit = "count"
    estimate: bool = False
    demand: bool = attrs.field(default=False, repr=False)


COUNT, BYTES, NS = Number("count"), Number("bytes"), Number("ns")
DEMAND, DEMAND_BYTES, DEMAND_NS = Number("count", demand=True), Number("bytes", demand=True), Number("ns", demand=True)
ESTIMATED_COUNT, ESTIMATED_NS = Number("count", estimate=True), Number("ns", estimate=True)


@attrs.frozen(eq=False)
class Variable:
    """A key that depends on the run.

    ``expected`` is what a message says after "expected"; ``check`` raises ``ValueError`` for any other text.
    ``usual`` (default: none) are keys that a run is likely to have, for who types one.
    """

    expected: str
    check: Callable[[str], None]
    usual: tuple[str, ...] = ()


Fixed: TypeAlias = "Mapping[str | Variable, Keys]"
Keys: TypeAlias = "Number | Fixed | Callable[[], Fixed]"
"""What may follow in a path: nothing (here is a number), or one of some keys, each with what follows it."""


def _check_size(text: str) -> None:
    """A folio's size as reports write it: a power of two, ``4K`` and not ``4096B``."""
    try:
        size = parse_size(text)
    except ValueError:
        size = 0
    if size.bit_count() != 1 or size_name(size) != text:
        raise ValueError(f"found {quote(text)}, expected {SIZE.expected}")


def _check_change(text: str) -> None:
    """A split or a merge: two sizes, ``1G->4K``."""
    before, arrow, after = text.partition("->")
    if arrow:
        _check_size(before)
        _check_size(after)
    if not arrow or before == after:
        raise ValueError(f"found {quote(text)}, expected {CHANGE.expected}")


def _check_errno(text: str) -> None:
    """The name of an errno."""
    if text not in ERRNO_NAMES:
        raise ValueError(f"found {quote(text)}, expected {ERRNO.expected}{did_you_mean(text, ERRNO_NAMES)}")


def _check_node(text: str) -> None:
    """The number of a NUMA node."""
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise ValueError(f"found {quote(text)}, expected {NODE.expected}")


_SIZES = ("1G", "2M", "4K")

NODE = Variable("the number of a NUMA node, such as 0", _check_node, ("0", "1"))
SIZE = Variable("a size as reports write it, such as 4K", _check_size, _SIZES)
CHANGE = Variable(
    "two sizes, such as 1G->4K",
    _check_change,
    tuple(f"{before}->{after}" for before in _SIZES for after in _SIZES if before != after),
)
ERRNO = Variable(
    "the name of an errno, such as EAGAIN", _check_errno, ("EAGAIN", "ENOMEM", "EINVAL", "EFAULT", "EHWPOISON")
)
