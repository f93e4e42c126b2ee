# SPDX-License-Identifier: GPL-2.0-or-later
"""Optimising the vmemmap of a hugepage again: after a merge, or of the pieces of a split.

Theory of operation
-------------------
What folios do not need any more is freed, one call for a folio.  Where the kernel has shared tail pages a folio needs a
new head page first; if that cannot be had the folio stays as it is, silently (DOMAIN.md section 5).  Restoring vmemmap
is part of a split (``restructure``).
"""

from __future__ import annotations

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode


def optimise(inode: Inode, hugepage: Hugepage, needed: int) -> None:
    """Free the vmemmap beyond the ``needed`` pages; may fail silently and leave it as it is."""
    surplus = hugepage.restored - needed
    if surplus > 0:
        hugepage.optimise_failed = not _optimise_folio(inode, hugepage, surplus)


def optimise_pieces(inode: Inode, hugepage: Hugepage) -> None:
    """Optimise each piece that is a hugepage itself, one call for each; those that fail keep their vmemmap.

    The hugepage has just been split and all of its vmemmap is there.
    """
    layout, failed = inode.host.vmemmap, False
    for order, number in hugepage.folios.items():
        if layout.optimizable(order):
            for _ in range(number):
                failed |= not _optimise_folio(inode, hugepage, layout.restored(order))
    hugepage.optimise_failed = failed


def _optimise_folio(inode: Inode, hugepage: Hugepage, pages: int) -> bool:
    """Free so many vmemmap ``pages`` of one folio; False, and nothing freed, if that could not be done."""
    if inode.host.kernel.shared_tail_pages:
        try:
            inode.vmemmap.alloc(1)  # a folio's new head page, one folio at a time; the old one goes with the others
        except OutOfMemory:
            inode.stats.optimise_failures += 1
            return False
        inode.vmemmap.free(1)
    hugepage.restored -= pages
    inode.vmemmap.free(pages)
    inode.work.vmemmap_pages_freed += pages
    inode.work.optimises += 1
    inode.host.count_flush()
    return True
