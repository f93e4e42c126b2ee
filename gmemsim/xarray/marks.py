# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks: three bits an entry, summed up in every node above it and in the array.

Theory of operation
-------------------
Bit *s* of ``node.marks[m]`` says that the entry whose canonical slot is *s*, or some entry below child *s*, has mark
*m*; ``tree.marks`` says the same of the whole array.  Setting a mark sets the bit on the way up until one is set;
clearing goes up as long as a node has no other bit left.  Siblings never carry a mark.  A store of a larger entry over
marked ones keeps the mark (``xas_squash_marks``; over a subtree simply by leaving the slot's bit alone), an erase
clears it (``xas_init_marks``).  In allocating arrays mark 0 means *free*, so there an erase sets it.

What may live here: everything that changes or reads mark bits, but for the marks that a new node starts with (``tree``)
and those that a split spreads (``split``).  A node's bitmaps are an immutable tuple, shared by the many nodes that have
no mark, so every change goes through :func:`with_bits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmemsim.xarray.node import FREE_MARK, MARKS, NO_MARKS, Node, NodeLike, Sibling, canonical

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


def with_bits(marks: tuple[int, ...], mark: int, bits: int) -> tuple[int, ...]:
    """``marks`` with the bitmap of ``mark`` replaced by ``bits``, where bit *n* is slot *n*."""
    return (*marks[:mark], bits, *marks[mark + 1 :])


def set_up(tree: Tree, node: Node | None, slot: int, mark: int) -> None:
    """Set ``mark`` for ``slot`` of ``node`` and all the way up to the head of ``tree`` (``xas_set_mark``).

    ``node`` is ``None`` for the head itself.  Stops at the first bit that is set already.  O(levels).
    """
    while node is not None:
        bits = node.marks[mark]
        if bits >> slot & 1:
            return
        node.marks = with_bits(node.marks, mark, bits | 1 << slot)
        slot, node = node.offset, node.parent
    tree.marks |= 1 << mark


def clear_up(tree: Tree, node: Node | None, slot: int, mark: int) -> None:
    """Clear ``mark`` for ``slot`` of ``node`` and as far up in ``tree`` as nothing else has it.

    ``node`` is ``None`` for the head itself.  O(levels).
    """
    while node is not None:
        bits = node.marks[mark]
        if not bits >> slot & 1:
            return
        bits &= ~(1 << slot)
        node.marks = with_bits(node.marks, mark, bits)
        if bits:
            return
        slot, node = node.offset, node.parent
    tree.marks &= ~(1 << mark)


def init(tree: Tree, node: Node | None, slot: int) -> None:
    """The marks of ``slot`` of ``node`` when it is about to be empty: none, or "free" where ``tree`` is allocating.

    ``node`` is ``None`` for the head.  O(levels).
    """
    for mark in range(MARKS):
        if tree.track_free and mark == FREE_MARK:
            set_up(tree, node, slot, mark)
        else:
            clear_up(tree, node, slot, mark)


def squash(node: Node, slot: int, sibs: int) -> None:
    """Gather the marks of ``slot`` and the ``sibs`` slots of ``node`` after it in ``slot``, before one entry takes them
    all.
    """
    if node.marks == NO_MARKS:
        return
    others = ((1 << sibs) - 1) << slot + 1
    for mark, bits in enumerate(node.marks):
        if bits & others:
            node.marks = with_bits(node.marks, mark, bits & ~others | 1 << slot)


def change(tree: Tree, index: int, mark: int, *, marked: bool) -> None:
    """Set (``marked``) or clear ``mark`` on the entry of ``tree`` at ``index``; nothing happens where there is no
    entry.

    Opens the Uniforms on the way, except where the mark already is as wanted.  O(levels).
    """
    if index > tree.max_index or not 0 <= mark < MARKS:
        return
    node, slot, entry = tree.walk(index)
    if entry is None:
        return
    place: Node | None = None
    if node is not None:
        if bool(node.marks[mark] >> slot & 1) == marked:
            return
        place, slot, _ = tree.walk_to(index, 0)
    if marked:
        set_up(tree, place, slot, mark)
    else:
        clear_up(tree, place, slot, mark)


def get(tree: Tree, index: int, mark: int) -> bool:
    """Whether the entry of ``tree`` at ``index`` has ``mark``: all bits on the way down are set.  O(levels)."""
    if index > tree.max_index or not tree.marks >> mark & 1:
        return False
    entry = tree.head
    while isinstance(entry, NodeLike):
        slots = entry.view()
        slot = index >> entry.shift & tree.chunk.mask
        if isinstance(slots[slot], Sibling):
            slot = canonical(slots, slot)
        if not entry.marks[mark] >> slot & 1:
            return False
        entry = slots[slot]
    return True
