# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading operation traces for the commands of ``gmemsim xarray``, with errors that name the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from gmemsim.errors import Fault, InputError
from gmemsim.messages import quote, visible
from gmemsim.scenario.format.yaml import why_unreadable
from gmemsim.scenario.shipped import resolve

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree

STDIN = "-"
"""The name of standard input."""

LONGEST_LINE = 1 << 16
"""Bytes of a line at most: the lines of a trace are short, and what has none is not a trace."""


@attrs.frozen
class TraceLine:
    """One line of a trace: where it is, its kind (``#``, ``>`` or ``<``), and its text without kind and newline."""

    source: str
    number: int
    kind: str
    text: str

    def wrong(self, column: int, message: str) -> InputError:
        """The error that names this line; ``column`` counts from 1 within ``text``."""
        return InputError([Fault(self.source, self.number, column + 2, message)])


def check_readable(files: Iterable[str]) -> None:
    """Raise :class:`InputError` with a fault for every file that cannot be opened, before anything is printed."""
    faults = []
    for file in files:
        if file != STDIN:
            try:
                with Path(resolve(file)).open("rb"):
                    pass
            except (OSError, ValueError) as error:
                faults.append(Fault(file, 0, 0, f"found {why_unreadable(error)}, expected a trace"))
    if faults:
        raise InputError(faults)


def read_lines(file: str) -> Iterator[TraceLine]:
    """The lines of ``file``, blank ones left out; :class:`InputError` at the first that is not of the format."""
    source = "<stdin>" if file == STDIN else file
    with click.open_file(resolve(file), "rb") as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
            text = _decoded(source, number, raw)
            if not text.strip():
                continue
            if text[:1] != "#" and text[:2] not in ("> ", "< "):
                expected = "expected a line that begins with '# ', '> ' or '< '"
                raise InputError([Fault(source, number, 1, f"found {quote(text)}, {expected}")])
            _check_shown(source, number, text)
            yield TraceLine(source, number, text[0], text[1:] if text[0] == "#" else text[2:])


def _decoded(source: str, number: int, raw: bytes) -> str:
    """The text of a line."""
    if len(raw) > LONGEST_LINE:
        raise InputError([Fault(source, number, 1, f"found a line of more than {LONGEST_LINE:,} bytes")])
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode("utf-8")) + 1
        raise InputError([Fault(source, number, column, "found bytes that are not UTF-8")]) from None


def _check_shown(source: str, number: int, text: str) -> None:
    """Refuse what must not reach a terminal: results are printed beside the lines they belong to."""
    if visible(text, keep="\t") != text:
        column = next(i for i, character in enumerate(text, 1) if visible(character, keep="\t") != character)
        raise InputError([Fault(source, number, column, "found a control character, expected text")])


class Machine:
    """An interpreter whose errors name the line."""

    def __init__(self, *, eager: bool) -> None:
        from gmemsim.xarray.lab.interpreter import Interpreter

        self._interpreter = Interpreter(eager=eager)

    @property
    def tree(self) -> Tree:
        """The tree as it is now."""
        return self._interpreter.tree

    def execute(self, line: TraceLine) -> list[str]:
        """The result lines of the operation in ``line``."""
        from gmemsim.xarray.lab.interpreter import TraceError

        try:
            return self._interpreter.execute(line.text)
        except TraceError as error:
            raise line.wrong(error.column, str(error)) from None

    def dump(self) -> list[str]:
        """The result lines of the operation ``dump``."""
        return self._interpreter.execute("dump")
