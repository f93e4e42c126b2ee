# SPDX-License-Identifier: GPL-2.0-or-later
"""Every allocation of a run fails in turn: what each failure leaves, counted.

Theory of operation
-------------------
A failure is one object that cannot be had, either alone (``once``) or with all after it (``forever``); a run that asks
for n objects has 2n of them.  Many are equal, and these are proved equal and counted instead of carried out:

* *Objects of one request.*  The ledger answers a request as a whole, so whoever asked learns only that it failed.  The
  first and the last object are carried out once for every account and kind of call; from then on the first stands for
  all.
* *Requests that repeat in one call*, as those of an ``allocate`` over many hugepages: a *series* of requests for the
  same account and as many objects.  The first, one in the middle and the last are carried out.  Where two of them
  differ, those between them are looked at closer (:func:`_between`); where they are equal, what lies between is counted
  so.
* *From then on.*  If nothing is requested after the object that failed, all after it may fail as well: the same run.

``every`` carries out each of them; a test compares both.  Whichever it is, :attr:`Fault.carried_out` tells.

One *variant* is a scenario with a policy and an ordering.  What one failure leaves is :mod:`gmemsim.studies.outcomes`';
how it is carried out, :mod:`gmemsim.studies.failing`'s.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import accumulate, groupby, pairwise
from typing import Any

import attrs

from gmemsim.errors import NO_MEMORY
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.scenario.model import Scenario
from gmemsim.studies.compare import with_policy
from gmemsim.studies.failing import MODES, Mode, Request, Seen, Strike, observe, requests_of
from gmemsim.studies.made import made_of
from gmemsim.studies.outcomes import BROKEN, OUTCOMES
from gmemsim.studies.spread import Lost, results_of

BATCH = 50
"""Strikes that travel to a worker of an executor together."""

CLOSER, NEAREST = 8, 6
"""Where two requests of a series differ, those 1, 8, 64, … from each are looked at next, up to so many powers."""

LEAST_SERIES = 5
"""Requests from which on a series is not carried out in full."""


@attrs.frozen
class Variant:
    """What is asked: ``scenario``, with ``policy`` as it was given (``None``: the scenario's own), in ``ordering``."""

    policy: str | None
    ordering: str
    scenario: Scenario = attrs.field(repr=False)


@attrs.frozen
class Row:
    """So many failures (``count``) of one kind: of objects of ``account``, in calls that do ``call`` for ``step``.

    ``place`` is the step's index in the workload.  ``outcome`` is what they leave, under ``policy`` in ``ordering``.
    """

    policy: str | None
    ordering: str
    outcome: str
    account: str
    step: str
    call: str
    count: int
    place: int


@attrs.frozen
class Broken:
    """One failure after which an invariant does not hold, and what that says: ``told``.

    ``nth`` is the number of the object among those of ``account`` that are requested from step ``place`` of the
    workload on (from 0): ``inject`` before that ``step`` repeats it, with ``mode``, under ``policy`` in ``ordering``.
    """

    policy: str | None
    ordering: str
    place: int
    step: str
    account: str
    nth: int
    mode: Mode
    told: str


@attrs.frozen
class Faults:
    """What all failures leave.

    ``variants``: policy and ordering of each.  ``rows``: the worst outcome first.  ``points``: failures covered;
    ``carried_out``: those that were run.  ``left``: failures that are not covered, because the study was stopped; if it
    is a sample, ``sample_of`` is how many there are (default: no sample).  ``refused``: variants that cannot be, and
    why.  ``broken``: failures after which an invariant did not hold, those carried out.  ``title`` is the scenario's.
    ``to_end``: whether runs went on to their end after the failure.  ``made``: what made it, as a summary says.
    ``ended``: why it ended early if that was not asked for (default: it did not).
    """

    title: str
    variants: tuple[tuple[str | None, str], ...]
    rows: tuple[Row, ...]
    points: int
    carried_out: int
    left: int
    broken: tuple[Broken, ...] = ()
    sample_of: int | None = None
    to_end: bool = False
    refused: tuple[str, ...] = ()
    made: Mapping[str, Any] = attrs.field(factory=dict)
    ended: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return not self.left

    @property
    def broken_points(self) -> int:
        """Failures covered after which an invariant does not hold."""
        return sum(row.count for row in self.rows if row.outcome == BROKEN)


def variants_of(
    scenario: Scenario, orderings: Sequence[str] = (), policies: Mapping[str, Policy] | None = None
) -> tuple[list[Variant], list[str]]:
    """The ``scenario`` with every one of ``policies`` in every one of ``orderings``, and refusals, a line each.

    ``policies``, by name, are by default the scenario's own; ``orderings`` are by default the policy's.  A refusal says
    why a policy does not fit a guest, or an ordering a policy.  An unknown ordering is refused too.
    """
    found: list[Variant] = []
    refused: list[str] = []
    given_policies: Mapping[str, Policy | None] = policies or {"": None}
    for name, policy in given_policies.items():
        try:
            given = scenario if policy is None else with_policy(scenario, policy)
        except ValueError as error:
            refused.append(f"{name}: {error}")
            continue
        for ordering in orderings or (None,):
            try:
                made = given if ordering is None else with_ordering(given, ordering)
            except ValueError as error:
                refused.append(f"{name} {ordering}: {error}".strip())
                continue
            found.append(Variant(name or None, ordering or _orderings(made), made))
    return found, refused


def with_ordering(scenario: Scenario, ordering: str) -> Scenario:
    """``scenario`` with the same policies in another ``ordering``; ``ValueError`` if one cannot be so."""
    guests = []
    for guest in scenario.guests:
        old = guest.policy
        keeps = old.on_split_failure if ORDERINGS[ordering].splits_ahead else "undo"
        policy = Policy(old.split, old.when, old.merge, old.vmemmap, ordering, on_split_failure=keeps)
        guests.append(attrs.evolve(guest, policy=policy))
    return attrs.evolve(scenario, guests=tuple(guests))


def _orderings(scenario: Scenario) -> str:
    return ", ".join(dict.fromkeys(guest.policy.ordering for guest in scenario.guests))


def faults(
    scenario: Scenario,
    orderings: Sequence[str] = (),
    policies: Mapping[str, Policy] | None = None,
    *,
    every: bool = False,
    to_end: bool = False,
    sample: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, left: None,
    copies: bool | None = None,
) -> Faults:
    """Let every allocation of the workload of ``scenario`` fail in turn, once and from then on, and count what is left.

    ``orderings`` (default: as the policies say) and ``policies`` by name (default: the scenario's own) are combined.
    ``every`` (default: no) also carries out failures that are equal to others; ``to_end`` (default: no) goes on to the
    end of the run after the call that fails, and verifies the invariants there too.  ``sample`` (default: none) carries
    out so many failures of each variant only, drawn by ``seed`` (default: 0).  ``jobs`` (default: 1) are carried out at
    a time by processes of this one; an ``executor`` (default: none) has them carried out elsewhere instead.  It ends
    early when ``stop`` returns true (default: never).  ``progress`` (default: nobody) is told how many were carried out
    and are left, as far as that is known.  ``copies`` (default: where possible): as
    :func:`~gmemsim.studies.failing.observe` has it.

    Raises ``SimulationRefused`` if the guests cannot be created.  If the machine has no more memory or processes, what
    was found is there, and ``ended`` says so.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec, HostSpec
    >>> out = Convert(guest="vm0", offset=0, size=4096, to="shared")
    >>> guest = GuestSpec(name="vm0", memory=1 << 21, backing=1 << 21)
    >>> workload = (Allocate(guest="vm0", offset=0, size=1 << 21), out)
    >>> scenario = Scenario(title="one page", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=workload)
    >>> found = faults(scenario)
    >>> found.points, found.broken_points  # 3 objects of the hugepage; 1 attribute node, 8 nodes, 7 pages; twice
    (38, 0)
    """
    variants, refused = variants_of(scenario, orderings, policies)
    covers = [_Cover(variant, every=every, to_end=to_end, sample=sample, seed=seed) for variant in variants]
    ended = ""
    try:
        for cover in covers:
            while not stop() and (strikes := cover.missing()):
                behind = sum(len(other.known) for other in covers)
                note = _Note(cover, progress, behind, len(strikes))
                how = _How(cover.variant.scenario, to_end, jobs, copies)
                if executor is None:
                    how.observe(cover.requests, strikes, note, stop)
                else:
                    _observe_elsewhere(how, cover, strikes, note, executor, stop)
    except MemoryError as error:
        ended = str(error) or NO_MEMORY
    made = made_of(scenario, [guest.policy for variant in variants for guest in variant.scenario.guests])
    return attrs.evolve(_summed(scenario.title, covers, refused, to_end, made), ended=ended)


@attrs.frozen
class _How:
    """How strikes are carried out: what :func:`~gmemsim.studies.failing.observe` is given with all of them."""

    scenario: Scenario
    to_end: bool
    jobs: int = 1
    copies: bool | None = None

    def observe(
        self,
        requests: Collection[Request],
        strikes: Sequence[Strike],
        tell: Callable[[Strike, Seen], None],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Carry out ``strikes``, and ``tell`` of each."""
        settings: dict[str, Any] = {"to_end": self.to_end, "jobs": self.jobs, "copies": self.copies}
        observe(self.scenario, requests, strikes, tell, stop=stop, **settings)


_Batch = tuple[list[Request], list[Strike]]


def _observed(how: _How, batch: _Batch) -> list[tuple[Strike, Seen]]:
    """In a worker: what is seen of the strikes of a batch."""
    found: list[tuple[Strike, Seen]] = []
    how.observe(*batch, lambda strike, seen: found.append((strike, seen)))
    return found


def _observe_elsewhere(
    how: _How,
    cover: _Cover,
    strikes: Sequence[Strike],
    note: _Note,
    executor: Executor,
    stop: Callable[[], bool],
) -> None:
    """Carry out ``strikes`` on ``executor``, batch by batch; every batch begins a run of its own."""
    batches: list[_Batch] = []
    for first in range(0, len(strikes), BATCH):
        some = list(strikes[first : first + BATCH])
        wanted = {strike.request for strike in some}
        batches.append(([request for request in cover.requests if request.number in wanted], some))
    there = attrs.evolve(how, jobs=1)
    for place, seen in results_of(_observed, there, batches, executor, stop):
        if isinstance(seen, Lost):
            cover.lost.update(batches[place][1])
            continue
        for one in seen:
            note(*one)


class _Note:
    """Takes down what is seen of each strike, and tells of the progress."""

    def __init__(self, cover: _Cover, progress: Callable[[int, int], None], behind: int, ahead: int) -> None:
        self._cover = cover
        self._progress = progress
        self._done = behind
        self._ahead = ahead

    def __call__(self, strike: Strike, seen: Seen) -> None:
        self._cover.known[strike] = seen
        self._done += 1
        self._ahead -= 1
        self._progress(self._done, self._ahead)


class _Cover:
    """All failures of one variant: which must be carried out, and for what those stand that have been."""

    def __init__(self, variant: Variant, *, every: bool, to_end: bool, sample: int | None, seed: int) -> None:
        self.variant = variant
        self.known: dict[Strike, Seen] = {}
        self.lost: set[Strike] = set()
        """Strikes that an executor has given up."""
        self.requests = requests_of(variant.scenario)
        self.of_number = {request.number: request for request in self.requests}
        self._every = every
        self._to_end = to_end
        self._series = [list(alike) for alike in _series(self.requests)]
        self._proofs: dict[tuple[str, str], Request] = {}
        for request in self.requests:
            if request.objects > 1:
                self._proofs.setdefault((request.account, request.does), request)
        self.total = len(MODES) * sum(request.objects for request in self.requests)
        self._drawn = None if sample is None else self._draw(sample, seed)
        self._missing: dict[Strike, None] = {}
        self._found: list[tuple[Strike, Seen, int]] = []

    @property
    def wanted(self) -> int:
        """Failures that are to be covered."""
        return self.total if self._drawn is None else len(self._drawn)

    def missing(self) -> list[Strike]:
        """What must be carried out next; more may turn out to be needed after that.  Nothing if all is covered."""
        self._look_at_all()
        return [strike for strike in self._missing if strike not in self.lost]

    def covered(self) -> list[tuple[Strike, Seen, int]]:
        """What was seen of a failure, and how many it stands for, itself included."""
        self._look_at_all()
        return self._found

    def _draw(self, sample: int, seed: int) -> list[Strike]:
        """So many failures out of all, each as likely."""
        ends = list(accumulate(request.objects for request in self.requests))
        drawn = random.Random(seed).sample(range(self.total), min(sample, self.total))
        strikes = []
        for number in sorted(drawn):
            nth, mode = divmod(number, len(MODES))
            at = bisect_right(ends, nth)
            before = ends[at - 1] if at else 0
            strikes.append(Strike(self.requests[at].number, nth - before + 1, MODES[mode]))
        return strikes

    def _look_at_all(self) -> None:
        self._missing, self._found = {}, []
        if self._drawn is not None:
            self._missing = dict.fromkeys(strike for strike in self._drawn if strike not in self.known)
            self._found = [(strike, seen, 1) for strike, seen in self.known.items()]
            return
        for series in self._series:
            for mode in MODES:
                self._look_at_series(series, mode)

    def _look_at_series(self, series: list[Request], mode: Mode) -> None:
        if self._every or len(series) < LEAST_SERIES:
            for request in series:
                self._look_at_request(request, mode)
            return
        places = (0, len(series) // 2, len(series) - 1)
        for place in places:
            self._look_at_request(series[place], mode)
        for low, high in pairwise(places):
            self._look_between(series, mode, low, high)

    def _look_between(self, series: list[Request], mode: Mode, low: int, high: int) -> None:
        """The requests between two that have been looked at."""
        first, last = self._seen(series[low], 1, mode), self._seen(series[high], 1, mode)
        if high - low < 2 or first is None or last is None:
            return
        if first[1].kind == last[1].kind and self._is_alike(series[low], mode):
            self._found.append((*first, (high - low - 1) * series[low].objects))
            return
        between = _between(low, high)
        for place in between:
            self._look_at_request(series[place], mode)
        for below, above in pairwise((low, *between, high)):
            self._look_between(series, mode, below, above)

    def _look_at_request(self, request: Request, mode: Mode) -> None:
        first = self._seen(request, 1, mode)
        if first is None:
            return
        alike = request.objects == 1 or (not self._every and self._is_alike(request, mode))
        self._found.append((*first, request.objects if alike else 1))
        if alike is False:
            for nth in range(2, request.objects + 1):
                if seen := self._seen(request, nth, mode):
                    self._found.append((*seen, 1))

    def _is_alike(self, request: Request, mode: Mode) -> bool | None:
        """Whether all objects of ``request`` are equal; ``None`` if that is to be seen."""
        if request.objects == 1:
            return True
        proof = self._proofs[request.account, request.does]
        first, last = self._seen(proof, 1, mode), self._seen(proof, proof.objects, mode)
        return None if first is None or last is None else first[1].kind == last[1].kind

    def _seen(self, request: Request, nth: int, mode: Mode) -> tuple[Strike, Seen] | None:
        """What was seen of a strike, or of one that is the same run; ``None``, and it is missing, if nothing was."""
        strike = Strike(request.number, nth, mode)
        if seen := self.known.get(strike):
            return strike, seen
        if mode == "forever" and not self._every and not self._to_end:
            single = Strike(request.number, nth, "once")
            once = self.known.get(single)
            if once is None:  # which is missing as well, and may be enough
                return None
            if not once.asked_again:
                return single, once
        self._missing[strike] = None
        return None


def _between(low: int, high: int) -> list[int]:
    """Places between two requests that differ, few of them, and most beside these, where a change is likely.

    A step closer takes a run of the workload, so a few rounds with some places are quicker than many with one.
    """
    steps = [CLOSER**power for power in range(NEAREST) if 2 * CLOSER**power < high - low]
    return sorted({(low + high) // 2, *(low + step for step in steps), *(high - step for step in steps)})


def _series(requests: Iterable[Request]) -> Iterator[Iterable[Request]]:
    """The requests of every call, by account; those that follow each other are together if they are as large."""
    for _, call in groupby(requests, key=lambda request: request.call):
        of_account: dict[str, list[Request]] = defaultdict(list)
        for request in call:
            of_account[request.account].append(request)
        for alike in of_account.values():
            for _, series in groupby(alike, key=lambda request: request.objects):
                yield series


def _summed(
    title: str, covers: Sequence[_Cover], refused: Sequence[str], to_end: bool, made: Mapping[str, Any]
) -> Faults:
    counts: Counter[Row] = Counter()
    broken: list[Broken] = []
    points = 0
    for cover in covers:
        policy, ordering = cover.variant.policy, cover.variant.ordering
        for strike, seen, number in cover.covered():
            request = cover.of_number[strike.request]
            counts[
                Row(policy, ordering, seen.outcome, request.account, request.step, request.does, 0, request.place)
            ] += number
            points += number
            if seen.outcome == BROKEN:
                nth = request.before + strike.nth
                broken.append(
                    Broken(policy, ordering, request.place, request.step, request.account, nth, strike.mode, seen.told)
                )
    places = {name: place for place, name in enumerate(OUTCOMES)}
    accounts = {name: place for place, name in enumerate(ACCOUNTS)}
    rows = [attrs.evolve(row, count=number) for row, number in counts.items()]
    sampled = any(cover.wanted < cover.total for cover in covers)
    return Faults(
        title=title,
        variants=tuple((cover.variant.policy, cover.variant.ordering) for cover in covers),
        rows=tuple(sorted(rows, key=lambda row: (places[row.outcome], row.place, accounts[row.account]))),
        points=points,
        carried_out=sum(len(cover.known) for cover in covers),
        left=sum(cover.wanted for cover in covers) - points,
        broken=tuple(dict.fromkeys(broken)),
        sample_of=sum(cover.total for cover in covers) if sampled else None,
        to_end=to_end,
        refused=tuple(refused),
        made=made,
    )
