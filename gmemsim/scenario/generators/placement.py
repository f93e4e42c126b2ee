# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a booting Linux guest's shared buffers lie in its memory: named rules, each with its source.

Theory of operation
-------------------
A 2M hugepage is split by one shared page in it, and so is a 1G hugepage; what differs is how many buffers share one.
Spread uniformly, some 130 buffers leave no 1G hugepage of a 16G guest whole.  A kernel does not spread them:

===================  =================================================================================================
bounce buffer        memblock, from the top of the memory below 4G down (``swiotlb_memblock_alloc()``,
                     kernel/dma/swiotlb.c, which asks ``memblock_alloc_low()``; module ``swiotlb``)
firmware             EDK2 hands out pages from the top of low memory down (``CoreFindFreePagesI()``,
                     MdeModulePkg/Core/Dxe/Mem/Page.c): just below the bounce buffer
kernel image         kvmclock of the first 64 vCPUs is in ``.bss..decrypted`` of the image (``hv_clock_boot``,
                     arch/x86/kernel/kvmclock.c), which lies at 16M (``CONFIG_PHYSICAL_START``; KASLR would move it)
memblock             GHCBs are allocated early (``alloc_runtime_data()``, arch/x86/coco/sev/core.c), and memblock goes
                     from the top of memory down (``__memblock_find_range_top_down()``, mm/memblock.c)
buddy allocator      rings and drivers' buffers are unmovable pages of zone Normal, which begins at 4G; of zone DMA32,
                     below the bounce buffer, in a guest that has no more.  Page mobility grouping keeps unmovable
                     pages in few pageblocks of 2M, and free memory is handed out from the lowest pageblock up, since
                     what memblock frees later goes to the tail (``__free_pages_core()``, mm/page_alloc.c, commit
                     7fef431be9c9): they lie in the zone's first ``UNMOVABLE`` bytes
===================  =================================================================================================

Within its pageblocks the buddy allocator may give any page, and the model gives each buffer a pageblock of its own as
long as there are.  That is the *fitted* part: Roth reports one split 2M hugepage for each vCPU and buffer (DOMAIN.md
section 6), where memblock alone would put 16 GHCBs into one.  So the count of split 2M hugepages is the same as if
buffers lay anywhere, and the count of split 1G hugepages, for which nothing is fitted, is a prediction of the rules.

A guest without room for this (a few hundred MiB) has its buffers anywhere, as ``placement: uniform`` says for all.
What may live here: places.  What is shared, and when, is ``boot``'s.
"""

from __future__ import annotations

from random import Random
from typing import Final, Literal

import attrs

from gmemsim.scenario.demand import Blocks, PagePool
from gmemsim.scenario.generators.swiotlb import Block
from gmemsim.scenario.machine import low_memory

Placement = Literal["clustered", "uniform"]

PAGEBLOCK: Final = 2 << 20
"""What page mobility grouping groups: ``pageblock_order``, a PMD with 4K pages."""

UNMOVABLE: Final = 512 << 20
"""The first bytes of a zone that hold its unmovable pages: **assumed**; slabs, stacks and page tables of a guest that
has booted take some hundred MiB."""

IMAGE: Final = 16 << 20
"""Where the kernel's image lies (``CONFIG_PHYSICAL_START``)."""

IMAGE_END: Final = 64 << 20
"""Where it ends at the latest: **assumed**."""


@attrs.frozen
class Demands:
    """How many places of which sort a boot needs in ``memory`` bytes of pages of ``page_size`` bytes.

    ``clocks`` are pages of kvmclock, ``ghcbs`` GHCBs, ``buffers`` buffers of at most ``granule`` bytes.  ``block`` is
    the bounce buffer; ``firmware`` bytes just below it are the firmware's.
    """

    page_size: int
    memory: int
    block: Block
    firmware: int
    clocks: int
    ghcbs: int
    buffers: int
    granule: int

    @property
    def anywhere(self) -> PagePool:
        """All memory beside the bounce buffer and the firmware's pages."""
        gap = (self.block.offset - self.firmware, self.block.size + self.firmware)
        return PagePool(0, self.memory, self.granule, gap=gap)


@attrs.frozen
class Places:
    """Where they are: offsets of the pages of kvmclock, ``clocks``, and of the ``ghcbs``, and a ``pool`` for all other
    buffers.
    """

    clocks: list[int]
    ghcbs: list[int]
    pool: PagePool


def _block_for(granule: int) -> int:
    return -(-granule // PAGEBLOCK) * PAGEBLOCK


def place(placement: Placement, demands: Demands, rng: Random) -> Places:
    """Places by ``placement`` for all ``demands``, which must fit into memory; chance comes from ``rng``."""
    clustered = _clustered(demands) if placement == "clustered" else None
    if clustered is not None:
        return clustered
    pool = demands.anywhere
    clocks = [pool.take(rng) for _ in range(demands.clocks)]
    return Places(clocks, [pool.take(rng) for _ in range(demands.ghcbs)], pool)


def _clustered(demands: Demands) -> Places | None:
    """By the rules of this module; ``None`` if the guest has no room for that."""
    low, top = low_memory(demands.memory), demands.block.offset - demands.firmware
    start, end = (low, demands.memory) if demands.memory > low else (IMAGE_END, top)
    clocks = [IMAGE + i * demands.page_size for i in range(demands.clocks)]
    end = end // PAGEBLOCK * PAGEBLOCK
    ghcbs = [end - i * PAGEBLOCK - demands.page_size for i in range(demands.ghcbs)]
    room = end - demands.ghcbs * PAGEBLOCK - start
    block = _block_for(demands.granule)
    needed = demands.buffers * block
    if top < IMAGE_END or needed > room:
        return None
    return Places(clocks, ghcbs, Blocks(start, min(room, max(needed, UNMOVABLE)), block, demands.granule))
