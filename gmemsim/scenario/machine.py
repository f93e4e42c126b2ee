# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory map of the modelled virtual machine, QEMU's q35: where guest-physical memory is and where it is not.

Both the logs (``logs.slots``) and the generators (``generators.swiotlb``) need it.
"""

from __future__ import annotations

from typing import Final

LOW_MEMORY_LIMIT: Final = 0xB000_0000
"""A q35 machine of at least this size has its memory split (QEMU, ``hw/i386/pc_q35.c``, ``lowmem``)."""

LOW_MEMORY_SPLIT: Final = 0x8000_0000
"""Low memory of a q35 machine that is split (same source)."""

ABOVE_4G: Final = 1 << 32
"""Where the memory that the hole displaces continues (QEMU, ``hw/i386/pc.c``, ``above_4g_mem_start``)."""


def low_memory(memory: int) -> int:
    """Bytes below the hole under 4G of a machine of ``memory`` bytes; all of it if there is no hole.

    >>> low_memory(1 << 30) == 1 << 30, low_memory(16 << 30) == 2 << 30
    (True, True)
    """
    return LOW_MEMORY_SPLIT if memory >= LOW_MEMORY_LIMIT else memory
