# SPDX-License-Identifier: GPL-2.0-or-later
"""``kexec``: before it starts another kernel, a guest makes everything private that it has shared.

Theory of operation
-------------------
The next kernel knows nothing of the pages that this one has shared, so Linux walks its page tables and takes back
every shared page (``snp_kexec_finish``, arch/x86/coco/sev; ``tdx_kexec_finish``, arch/x86/coco/tdx).  What it converts
depends on what it has shared until then, which only the run knows: this generator goes through the guest's memory from
the bottom, ``piece`` by piece, and the run converts what is shared in each (``model.Unshare``), one conversion a
contiguous range.

Of a guest with more than :data:`MOST_STEPS` pieces, neighbouring ones are gone through in one step, so that the work is
proportional to what is shared and not to the guest.  Ranges and times of the conversions stay the same, but no step of
another generator comes between those of one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Final

import attrs

from gmemsim.scenario.format.kinds import Duration, Size
from gmemsim.scenario.model import GuestSpec, Step, Unshare
from gmemsim.scenario.workload import Generator

MOST_STEPS: Final = 1 << 16
"""Steps in which a guest's memory is gone through: those of 128 GiB in pieces of 2 MiB."""


@attrs.frozen(kw_only=True)
class Kexec(Generator):
    """The guest takes back all that it has shared, within ``duration``."""

    key: ClassVar[str] = "kexec"
    draws: ClassVar[bool] = False

    piece: Annotated[
        int, Size("most bytes of a conversion; 2M: the largest mapping of the guest's page tables", aligned=True)
    ] = 2 << 20
    duration: Annotated[int, Duration("time to go through all of the memory (100ms: assumed)")] = 100_000_000

    def span(self) -> int:
        """The duration."""
        return self.duration

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """It fits every guest."""
        return iter(())

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """Piece by piece, whatever is shared there."""
        pieces = -(-guest.memory // self.piece)
        stride = -(-pieces // MOST_STEPS) * self.piece
        for offset in range(0, guest.memory, stride):
            size = min(stride, guest.memory - offset)
            begin, end = (self.duration * at // guest.memory for at in (offset, offset + size))
            yield Unshare(
                guest=name,
                at=start + begin,
                offset=offset,
                size=size,
                piece=self.piece,
                span=end - begin,
                retry=self.retry,
                where=self.where,
            )
