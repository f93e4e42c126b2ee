# SPDX-License-Identifier: GPL-2.0-or-later
"""From docstrings and values to Markdown: what every page of the reference is made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
NAME = re.compile(r"vmemmap|\w*([_\\]|[a-z][A-Z])")
"""What keeps its small letter at the beginning of a sentence."""

CODE = re.compile(r"``(.+?)``", re.DOTALL)
RULE = re.compile(r"^=+(?: +=+)+$")


def prose(docstring: str | None, *, skip: Iterable[str] = ()) -> str:
    """The Markdown of a docstring: roles and doubled backquotes become code, tables and literal blocks stay as typed.

    A heading is left out, and so is a paragraph that begins with one of ``skip``.
    """
    made = []
    for paragraph in re.split(r"\n\s*\n", _rooms(inspect.cleandoc(docstring or ""))):
        lines = paragraph.splitlines()
        if len(lines) > 1 and re.fullmatch(r"-+", lines[1]):
            lines = lines[2:]
        text = "\n".join(lines).rstrip()
        if not text.strip() or text.startswith(tuple(skip)):
            continue
        if RULE.match(lines[0]) or text.startswith(("    ", ">>>")):
            made.append(f"```text\n{inspect.cleandoc(text)}\n```")
        else:
            made.append(inline(re.sub(r"::$", ":", text)))
    return "\n\n".join(made)


def _rooms(text: str) -> str:
    """``text`` with the blank lines inside of its tables taken out, which would end them.

    A table ends with a rule that nothing follows.
    """
    made: list[str] = []
    lines, inside = [*text.splitlines(), ""], False
    for line, below in pairwise(lines):
        if RULE.match(line):
            inside = not inside or bool(below.strip())
        if line.strip() or not inside:
            made.append(line)
    return "\n".join(made)


def inline(text: str) -> str:
    """``text`` of a docstring on one level: roles, doubled backquotes, and what Markdown would take for markup."""
    pieces = CODE.split(ROLE.sub(r"``\1``", text))
    return "".join(f"`{piece}`" if number % 2 else escaped(piece) for number, piece in enumerate(pieces))


def escaped(text: str) -> str:
    """``text`` with what Markdown would take for markup outside of code."""
    kept = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if number % 2 else re.sub(r"([*_<>\[\]])", r"\\\1", piece) for number, piece in enumerate(kept)
    )


def first(docstring: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    paragraph = inspect.cleandoc(docstring or "").partition("\n\n")[0]
    return inline(" ".join(paragraph.split()))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def code(value: object) -> str:
    """``value`` as code, empty if it is nothing."""
    return f"`{value}`" if value not in (None, "") else ""


def sentence(words: str) -> str:
    """``words`` with a capital and a full stop."""
    words = words.strip()
    begin = words if NAME.match(words) else words[:1].upper() + words[1:]
    return begin + ("" if words.endswith((".", "!", "?", ":")) else ".")
