# SPDX-License-Identifier: GPL-2.0-or-later
"""How much kernel memory guests need so that no conversion fails, or how many guests fit a host.

Theory of operation
-------------------
A run without limits never fails for want of memory, so its peak *is* the least budget with which none fails: an
allocation fails if and only if it would exceed the budget, and the peak counts instants inside a call too.  Nothing is
searched for that.  Other seeds are other boots; of their peaks the wanted quantile is told with an interval that
assumes no distribution (:mod:`gmemsim.studies.quantiles`).

A host is full of guests when one more does not fit.  What counts against its memory: the hugepage pool, the peak of the
kernel memory, the vmemmap of the pool that stays with HVO, the struct pages of all other memory, static PAMT of all
other memory, and what the caller says is used besides.  The search keeps the most copies known to fit and the fewest
known not to.  It assumes that the need grows by the same amount with each copy, tries the number that this leads to,
and corrects the assumption; it ends when the two numbers are neighbours.  So the answer does not rest on the
assumption: both neighbours have been run.  Still more copies fit only if the need can fall with a guest more.

What may live here: what is run, and what is made of it.  Copies of guests are made in :mod:`gmemsim.studies.copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import attrs

from gmemsim.errors import NO_MEMORY, SimulationRefused
from gmemsim.gmem.policy import Policy
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import STRUCT_PAGE_BYTES
from gmemsim.host.slab import slab_of
from gmemsim.host.switches import STATIC_PAMT_PER_MILLE, STRUCT_PAGE_BYTES_OF
from gmemsim.results.timeline import TOTAL, Event
from gmemsim.scenario.model import MOST_INSTANCES, Scenario
from gmemsim.scenario.workload import is_random
from gmemsim.sim.run import running
from gmemsim.studies.compare import with_policy
from gmemsim.studies.copies import copied, reserved, unlimited
from gmemsim.studies.made import made_of
from gmemsim.studies.quantiles import Quantile, check_part, needed, quantile
from gmemsim.studies.spread import Lost, results_of

EVENTS_KEPT: Final = 1_000
"""Events of a run that are kept: peaks are exact with any number."""

USUAL_QUANTILE: Final = 0.999
"""One boot in a thousand may need more."""


@attrs.frozen(kw_only=True)
class Question:
    """What is run: copies of ``only`` (default: of all guests) of ``scenario``, ``stagger`` ns apart (default: 0).

    ``policies``: by name, ``None`` for those of the scenario itself.
    """

    scenario: Scenario
    policies: Mapping[str, Policy | None]
    only: str | None = None
    stagger: int = 0

    def of(self, policy: str, copies: int, seed: int) -> Scenario:
        """The scenario with so many ``copies`` under ``policy`` (its name), with ``seed``, without limits."""
        scenario = attrs.evolve(unlimited(self.scenario), seed=seed)
        wanted = self.policies[policy]
        if wanted is not None:
            scenario = with_policy(scenario, wanted)
        return copied(scenario, copies, self.only, self.stagger)


@attrs.frozen(kw_only=True)
class Need:
    """What one run needed.

    ``peak``: the most bytes of kernel memory at once.  ``accounts``: bytes by account at that moment; ``slabs``: bytes
    with objects in whole slabs, a lower bound.  ``at_ns``: when that was; ``call``: the call that caused it, ``None``
    if none did.  ``pool``: bytes of hugepages; ``kept``: bytes of the pool's vmemmap that is there all the time.
    """

    peak: int
    accounts: Mapping[str, int]
    slabs: int
    at_ns: int
    call: Event | None
    pool: int
    kept: int

    @property
    def account(self) -> str:
        """The account that holds most at the peak."""
        return max(self.accounts, key=self.accounts.__getitem__)


def need(scenario: Scenario) -> Need:
    """Run ``scenario`` and say what it needed.  Raises ``SimulationRefused`` if its guests cannot be made.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec, HostSpec
    >>> work = (Allocate(guest="a", offset=0, size=1 << 21), Convert(guest="a", offset=0, size=4096, to="shared"))
    >>> guest = GuestSpec(name="a", memory=1 << 21, backing=1 << 21)
    >>> need(Scenario(title="", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=work)).account
    'vmemmap'
    """
    with running(scenario, keep=EVENTS_KEPT) as run:
        for _ in run.calls():
            pass
        result = run.result()
    page_size = scenario.host.page_size
    columns = result.timeline.columns()
    highest = int(columns[TOTAL].argmax())
    accounts = {name: int(columns[name][highest]) for name in ACCOUNTS}
    peak = result.timeline.peaks()[TOTAL]
    present, restored = result.summary["vmemmap_present"], result.summary["accounts"]["vmemmap"]
    return Need(
        peak=run.host.ledger.total.peak_bytes,
        accounts=accounts,
        slabs=sum(
            slab_of(name, page_size).bytes_for(_objects(name, held, page_size)) for name, held in accounts.items()
        ),
        at_ns=peak.time_ns,
        call=None if peak.event is None else result.timeline.events[peak.event],
        pool=sum(size * pages for size, pages in scenario.host.pools.items()),
        kept=present["live_bytes"] - restored["live_bytes"],
    )


def _objects(account: str, held: int, page_size: int) -> int:
    return -(-held // ACCOUNTS[account].size(page_size))


@attrs.frozen(kw_only=True)
class Host:
    """A host of ``memory`` bytes, of which ``other`` bytes are used for what is not simulated (default: none)."""

    memory: int
    other: int = 0

    def used(self, scenario: Scenario, found: Need, kernel: int) -> dict[str, int]:
        """Bytes by what they are for, if ``scenario`` needs what was ``found`` and its kernel memory takes ``kernel``
        bytes.

        PAMT is an estimate.
        """
        rest = max(0, self.memory - found.pool)
        descriptors = STRUCT_PAGE_BYTES_OF.get(scenario.host.memdesc, STRUCT_PAGE_BYTES)
        uses = {
            "pool": found.pool,
            "kernel": kernel,
            "vmemmap_kept": found.kept,
            "struct_pages": rest // scenario.host.page_size * descriptors,
            "pamt": rest * STATIC_PAMT_PER_MILLE // 1000 if scenario.host.pamt == "static" else 0,
            "other": self.other,
        }
        return {name: size for name, size in uses.items() if size}


@attrs.frozen(kw_only=True)
class BudgetRow:
    """The answer for one ``policy``.

    ``guests``: copies; with a host, how many fit it.  ``bytes``: the kernel memory that they need, the ``quantile``
    over ``seeds`` runs, in an interval from ``low`` to ``high`` (``None``: too few seeds).  ``need``: of the run that
    needs so much.  ``uses``: with a host, its bytes by what they are for; ``short``: how many bytes one copy more
    lacks, ``None`` where that was not run.  ``refused``: why there is no answer.  ``instances``: guests in all, those
    that are not copied included.
    """

    policy: str
    guests: int
    instances: int = 0
    bytes: int | None = None
    low: int | None = None
    high: int | None = None
    quantile: float = USUAL_QUANTILE
    seeds: int = 0
    need: Need | None = None
    uses: Mapping[str, int] | None = None
    short: int | None = None
    refused: str | None = None


@attrs.frozen(kw_only=True)
class Budget:
    """The ``rows`` that answer ``question``, one for every policy.

    ``random``: whether the workload depends on the seed; if not, one run is the answer.  ``host``: the host to fill, or
    ``None``.  ``needed``: seeds that it takes for an upper end.  ``left``: runs that have not been made.
    """

    question: Question
    rows: tuple[BudgetRow, ...]
    random: bool
    needed: int
    host: Host | None = None
    left: int = 0

    @property
    def complete(self) -> bool:
        """Whether all has been run."""
        return not self.left

    @property
    def made(self) -> dict[str, Any]:
        """What made it, as a summary says."""
        return made_of(self.question.scenario, self.question.policies.values())


def budget(
    question: Question,
    *,
    guests: int = 1,
    seeds: int = 1,
    q: float = USUAL_QUANTILE,
    host: Host | None = None,
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Budget:
    """What ``guests`` copies (default: 1) need, or with a ``host`` (default: none) how many fit it, for each policy.

    ``question`` says of what scenario, and under which policies.  ``seeds`` runs (default: 1), with the scenario's seed
    and those after it, tell the quantile ``q`` (default: 0.999); a workload that does not depend on the seed is run
    once.  ``executor`` (default: none) carries out the runs, see :func:`~gmemsim.studies.spread.results_of`; ``stop``
    (default: never) ends them early.  ``ValueError`` for a guest that is not there, more guests than a host has, or a
    ``q`` that is no part.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec, HostSpec
    >>> work = (Allocate(guest="a", offset=0, size=1 << 21), Convert(guest="a", offset=0, size=4096, to="shared"))
    >>> guest = GuestSpec(name="a", memory=1 << 21, backing=1 << 21)
    >>> one = Scenario(title="", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=work)
    >>> asked = Question(scenario=one, policies={"own": None})
    >>> need(one).peak == budget(asked).rows[0].bytes, budget(asked, host=Host(memory=1 << 30)).rows[0].guests
    (True, 502)
    """
    check_part(q)
    copied(question.scenario, guests, question.only)
    random = any(map(is_random, question.scenario.workload))
    desk = _Desk(question, seeds if random else 1, q, executor, stop)
    if host is None:
        rows = desk.answer({policy: _as_many(guests) for policy in question.policies})
    else:
        rows = desk.answer({policy: _to_fill(desk, policy, host) for policy in question.policies})
    return Budget(question=question, rows=rows, random=random, needed=needed(q), host=host, left=desk.left)


Asking = Generator[int, "_Answer", BudgetRow | None]
"""Asks for a number of copies, is told what they need, and ends with what a row says beside that."""


@attrs.frozen(kw_only=True)
class _Answer:
    """What a number of ``copies`` needs: the runs that ended, the quantile over them, or why it could not be run."""

    copies: int
    needs: tuple[Need, ...]
    found: Quantile | None
    refused: str | None = None

    @property
    def decisive(self) -> Need:
        """The run that needs what the quantile is."""
        assert self.found is not None
        return next(need for need in self.needs if need.peak == self.found.value)


class _Desk:
    """Asks for all policies at once, so that their runs share the executor."""

    def __init__(
        self, question: Question, seeds: int, q: float, executor: Executor | None, stop: Callable[[], bool]
    ) -> None:
        self.question = question
        self.left = 0
        self._seeds = range(question.scenario.seed, question.scenario.seed + seeds)
        self._random = any(map(is_random, question.scenario.workload))
        self._q = q
        self._executor = executor
        self._stop = stop

    def answer(self, asking: Mapping[str, Asking]) -> tuple[BudgetRow, ...]:
        """Let each policy ask until it has its row; the rows in order, those that were not begun left out."""
        waiting = {policy: next(asks) for policy, asks in asking.items()}
        rows: dict[str, BudgetRow] = {}
        while waiting and not self.left:
            answers = self._run(waiting)
            waiting = {}
            for policy, answer in answers.items():
                if self.left:  # stopped: what is there is all there is
                    rows[policy] = self.row(policy, answer)
                    continue
                try:
                    waiting[policy] = asking[policy].send(answer)
                except StopIteration as ended:
                    rows[policy] = ended.value or self.row(policy, answer)
        return tuple(rows[policy] for policy in asking if policy in rows)

    def row(self, policy: str, answer: _Answer) -> BudgetRow:
        """What an answer says of a policy."""
        scenario = self.question.scenario
        counts = {guest.name: guest.count for guest in scenario.guests}
        each = sum(counts.values()) if self.question.only is None else counts[self.question.only]
        row = BudgetRow(
            policy=policy,
            guests=answer.copies,
            instances=sum(counts.values()) + each * (answer.copies - 1),
            quantile=self._q,
            seeds=len(answer.needs),
            refused=answer.refused,
        )
        if answer.found is None:
            return row
        exact = None if self._random else answer.found.value
        return attrs.evolve(
            row,
            bytes=answer.found.value,
            low=exact or answer.found.low,
            high=exact or answer.found.high,
            need=answer.decisive,
        )

    def _run(self, waiting: Mapping[str, int]) -> dict[str, _Answer]:
        """What each policy is waiting for; after a stop those of which at least one run has ended."""
        points = [(policy, copies, seed) for policy, copies in waiting.items() for seed in self._seeds]
        ended: dict[str, list[Need]] = {}
        refused: dict[str, str] = {}
        self.left = len(points)
        for place, result in results_of(measure, self.question, points, self._executor, self._stop):
            self.left -= 1
            policy = points[place][0]
            if isinstance(result, Need):
                ended.setdefault(policy, []).append(result)
            else:
                refused[policy] = result.message if isinstance(result, Lost) else result
        return {
            policy: _Answer(
                copies=copies,
                needs=tuple(ended.get(policy, ())),
                found=quantile([need.peak for need in ended[policy]], self._q) if policy in ended else None,
                refused=refused.get(policy),
            )
            for policy, copies in waiting.items()
            if policy in ended or policy in refused
        }


def measure(question: Question, point: tuple[str, int, int]) -> Need | str:
    """What one run of ``question`` needs, at ``point``: policy, copies and seed; or why it could not be run."""
    try:
        return need(question.of(*point))
    except SimulationRefused as error:
        return str(error)
    except MemoryError:
        return NO_MEMORY


def _as_many(copies: int) -> Asking:
    """Ask once."""
    yield copies
    return None


def _to_fill(desk: _Desk, policy: str, host: Host) -> Asking:
    """Ask until the most copies that fit the host are known."""
    scenario, only = desk.question.scenario, desk.question.only
    bound = _most(scenario, only, host)
    fits: dict[int, tuple[int, _Answer]] = {}
    misses: dict[int, int] = {}
    copies = 1
    while True:
        answer = yield copies
        if answer.refused is not None or answer.found is None:
            return None
        used = sum(host.used(scenario, answer.decisive, answer.found.value).values())
        if used <= host.memory:
            fits[copies] = used, answer
        else:
            misses[copies] = used
        most = max(fits, default=0)
        least = min([*misses, bound + 1])
        if most + 1 == least or not fits:
            break
        first = min(fits)
        each = (fits[most][0] - fits[first][0]) / (most - first) if most > first else fits[most][0] / most
        copies = min(max(most + 1, most + int((host.memory - fits[most][0]) / each)), least - 1)
    short = misses[least] - host.memory if least in misses else None
    if not fits:
        return attrs.evolve(
            desk.row(policy, answer), guests=0, instances=0, bytes=None, low=None, high=None, short=short
        )
    answer = fits[most][1]
    assert answer.found is not None
    uses = host.used(scenario, answer.decisive, answer.found.value)
    return attrs.evolve(desk.row(policy, answer), uses=uses, short=short)


def _most(scenario: Scenario, only: str | None, host: Host) -> int:
    """More copies than this do not fit, since their hugepages alone do not, or the model has no more guests."""
    each = sum(size * pages for size, pages in reserved(scenario, only).items())
    first = sum(size * pages for size, pages in scenario.host.pools.items())
    by_pool = 1 + max(0, host.memory - first) // each if each else MOST_INSTANCES
    counts: Sequence[int] = [guest.count for guest in scenario.guests if only in (None, guest.name)]
    rest = sum(guest.count for guest in scenario.guests) - sum(counts)
    return min(by_pool, (MOST_INSTANCES - rest) // sum(counts))
