# SPDX-License-Identifier: GPL-2.0-or-later
"""A registry: what may be chosen by name, one row each.

A name is looked up once, where it comes in (a file, the command line, Python); later code holds the row itself.  So a
row that a test or a user adds works wherever a shipped one does, and an unknown name is refused at the door.

A row whose code is slow to import names it as ``"package.module:function"``; :func:`late` imports it on use.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar

from gmemsim.messages import did_you_mean, quote

Row = TypeVar("Row")


class Registry(Generic[Row]):
    """Rows by name, in the order in which they were added; ``what`` messages call one of them.

    >>> sizes = Registry[int]("size")
    >>> sizes.add("small", 4096)
    4096
    >>> sizes["small"], sizes.names()
    (4096, ('small',))
    >>> sizes["smal"]
    Traceback (most recent call last):
    ValueError: size is 'smal', expected one of small, did you mean 'small'?
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._rows: dict[str, Row] = {}

    def add(self, name: str, row: Row) -> Row:
        """Add ``row`` under ``name`` and return it; ``ValueError`` if the name is taken."""
        if name in self._rows:
            raise ValueError(f"there is a {self.what} {name!r} already")
        self._rows[name] = row
        return row

    def remove(self, name: str) -> None:
        """Take the row ``name`` out again, as a test does with one of its own."""
        del self._rows[name]

    def __getitem__(self, name: str) -> Row:
        """The row ``name``; ``ValueError`` with what there is, and what was probably meant."""
        row = self._rows.get(name)
        if row is None:
            known = ", ".join(self._rows)
            raise ValueError(f"{self.what} is {quote(name)}, expected one of {known}{did_you_mean(name, self._rows)}")
        return row

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self._rows)

    def rows(self) -> tuple[Row, ...]:
        """All rows."""
        return tuple(self._rows.values())

    def items(self) -> tuple[tuple[str, Row], ...]:
        """All names with their rows."""
        return tuple(self._rows.items())


def late(place: str) -> Any:
    """What ``place``, ``"package.module:name"``, names; the module is imported if it has not been.

    >>> late("gmemsim.units:parse_size")("4K")
    4096
    """
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
