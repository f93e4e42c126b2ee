# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray's public face: the kernel's calls under the kernel's names.

>>> from gmemsim.xarray import XArray
>>> xa = XArray()
>>> xa.store_order(0, 18, "a 1G folio")
>>> with xa.split_alloc(0, 18, 0) as prealloc:
...     xa.split(0, 18, 0, prealloc=prealloc)
>>> xa.nodes, xa.get_order(4711)
(4162, 0)
>>> xa.store_order(0, 18, "a 1G folio")
>>> xa.nodes
1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

from gmemsim.errors import Busy, Exists, Invalid, OutOfMemory
from gmemsim.xarray import find, marks, split
from gmemsim.xarray.allocator import NodeAllocator, Prealloc
from gmemsim.xarray.check import check
from gmemsim.xarray.dump import Levels, dump, levels
from gmemsim.xarray.node import (
    FREE_MARK,
    INDEX_BITS,
    INDEX_MAX,
    ZERO,
    Chunk,
    Node,
    Sibling,
    Uniform,
    canonical,
    order_in,
    same_entry,
)
from gmemsim.xarray.split import KEEP, Profile
from gmemsim.xarray.tree import NodeObserver, Tree, last_to_cover


@final
class XArray:
    """A sparse array of entries by index (0 to 2**64 - 1), each of which covers ``2**order`` indices.

    ``allocator`` supplies and takes back nodes (default: a :class:`~gmemsim.xarray.allocator.CountingAllocator`).
    ``chunk_shift`` is the base-2 logarithm of the slots in a node, 1 to 6 (default 6, as in the kernel).  ``eager``
    makes every node of a split instead of one Uniform (default: no).  ``profile`` is what the modelled kernel's splits
    can do (default ``rfc``; see :mod:`.split`).  ``track_free`` and ``zero_busy`` make an allocating array (the
    kernel's XA_FLAGS_ALLOC and ALLOC1; default: neither).  ``observer`` is told of every node that changes (default:
    nobody is).  ``tree`` is the tree of nodes, for those that read its structure (``find``, ``dump``, ``check``,
    ``lab``).

    Every call raises ``Invalid`` (EINVAL) for an index or order out of range.  Calls that need nodes raise
    ``OutOfMemory`` (ENOMEM) when the allocator has none, with every entry as it was.  A call costs O(levels), at most
    11 at ``chunk_shift`` 6, unless it says otherwise.  Ranges are the kernel's: ``last`` is the last index, inclusive.
    """

    __slots__ = ("allocator", "chunk", "profile", "tree")

    def __init__(
        self,
        allocator: NodeAllocator | None = None,
        *,
        chunk_shift: int = 6,
        eager: bool = False,
        profile: Profile = "rfc",
        track_free: bool = False,
        zero_busy: bool = False,
        observer: NodeObserver | None = None,
    ) -> None:
        tree = Tree(
            allocator,
            chunk_shift=chunk_shift,
            eager=eager,
            track_free=track_free,
            zero_busy=zero_busy,
            observer=observer,
        )
        self.tree = tree
        self.allocator: NodeAllocator = tree.allocator
        self.chunk: Chunk = tree.chunk
        self.profile: Profile = profile

    # -- reading ---------------------------------------------------------------------------------------------------
    # load() and get_order() are asked most in a simulation.  They go down the tree by themselves, since a call more is
    # a fifth of their time in plain Python; the other ways down are in tree.

    @property
    def empty(self) -> bool:
        """Whether nothing at all is stored, zero entries included (``xa_empty``)."""
        return self.tree.head is None

    @property
    def nodes(self) -> int:
        """Nodes in the tree, those that a Uniform stands for included.  O(1)."""
        head = self.tree.head
        return head.nodes if isinstance(head, Node) else 0

    def load(self, index: int) -> object:
        """The entry that covers ``index``, or ``None`` (``xa_load``)."""
        entry = self.tree.head
        mask = self.chunk.mask
        if not isinstance(entry, Node):
            entry = None if index else entry
        elif not 0 <= index >> entry.shift <= mask:
            entry = None
        else:
            while isinstance(entry, Node):
                slots = entry.slots
                slot = index >> entry.shift & mask
                entry = slots[slot]
            if isinstance(entry, Uniform):
                entry = entry.entry
            elif isinstance(entry, Sibling):
                entry = slots[canonical(slots, slot)]
        if entry is None:  # as it is for an index out of range
            _checked(index)
        return None if entry is ZERO else entry

    def get_order(self, index: int) -> int:
        """Order of the entry that covers ``index``; 0 where there is none (``xa_get_order``)."""
        entry = self.tree.head
        mask = self.chunk.mask
        if not isinstance(entry, Node) or not 0 <= index >> entry.shift <= mask:
            _checked(index)
            return 0
        while isinstance(entry, Node):
            node = entry
            slot = index >> node.shift & mask
            entry = node.slots[slot]
        if isinstance(entry, Uniform):
            return entry.order
        if entry is None:
            _checked(index)
            return 0
        if isinstance(entry, Sibling):
            slot = canonical(node.slots, slot)
        return node.shift + order_in(node.slots, slot)

    def find(self, index: int, last: int = INDEX_MAX, mark: int | None = None) -> tuple[int, object] | None:
        """(index, entry) of the first entry at or after ``index`` and not after ``last`` (default: the last index).

        With ``mark`` (0 to 2) only entries that have it count (default: all do).  Zero entries do not.  ``None`` if
        there is no such entry.  The index is ``index`` itself if that lies inside the entry (``xa_find``).
        """
        return find.find(self.tree, _checked(index), last, mark)

    def find_after(self, index: int, last: int = INDEX_MAX, mark: int | None = None) -> tuple[int, object] | None:
        """Like :meth:`find` (``last``, ``mark`` default as there), but from after ``index`` on (``xa_find_after``)."""
        return find.find_after(self.tree, _checked(index), last, mark)

    def entries(
        self, first: int = 0, last: int = INDEX_MAX, mark: int | None = None
    ) -> Iterator[tuple[int, int, object]]:
        """(first index, order, entry) of every entry that touches ``first`` to ``last`` (default: the whole array).

        With ``mark`` (0 to 2) of those that have it (default: of all).  Zero entries appear as
        :data:`~gmemsim.xarray.node.ZERO`.  The tree must not change meanwhile; a
        :class:`~gmemsim.xarray.lab.cursor.Cursor` allows that.
        """
        return find.entries(self.tree, _checked(first), last, mark)

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int, int, object]]:
        """The entries that touch ``first`` to ``last``, equal neighbours together: (first index, number, order, entry).

        ``last`` is inclusive.  A Uniform costs one step, however many entries it stands for.
        """
        return find.runs(self.tree, _checked(first), last)

    def orders(self, first: int, last: int) -> dict[int, int]:
        """How many entries of each order touch ``first`` to ``last`` (inclusive).  Costs as :meth:`runs`, and less."""
        return find.orders(self.tree, _checked(first), last)

    # -- storing ---------------------------------------------------------------------------------------------------

    def store(self, index: int, entry: object) -> object:
        """Store ``entry`` at ``index`` and return what was there (``xa_store``).

        ``None`` erases, but reserves in an allocating array.  Inside a multi-index entry the whole of it is replaced.
        """
        if entry is None:
            if not self.tree.track_free:
                return self.erase(index)
            entry = ZERO
        old = self._store_one(_checked(index), entry)
        return None if old is ZERO else old

    def _store_one(self, index: int, entry: object) -> object:
        """Store at order 0 and, in an allocating array, mark the index as taken; what was there."""
        tree = self.tree
        old, _ = tree.store_at(index, 0, 0, entry)
        if tree.track_free:
            marks.change(tree, index, FREE_MARK, marked=False)
        return old

    def erase(self, index: int) -> object:
        """Remove the whole entry that covers ``index`` and return it (``xa_erase``)."""
        old, _ = self.tree.store_at(_checked(index), 0, 0, None)
        return None if old is ZERO else old

    def store_order(self, index: int, order: int, entry: object, *, prealloc: Prealloc | None = None) -> None:
        """Store ``entry`` at ``order``; ``index`` is rounded down to it.  ``None`` erases.

        Every smaller entry in the range is replaced and its nodes are freed: this is how a merge is done.  That needs
        nodes only where the tree must grow (:meth:`growth`), from ``prealloc`` (default: the allocator).
        """
        start, shift, sibs = self._slots_of(index, order)
        if prealloc is not None:
            self.tree.expand(last_to_cover(start, shift, sibs), prealloc)
        self.tree.store_at(start, shift, sibs, entry)

    def join(self, index: int, order: int, entry: object, *, prealloc: Prealloc | None = None) -> tuple[int, int]:
        """:meth:`store_order` of ``entry`` over smaller ones: (nodes added on top, nodes freed below).

        ``index``, ``order`` and ``prealloc`` (default: none) are those of :meth:`store_order`.
        """
        before, grown = self.nodes, self.growth(index, order)
        self.store_order(index, order, entry, prealloc=prealloc if grown else None)
        return grown, before + grown - self.nodes

    def store_run(self, index: int, order: int, entries: Sequence[object]) -> None:
        """:meth:`store_order` at ``order`` of each of ``entries``, none of them ``None``, from ``index`` on.

        When memory runs out, what was stored so far stays.  O(entries).
        """
        start, _, _ = self._slots_of(index, order)
        if entries:
            _checked(start + (len(entries) << order) - 1)
            self.tree.store_run(start, order, entries)

    def growth(self, index: int, order: int) -> int:
        """Nodes that :meth:`store_order` of ``order`` at ``index``, over entries there, adds on top of the tree.

        After an erase the tree may have shrunk; an entry as large as the tree then needs a slot a level higher.
        """
        start, shift, sibs = self._slots_of(index, order)
        head = self.tree.head
        if isinstance(head, Node) and start + (1 << order) < self.chunk.size << head.shift:
            return 0  # well inside: the common case
        return self.tree.growth(last_to_cover(start, shift, sibs))

    def store_range(self, first: int, last: int, entry: object) -> None:
        """Store ``entry`` from ``first`` to ``last`` in as few slots as possible (``xa_store_range``).

        Raises ``Invalid`` if ``last < first``.  Of all stores only this one is not atomic: when memory runs out,
        what was stored so far stays, as in the kernel.  O(slots stored to).
        """
        if _checked(last) < _checked(first):
            raise Invalid(f"store_range from {first} to {last}: the end lies before the start")
        tree = self.tree
        if entry is not None:
            order = (last ^ last + 1).bit_length() - 1  # that of a whole array if its last index is the end
            tree.create(*self._slots_of(last, order))
        index = first
        while index <= last:
            shift, sibs = slots_for_range(index, last, self.chunk.shift)
            _, sibs = tree.store_at(index, shift, sibs, entry)
            index += (sibs + 1) << shift

    def create_range(self, index: int, order: int) -> None:
        """Make every node that order-0 stores in the block of ``order`` around ``index`` will need.

        The kernel's ``xas_create_range``.  Raises ``OutOfMemory`` (ENOMEM).  O(nodes made).
        """
        start, shift, sibs = self._slots_of(index, order)
        end = start + ((sibs + 1) << shift)
        for chunk_last in range(end - 1, start - 1, -self.chunk.size):
            self.tree.create(chunk_last, 0, 0)

    def insert(self, index: int, entry: object) -> None:
        """Store ``entry`` (``None`` reserves) at ``index`` if nothing is there (``xa_insert``).

        Raises ``Busy`` (EBUSY) where something is, ``OutOfMemory`` (ENOMEM).
        """
        if self.tree.walk(_checked(index))[2] is not None:
            raise Busy(f"index {index} is in use")
        self._store_one(index, ZERO if entry is None else entry)

    def insert_order(self, index: int, order: int, entry: object) -> None:
        """Store ``entry`` of ``order`` at ``index`` if nothing is in its range; raises ``Exists`` (EEXIST) otherwise.

        This is what the page cache does when it adds a folio (mm/filemap.c, ``__filemap_add_folio``).
        """
        for base, conflict_order, _ in self.conflicts(index, order):
            raise Exists(f"order {order} at {index}: index {base} holds an entry of order {conflict_order}")
        self.store_order(index, order, entry)

    def conflicts(self, index: int, order: int) -> Iterator[tuple[int, int, object]]:
        """The entries that a store of ``order`` at ``index`` would replace (``xas_for_each_conflict``)."""
        first = _checked(index) >> order << order
        return self.entries(first, first + (1 << order) - 1)

    def cmpxchg(self, index: int, old: object, entry: object) -> object:
        """Store ``entry`` at ``index`` if ``old`` is there; returns what was there (``xa_cmpxchg``)."""
        current = self.tree.walk(_checked(index))[2]
        if same_entry(current, old):
            if entry is None:
                self.tree.store_at(index, 0, 0, None)
            else:
                self._store_one(index, entry)
        return None if current is ZERO else current

    def reserve(self, index: int) -> None:
        """Make sure that a store at ``index`` needs no memory: a zero entry if nothing is there (``xa_reserve``)."""
        self.cmpxchg(index, None, ZERO)

    def release(self, index: int) -> None:
        """Undo :meth:`reserve` of ``index`` if nothing has been stored since (``xa_release``)."""
        self.cmpxchg(index, ZERO, None)

    # -- marks -----------------------------------------------------------------------------------------------------

    def set_mark(self, index: int, mark: int) -> None:
        """Set ``mark`` (0 to 2) on the entry that covers ``index``; nothing happens where there is none."""
        marks.change(self.tree, _checked(index), mark, marked=True)

    def clear_mark(self, index: int, mark: int) -> None:
        """Clear ``mark`` on the entry that covers ``index``."""
        marks.change(self.tree, _checked(index), mark, marked=False)

    def get_mark(self, index: int, mark: int) -> bool:
        """Whether the entry that covers ``index`` has ``mark``."""
        return marks.get(self.tree, _checked(index), mark)

    def marked(self, mark: int) -> bool:
        """Whether any entry has ``mark`` (``xa_marked``)."""
        return bool(self.tree.marks >> mark & 1)

    # -- splitting -------------------------------------------------------------------------------------------------

    def split_alloc(self, index: int, order: int, new_order: int) -> Prealloc:
        """Take the nodes for splitting the entry of ``order`` at ``index`` into ``new_order`` (``xas_split_alloc``).

        Raises ``Invalid`` unless ``0 <= new_order < order``; ``OutOfMemory`` where :meth:`check_depth` does, or where a
        node cannot be had (nothing is held then).  O(1).
        """
        if not 0 <= index <= INDEX_MAX:
            _checked(index)
        return split.split_alloc(self.tree, order, new_order, self.profile)

    def preallocate(self, nodes: int) -> Prealloc:
        """Take ``nodes`` nodes for splits to come; raises ``OutOfMemory`` with nothing held.  O(1).

        >>> xa = XArray()
        >>> xa.store_order(0, 18, "a 1G folio")
        >>> with xa.preallocate(xa.nodes_needed(18, 9) + xa.nodes_needed(9, 0)) as prealloc:
        ...     xa.split(0, 18, 9, prealloc=prealloc)
        ...     xa.split(0, 9, 0, prealloc=prealloc)
        >>> xa.nodes, prealloc.used
        (74, 73)
        """
        return Prealloc(self.allocator, nodes)

    def nodes_needed(self, order: int, new_order: int) -> int:
        """Nodes that splitting one entry of ``order`` into ``new_order`` takes; ``Invalid`` as :meth:`split_alloc`."""
        split.check_orders(order, new_order)
        return self.chunk.nodes_needed(order, new_order)

    def check_depth(self, order: int, new_order: int) -> None:
        """Raise ``OutOfMemory`` where the profile's ``xas_split_alloc`` refuses ``order`` to ``new_order`` (ENOMEM)."""
        split.check_depth(self.chunk, order, new_order, self.profile)

    def try_split_fits(self, order: int, new_order: int) -> bool:
        """Whether :meth:`try_split` takes ``order`` to ``new_order``: it needs one node at most."""
        return split.try_accepts(self.chunk, order, new_order)

    def split(self, index: int, order: int, new_order: int, entry: object = KEEP, *, prealloc: Prealloc) -> None:
        """Split the entry of ``order`` that covers ``index`` into ``new_order``, with nodes of ``prealloc``.

        Every new entry is ``entry`` (default: the old entry).  Raises ``Invalid``, with the tree untouched, if there is
        no entry of that order, or if ``prealloc`` has too few nodes.  O(1) for a lazy array, whatever the orders.
        """
        split.split(self.tree, index, order, new_order, entry, prealloc)

    def halve(self, index: int, order: int, new_order: int, *, prealloc: Prealloc) -> None:
        """Split the entry of ``order`` at ``index`` in halves, then the half that covers it, down to ``new_order``.

        The same as :meth:`split` from order to order, with ``prealloc``, but every node is written once.  O(levels).

        >>> xa = XArray()
        >>> xa.store_order(0, 18, "a 1G folio")
        >>> with xa.preallocate(3) as prealloc:
        ...     xa.halve(4711, 18, 0, prealloc=prealloc)
        >>> [xa.get_order(index) for index in (4711, 4710, 4709, 0, 8192)]
        [0, 0, 1, 12, 13]
        """
        split.halve(self.tree, index, order, new_order, prealloc)

    def try_split(self, index: int, order: int, new_order: int, entry: object = KEEP) -> Prealloc:
        """Split the entry of ``order`` at ``index`` into ``new_order`` with at most one node (``xas_try_split``).

        Every new entry is ``entry`` (default: the old one).  The node is taken on the spot; the (closed) account of
        nodes is returned.

        Raises ``Invalid`` where :meth:`try_split_fits` says no, ``OutOfMemory`` if the node cannot be had.
        """
        return split.try_split(self.tree, index, order, new_order, entry)

    # -- allocating arrays -----------------------------------------------------------------------------------------

    def alloc(self, entry: object, first: int = 0, last: int = 0xFFFFFFFF) -> int:
        """Store ``entry`` (``None`` reserves) at the lowest free index from ``first`` to ``last`` and return that.

        ``first`` is 0 and ``last`` is 2**32 - 1 by default, the kernel's ``xa_limit_32b``.  Raises ``Invalid`` for an
        array without ``track_free``, ``Busy`` if none is free (``xa_alloc``).
        """
        if not self.tree.track_free:
            raise Invalid("alloc needs an array that tracks free indices")

        walk = find.MarkedWalk(self.tree, first, last, FREE_MARK)
        walk.advance()
        if walk.exhausted:
            raise Busy(f"no free index from {first} to {last}")
        self._store_one(walk.index, ZERO if entry is None else entry)
        return walk.index

    def alloc_cyclic(self, entry: object, next_index: int, first: int = 0, last: int = 0xFFFFFFFF) -> tuple[int, bool]:
        """Like :meth:`alloc` of ``entry`` up to ``last``, but from ``next_index`` on first: (index, wrapped around).

        If nothing is free there, it starts again from ``first``; defaults of ``first`` and ``last`` as in
        :meth:`alloc`.  The caller passes the index after the one returned next time (``xa_alloc_cyclic`` keeps it in
        ``*next``).
        """
        start = max(first, next_index)
        try:
            return self.alloc(entry, start, last), False
        except (Busy, OutOfMemory):
            if start <= first:
                raise
        return self.alloc(entry, first, last), True

    # -- inspection ------------------------------------------------------------------------------------------------

    def levels(self) -> Levels:
        """Nodes and slots in use by level.  Costs what really exists, not what Uniforms stand for.

        >>> xa = XArray()
        >>> xa.store_order(0, 18, "a 1G folio")
        >>> with xa.split_alloc(0, 18, 0) as prealloc:
        ...     xa.split(0, 18, 0, prealloc=prealloc)
        >>> levels = xa.levels()
        >>> dict(levels.nodes), levels.slots_used[0], levels.visits
        ({18: 1, 12: 1, 6: 64, 0: 4096}, 262144, 4)
        """
        return levels(self.tree)

    def dump(self) -> str:
        """The canonical text of the whole tree, in the format of the golden traces; every line ends in a newline."""
        return dump(self.tree)

    def check(self) -> None:
        """Verify every invariant of every node; ``AssertionError`` with the node and the dump if one is broken."""
        check(self.tree)

    def destroy(self) -> None:
        """Free every node and forget every entry (``xa_destroy``).  O(1)."""
        self.tree.destroy()

    def _slots_of(self, index: int, order: int) -> tuple[int, int, int]:
        """Start, node shift and siblings of an entry of ``order`` around ``index`` (``XA_STATE_ORDER``)."""
        if not 0 <= index <= INDEX_MAX:
            raise _outside(index)
        if not 0 <= order <= INDEX_BITS:
            raise Invalid(f"order is {order}, expected 0 to {INDEX_BITS}")
        shift = self.chunk.levels[order]
        return index >> order << order, shift, (1 << order - shift) - 1


def _checked(index: int) -> int:
    """``index``, or ``Invalid``."""
    if not 0 <= index <= INDEX_MAX:
        raise _outside(index)
    return index


def _outside(index: int) -> Invalid:
    return Invalid(f"index is {index}, expected 0 to {INDEX_MAX}")


def slots_for_range(first: int, last: int, chunk_shift: int) -> tuple[int, int]:
    """Node shift and siblings of the largest run of slots that starts at ``first`` and ends by ``last``.

    The kernel's ``xas_set_range``: goes up ``chunk_shift`` bits while the range starts at a node's first slot and fills
    it.
    """
    mask = (1 << chunk_shift) - 1
    shift, sibs, offset, start = 0, last - first, mask, first
    while start & mask == 0 and sibs >= mask and not (sibs == mask and offset < mask):
        shift += chunk_shift
        if offset == mask:
            offset = sibs & mask
        sibs >>= chunk_shift
        start >>= chunk_shift
    offset = start & mask
    sibs = min(sibs, mask - offset)
    if ((start + sibs + 1) << shift) - 1 > last:
        sibs -= 1
    return shift, sibs
