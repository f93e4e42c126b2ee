# SPDX-License-Identifier: GPL-2.0-or-later
"""``swiotlb``: the bounce buffer of a confidential guest, one contiguous block shared early in boot.

Theory of operation
-------------------
Devices cannot reach private memory, so Linux copies their data through one block that it shares as a
whole.  Its size is 6 % of memory, clamped to 64 MiB … 1 GiB (``mem_encrypt_setup_arch()``,
arch/x86/mm/mem_encrypt.c; DOMAIN.md section 6), rounded up to whole pages here.  It must lie below 4 GiB
(``memblock_alloc_low()`` in ``swiotlb_memblock_alloc()``, kernel/dma/swiotlb.c), and the kernel's early allocator
works from the top down; so it is placed at the top of the low memory of QEMU's q35 machine.  That the block starts
at a multiple of 2M is **assumed**: the kernel asks for a page's alignment, and firmware tables at the top of low
memory would shift it.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Final

import attrs

from gmemsim.scenario.format.kinds import Count, Size
from gmemsim.scenario.machine import low_memory
from gmemsim.scenario.model import GuestSpec, Step
from gmemsim.scenario.workload import Sharing
from gmemsim.units import size_name

PERCENT: Final = 6
"""Per cent of memory (DOMAIN.md section 6)."""
SMALLEST: Final = 64 << 20
"""Lower end of the clamp (DOMAIN.md section 6)."""
LARGEST: Final = 1 << 30
"""Upper end of the clamp (DOMAIN.md section 6)."""

ALIGNMENT: Final = 2 << 20
"""Of the block's first byte: **assumed**."""


@attrs.frozen
class Block:
    """Where the bounce buffer is: ``offset`` in bytes from the start of the guest_memfd; ``size`` 0: there is none."""

    offset: int
    size: int


def place_block(memory: int, page_size: int, percent: int, smallest: int, largest: int) -> Block | None:
    """The block of a guest with ``memory`` bytes, or ``None`` if it does not fit.

    It has ``percent`` of the memory, from ``smallest`` to ``largest`` bytes, in whole pages of ``page_size`` bytes.
    """
    wanted = min(max(memory * percent // 100, smallest), largest)
    size = -(-wanted // page_size) * page_size
    low = low_memory(memory)
    alignment = max(ALIGNMENT, page_size)
    if size > low:
        return None
    return Block((low - size) // alignment * alignment, size)


def describe_misfit(memory: int) -> str:
    """What a message says about a block that does not fit into a guest of ``memory`` bytes."""
    return f"found a bounce buffer too large for the low memory of {size_name(memory)}, expected a smaller one"


@attrs.frozen(kw_only=True)
class Swiotlb(Sharing):
    """Share the bounce buffer: one conversion at the start."""

    key: ClassVar[str] = "swiotlb"
    draws: ClassVar[bool] = False

    percent: Annotated[int, Count("its size in per cent of memory", most=100)] = PERCENT
    min: Annotated[int, Size("at least", aligned=True, zero=True)] = SMALLEST
    max: Annotated[int, Size("at most; 0 for none", aligned=True, zero=True)] = LARGEST

    def span(self) -> int:
        """It takes no time."""
        return 0

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A block that does not fit into the guest."""
        if place_block(guest.memory, page_size, self.percent, self.min, self.max) is None:
            yield "min", describe_misfit(guest.memory)

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """One conversion."""
        block = place_block(guest.memory, page_size, self.percent, self.min, self.max)
        if block is not None and block.size:
            yield self.convert(name, start, block.offset, block.size, "shared")
