# SPDX-License-Identifier: GPL-2.0-or-later
"""What can stand in a slot of an XArray: entries, siblings, nodes, and subtrees that are all alike.

Theory of operation
-------------------
A node has ``2**chunk_shift`` slots.  A slot holds ``None`` (the kernel's NULL), an entry, a :class:`Sibling` or a
child.  An entry is any object: an ``int`` is a *value entry* (the kernel's ``xa_mk_value``), anything else stands for
a pointer; :data:`ZERO` is the kernel's zero entry, which reserves a slot and loads as ``None``.

An entry of order *k* lives in a node of shift ``k - k % chunk_shift``, as one *canonical* slot followed by
``2**(k % chunk_shift) - 1`` siblings that name it.  ``count`` is the number of slots that are not ``None``,
``nr_values`` the number that hold a value entry; siblings count for both (include/linux/xarray.h).

Splitting 1G into 4K pages makes 4161 nodes that differ in nothing but their place.  Such a subtree is one immutable
:class:`Uniform` that sits in a slot instead of a node.  It offers everything that a node offers to a reader (``shift``,
``count``, ``nr_values``, ``marks``, ``slots``, ``nodes``), so readers never need to know which of the two they look
at; a writer first *opens* it by one level (:func:`opened`): a node whose slots all hold the next smaller Uniform.
What a node cannot share with its likes, its offset and its parent, belongs to the path by which it was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property

import attrs

MARKS = 3
"""Marks (tags) per entry: ``XA_MAX_MARKS``."""

NO_MARKS = (0,) * MARKS

FREE_MARK = 0
"""The mark that allocating arrays use for "free": ``XA_FREE_MARK``."""


@attrs.frozen(eq=False)
class Sibling:
    """A slot that belongs to the entry in canonical slot ``slot`` of the same node."""

    slot: int


class _Zero:
    """The type of :data:`ZERO`."""

    def __repr__(self) -> str:
        return "ZERO"


ZERO = _Zero()
"""The zero entry (``XA_ZERO_ENTRY``): occupies its slot, but loads as ``None``."""


@attrs.frozen(eq=False)
class Chunk:
    """The shape of every node of a tree: ``XA_CHUNK_SHIFT`` and what follows from it."""

    shift: int
    size: int = attrs.field(init=False)
    mask: int = attrs.field(init=False)
    siblings: tuple[Sibling, ...] = attrs.field(init=False, repr=False)
    """The sibling entries, by the slot that they name."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "size", 1 << self.shift)
        object.__setattr__(self, "mask", (1 << self.shift) - 1)
        object.__setattr__(self, "siblings", tuple(Sibling(slot) for slot in range(1 << self.shift)))

    def level(self, order: int) -> int:
        """Shift of the nodes that hold entries of ``order``."""
        return order - order % self.shift

    def width(self, order: int) -> int:
        """Slots that an entry of ``order`` takes in its node, the canonical one included."""
        return 1 << order % self.shift


@cache
def chunk_of(shift: int) -> Chunk:
    """The one :class:`Chunk` of a chunk shift (6 in the kernel; 4 with CONFIG_BASE_SMALL, 3 in tests)."""
    if not 1 <= shift <= 6:
        raise ValueError(f"chunk shift is {shift}, expected 1 to 6")
    return Chunk(shift)


def is_value(entry: object) -> bool:
    """Whether ``entry`` is a value entry, the only kind that ``nr_values`` counts."""
    return isinstance(entry, int)


def same_entry(a: object, b: object) -> bool:
    """Whether the kernel would see one and the same word: identical objects, or equal value entries."""
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b)


@attrs.frozen(eq=False, slots=False)
class Uniform:
    """A full subtree of nodes from ``shift`` down, every entry of which is ``entry`` at ``order``, marked alike.

    ``shift`` is at least the level of ``order``.  ``marked`` has bit *m* set where every entry has mark *m*.
    """

    chunk: Chunk
    shift: int
    order: int
    entry: object
    marked: int

    @property
    def is_leaf(self) -> bool:
        """Whether the slots hold entries (and not further nodes)."""
        return self.shift == self.chunk.level(self.order)

    @property
    def nodes(self) -> int:
        """Nodes that this stands for, the top one included: a full tree down to the level of ``order``."""
        return full_tree(self.chunk, self.shift, self.order)

    @cached_property
    def below(self) -> Uniform:
        """What every slot of a Uniform that is no leaf holds."""
        return Uniform(self.chunk, self.shift - self.chunk.shift, self.order, self.entry, self.marked)

    @property
    def count(self) -> int:
        """Slots in use: all of them."""
        return self.chunk.size

    @cached_property
    def nr_values(self) -> int:
        """Slots that hold a value entry or a sibling of one."""
        return self.chunk.size if self.is_leaf and is_value(self.entry) else 0

    @cached_property
    def slots(self) -> tuple[object, ...]:
        """The slots of the top node, exactly as a :class:`Node` would hold them."""
        if not self.is_leaf:
            return (self.below,) * self.chunk.size
        width = self.chunk.width(self.order)
        siblings = self.chunk.siblings
        return tuple(siblings[slot - slot % width] if slot % width else self.entry for slot in range(self.chunk.size))

    @cached_property
    def marks(self) -> tuple[int, ...]:
        """The mark bitmaps of the top node: children, or canonical slots."""
        step = self.chunk.width(self.order) if self.is_leaf else 1
        bits = sum(1 << slot for slot in range(0, self.chunk.size, step))
        return tuple(bits if self.marked >> mark & 1 else 0 for mark in range(MARKS))


@cache
def full_tree(chunk: Chunk, shift: int, order: int) -> int:
    """Nodes of a full tree from ``shift`` down to the level of ``order``."""
    return sum(chunk.size**level for level in range((shift - chunk.level(order)) // chunk.shift + 1))


UNIFORMS_KEPT = 4096
"""Uniforms that a :class:`Uniforms` remembers: one or two for each hugepage of a 1 TiB file of 1G pages."""


class Uniforms:
    """The Uniforms that a tree made last, so that the 512 2M folios of a hugepage, split one by one, share one.

    Sharing saves memory and means nothing: Uniforms are immutable.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, int, int], Uniform] = {}

    def get(self, chunk: Chunk, shift: int, order: int, entry: object, marked: int) -> Uniform:
        """The Uniform of these attributes.

        The key may name the entry by its ``id``, since the Uniform keeps the entry alive as long as the key exists.
        """
        key = (shift, order, id(entry), marked)
        found = self._made.get(key)
        if found is None:
            if len(self._made) == UNIFORMS_KEPT:
                self._made.clear()
            found = self._made[key] = Uniform(chunk, shift, order, entry, marked)
        return found

    def clear(self) -> None:
        """Forget them all; those in use live on in the tree."""
        self._made.clear()


@attrs.define(eq=False)
class Node:
    """One ``struct xa_node``.  ``nodes`` counts the nodes of its subtree, itself included (ours, not the kernel's)."""

    shift: int
    offset: int
    parent: Node | None
    count: int
    nr_values: int
    marks: tuple[int, ...]
    slots: list[object]
    nodes: int = 1
    on_lru: bool = False
    """Kept by ``lru.ValueNodeLru``: the kernel's ``private_list`` being on a list."""


NodeLike = Node | Uniform


def slot_order(node: NodeLike, slot: int) -> int:
    """Order of the entry in canonical ``slot``: probes the slots a power of two away (``xas_get_order``)."""
    slots = node.slots
    order = node.shift
    distance = 1
    while slot + distance < len(slots) and type(slots[slot + distance]) is Sibling:
        order += 1
        distance *= 2
    return order


def canonical(slots: Sequence[object], slot: int) -> int:
    """The slot of the entry that ``slot`` belongs to."""
    while type(entry := slots[slot]) is Sibling:
        slot = entry.slot
    return slot


def fills(node: NodeLike, slot: int, width: int) -> bool:
    """Whether one entry fills ``width`` slots from ``slot`` on exactly, in a place where an order may lie."""
    slots, end = node.slots, slot + width
    return (
        slot % width == 0 and canonical(slots, end - 1) == slot and (end == len(slots) or canonical(slots, end) != slot)
    )


def entry_width(node: NodeLike, slot: int) -> int:
    """Slots of the entry in canonical ``slot``; no power of two where ``store_range`` made it."""
    slots = node.slots
    end = slot + 1
    while end < len(slots) and type(slots[end]) is Sibling:
        end += 1
    return end - slot


def empty_node(chunk: Chunk, shift: int, offset: int, parent: Node | None) -> Node:
    """A node as ``xas_alloc`` hands it out: no slot in use, no mark set."""
    return Node(shift, offset, parent, 0, 0, NO_MARKS, [None] * chunk.size)


def opened(uniform: Uniform, offset: int, parent: Node | None) -> Node:
    """The node that ``uniform`` stands for, at ``offset`` of ``parent``; its children stay Uniform."""
    return Node(
        uniform.shift,
        offset,
        parent,
        uniform.chunk.size,
        uniform.nr_values,
        uniform.marks,
        list(uniform.slots),
        uniform.nodes,
    )


def eager_subtree(uniform: Uniform, offset: int, parent: Node | None) -> Node:
    """Every node that ``uniform`` stands for, as the kernel would have them."""
    node = opened(uniform, offset, parent)
    if not uniform.is_leaf:
        node.slots = [eager_subtree(uniform.below, slot, node) for slot in range(uniform.chunk.size)]
    return node
