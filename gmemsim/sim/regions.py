# SPDX-License-Identifier: GPL-2.0-or-later
"""How many aligned GiB of the hugepage pool have no private page of an SNP guest, over time.

RMPOPT lets the host skip RMP checks there.  What counts as private is said at ``GuestMemfd.private_regions``.  After
every event only the hugepages that it concerns are looked at, and a row is kept where the number has changed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gmemsim.results.recordings import Regions
from gmemsim.results.summary import host_regions

if TYPE_CHECKING:
    from gmemsim.gmem.guest import GuestMemfd
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run


class RegionsRecorder:
    """Collects the :class:`Regions` of ``run``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._total = host_regions(run.host)
        self._shift = run.host.geometry.page_shift
        self._private: dict[tuple[str, int], list[int]] = {}  # by guest and hugepage: its regions with private pages
        self._hugepages: Counter[int] = Counter()  # by region: hugepages with private pages there
        self._rows = [(0, -1, self._total)]

    def see(self, event: Event) -> None:
        """Look at the hugepages that ``event`` may have changed."""
        guest = self._run.guests.get(event.guest or "")
        if guest is None or guest.mapping != "snp" or not guest.page_order:
            return
        start, end = 0, guest.pages
        if event.offset is not None and event.size:
            start, end = event.offset >> self._shift, event.offset + event.size >> self._shift
        for number in range(start >> guest.page_order, (min(end, guest.pages) - 1 >> guest.page_order) + 1):
            self._look(guest, number << guest.page_order)
        free = self._total - len(self._hugepages)
        if free != self._rows[-1][2]:
            self._rows.append((event.time_ns, len(self._run.timeline.events) - 1, free))

    def _look(self, guest: GuestMemfd, first: int) -> None:
        key, now = (guest.name, first), guest.private_regions(first)
        before = self._private.get(key, [])
        if now == before:
            return
        self._private[key] = now
        self._hugepages.update(now)
        for region in before:
            self._hugepages[region] -= 1
        for region in {*before, *now}:
            if not self._hugepages[region]:
                del self._hugepages[region]

    def result(self) -> Regions:
        """What was seen so far."""
        times, events, free = zip(*self._rows, strict=True)
        return Regions(self._total, times, events, free)
