# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree of the XArray as an indented text; what is shown is decided in :mod:`gmemsim.xarray.lab.show`."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from gmemsim.reports.words import marks_of, tree_summary
from gmemsim.xarray.lab.show import Children, NodePicture, Part, Picture, Rest


def render(shown: Picture) -> Tree:
    """The picture as an indented text."""
    top = Tree(Text(tree_summary(shown)), guide_style="dim")
    if isinstance(shown.head, str):
        top.add(Text(f"entry in the head: {shown.head}"))
    elif shown.head is not None:
        _grow(top.add(Text(_fields(shown.head))), shown.head)
    return top


def _grow(branch: Tree, node: NodePicture) -> None:
    for part in node.parts:
        below = branch.add(Text(f"{_slots(part)}: {_label(part)}"))
        if isinstance(part, Children):
            _grow(below, part.child)


def _slots(part: Part) -> str:
    if isinstance(part, Rest):
        return f"from {part.first}"
    last = part.first + part.slots - 1
    return str(part.first) if last == part.first else f"{part.first}-{last}"


def _label(part: Part) -> str:
    if isinstance(part, Rest):
        return f"not shown: {part.slots} children with {part.nodes:,} nodes"
    times = f"{part.number} × " if part.number > 1 else ""
    if isinstance(part, Children):
        return f"{times}node {_fields(part.child, each=part.number > 1)}"
    width = f", {part.width} slots{' each' if part.number > 1 else ''}" if part.width > 1 else ""
    return f"{times}{part.entry} (order {part.order}{width}){marks_of(part.marks)}"


def _fields(node: NodePicture, *, each: bool = False) -> str:
    nodes = f", {node.nodes:,} nodes{' each' if each else ''}" if node.nodes > 1 else ""
    uniform = ", uniform" if node.uniform else ""
    return (
        f"shift {node.shift}, offset {node.offset}, index {node.base}: count {node.count}, nr_values {node.nr_values}"
        f"{nodes}{uniform}{marks_of(node.marks)}"
    )
