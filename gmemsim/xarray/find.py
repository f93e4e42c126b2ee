# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding entries: the first at or after an index, by presence or by mark; walking over ranges of them.

Theory of operation
-------------------
A :class:`PresentWalk` and a :class:`MarkedWalk` are the kernel's ``xas_find`` and ``xas_find_marked`` as objects: each
``advance()`` goes on behind the slot found last.  They keep the path from the head, so they read Uniforms as if they
were nodes, and never change the tree.  Some of their results look odd and are the kernel's all the same:

* the first hit keeps the index asked for, even in the middle of an entry; later hits have an entry's first index;
* ``find_after`` skips an entry by comparing that index with the entry's first slot.  A marked search that starts at
  a sibling slot moves back to the entry's first index, so ``find_after`` with a mark returns the same entry again.

Ranges here are the kernel's: ``last`` is the last index of a range, not the end behind it.

What may live here: searching, never changing.  A new way down must treat Uniforms as nodes (or answer for them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, final

from gmemsim.xarray.node import (
    FREE_MARK,
    INDEX_MAX,
    ZERO,
    Node,
    NodeLike,
    Sibling,
    Uniform,
    canonical,
    entry_width,
    order_in,
)

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


class Walk:
    """What both walks share: the path from the head of ``tree``, and moving along it.

    The walk begins at ``index`` and ends behind ``last`` (inclusive, as in the kernel).  Later ``index`` and ``entry``
    are those found last.
    """

    __slots__ = ("_nodes", "_offsets", "entry", "index", "last", "started", "tree")

    def __init__(self, tree: Tree, index: int, last: int) -> None:
        self.tree = tree
        self.index = index
        self.last = last
        self.entry: object = None
        self.started = False
        self._nodes: list[NodeLike] = []
        self._offsets: list[int] = []

    def advance(self) -> bool:
        """Go to the next entry; False when there is none up to ``last``."""
        raise NotImplementedError

    def _down(self, node: NodeLike, offset: int) -> None:
        self._nodes.append(node)
        self._offsets.append(offset)

    def _up(self) -> bool:
        """To the slot after this node in its parent; False above the head."""
        self._nodes.pop()
        self._offsets.pop()
        if not self._nodes:
            return False
        self._offsets[-1] += 1
        return True

    def _move(self, offset: int) -> None:
        """To slot ``offset`` of the present node; the index becomes the first one below it."""
        node = self._nodes[-1]
        self._offsets[-1] = offset
        low = (self.tree.chunk.size << node.shift) - 1
        self.index = (self.index & ~low) + (offset << node.shift) & INDEX_MAX

    @property
    def in_sibling(self) -> bool:
        """Whether the index lies behind the first slot of the entry found, of a walk that began behind index 0."""
        shift = self._nodes[-1].shift
        return self.index & (self.tree.chunk.size << shift) - 1 > self._offsets[-1] << shift

    @property
    def base(self) -> int:
        """First index of the entry found."""
        if not self._nodes:
            return self.index
        shift = self._nodes[-1].shift
        low = (self.tree.chunk.size << shift) - 1
        return (self.index & ~low) + (self._offsets[-1] << shift)

    @property
    def order(self) -> int:
        """Order of the entry found (``xas_get_order``)."""
        if not self._nodes:
            return 0
        node = self._nodes[-1]
        return node.shift + order_in(node.view(), self._offsets[-1])

    @property
    def end(self) -> int:
        """The index after the entry found."""
        if not self._nodes:
            return self.index + 1
        node, offset = self._nodes[-1], self._offsets[-1]
        return self.base + (entry_width(node.view(), offset) << node.shift)

    def marked(self, mark: int) -> bool:
        """Whether the entry found has ``mark``."""
        if not self._nodes:
            return bool(self.tree.marks >> mark & 1)
        return bool(self._nodes[-1].marks[mark] >> self._offsets[-1] & 1)


@final
class PresentWalk(Walk):
    """Walk over the entries that are not ``None``, zero entries included."""

    __slots__ = ()

    def advance(self) -> bool:
        """Go to the next entry; False when there is none up to ``last``."""
        if not self.started:
            self.started = True
            if self._start():
                return True
        size = self.tree.chunk.size
        if self._nodes:
            self._move(self._offsets[-1] + 1)
        while self._nodes and self.index <= self.last:
            offset = _next_used(self._nodes[-1].view(), self._offsets[-1])
            if offset != self._offsets[-1]:
                self._move(offset)
            elif offset == size:
                self._up()
            else:
                entry = self._nodes[-1].view()[offset]
                if not isinstance(entry, NodeLike):
                    self.entry = entry
                    return True
                self._down(entry, 0)
        return False

    def _start(self) -> bool:
        """Descend to the start index; True if there is an entry right there."""
        if self.index > self.last or self.index > self.tree.max_index:
            return False
        entry = self.tree.head
        while isinstance(entry, NodeLike):
            offset = self.index >> entry.shift & self.tree.chunk.mask
            slots = entry.view()
            if isinstance(slots[offset], Sibling):
                offset = canonical(slots, offset)
            self._down(entry, offset)
            entry = slots[offset]
        self.entry = entry
        return entry is not None


@final
class MarkedWalk(Walk):
    """Walk over the entries of ``tree`` that have ``mark``, from ``index`` to ``last`` (inclusive).

    Free slots of allocating arrays count as entries of mark 0.  ``exhausted`` is True when the walk ended because it
    passed ``last``, not because it left the tree.
    """

    __slots__ = ("exhausted", "mark")

    def __init__(self, tree: Tree, index: int, last: int, mark: int) -> None:
        super().__init__(tree, index, last)
        self.mark = mark
        self.exhausted = False

    def advance(self) -> bool:
        """Go to the next marked entry; False when there is none up to ``last``, or in the tree."""
        skip = self.started
        self.started = True
        if self.index > self.last:
            return self._end()
        if not skip:
            head = self.tree.head
            if self.index > self.tree.max_index:
                return self._end()
            if not isinstance(head, NodeLike):
                self.entry = head
                if self.tree.marks >> self.mark & 1:
                    return True
                self.index = 1
                return self._end()
            self._down(head, self.index >> head.shift)
        elif not self._nodes:
            self.index = 1
            return self._end()
        return self._search(skip)

    def _search(self, skip: bool) -> bool:
        size, mask = self.tree.chunk.size, self.tree.chunk.mask
        while True:  # no move passes last
            node, offset = self._nodes[-1], self._offsets[-1]
            if offset == size:
                if not self._up():
                    return self._end()
                skip = False
                continue
            sibling = node.view()[offset]
            if not skip and isinstance(sibling, Sibling):
                offset = sibling.slot
                self._move(offset)
            found = _next_bit(node.marks[self.mark], offset + skip, size)
            if found > offset:
                skip = False
                self._move(found)
                if (self.index - 1) & INDEX_MAX >= self.last:
                    self.exhausted = True
                    return False
                if found == size:
                    continue
            entry = node.view()[found]
            if isinstance(entry, NodeLike):
                self._down(entry, self.index >> entry.shift & mask)
            else:
                assert entry is not None or (self.tree.track_free and self.mark == FREE_MARK), "an empty slot is marked"
                self.entry = entry
                return True

    def _end(self) -> bool:
        self.exhausted = self.index > self.last
        return False


def _next_used(slots: Sequence[object], slot: int) -> int:
    """The first slot at or above ``slot`` with a child or an entry (no sibling); the number of slots if none has."""
    size = len(slots)
    while slot < size and (slots[slot] is None or isinstance(slots[slot], Sibling)):
        slot += 1
    return slot


def _next_bit(bits: int, start: int, size: int) -> int:
    """The lowest set bit at or above ``start``, ``size`` if there is none."""
    rest = bits >> start
    return start + (rest & -rest).bit_length() - 1 if rest else size


def walk(tree: Tree, index: int, last: int, mark: int | None) -> Walk:
    """The walk over entries of ``tree`` with ``mark`` (``None``: all present ones), from ``index`` to ``last``,
    inclusive.
    """
    return PresentWalk(tree, index, last) if mark is None else MarkedWalk(tree, index, last, mark)


def find(tree: Tree, index: int, last: int, mark: int | None) -> tuple[int, object] | None:
    """The first entry of ``tree`` at or after ``index``, not above ``last``: (index, entry) (``xa_find``).

    Only entries that have ``mark``, unless it is ``None``.  ``None`` where there is no such entry.
    """
    search = walk(tree, index, last, mark)
    while search.advance():
        if search.entry is not ZERO:
            return search.index, search.entry
    return None


def find_after(tree: Tree, index: int, last: int, mark: int | None) -> tuple[int, object] | None:
    """The first entry of ``tree`` after the one at ``index``, not above ``last``: (index, entry) (``xa_find_after``).

    Only entries that have ``mark``, unless it is ``None``.  ``None`` where there is no such entry.
    """
    if index >= INDEX_MAX:
        return None
    search = walk(tree, index + 1, last, mark)
    while search.advance():
        if not search.in_sibling and search.entry is not ZERO:
            return search.index, search.entry
    return None


def entries(tree: Tree, first: int, last: int, mark: int | None) -> Iterator[tuple[int, int, object]]:
    """Every entry of ``tree`` that touches ``first`` to ``last``, zero entries too: (its first index, order, entry).

    Only entries that have ``mark``, unless it is ``None``.  O(entries).
    """
    search = walk(tree, first, last, mark)
    while search.advance():
        yield search.base, search.order, search.entry


def runs(tree: Tree, first: int, last: int) -> Iterator[tuple[int, int, int, object]]:
    """Runs of equal entries of equal order of ``tree`` that touch ``first`` to ``last``.

    Each is (first index, number of entries, order, entry).  O(runs and nodes that really exist).
    """
    pending: tuple[int, int, int, object] | None = None
    head = tree.head if first <= last else None
    for base, number, order, entry in _raw_runs(head, 0, first, last, tree.chunk.mask):
        if pending is not None:
            start, so_far, its_order, its_entry = pending
            if its_order == order and its_entry is entry and start + (so_far << order) == base:
                pending = start, so_far + number, order, entry
                continue
            yield pending
        pending = base, number, order, entry
    if pending is not None:
        yield pending


def orders(tree: Tree, first: int, last: int) -> dict[int, int]:
    """How many entries of each order of ``tree`` touch ``first`` to ``last``; of a Uniform, those that lie in the
    range.

    The same as adding up :func:`runs`, without making them.  O(entries and Uniforms).
    """
    found: dict[int, int] = {}
    siblings = tree.chunk.siblings
    head = tree.head
    pending: list[tuple[NodeLike, int]] = [(head, 0)] if isinstance(head, NodeLike) and first <= last else []
    if not pending and head is not None and first == 0:
        found[0] = 1
    while pending:
        node, base = pending.pop()
        if isinstance(node, Uniform):
            start = max(first, base) >> node.order << node.order
            end = min(last, base + (tree.chunk.size << node.shift) - 1)
            found[node.order] = found.get(node.order, 0) + (end - start >> node.order) + 1
            continue
        shift, slots = node.shift, node.view()
        slot, stop = max(first - base, 0) >> shift, min(last - base >> shift, tree.chunk.mask)
        if slot <= stop and isinstance(slots[slot], Sibling):
            slot = canonical(slots, slot)
        while slot <= stop:
            entry = slots[slot]
            width = 1
            if isinstance(entry, NodeLike):
                pending.append((entry, base + (slot << shift)))
            elif entry is not None and not isinstance(entry, Sibling):
                order, width = _extent(slots, slot, siblings[slot])
                found[shift + order] = found.get(shift + order, 0) + 1
            slot += width
    return found


def _extent(slots: Sequence[object], slot: int, sibling: Sibling) -> tuple[int, int]:
    """``order_in`` of the entry in ``slot``, whose siblings are ``sibling``, and how many slots are certainly its own.

    That is one where ``store_range`` made an entry of an odd number of slots.
    """
    size, order, width = len(slots), 0, 1
    while slot + width < size and slots[slot + width] is sibling:
        order, width = order + 1, width << 1
    whole = slot + width <= size and (width == 1 or slots[slot + width - 1] is sibling)
    if whole and (slot + width == size or not isinstance(slots[slot + width], Sibling)):
        return order, width
    return order_in(slots, slot), 1


def _raw_runs(node: object, base: int, first: int, last: int, mask: int) -> Iterator[tuple[int, int, int, object]]:
    """The runs below ``node``, which starts at index ``base``; a Uniform gives one, cut to ``first`` to ``last``."""
    if isinstance(node, Uniform):
        start = max(first, base) >> node.order << node.order
        end = min(last, base + (mask + 1 << node.shift) - 1)
        yield start, ((end - start) >> node.order) + 1, node.order, node.entry
    elif isinstance(node, Node):
        slot = max(first - base, 0) >> node.shift
        if slot <= mask:
            slot = canonical(node.slots, slot)
        while slot <= mask and (start := base + (slot << node.shift)) <= last:
            entry = node.slots[slot]
            if isinstance(entry, NodeLike):
                yield from _raw_runs(entry, start, first, last, mask)
            elif entry is not None and not isinstance(entry, Sibling):
                yield start, 1, node.shift + order_in(node.slots, slot), entry
            slot += 1
    elif node is not None and first == 0:
        yield 0, 1, 0, node
