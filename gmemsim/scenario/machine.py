# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory map of the modelled virtual machine, one of QEMU's: where guest-physical memory is and where it is not.

Theory of operation
-------------------
A machine with little memory has all of it from address 0 on.  From a ``limit`` on it is split: ``split`` bytes stay
below the hole under 4G that devices need, the rest continues at 4G.  Both the logs (``logs.slots``) and the generators
(``generators.swiotlb``, ``generators.boot``) need it; a new machine type is a row here.
"""

from __future__ import annotations

from typing import Final

import attrs

from gmemsim.registry import Registry

ABOVE_4G: Final = 1 << 32
"""Where the memory that the hole displaces continues (QEMU, ``hw/i386/x86.c``, ``above_4g_mem_start``).

With an AMD CPU and memory that reaches 0xfd00000000 (1012G) it is 1T instead (``AMD_ABOVE_1TB_START`` in
``hw/i386/pc.c``, machine types since 7.1); that is not modelled.
"""


@attrs.frozen
class MachineType:
    """A machine ``name`` of ``limit`` bytes of memory or more keeps ``split`` of them below the hole."""

    name: str
    limit: int
    split: int

    def low_memory(self, memory: int) -> int:
        """Bytes below the hole of a machine of ``memory`` bytes; all of it if there is no hole."""
        return self.split if memory >= self.limit else memory

    def memory_for(self, end: int) -> int | None:
        """The least memory with which addresses below ``end`` are memory; ``None`` if ``end`` lies in the hole.

        >>> MACHINES["q35"].memory_for(0x4_8000_0000) == 16 << 30, MACHINES["q35"].memory_for(0xFEE0_1000)
        (True, None)
        """
        if end <= self.split or end < self.limit:
            return end
        return max(self.limit, self.split + end - ABOVE_4G) if end > ABOVE_4G else None


MACHINES: Final[Registry[MachineType]] = Registry("machine type")
Q35: Final = MACHINES.add("q35", MachineType("q35", limit=0xB000_0000, split=0x8000_0000))
"""QEMU, ``hw/i386/pc_q35.c``, ``pc_q35_init()``: ``lowmem`` is 2G from 0xb0000000 bytes on, else 0xb0000000."""
MACHINES.add("pc", MachineType("pc", limit=0xE000_0000, split=0xC000_0000))
"""QEMU, ``hw/i386/pc_piix.c``, ``pc_init1()``: from ``max_ram_below_4g`` (3.5G) on ``lowmem`` is 3G in machines with
``gigabyte_align`` (all since 2.0)."""


def low_memory(memory: int) -> int:
    """Bytes below the hole under 4G of a q35 machine of ``memory`` bytes; all of it if there is no hole.

    >>> low_memory(1 << 30) == 1 << 30, low_memory(16 << 30) == 2 << 30
    (True, True)
    """
    return Q35.low_memory(memory)
