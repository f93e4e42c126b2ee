# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree of the XArray as a figure; what is shown is decided in :mod:`gmemsim.xarray.lab.show`.

A node is a strip of its slots: entries in colour, children in grey with a line to the child below, empty slots white.
A child that stands for many alike is drawn once, as a pile with the number beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle

from gmemsim.reports.figures import canvas
from gmemsim.reports.words import tree_summary
from gmemsim.xarray.lab.show import Children, Entries, NodePicture, Picture, Rest, picture
from gmemsim.xarray.tree import Tree

NODE_WIDTH, NODE_GAP = 2.2, 0.45
"""Inches: a node's strip of slots, and the space to the next one."""

STRIP_HEIGHT, LEVEL_HEIGHT = 0.2, 1.05
"""Inches: the strip, and from one level to the next."""

PILE = 0.05
"""Inches by which the sheets of a pile stand out."""

MARGIN = 0.35
"""Inches around the drawing."""

MOST_COLUMNS = 8
"""Nodes side by side that are still readable on a screen."""

ENTRY_COLOURS = canvas.OKABE_ITO[:-1]
"""Colours of entries in turn; the grey of :data:`~gmemsim.reports.figures.canvas.OKABE_ITO` means nodes here."""

CHILD_GREY, BEAM, EMPTY, LINE = "#bbbbbb", "#f2f2f2", "#ffffff", "#555555"

UNDERLAY = {"boxstyle": "round,pad=0.12", "facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.85}
"""What text stands on, so that no line runs through it."""

WIDE_ENOUGH = 0.3
"""Inches of slots in which an entry's name can be read."""

LETTER = 0.06
"""Inches that a letter of such a name takes."""


@attrs.frozen
class NodePlace:
    """Where a node is drawn: the left end of its strip and its top, inches; and how many it stands for."""

    node: NodePicture
    left: float
    top: float
    number: int
    below: tuple[NodePlace, ...]
    """The places of its children, group by group."""


def write(tree: Tree, title: str, path: Path) -> None:
    """Draw ``tree`` to ``path`` (``.png`` or ``.svg``); where it is too broad, nodes are left out, and counted."""
    shown = fitting(tree)
    canvas.save(lambda: draw(shown, title), path)


def fitting(tree: Tree) -> Picture:
    """The most detailed picture that is not too broad for a figure."""
    for most in (8, 6, 5, 4, 3, 2):
        shown = picture(tree, most=most)
        if columns(shown) <= MOST_COLUMNS:
            return shown
    return picture(tree, most=1)


def columns(shown: Picture) -> int:
    """Nodes that the picture has side by side."""
    return _columns(shown.head) if isinstance(shown.head, NodePicture) else 1


def _columns(node: NodePicture) -> int:
    return sum(_columns(part.child) for part in node.children) or 1


def _depth(node: NodePicture) -> int:
    return 1 + max((_depth(part.child) for part in node.children), default=0)


def draw(shown: Picture, title: str) -> Figure:
    """The figure of a picture."""
    head = shown.head
    depth = _depth(head) if isinstance(head, NodePicture) else 1
    width = max(columns(shown) * (NODE_WIDTH + NODE_GAP) + 2 * MARGIN, canvas.WIDTH)
    height = depth * LEVEL_HEIGHT + 2 * MARGIN + 0.55
    fig = Figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.text(MARGIN, height - MARGIN, title, fontsize=9.5, fontweight="bold", va="center", parse_math=False)
    ax.text(MARGIN, height - MARGIN - 0.2, tree_summary(shown), fontsize=7, va="center", parse_math=False)
    if isinstance(head, NodePicture):
        colours = _colours(head)
        _draw_node(ax, _place(head, MARGIN, height - MARGIN - 0.55, width - 2 * MARGIN), colours)
        _legend(ax, colours)
    elif head is not None:
        ax.text(MARGIN, height / 2, f"entry in the head: {head}", fontsize=8, parse_math=False)
    return fig


def _place(node: NodePicture, left: float, top: float, width: float, number: int = 1) -> NodePlace:
    """Where ``node`` and all below it go, within ``width`` inches from ``left`` on."""
    below, start = [], left
    for part in node.children:
        share = width * _columns(part.child) / _columns(node)
        below.append(_place(part.child, start, top - LEVEL_HEIGHT, share, part.number))
        start += share
    return NodePlace(node, left + (width - NODE_WIDTH) / 2, top, number, tuple(below))


def _colours(head: NodePicture) -> dict[str, str]:
    """A colour for each entry, in the order in which they appear: those that follow each other are told apart."""
    names = dict.fromkeys(_entries(head))
    return {name: ENTRY_COLOURS[n % len(ENTRY_COLOURS)] for n, name in enumerate(names)}


def _entries(node: NodePicture) -> Iterator[str]:
    for part in node.parts:
        if isinstance(part, Entries):
            yield part.entry
        elif isinstance(part, Children):
            yield from _entries(part.child)


def _draw_node(ax: Axes, place: NodePlace, colours: dict[str, str]) -> None:
    node, bottom = place.node, place.top - STRIP_HEIGHT
    if place.number > 1:
        for sheet in (2, 1):
            shift = sheet * PILE
            ax.add_patch(_box(place.left + shift, bottom - shift, NODE_WIDTH, EMPTY))
        ax.text(place.left - 0.05, bottom + STRIP_HEIGHT / 2, f"{place.number} ×", fontsize=7, ha="right", va="center")
    ax.add_patch(_box(place.left, bottom, NODE_WIDTH, EMPTY))
    ax.text(place.left, place.top + 0.06, _heading(node), fontsize=6.5, va="bottom", parse_math=False, bbox=UNDERLAY)
    slot = NODE_WIDTH / node.size
    for part in node.parts:
        if isinstance(part, Entries):
            _draw_entries(ax, part, place.left + part.first * slot, bottom, slot, colours[part.entry])
        else:
            for child in part.where if isinstance(part, Rest) else range(part.first, part.first + part.number):
                ax.add_patch(_box(place.left + child * slot, bottom, slot, CHILD_GREY))
    ax.text(
        place.left,
        bottom - 0.1 - (2 * PILE if place.number > 1 else 0),
        _footing(node),
        fontsize=6,
        va="top",
        color=LINE,
        parse_math=False,
        bbox=UNDERLAY,
    )
    for part, below in zip(node.children, place.below, strict=True):
        start = place.left + part.first * slot
        end = start + part.slots * slot
        beam = [(start, bottom), (end, bottom), (below.left + NODE_WIDTH, below.top), (below.left, below.top)]
        ax.add_patch(Polygon(beam, facecolor=BEAM, edgecolor=CHILD_GREY, linewidth=0.4, zorder=0))
        _draw_node(ax, below, colours)


def _draw_entries(ax: Axes, part: Entries, left: float, bottom: float, slot: float, colour: str) -> None:
    width = part.slots * slot
    for number in range(part.number):
        ax.add_patch(_box(left + number * part.width * slot, bottom, part.width * slot, colour))
    if part.marks:
        flags = "".join(map(str, part.marks))
        ax.text(left + width / 2, bottom - 0.01, f"▲{flags}", fontsize=4.5, ha="center", va="top")
    label = f"{part.number} × {part.entry}" if part.number > 1 else part.entry
    if width >= max(WIDE_ENOUGH, LETTER * len(label)):
        ax.text(
            left + width / 2,
            bottom + STRIP_HEIGHT / 2,
            label,
            fontsize=6,
            ha="center",
            va="center",
            parse_math=False,
            bbox=UNDERLAY,
        )


def _heading(node: NodePicture) -> str:
    return f"shift {node.shift}   offset {node.offset}   index {node.base:,}"


def _footing(node: NodePicture) -> str:
    hidden = sum(part.nodes for part in node.parts if isinstance(part, Rest))
    marks = f"   marks {' '.join(map(str, node.marks))}" if node.marks else ""
    rest = f"   not shown: {hidden:,} nodes" if hidden else ""
    return f"count {node.count}   values {node.nr_values}{marks}{rest}"


def _box(left: float, bottom: float, width: float, colour: str) -> Rectangle:
    return Rectangle((left, bottom), width, STRIP_HEIGHT, facecolor=colour, edgecolor=LINE, linewidth=0.3)


def _legend(ax: Axes, colours: dict[str, str]) -> None:
    handles = [Patch(facecolor=colour, label=canvas.short(name)) for name, colour in colours.items()]
    more = len(handles) - len(ENTRY_COLOURS)
    if more > 0:
        handles = [*handles[: len(ENTRY_COLOURS)], Patch(facecolor=EMPTY, label=f"{more:,} more, same colours in turn")]
    handles += [Patch(facecolor=CHILD_GREY, label="node"), Patch(facecolor=EMPTY, edgecolor=LINE, label="empty")]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.01, 0.0),
        ncols=5,
        frameon=False,
        fontsize=6.5,
        handlelength=1,
    )
