# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that options were given, read together: whatever is wrong with any of them is said at once.

Theory of operation
-------------------
A command has options that may be repeated, and each of their texts means something.  :class:`Options` reads them all
and keeps what is wrong, with the option and the text in place of a file's name; at the end of its ``with`` one
:class:`~gmemsim.errors.InputError` says all of it.  What reads a text raises ``ValueError`` "found …, expected …", or
``InputError`` where the text names a file with faults of its own.

What may live here: how faults of options are collected.  What a text means is its reader's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import TypeVar

from gmemsim.errors import Fault, InputError
from gmemsim.messages import shown

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Options:
    """Reads the texts of options; ``InputError`` with all ``faults`` at the end of the ``with``.

    >>> with Options() as options:
    ...     options.read("--n", ["1", "x"], int)
    Traceback (most recent call last):
    gmemsim.errors.InputError: --n x: invalid literal for int() with base 10: 'x'
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def __enter__(self) -> Options:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.faults:
            raise InputError(self.faults)

    def wrong(self, option: str, text: str, message: str) -> None:
        """Keep that ``text`` of ``option`` is wrong, as ``message`` says."""
        self.faults.append(Fault(f"{option} {shown(text)}", 0, 0, message))

    def read(self, option: str, texts: Iterable[str], read: Callable[[str], T]) -> list[T]:
        """What ``read`` makes of each of the ``texts`` of ``option``; those that are wrong are left out."""
        return [made for _, made in self._read(option, texts, read)]

    def by_key(self, option: str, texts: Iterable[str], read: Callable[[str], tuple[K, T]], kind: str) -> dict[K, T]:
        """The pairs that ``read`` makes of the ``texts`` of ``option``, by key; a second ``kind`` of a key is wrong."""
        found: dict[K, T] = {}
        for text, (key, made) in self._read(option, texts, read):
            if key in found:
                self.wrong(option, text, f"found a second {kind} {shown(str(key))}, expected one")
            found[key] = made
        return found

    def _read(self, option: str, texts: Iterable[str], read: Callable[[str], T]) -> Iterable[tuple[str, T]]:
        for text in texts:
            try:
                yield text, read(text)
            except ValueError as error:
                self.wrong(option, text, str(error))
            except InputError as error:
                self.faults += error.faults
