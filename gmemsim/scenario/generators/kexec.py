# SPDX-License-Identifier: GPL-2.0-or-later
"""``kexec``: before it starts another kernel, a guest makes everything private that it has shared.

Theory of operation
-------------------
The next kernel knows nothing of the pages that this one has shared, so Linux walks its page tables and takes back
every shared page (``snp_kexec_finish``, arch/x86/coco/sev; ``tdx_kexec_finish``, arch/x86/coco/tdx).  What it converts
depends on what it has shared until then, which only the run knows: this generator goes through the guest's memory from
the bottom, ``piece`` by piece, and the run converts what is shared in each (``model.Unshare``), one conversion a
contiguous range.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar

import attrs

from gmemsim.scenario.format.kinds import Duration, Size
from gmemsim.scenario.model import GuestSpec, Step, Unshare
from gmemsim.scenario.workload import Generator


@attrs.frozen(kw_only=True)
class Kexec(Generator):
    """The guest takes back all that it has shared, within ``duration``."""

    key: ClassVar[str] = "kexec"

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
        for offset in range(0, guest.memory, self.piece):
            size = min(self.piece, guest.memory - offset)
            at = start + self.duration * offset // guest.memory
            yield Unshare(guest=name, at=at, offset=offset, size=size, where=self.where)
