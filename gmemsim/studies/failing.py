# SPDX-License-Identifier: GPL-2.0-or-later
"""Carrying out single failures of a run: which requests for memory it makes, and what follows if one is refused.

Theory of operation
-------------------
The ledger is the only place where memory is taken.  :func:`requests_of` watches it through a run and notes every
request, which stands for as many calls of the kernel's allocator as it is for objects.  A :class:`Strike` names one of
these objects.  :func:`observe` carries out strikes: it runs the scenario again, and at the request of a strike the
process branches (:mod:`gmemsim.studies.snapshots`).  In the branch the object cannot be had; there the call comes to
its end, what it has left is classified (:mod:`gmemsim.studies.outcomes`), every invariant is verified, and the result
is reported.  What is as it was before the call, when all was verified too, is not looked at again (``Verified`` of
:mod:`gmemsim.gmem.check`).  The original goes on as if nothing had happened.  So no failure repeats what came before
it.  Where a process cannot be copied, each strike has a run of its own, with the same result.

What may live here: one strike and what is seen of it.  Which strikes are worth it is :mod:`gmemsim.studies.faults`'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import closing
from itertools import count
from typing import Literal, get_args

import attrs

from gmemsim.gmem.check import Verified
from gmemsim.host.injection import ANY
from gmemsim.host.ledger import Holder
from gmemsim.results.timeline import Event
from gmemsim.scenario.model import Scenario
from gmemsim.sim.run import Run, running
from gmemsim.studies import snapshots
from gmemsim.studies.outcomes import BROKEN, Before, outcome
from gmemsim.xarray.check import Verified as VerifiedNodes

Mode = Literal["once", "forever"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""One object cannot be had, or none from it on."""

LONGEST = 2000
"""Characters that are kept of what an invariant says."""


@attrs.frozen
class Request:
    """A request for ``objects`` of ``account`` that can be had, number ``number`` of the run, from 0.

    It is made in the call ``call``, counted from 0, of ``guest``.  ``step`` says in words which step of the workload
    that belongs to, ``does`` what the call does; ``place`` is the step's index in the workload.  ``before`` objects of
    the account have been requested since that step began.
    """

    number: int
    call: int
    guest: str
    account: str
    objects: int
    before: int
    place: int
    step: str
    does: str


@attrs.frozen
class Strike:
    """Object ``nth`` (from 1) of request ``request`` cannot be had.

    ``mode`` is ``"once"``, or ``"forever"`` with all objects after it.
    """

    request: int
    nth: int
    mode: Mode


@attrs.frozen
class Seen:
    """What was seen of a strike: the ``outcome`` and the ``errno`` of the call, ``None`` if it succeeded.

    ``asked_again``: whether anything was requested after it.  ``told``: what a broken invariant says.
    """

    outcome: str
    errno: str | None
    asked_again: bool
    told: str = ""

    @property
    def kind(self) -> tuple[str, str | None]:
        """What must be equal in strikes that are equal."""
        return self.outcome, self.errno


def requests_of(scenario: Scenario) -> list[Request]:
    """Every request for memory that the workload of ``scenario`` makes and that is granted, in part at least.

    Requests of no objects are none.  Raises ``SimulationRefused`` if host or guests cannot be created; what these
    take beforehand is no part of the workload.
    """
    found: list[Request] = []
    asked: list[tuple[int, str, int, int]] = []
    so_far: Counter[str] = Counter()
    with running(scenario) as run:
        ledger, numbers = run.host.ledger, count()

        def note(holder: Holder, n: int) -> None:
            number, account = next(numbers), holder.account
            granted = ledger.foresee(holder, n)
            if granted:
                asked.append((number, account, granted, so_far[account]))
            so_far[account] += min(granted + 1, n)

        ledger.watch(note)
        began: dict[int, Counter[str]] = {}
        earlier = so_far.copy()
        for call, event in enumerate(run):
            since = began.setdefault(event.step, earlier)
            if asked:
                step, does = _words(event)
                found += [
                    Request(
                        number, call, event.guest or "", account, granted, at - since[account], event.step, step, does
                    )
                    for number, account, granted, at in asked
                ]
                asked.clear()
                earlier = so_far.copy()
    return found


def _words(event: Event) -> tuple[str, str]:
    """The step of the workload, by its id or its number from 1, and what the call does."""
    detail = event.detail.partition(":")[0] if event.errno else event.detail
    return event.id or f"step {event.step + 1}", f"{event.kind} {detail}".strip()


class _Watch:
    """The watcher of one run: strikes, in this process or in a branch, at the requests of ``planned``."""

    def __init__(self, run: Run, planned: dict[int, list[Strike]], branch: Callable[[Strike], bool]) -> None:
        self.run = run
        self.planned = planned
        self.branch = branch
        self.number = -1
        self.struck: Strike | None = None
        self.asked_again = False

    def __call__(self, holder: Holder, n: int) -> None:
        if self.struck is not None:
            self.asked_again |= n > 0
            return
        self.number += 1
        for strike in self.planned.get(self.number, ()):
            if self.branch(strike):
                self.struck = strike
                self.run.host.ledger.inject(ANY, strike.nth, strike.mode)
                return


def observe(
    scenario: Scenario,
    requests: Collection[Request],
    strikes: Collection[Strike],
    tell: Callable[[Strike, Seen], None],
    *,
    to_end: bool = False,
    jobs: int = 1,
    stop: Callable[[], bool] = lambda: False,
    copies: bool | None = None,
) -> None:
    """Carry out ``strikes`` at ``requests`` of ``scenario``, and ``tell`` what was seen of each, in any order.

    ``to_end`` (default: no) goes on after the call to the end of the run, and verifies the invariants there too.
    ``jobs`` (default: 1) strikes are carried out at a time.  No more are begun when ``stop`` returns true (default:
    never).  ``copies``: whether to copy processes (default: where that is possible) or to begin anew for each strike,
    one at a time.  ``MemoryError`` if the machine has no more processes or memory.
    """
    wanted = _Wanted(scenario, requests, to_end)
    if copies is None:
        copies = snapshots.possible()
    if copies:
        _in_branches(wanted, strikes, tell, jobs, stop)
        return
    for strike in strikes:
        if stop():
            return
        tell(strike, _alone(wanted, strike))


class _Wanted:
    """What is to be run: the scenario, by call the guest that it is for, and how far."""

    def __init__(self, scenario: Scenario, requests: Collection[Request], to_end: bool) -> None:
        self.scenario = scenario
        self.call_of = {request.number: request.call for request in requests}
        self.guest_of = {request.call: request.guest for request in requests}
        self.to_end = to_end


def _alone(wanted: _Wanted, strike: Strike) -> Seen:
    """What is seen of ``strike`` in a run of its own."""
    with running(wanted.scenario) as run:
        watch = _Watch(run, {strike.request: [strike]}, lambda _: True)
        run.host.ledger.watch(watch)
        for call in range(wanted.call_of[strike.request]):
            next(run)
            assert watch.struck is None, f"{strike} struck in call {call}"
        seen = _next_call(run, wanted.guest_of[wanted.call_of[strike.request]])
        return _seen(run, watch, *seen, wanted.to_end, _Known())


def _in_branches(
    wanted: _Wanted,
    strikes: Collection[Strike],
    tell: Callable[[Strike, Seen], None],
    jobs: int,
    stop: Callable[[], bool],
) -> None:
    """One run, which branches at every strike."""
    planned: dict[int, list[Strike]] = defaultdict(list)
    for strike in strikes:
        planned[strike.request].append(strike)
    last = max((wanted.call_of[number] for number in planned), default=-1)
    calls = {wanted.call_of[number] for number in planned}
    branches: snapshots.Branches[Strike, Seen] = snapshots.Branches(jobs, tell)
    known = _Known()
    with running(wanted.scenario) as run, closing(branches):
        watch = _Watch(run, planned, lambda strike: not stop() and branches.branch(strike))
        run.host.ledger.watch(watch)
        for call in range(last + 1):
            if call not in calls:
                next(run)
                continue
            name = wanted.guest_of[call]
            known = known.looked_at(run, name)
            before, event = _next_call(run, name)
            if watch.struck is not None:
                branches.report(_seen(run, watch, before, event, wanted.to_end, known))
            if isinstance(event, Exception):
                raise event
            if stop():
                break


class _Known:
    """What of a run was right when it was last looked at, so that only what differs must be looked at again."""

    def __init__(self) -> None:
        self.guests: dict[str, Verified] = defaultdict(Verified)
        self.registry = VerifiedNodes()

    def check(self, run: Run, name: str) -> None:
        """``AssertionError`` unless all invariants of the guest ``name`` and of the host hold."""
        self.guests[name].check(run.guests[name].inode)
        run.host.check(self.registry)

    def looked_at(self, run: Run, name: str) -> _Known:
        """What is known when all has been verified; nothing if it is broken, which branches will tell."""
        try:
            self.check(run, name)
        except AssertionError:
            return _Known()
        return self


def _next_call(run: Run, name: str) -> tuple[Before, Event | Exception]:
    """Carry out the next call of ``run``, of the guest ``name``: what that looked like before, and the call's event.

    An exception in place of the event is a bug, which after a failure is what is looked for.
    """
    before = Before(run.guests[name])
    try:
        return before, next(run)
    except Exception as error:
        return before, error


def _seen(run: Run, watch: _Watch, before: Before, event: Event | Exception, to_end: bool, known: _Known) -> Seen:
    """What is seen of the strike of ``watch``, after its call; ``known``: what was right before that."""
    asked_again = watch.asked_again
    try:
        if isinstance(event, Exception):
            raise event
        assert event.guest is not None, "a call has a guest"
        known.check(run, event.guest)
        found = outcome(before, run.guests[event.guest], failed=event.errno is not None)
        if to_end:
            for _ in run.calls():
                pass
            for each in run.guests.values():
                each.check()
            run.host.check()
    except MemoryError:  # the machine's own: says nothing about the simulation
        raise
    except Exception as error:
        return Seen(BROKEN, None, asked_again, f"{type(error).__name__}: {error}"[:LONGEST])
    return Seen(found, event.errno, asked_again)
