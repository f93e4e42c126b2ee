# SPDX-License-Identifier: GPL-2.0-or-later
"""What a page is made of, as values, and each as HTML.

A block knows how it looks with scripts (``live``) and without.  Where it is nothing, its HTML is empty.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from gmemsim.reports.page.svg import address


def text(words: object) -> str:
    """``words`` as text of the page, whatever characters are in them."""
    return html.escape(str(words))


class Block(Protocol):
    """A part of a section."""

    def html(self, *, live: bool) -> str:
        """The block's HTML; ``live``: whether the page has scripts."""


@attrs.frozen
class Cell:
    """A cell of a table: its words, the number it is sorted by (default: its words), and its ``kind`` (default: none).

    Kinds: ``good``, ``bad``, and ``long`` for words that are wrapped and begin at the left.
    """

    words: str
    value: float | None = None
    kind: str = ""

    def html(self, tag: str = "td") -> str:
        """The cell."""
        value = "" if self.value is None else f' data-v="{self.value!r}"'
        kind = f' class="{text(self.kind)}"' if self.kind else ""
        return f"<{tag}{kind}{value}>{text(self.words)}</{tag}>"


@attrs.frozen(eq=False)
class Table:
    """A table called ``name``.  With a ``header`` it can be sorted in a live page.

    ``wordy`` (default: no): its cells are words, which may be wrapped.  ``last_is_sum`` (default: no): the last row
    stays the last.
    """

    name: str
    header: Sequence[str]
    rows: Iterable[Sequence[object]]
    wordy: bool = False
    last_is_sum: bool = False

    def html(self, *, live: bool) -> str:
        """The table, in a box that can be scrolled sideways."""
        body = ["".join(_cell(cell).html() for cell in row) for row in self.rows]
        rows = [f"<tr>{cells}</tr>" for cells in body]
        if self.last_is_sum and body:
            rows[-1] = f'<tr class="sum">{body[-1]}</tr>'
        sortable = live and self.header and len(body) > 1
        heads = "".join(_head(name, sortable=bool(sortable)) for name in self.header)
        head = f"<thead><tr>{heads}</tr></thead>" if self.header else ""
        kinds = [name for name, given in (("words", self.wordy), ("sortable", sortable)) if given]
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        box = f'class="wide" tabindex="0" role="region" aria-label="{text(self.name)}"'
        return f"<div {box}><table{kind}>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def _cell(value: object) -> Cell:
    return value if isinstance(value, Cell) else Cell(str(value))


def _head(name: str, *, sortable: bool) -> str:
    words = text(name)
    return f'<th scope="col">{f"<button>{words}</button>" if sortable and name else words}</th>'


@attrs.frozen
class Words:
    """A paragraph; ``kind``: ``facts`` for what is said by the way (default: none)."""

    words: str
    kind: str = ""

    def html(self, *, live: bool) -> str:
        """The paragraph."""
        kind = f' class="{text(self.kind)}"' if self.kind else ""
        return f"<p{kind}>{text(self.words)}</p>" if self.words else ""


@attrs.frozen
class Source:
    """Text as it is, cut after ``most`` characters, which is said."""

    content: str
    most: int

    def html(self, *, live: bool) -> str:
        """The text."""
        cut = self.content[: self.most]
        rest = Words(f"… {len(self.content) - len(cut):,} more characters.", "facts") if cut != self.content else None
        return f'<pre tabindex="0">{text(cut)}</pre>{rest.html(live=live) if rest else ""}'


@attrs.frozen(eq=False)
class Picture:
    """A figure as an image; ``draw`` writes it as SVG to a path; the caption is also its name for who cannot see it.

    ``unless_live`` (default: no): only for pages without scripts, where it stands in for a plot.
    """

    caption: str
    draw: Callable[[Path], None]
    unless_live: bool = False

    def html(self, *, live: bool) -> str:
        """The image, inside the page."""
        if live and self.unless_live:
            return ""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "figure.svg")
            self.draw(path)
            data = address(path.read_text(encoding="utf-8"))
        caption = text(self.caption)
        image = f'<img alt="{caption}" src="{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


@attrs.frozen(eq=False)
class Plot:
    """A plot for Plotly, in a live page only: ``traces`` and ``layout`` as Plotly's own; ``height`` in CSS pixels.

    ``bytes_axes``: names of the layout's axes that count bytes.  ``name`` must be unique on a page, ``caption`` stands
    below.

    The page's script makes Plotly's traces of ours: of a trace with ``steps`` each value holds until the next ``x``;
    one that is ``stacked`` is drawn on those before it, its own values becoming ``customdata``; one with ``size`` has
    the colour of that class of sizes, and one that is ``around`` it sets it off; one with ``rows``, texts with a digit
    for every class, and ``names`` of the classes, is a map.  ``palettes`` are the colours of the classes, and of no
    memory, on ``light`` and on ``dark`` paper.
    """

    name: str
    caption: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int
    bytes_axes: Sequence[str] = ()
    palettes: Mapping[str, Sequence[str]] = attrs.field(factory=dict)

    def html(self, *, live: bool) -> str:
        """The place of the plot; the page's script draws it."""
        if not live:
            return ""
        place = f'<div class="plot" id="{text(self.name)}" role="group" aria-label="{text(self.caption)}"'
        style = f'style="height:{self.height}px"'
        return f"<figure>{place} {style}></div><figcaption>{text(self.caption)}</figcaption></figure>"

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs."""
        layout = {**self.layout, "height": self.height}
        return {
            "id": self.name,
            "traces": self.traces,
            "layout": layout,
            "bytes": list(self.bytes_axes),
            "palettes": self.palettes,
        }


@attrs.frozen(eq=False)
class Records:
    """A long table that the page's script shows a part of, filtered: ``columns`` by name, in a live page only.

    A column is a list of numbers or of words; ``note`` says what is left out.
    """

    name: str
    columns: Mapping[str, Sequence[object]]
    note: str

    def html(self, *, live: bool) -> str:
        """The place of the table, with its controls."""
        if not live:
            return ""
        name, key = text(self.name), text(self.name.replace(" ", "-"))
        return (
            f'<div class="records" id="{key}"><p><label>Show {name} with <input type="search" class="find"'
            ' placeholder="words"></label> <label><input type="checkbox" class="failed"> failed only</label>'
            ' <span class="count" role="status"></span></p>'
            f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table><thead></thead><tbody></tbody>'
            '</table></div><p><button class="more">Show more</button></p>'
            f"{Words(self.note, 'facts').html(live=live)}</div>"
        )

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs: words are numbered, each is written once; one that all rows have needs no number."""
        columns: list[dict[str, object]] = []
        for name, values in self.columns.items():
            if all(isinstance(value, int | float | None) for value in values):
                columns.append({"name": name, "values": list(values)})
            else:
                numbers: dict[object, int] = {}
                numbered = [numbers.setdefault(value, len(numbers)) for value in values]
                words: dict[str, object] = {"name": name, "words": [str(word) for word in numbers]}
                columns.append(words if len(numbers) == 1 else {**words, "values": numbered})
        return {"id": self.name.replace(" ", "-"), "columns": columns}


@attrs.frozen(eq=False)
class Section:
    """A part of a page with a heading; without blocks that say anything it is left out."""

    title: str
    blocks: Sequence[Block]

    def html(self, *, live: bool, anchor: str) -> str:
        """The section, or nothing."""
        content = "\n".join(filter(None, (block.html(live=live) for block in self.blocks)))
        return f'<section id="{anchor}"><h2>{text(self.title)}</h2>\n{content}\n</section>' if content else ""


@attrs.frozen(eq=False)
class Page:
    """A whole page: its title, a line of facts below that, and its sections."""

    title: str
    facts: str
    sections: Sequence[Section]
