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

Splitting 1G into 4K pages makes 4161 nodes that differ only in their place.  Such a subtree is one immutable
:class:`Uniform` that sits in a slot instead of a node.  To a reader both are a :class:`NodeLike`; a writer first
*opens* a Uniform by one level (:func:`opened`): a node whose slots all hold the next smaller Uniform.  A Uniform has no
offset and no parent: they depend on the path by which it was reached.

What may live here: what can stand in a slot, and questions about the slots of one node.  What needs the path, or the
array's marks, is in ``tree`` and ``marks``.  A new field that readers see belongs in :class:`NodeLike`; Node, Uniform
and :func:`opened` set it.  This package can be compiled with mypyc: plain final classes, constructors written out, and
``isinstance`` (a comparison of pointers there) to tell what is in a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

INDEX_BITS: Final = 64
"""Bits of an index: ``BITS_PER_LONG`` of the kernels that have HugeTLB guest_memfd."""

INDEX_MAX: Final = (1 << 64) - 1
"""The largest index: ``ULONG_MAX``."""

MARKS: Final = 3
"""Marks (tags) per entry: ``XA_MAX_MARKS``."""

NO_MARKS: Final = (0, 0, 0)
"""The mark bitmaps of a node without any mark."""

FREE_MARK: Final = 0
"""The mark that allocating arrays use for "free": ``XA_FREE_MARK``."""


@final
class Sibling:
    """A slot that belongs to the entry in canonical slot ``slot`` of the same node."""

    __slots__ = ("slot",)

    def __init__(self, slot: int) -> None:
        self.slot: Final = slot


@final
class Zero:
    """The type of :data:`ZERO`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ZERO"


ZERO: Final = Zero()
"""The zero entry (``XA_ZERO_ENTRY``): occupies its slot, but loads as ``None``."""


@final
class Chunk:
    """The shape of every node of a tree: ``XA_CHUNK_SHIFT``, here ``shift``, and what follows from it."""

    __slots__ = ("full_trees", "levels", "mask", "shift", "siblings", "size", "widths")

    def __init__(self, shift: int) -> None:
        self.shift: Final = shift
        self.size: Final = 1 << shift
        self.mask: Final = (1 << shift) - 1
        self.siblings: Final = tuple([Sibling(slot) for slot in range(1 << shift)])
        """The sibling entries, by the slot that they name."""
        full = [0]
        while len(full) <= INDEX_BITS // shift + 1:
            full.append(1 + (full[-1] << shift))
        self.full_trees: Final = tuple(full)
        """Nodes of a tree with every slot of every node in use, by its height in levels: 0, 1, 65, 4161, ..."""
        self.levels: Final = tuple([order - order % shift for order in range(INDEX_BITS + 1)])
        """Shift of the nodes that hold entries, by the entries' order."""
        self.widths: Final = tuple([1 << order % shift for order in range(INDEX_BITS + 1)])
        """Slots that an entry takes in its node, the canonical one included, by its order."""

    def nodes_needed(self, order: int, new_order: int) -> int:
        """Nodes that a split from ``order`` to ``new_order`` takes (what ``xas_split_alloc`` must allocate).  O(1).

        >>> chunk_of(6).nodes_needed(18, 0), chunk_of(6).nodes_needed(18, 9), chunk_of(6).nodes_needed(9, 0)
        (4161, 65, 8)
        """
        return self.full_trees[order // self.shift - new_order // self.shift] << order % self.shift

    def most_nodes(self, index: int, order: int, entries: int) -> int:
        """At least as many nodes as storing so many ``entries`` of ``order`` side by side from ``index`` on can take.

        Every node that they touch, one more a level where the tree grows above index 0, and one for an entry that
        would fill the tree.

        >>> chunk_of(6).most_nodes(0, 9, 512)
        68
        """
        last, nodes = index + (entries << order) - 1, 1
        shift = self.levels[order] + self.shift
        while True:
            nodes += (last >> shift) - (index >> shift) + 2
            if not last >> shift:
                return nodes
            shift += self.shift


CHUNKS: Final = tuple([Chunk(shift) for shift in range(1, 7)])


def chunk_of(shift: int) -> Chunk:
    """The one :class:`Chunk` of a chunk ``shift`` (6 in the kernel; 4 with CONFIG_BASE_SMALL, 3 in tests).

    ``ValueError`` unless it is 1 to 6.
    """
    if not 1 <= shift <= 6:
        raise ValueError(f"chunk shift is {shift}, expected 1 to 6")
    return CHUNKS[shift - 1]


def is_value(entry: object) -> bool:
    """Whether ``entry`` is a value entry, the only kind that ``nr_values`` counts."""
    return isinstance(entry, int)


def same_entry(a: object, b: object) -> bool:
    """Whether the kernel would see one word in ``a`` and ``b``: identical objects, or equal value entries."""
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b)


class NodeLike:
    """What a reader sees of a node, be it a :class:`Node` or the top one of a :class:`Uniform`.

    ``shift`` is that of an index's bits below this node, ``count`` the slots in use, ``nr_values`` those that hold a
    value entry or a sibling of one, ``marks`` a bitmap of slots for each mark, and ``nodes`` counts the nodes of the
    subtree, itself included (ours, not the kernel's).
    """

    __slots__ = ("count", "marks", "nodes", "nr_values", "shift")

    shift: int
    count: int
    nr_values: int
    marks: tuple[int, ...]
    nodes: int

    def view(self) -> Sequence[object]:
        """The slots, for reading."""
        raise NotImplementedError


@final
class Uniform(NodeLike):
    """A full subtree of nodes from ``shift`` down, every entry of which is ``entry`` at ``order``, marked alike.

    ``chunk`` is the shape of its nodes.  ``shift`` is at least the level of ``order``.  ``marked`` has bit *m* set
    where every entry has mark *m*.  Immutable; two of them with equal attributes mean the same.
    """

    __slots__ = ("_below", "_slots", "chunk", "entry", "is_leaf", "marked", "order")

    def __init__(self, chunk: Chunk, shift: int, order: int, entry: object, marked: int) -> None:
        self.chunk: Final = chunk
        self.shift = shift
        self.order: Final = order
        self.entry: Final = entry
        self.marked: Final = marked
        levels = shift // chunk.shift - order // chunk.shift
        self.is_leaf: Final = levels == 0
        """Whether the slots hold entries (and not further nodes)."""
        self.nodes = chunk.full_trees[levels + 1]
        self.count = chunk.size
        self.nr_values = chunk.size if levels == 0 and isinstance(entry, int) else 0
        self.marks = NO_MARKS if not marked else self._bitmaps()
        self._below: Uniform | None = None
        self._slots: tuple[object, ...] | None = None

    @property
    def below(self) -> Uniform:
        """What every slot of a Uniform that is no leaf holds."""
        if self._below is None:
            self._below = Uniform(self.chunk, self.shift - self.chunk.shift, self.order, self.entry, self.marked)
        return self._below

    def view(self) -> Sequence[object]:
        """The slots of the top node, exactly as a :class:`Node` would hold them."""
        if self._slots is None:
            chunk = self.chunk
            if not self.is_leaf:
                self._slots = (self.below,) * chunk.size
            else:
                width, slots = chunk.widths[self.order], [self.entry] * chunk.size
                for slot in range(chunk.size):
                    if slot % width:
                        slots[slot] = chunk.siblings[slot - slot % width]
                self._slots = tuple(slots)
        return self._slots

    def _bitmaps(self) -> tuple[int, ...]:
        """The marks of the top node: of every child, or of every canonical slot."""
        step = self.chunk.widths[self.order] if self.is_leaf else 1
        bits = ((1 << self.chunk.size) - 1) // ((1 << step) - 1)  # every step-th bit
        return tuple([bits if self.marked >> mark & 1 else 0 for mark in range(MARKS)])


UNIFORMS_KEPT: Final = 4096
"""Uniforms that a :class:`Uniforms` remembers: one or two for each hugepage of a 1 TiB file of 1G pages."""


@final
class Uniforms:
    """The Uniforms that a tree made last, so that the 512 2M folios of a hugepage, split one by one, share one.

    Sharing saves memory and changes no result: Uniforms are immutable.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, int, int], Uniform] = {}

    def get(self, chunk: Chunk, shift: int, order: int, entry: object, marked: int) -> Uniform:
        """The :class:`Uniform` of ``chunk``, ``shift``, ``order``, ``entry`` and ``marked``, made at most once.

        The key may name the entry by its ``id``, since the Uniform keeps the entry alive as long as the key exists.
        ``chunk`` is not part of it: a tree has one.
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


@final
class Node(NodeLike):
    """One ``struct xa_node``: at level ``shift``, in slot ``offset`` of ``parent`` (``None``: it is the head).

    ``slots`` hold what is below, ``count`` of them in use and ``nr_values`` with value entries; ``marks`` is a bitmap
    for each mark, bit *n* for slot *n*.  ``nodes`` (default: 1) are this one and all below it, those that a Uniform
    stands for included.  ``on_lru`` says that ``lab.lru.ValueNodeLru`` keeps the node: the kernel's ``private_list``
    being on a list.
    """

    __slots__ = ("offset", "on_lru", "parent", "slots")

    def __init__(
        self,
        shift: int,
        offset: int,
        parent: Node | None,
        count: int,
        nr_values: int,
        marks: tuple[int, ...],
        slots: list[object],
        nodes: int = 1,
    ) -> None:
        self.shift = shift
        self.offset = offset
        self.parent = parent
        self.count = count
        self.nr_values = nr_values
        self.marks = marks
        self.slots = slots
        self.nodes = nodes
        self.on_lru = False

    def view(self) -> Sequence[object]:
        """The slots, for reading; writers use ``slots``."""
        return self.slots


def order_in(slots: Sequence[object], slot: int) -> int:
    """Order of the entry in canonical ``slot`` of ``slots`` above the shift of their node (``xas_get_order``).

    Probes the slots a power of two away, as the kernel does.  O(order).
    """
    order, probe = 0, slot + 1
    while probe < len(slots) and isinstance(slots[probe], Sibling):
        order += 1
        probe = slot + (1 << order)
    return order


def canonical(slots: Sequence[object], slot: int) -> int:
    """Which of ``slots`` has the entry that ``slot`` belongs to: ``slot`` itself unless a sibling is there.

    ``store_range`` can leave siblings of siblings, hence the loop.  A sibling never stands for a node, so every way
    down follows nodes until there are none, and asks here only if it ends at a sibling.
    """
    entry = slots[slot]
    while isinstance(entry, Sibling):
        slot = entry.slot
        entry = slots[slot]
    return slot


def fills(node: Node, slot: int, width: int) -> bool:
    """Whether one entry fills ``width`` slots of ``node`` from ``slot`` on exactly, where an order may lie."""
    slots, end = node.slots, slot + width
    if slot & width - 1 or (width > 1 and canonical(slots, end - 1) != slot):
        return False
    return end == len(slots) or not isinstance(slots[end], Sibling) or canonical(slots, end) != slot


def entry_width(slots: Sequence[object], slot: int) -> int:
    """How many of ``slots`` the entry in canonical ``slot`` takes; no power of two where ``store_range`` made it."""
    end = slot + 1
    while end < len(slots) and isinstance(slots[end], Sibling):
        end += 1
    return end - slot


def empty_node(chunk: Chunk, shift: int, offset: int, parent: Node | None) -> Node:
    """A node as ``xas_alloc`` hands it out: no slot in use, no mark set.

    ``chunk`` is its shape, ``shift`` its level, ``offset`` its slot in ``parent`` (``None``: it will be the head).
    """
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
        list(uniform.view()),
        uniform.nodes,
    )


def eager_subtree(uniform: Uniform, offset: int, parent: Node | None) -> Node:
    """Every node that ``uniform`` stands for, the top one in slot ``offset`` of ``parent``.  O(nodes)."""
    node = opened(uniform, offset, parent)
    if not uniform.is_leaf:
        node.slots = [eager_subtree(uniform.below, slot, node) for slot in range(uniform.chunk.size)]
    return node
