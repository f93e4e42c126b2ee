# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA nodes: which of the host's nodes each object of kernel memory lies on, and which one runs out.

Theory of operation
-------------------
Every holder of the ledger has a *home*, the node of its guest.  An object lies on its home if that has room; if not, on
the next node that has: the kernel's page allocator and its slabs fall back by distance, of two equally far the one with
the next higher number first (``find_next_best_node()``, mm/page_alloc.c).  All nodes are taken to be equally far.  So
an allocation fails only where no node has room.

Accounts that are *bound* never leave home.  HVO allocates the vmemmap that it restores on the node of the struct
pages (``alloc_vmemmap_page_list()``, mm/hugetlb_vmemmap.c: ``alloc_pages_node()`` with ``page_to_nid()``).  Until Linux
6.6 it did so with ``__GFP_THISNODE``: a full node makes the restore fail however much the others have.  Since 6.7 the
flags are ``GFP_KERNEL | __GFP_RETRY_MAYFAIL``, and it falls back ("mm: hugetlb_vmemmap: allow alloc vmemmap pages
fallback to other nodes", Yuan Can).  The new head page of an optimise (``vmemmap_remap_free()``, ``__GFP_NORETRY |
__GFP_NOWARN``) has the same history.

Objects of a holder are all alike, so which of them is freed is a choice: those away from home first (**assumed**).

What may live here: places of objects.  How many there are is the ledger's.  A host without NUMA nodes has none of this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gmemsim.units import human_size

if TYPE_CHECKING:
    from gmemsim.host.ledger import Holder

_UNLIMITED = sys.maxsize


class Node:
    """The node with this ``number`` (from 0) and a ``budget`` in bytes, ``None`` for no limit."""

    __slots__ = ("budget", "fallbacks", "live_bytes", "number", "peak_bytes")

    def __init__(self, number: int, budget: int | None) -> None:
        self.number = number
        self.budget = budget
        self.live_bytes = 0
        self.peak_bytes = 0
        self.fallbacks = 0
        """Objects whose home this is and which lay on another node when they were allocated."""

    def room(self, object_bytes: int) -> int:
        """Objects of ``object_bytes`` that fit beside what is there."""
        return _UNLIMITED if self.budget is None else (self.budget - self.live_bytes) // object_bytes


class Nodes:
    """The nodes of a host: ``budgets`` in bytes, one for each, ``None`` for no limit.

    Objects of the accounts ``bound`` (default: none) never leave home.  ``ValueError`` for no nodes, or for a budget
    below 0.

    >>> nodes = Nodes([1 << 20, None], bound=("vmemmap",))
    >>> [node.room(4096) > 256 for node in nodes.all]
    [False, True]
    """

    def __init__(self, budgets: Sequence[int | None], *, bound: Sequence[str] = ()) -> None:
        if not budgets or any(budget is not None and budget < 0 for budget in budgets):
            raise ValueError(f"budgets {list(budgets)}: a host has at least one node, and no budget is below 0")
        self.all = tuple([Node(number, budget) for number, budget in enumerate(budgets)])
        self._bound = frozenset(bound)
        self._homes: dict[str, int] = {}
        self._placed: dict[Holder, list[int]] = {}

    def settle(self, guest: str, node: int) -> None:
        """What ``guest`` takes from now on has its home on ``node``; without this, on node 0.

        ``ValueError`` if there is no such node.
        """
        if not 0 <= node < len(self.all):
            raise ValueError(f"{guest} on node {node}: the host has nodes 0 to {len(self.all) - 1}")
        self._homes[guest] = node

    def placed(self, holder: Holder) -> Sequence[int]:
        """How many objects of ``holder`` lie on each node."""
        return self._placed.get(holder) or [0] * len(self.all)

    def fits_at_home(self, holder: Holder, size: int) -> bool:
        """Whether ``size`` more bytes of ``holder`` would all lie on its home."""
        return self.all[self._homes.get(holder.guest, 0)].room(1) >= size

    def room(self, holder: Holder) -> int:
        """Objects that ``holder`` can still have.  O(nodes)."""
        return min(_UNLIMITED, sum([node.room(holder.object_bytes) for node in self._choice(holder)]))

    def refusal(self, holder: Holder) -> str:
        """Why there is no more for ``holder``."""
        home = self.all[self._homes.get(holder.guest, 0)]
        if holder.account in self._bound:
            budget = 0 if home.budget is None else home.budget
            return (
                f"node {home.number} has no room in its {human_size(budget)}, and {holder.account} does not fall back"
            )
        return "no node has room left"

    def grow(self, holder: Holder, live: int) -> None:
        """Find places for what ``holder`` will have with ``live`` objects; there must be some.  O(nodes)."""
        placed = self._placed.setdefault(holder, [0] * len(self.all))
        missing, size = live - sum(placed), holder.object_bytes
        choice = self._choice(holder)
        for node in choice:
            if missing <= 0:
                return
            here = max(0, min(missing, node.room(size)))
            placed[node.number] += here
            node.live_bytes += here * size
            node.peak_bytes = max(node.peak_bytes, node.live_bytes)
            missing -= here
            if node is not choice[0]:
                choice[0].fallbacks += here
        assert missing <= 0, f"{holder.account} of {holder.guest}: no place for {missing} objects"

    def shrink(self, holder: Holder, live: int) -> None:
        """``holder`` has ``live`` objects left: the places of the others are free.  O(nodes)."""
        placed = self._placed.setdefault(holder, [0] * len(self.all))
        surplus = sum(placed) - live
        for node in reversed(self._order(holder)):
            here = max(0, min(surplus, placed[node.number]))
            placed[node.number] -= here
            node.live_bytes -= here * holder.object_bytes
            surplus -= here

    def hand_over(self, holder: Holder, n: int, to: Holder) -> None:
        """``n`` objects of ``holder`` become those of ``to``, which has the same account, where they are."""
        mine = self._placed.setdefault(holder, [0] * len(self.all))
        theirs = self._placed.setdefault(to, [0] * len(self.all))
        for node in reversed(self._order(holder)):
            here = min(n, mine[node.number])
            mine[node.number] -= here
            theirs[node.number] += here
            n -= here

    def problems(self, holders: Sequence[Holder]) -> list[str]:
        """What does not fit together, a line each: places against objects, bytes against places, budgets.

        ``holders`` are all of the ledger's.  O(holders x nodes).
        """
        wrong = []
        for holder in holders:
            placed = self.placed(holder)
            if sum(placed) != holder.live or min(placed) < 0:
                wrong.append(f"{holder.account} of {holder.guest}: {holder.live} objects, on the nodes {list(placed)}")
        for node in self.all:
            found = sum([self.placed(holder)[node.number] * holder.object_bytes for holder in holders])
            if node.live_bytes != found:
                wrong.append(f"node {node.number}: {node.live_bytes} bytes, but its objects have {found}")
            if node.budget is not None and node.peak_bytes > node.budget:
                wrong.append(f"node {node.number}: {node.peak_bytes} bytes at once, the budget is {node.budget}")
        return wrong

    def _order(self, holder: Holder) -> list[Node]:
        """All nodes, those that the kernel asks first at the front."""
        home = self._homes.get(holder.guest, 0)
        return [*self.all[home:], *self.all[:home]]

    def _choice(self, holder: Holder) -> list[Node]:
        """The nodes that objects of ``holder`` may lie on, home first."""
        order = self._order(holder)
        return order[:1] if holder.account in self._bound else order
