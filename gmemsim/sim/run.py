# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario to its result: carries out the workload, step by step, in simulated time.

Theory of operation
-------------------
A run owns a host and its guests, and nothing else: no I/O, no clock, no global random numbers, so the same scenario
gives the same result everywhere.  Time moves only between steps, to a step's ``at`` or by a ``wait``; on the way,
deferred frees happen at their times and are sampled.  Every step leaves up to two samples, the instant of its highest
total and its end, and one event.  The run ends one grace period after the last step.

A step that fails with an errno is an outcome: recorded, counted, compared with the step's ``expect_error``.

Whoever wants to see more than the timeline keeps gives an :class:`Observer`: it is called after every event, may read
everything, and may end the run by raising :class:`StopRun`.  A run without one pays nothing for it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol

import attrs
import numpy as np

from gmemsim.errors import KernelError, SimulationRefused
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import PROFILES
from gmemsim.host.host import Host, KernelSwitches
from gmemsim.host.work import COUNTERS, Work
from gmemsim.results.summary import SCHEMA, Calls, folio_orders, judge, summarise
from gmemsim.results.timeline import Event, Timeline
from gmemsim.scenario import model as schema
from gmemsim.scenario.logs.replay import replays
from gmemsim.scenario.model import GuestSpec, HostSpec, Scenario, Step
from gmemsim.scenario.workload import expand_step, step_end

_counts = attrgetter(*COUNTERS)


@attrs.frozen
class Result:
    """What a run leaves: the scenario, its timeline, and the summary (the object that ``--json`` prints)."""

    scenario: Scenario
    timeline: Timeline
    summary: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every expectation holds."""
        return all(entry["ok"] for entry in self.summary["expect"])


class StopRun(Exception):
    """Raised by an observer to end the run after the event it was told of; what is done so far is its result."""


class Observer(Protocol):
    """Sees a run while it goes on; must not change it."""

    def begun(self, run: Run) -> None:
        """The guests exist and nothing has happened yet."""

    def stepped(self, run: Run, event: Event) -> None:
        """``event`` has been recorded, and the host and its guests are as it left them."""


def run(scenario: Scenario, *, check: bool = False, observer: Observer | None = None) -> Result:
    """Carry out ``scenario``; raises ``SimulationRefused`` if its guests cannot be created on its host.

    ``check`` verifies every invariant after every step, which takes time in proportion to what exists.  If the
    ``observer`` ends the run early, the summary says ``"partial": True`` and has no expectations that were not reached.
    """
    return Run(scenario, check=check, observer=observer).result()


def make_host(spec: HostSpec) -> Host:
    """The host that ``spec`` describes."""
    kernel = KernelSwitches(
        xarray="v6.15" if spec.xarray == "v6.15" else "rfc",
        memdesc=spec.memdesc,
        synchronize_rcu=spec.synchronize_rcu,
        account_nodes=spec.account_nodes,
        shared_tail_pages=spec.shared_tail_pages,
    )
    return Host(
        geometry=spec.geometry,
        hugetlb=spec.hugetlb,
        kernel_memory=spec.kernel_memory,
        rcu_grace=spec.rcu_grace,
        kernel=kernel,
    )


def make_guest(host: Host, name: str, spec: GuestSpec) -> GuestMemfd:
    """One guest of ``spec`` on ``host``; raises what :class:`GuestMemfd` raises if the host cannot have it."""
    return GuestMemfd(
        host,
        name,
        size=spec.memory,
        backing=spec.backing,
        policy=spec.policy,
        mapping=spec.mapping,
        in_place=spec.conversion == "in-place",
        initially_shared=spec.initially_shared,
    )


class Run:
    """A scenario being carried out."""

    def __init__(self, scenario: Scenario, *, check: bool = False, observer: Observer | None = None) -> None:
        self.scenario = scenario
        self.host = make_host(scenario.host)
        self.guests: dict[str, tuple[GuestMemfd, GuestSpec]] = {}
        for spec in scenario.guests:
            for name in spec.instances:
                try:
                    self.guests[name] = make_guest(self.host, name, spec), spec
                except (KernelError, ValueError) as error:
                    raise SimulationRefused(f"guest {name} cannot be created: {error}") from None
        self.now = 0
        self._check = check
        self._observer = observer
        self._errors: list[dict[str, Any]] = []
        self._profile = PROFILES[scenario.host.costs]
        self._work = array("q")  # the counts of every call, one row each
        self._calls: Calls = defaultdict(int)
        self._verdicts: dict[int, dict[str, Any]] = {}
        rungs = (rung for guest, _ in self.guests.values() for rung in guest.rungs)
        self._orders = folio_orders(self.host.geometry, rungs)
        self.timeline = Timeline(ACCOUNTS.names(), [self.host.geometry.name(order) for order in self._orders])
        self._sample()
        if observer is not None:
            observer.begun(self)

    def result(self) -> Result:
        """Carry out all steps and sum up."""
        partial = {}
        try:
            self._carry_out()
        except StopRun:
            partial = {"partial": True}
        self.timeline.end(self.now)
        head = {"schema": SCHEMA, "title": self.scenario.title, "seed": self.scenario.seed, "end_time_ns": self.now}
        expect = [self._verdicts[index] for index in sorted(self._verdicts)] + self._errors
        return Result(self.scenario, self.timeline, head | partial | self._summary() | {"expect": expect})

    def _carry_out(self) -> None:
        for index, step in enumerate(self.scenario.workload):
            end = step_end(self.scenario, index, self.now)
            for plain in expand_step(self.scenario, index, self.now):
                verdict = self._step(index, plain)
                if verdict is not None:
                    self._errors.append(verdict)
            self._advance(max(end, self.now))
            if step.id is not None:
                self._judge(step.id)
        self._advance(self.now + self.scenario.host.rcu_grace)
        self._judge(None)

    # -- time ------------------------------------------------------------------------------------------------------

    def _advance(self, to: int) -> None:
        """Let time pass until ``to`` (ns), with the deferred frees that fall due."""
        ledger = self.host.ledger
        while (due := ledger.next_release()) is not None and due <= to:
            ledger.advance(due)
            self.now = due
            self._sample()
        ledger.advance(to)
        self.now = to

    def _sample(self) -> None:
        """Record the highest instant since the last sample, if it was above now, and now."""
        ledger, folios = self.host.ledger, self.host.folios
        counts = [folios[order] for order in self._orders]
        if ledger.high_water > ledger.total.live_bytes:
            self.timeline.sample(self.now, ledger.high_water_row(), counts)
        self.timeline.sample(self.now, ledger.live_row(), counts)
        ledger.reset_high_water()

    # -- steps -----------------------------------------------------------------------------------------------------

    def _step(self, index: int, step: Step) -> dict[str, Any] | None:
        """Carry out one plain step, for every guest that it addresses; the verdict on its ``expect_error`` if any."""
        if step.at is not None and step.at > self.now:
            self._advance(step.at)
        if isinstance(step, schema.Wait):
            self._advance(self.now + step.duration)
            self._record(Event(self.now, index, step.id, step.key))
            return None
        if isinstance(step, schema.Inject):
            self.host.ledger.inject(step.account, step.nth, step.mode)
            detail = f"{step.account}, object {step.nth}, {step.mode}"
            self._record(Event(self.now, index, step.id, step.key, detail=detail))
            return None
        if isinstance(step, schema.Unshare):
            for name in self._instances(step.guest):
                for conversion in self._unshare(step, name):
                    self._call(index, conversion, name)
            return None
        assert isinstance(step, schema.GuestStep)
        first_error: KernelError | None = None
        for name in self._instances(step.guest):
            error = self._call(index, step, name)
            first_error = first_error or error
        return None if step.expect_error is None else _judge_error(index, step, step.expect_error, first_error)

    def _call(self, index: int, step: schema.GuestStep, name: str) -> KernelError | None:
        """One step for one guest: an outcome, an event, samples; returns the error it ended with."""
        guest = self.guests[name][0]
        error: KernelError | None = None
        detail = _detail(step)
        try:
            CALLS[type(step)](guest, step)
        except KernelError as caught:
            error = caught
            detail = f"{detail}: {caught}".removeprefix(": ")
        errno = None if error is None else error.name
        self._calls[name, step.key, errno] += 1
        self._work.extend(_counts(guest.work))
        self._sample()
        offset, size = (step.offset, step.size) if isinstance(step, schema.RangeStep) else (None, None)
        error_offset = None if error is None else error.error_offset
        if self._check:
            guest.check()
            self.host.check()
        self._record(
            Event(self.now, index, step.id, step.key, name, offset, size, detail, errno, error_offset, guest.work)
        )
        return error

    def _unshare(self, step: schema.Unshare, name: str) -> list[schema.Convert]:
        """The conversions that take back what is shared in the range now."""
        guest, page = self.guests[name][0], self.host.geometry.page_size
        first, last = step.offset // page, (step.offset + step.size) // page
        return [
            schema.Convert(guest=name, offset=guest.offset(low), size=guest.offset(high - low), to="private")
            for low, high in guest.shared_ranges(first, last)
        ]

    def _record(self, event: Event) -> None:
        self.timeline.event(event)
        if self._observer is not None:
            self._observer.stepped(self, event)

    def _instances(self, name: str) -> tuple[str, ...]:
        """The guests that a step for ``name`` addresses."""
        if name in self.guests:
            return (name,)
        return tuple(instance for instance, _ in self.scenario.instances(name))

    # -- summing up ------------------------------------------------------------------------------------------------

    def _summary(self) -> dict[str, Any]:
        summary = summarise(self.host, self.guests, self._calls, Work.of(self._total_work()), self._profile)
        logs = list(replays(self.scenario))
        return summary | {"replays": logs} if logs else summary

    def _total_work(self) -> tuple[int, ...]:
        rows = np.array(self._work, dtype=np.int64).reshape(-1, len(COUNTERS))
        return tuple(int(count) for count in rows.sum(axis=0))

    def _judge(self, after: str | None) -> None:
        """Test the expectations that belong after the step ``after``, or at the end."""
        due = [(i, expectation) for i, expectation in enumerate(self.scenario.expect) if expectation.after == after]
        if due:
            summary = self._summary() | {"end_time_ns": self.now}
            self._verdicts.update((index, judge(expectation, summary)) for index, expectation in due)


def _judge_error(index: int, step: Step, expected: schema.ExpectedError, error: KernelError | None) -> dict[str, Any]:
    """The entry of ``expect`` for a step's ``expect_error``: the first error of the guests it addresses."""
    found = None if error is None else error.name
    offset = None if error is None else error.error_offset
    ok = found == expected.errno and expected.error_offset in (None, offset)
    wanted, value = expected.errno, found or "success"
    if expected.error_offset is not None:
        wanted, value = f"{wanted} at {expected.error_offset}", f"{value} at {offset}"
    name = step.id or str(index)
    return {"metric": f"steps.{name}.errno", "ok": ok, "value": value, "op": "eq", "expected": wanted} | {
        "line": step.where.line
    }


def _detail(step: schema.GuestStep) -> str:
    match step:
        case schema.Convert():
            return f"to {step.to}"
        case schema.FaultIn():
            return f"by {step.by}"
        case schema.Pin():
            return f"{step.pages} page"
    return ""


def _convert(guest: GuestMemfd, step: schema.Convert) -> None:
    guest.set_attributes(step.offset, step.size, step.to == "private")


CALLS: dict[type[Step], Callable[..., None]] = {
    schema.Convert: _convert,
    schema.Allocate: lambda guest, step: guest.allocate(step.offset, step.size),
    schema.FaultIn: lambda guest, step: guest.fault(step.offset, step.size, by=step.by),
    schema.Pin: lambda guest, step: guest.pin(step.offset, step.size, pages=step.pages),
    schema.Unpin: lambda guest, step: guest.unpin(step.offset, step.size, pages=step.pages),
    schema.PunchHole: lambda guest, step: guest.punch_hole(step.offset, step.size),
    schema.Poison: lambda guest, step: guest.poison(step.offset),
    schema.Close: lambda guest, step: guest.close(),
}
"""What each step calls."""
