# SPDX-License-Identifier: GPL-2.0-or-later
"""Splitting a multi-index entry: any order to any lower one, with the nodes taken beforehand.

Theory of operation
-------------------
Allocation and use are two steps, as in ``xas_split_alloc`` and ``xas_split``: a :class:`Prealloc` takes the nodes, the
split uses them and cannot fail, and what is left goes back when the Prealloc is closed (``xas_destroy``).

Let *w* be the slots of the old entry.  If the new order belongs to the same level, the slots are regrouped.  If it
belongs *d* levels down, each of the *w* slots becomes a child, and the nodes needed are the sum over j < d of
``w * 64**j``: 4161 for 1G into 4K, 65 for 1G into 2M, 8 for 2M into 4K.  The children are one :class:`Uniform`, *w*
times; an eager tree makes every node instead.  All marks of the old entry go to every new one.

A :class:`Profile` says which splits the modelled kernel accepts:

* ``rfc``: any depth (the RFC of November 2025 on top of 6.18);
* ``v6.15``: ``xas_split_alloc`` refuses with ENOMEM where the new order's level is two levels or more below the
  entry's order (``new_shift + 2 * XA_CHUNK_SHIFT <= order``), so 1G to 2M in one step is refused too.

``xas_try_split`` is the same in both: at most one node, so either within a level, or from a full slot
(``order % 6 == 0``) to the next lower order.

What may live here: how many nodes a split takes, which kernel accepts it, and doing it.  A new profile is a row of
:data:`Profile` and a case of :func:`check_depth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, Literal, final

from gmemsim.errors import Invalid, OutOfMemory
from gmemsim.xarray.allocator import Prealloc
from gmemsim.xarray.marks import with_bits
from gmemsim.xarray.node import (
    INDEX_BITS,
    MARKS,
    NO_MARKS,
    Chunk,
    Node,
    NodeLike,
    Sibling,
    Uniform,
    eager_subtree,
    fills,
    order_in,
)
from gmemsim.xarray.tree import NodeObserver, Tree, nodes_changed

Profile = Literal["rfc", "v6.15"]


@final
class Keep:
    """The type of :data:`KEEP`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()
"""In place of an entry: keep the one that is there, as folio splits do until the new folios are stored."""


def check_depth(chunk: Chunk, order: int, new_order: int, profile: Profile) -> None:
    """Raise ``OutOfMemory``, its only errno, where the ``xas_split_alloc`` of ``profile`` refuses a split.

    The split is of ``order`` into ``new_order`` in a tree of ``chunk``.
    """
    if profile == "v6.15" and chunk.levels[new_order] + 2 * chunk.shift <= order:
        raise OutOfMemory(f"xas_split_alloc of {profile} refuses order {order} to {new_order}: too many levels")


def check_orders(order: int, new_order: int) -> None:
    """Raise ``Invalid`` (EINVAL) unless ``0 <= new_order < order`` and an index has as many bits as ``order``.

    The entry of ``order`` is to be split into entries of ``new_order``.
    """
    if not 0 <= new_order < order <= INDEX_BITS:
        raise Invalid(f"cannot split order {order} into order {new_order}")


def try_accepts(chunk: Chunk, order: int, new_order: int) -> bool:
    """Whether ``xas_try_split`` takes a split of ``order`` into ``new_order`` in a tree of ``chunk``.

    It does within a level, and from a full slot to the next lower order.
    """
    return chunk.levels[new_order] == chunk.levels[order] or (order % chunk.shift == 0 and new_order == order - 1)


def split_alloc(tree: Tree, order: int, new_order: int, profile: Profile) -> Prealloc:
    """Take the nodes for splitting an entry of ``tree`` of ``order`` into ``new_order`` (``xas_split_alloc``).

    Raises ``Invalid`` unless ``0 <= new_order < order``, ``OutOfMemory`` where the kernel of ``profile`` refuses the
    depth (it has no other errno for it) or where a node cannot be had; nothing is held then.
    """
    check_orders(order, new_order)
    check_depth(tree.chunk, order, new_order, profile)
    return Prealloc(tree.allocator, tree.chunk.nodes_needed(order, new_order))


def split(tree: Tree, index: int, order: int, new_order: int, entry: object, prealloc: Prealloc) -> None:
    """Split the entry of ``order`` of ``tree`` that covers ``index`` into entries of ``new_order`` (``xas_split``).

    ``index`` may be any index of the entry.  ``entry`` is stored in all of them; :data:`KEEP` keeps the old one.  The
    nodes are those of ``prealloc``.  Raises ``Invalid``, with the tree untouched, if there is no entry of that order or
    too few nodes are preallocated.
    """
    check_orders(order, new_order)
    chunk = tree.chunk
    node, slot, old = _entry_of_order(tree, index, order)
    new = old if entry is KEEP else entry
    width = chunk.widths[order]
    if new_order < node.shift:
        _push_down(tree, node, slot, width, new_order, new, prealloc)
    else:
        _regroup(tree, node, slot, width, chunk.widths[new_order], new)
        if isinstance(new, int):
            node.nr_values += width
    if isinstance(old, int):
        node.nr_values -= width
    if tree.observer is not None:
        tree.observer.updated(node, 1)


def halve(tree: Tree, index: int, order: int, new_order: int, prealloc: Prealloc) -> None:
    """Split the entry of ``order`` at ``index`` in halves, then the half that covers ``index``, down to ``new_order``.

    The same as a :func:`split` of ``tree`` with ``prealloc`` for each order, but every node is written once.  Who
    observes the tree is told of every split, and marks are spread by every split, so in these cases each is made.
    Raises ``Invalid`` as :func:`split`.
    """
    check_orders(order, new_order)
    chunk = tree.chunk
    node, slot, entry = _entry_of_order(tree, index, order)
    if tree.observer is not None or node.marks != NO_MARKS:
        for above in range(order, new_order, -1):
            split(tree, index, above, above - 1, KEEP, prealloc)
        return
    below = order // chunk.shift - new_order // chunk.shift  # nodes to make: one a level
    prealloc.use(below)
    nodes_changed(node, below)
    value = isinstance(entry, int)
    width = chunk.widths[order]
    while below:
        slot = index >> node.shift & chunk.mask
        if width > 1:
            _halve(chunk, node.slots, entry, slot, width, 1)
        child = Node(
            node.shift - chunk.shift,
            slot,
            node,
            chunk.size,
            chunk.size * value,
            NO_MARKS,
            [entry] * chunk.size,
            below,
        )
        node.slots[slot] = child
        node.nr_values -= value
        node, width = child, chunk.size
        below -= 1
    _halve(chunk, node.slots, entry, index >> node.shift & chunk.mask, width, chunk.widths[new_order])


def _halve(chunk: Chunk, slots: list[object], entry: object, slot: int, width: int, least: int) -> None:
    """Halve ``entry`` in the ``width`` slots around ``slot``, then the half around ``slot``, down to ``least``."""
    siblings = chunk.siblings
    while width > least:
        width >>= 1
        other = (slot & -width) ^ width
        slots[other] = entry
        slots[other + 1 : other + width] = [siblings[other]] * (width - 1)
    first = slot & -width
    slots[first] = entry
    slots[first + 1 : first + width] = [siblings[first]] * (width - 1)


def try_split(tree: Tree, index: int, order: int, new_order: int, entry: object) -> Prealloc:
    """Split with at most one node, taken on the spot (``xas_try_split``); returns the (closed) account of nodes.

    ``tree``, ``index``, ``order``, ``new_order`` and ``entry`` are those of :func:`split`.  Raises ``Invalid`` for a
    split that would need more, ``OutOfMemory`` if the node cannot be had.
    """
    check_orders(order, new_order)
    chunk = tree.chunk
    if not try_accepts(chunk, order, new_order):
        raise Invalid(f"xas_try_split refuses order {order} to {new_order}: it would need more than one node")
    with Prealloc(tree.allocator, chunk.nodes_needed(order, new_order)) as prealloc:
        split(tree, index, order, new_order, entry, prealloc)
    return prealloc


def _entry_of_order(tree: Tree, index: int, order: int) -> tuple[Node, int, object]:
    """The (opened) node, canonical slot and entry of ``order`` at ``index``, or ``Invalid``.

    A run that ``store_range`` made of an odd number of slots, or in an odd place, is no entry of any order.
    """
    node, chunk = tree.head, tree.chunk
    if isinstance(node, Node) and 0 <= index >> node.shift <= chunk.mask:
        mask, level, width = chunk.mask, chunk.levels[order], chunk.widths[order]
        while node.shift > level:
            slot = index >> node.shift & mask
            below = node.slots[slot]
            if isinstance(below, Uniform):
                below = tree.open_slot(node, slot, below)
            if not isinstance(below, Node):
                break
            node = below
        slot = index >> level & mask & -width
        entry = node.slots[slot]
        if (
            node.shift == level
            and not (entry is None or isinstance(entry, (NodeLike, Sibling)))
            and fills(node, slot, width)
        ):
            return node, slot, entry
    have = "no entry"
    if index >= 0:
        holder, place, found = tree.walk(index)
        if found is not None:
            held = holder.shift + order_in(holder.view(), place) if holder is not None else 0
            have = f"an entry of order {held}"
    raise Invalid(f"cannot split: index {index} has {have}, expected a whole and aligned entry of order {order}")


def _regroup(tree: Tree, node: Node, slot: int, width: int, new_width: int, entry: object) -> None:
    """Split within one node: ``width`` slots from ``slot`` on become entries of ``new_width`` slots each."""
    siblings = tree.chunk.siblings
    for first in range(slot, slot + width, new_width):
        node.slots[first] = entry
        node.slots[first + 1 : first + new_width] = [siblings[first]] * (new_width - 1)
    _spread_marks(node, slot, range(slot, slot + width, new_width))


def _push_down(
    tree: Tree, node: Node, slot: int, width: int, new_order: int, entry: object, prealloc: Prealloc
) -> None:
    """Split down: each of ``width`` slots from ``slot`` on becomes a full subtree of entries of ``new_order``."""
    marked = 0
    if node.marks != NO_MARKS:
        for mark in range(MARKS):
            marked |= (node.marks[mark] >> slot & 1) << mark
    subtree = tree.uniforms.get(tree.chunk, node.shift - tree.chunk.shift, new_order, entry, marked)
    nodes = width * subtree.nodes
    prealloc.use(nodes)
    end = slot + width
    if tree.eager:
        for place in range(slot, end):
            node.slots[place] = eager_subtree(subtree, place, node)
    else:
        node.slots[slot:end] = [subtree] * width
    if marked:
        _spread_marks(node, slot, range(slot, end))
    nodes_changed(node, nodes)
    if tree.observer is not None:
        _observe_new(tree.observer, node.slots[slot:end], 1)


def _spread_marks(node: Node, slot: int, slots: range) -> None:
    """Give all ``slots`` the marks that ``slot`` has."""
    bits = 0
    for place in slots:
        bits |= 1 << place
    for mark in range(MARKS):
        if node.marks[mark] >> slot & 1:
            node.marks = with_bits(node.marks, mark, node.marks[mark] | bits)


def _observe_new(observer: NodeObserver, slots: Sequence[object], copies: int) -> None:
    """Tell the observer of every node below, leaves included (upstream does; the RFC leaves the leaves out).

    Equal Uniforms side by side are one call, with the number of nodes that they stand for.
    """
    for _, group in groupby(slots, key=id):
        alike = list(group)
        child, number = alike[0], copies * len(alike)
        if isinstance(child, NodeLike):
            observer.updated(child, number)
            if not (isinstance(child, Uniform) and child.is_leaf):
                _observe_new(observer, child.view(), number)
