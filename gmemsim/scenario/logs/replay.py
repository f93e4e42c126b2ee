# SPDX-License-Identifier: GPL-2.0-or-later
"""``replay``: the conversions of a recorded log, at the times at which they happened.  Not synthetic.

Theory of operation
-------------------
The log stays where it is; a scenario names it relative to its own folder.  It is read once from end to end
(``logs.holding``), when the scenario is checked: this finds what is wrong with it, counts what cannot be used, and
tells when the replay ends.  The replay takes the conversions from the columns that were kept.  Guest-physical addresses
become offsets through ``slots``; absent, those of a ``machine`` of the guest's size.  A group of guests replays the
same log, ``stagger`` apart.

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
from itertools import chain
from random import Random
from typing import Annotated, Any, ClassVar, Final, get_args

import attrs

from gmemsim.errors import InputError
from gmemsim.scenario.demand import recorded
from gmemsim.scenario.format.kinds import Choice, Count, Duration, FileName, Records
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.holding import Holding, NeverPrivate, last_time, read
from gmemsim.scenario.logs.reading import Log
from gmemsim.scenario.logs.slots import Slot, default_slots, slot_problems
from gmemsim.scenario.machine import MACHINES
from gmemsim.scenario.model import GuestSpec, Scenario, State, Step
from gmemsim.scenario.workload import Composite, Sharing
from gmemsim.units import human_size, size_name

REORDER: Final = 1_000_000
"""How far timestamps may go back by default, in ns: recorders have a buffer for each CPU, read in turn."""

NEVER_PRIVATE: Final = get_args(NeverPrivate)


@attrs.frozen(kw_only=True)
class Replay(Sharing):
    """Carry out the conversions that ``file`` records, on a guest of the recorded one's layout."""

    key: ClassVar[str] = "replay"
    draws: ClassVar[bool] = False

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

    def read(self, guest: GuestSpec, page_size: int) -> Holding:
        """What the log holds for ``guest`` with base pages of ``page_size`` bytes; :class:`InputError` if it is wrong.

        Reads all of it, the first time.
        """
        return read(self.log, self.slots_of(guest), page_size, self.never_private)

    def warnings(self, guest: GuestSpec, page_size: int) -> Iterator[str]:
        """What makes the log doubtful for ``guest``, a line each: events outside of its memory.

        ``page_size`` is that of the host, in bytes.
        """
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
        """What there is to say of the log as read for ``guest``, a line each; ``page_size`` is that of the host, in
        bytes.
        """
        reading = self.read(guest, page_size)
        yield from reading.tally.remarks()
        if reading.unchanged:
            yield f"conversions that change nothing: {reading.unchanged}, to private {reading.unchanged_to_private}"
        if reading.unchanged_to_private or self.never_private == "shared":
            size = human_size(reading.never_private_bytes)
            yield f"never made private: {size}, taken as {self.never_private} (never_private)"

    def span(self) -> int:
        """The time of the log's last event, which no slot changes."""
        return last_time(self.log)

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
        holding = self.read(guest, page_size)
        begin = holding.never_private if self.never_private == "shared" else ()
        shared: Iterator[tuple[int, int, int, State]] = ((0, low, high - low, "shared") for low, high in begin)
        return recorded(name, start, chain(shared, holding.conversions), self.retry, self.where)


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


def _memory(needed: int) -> str:
    """The option of ``gmemsim import`` that gives a guest at least ``needed`` bytes: whole GiB from one on."""
    unit = 1 << 30 if needed > 1 << 30 else 2 << 20
    return f"--memory {size_name(-(-needed // unit) * unit)}"
