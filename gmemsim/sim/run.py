# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario to its result: carries out the workload, step by step, in simulated time.

Theory of operation
-------------------
A :class:`Run` is an iterator of events.  Asking for the next one carries out the next call, so a loop sees the host and
its guests between two calls, when everything is consistent, and ends the run by not asking any more::

    run = Run(scenario)
    for event in run:
        if run.host.ledger.total.live_bytes > limit:
            break
    print(run.result().summary)

:func:`run` does the same for those who want the result only.

A run owns a host and its guests, and nothing else: no I/O, no clock, no global random numbers, so the same scenario
gives the same result everywhere.  Time moves only between steps, to a step's ``at`` or by a ``wait``; on the way,
deferred frees happen at their times and are sampled.  Every step leaves up to two samples, the instant of its highest
total and its end, and one event for every guest that it addresses.  The run ends one grace period after the last step.

A step that fails with an errno is a result like any other: it is recorded, counted, and compared with the step's
``expect_error``.

What may live here: time, the order of things, and what is counted.  What a step calls is in :mod:`gmemsim.sim.steps`,
what the summary says in :mod:`gmemsim.results.summary`; what only figures need is a recorder
(:mod:`gmemsim.sim.recorder`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gmemsim.errors import KernelError, OutOfMemory, SimulationRefused
from gmemsim.garbage import fewer_collections
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.host import Host
from gmemsim.host.switches import KernelSwitches, NodeMemory
from gmemsim.results.summary import State, folio_orders, summarise
from gmemsim.results.timeline import NONE, Event, Timeline
from gmemsim.scenario import model
from gmemsim.scenario.logs.replay import replays
from gmemsim.scenario.model import GuestSpec, HostSpec, Scenario, Step
from gmemsim.scenario.workload import expand_step, step_end
from gmemsim.sim.judge import Verdict, judge, judge_error
from gmemsim.sim.result import Result as Result
from gmemsim.sim.retries import TRANSIENT, Retries
from gmemsim.sim.steps import CALLS, detail


def run(scenario: Scenario, *, check: bool = False) -> Result:
    """Carry out ``scenario`` to its end.

    ``check`` (default: no) verifies every invariant after every call, which takes time in proportion to what exists.
    Raises ``SimulationRefused`` if the guests cannot be created on the host.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec
    >>> out = Convert(guest="vm0", offset=0, size=4096, to="shared")
    >>> guest = GuestSpec(name="vm0", memory=1 << 21, backing=1 << 21)
    >>> workload = (Allocate(guest="vm0", offset=0, size=1 << 21), out)
    >>> scenario = Scenario(title="one page", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=workload)
    >>> run(scenario).summary["splits"]
    {'2M->4K': 1}
    """
    with running(scenario, check=check) as whole:
        for _ in whole.calls():
            pass
        return whole.result()


@contextmanager
def running(scenario: Scenario, *, check: bool = False, keep: int | None = None) -> Iterator[Run]:
    """A :class:`Run` of ``scenario``, with ``check`` (default: no) and ``keep`` (default: all events) as there, while
    garbage is collected less often.

    The run is made inside of that, so that what it leaves is young, and collected when the next one begins
    (:mod:`gmemsim.garbage`).
    """
    with fewer_collections():
        yield Run(scenario, check=check, keep=keep)


def make_host(spec: HostSpec) -> Host:
    """The host that ``spec`` describes."""
    kernel = KernelSwitches(
        xarray="v6.15" if spec.xarray == "v6.15" else "rfc",
        memdesc=spec.memdesc,
        synchronize_rcu=spec.synchronize_rcu,
        account_nodes=spec.account_nodes,
        shared_tail_pages=spec.shared_tail_pages,
        pamt=spec.pamt,
        vmemmap_fallback=spec.vmemmap_fallback,
        clearing=spec.clearing,
    )
    return Host(
        geometry=spec.geometry,
        hugetlb=spec.hugetlb,
        kernel_memory=spec.kernel_memory,
        rcu_grace=spec.rcu_grace,
        kernel=kernel,
        nodes=[NodeMemory(hugetlb=node.hugetlb, kernel_memory=node.kernel_memory) for node in spec.nodes],
    )


def make_guest(host: Host, name: str, spec: GuestSpec) -> GuestMemfd:
    """The guest ``name`` of ``spec`` on ``host``; raises what :class:`GuestMemfd` raises if the host cannot have it."""
    return GuestMemfd(
        host,
        name,
        size=spec.memory,
        backing=spec.backing,
        policy=spec.policy,
        mapping=spec.mapping,
        in_place=spec.conversion == "in-place",
        initially_shared=spec.initially_shared,
        vcpus=spec.vcpus,
        stage2=spec.stage2,
        kernel_memory=spec.kernel_memory,
        node=spec.node,
    )


class Run(Iterator[Event]):
    """``scenario`` being carried out: an iterator of its events, each of which is the latest in ``timeline``.

    ``host``, ``guests`` (by name, in the scenario's order), ``now`` (simulated ns) and ``timeline`` may be read at any
    time between two events, and must not be changed.  ``check`` (default: no) verifies every invariant after every
    call.  ``keep`` bounds the timeline: at most so many events, some of all (default: all; see
    :class:`~gmemsim.results.timeline.Timeline`); the summary is the same.

    Raises ``SimulationRefused`` if host or guests cannot be created.
    """

    def __init__(self, scenario: Scenario, *, check: bool = False, keep: int | None = None) -> None:
        self.scenario = scenario
        try:
            self.host = make_host(scenario.host)
        except OutOfMemory as error:
            raise SimulationRefused(f"the host cannot be made: {error}") from None
        self._ledger = self.host.ledger
        self.guests: dict[str, GuestMemfd] = {}
        for spec in scenario.guests:
            for name in spec.instances:
                try:
                    self.guests[name] = make_guest(self.host, name, spec)
                except (KernelError, ValueError) as error:
                    raise SimulationRefused(f"guest {name} cannot be created: {error}") from None
        self.now = 0
        self._page_size = self.host.geometry.page_size
        self._check = check
        self._at_end = False
        self._calls: dict[str, dict[tuple[str, str | None], int]] = {name: {} for name in self.guests}
        self._verdicts: dict[int, Verdict] = {}  # by the expectation's place in the scenario
        self._errors: list[Verdict] = []
        addressed = {*self.guests, *(spec.name for spec in scenario.guests), model.EVERY}
        self._addressed = {name: tuple([one for one, _ in scenario.instances(name)]) for name in addressed}
        self._retries = Retries()
        self._expected: dict[str, Event] = {}  # by guest: the latest event of a step that must fail
        self._orders = folio_orders(self.host.geometry, self.guests.values())
        self._folios_of = self.host.folios_of.__getitem__
        self.timeline = Timeline(
            ACCOUNTS.names(), [self.host.geometry.name(order) for order in self._orders], keep=keep
        )
        self._sample()
        self._calls_to_come = self._carry_out()

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> Event:
        """Carry out the next call and return its event."""
        next(self._calls_to_come)
        return self.timeline.events[-1]

    def calls(self) -> Iterator[None]:
        """Carry out the calls that are left, one at a time, for those who do not look at events: no event is made."""
        return self._calls_to_come

    def result(self) -> Result:
        """Sum up what has been done so far.

        If the workload is not at its end, the summary says ``"partial": True`` and has no expectations that were not
        reached.  The timeline is the run's own, so it grows if the run goes on.
        """
        self.timeline.end(self.now)
        return Result(self.scenario, self.timeline, summarise(self._state()))

    def _carry_out(self) -> Iterator[None]:
        scenario = self.scenario
        for index, step in enumerate(scenario.workload):
            end = step_end(scenario, index, self.now)
            for plain in expand_step(scenario, index, self.now):
                if self._retries.waiting:
                    yield from self._try_again(self.now if plain.at is None else plain.at)
                at = plain.at
                if at is not None and at > self.now:
                    self._advance(at)
                if type(plain) not in CALLS:
                    yield from self._other(index, plain)
                    continue
                assert isinstance(plain, model.GuestStep)
                for name in self._addressed[plain.guest]:
                    self._attempt(index, plain, name)
                    yield
            if self._retries.waiting:
                yield from self._try_again(None)
            if step.expect_error is not None:
                assert isinstance(step, model.GuestStep)
                events = [self._expected[name] for name in self._addressed[step.guest]]
                self._errors.append(judge_error(step, index, events))
            self._advance(max(end, self.now))
            if step.id is not None:
                self._judge(step.id)
        self._advance(self.now + scenario.host.rcu_grace)
        self._judge(None)
        self._at_end = True

    # -- time ------------------------------------------------------------------------------------------------------

    def _advance(self, to: int) -> None:
        """Let time pass until ``to`` (ns), with the deferred frees that fall due."""
        ledger = self._ledger
        while ledger.advance_to_release(to):
            self.now = ledger.now
            self._sample()
        self.now = to

    def _sample(self) -> None:
        """Record the highest instant since the last sample, if it was above now, and now."""
        live, highest = self._ledger.take_rows()
        self.timeline.sample(self.now, live, tuple(map(self._folios_of, self._orders)), highest)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _other(self, index: int, step: Step) -> Iterator[None]:
        """Carry out a plain step that is no call of a guest, or several; it is number ``index`` of the workload."""
        if isinstance(step, model.Wait):
            self._advance(self.now + step.duration)
            self._note(index, step)
            yield
        elif isinstance(step, model.Inject):
            self._ledger.inject(step.account, step.nth, step.mode)
            self._note(index, step, f"{step.account}, object {step.nth}, {step.mode}")
            yield
        else:
            assert isinstance(step, model.Unshare | model.Touch)
            for name in self._addressed[step.guest]:
                yield from self._of_shared(index, step, name)

    def _try_again(self, until: int | None) -> Iterator[None]:
        """Carry out the conversions that are to be tried again by the time ``until``, ``None``: all."""
        for again in self._retries.due(until):
            self._advance(max(self.now, again.due))
            self._attempt(again.index, again.step, again.name, again.tried)
            yield

    def _attempt(self, index: int, step: model.GuestStep, name: str, tried: int = 0) -> None:
        """One step for one guest, for which it has been ``tried`` so often: the call, its samples, and its event."""
        guest = self.guests[name]
        words = detail(step)
        errno: str | None = None
        offset = size = error_offset = NONE
        if isinstance(step, model.RangeStep):
            offset, size = step.extent(guest.size, self._page_size)
        try:
            CALLS[type(step)](guest, step, offset, size)
        except KernelError as error:
            errno = error.name
            error_offset = NONE if error.error_offset is None else error.error_offset
            words = f"{words}: {error}".removeprefix(": ")
        calls, ended = self._calls[name], (step.key, errno)
        calls[ended] = calls.get(ended, 0) + 1
        self._sample()
        if self._check:
            guest.check()
            self.host.check()
        self.timeline.events.record(
            self.now,
            index,
            (step.id, step.key, name, words, errno, True),
            offset,
            size,
            error_offset,
            self.host.work.counts(),
        )
        if step.expect_error is not None:
            self._expected[name] = self.timeline.events[-1]
        if errno is not None and errno in TRANSIENT and isinstance(step, model.Convert):
            self._retries.failed(self.now, index, step, name, tried)

    def _note(self, index: int, step: Step, words: str = "") -> None:
        """The event of a step that is no call."""
        label = (step.id, step.key, None, words, None, False)
        self.timeline.events.record(self.now, index, label, NONE, NONE, NONE, self.host.work.counts())

    def _of_shared(self, index: int, step: model.Unshare | model.Touch, name: str) -> Iterator[None]:
        """The calls that ``step`` means for what of its range is shared now."""
        page = self._page_size
        shared = self.guests[name].shared_ranges(step.offset // page, (step.offset + step.size) // page)
        for call in list(step.calls(name, ((low * page, high * page) for low, high in shared))):
            self._advance(max(self.now, call.at or 0))
            self._attempt(index, call, name)
            yield

    # -- summing up ------------------------------------------------------------------------------------------------

    def _state(self) -> State:
        scenario = self.scenario
        return State(
            title=scenario.title,
            seed=scenario.seed,
            now=self.now,
            host=self.host,
            guests=tuple(self.guests.values()),
            orders=self._orders,
            calls=self._calls,
            retries=self._retries.counts,
            work=self.host.work,
            profile=scenario.host.profile,
            scenario_sha256=scenario.sha256,
            settings=scenario.settings,
            partial=not self._at_end,
            replays=tuple(replays(scenario)),
            verdicts=[self._verdicts[index] for index in sorted(self._verdicts)] + self._errors,
        )

    def _judge(self, after: str | None) -> None:
        """Test the expectations that belong after the step ``after``, or at the end."""
        due = [(i, expectation) for i, expectation in enumerate(self.scenario.expect) if expectation.after == after]
        if due:
            summary = summarise(self._state())
            self._verdicts.update((index, judge(expectation, summary)) for index, expectation in due)
