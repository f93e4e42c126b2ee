# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture as an address inside the page, with no more bytes than are seen.

Matplotlib writes six decimals of a point (1/72 inch) and every place of a filled area, most of them twice.  Here a
hundredth is enough, and a line loses the points that it goes straight through, along an axis as steps do.  No turn is
lost, so no peak is.
"""

from __future__ import annotations

import re
from urllib.parse import quote

SAFE = " !$'()*+,-./:;<=>?@[]^_`{|}~"
"""What may stand in an address inside double quotes as it is; SVG is mostly that."""

PATH = re.compile(r' d="([^"]*)"')
LINES = re.compile(r"(?:[ML] -?[\d.]+ -?[\d.]+\s*)+z?\s*")
LINE = re.compile(r"M ([^Mz]*)(z?)")
DECIMALS = re.compile(r"(\.\d\d)\d+")

Point = tuple[float, float]


def address(svg: str) -> str:
    """``svg`` as an address (``data:``), made short."""
    return f"data:image/svg+xml,{quote(PATH.sub(_path, svg), safe=SAFE)}"


def _path(found: re.Match[str]) -> str:
    path = found[1]
    if LINES.fullmatch(path):
        return f' d="{LINE.sub(_line, path)}"'
    return f' d="{DECIMALS.sub(lambda number: number[1], path)}"'


def _line(found: re.Match[str]) -> str:
    points = [(round(float(x), 2), round(float(y), 2)) for x, y in (place.split() for place in found[1].split("L"))]
    kept = _turns(points)
    return f"M{' '.join(f'{x:g} {y:g}' for x, y in kept)}{found[2]}"


def _turns(points: list[Point]) -> list[Point]:
    """``points`` without those that repeat the one before, or lie between their neighbours on a line along an axis."""
    kept = points[:1]
    for point in points[1:]:
        if len(kept) > 1 and _between(kept[-2], kept[-1], point):
            kept[-1] = point
        elif point != kept[-1]:
            kept.append(point)
    return kept if len(kept) > 1 else points[:2]


def _between(first: Point, middle: Point, last: Point) -> bool:
    """Whether ``middle`` lies on the way from ``first`` to ``last``, and that goes along an axis."""
    for across, along in ((0, 1), (1, 0)):
        if first[across] == middle[across] == last[across]:
            return first[along] <= middle[along] <= last[along] or first[along] >= middle[along] >= last[along]
    return False
