# SPDX-License-Identifier: GPL-2.0-or-later
"""``replay``: the conversions of a recorded log, at the times at which they happened.  Not synthetic.

Theory of operation
-------------------
The log stays where it is and is read as a stream (``logs.reading``); a scenario names it relative to its own
folder.  Before the run it is read once from end to end (:meth:`Replay.read`), which finds what is wrong with it, counts
what cannot be used, and tells when the replay ends.  Guest-physical addresses become offsets through ``slots``; absent,
those of a ``machine`` of the guest's size.  A group of guests replays the same log, ``stagger`` apart.

How a log begins
----------------
With the KVM of today all memory begins shared, outside of the guest_memfd, and becomes private as the guest accepts it.
A guest_memfd on HugeTLB begins private (generation B refuses others).  So the first conversions to private in a log of
today's KVM change nothing here; they are counted (``unchanged``).  What the log *never* makes private can be two
things, and the log does not say which: memory that the guest never touched, or memory that it used as shared from the
start, which in the old model needed no conversion.  ``never_private`` chooses:

* ``untouched`` (default): it stays private; a lower bound of what is shared;
* ``shared``: the replay begins with conversions that share all of it; an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

import attrs

from gmemsim.errors import InputError
from gmemsim.gmem.ranges import RangeSet, gaps
from gmemsim.scenario.format.kinds import Choice, Count, Duration, FileName, Records
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.reading import Log, Tally
from gmemsim.scenario.logs.slots import Slot, SlotMap, default_slots, slot_problems
from gmemsim.scenario.machine import MACHINES
from gmemsim.scenario.model import GuestSpec, Scenario, Step
from gmemsim.scenario.workload import Composite, Sharing
from gmemsim.units import human_size, size_name

REORDER: Final = 1_000_000
"""How far timestamps may go back by default, in ns: recorders have a buffer for each CPU, read in turn."""

LOGS_REMEMBERED = 64
"""Logs whose reading is remembered: more than one scenario replays."""

NeverPrivate = Literal["untouched", "shared"]
NEVER_PRIVATE: Final = get_args(NeverPrivate)


@attrs.frozen
class Reading:
    """What a log holds for a guest: its ``tally``; conversions that change nothing, those to private among them; and
    the ranges of the guest_memfd that the log never makes private, in bytes."""

    tally: Tally
    unchanged: int
    unchanged_to_private: int
    never_private: tuple[tuple[int, int], ...]

    @property
    def never_private_bytes(self) -> int:
        """How much that is."""
        return sum(end - start for start, end in self.never_private)


Readings = dict[tuple[tuple[Slot, ...], int, NeverPrivate], Reading]
"""What a log holds, by slots, page size and what is assumed of memory that never becomes private."""


@attrs.frozen(kw_only=True)
class Replay(Sharing):
    """Carry out the conversions that ``file`` records, on a guest of the recorded one's layout."""

    key: ClassVar[str] = "replay"

    file: Annotated[str, FileName("the log, relative to the scenario's folder; may be compressed with gzip")]
    format: Annotated[str, Choice("what wrote it", LOG_FORMATS)] = "qemu"
    machine: Annotated[str, Choice("QEMU's machine type, whose slots are assumed", MACHINES)] = "q35"
    slots: Annotated[
        tuple[Slot, ...] | None, Records("guest-physical ranges; those of the machine if absent", Slot, "a slot")
    ] = None
    spacing: Annotated[int, Duration("time between events without timestamps")] = 1_000_000
    reorder: Annotated[int, Duration("how far timestamps may go back; such events happen at once")] = REORDER
    pid: Annotated[int | None, Count("the process whose events count; all if absent")] = None
    fd: Annotated[int | None, Count("the descriptor (bpftrace) whose events count; all if absent")] = None
    never_private: Annotated[
        NeverPrivate,
        Choice("what memory is that the log never makes private: untouched, or shared from the start", NEVER_PRIVATE),
    ] = "untouched"
    holds: Annotated[int | None, Count("conversions that the log must hold; any number if absent")] = None

    @property
    def log(self) -> Log:
        """The log itself."""
        return Log(
            path=self.file,
            format=LOG_FORMATS[self.format],
            spacing=self.spacing,
            reorder=self.reorder,
            pid=self.pid,
            fd=self.fd,
        )

    def slots_of(self, guest: GuestSpec) -> tuple[Slot, ...]:
        """The slots given, or those of a machine like ``guest``."""
        return default_slots(guest.memory, self.machine) if self.slots is None else self.slots

    def read(self, guest: GuestSpec, page_size: int) -> Reading:
        """What the log holds for ``guest``; :class:`InputError` if it is wrong.  Reads all of it, the first time."""
        return _read(self.log, self.slots_of(guest), page_size, self.never_private)

    def warnings(self, guest: GuestSpec, page_size: int) -> Iterator[str]:
        """What makes the log doubtful for ``guest``, a line each: events outside of its memory."""
        tally = self.read(guest, page_size).tally
        if tally.past_end:
            yield f"events past the end of the guest_memfd: {_memory(tally.past_end)} would hold all of them"
        if not tally.outside:
            return
        below, above = tally.outside
        for low, high in (below, above):
            if high:
                where = f"events outside every slot, from {low:#x} to {high:#x}"
                yield f"{where}: {self._remedy(guest, high)}"

    def _remedy(self, guest: GuestSpec, end: int) -> str:
        """What would hold guest-physical addresses up to ``end``."""
        if self.slots_of(guest) != default_slots(guest.memory, self.machine):
            return "the slots given do not hold them"
        needed = MACHINES[self.machine].memory_for(end)
        if needed is not None:
            return f"{_memory(needed)} would hold all of them"
        others = [name for name, machine in MACHINES.items() if machine.memory_for(end) is not None]
        also = f"; on the machine {others[0]} there is (--machine {others[0]})" if others else ""
        return f"on the machine {self.machine} there is no memory{also}"

    def remarks(self, guest: GuestSpec, page_size: int) -> Iterator[str]:
        """What there is to say of the log, a line each."""
        reading = self.read(guest, page_size)
        yield from reading.tally.remarks()
        if reading.unchanged:
            yield f"conversions that change nothing: {reading.unchanged}, to private {reading.unchanged_to_private}"
        if reading.unchanged_to_private or self.never_private == "shared":
            size = human_size(reading.never_private_bytes)
            yield f"never made private: {size}, taken as {self.never_private} (never_private)"

    def span(self) -> int:
        """The time of the log's last event, which no slot changes."""
        for reading in _readings(self.log).values():
            return reading.tally.last
        return _read(self.log, (), 1, "untouched").tally.last

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """Slots that overlap or do not fit, a log without anything to use; ``InputError`` for what is wrong in it."""
        slots = self.slots_of(guest)
        wrong = list(slot_problems(slots, guest.memory, page_size))
        yield from (("slots", message) for message in wrong)
        if wrong:
            return
        try:
            tally = self.read(guest, page_size).tally
        except InputError as error:
            if error.faults[0].line:
                raise
            yield "file", f"{error.faults[0].message} at {self.file!r}"
            return
        if tally.usable:
            if self.holds not in (None, tally.usable):
                yield "holds", f"found {self.holds}, expected {tally.usable}, the conversions of {self.file!r} now"
            return
        reasons = "; ".join(f"{reason}: {unusable}" for reason, unusable in tally.unusable.items())
        if tally.other_processes:
            reasons += f"{'; ' if reasons else ''}of other processes: {tally.other_processes}"
        hints = "".join(f"; {warning}" for warning in self.warnings(guest, page_size))
        found = f"no conversion that can be used ({reasons})" if reasons else f"no conversion in {tally.lines} lines"
        yield "file", f"found {found}, expected a {self.format} log of a guest of {size_name(guest.memory)}" + hints

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The conversions that can be used, after those of what is shared from the start."""
        if self.never_private == "shared":
            for low, high in self.read(guest, page_size).never_private:
                yield self.convert(name, start, low, high - low, "shared")
        for time, _, offset, size, to in self.log.conversions(SlotMap(self.slots_of(guest)), page_size, Tally()):
            yield self.convert(name, start + time, offset, size, to)


def replays(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """For a run's summary: what each log of ``scenario`` holds and how much of it cannot be used."""
    for step in _all_steps(scenario.workload):
        if isinstance(step, Replay):
            for name, guest in scenario.instances(step.guest):
                page_size = scenario.host.page_size
                reading = step.read(guest, page_size)
                tally = reading.tally
                warnings = (f"WARNING: {warning}" for warning in step.warnings(guest, page_size))
                yield {
                    "guest": name,
                    "file": step.file,
                    "lines": tally.lines,
                    "used": tally.usable,
                    "not_used": {reason: unusable.count for reason, unusable in tally.unusable.items()},
                    "unchanged": reading.unchanged,
                    "remarks": [*warnings, *step.remarks(guest, page_size)],
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


def _read(log: Log, slots: tuple[Slot, ...], page_size: int, never_private: NeverPrivate) -> Reading:
    readings = _readings(log)
    key = slots, page_size, never_private
    if key not in readings:
        first = _follow(log, slots, page_size, ())
        again = never_private == "shared" and first.never_private
        readings[key] = _follow(log, slots, page_size, first.never_private) if again else first
    return readings[key]


def _follow(log: Log, slots: tuple[Slot, ...], page_size: int, shared: Iterable[tuple[int, int]]) -> Reading:
    """Read all of ``log`` and follow the state of a guest_memfd that begins private but for ``shared``."""
    tally, state, ever_private = Tally(), RangeSet(), RangeSet()
    unchanged = unchanged_to_private = 0
    for start, end in shared:
        state.add(start, end)
    for _, _, start, size, to in log.conversions(SlotMap(slots), page_size, tally):
        end, private = start + size, to == "private"
        if private and not ever_private.covers(start, end):
            ever_private.add(start, end)
        if state.disjoint(start, end) if private else state.covers(start, end):
            unchanged += 1
            unchanged_to_private += private
        else:
            state.replace(start, end, member=not private)
    rest: list[tuple[int, int]] = []
    for slot in sorted(slots, key=lambda slot: slot.offset):
        begin, end = slot.offset, slot.offset + slot.size
        rest += gaps(ever_private.ranges(begin, end), begin, end)
    return Reading(tally, unchanged, unchanged_to_private, tuple(rest))


def _memory(needed: int) -> str:
    """The option of ``gmemsim import`` that gives a guest at least ``needed`` bytes: whole GiB from one on."""
    unit = 1 << 30 if needed > 1 << 30 else 2 << 20
    return f"--memory {size_name(-(-needed // unit) * unit)}"
