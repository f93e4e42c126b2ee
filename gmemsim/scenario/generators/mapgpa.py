# SPDX-License-Identifier: GPL-2.0-or-later
"""``mapgpa``: a TDX guest changes the state of a range by MapGPA, which KVM carries out chunk by chunk.

Theory of operation
-------------------
KVM hands at most 2 MiB of a MapGPA to user space at once, counted from the range's start whatever its alignment, and
may answer RETRY between two chunks when an interrupt waits; the guest then asks again from where it was stopped
(``tdx_map_gpa``, arch/x86/kvm/vmx/tdx.c; older QEMU did it itself, with chunks of 64 MiB: ``chunk: 64M``).  So a range
is a conversion for each chunk, and other guests' steps may come between.  A RETRY costs an exit and no conversion; of
what decides it (pending interrupts) nothing is modelled, so it shows only in the time between chunks, ``duration``
divided equally.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Final, get_args

import attrs

from gmemsim.scenario.format.kinds import Choice, Duration, Size
from gmemsim.scenario.model import Extent, GuestSpec, State, Step, bytes_of
from gmemsim.scenario.workload import Generator, misfit, too_many
from gmemsim.units import size_name

CHUNK: Final = 2 << 20
"""``TDX_MAP_GPA_MAX_LEN`` (arch/x86/kvm/vmx/tdx.c; DOMAIN.md section 6)."""


@attrs.frozen(kw_only=True)
class MapGpa(Generator):
    """Make ``size`` bytes at ``offset`` shared or private, ``chunk`` bytes at a time."""

    key: ClassVar[str] = "mapgpa"
    draws: ClassVar[bool] = False

    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[Extent, Size("bytes of the range, or all: to the guest's end", aligned=True, whole=True)]
    to: Annotated[State, Choice("what it becomes", get_args(State))]
    chunk: Annotated[int, Size("most bytes of a conversion; 64M: older QEMU", aligned=True)] = CHUNK
    duration: Annotated[int, Duration("time from the first chunk to the end of the last, retries included")] = 0

    def span(self) -> int:
        """The duration."""
        return self.duration

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, chunks that are too small for it."""
        yield from misfit(self.offset, self.size, guest)
        size = bytes_of(self.size, self.offset, guest.memory)
        yield from too_many("chunk", -(-size // self.chunk), f"chunks of {size_name(max(size, 0))}")

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """One conversion a chunk."""
        size = bytes_of(self.size, self.offset, guest.memory)
        chunks = -(-size // self.chunk)
        for i in range(chunks):
            done = i * self.chunk
            at = start + self.duration * i // chunks
            yield self.convert(name, at, self.offset + done, min(self.chunk, size - done), self.to)
