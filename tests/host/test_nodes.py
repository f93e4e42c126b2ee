# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA nodes: where objects lie, when a node is full, what never leaves its node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.host import Host
from gmemsim.host.hugetlb import HugePool
from gmemsim.host.ledger import Ledger
from gmemsim.host.nodes import Nodes
from gmemsim.host.switches import KernelSwitches, NodeMemory
from tests.gmem.worlds import PAGE, G, M, outcome

SIZES = {account: 1 + 2 * i for i, account in enumerate(ACCOUNTS)}
FREE, BOUND = "filemap_nodes", "vmemmap"


def ledger_of(*budgets: int | None) -> Ledger:
    ledger = Ledger(dict.fromkeys(ACCOUNTS, 10), nodes=Nodes(budgets, bound=(BOUND,)))
    for guest, node in (("a", 0), ("b", len(budgets) - 1)):
        assert ledger.nodes is not None
        ledger.nodes.settle(guest, node)
    return ledger


def test_what_does_not_fit_at_home_lies_on_the_next_node_and_comes_home_when_there_is_room() -> None:
    ledger = ledger_of(100, 50, None)
    assert ledger.nodes is not None
    holder = ledger.holder(FREE, "a")
    holder.alloc(12)
    assert list(ledger.nodes.placed(holder)) == [10, 2, 0]
    holder.alloc(4)
    assert list(ledger.nodes.placed(holder)) == [10, 5, 1]
    assert [node.fallbacks for node in ledger.nodes.all] == [6, 0, 0]
    holder.free(5)  # the farthest first
    assert list(ledger.nodes.placed(holder)) == [10, 1, 0]
    ledger.check()


def test_from_the_last_node_it_goes_on_at_the_first() -> None:
    ledger = ledger_of(None, 100, 20)
    assert ledger.nodes is not None
    holder = ledger.holder(FREE, "b")
    holder.alloc(3)
    assert list(ledger.nodes.placed(holder)) == [1, 0, 2]


def test_a_bound_account_fails_although_another_node_has_memory() -> None:
    ledger = ledger_of(100, None)
    holder = ledger.holder(BOUND, "a")
    with pytest.raises(
        OutOfMemory, match="object 11 of 12: node 0 has no room in its 100 B, and vmemmap does not"
    ) as info:
        holder.alloc(12)
    assert info.value.held == 10
    assert holder.live == 0
    assert ledger.nodes is not None
    assert ledger.nodes.all[0].peak_bytes == 100  # those before the failure were there
    ledger.check()


def test_it_fails_only_where_no_node_has_room() -> None:
    ledger = ledger_of(35, 25)
    ledger.holder(FREE, "a").alloc(5)  # 3 and 2, what is left of both is too small
    with pytest.raises(OutOfMemory, match="no node has room left"):
        ledger.holder(FREE, "a").alloc(1)


def test_deferred_frees_stay_where_they_are_until_they_are_due() -> None:
    ledger = Ledger(dict.fromkeys(ACCOUNTS, 10), rcu_grace=5, nodes=Nodes([100]))
    holder = ledger.holder(FREE, "a")
    holder.alloc(4)
    holder.free(4, rcu=True)
    assert ledger.nodes is not None
    assert ledger.nodes.all[0].live_bytes == 40
    ledger.advance(5)
    assert ledger.nodes.all[0].live_bytes == 0
    ledger.check()


def test_what_is_handed_over_stays_on_its_node() -> None:
    ledger = ledger_of(100, 100)
    assert ledger.nodes is not None
    mine, theirs = ledger.holder(FREE, "a"), ledger.holder(FREE, "b")
    mine.alloc(12)  # 10 and 2
    mine.hand_over(3, theirs)
    assert (list(ledger.nodes.placed(mine)), list(ledger.nodes.placed(theirs))) == ([9, 0], [1, 2])
    ledger.check()


calls = st.tuples(
    st.sampled_from([FREE, BOUND]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["alloc", "free", "over"]),
    st.integers(0, 9),
)


@given(st.lists(st.sampled_from([0, 40, 95, None]), min_size=1, max_size=3), st.lists(calls, max_size=25))
def test_a_law_of_all_calls(budgets: list[int | None], said: list[tuple[str, str, str, int]]) -> None:
    ledger = ledger_of(*budgets)
    assert ledger.nodes is not None
    for account, guest, call, n in said:
        holder, other = ledger.holder(account, guest), ledger.holder(account, "b" if guest == "a" else "a")
        home = 0 if guest == "a" else len(budgets) - 1
        reach = [home] if account == BOUND else range(len(budgets))
        room = sum(10**6 if (b := budgets[i]) is None else (b - ledger.nodes.all[i].live_bytes) // 10 for i in reach)
        if call == "alloc":
            assert (outcome(lambda holder=holder, n=n: holder.alloc(n)) is None) == (n <= room)
        elif call == "free":
            holder.free(min(n, holder.live))
        elif account == FREE:
            holder.hand_over(min(n, holder.live), other)
        ledger.check()
        placed = ledger.nodes.placed(ledger.holder(BOUND, guest))
        assert sum(placed) == placed[home], "a bound account has left home"
    for holder in list(ledger.holders()):
        holder.free(holder.live)
    assert [node.live_bytes for node in ledger.nodes.all] == [0] * len(budgets)


@pytest.mark.parametrize("budgets", [[], [None, -1]])
def test_budgets_that_make_no_sense(budgets: list[int | None]) -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Nodes(budgets)


def test_each_node_has_its_hugepages_numbered_on_and_aligned() -> None:
    pool = HugePool({G: 1, 2 * M: 3}, {2 * M: 2}, {G: 2})
    assert [pool.address(G, i) for i in range(3)] == [0, 3 * G, 4 * G]
    assert [pool.address(2 * M, i) for i in range(5)] == [G, G + 2 * M, G + 4 * M, 2 * G, 2 * G + 2 * M]
    assert (pool.total(G), pool.by_node(2 * M), pool.regions(30)) == (3, [(3, 3), (2, 2), (0, 0)], 5)
    file = pool.reserve(G, 2, 2)
    assert sorted([file.take(), file.take()]) == [1, 2]
    with pytest.raises(OutOfMemory, match="1 hugepages of 1G wanted on node 2, 0 free"):
        pool.reserve(G, 1, 2)
    pool.check()
    file.give_back(2)
    file.discard(1)
    file.release()
    pool.check()
    assert (pool.lost(G), pool.free(G)) == (1, 2)
    with pytest.raises(IndexError, match="hugepage 3 of 1G"):
        pool.address(G, 3)


def two_nodes(first: int | None, second: int | None, **switches: Any) -> Host:
    nodes = [NodeMemory(hugetlb={G: 1}, kernel_memory=budget) for budget in (first, second)]
    return Host(nodes=nodes, kernel=KernelSwitches(**switches))


def shared_on(host: Host, node: int) -> tuple[GuestMemfd, Exception | None]:
    guest = GuestMemfd(host, f"vm{node}", size=G, backing=G, node=node)
    guest.allocate(0, G)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    guest.check()
    host.check()
    return guest, error


def test_the_restore_of_a_full_node_fails_until_6_6_and_falls_back_since() -> None:
    """A node of movable memory only: no restore there ever succeeded ("... failed on movable nodes")."""
    guest, error = shared_on(two_nodes(None, 0, vmemmap_fallback=False), 1)
    assert isinstance(error, OutOfMemory)
    assert error.error_offset == 0
    assert guest.folios == {18: 1}
    host = two_nodes(None, 0)
    guest, error = shared_on(host, 1)
    assert error is None
    assert host.ledger.nodes is not None
    assert list(host.ledger.nodes.placed(guest.inode.vmemmap)) == [4095, 0]


def test_each_node_has_the_tables_and_the_pamt_of_its_pool() -> None:
    nodes = [NodeMemory(hugetlb={2 * M: 65}), NodeMemory(hugetlb={2 * M: 1, G: 1})]
    host = Host(nodes=nodes, kernel=KernelSwitches(pamt="static"))
    GuestMemfd(host, "vm0", size=2 * M, backing=2 * M, node=1)
    assert host.ledger.nodes is not None
    found = {holder.account: list(host.ledger.nodes.placed(holder)) for holder in host.ledger.holders() if holder.live}
    assert found["vmemmap_page_tables"] == [2, 1]
    assert found["pamt"] == [-(-65 * 512 * 4 // 1000), -(-(1 + 512) * 512 * 4 // 1000)]
    host.check()


def test_tables_that_cannot_be_had_on_the_second_node_are_given_back_on_the_first() -> None:
    host = Host(
        nodes=[NodeMemory(hugetlb={2 * M: 65}, kernel_memory=2 * PAGE), NodeMemory(hugetlb={2 * M: 1}, kernel_memory=0)]
    )
    with pytest.raises(OutOfMemory):
        GuestMemfd(host, "vm0", size=2 * M, backing=2 * M)
    host.check()
    assert host.ledger.total.live == 0


def test_a_guest_on_a_node_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="vm0 on node 2: the host has nodes 0 to 1"):
        GuestMemfd(two_nodes(None, None), "vm0", size=G, backing=G, node=2)
    with pytest.raises(ValueError, match="vm0 on node 1: the host has no NUMA nodes"):
        GuestMemfd(Host(hugetlb={G: 1}), "vm0", size=G, backing=G, node=1)
    with pytest.raises(ValueError, match="hugetlb of the host beside nodes"):
        Host(hugetlb={G: 1}, nodes=[NodeMemory(hugetlb={G: 1})])
