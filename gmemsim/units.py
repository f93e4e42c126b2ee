# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes and times as people write them: ``"1G"``, ``"10ms"``.

Sizes are binary (``K`` = 1024 bytes, as the kernel's ``memparse`` reads them) and are handled as an int of bytes;
times are an int of nanoseconds.  Every number needs a unit, except a plain ``0`` and hexadecimal addresses: a size
without a unit is the classic mistake of scenario files, so it is refused instead of guessed.
"""

from __future__ import annotations

import re
from fractions import Fraction

from gmemsim.messages import quote

_DIGITS = "0123456789"
_LONGEST_USUAL = 24


class Units(dict[str, int]):
    """Names of units, and how many of the smallest each is."""

    def usual(self, text: str) -> int:
        """What ``text`` means if it is digits, not very many, and a unit, as nearly all in a file are; else -1.

        >>> SIZE_UNITS.usual("4K"), SIZE_UNITS.usual("4k")
        (4096, -1)
        """
        unit = text.lstrip(_DIGITS)
        scale = self.get(unit)
        if scale is None or not len(unit) < len(text) <= _LONGEST_USUAL:
            return -1
        return int(text[: -len(unit)]) * scale


SIZE_UNITS = Units({"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50})
TIME_UNITS = Units({"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000})

_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_SIZE = re.compile(_NUMBER + r"\s*(?P<unit>[BKMGTP])(?:iB)?", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,32}")
_TIME = re.compile(_NUMBER + r"\s*(?P<unit>ns|us|µs|ms|s|min)")
_LOOSE = re.compile(_NUMBER + r"\s*(?P<unit>[a-zµ]+)", re.ASCII)

A_TIME = "a time with a unit (ns, us, ms, s or min), such as 10ms"
"""What messages expect of a time."""

_SPELLINGS = {
    **{f"{unit.lower()}{more}": unit for unit in "KMGTP" for more in ("", "b", "ib")},
    **{unit: unit for unit in TIME_UNITS},
    "b": "B",
    "bytes": "B",
    "nsec": "ns",
    "usec": "us",
    "msec": "ms",
    "sec": "s",
    "mins": "min",
}
"""What people write for a unit, in small letters, and what they mean."""


def size_of(value: int | str) -> int:
    """Bytes that ``value`` means: itself, or text with a unit; ``ValueError`` if it is neither.

    >>> size_of(4096), size_of("1G")
    (4096, 1073741824)
    """
    return parse_size(value) if isinstance(value, str) else value


def duration_of(value: int | str) -> int:
    """Nanoseconds that ``value`` means: itself, or text with a unit; ``ValueError`` if it is neither."""
    return parse_duration(value) if isinstance(value, str) else value


def spelling_hint(text: str, units: dict[str, int]) -> str:
    """``", did you mean '32G'?"`` for ``32GB`` and ``32g``; nothing if it is not clear which of ``units`` is meant."""
    match = _LOOSE.fullmatch(text[:40].lower())
    unit = _SPELLINGS.get(match["unit"]) if match else None
    return f", did you mean '{match['number']}{unit}'?" if match and unit in units else ""


def _exact(text: str, pattern: re.Pattern[str], units: dict[str, int], expected: str) -> Fraction:
    if text == "0":
        return Fraction(0)
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"found {quote(text)}, expected {expected}{spelling_hint(text, units)}")
    number, unit = match.groups()
    return Fraction(number) * units[unit]


def _parse(text: str, pattern: re.Pattern[str], units: dict[str, int], expected: str, smallest: str) -> int:
    match = pattern.fullmatch(text)
    if match is not None and match[1].isdigit():
        return int(match[1]) * units[match[2]]
    value = _exact(text, pattern, units, expected)
    if value.denominator != 1:
        raise ValueError(f"found {quote(text)}, which is not a whole number of {smallest}")
    return int(value)


def parse_size(text: str) -> int:
    """Bytes in ``text``: a number with one of B K M G T P (``"4K"``, ``"1.5G"``, ``"2MiB"``), or a plain ``"0"``.

    A hexadecimal number is in bytes and has no unit (``"0x1000"``).  Raises ``ValueError`` whose message says what was
    found and what was expected.
    """
    if text.lower().startswith("0x"):
        if not _HEX.fullmatch(text):
            raise ValueError(f"found {quote(text)}, expected hexadecimal digits after 0x")
        return int(text, 16)
    return _parse(text, _SIZE, SIZE_UNITS, "a size with a unit (B, K, M, G, T or P), such as 4K or 2M", "bytes")


def parse_duration(text: str) -> int:
    """Nanoseconds in ``text``: a number with one of ns us ms s min (``"10ms"``, ``"1.5s"``), or a plain ``"0"``.

    Raises ``ValueError`` whose message says what was found and what was expected.
    """
    return _parse(text, _TIME, TIME_UNITS, A_TIME, "nanoseconds")


def parse_price(text: str) -> float:
    """Nanoseconds in ``text``, as :func:`parse_duration`, but they need not be whole: ``"0.07ns"`` a byte."""
    return float(_exact(text, _TIME, TIME_UNITS, A_TIME))


def size_name(size: int) -> str:
    """The shortest exact name of ``size`` bytes: ``"4K"``, ``"1G"``, ``"1536B"``."""
    for unit in ("P", "T", "G", "M", "K"):
        if size and size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]}{unit}"
    return f"{size}B" if size else "0"


def human_size(size: float) -> str:
    """``size`` bytes for people, three significant digits: ``"16.0 MiB"``; exact below 1 KiB."""
    if abs(size) < 1024:
        return f"{size:.0f} B"
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        value, unit = value / 1024, larger
        if abs(value) < 1000:
            break
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f} {unit}"


def rounded(value: float, digits: int) -> float:
    """``value`` with so many significant digits: 1,234 with two are 1,200."""
    return float(f"{value:.{digits - 1}e}")


def human_duration(ns: float) -> str:
    """``ns`` nanoseconds for people: ``"10.0 ms"``, ``"1.50 s"``."""
    value, unit = float(ns), "ns"
    for larger in ("µs", "ms", "s"):
        if abs(value) < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "ns" else f"{value:.3g} {unit}"


def exact_duration(ns: int) -> str:
    """``ns`` nanoseconds as a scenario writes them, in the largest unit that leaves a whole number.

    >>> exact_duration(1_500_000), exact_duration(0)
    ('1500us', '0')
    """
    units = {size: name for name, size in TIME_UNITS.items() if name.isascii()}
    size = next(size for size in sorted(units, reverse=True) if ns % size == 0)
    return f"{ns // size}{units[size]}" if ns else "0"
