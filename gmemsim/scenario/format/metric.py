# SPDX-License-Identifier: GPL-2.0-or-later
"""Which metrics there are: the dotted paths into a run's summary that an expectation can name.

Theory of operation
-------------------
What is absent from a summary counts as 0 (no split of 1G ever happened), so a misspelt path would be an
expectation that silently compares with 0.  Therefore a path is checked when the file is read, by walking it
down :data:`ROOT`, a tree of the summary's keys (DESIGN.md, the ``--json`` object).  A step down is a fixed
key or, where keys depend on the run, a :class:`Scalar` kind that reads one.  A new part of the summary is a
new line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.work import PHASES
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.format.kinds import LONGEST_SCALAR, Errno, Scalar
from gmemsim.scenario.model import STEPS
from gmemsim.units import parse_size, size_name


@attrs.frozen
class FolioSize(Scalar):
    """A folio's size as reports write it: ``4K``, not ``4096B``."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "a size as reports write it, such as 4K"

    def read(self, text: str, *, plain: bool) -> str:
        """The size's name."""
        try:
            canonical = size_name(parse_size(text))
        except ValueError:
            raise self.wrong(text) from None
        if canonical != text or text == "0":
            raise self.wrong(text)
        return text


@attrs.frozen
class Change(Scalar):
    """A split or a merge: two sizes, ``1G->4K``."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "two sizes, such as 1G->4K"

    def read(self, text: str, *, plain: bool) -> str:
        """The change's name."""
        before, arrow, after = text.partition("->")
        if not arrow:
            raise self.wrong(text)
        sizes = [FolioSize("").read(size, plain=plain) for size in (before, after)]
        if sizes[0] == sizes[1]:
            raise self.wrong(text)
        return text


Tree = Mapping[str | Scalar, Any] | None
"""What may follow: fixed keys and kinds that read a key; ``None``: the path ends, here is a number."""

OUTCOMES = ("optimise_failures", "rollback_failures", "inconsistent_pages")
"""What can go wrong without an errno, counted per guest and in all."""

_Keys = Mapping[str | Scalar, Any]

_TALLY: _Keys = dict.fromkeys(("live", "peak", "allocated", "freed", "live_bytes", "peak_bytes"))
_ACCOUNTS: _Keys = dict.fromkeys((*ACCOUNTS, "total"), _TALLY)
_CALLS: _Keys = {"requested": None, "succeeded": None, "failed": {Errno(""): None}}
_COMMON: _Keys = {
    **_ACCOUNTS,  # "accounts." may be left out
    "accounts": _ACCOUNTS,
    "conversions": _CALLS,
    "splits": {Change(""): None},
    "merges": {Change(""): None},
    "folios": {FolioSize(""): None},
    "outcomes": dict.fromkeys(OUTCOMES),
}
PER_GUEST: _Keys = {**_COMMON, "memory": None, "backing": None, "filemap_nodes_charged": None}
"""What ``guests.NAME.`` and ``guests.0.`` lead to."""

ROOT: _Keys = {
    **_COMMON,
    "end_time_ns": None,
    "modelled_time_ns": dict.fromkeys((*PHASES.values(), "total")),
    "calls": dict.fromkeys((step.key for step in STEPS if step.can_fail), _CALLS),
    "estimates": {"attributes": {"live_at_least": None, "live_at_most": None}},
    "slabs_at_least_bytes": dict.fromkeys(ACCOUNTS),
}
"""The summary of a run; below ``guests`` come their names, which :class:`Metric` knows, and :data:`PER_GUEST`."""


@attrs.frozen
class Metric(Scalar):
    """A path into the summary of a run with these ``guests`` (``None``: not known, any name will do)."""

    guests: tuple[str, ...] | None = attrs.field(default=None, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "a metric such as filemap_nodes.peak or splits.1G->4K"

    def read(self, text: str, *, plain: bool) -> str:
        """The path itself, once every part of it is known."""
        if len(text) > LONGEST_SCALAR:
            raise self.wrong(text)
        parts = text.split(".")
        tree: Tree = ROOT
        if parts[0] == "guests":
            if len(parts) < 3:
                raise ValueError(f"found {quote(text)}, expected guests.NAME. and a metric of that guest")
            self._check_guest(parts[1])
            parts, tree = parts[2:], PER_GUEST
        for part in parts:
            if tree is None:
                raise ValueError(f"found {quote(part)} after the end of a metric, expected {self.expected}")
            tree = _descend(tree, part, more=("guests",) if tree is ROOT else ())
        if tree is not None:
            keys = ", ".join(key if isinstance(key, str) else key.expected for key in tree)
            raise ValueError(f"found {quote(text)}, which is not a number, expected one more part: {keys}")
        return text

    def _check_guest(self, part: str) -> None:
        known = self.guests
        if known is None or part in known:
            return
        if part.isascii() and part.isdigit():
            if len(part) <= 6 and int(part) < len(known):
                return
            raise ValueError(f"found guest {quote(part)}, expected a number below {len(known)}")
        raise ValueError(f"found {quote(part)}, expected the name of a guest{did_you_mean(part, known)}")

    def json(self) -> dict[str, Any]:
        """A string with dots."""
        return {"type": "string", "pattern": r"^[A-Za-z0-9_>-]+(\.[A-Za-z0-9_>-]+)*$"}


def _descend(tree: Mapping[str | Scalar, Any], part: str, more: tuple[str, ...]) -> Tree:
    """What ``part`` leads to below ``tree``; ``ValueError`` if it leads nowhere."""
    below: Tree
    if part in tree:
        below = tree[part]
        return below
    for key, below in tree.items():
        if isinstance(key, Scalar):
            key.read(part, plain=True)
            return below
    known = (*(key for key in tree if isinstance(key, str)), *more)
    hint = did_you_mean(part, known) or f" ({', '.join(known)})"
    raise ValueError(f"found {quote(part)}, expected a part of the summary{hint}")
