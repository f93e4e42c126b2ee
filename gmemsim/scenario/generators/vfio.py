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
from gmemsim.scenario.model import Convert, Pin, Scenario, SizedStep, Step, Unpin, Unshare
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
        start, end = _pages(step, page)
        for gap_start, gap_end in list(gaps(pinned.ranges(start, end), start, end)):
            for offset, size in self._units(gap_start * page, gap_end * page, page):
                yield Pin(guest=step.guest, at=step.at, offset=offset, size=size, where=self.where)
        pinned.add(start, end)

    def _unpins(self, step: SizedStep, pinned: RangeSet, page: int) -> Iterator[Step]:
        start, end = _pages(step, page)
        for pinned_start, pinned_end in list(pinned.ranges(start, end)):
            for offset, size in self._units(pinned_start * page, pinned_end * page, page):
                yield Unpin(guest=step.guest, at=step.at, offset=offset, size=size, where=self.where)
        pinned.remove(start, end)

    def _units(self, start: int, end: int, page: int) -> Iterator[tuple[int, int]]:
        """The mappings of the bytes ``start`` … ``end``: offset and size of each."""
        unit = self.unit or page
        for offset in range(start, end, unit):
            yield offset, min(unit, end - offset)


def _pages(step: SizedStep, page: int) -> tuple[int, int]:
    """First page and the page after the last; generators say sizes in bytes."""
    assert isinstance(step.size, int)
    return step.offset // page, (step.offset + step.size) // page
