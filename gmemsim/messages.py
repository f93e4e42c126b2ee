# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that messages are made of: quoted input, and what was probably meant.

Every message about input says what was found and what was expected.  What belongs into such a message and is needed by
more than one room lives here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHOWN = 40
"""Characters of a wrong value that a message repeats."""

COMPARED = 200
"""Characters of a wrong value that are compared with what is known: the cost is quadratic in them."""

CLOSE = 0.66
"""How alike two words must be, from 0 to 1, as difflib says: at its usual 0.6 ``pages`` would be ``guest``."""

LEAST_BEGUN = 3
"""Characters of the beginning of a name that are taken for the name."""

MOST_NAMED = 3
"""Names before a message that is the same for more."""

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of text, and halves of characters (bytes that are no UTF-8)."""


def quote(text: str) -> str:
    r"""``text`` as a message shows it: quoted, on one line whatever it holds, cut after :data:`SHOWN` characters.

    >>> print(quote("two\nlines"))
    'two\nlines'
    """
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def shown(text: str) -> str:
    """``text`` as it is if it is short and printable, else as :func:`quote` shows it."""
    return text if text.isprintable() and len(text) <= SHOWN else quote(text)


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """``", did you mean 'staged'?"`` if one of ``known`` is close to ``found``, or one alone begins so; else nothing.

    Case is ignored.

    >>> did_you_mean("Stagd", ["uniform", "staged"])
    ", did you mean 'staged'?"
    >>> did_you_mean("pages", ["guest", "count"])
    ''
    """
    from difflib import get_close_matches  # slow to import, and most commands have nothing to suggest

    folded = {name.lower(): name for name in known}
    typed = found.lower()[:COMPARED]
    close = get_close_matches(typed, folded, n=1, cutoff=CLOSE)
    if not close and len(typed) >= LEAST_BEGUN:
        begun = [name for name in folded if name.startswith(typed)]
        close = begun if len(begun) == 1 else []
    return f", did you mean {folded[close[0]]!r}?" if close else ""


def visible(text: str, *, keep: str = "") -> str:
    r"""``text`` for a terminal: every character that would not be seen is shown as ``\x1b`` or the like.

    Characters in ``keep`` stay (default: none).

    >>> print(visible("red\x1b[31m\n"))
    red\x1b[31m\n
    """
    return _UNSEEN.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode("ascii"), text)


def together(said: Iterable[tuple[str, str]]) -> list[str]:
    """``"name: message"`` of every pair; a message that is the same for several names once, with their number.

    >>> together([("a", "no"), ("b", "yes"), ("c", "no"), ("c", "no")])
    ['a, c: no', 'b: yes']
    >>> together((name, "no") for name in "abcde")
    ['a, b, c and 2 more: no']
    """
    return [f"{names}: {message}" for message, names in named_by_message(said).items()]


def named_by_message(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of pairs of a name and a message: for every message the names that have it, in words."""
    having: dict[str, dict[str, None]] = {}
    for name, message in said:
        having.setdefault(message, {})[name] = None
    return {message: _listed(list(names)) for message, names in having.items()}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
