# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be had beforehand so that converting pages of one hugepage cannot fail, object by object.

Theory of operation
-------------------
There are no formulas here.  A small guest with two hugepages, which it has touched, converts pages of the first one,
and the ledger tells how many objects every account has above those that it had before: the most of that is the reserve.
An object counts until its memory is back, a grace period after it was freed.

*One call* (scope ``call``): the most that any single conversion takes, to shared and back, with a grace period between
two.  *A hugepage's whole life* (scope ``life``): the pages are shared one call after the other, the other hugepage is
punched out of the file, so that the root of the filemap may go, and all is taken back, piece by piece or by one call.
What the conversions hold at the same time must be had; the root node of the merge is among it, as what the hole freed
is not the reserve's.

*Where the pages lie* decides how much is split.  :func:`placements` lists the places that can be worst: both ends of a
block as far from aligned as can be, and on both sides of a border; spread pages in as many blocks of every size as
there are.  A reserve is, account by account, the most of any of them.  Tests try all places of small hugepages and
random ones of large ones, and prove each reserve by runs: with it nothing can fail, with one object less something can
(:func:`suffices`).

Closed forms, where there are any, are :mod:`gmemsim.studies.closed_forms`'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import attrs

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.stage2 import MappingKind
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import PAGE_SIZES, Geometry
from gmemsim.host.host import Host
from gmemsim.host.injection import ANY
from gmemsim.host.ledger import Holder
from gmemsim.host.slab import object_sizes
from gmemsim.host.switches import KernelSwitches
from gmemsim.studies.made import made_without_scenario
from gmemsim.units import size_name

Pattern = Literal["one", "spread", "block"]
PATTERNS: Final[tuple[Pattern, ...]] = get_args(Pattern)
"""One page; so many, each by a call of its own; so many that lie together, by one call."""

Scope = Literal["call", "life"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

USUAL_PATTERN: Final[Mapping[Scope, Pattern]] = {"call": "block", "life": "spread"}
"""The pattern that says most about each scope."""

Placement = tuple[tuple[int, int], ...]
"""Ranges of pages (start, end) of a hugepage, in the order in which they are converted."""

USUAL: Final = ("b-today", "staged", "staged-partial", "nonuniform", "nonuniform-partial")
"""The policies that are shown if none is asked for: those whose reserves differ most."""

MOST_SPREAD: Final = 1 << 16
"""Pages of a spread pattern at most: each is a call."""


@attrs.frozen(kw_only=True)
class Question:
    """What is asked.

    ``backing``: bytes of the hugepage (default: 1G).  ``pattern`` (default: ``block``), ``scope`` (default: ``call``):
    see above.  ``mapping``: how the guest is mapped (default: as guests on such pages are).  ``page_size``: bytes of a
    base page (default: 4K).  ``kernel``: the host's switches (default: today's).  ``ValueError`` for what no machine
    has.
    """

    backing: int = 1 << 30
    pattern: Pattern = "block"
    scope: Scope = "call"
    mapping: MappingKind | None = None
    page_size: int = 4096
    kernel: KernelSwitches = attrs.field(factory=KernelSwitches)

    def __attrs_post_init__(self) -> None:
        if self.page_size not in PAGE_SIZES:
            sizes = ", ".join(map(size_name, PAGE_SIZES))
            raise ValueError(f"found base pages of {size_name(self.page_size)}, expected one of {sizes}")
        for problem in (
            self.geometry.hugepage_problem(self.backing),
            self.mapping and self.geometry.mapping_problem(self.mapping, self.backing),
        ):
            if problem:
                raise ValueError(problem)

    @property
    def geometry(self) -> Geometry:
        """Of the machine."""
        return Geometry(self.page_size)

    @property
    def order(self) -> int:
        """Order of the hugepage."""
        return self.geometry.order_of(self.backing)

    @property
    def most(self) -> int:
        """Pages that may be asked for."""
        whole = 1 << self.order
        return {"one": 1, "spread": min(whole // 2, MOST_SPREAD), "block": whole}[self.pattern]

    def usual_pages(self) -> tuple[int, ...]:
        """Numbers of pages that show how the reserve grows."""
        series = {"one": (1,), "spread": (1, 2, 8, 64, 512), "block": (1, 2, 64, 512, 4096, self.most)}[self.pattern]
        return tuple(dict.fromkeys(pages for pages in series if pages <= self.most))


@attrs.frozen
class ReserveRow:
    """The reserve of one ``policy`` (as it was given) for so many ``pages``.

    ``objects`` by account, 0 included; ``bytes`` of all of them.  ``placement``: where the pages lie that take the
    most bytes.  ``proved``: whether runs have shown that it is enough and no more than that (default: not asked).
    """

    policy: str
    pages: int
    objects: Mapping[str, int]
    bytes: int
    placement: Placement
    proved: bool | None = None


@attrs.frozen
class Reserve:
    """The answer to ``question``: ``rows`` by policy, then by pages; ``policies`` by the names in the rows.

    ``left``: rows that were not worked out, because the study was stopped.
    """

    question: Question
    policies: Mapping[str, Policy]
    rows: tuple[ReserveRow, ...]
    left: int = 0

    @property
    def made(self) -> dict[str, Any]:
        """What made it, as a summary says."""
        return made_without_scenario(self.policies.values())


def reserve(
    policies: Mapping[str, Policy] | None = None,
    pages: Sequence[int] = (),
    question: Question | None = None,
    *,
    prove: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Reserve:
    """The reserves of ``policies`` (default: :data:`USUAL`, as far as they fit) for each number of ``pages``.

    ``pages`` (default: a series that shows how it grows) are shared in the ``question``'s pattern.  ``prove`` (default:
    no): see :func:`is_proved`.  It ends early when ``stop()`` is true (default: never).  ``ValueError`` for a policy
    that does not fit the hugepage or more pages than there are.

    >>> found = reserve({"b-today": Policy()}, [1])
    >>> [(name, n) for name, n in found.rows[0].objects.items() if n]
    [('filemap_nodes', 4161), ('attributes', 1), ('vmemmap', 4095), ('stage2_page_tables', 2)]
    """
    question = question or Question()
    numbers = tuple(pages) or question.usual_pages()
    for number in numbers:
        if not 1 <= number <= question.most:
            raise ValueError(f"found {number:,} pages, expected 1 to {question.most:,} of pattern {question.pattern}")
    wanted = {name: PRESETS[name].policy for name in USUAL} if policies is None else dict(policies)
    for name, policy in wanted.items():
        try:
            policy.rungs(question.order, question.geometry)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    rows: list[ReserveRow] = []
    for name, policy in wanted.items():
        for number in numbers:
            if not stop():
                row = _row(question, name, policy, number)
                rows.append(attrs.evolve(row, proved=is_proved(question, policy, row)) if prove else row)
    return Reserve(question, wanted, tuple(rows), len(wanted) * len(numbers) - len(rows))


def _row(question: Question, name: str, policy: Policy, pages: int) -> ReserveRow:
    """The most of every account, over all placements."""
    sizes = object_sizes(question.page_size)
    most: Counter[str] = Counter()
    worst: tuple[int, Placement] = (-1, ())
    for placement in placements(question.pattern, pages, question.order):
        taken = needed(question, policy, placement)
        most |= taken
        worst = max(worst, (_bytes(taken, sizes), placement), key=lambda found: found[0])
    objects = {account: most[account] for account in ACCOUNTS}
    return ReserveRow(name, pages, objects, _bytes(objects, sizes), worst[1])


def _bytes(objects: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    return sum(number * sizes[account] for account, number in objects.items())


# -- where pages lie -----------------------------------------------------------------------------------------------


def placements(pattern: Pattern, pages: int, order: int) -> Iterator[Placement]:
    """The places in ``pattern`` of so many ``pages`` in a hugepage of ``order`` that may take the most, each once."""
    if pattern == "spread":
        yield tuple((page, page + 1) for page in _scattered(pages, order))
        yield tuple((page, page + 1) for page in range(1, 2 * pages, 2))
        return
    last = (1 << order) - pages
    middle = 1 << order - 1
    starts = [0, 1, last - 1, last, last // 2, middle - pages // 2, middle - pages + 1, middle - pages]
    starts += [(1 << border) - 1 for border in range(order)]  # one page before every border
    for start in dict.fromkeys(starts):
        if 0 <= start <= last:
            yield ((start, start + pages),)


def _scattered(pages: int, order: int) -> Iterator[int]:
    """Pages in as many blocks of every order as there can be, each with private neighbours: bits in reverse."""
    for number in range(pages):
        reverse = 0
        for _ in range(order - 1):
            reverse = reverse << 1 | number & 1
            number >>= 1
        yield reverse << 1 | 1


# -- what they take ------------------------------------------------------------------------------------------------


def needed(question: Question, policy: Policy, placement: Placement) -> Counter[str]:
    """The objects that conversions of ``placement`` under ``policy`` take, by account; ``question`` has the rest.
    O(calls).
    """
    most: Counter[str] = Counter()
    for life in _lives(question, policy, placement):
        life.carry_out()
        most |= life.most
    return most


def suffices(question: Question, policy: Policy, placement: Placement, objects: Mapping[str, int]) -> bool:
    """Whether no conversion of ``placement`` under ``policy`` fails if it can have ``objects``, and all beyond them
    fails.

    ``question`` says of what hugepage and guest.
    """
    for life in _lives(question, policy, placement):
        life.reserve = objects
        try:
            life.carry_out()
        except KernelError:
            return False
    return True


def is_proved(question: Question, policy: Policy, row: ReserveRow) -> bool:
    """Whether nothing can fail with the reserve ``row``, and something can with one object less of any account.

    ``question`` says of what hugepage and guest, ``policy`` how it is converted.
    """

    def enough(objects: Mapping[str, int]) -> bool:
        places = placements(question.pattern, row.pages, question.order)
        return all(suffices(question, policy, place, objects) for place in places)

    fewer = [{**row.objects, account: number - 1} for account, number in row.objects.items() if number]
    return enough(row.objects) and not any(map(enough, fewer))


def _lives(question: Question, policy: Policy, placement: Placement) -> Iterator[_Life]:
    """The ways in which pages are taken back: by as many calls as they were shared, and by one."""
    yield _Life(question, policy, placement, placement)
    if question.scope == "life":
        yield _Life(question, policy, placement, ((0, 1 << question.order),))


class _Life:
    """A hugepage from its first conversion to the last, and the ``most`` objects that they have held.

    With a ``reserve`` (default: none) an object beyond it cannot be had.
    """

    def __init__(self, question: Question, policy: Policy, out: Placement, back: Placement) -> None:
        self.most: Counter[str] = Counter()
        self.reserve: Mapping[str, int] | None = None
        self._scope = question.scope
        self._out = out
        self._back = back
        size = question.backing
        self._host = Host(geometry=question.geometry, hugetlb={size: 2}, kernel=question.kernel)
        self._guest = GuestMemfd(
            self._host, "guest", size=2 * size, backing=size, policy=policy, mapping=question.mapping
        )
        self._guest.allocate(0, 2 * size)
        self._guest.fault(0, 2 * size)
        self._before: Counter[str] = Counter()
        self._note_before()

    def carry_out(self) -> None:
        """All conversions; ``KernelError`` if one fails."""
        page, guest = self._host.geometry.page_size, self._guest
        for start, end in self._out:
            offset, size = start * page, (end - start) * page
            self._counted(lambda offset=offset, size=size: guest.set_attributes(offset, size, False))  # type: ignore[misc]
            if guest.policy.splits_at_fault:
                self._counted(lambda offset=offset, size=size: guest.fault(offset, size, by="host"))  # type: ignore[misc]
        if self._scope == "life":
            self._punch_other()
        for start, end in self._back:
            offset, size = start * page, (end - start) * page
            self._counted(lambda offset=offset, size=size: guest.set_attributes(offset, size, True))  # type: ignore[misc]

    def _counted(self, call: Callable[[], None]) -> None:
        """One call that may take of the reserve, then a grace period."""
        if self._scope == "call":
            self._note_before()
        self._host.ledger.watch(self._look)
        call()
        self._host.ledger.watch(None)
        self._let_time_pass()

    def _punch_other(self) -> None:
        """Punch the other hugepage out of the file; what that frees was not the reserve's."""
        held = self._live()
        self._guest.punch_hole(self._guest.backing, self._guest.backing)
        self._let_time_pass()
        now = self._live()
        for account in ACCOUNTS:
            self._before[account] -= held[account] - now[account]

    def _let_time_pass(self) -> None:
        ledger = self._host.ledger
        ledger.advance(ledger.now + ledger.rcu_grace)

    def _live(self) -> Counter[str]:
        return Counter({name: tally.live for name, tally in self._host.ledger.tallies.items()})

    def _note_before(self) -> None:
        self._before = self._live()

    def _look(self, holder: Holder, n: int) -> None:
        """``n`` objects are asked for."""
        account, ledger = holder.account, self._host.ledger
        taken = ledger.tallies[account].live - self._before[account]
        self.most[account] = max(self.most[account], taken + n)
        if self.reserve is not None and taken + n > self.reserve[account]:
            ledger.inject(ANY, self.reserve[account] - taken + 1)
