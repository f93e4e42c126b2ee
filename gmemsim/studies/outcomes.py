# SPDX-License-Identifier: GPL-2.0-or-later
"""What a call that could not have an object leaves, as one of a few kinds.

Theory of operation
-------------------
:class:`Before` notes what a guest looks like before a call; :func:`outcome` compares that with what the call has left.
A failure may leave several things, such as hugepages that are converted and one that is zapped in vain.  It counts as
the worst of them: the rows of :data:`OUTCOMES` are in that order.  docs/failures.md tells all that each failure leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import starmap
from typing import Final

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.inode import Inode
from gmemsim.registry import Registry

AS_BEFORE: Final = "refused and as before"
WITHOUT: Final = "succeeded without it"
BROKEN: Final = "invariant broken"


class Before:
    """What ``guest`` looks like now, as far as an outcome depends on it.  O(ranges of its pages)."""

    def __init__(self, guest: GuestMemfd) -> None:
        inode = guest.inode
        self.shared = list(inode.attributes.shared_ranges(0, inode.pages))
        self.leaves = list(inode.stage2.leaves(0, inode.pages))
        self.host_mapped = list(inode.host_mapped.ranges(0, inode.pages))
        self.folios = guest.folios
        self.left_split = sum(hugepage.left_split for hugepage in inode.hugepages.values())
        stats = inode.stats
        self.lost = stats.lost_hugepages
        self.inconsistent = list(inode.inconsistent.ranges(0, inode.pages))
        self.rollback_failures = stats.rollback_failures
        self.reversals = stats.reversals
        self.zapped = stats.zapped_in_vain


Question = Callable[[Before, Before, Inode], bool]
"""Whether something is so: asked of what was before, of what is now, and of the inode."""


def _inconsistent(before: Before, now: Before, inode: Inode) -> bool:
    return now.rollback_failures > before.rollback_failures and any(starmap(_misfit(inode), now.inconsistent))


def _misfit(inode: Inode) -> Callable[[int, int], bool]:
    def misfit(start: int, end: int) -> bool:
        """Whether a page of the range is shared within a large folio, or a hugepage all private and in pieces."""
        for low, high, hugepage in inode.pieces(start, end):
            if hugepage is None:
                continue
            for first, last in inode.attributes.shared_ranges(low, high):
                if any(order > inode.conversion_order for _, _, order in inode.filemap.folios(first, last)):
                    return True
            private = inode.attributes.all_private(hugepage.first, hugepage.end)
            if private and not hugepage.whole and inode.policy.always_merges_early:
                return True
        return False

    return misfit


def _mappings(before: Before, now: Before, inode: Inode) -> bool:
    return now.leaves != before.leaves or now.host_mapped != before.host_mapped


OUTCOMES: Final[Registry[Question | None]] = Registry("outcome")
"""Every kind of outcome, the worst first, and how it is recognised; the last two by the call's answer alone."""

for _name, _question in (
    (BROKEN, None),
    ("a hugepage lost to the pool", lambda before, now, inode: now.lost > before.lost),
    ("inconsistent", _inconsistent),
    ("rollback failed", lambda before, now, inode: now.rollback_failures > before.rollback_failures),
    ("rolled back", lambda before, now, inode: now.reversals > before.reversals),
    ("zapped without conversion", lambda before, now, inode: now.zapped > before.zapped),
    ("folios left split", lambda before, now, inode: now.left_split > before.left_split),
    ("earlier hugepages converted", lambda before, now, inode: now.shared != before.shared),
    ("done in part", lambda before, now, inode: now.folios != before.folios),
    ("refused, mappings smaller", _mappings),
    (AS_BEFORE, None),
    (WITHOUT, None),
):
    OUTCOMES.add(_name, _question)


def outcome(before: Before, guest: GuestMemfd, *, failed: bool) -> str:
    """The name of what a call of ``guest`` has left; ``failed`` says whether it ended with an errno.

    ``before`` is the state that was noted before the call.
    """
    if not failed:
        return WITHOUT
    now = Before(guest)
    for name, question in OUTCOMES.items():
        if question is not None and question(before, now, guest.inode):
            return name
    return AS_BEFORE
