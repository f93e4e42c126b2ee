# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray's mechanics: growing, descending, storing and freeing nodes.

Theory of operation
-------------------
``head`` is ``None``, a lone entry for index 0, or the top node.  Storing runs in three steps, as in the kernel:
*expand* adds nodes on top until the tree covers the index, *create* descends to the slot and adds the nodes that are
missing on the way, *store* replaces what is in the slot, frees the subtree that stood there, corrects ``count`` and
``nr_values`` and, after an erase, removes empty nodes and shrinks the tree from the top (lib/xarray.c: ``xas_expand``,
``xas_create``, ``xas_store``, ``xas_delete_node``, ``xas_shrink``).

A store of a lower order inside a larger entry replaces that whole entry and keeps its order; splitting is the only way
to make entries smaller.

Allocation may fail at any node.  A store that fails leaves the entries as they were, but may leave empty nodes behind,
exactly where the kernel does.  Freeing is O(1) in the size of the subtree, since every node knows how many it holds.

A :class:`Tree` is what an :class:`~gmemsim.xarray.array.XArray` has inside.  It trusts its arguments; the array checks
them.  The modules ``split``, ``marks``, ``find``, ``check``, ``dump`` and ``lab`` work on a Tree; code outside of this
package works on an XArray.

What may live here: descending, storing and freeing.  Code that puts a node in or takes one out must correct ``nodes``
of all ancestors, ``count`` and ``nr_values`` of the parent and the marks, and must tell the observer; ``check``
verifies all but the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

from gmemsim.errors import OutOfMemory
from gmemsim.xarray import marks
from gmemsim.xarray.allocator import CountingAllocator, NodeAllocator, Prealloc
from gmemsim.xarray.node import (
    FREE_MARK,
    INDEX_MAX,
    MARKS,
    ZERO,
    Chunk,
    Node,
    NodeLike,
    Sibling,
    Uniform,
    Uniforms,
    canonical,
    chunk_of,
    empty_node,
    is_value,
    opened,
    same_entry,
)


def last_to_cover(index: int, shift: int, sibs: int) -> int:
    """The index that a tree must cover to store at ``index`` in a node of ``shift`` (the kernel's ``xas_max``).

    The entry has ``sibs`` siblings.  One that would fill the tree needs one level more, as only slots of nodes hold it.
    """
    if not shift and not sibs:
        return index
    mask = ((sibs + 1) << shift) - 1
    last = index | mask
    return last + 1 & INDEX_MAX if last == mask else last


class NodeObserver(Protocol):
    """Told of every node that changes, as the kernel's ``xas_set_update`` callback is."""

    def updated(self, node: NodeLike, copies: int) -> None:
        """``count`` or ``nr_values`` of ``node`` is new; a Uniform level stands for ``copies`` such nodes."""

    def freed(self, node: NodeLike, copies: int) -> None:
        """``node``, or the ``copies`` that it stands for, leaves the tree (the kernel's callback sees ``count`` 0)."""

    def opened(self, node: Node) -> None:
        """``node`` was one of the nodes that a Uniform stood for, and now has a body of its own."""


@final
class Tree:
    """The nodes of one array, from ``head`` down; ``allocator``, ``chunk_shift``, ``eager``: by default as ``XArray``.

    ``track_free`` (default: no) makes mark 0 mean "free" (``XA_FLAGS_TRACK_FREE``); ``zero_busy`` (default: no) never
    hands out index 0 (``XA_FLAGS_ZERO_BUSY``).  ``observer`` (default: none) is told of every change of a node.
    """

    __slots__ = ("allocator", "chunk", "eager", "head", "marks", "observer", "track_free", "uniforms", "zero_busy")

    def __init__(
        self,
        allocator: NodeAllocator | None = None,
        *,
        chunk_shift: int = 6,
        eager: bool = False,
        track_free: bool = False,
        zero_busy: bool = False,
        observer: NodeObserver | None = None,
    ) -> None:
        self.allocator: NodeAllocator = CountingAllocator() if allocator is None else allocator
        self.chunk: Chunk = chunk_of(chunk_shift)
        self.eager = eager
        self.track_free = track_free
        self.zero_busy = zero_busy
        self.observer: NodeObserver | None = observer
        self.head: object = None
        self.marks = 1 << FREE_MARK if track_free and not zero_busy else 0
        self.uniforms = Uniforms()

    @property
    def nodes(self) -> int:
        """Nodes in the tree, those that a Uniform stands for included."""
        head = self.head
        return head.nodes if isinstance(head, Node) else 0

    @property
    def max_index(self) -> int:
        """The largest index that the tree covers without growing."""
        head = self.head
        return (self.chunk.size << head.shift) - 1 if isinstance(head, Node) else 0

    # -- nodes in and out ------------------------------------------------------------------------------------------

    def _new_node(self, shift: int, offset: int, parent: Node | None, prealloc: Prealloc | None = None) -> Node:
        """A new, empty node, of ``prealloc`` if given, counted in its ``parent`` and above; raises ``OutOfMemory``.

        The kernel tries under the lock.  If that fails it leaves the lock, tries once more (``xas_nomem``) and starts
        the operation again, which comes to this same place: nobody else changes the tree here meanwhile.
        """
        if prealloc is not None:
            prealloc.use(1)
        else:
            try:
                self.allocator.alloc(1)
            except OutOfMemory:
                if not self.allocator.retry():
                    raise
        node = empty_node(self.chunk, shift, offset, parent)
        if parent is not None:
            parent.count += 1
            nodes_changed(parent, 1)
            if self.observer is not None:
                self.observer.updated(parent, 1)
        return node

    def _free_subtree(self, top: NodeLike) -> None:
        """Free ``top`` and all below it; the caller corrects ``nodes`` of its ancestors."""
        self.allocator.free(top.nodes, rcu=True)
        if self.observer is not None:
            _observe_freed(self.observer, top, 1)

    def open_slot(self, node: Node, slot: int, uniform: Uniform) -> Node:
        """Replace ``uniform`` in ``slot`` of ``node`` by the node it stands for, one level deep; tell the observer."""
        node.slots[slot] = child = opened(uniform, slot, node)
        if self.observer is not None:
            self.observer.opened(child)
        return child

    # -- ways down -------------------------------------------------------------------------------------------------
    # All follow nodes as far as they need to, and ask canonical() if they end at a sibling.  They differ in what they
    # do with a Uniform (walk() reads on, the others open it) and with a gap (create() fills it).  Two more, which are
    # asked most and stop at a Uniform, are XArray.load and XArray.get_order: written out there, to save a call.

    def walk(self, index: int) -> tuple[NodeLike | None, int, object]:
        """Descend to the entry that covers ``index`` without changing anything: (its node, canonical slot, entry).

        The node is ``None`` for a lone entry in the head and for an index beyond the tree.
        """
        entry = self.head
        if index > self.max_index:
            return None, 0, None
        node: NodeLike | None = None
        slot = 0
        mask = self.chunk.mask
        while isinstance(entry, NodeLike):
            node = entry
            slot = index >> node.shift & mask
            entry = node.view()[slot]
        if node is not None and isinstance(entry, Sibling):
            slot = canonical(node.view(), slot)
            entry = node.view()[slot]
        return node, slot, entry

    def walk_to(self, index: int, shift: int) -> tuple[Node | None, int, object]:
        """Descend as far as a node of ``shift``, opening Uniforms: (node, slot, what is in the slot).

        ``index`` must be covered by the tree.  The node is ``None`` if the head itself is the place, which is the
        whole tree where its top node is lower than ``shift``.
        """
        entry = self.head
        node: Node | None = None
        slot = 0
        mask = self.chunk.mask
        while True:
            if isinstance(entry, Node):
                if shift > entry.shift:
                    break
                node = entry
            elif isinstance(entry, Uniform):
                if shift > entry.shift:
                    break
                assert node is not None
                node = self.open_slot(node, slot, entry)
            else:
                break
            slot = index >> node.shift & mask
            entry = node.slots[slot]
        if node is not None and isinstance(entry, Sibling):
            slot = canonical(node.slots, slot)
            entry = node.slots[slot]
        return node, slot, entry

    def growth(self, last: int) -> int:
        """Nodes that a tree which holds something needs on top of it to cover index ``last``; 0 if it does."""
        head = self.head
        if isinstance(head, Node):
            shift, nodes = head.shift, 0
        elif last:
            shift, nodes = 0, 1
        else:
            return 0
        while last >> shift > self.chunk.mask:
            shift += self.chunk.shift
            nodes += 1
        return nodes

    def expand(self, last: int, prealloc: Prealloc | None = None) -> int:
        """Grow the tree to cover index ``last``, with nodes of ``prealloc`` (default: of the allocator).

        Returns the shift from which to descend (that of the head, one level up).
        """
        head = self.head
        step = self.chunk.shift
        if head is None and self.zero_busy:
            head = ZERO
        if head is None:
            shift = 0
            if not last:
                return 0
            while last >> shift >= self.chunk.size:
                shift += step
            return shift + step
        shift = head.shift + step if isinstance(head, Node) else 0
        while last > self.max_index:
            node = self._new_node(shift, 0, None, prealloc)
            node.count = 1
            node.nr_values = int(is_value(head))
            node.slots[0] = head
            self._mark_new_top(node)
            if isinstance(head, Node):
                head.parent = node
                node.nodes += head.nodes
            self.head = head = node
            if self.observer is not None:
                self.observer.updated(node, 1)
            shift += step
        return shift

    def _mark_new_top(self, node: Node) -> None:
        """Give the new top ``node`` the marks of the array; in allocating arrays its other slots are free."""
        bits = [self.marks >> mark & 1 for mark in range(MARKS)]
        if self.track_free:
            free = (1 << self.chunk.size) - 1
            bits[FREE_MARK] = free if self.marks >> FREE_MARK & 1 else free & ~1
            self.marks |= 1 << FREE_MARK
        node.marks = tuple(bits)

    def create(self, index: int, shift: int, sibs: int, *, allow_root: bool = True) -> tuple[Node | None, int, object]:
        """Descend to the slot for a store at ``index`` in a node of ``shift``, adding the nodes that are missing.

        Returns (node, slot, what is in it); the node is ``None`` for the head, unless ``allow_root`` (default: yes) is
        false.  Stops higher up at an entry that is larger.  The store takes ``sibs`` slots after the first.  Raises
        ``OutOfMemory`` at a node that cannot be had; nodes added before it stay, empty, as they do in the kernel.
        """
        head = self.head
        if isinstance(head, Node) and index + (sibs + 1 << shift) < self.chunk.size << head.shift:
            level = head.shift + self.chunk.shift  # well inside: the common case
        else:
            level = self.expand(last_to_cover(index, shift, sibs))
        if not level and not allow_root:
            level = self.chunk.shift
        node: Node | None = None
        offset = 0
        entry = self.head
        mask = self.chunk.mask
        while level > shift:
            level -= self.chunk.shift
            if entry is None:
                child = self._new_node(level, offset, node)
                if self.track_free:
                    child.marks = ((1 << self.chunk.size) - 1, *child.marks[1:])
                if node is None:
                    self.head = child
                else:
                    node.slots[offset] = child
                node = child
            elif isinstance(entry, Node):
                node = entry
            elif isinstance(entry, Uniform):
                assert node is not None
                node = self.open_slot(node, offset, entry)
            else:
                break
            offset = index >> node.shift & mask
            entry = node.slots[offset]
        if node is not None and isinstance(entry, Sibling):
            offset = canonical(node.slots, offset)
            entry = node.slots[offset]
        return node, offset, entry

    # -- storing ---------------------------------------------------------------------------------------------------

    def store_at(self, index: int, shift: int, sibs: int, entry: object) -> tuple[object, int]:
        """Put ``entry`` (``None`` erases) into the slot of ``index`` in a node of ``shift`` and the ``sibs`` after it.

        Returns what was in the first slot (a node counts as ``None``) and the siblings really written: none where a
        larger entry took the store.  Raises ``OutOfMemory`` as :meth:`create` does.
        """
        if entry is None:
            if index > self.max_index:
                return None, sibs
            node, offset, first = self.walk_to(index, shift)
        else:
            node, offset, first = self.create(index, shift, sibs, allow_root=entry is not ZERO)
        if node is None:
            self._store_head(first, entry)
        else:
            if shift < node.shift:
                sibs = 0
            if sibs or isinstance(first, NodeLike) or not same_entry(first, entry):
                self._store_slots(node, offset, sibs, entry)
        return None if isinstance(first, NodeLike) else first, sibs

    def store_run(self, index: int, order: int, entries: Sequence[object]) -> None:
        """Store ``entries`` of ``order``, neither ``None`` nor zero entries, side by side from ``index`` on.

        The same as a store for each, but what fits into one node is written together where nothing is in its place.
        Raises ``OutOfMemory`` as :meth:`create` does; what was stored so far stays.  O(entries).
        """
        chunk = self.chunk
        shift, width = chunk.levels[order], chunk.widths[order]
        done = 0
        while done < len(entries):
            node, slot, _ = self.create(index, shift, width - 1)
            room = min(chunk.size - slot, (len(entries) - done) * width)
            if (
                node is None
                or self.track_free
                or self.observer is not None
                or any(held is not None for held in node.slots[slot : slot + room])  # a larger entry is one of them
            ):
                self.store_at(index, shift, width - 1, entries[done])
                stored = 1
            else:
                stored = room // width
                _fill(chunk, node, slot, width, entries[done : done + stored])
            done += stored
            index += stored << order

    def _store_head(self, first: object, entry: object) -> None:
        if entry is None:
            marks.init(self, None, 0)
        self.head = entry
        if isinstance(first, Node):
            self._free_subtree(first)

    def _store_slots(self, node: Node, offset: int, sibs: int, entry: object) -> None:
        if sibs:
            marks.squash(node, offset, sibs)
        if entry is None:
            marks.init(self, node, offset)
        slots = node.slots
        end = whole = offset + sibs + 1
        # Past the end, siblings of what is replaced are the new entry's (or, erasing, nobody's) from now on.
        while whole < len(slots) and isinstance(slots[whole], Sibling):
            whole += 1
        count, values = self._dropped(node, slots[offset:whole])
        if entry is None:
            slots[offset:whole] = [None] * (whole - offset)
        else:
            slots[offset] = entry
            if sibs:
                slots[offset + 1 : end] = [self.chunk.siblings[offset]] * sibs
            count += whole - offset
            if isinstance(entry, int):
                values += whole - offset
        if count or values:
            node.count += count
            node.nr_values += values
            if self.observer is not None:
                self.observer.updated(node, 1)
            if count < 0:
                self._delete_empty(node)

    def _dropped(self, node: Node, replaced: list[object]) -> tuple[int, int]:
        """Free what hangs in the slots that are ``replaced``; how ``count`` and ``nr_values`` change by their loss."""
        freed = count = values = nodes = 0
        empty, value = True, False
        before: object = None
        for old in replaced:
            if old is not before:  # mostly it is: one Uniform, one entry or its siblings fill many slots
                before = old
                empty = old is None
                nodes = old.nodes if isinstance(old, NodeLike) else 0
                if not isinstance(old, Sibling):
                    value = isinstance(old, int)
            freed += nodes
            count += empty
            values -= value
            if self.observer is not None and isinstance(old, NodeLike):
                _observe_freed(self.observer, old, 1)
        if freed:
            self.allocator.free(freed, rcu=True)
            nodes_changed(node, -freed)
        return count - len(replaced), values

    def _delete_empty(self, node: Node) -> None:
        """Free ``node`` if nothing is left in it, then its parent likewise; shrink the tree if the top is reached."""
        while not node.count:
            parent = node.parent
            self._free_node(node)
            if parent is None:
                self.head = None
                return
            parent.slots[node.offset] = None
            parent.count -= 1
            nodes_changed(parent, -1)
            if self.observer is not None:
                self.observer.updated(parent, 1)
            node = parent
        if node.parent is None:
            self._shrink(node)

    def _free_node(self, node: Node) -> None:
        self.allocator.free(1, rcu=True)
        if self.observer is not None:
            self.observer.freed(node, 1)

    def _shrink(self, top: Node) -> None:
        """Take off top nodes whose only slot in use is the first, as long as what is in it can be the head."""
        while top.count == 1:
            entry = top.slots[0]
            if entry is None:
                return
            if isinstance(entry, Uniform):
                entry = self.open_slot(top, 0, entry)
            if not isinstance(entry, Node) and top.shift:
                return
            if self.track_free and not top.marks[FREE_MARK] & 1:
                self.marks &= ~(1 << FREE_MARK)
            self.head = None if entry is ZERO and self.zero_busy else entry
            self._free_node(top)
            if not isinstance(entry, Node):
                return
            entry.parent = None
            entry.offset = 0
            top = entry

    def destroy(self) -> None:
        """Free every node and forget every entry (``xa_destroy``)."""
        head = self.head
        self.head = None
        self.uniforms.clear()
        marks.init(self, None, 0)
        if self.zero_busy:
            self.marks &= ~(1 << FREE_MARK)
        if isinstance(head, Node):
            self._free_subtree(head)


def _fill(chunk: Chunk, node: Node, slot: int, width: int, entries: Sequence[object]) -> None:
    """Put ``entries`` of ``width`` slots each into the empty slots of ``node`` from ``slot`` on."""
    slots = node.slots
    for entry in entries:
        slots[slot] = entry
        if width > 1:
            slots[slot + 1 : slot + width] = [chunk.siblings[slot]] * (width - 1)
        if isinstance(entry, int):
            node.nr_values += width
        slot += width
    node.count += width * len(entries)


def nodes_changed(node: Node | None, delta: int) -> None:
    """``delta`` nodes more below ``node``: count them there and above."""
    while node is not None:
        node.nodes += delta
        node = node.parent


def _observe_freed(observer: NodeObserver, node: NodeLike, copies: int) -> None:
    """Tell ``observer`` of ``copies`` subtrees like ``node`` that are gone, without visiting what is all alike."""
    if isinstance(node, Uniform):
        if not node.is_leaf:
            _observe_freed(observer, node.below, copies * node.chunk.size)
    else:
        for child in node.view():
            if isinstance(child, NodeLike):
                _observe_freed(observer, child, copies)
    observer.freed(node, copies)
