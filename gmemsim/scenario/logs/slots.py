# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory slots: from guest-physical addresses, which logs have, to offsets in a guest_memfd.

Theory of operation
-------------------
A virtual machine's memory is not contiguous: QEMU's machines leave a hole below 4 GiB for devices, and what would lie
there follows at 4 GiB (``scenario.machine``).  A :class:`Slot` maps a range of guest-physical addresses to a range of
the file.  Slots overlap neither in addresses nor in the file (an alias would convert memory twice).  :class:`SlotMap`
looks addresses up; slots that continue each other on both sides count as one, so that a range may cross from one to
the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import attrs

from gmemsim.scenario.format.kinds import Size
from gmemsim.scenario.machine import ABOVE_4G, MACHINES
from gmemsim.units import parse_size, size_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@attrs.frozen
class Slot:
    """``size`` bytes of memory at the guest-physical address ``gpa``, which are the file's from ``offset`` on."""

    gpa: Annotated[int, Size("guest-physical address of its first byte", aligned=True, zero=True)]
    size: Annotated[int, Size("bytes", aligned=True)]
    offset: Annotated[int, Size("offset of its first byte in the guest_memfd", aligned=True, zero=True)]

    def __str__(self) -> str:
        """As the command line takes it: ``GPA:SIZE:OFFSET``."""
        return ":".join(map(size_name, (self.gpa, self.size, self.offset)))


def parse_slot(text: str) -> Slot:
    """The slot in ``text``, ``GPA:SIZE:OFFSET``; each part has a unit or is hexadecimal (``0x…``).

    ``ValueError`` says why not.
    """
    parts = text.split(":")
    if len(parts) != 3:
        raise ValueError(f"found {text!r}, expected GPA:SIZE:OFFSET, such as 4G:14G:2G")
    gpa, size, offset = map(parse_size, parts)
    if not size:
        raise ValueError(f"found {text!r}, expected a size of more than 0")
    return Slot(gpa, size, offset)


def default_slots(memory: int, machine: str = "q35") -> tuple[Slot, ...]:
    """The slots of a ``machine`` (default: q35) of ``memory`` bytes: one with much memory has a hole below 4G."""
    low = MACHINES[machine].low_memory(memory)
    if low == memory:
        return (Slot(0, memory, 0),)
    return Slot(0, low, 0), Slot(ABOVE_4G, memory - low, low)


def slot_problems(slots: Sequence[Slot], memory: int, page_size: int) -> Iterator[str]:
    """What is wrong with ``slots`` for a guest of ``memory`` bytes: "found …, expected …".

    ``page_size``, in bytes, is what all parts of a slot must be multiples of.
    """
    if not slots:
        yield "found no slots, expected at least one, or none given for those of a q35 machine"
    for slot in slots:
        odd = [value for value in (slot.gpa, slot.size, slot.offset) if value % page_size]
        if odd:
            page = size_name(page_size)
            yield f"found {size_name(odd[0])} in slot {slot}, expected a multiple of the page size {page}"
        if slot.offset + slot.size > memory:
            yield (
                f"found slot {slot}, which ends at {size_name(slot.offset + slot.size)},"
                f" expected at most the guest's {size_name(memory)}"
            )
    for a, b in pairwise(sorted(slots, key=lambda slot: slot.gpa)):
        if a.gpa + a.size > b.gpa:
            yield f"found slots {a} and {b}, which overlap in addresses, expected each address in one"
    for a, b in pairwise(sorted(slots, key=lambda slot: slot.offset)):
        if a.offset + a.size > b.offset:
            yield f"found slots {a} and {b}, which overlap in the file, expected each offset in one"


class SlotMap:
    """Looks up guest-physical ranges in ``slots`` that do not overlap: O(log n) each."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        merged: list[Slot] = []
        for slot in sorted(slots, key=lambda slot: slot.gpa):
            last = merged[-1] if merged else None
            if last is not None and last.gpa + last.size == slot.gpa and last.offset + last.size == slot.offset:
                merged[-1] = attrs.evolve(last, size=last.size + slot.size)
            else:
                merged.append(slot)
        self._slots = merged or [Slot(0, 0, 0)]
        self._end = max((slot.offset + slot.size for slot in merged), default=0)

    def offsets(
        self, starts: npt.NDArray[np.uint64], sizes: npt.NDArray[np.uint64], in_file: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Where ranges begin in the file, and for each whether one slot holds all of it (its offset is 0 if not).

        ``starts`` and ``sizes`` are in bytes.  A range ``in_file`` is one of the file itself: it must end no later than
        the slots do.
        """
        import numpy as np  # of those who read logs only: it takes a while

        gpas, lengths, offsets = np.array([(s.gpa, s.size, s.offset) for s in self._slots], np.uint64).T
        at = np.maximum(np.searchsorted(gpas, starts, "right"), 1) - 1
        into, room = starts - gpas[at], np.where(in_file, np.uint64(self._end), lengths[at])
        into = np.where(in_file, starts, into)  # below the first slot this is enormous: its numbers have no sign
        inside = (sizes <= room) & (into <= room - np.minimum(sizes, room))
        found = into + np.where(in_file, np.uint64(0), offsets[at])
        return np.where(inside, found, np.uint64(0)).astype(np.int64), inside
