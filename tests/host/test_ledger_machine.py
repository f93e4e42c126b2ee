# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger against a naive model that takes objects one by one and looks at everything after each."""

from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gmemsim.errors import OutOfMemory
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.injection import InjectionMode
from gmemsim.host.ledger import Ledger

SIZES = {account: 1 + 2 * i for i, account in enumerate(ACCOUNTS)}  # distinct, so that mixed-up accounts show
USED = ACCOUNTS.names()[:3]
accounts = st.sampled_from(USED)
guests = st.sampled_from(["a", "b"])
counts = st.integers(0, 12)
modes = st.sampled_from(get_args(InjectionMode))


class Naive:
    """Every object one at a time; peaks and the high-water row after every single one."""

    def __init__(self, budget: int | None, grace: int) -> None:
        self.budget, self.grace, self.now = budget, grace, 0
        self.live: dict[tuple[str, str], int] = {(a, g): 0 for a in USED for g in "ab"}
        self.allocated = dict.fromkeys(self.live, 0)
        self.peak = dict.fromkeys(self.live, 0)
        self.account_peak = dict.fromkeys(USED, 0)
        self.total_peak_bytes = 0
        self.waiting: list[tuple[int, tuple[str, str]]] = []
        self.armed: list[list[object]] = []  # [account, left, mode]
        self.high = self.row()

    def row(self) -> list[int]:
        return [sum(self.live.get((a, g), 0) for g in "ab") * SIZES[a] for a in ACCOUNTS]

    def observe(self) -> None:
        row = self.row()
        self.total_peak_bytes = max(self.total_peak_bytes, sum(row))
        if sum(row) > sum(self.high):
            self.high = row
        for pair, live in self.live.items():
            self.peak[pair] = max(self.peak[pair], live)
        for a in USED:
            self.account_peak[a] = max(self.account_peak[a], self.live[a, "a"] + self.live[a, "b"])

    def one(self, pair: tuple[str, str]) -> bool:
        struck = False
        for fault in list(self.armed):
            account, left, mode = fault
            if account in ("any", pair[0]):
                assert isinstance(left, int)
                fault[1] = left - 1
                if left <= 1:
                    struck = True
                    if mode == "once":
                        self.armed.remove(fault)
        if struck or (self.budget is not None and sum(self.row()) + SIZES[pair[0]] > self.budget):
            return False
        self.live[pair] += 1
        self.allocated[pair] += 1
        self.observe()
        return True

    def alloc(self, pair: tuple[str, str], n: int) -> int | None:
        """The number held before the failure, or ``None`` for success."""
        for held in range(n):
            if not self.one(pair):
                self.live[pair] -= held
                return held
        return None

    def advance(self, to: int) -> None:
        self.now = to
        for due, pair in list(self.waiting):
            if due <= to:
                self.waiting.remove((due, pair))
                self.live[pair] -= 1


class LedgerMachine(RuleBasedStateMachine):
    @initialize(budget=st.none() | st.integers(0, 120), grace=st.integers(0, 4))
    def start(self, budget: int | None, grace: int) -> None:
        self.host = Ledger(SIZES, budget=budget, rcu_grace=grace)
        self.naive = Naive(budget, grace)

    @rule(account=accounts, guest=guests, n=counts)
    def alloc(self, account: str, guest: str, n: int) -> None:
        expected = self.naive.alloc((account, guest), n)
        held = None
        try:
            self.host.holder(account, guest).alloc(n)
        except OutOfMemory as error:
            held = error.held
        assert held == expected

    @rule(account=accounts, guest=guests, n=counts, rcu=st.booleans())
    def free(self, account: str, guest: str, n: int, rcu: bool) -> None:
        pair = (account, guest)
        waiting = sum(1 for _, p in self.naive.waiting if p == pair)
        n = min(n, self.naive.live[pair] - waiting)
        self.host.holder(account, guest).free(n, rcu=rcu)
        if rcu and self.naive.grace:
            self.naive.waiting += [(self.naive.now + self.naive.grace, pair)] * n
        else:
            self.naive.live[pair] -= n

    @rule(later=st.integers(0, 6))
    def advance(self, later: int) -> None:
        self.host.advance(self.naive.now + later)
        self.naive.advance(self.naive.now + later)

    @rule(account=accounts | st.just("any"), nth=st.integers(1, 20), mode=st.sampled_from(["once", "forever"]))
    def inject(self, account: str, nth: int, mode: InjectionMode) -> None:
        self.host.inject(account, nth, mode)
        self.naive.armed.append([account, nth, mode])

    @rule()
    def reset_high_water(self) -> None:
        self.host.take_rows()
        self.naive.high = self.naive.row()

    @invariant()
    def agree(self) -> None:
        self.host.check()
        naive, host = self.naive, self.host
        assert host.live_row() == naive.row()
        assert host.high_water_row() == naive.high
        assert host.total.peak_bytes == naive.total_peak_bytes
        assert host.next_release() == min((due for due, _ in naive.waiting), default=None)
        assert {a: host.tallies[a].peak for a in USED} == naive.account_peak
        for (account, guest), live in naive.live.items():
            holder = host.holder(account, guest)
            assert (holder.live, holder.allocated) == (live, naive.allocated[account, guest])
            assert holder.peak == naive.peak[account, guest]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
