# SPDX-License-Identifier: GPL-2.0-or-later
"""``flip``: a badly written guest that shares the same range and takes it back, again and again.

Synthetic.  It is the worst case of an eager merge (every round splits and merges the hugepage) and what a
hysteresis is for (DOMAIN.md section 4, variants).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar

import attrs

from gmemsim.scenario.format.kinds import LARGEST, Count, Duration, Size
from gmemsim.scenario.model import Extent, GuestSpec, Step, bytes_of
from gmemsim.scenario.workload import MOST_CONVERSIONS, Generator, misfit


@attrs.frozen(kw_only=True)
class Flip(Generator):
    """``count`` rounds: to shared, ``interval`` later to private, ``interval`` later the next round."""

    key: ClassVar[str] = "flip"
    draws: ClassVar[bool] = False

    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[
        Extent | None,
        Size("bytes of the range, or all: to the guest's end; one page if absent", aligned=True, whole=True),
    ] = None
    count: Annotated[int, Count("rounds", least=1, most=MOST_CONVERSIONS)]
    interval: Annotated[int, Duration("from one conversion to the next")]

    def span(self) -> int:
        """From the first conversion to the last."""
        return (2 * self.count - 1) * self.interval

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, a span past the end of time."""
        for key, message in misfit(self.offset, self.size or page_size, guest):
            yield "offset" if self.size is None else key, message
        if self.span() > LARGEST:
            yield "interval", "found more than 2^63 ns in all, expected less"

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """Alternating conversions of the range."""
        size = bytes_of(self.size or page_size, self.offset, guest.memory)
        for i in range(self.count):
            at = start + 2 * i * self.interval
            yield self.convert(name, at, self.offset, size, "shared")
            yield self.convert(name, at + self.interval, self.offset, size, "private")
