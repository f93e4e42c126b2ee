# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks: three bits an entry, summed up in every node above it and in the array.

Theory of operation
-------------------
Bit *s* of ``node.marks[m]`` says that the entry whose canonical slot is *s*, or some entry below child *s*, has mark
*m*; ``array.marks`` says the same of the whole array.  Setting a mark sets the bit on the way up until one is set;
clearing goes up as long as a node has no other bit left.  Siblings never carry a mark.  A store of a larger entry over
marked ones keeps the mark (``xas_squash_marks``; over a subtree simply by leaving the slot's bit alone), an erase
clears it (``xas_init_marks``).  In allocating arrays mark 0 means *free*, so there an erase sets it.
"""

from __future__ import annotations

from typing import Protocol

from gmemsim.xarray.node import FREE_MARK, MARKS, NO_MARKS, Node


class MarkedArray(Protocol):
    """What the bits of nodes add up to: the marks of the whole array, and whether mark 0 means "free" there."""

    marks: int
    track_free: bool


def with_bits(marks: tuple[int, ...], mark: int, bits: int) -> tuple[int, ...]:
    """``marks`` with the bitmap of ``mark`` replaced."""
    return (*marks[:mark], bits, *marks[mark + 1 :])


def set_up(array: MarkedArray, node: Node | None, slot: int, mark: int) -> None:
    """Set ``mark`` for ``slot`` of ``node`` (``None``: the head) and all the way up (``xas_set_mark``)."""
    while node is not None:
        bits = node.marks[mark]
        if bits >> slot & 1:
            return
        node.marks = with_bits(node.marks, mark, bits | 1 << slot)
        slot, node = node.offset, node.parent
    array.marks |= 1 << mark


def clear_up(array: MarkedArray, node: Node | None, slot: int, mark: int) -> None:
    """Clear ``mark`` for ``slot`` of ``node`` (``None``: the head) and as far up as nothing else has it."""
    while node is not None:
        bits = node.marks[mark]
        if not bits >> slot & 1:
            return
        bits &= ~(1 << slot)
        node.marks = with_bits(node.marks, mark, bits)
        if bits:
            return
        slot, node = node.offset, node.parent
    array.marks &= ~(1 << mark)


def init(array: MarkedArray, node: Node | None, slot: int) -> None:
    """The marks of a slot that is about to be empty: none, or "free" in an allocating array."""
    for mark in range(MARKS):
        if array.track_free and mark == FREE_MARK:
            set_up(array, node, slot, mark)
        else:
            clear_up(array, node, slot, mark)


def squash(node: Node, slot: int, sibs: int) -> None:
    """Gather the marks of ``slot`` and the ``sibs`` slots after it in ``slot``, before one entry takes them all."""
    if node.marks == NO_MARKS:
        return
    others = ((1 << sibs) - 1) << slot + 1
    for mark, bits in enumerate(node.marks):
        if bits & others:
            node.marks = with_bits(node.marks, mark, bits & ~others | 1 << slot)
