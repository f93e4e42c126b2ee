# SPDX-License-Identifier: GPL-2.0-or-later
"""Screens where only ASCII can be shown: ``LC_ALL=C``, and streams that are ASCII.

Theory of operation
-------------------
:data:`NAME` is an encoding of its own, so whoever writes to a stream that has it (click, rich, ``print``) writes ASCII:
signs become what people type for them (``≈`` is ``~``), all else that is no ASCII a question mark.  A sign that becomes
longer takes the blanks it needs from the gap beside it, so columns stay where they are.

Click takes an ASCII stream for a mistake and writes UTF-8 to it; this encoding it does not know.  What is data and not
a screen goes out as bytes, in UTF-8 (:func:`gmemsim.cli.terminal.show_data`).

What may live here: what stands for a sign.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

NAME = "gmemsim_ascii"
"""What the encoding is called."""

_SIGNS = str.maketrans(
    {
        **dict(zip("≈×µ−–—─│└├┬·÷“”‘’⌈⌉", "~xu----|`++*/\"\"''[]", strict=True)),
        "…": "...",
        "±": "+-",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "→": "->",
    }
)
_PIECE = re.compile(r" {2,}|[^ ]|  *")


def is_wanted(encoding: str, environment: Mapping[str, str]) -> bool:
    """Whether a stream of this ``encoding`` is to be ASCII: it is, or the ``environment`` asks for it by the locale.

    Python takes ``LC_ALL=C`` for UTF-8 unless it is told otherwise; who sets it wants ASCII.
    """
    try:
        plain = codecs.lookup(encoding).name == "ascii"
    except LookupError:
        plain = False
    told = environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8") == "1"
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE")
    return plain or (locale in ("C", "POSIX") and not told)


def as_ascii(text: str) -> str:
    """``text`` in ASCII, each line as wide as it was wherever there are gaps of two blanks.

    >>> print(as_ascii("peak ≤ 3  |  ≈ 5 µs ± 1"))
    peak <= 3 | ~ 5 us +- 1
    """
    if text.isascii():
        return text
    return "".join(line if line.isascii() else _line(line) for line in text.splitlines(keepends=True))


def _line(line: str) -> str:
    made: list[str] = []
    owed = 0
    for piece in _PIECE.findall(line.rstrip("\n")):
        if piece.isspace() and owed and len(piece) > 1:
            taken = min(owed, len(piece) - 1)
            piece, owed = piece[taken:], owed - taken
        sign = piece.translate(_SIGNS)
        owed += len(sign) - len(piece)
        if sign != piece and piece == "±":
            owed -= _taken_before(made)
        made.append(sign)
    return "".join(made) + line[len(line.rstrip("\n")) :]


def _taken_before(made: list[str]) -> int:
    """Take a blank from the last gap in ``made``, if there is one: numbers with a deviation stand at the right."""
    for number in range(len(made) - 1, -1, -1):
        if len(made[number]) > 1 and made[number].isspace():
            made[number] = made[number][1:]
            return 1
    return 0


def _encode(text: str, _errors: str = "strict") -> tuple[bytes, int]:
    return as_ascii(text).encode("ascii", "replace"), len(text)


class _Encoder(codecs.IncrementalEncoder):
    def encode(self, text: str, final: bool = False) -> bytes:
        return _encode(text)[0]


def _found(name: str) -> codecs.CodecInfo | None:
    if name != NAME:
        return None
    return codecs.CodecInfo(_encode, codecs.ascii_decode, incrementalencoder=_Encoder, name=NAME)


codecs.register(_found)
