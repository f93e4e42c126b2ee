# SPDX-License-Identifier: GPL-2.0-or-later
"""The usable events of a log one by one, for tests that look at single events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gmemsim.scenario.logs.reading import Log
from gmemsim.scenario.logs.slots import SlotMap
from gmemsim.scenario.logs.tally import Tally


class Conversion(NamedTuple):
    """A usable event: its time in ns from the first event, its line, its range in the file, what it becomes."""

    time: int
    line: int
    offset: int
    size: int
    to: str


def usable(log: Log, slots: SlotMap, tally: Tally) -> Iterator[Conversion]:
    """The usable events of ``log`` on pages of 4K, in order."""
    for block in log.blocks(slots, 4096, tally):
        times, lines, offsets, sizes = (c.tolist() for c in (block.times, block.lines, block.offsets, block.sizes))
        states = ["shared" if shared else "private" for shared in block.shared.tolist()]
        yield from map(Conversion, times, lines, offsets, sizes, states)
