# SPDX-License-Identifier: GPL-2.0-or-later
"""Work: what the host has done, in exact counts.

The host owns one :class:`Work`, as it owns one ledger; whoever does something counts it there.  What one call did is
the difference between two moments (:meth:`Work.counts`, :meth:`Work.since`).  ``host.costs`` prices the counts.

A new counter is an attribute of :class:`Work`, in :meth:`Work.counts` too, and its phase in :data:`PHASES`, at the same
place of the lists;
the default profile must then say what it costs, or that it is not priced (profiles that bear a source's name say the
latter by themselves).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Counts = tuple[int, ...]
"""The values of all counters, in the order of :data:`COUNTERS`."""


class Work:
    """Counters, all of which only grow.  The constructor takes them by name, or in the order of :data:`COUNTERS`.

    Each is 0 by default; what it counts stands beside it below.
    """

    def __init__(  # noqa: PLR0915 - one line a counter
        self,
        nodes_allocated: int = 0,
        nodes_freed: int = 0,
        slots_written: int = 0,
        folios_split: int = 0,
        entries_stored: int = 0,
        folios_merged: int = 0,
        vmemmap_pages_restored: int = 0,
        vmemmap_pages_freed: int = 0,
        restores: int = 0,
        optimises: int = 0,
        pages_copied: int = 0,
        tlb_flushes: int = 0,
        rcu_synchronisations: int = 0,
        conversions: int = 0,
        zapped_pages: int = 0,
        allocations: int = 0,
        bytes_zeroed: int = 0,
        pages_allocated: int = 0,
        base_pages_allocated: int = 0,
        bytes_cleared: int = 0,
        host_pages_unmapped: int = 0,
        exits: int = 0,
        kicks: int = 0,
        pages_accepted: int = 0,
        rmp_updates: int = 0,
        psmashes: int = 0,
        demotes: int = 0,
    ) -> None:
        self.nodes_allocated = nodes_allocated
        """XArray nodes taken for a filemap."""
        self.nodes_freed = nodes_freed
        """XArray nodes given back, after a grace period or at once."""
        self.slots_written = slots_written
        """Slots of nodes written by splits and stores: 64 for each node that a split fills."""
        self.folios_split = folios_split
        """Folios that were taken apart: 1 for 1G to 4K."""
        self.entries_stored = entries_stored
        """Filemap entries stored for single folios, such as one for each page of a hugepage that was split."""
        self.folios_merged = folios_merged
        """Folios that were joined into larger ones: 262,144 for 4K to 1G."""
        self.vmemmap_pages_restored = vmemmap_pages_restored
        """vmemmap pages allocated by restores."""
        self.vmemmap_pages_freed = vmemmap_pages_freed
        """vmemmap pages freed by optimises."""
        self.restores = restores
        """Calls that restore the vmemmap of one hugepage."""
        self.optimises = optimises
        """Calls that optimise the vmemmap of one hugepage."""
        self.pages_copied = pages_copied
        """Pages whose contents were copied, such as each vmemmap page that is restored."""
        self.tlb_flushes = tlb_flushes
        """Flushes of the kernel's TLB on all CPUs."""
        self.rcu_synchronisations = rcu_synchronisations
        """Waits for a grace period, ``synchronize_rcu()``."""
        self.conversions = conversions
        """Conversion calls' ordinary part: everything but restructuring."""
        self.zapped_pages = zapped_pages
        """Base pages removed from the guest's second-stage tables."""
        self.allocations = allocations
        """Hugepages taken from the pool for a guest."""
        self.bytes_zeroed = bytes_zeroed
        """Bytes zeroed at merges: what of the merged folio nobody has ever touched."""
        self.pages_allocated = pages_allocated
        """The size of those hugepages in base pages: 512 for each of 2M, 262,144 for each of 1G."""
        self.base_pages_allocated = base_pages_allocated
        """Base pages given to a guest_memfd that has no hugepages."""
        self.bytes_cleared = bytes_cleared
        """Bytes cleared because their memory was allocated, or first touched (``KernelSwitches.clearing``)."""
        self.host_pages_unmapped = host_pages_unmapped
        """Base pages taken away from host processes that had them mapped."""
        self.exits = exits
        """Exits of the guest that ask for a conversion, those included that then find nothing to do."""
        self.kicks = kicks
        """vCPUs kicked: all of the guest's for each zap that unmaps something and for each TDX demote."""
        self.pages_accepted = pages_accepted
        """Base pages of private memory that the guest accepts at its first touch (PVALIDATE, TDG.MEM.PAGE.ACCEPT)."""
        self.rmp_updates = rmp_updates
        """Base pages whose RMP entry changes: SNP, RMPUPDATE; 512 for an entry of 2M."""
        self.psmashes = psmashes
        """RMP entries of 2M that are split because a part changes: SNP, PSMASH."""
        self.demotes = demotes
        """Second-stage leaves of 2M that are split into base pages: TDX, TDH.MEM.PAGE.DEMOTE."""

    def counts(self) -> Counts:
        """All counters now, in the order of :data:`COUNTERS`; written out, since every call of a guest asks for it."""
        return (
            self.nodes_allocated,
            self.nodes_freed,
            self.slots_written,
            self.folios_split,
            self.entries_stored,
            self.folios_merged,
            self.vmemmap_pages_restored,
            self.vmemmap_pages_freed,
            self.restores,
            self.optimises,
            self.pages_copied,
            self.tlb_flushes,
            self.rcu_synchronisations,
            self.conversions,
            self.zapped_pages,
            self.allocations,
            self.bytes_zeroed,
            self.pages_allocated,
            self.base_pages_allocated,
            self.bytes_cleared,
            self.host_pages_unmapped,
            self.exits,
            self.kicks,
            self.pages_accepted,
            self.rmp_updates,
            self.psmashes,
            self.demotes,
        )

    def since(self, before: Counts) -> Work:
        """What has been done since :meth:`counts` said ``before``."""
        return Work(*map(operator.sub, self.counts(), before))

    @staticmethod
    def of(counts: Counts) -> Work:
        """The work that ``counts`` say."""
        return Work(*counts)

    def add(self, other: Work) -> None:
        """Count ``other`` in."""
        for name, count in zip(COUNTERS, other.counts(), strict=True):
            setattr(self, name, getattr(self, name) + count)

    def __add__(self, other: Work) -> Work:
        return Work(*map(operator.add, self.counts(), other.counts()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Work) and self.counts() == other.counts()

    def __repr__(self) -> str:
        done = ((name, getattr(self, name)) for name in COUNTERS)
        return f"Work({', '.join(f'{name}={count}' for name, count in done if count)})"


PHASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nodes_allocated": "nodes",
        "nodes_freed": "nodes",
        "slots_written": "split",
        "folios_split": "split",
        "entries_stored": "store",
        "folios_merged": "merge",
        "vmemmap_pages_restored": "vmemmap",
        "vmemmap_pages_freed": "vmemmap",
        "restores": "vmemmap",
        "optimises": "vmemmap",
        "pages_copied": "vmemmap",
        "tlb_flushes": "tlb",
        "rcu_synchronisations": "rcu",
        "conversions": "convert",
        "zapped_pages": "zap",
        "allocations": "allocate",
        "bytes_zeroed": "zero",
        "pages_allocated": "allocate",
        "base_pages_allocated": "allocate",
        "bytes_cleared": "clear",
        "host_pages_unmapped": "unmap",
        "exits": "exit",
        "kicks": "kick",
        "pages_accepted": "accept",
        "rmp_updates": "rmp",
        "psmashes": "rmp",
        "demotes": "demote",
    }
)
"""Which phase of an operation each counter belongs to."""

COUNTERS: Final = tuple(PHASES)
"""The names of all counters."""
