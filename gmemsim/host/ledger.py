# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger: who holds how much kernel memory, and the only place where it is taken.

Theory of operation
-------------------
Memory is counted in *objects* of an *account* (``filemap_nodes``,
``vmemmap``, ...), held by a *guest*.  Each pair has one :class:`Holder`; whoever needs memory keeps its
holder and calls :meth:`Holder.alloc` and :meth:`Holder.free`.  Nothing else takes memory, so the three things
that can happen to an allocation live here:

* **counting**: live, peak and cumulative objects per holder, per account and in all, bytes per guest and in
  all;
* the **budget**: the sum of all live bytes never exceeds it (frees that wait for RCU are still live), nor what is
  charged to a guest's memcg its limit, which is asked first (:mod:`gmemsim.host.memcg`); on a host of several NUMA
  nodes each has a budget too, and every object lies on one of them (:mod:`gmemsim.host.nodes`);
* **fault injection**: the n-th object requested of an account, or of all of them, cannot be had.

An allocation of n objects stands for n calls of the kernel's allocator.  If the k-th fails, the first k - 1
had been taken (peaks show them) and are given back, and :class:`~gmemsim.errors.OutOfMemory` says so.
Whatever n is, the work done here is constant.

Two devices keep the common case short, because a million conversions pass through it:

* *Peaks are written on the way down.*  While memory only grows, the current figure is the highest since the
  last free; so ``alloc`` touches no peak at all, ``free`` notes the figures it is about to lower, and a peak
  that is read is the larger of the noted and the current one.  The row of all accounts at the highest total
  is kept in the same way.
* *One comparison guards everything.*  ``_limit`` is the total up to which an allocation needs no second look:
  the budget, or -1 while a fault is armed, a guest has a limit of its own, the host has NUMA nodes, or somebody
  watches.

``allocated`` is not stored: it is ``live + freed`` by construction.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from gmemsim.errors import OutOfMemory
from gmemsim.host import ledger_check
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.injection import ANY, Injection, InjectionMode
from gmemsim.host.memcg import Memcg
from gmemsim.host.nodes import Nodes
from gmemsim.host.rcu import Deferred, DeferredFrees
from gmemsim.host.tallies import Tally, Total
from gmemsim.units import human_size

_UNLIMITED = sys.maxsize


class Holder(Tally):
    """The tally of one ``account`` of one ``guest``, and the only way to change it; :meth:`Ledger.holder` makes it.

    ``ledger`` keeps the sums, ``index`` is the account's place in :data:`ACCOUNTS`, and an object has ``object_bytes``.
    Whoever takes memory with it sets ``known`` to a function that tells how many objects it knows of, so that
    :meth:`Ledger.check_held` finds what leaks.
    """

    __slots__ = (
        "_index",
        "_ledger",
        "_of_account",
        "_of_all",
        "_of_guest",
        "account",
        "charged",
        "deferred",
        "guest",
        "known",
        "uncharged",
    )

    def __init__(self, ledger: Ledger, index: int, account: str, guest: str, object_bytes: int) -> None:
        super().__init__(object_bytes)
        self.account = account
        self.guest = guest
        self.deferred = 0
        """Objects freed with ``rcu`` whose memory has not returned yet; they are part of ``live``."""
        self.known: Callable[[], int] | None = None
        self.charged = bool(ACCOUNTS[account].charged)
        """Whether what is taken now is charged to the guest's memcg."""
        self.uncharged: Callable[[], int] | None = None
        """Live objects that are charged to nobody although the account is charged."""
        self._ledger = ledger
        self._index = index
        self._of_account = ledger.tallies[account]
        self._of_guest = ledger._guests[guest]
        self._of_all = ledger.total

    def alloc(self, n: int = 1) -> None:
        """Take ``n`` objects (default: 1), or none and raise ``OutOfMemory`` (``held`` before the failure).  O(1)."""
        size = n * self.object_bytes
        of_all = self._of_all
        ledger = self._ledger
        if of_all.live_bytes + size > ledger._limit or n < 0:
            self._ask(n)
        self.live += n
        of_account = self._of_account
        of_account.live += n
        of_account.live_bytes += size
        of_guest = self._of_guest
        of_guest.live += n
        of_guest.live_bytes += size
        of_all.live += n
        of_all.live_bytes += size
        ledger._row[self._index] += size

    @property
    def held(self) -> int:
        """Objects that are live and have not been freed."""
        return self.live - self.deferred

    def retry(self) -> bool:
        """Whether an object that :meth:`alloc` could not have can be had by waiting: no.

        The XArray asks again after a failure, sleeping this time.  A fault or the budget takes away the
        object, not one attempt at it, and reclaim is not modelled.  The second attempt is not counted by
        injections.
        """
        return False

    def free(self, n: int = 1, *, rcu: bool = False) -> None:
        """Give ``n`` objects back (default: 1): at once, or with ``rcu`` (default: no) after the grace period.  O(1).

        ``AssertionError`` if fewer than ``n`` are live and not already freed: that is a bug in the caller.
        """
        if not 0 <= n <= self.live - self.deferred:  # written out: held costs a call
            raise AssertionError(
                f"{self.account} of {self.guest}: freeing {n} objects,"
                f" but {self.live} are live and {self.deferred} of them already freed"
            )
        ledger = self._ledger
        if rcu and ledger.rcu_grace and n:
            self.deferred += n
            ledger._deferred.push(ledger._now + ledger.rcu_grace, self, n)
        else:
            self._release(n)

    def hand_over(self, n: int, to: Holder) -> None:
        """Let ``to``, which holds the same account, have ``n`` of these objects from now on; that cannot fail.

        Counted as freed here and allocated there.
        """
        if to.account != self.account:
            raise AssertionError(f"objects of {self.account} cannot become {to.account}")
        if self._ledger.nodes is not None:
            self._ledger.nodes.hand_over(self, n, to)
        self.free(n)
        to._alloc_unasked(n)

    def _alloc_unasked(self, n: int) -> None:
        """Take ``n`` objects whatever the limits and the injections say."""
        ledger = self._ledger
        if ledger.nodes is not None:
            ledger.nodes.grow(self, self.live + n)
        limit, ledger._limit = ledger._limit, _UNLIMITED
        self.alloc(n)
        ledger._limit = limit

    def _release(self, n: int) -> None:
        size = n * self.object_bytes
        ledger, of_account, of_guest, of_all = self._ledger, self._of_account, self._of_guest, self._of_all
        if of_all.live_bytes > ledger._high_water:
            ledger._note_high_water()
        live = self.live
        if live > self._noted_peak:
            self._noted_peak = live
        self.live = live - n
        self.freed += n
        for total in (of_account, of_guest, of_all):
            live, live_bytes = total.live, total.live_bytes
            if live > total._noted_peak:
                total._noted_peak = live
            if live_bytes > total._noted_peak_bytes:
                total._noted_peak_bytes = live_bytes
            total.live = live - n
            total.freed += n
            total.live_bytes = live_bytes - size
        ledger._row[self._index] -= size
        if ledger.nodes is not None:
            ledger.nodes.shrink(self, self.live)

    def _ask(self, n: int) -> None:
        """Return if ``n`` objects can be had; else take and give back those before the failure, and raise."""
        if n < 0:
            raise AssertionError(f"{self.account} of {self.guest}: allocating {n} objects")
        ledger = self._ledger
        if ledger._watcher is not None:
            ledger._watcher(self, n)
        failing, cause = ledger._first_failure(self, n)
        if cause is None:
            if ledger.nodes is not None:
                ledger.nodes.grow(self, self.live + n)
            return
        held = failing - 1
        self._alloc_unasked(held)
        self._release(held)
        raise OutOfMemory(f"{self.account} of {self.guest}: no memory for object {failing} of {n}: {cause}", held=held)


class Ledger:
    """All kernel memory of the modelled host.

    ``object_bytes`` gives the size in bytes of one object of every account (see ``slab.object_sizes``); ``budget`` is
    the most bytes that may be live at once (default: no limit); ``rcu_grace`` is the time in ns between a free with
    ``rcu`` and the return of the memory (default: 0, at once); ``nodes`` are the host's NUMA nodes (default: not
    modelled).  ``ValueError`` for an account without a size, a size below 1, or a negative limit or time.

    >>> ledger = Ledger(dict.fromkeys(ACCOUNTS, 576), rcu_grace=10)
    >>> nodes = ledger.holder("filemap_nodes", "vm0")
    >>> nodes.alloc(4161); nodes.free(4161, rcu=True); nodes.live, ledger.next_release()
    (4161, 10)
    >>> ledger.advance(10); nodes.live, ledger.total.peak_bytes
    (0, 2396736)
    """

    def __init__(
        self,
        object_bytes: Mapping[str, int],
        *,
        budget: int | None = None,
        rcu_grace: int = 0,
        nodes: Nodes | None = None,
    ) -> None:
        if object_bytes.keys() != set(ACCOUNTS):
            wrong = sorted(object_bytes.keys() ^ set(ACCOUNTS))
            raise ValueError(f"object_bytes must name every account once; missing or unknown: {', '.join(wrong)}")
        if min(object_bytes.values()) <= 0:
            raise ValueError(f"an object has at least one byte, found {dict(object_bytes)}")
        if rcu_grace < 0 or (budget is not None and budget < 0):
            raise ValueError(f"budget ({budget}) and rcu_grace ({rcu_grace}) cannot be negative")
        self.budget = budget
        self.rcu_grace = rcu_grace
        self.nodes = nodes
        self.total = Total()
        self.tallies: Mapping[str, Total] = {account: Total() for account in ACCOUNTS}
        self._object_bytes = dict(object_bytes)
        self._indices = {account: index for index, account in enumerate(ACCOUNTS)}
        self._guests: dict[str, Total] = {}
        self._holders: dict[tuple[str, str], Holder] = {}
        self._injections: list[Injection] = []
        self._limit = -1 if nodes is not None else _UNLIMITED if budget is None else budget
        self._now = 0
        self._deferred: DeferredFrees[Holder] = DeferredFrees()
        self.memcgs: dict[str, Memcg] = {}
        """The limits of guests that have one."""
        self._watcher: Callable[[Holder, int], None] | None = None
        self._row = [0] * len(ACCOUNTS)
        self._high_water = -1  # the highest total noted since the mark, and the row at that instant
        self._high_water_row = self._row.copy()

    # -- holders and what they hold -------------------------------------------------------------------------

    def holder(self, account: str, guest: str, *, object_bytes: int | None = None) -> Holder:
        """The one holder of ``account`` for ``guest``, made when first asked for; or ``KeyError``.

        ``object_bytes`` (default: the account's) is for a guest whose objects of this account have a size of their own;
        it counts when the holder is made.
        """
        holder = self._holders.get((account, guest))
        if holder is None:
            index, size = self._indices[account], object_bytes or self._object_bytes[account]
            self._guests.setdefault(guest, Total())
            holder = self._holders[account, guest] = Holder(self, index, account, guest, size)
        return holder

    def guests(self) -> tuple[str, ...]:
        """Every guest that has a holder, in the order in which they came."""
        return tuple(self._guests)

    def guest_total(self, guest: str) -> Total:
        """What ``guest`` holds of all accounts; ``KeyError`` if it has no holder."""
        return self._guests[guest]

    def guest_tallies(self, guest: str) -> Mapping[str, Tally]:
        """What ``guest`` holds by account, in the order of ``ACCOUNTS``; ``KeyError`` if it has no holder."""
        self.guest_total(guest)
        return {account: self.holder(account, guest) for account in ACCOUNTS}

    def charged(self, guest: str) -> list[Holder]:
        """The holders of ``guest`` whose objects are charged to its memcg."""
        return [self.holder(name, guest) for name, account in ACCOUNTS.items() if account.charged]

    def live_row(self) -> list[int]:
        """Live bytes by account, in the order of ``ACCOUNTS``."""
        return self._row.copy()

    def high_water_row(self) -> list[int]:
        """Live bytes by account at the (first) instant of the highest total since the last mark."""
        if self.total.live_bytes > self._high_water:
            return self._row.copy()
        return self._high_water_row.copy()

    def take_rows(self) -> tuple[list[int], list[int] | None]:
        """:meth:`live_row`, and :meth:`high_water_row`; ``None`` for that if the total has not been higher than it is.

        A new mark starts here.  Both are to be read at once: they are not copies.
        """
        highest = self._high_water_row if self._high_water > self.total.live_bytes else None
        self._high_water = -1
        return self._row, highest

    def _note_high_water(self) -> None:
        self._high_water = self.total.live_bytes
        self._high_water_row[:] = self._row

    # -- refusals -------------------------------------------------------------------------------------------

    def inject(self, account: str, nth: int, mode: InjectionMode = "once") -> None:
        """Let the ``nth`` object (1 is the next) requested of ``account`` from now on fail.

        ``account`` may be ``"any"``: then the objects of all accounts count.  Objects are counted over all guests,
        failed ones included.  By default ``mode`` is ``"once"``, which disarms after it struck; ``"forever"`` fails
        every later object as well.  Several injections may be armed; each counts for itself.  ``ValueError`` for an
        argument that makes no sense.
        """
        if account != ANY and account not in self.tallies:
            raise ValueError(f"account is {account!r}, expected {ANY} or one of {', '.join(ACCOUNTS)}")
        if nth < 1:
            raise ValueError(f"nth is {nth}, but the next object is number 1")
        if mode not in get_args(InjectionMode):
            raise ValueError(f"mode is {mode!r}, expected one of {', '.join(get_args(InjectionMode))}")
        self._injections.append(Injection(account, nth, mode))
        self._limit = -1

    def limit_guest(self, guest: str, limit: int) -> None:
        """Let no more than ``limit`` bytes be charged to the memcg of ``guest``."""
        self.memcgs[guest] = Memcg(guest, limit, self.charged(guest))
        self._limit = -1

    def holders(self) -> Iterable[Holder]:
        """Every holder that there is."""
        return self._holders.values()

    def armed(self) -> tuple[Injection, ...]:
        """The injections that have not been disarmed, oldest first."""
        return tuple(self._injections)

    def watch(self, watcher: Callable[[Holder, int], None] | None) -> None:
        """Let ``watcher`` know of every request, before it is answered: who asks, and for how many objects.

        It may call :meth:`inject`, which then concerns this request too, and :meth:`foresee`.  ``None``: nobody.
        """
        self._watcher = watcher
        self._set_limit()

    def watched(self) -> bool:
        """Whether somebody watches, who may let any request fail."""
        return self._watcher is not None

    def foresee(self, holder: Holder, n: int) -> int:
        """How many of the next ``n`` objects ``holder`` would get before one fails, as things are now."""
        return min(self._foreseen(holder, n, self._concerned(holder))[0] - 1, n)

    def _concerned(self, holder: Holder) -> list[Injection]:
        """The injections that count the objects of ``holder``."""
        return [i for i in self._injections if i.account in (ANY, holder.account)]

    def _foreseen(self, holder: Holder, n: int, concerned: list[Injection]) -> tuple[int, str | None]:
        """Which of the next ``n`` objects fails first (from 1), and why; ``(n + 1, None)`` if none does."""
        failing, cause = n + 1, None
        for injection in concerned:
            if injection.left < failing:
                failing, cause = injection.left, str(injection)
        memcg = self.memcgs.get(holder.guest) if holder.charged else None
        if memcg is not None and memcg.room(holder.object_bytes) + 1 < failing:
            failing, cause = memcg.room(holder.object_bytes) + 1, memcg.refusal()
        if self.budget is not None:
            room = (self.budget - self.total.live_bytes) // holder.object_bytes
            if room + 1 < failing:
                failing = room + 1
                cause = f"the budget of {human_size(self.budget)} leaves no room"
        if self.nodes is not None and (room := self.nodes.room(holder)) + 1 < failing:
            failing, cause = room + 1, self.nodes.refusal(holder)
        return failing, cause

    def _first_failure(self, holder: Holder, n: int) -> tuple[int, str | None]:
        """As :meth:`_foreseen`; counts the objects up to that one against every injection that concerns them."""
        concerned = self._concerned(holder)
        failing, cause = self._foreseen(holder, n, concerned)
        asked = min(failing, n)
        for injection in concerned:
            injection.left -= asked
            if injection.left <= 0:
                if injection.mode == "once":
                    self._injections.remove(injection)
                else:
                    injection.left = 1
        self._set_limit()
        return failing, cause

    def _set_limit(self) -> None:
        looks_twice = self._injections or self.memcgs or self.nodes is not None or self._watcher is not None
        self._limit = -1 if looks_twice else _UNLIMITED if self.budget is None else self.budget

    # -- time -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Simulated time in ns; only :meth:`advance` moves it."""
        return self._now

    def next_release(self) -> int | None:
        """When the oldest deferred free comes due (ns), or ``None`` if none waits."""
        return self._deferred.next_due()

    def waiting(self) -> Iterable[Deferred[Holder]]:
        """The frees that wait for their grace period."""
        return self._deferred

    def advance(self, to: int) -> None:
        """Move time to ``to`` (ns) and perform, in order, every deferred free due by then.

        ``ValueError`` if ``to`` lies in the past.
        """
        if to < self._now:
            raise self._backwards(to)
        for free in self._deferred.pop_due(to):
            free.owner.deferred -= free.objects
            free.owner._release(free.objects)
        self._now = to

    def _backwards(self, to: int) -> ValueError:
        return ValueError(f"time cannot go back from {self._now} ns to {to} ns")

    def advance_to_release(self, to: int) -> bool:
        """:meth:`advance` to ``to`` (ns), but stop where a deferred free comes due; whether there was one."""
        due = self._deferred.next_due()
        if due is not None and due <= to:
            self.advance(due)
            return True
        if to < self._now:
            raise self._backwards(to)
        self._now = to
        return False

    # -- invariants -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Verify every invariant; ``AssertionError`` says which failed and shows the ledger.  O(holders)."""
        problems = ledger_check.problems(self)
        if problems:
            raise AssertionError("\n".join([*problems, str(self)]))
        self._deferred.check()

    def check_held(self, guest: str) -> None:
        """``AssertionError`` unless ``guest`` holds, of every account, what its holders' users know of."""
        for (_, name), holder in self._holders.items():
            if name == guest:
                known = 0 if holder.known is None else holder.known()
                assert holder.held == known, f"{guest}: {holder.held} objects of {holder.account} held, {known} known"

    def __str__(self) -> str:
        heads = ("live", "peak", "allocated", "freed", "live_bytes", "peak_bytes")
        lines = ["".join([f"{'account':20}", *(f"{head:>14}" for head in heads)])]
        whole: list[tuple[str, Total]] = [*self.tallies.items(), ("total", self.total)]
        lines += ["".join([f"{name:20}", *(f"{getattr(t, head):14}" for head in heads)]) for name, t in whole]
        lines.append(
            f"now {self._now} ns, budget {self.budget}, {len(self._deferred)} deferred frees,"
            f" {len(self._injections)} injections armed"
        )
        return "\n".join(lines)
