# SPDX-License-Identifier: GPL-2.0-or-later
"""``replay``: the conversions of a recorded log, at the times at which they happened.  Not synthetic.

Theory of operation
-------------------
The log stays where it is and is read as a stream (``logs.reading``); a scenario names it relative to its own
folder.  Before the run it is read once from end to end (:meth:`Replay.read`), which finds what is wrong with it, counts
what cannot be used, and tells when the replay ends.  Guest-physical addresses become offsets through ``slots``; absent,
those of a q35 machine of the guest's size.  A group of guests replays the same log, ``stagger`` apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar

import attrs

from gmemsim.errors import InputError
from gmemsim.scenario.format.kinds import Choice, Count, Duration, FileName, Records
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.reading import Log, Tally
from gmemsim.scenario.logs.slots import Slot, SlotMap, default_slots, slot_problems
from gmemsim.scenario.model import GuestSpec, Scenario, Step
from gmemsim.scenario.workload import Composite, Sharing
from gmemsim.units import size_name

LOGS_REMEMBERED = 64
"""Logs whose reading is remembered: more than one scenario replays."""

Readings = dict[tuple[tuple[Slot, ...], int], Tally]
"""What a log holds, by slots and page size."""


@attrs.frozen(kw_only=True)
class Replay(Sharing):
    """Carry out the conversions that ``file`` records, on a guest of the recorded one's layout."""

    key: ClassVar[str] = "replay"

    file: Annotated[str, FileName("the log, relative to the scenario's folder; may be compressed with gzip")]
    format: Annotated[str, Choice("what wrote it", LOG_FORMATS)] = "qemu"
    slots: Annotated[tuple[Slot, ...] | None, Records("guest-physical ranges; as on q35 if absent", Slot, "a slot")] = (
        None
    )
    spacing: Annotated[int, Duration("time between events without timestamps")] = 1_000_000
    reorder: Annotated[int, Duration("how far timestamps may go back; such events happen at once")] = 0
    pid: Annotated[int | None, Count("the process whose events count; all if absent")] = None

    @property
    def log(self) -> Log:
        """The log itself."""
        return Log(
            path=self.file, format=LOG_FORMATS[self.format], spacing=self.spacing, reorder=self.reorder, pid=self.pid
        )

    def slots_of(self, guest: GuestSpec) -> tuple[Slot, ...]:
        """The slots given, or those of a q35 machine like ``guest``."""
        return default_slots(guest.memory) if self.slots is None else self.slots

    def read(self, guest: GuestSpec, page_size: int) -> Tally:
        """What the log holds for ``guest``; :class:`InputError` if it is wrong.  Reads all of it, the first time."""
        return _read(self.log, self.slots_of(guest), page_size)

    def span(self) -> int:
        """The time of the log's last event, which no slot changes."""
        for tally in _readings(self.log).values():
            return tally.last
        return _read(self.log, (), 1).last

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """Slots that overlap or do not fit, a log without anything to use; ``InputError`` for what is wrong in it."""
        slots = self.slots_of(guest)
        wrong = list(slot_problems(slots, guest.memory, page_size))
        yield from (("slots", message) for message in wrong)
        if wrong:
            return
        try:
            tally = self.read(guest, page_size)
        except InputError as error:
            if error.faults[0].line:
                raise
            yield "file", f"{error.faults[0].message} at {self.file!r}"
            return
        if tally.usable:
            return
        reasons = "; ".join(f"{reason}: {unusable}" for reason, unusable in tally.unusable.items())
        if tally.other_processes:
            reasons += f"{'; ' if reasons else ''}of other processes: {tally.other_processes}"
        found = f"no conversion that can be used ({reasons})" if reasons else f"no conversion in {tally.lines} lines"
        yield "file", f"found {found}, expected a {self.format} log of a guest of {size_name(guest.memory)}"

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The conversions that can be used."""
        for time, _, offset, size, to in self.log.conversions(SlotMap(self.slots_of(guest)), page_size, Tally()):
            yield self.convert(name, start + time, offset, size, to)


def replays(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """For a run's summary: what each log of ``scenario`` holds and how much of it cannot be used."""
    for step in _all_steps(scenario.workload):
        if isinstance(step, Replay):
            for name, guest in scenario.instances(step.guest):
                tally = step.read(guest, scenario.host.page_size)
                yield {
                    "guest": name,
                    "file": step.file,
                    "lines": tally.lines,
                    "used": tally.usable,
                    "not_used": {reason: unusable.count for reason, unusable in tally.unusable.items()},
                    "remarks": list(tally.remarks()),
                }


def _all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """``steps`` and those inside of them."""
    for step in steps:
        yield step
        if isinstance(step, Composite):
            yield from _all_steps(step.steps)


def _readings(log: Log) -> Readings:
    """What is remembered of ``log``, as long as its file stays what it is."""
    try:
        path = Path(log.path).resolve()
        found = path.stat()
    except (OSError, ValueError):
        return {}  # reading says why
    return _remembered(attrs.evolve(log, path=str(path)), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=LOGS_REMEMBERED)
def _remembered(log: Log, modified: int, size: int) -> Readings:
    return {}


def _read(log: Log, slots: tuple[Slot, ...], page_size: int) -> Tally:
    readings = _readings(log)
    if (slots, page_size) not in readings:
        tally = Tally()
        for _ in log.conversions(SlotMap(slots), page_size, tally):
            pass
        readings[slots, page_size] = tally
    return readings[slots, page_size]
