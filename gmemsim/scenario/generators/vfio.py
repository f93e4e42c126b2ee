# SPDX-License-Identifier: GPL-2.0-or-later
"""``vfio``: a device is assigned to the guest, so pins follow what the generators inside share.

Theory of operation
-------------------
A device may reach shared memory only, and what it may reach is pinned.  QEMU therefore maps a range for it right after
the range became shared and unmaps it right before it becomes private, in units of 4K (DOMAIN.md section 6), which is
what this step adds to the conversions of the generators inside it: a ``pin`` for every ``unit`` that became shared, an
``unpin`` for every one that is about to be private.  ``unmap: false`` is the VMM that forgets to: to-private then
fails with EAGAIN for as long as the pins last.

What is pinned is remembered for each guest, in ranges, so a page that is shared twice is pinned once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, ClassVar

import attrs

from gmemsim.gmem.ranges import RangeSet, gaps
from gmemsim.scenario.format.kinds import Flag, Size
from gmemsim.scenario.model import Convert, Pin, RangeStep, Scenario, Step, Unpin, Unshare
from gmemsim.scenario.workload import Composite


@attrs.frozen(kw_only=True)
class Vfio(Composite):
    """Pin what the generators ``steps`` share and unpin it before it is private again."""

    key: ClassVar[str] = "vfio"

    unit: Annotated[int | None, Size("bytes of a mapping; one page if absent, 4K in QEMU", aligned=True)] = None
    unmap: Annotated[bool, Flag("unmap before the conversion to private, as QEMU does")] = True

    def expand(self, scenario: Scenario, path: str = "", start: int = 0) -> Iterator[Step]:
        """The steps of the parts with pins and unpins between them."""
        page = scenario.host.page_size
        pinned: defaultdict[str, RangeSet] = defaultdict(RangeSet)
        for step in super().expand(scenario, path, start):
            if isinstance(step, Convert | Unshare) and self.unmap and getattr(step, "to", "private") == "private":
                yield from self._unpins(step, pinned[step.guest], page)
            yield step
            if isinstance(step, Convert) and step.to == "shared":
                yield from self._pins(step, pinned[step.guest], page)

    def _pins(self, step: Convert, pinned: RangeSet, page: int) -> Iterator[Step]:
        first, last = step.offset // page, (step.offset + step.size) // page
        for low, high in list(gaps(pinned.ranges(first, last), first, last)):
            for offset, size in self._units(low * page, high * page, page):
                yield Pin(guest=step.guest, at=step.at, offset=offset, size=size, where=self.where)
        pinned.add(first, last)

    def _unpins(self, step: RangeStep, pinned: RangeSet, page: int) -> Iterator[Step]:
        first, last = step.offset // page, (step.offset + step.size) // page
        for low, high in list(pinned.ranges(first, last)):
            for offset, size in self._units(low * page, high * page, page):
                yield Unpin(guest=step.guest, at=step.at, offset=offset, size=size, where=self.where)
        pinned.remove(first, last)

    def _units(self, low: int, high: int, page: int) -> Iterator[tuple[int, int]]:
        unit = self.unit or page
        for offset in range(low, high, unit):
            yield offset, min(unit, high - offset)
