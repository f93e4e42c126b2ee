# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of a tree, small enough to look at: what :mod:`gmemsim.reports.figures.treeview` draws.

Theory of operation
-------------------
Every node becomes a :class:`NodePicture`, whose slots are folded into *parts*: neighbouring entries that are equal in
all that shows, and neighbouring children that look the same all the way down.  So a Uniform, which stands for
thousands of nodes, is one child with a number before it, and 64 nodes made one by one that look alike fold likewise.
Where a node is, its offset and its first index, does not count for looking alike.

Nothing here draws or prints; a picture is a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from gmemsim.xarray.dump import token
from gmemsim.xarray.node import MARKS, Node, NodeLike, Sibling, Uniform, entry_width, order_in
from gmemsim.xarray.tree import Tree

Marks = tuple[int, ...]
"""The numbers of the marks that are set."""


@attrs.frozen
class Entries:
    """``number`` equal entries of ``order`` side by side, each ``width`` slots wide, from slot ``first`` on.

    ``entry`` is what the dump writes for one, ``marks`` are those that it has.
    """

    first: int
    number: int
    width: int
    order: int
    entry: str
    marks: Marks

    @property
    def slots(self) -> int:
        """Slots that they take in all."""
        return self.number * self.width


@attrs.frozen
class Children:
    """``number`` children that look alike, from slot ``first`` on; ``child`` is the first of them."""

    first: int
    number: int
    child: NodePicture

    @property
    def slots(self) -> int:
        """Slots that they take: one each."""
        return self.number


@attrs.frozen
class Rest:
    """Children that are not shown: ``where`` has their slots, ``nodes`` counts the nodes of all of them."""

    where: tuple[int, ...]
    nodes: int

    @property
    def first(self) -> int:
        """The slot of the first of them."""
        return self.where[0]

    @property
    def slots(self) -> int:
        """Slots that they take: one each."""
        return len(self.where)


Part = Entries | Children | Rest


@attrs.frozen
class NodePicture:
    """One node: its fields ``shift``, ``offset``, ``count`` and ``nr_values``, the ``marks`` that something below it
    has.

    ``nodes`` are those of its subtree, itself included; ``parts`` what is in it in slot order (empty slots are left
    out).
    """

    shift: int
    offset: int = attrs.field(eq=False)
    base: int = attrs.field(eq=False)
    """First index below the node."""
    size: int
    """Slots it has."""
    count: int
    nr_values: int
    marks: Marks
    nodes: int
    uniform: bool
    """Whether one Uniform stands for it and all below it."""
    parts: tuple[Part, ...]

    @property
    def children(self) -> list[Children]:
        """The parts that are nodes."""
        return [part for part in self.parts if isinstance(part, Children)]


@attrs.frozen
class Picture:
    """A tree: in ``head`` its top node, or the lone entry in its head, or ``None``; with so many ``nodes``, and its
    ``marks``.
    """

    head: NodePicture | str | None
    nodes: int
    marks: Marks


def picture(tree: Tree, *, most: int | None = None) -> Picture:
    """The picture of ``tree``, with at most ``most`` groups of children below each node (default: all)."""
    marks = tuple(mark for mark in range(MARKS) if tree.marks >> mark & 1)
    head = tree.head
    if isinstance(head, Node):
        return Picture(_node(head, 0, 0, most), tree.nodes, marks)
    return Picture(None if head is None else token(head), 0, marks)


def _node(node: NodeLike, offset: int, base: int, most: int | None) -> NodePicture:
    parts = sorted([*_entries(node), *_shown(_children(node, base, most), most)], key=lambda part: part.first)
    return NodePicture(
        shift=node.shift,
        offset=offset,
        base=base,
        size=len(node.view()),
        count=node.count,
        nr_values=node.nr_values,
        marks=tuple(mark for mark in range(MARKS) if node.marks[mark]),
        nodes=node.nodes,
        uniform=isinstance(node, Uniform),
        parts=tuple(parts),
    )


def _children(node: NodeLike, base: int, most: int | None) -> list[Children]:
    """The children, neighbours that look alike together."""
    groups: list[Children] = []
    before: object = None
    for slot, child in enumerate(node.view()):
        if not isinstance(child, NodeLike):
            continue
        adjacent = bool(groups) and groups[-1].first + groups[-1].number == slot
        alike = adjacent and child is before
        if not alike:
            seen = _node(child, slot, base + (slot << node.shift), most)
            alike = adjacent and seen == groups[-1].child
        if alike:
            groups[-1] = attrs.evolve(groups[-1], number=groups[-1].number + 1)
        else:
            groups.append(Children(slot, 1, seen))
        before = child
    return groups


def _shown(children: Sequence[Children], most: int | None) -> Iterator[Children | Rest]:
    """The first ``most`` groups, and how many nodes the others have."""
    if most is None or len(children) <= most:
        yield from children
        return
    yield from children[:most]
    hidden = children[most:]
    where = [slot for part in hidden for slot in range(part.first, part.first + part.number)]
    yield Rest(tuple(where), sum(part.number * part.child.nodes for part in hidden))


def _entries(node: NodeLike) -> Iterator[Entries]:
    """The entries, equal neighbours together, siblings folded into the entry that they belong to."""
    pending: Entries | None = None
    slots = node.view()
    for slot, entry in enumerate(slots):
        if entry is None or isinstance(entry, (NodeLike, Sibling)):
            continue
        marks = tuple(mark for mark in range(MARKS) if node.marks[mark] >> slot & 1)
        found = Entries(slot, 1, entry_width(slots, slot), node.shift + order_in(slots, slot), token(entry), marks)
        if pending is not None and _follows(pending, found):
            pending = attrs.evolve(pending, number=pending.number + 1)
            continue
        if pending is not None:
            yield pending
        pending = found
    if pending is not None:
        yield pending


def _follows(entries: Entries, entry: Entries) -> bool:
    """Whether ``entry`` is one more of ``entries``, right behind them."""
    return attrs.evolve(entry, first=entries.first, number=entries.number) == entries and (
        entry.first == entries.first + entries.slots
    )
