# SPDX-License-Identifier: GPL-2.0-or-later
"""What the checks of the ledger and of the nodes say of a fault that is planted; refusals; what shows itself."""

from collections.abc import Callable

import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.folio_registry import FolioRegistry
from gmemsim.host.foresight import cannot_fail
from gmemsim.host.host import HOST, Host
from gmemsim.host.hugetlb import HugePool, Subpool
from gmemsim.host.ledger import Holder, Ledger
from gmemsim.host.ledger_check import problems
from gmemsim.host.nodes import Nodes
from gmemsim.host.rcu import Deferred
from gmemsim.host.switches import NodeMemory
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.host.work import Work

G = 1 << 30
SIZES = dict.fromkeys(ACCOUNTS, 10)


def ledger_with(*budgets: int | None, budget: int | None = None) -> tuple[Ledger, Holder]:
    """A ledger with such nodes, and a holder of ten objects on it."""
    ledger = Ledger(SIZES, budget=budget, rcu_grace=5, nodes=Nodes(budgets, bound=("vmemmap",)) if budgets else None)
    holder = ledger.holder("filemap_nodes", "vm0")
    holder.alloc(10)
    assert problems(ledger) == []
    return ledger, holder


def negative(ledger: Ledger, holder: Holder) -> None:
    holder.deferred = -1


def over_the_budget(ledger: Ledger, holder: Holder) -> None:
    ledger.budget = 50


def over_the_limit(ledger: Ledger, holder: Holder) -> None:
    ledger.limit_guest("vm0", 1000)
    ledger.memcgs["vm0"].limit = 50


def overdue(ledger: Ledger, holder: Holder) -> None:
    holder.free(1, rcu=True)
    ledger._deferred._queue[0].due = ledger.now


def lost(ledger: Ledger, holder: Holder) -> None:
    ledger.total.live -= 1


def wrong_row(ledger: Ledger, holder: Holder) -> None:
    ledger._row[0] += 1


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (negative, "filemap_nodes of vm0: deferred is -1"),
        (over_the_budget, "100 bytes were live at once, the budget is 50"),
        (over_the_limit, "vm0: 100 bytes are charged, the limit is 50"),
        (overdue, "a free due at 0 ns is overdue"),
        (lost, "total: live is 9, but its holders have 10"),
        (wrong_row, "the row is"),
    ],
)
def test_the_ledger_says_what_is_wrong(plant: Callable[[Ledger, Holder], None], said: str) -> None:
    ledger, holder = ledger_with()
    plant(ledger, holder)
    assert [line for line in problems(ledger) if line.startswith(said)], problems(ledger)


@pytest.mark.parametrize("known", [9, 11])
def test_what_is_held_and_not_known_is_a_leak_and_what_is_known_and_not_held_a_loss(known: int) -> None:
    ledger, holder = ledger_with()
    holder.known = lambda: 10
    ledger.check_held("vm0")
    holder.known = lambda: known
    with pytest.raises(AssertionError, match=f"vm0: 10 objects of filemap_nodes held, {known} known"):
        ledger.check_held("vm0")


def test_the_nodes_say_what_is_wrong() -> None:
    ledger, holder = ledger_with(60, None)
    assert ledger.nodes is not None
    ledger.nodes._placed[holder][0] -= 1
    assert problems(ledger) == [
        "filemap_nodes of vm0: 10 objects, on the nodes [5, 4]",
        "node 0: 60 bytes, but its objects have 50",
    ]
    ledger.nodes._placed[holder][0] += 1
    ledger.nodes.all[0].budget = 50
    assert problems(ledger) == ["node 0: 60 bytes at once, the budget is 50"]


def test_what_is_foreseen_to_fit() -> None:
    ledger, holder = ledger_with(budget=200)
    assert cannot_fail(ledger, [(holder, 10)])
    assert not cannot_fail(ledger, [(holder, 11)])
    ledger.inject("filemap_nodes", 5)
    assert cannot_fail(ledger, [(holder, 4)])
    assert not cannot_fail(ledger, [(holder, 5)])


def test_nothing_is_foreseen_for_who_is_watched_or_away_from_home() -> None:
    ledger, holder = ledger_with(120, None)
    assert ledger.nodes is not None
    assert ledger.nodes.fits_at_home(holder, 20)
    assert cannot_fail(ledger, [(holder, 2)])
    assert not cannot_fail(ledger, [(holder, 3)]), "the third would lie on the other node"
    asked: list[tuple[Holder, int]] = []
    ledger.watch(lambda who, n: asked.append((who, n)))
    assert not cannot_fail(ledger, [(holder, 1)])
    holder.alloc(2)
    assert asked == [(holder, 2)]
    ledger.watch(None)
    assert ledger.foresee(holder, 3) == 3, "on any node"


def test_misuse_of_the_ledger_is_a_bug_in_the_caller() -> None:
    ledger, holder = ledger_with()
    with pytest.raises(AssertionError, match="filemap_nodes of vm0: allocating -1 objects"):
        holder.alloc(-1)
    with pytest.raises(AssertionError, match="objects of filemap_nodes cannot become vmemmap"):
        holder.hand_over(1, ledger.holder("vmemmap", "vm0"))
    assert problems(ledger) == []


def test_a_hugepage_with_a_memory_error_leaves_the_pool_for_good() -> None:
    pool = HugePool({G: 2})
    file = pool.reserve(G, 2)
    first, second = file.take(), file.take()
    file.discard(first)
    with pytest.raises(AssertionError, match=f"hugepage {first} of 1G is not the file's to discard"):
        file.discard(first)
    file.release()
    file.discard(second)
    pool.check()
    assert (pool.free(G), pool.reserved(G), pool.available(G)) == (0, 0, 0)
    assert not pool._subpools, "a file that is closed and has nothing is forgotten"


def test_hugepages_of_the_host_or_of_its_nodes() -> None:
    with pytest.raises(ValueError, match="the hugepages are the nodes', found hugetlb of the host beside nodes"):
        Host(hugetlb={"1G": 1}, nodes=[NodeMemory(hugetlb={G: 1})])


def test_what_shows_itself() -> None:
    host = Host(hugetlb={"1G": 1})
    assert repr(host) == "<Host: 4K pages, 0 B held for guests' memory>"
    assert repr(Deferred(7, "nodes", 3)) == "3 of nodes due at 7 ns"
    work = Work(nodes_allocated=2)
    assert repr(work) == "Work(nodes_allocated=2)"
    assert work != 2


def test_vmemmap_that_is_present() -> None:
    layout = VmemmapLayout(Host().geometry)
    assert layout.present(18, optimised=False) == 64 << 18
    assert layout.present(18, optimised=True) == 4096
    assert layout.present(0, optimised=True) == 64, "a base page has a struct page and nothing to give back"


def test_a_guests_limit_bounds_what_is_had_and_what_is_foreseen() -> None:
    ledger, holder = ledger_with()
    ledger.limit_guest("vm0", 130)
    assert problems(ledger) == []
    assert cannot_fail(ledger, [(holder, 3)])
    assert not cannot_fail(ledger, [(holder, 4)])
    assert ledger.foresee(holder, 9) == 3
    with pytest.raises(OutOfMemory, match="the limit of vm0, 130 B of kernel memory, leaves no room"):
        holder.alloc(4)
    assert holder.live == 10


def test_a_peak_that_nobody_had() -> None:
    ledger, holder = ledger_with()
    holder.free(10)
    ledger.total._noted_peak_bytes = 110
    assert problems(ledger) == ["total: the peak of 110 bytes exceeds the peaks of its holders together"]


def test_objects_that_change_hands_without_nodes() -> None:
    ledger, holder = ledger_with()
    other = ledger.holder("filemap_nodes", "vm1")
    holder.hand_over(4, other)
    assert (holder.live, other.live, ledger.total.live) == (6, 4, 10)
    assert problems(ledger) == []


def test_time_stops_where_a_free_comes_due() -> None:
    ledger, holder = ledger_with()
    assert not ledger.advance_to_release(3)
    holder.free(2, rcu=True)
    assert not ledger.advance_to_release(7)
    assert (ledger.now, holder.live) == (7, 10)
    assert ledger.advance_to_release(20)
    assert (ledger.now, holder.live) == (8, 8)


def test_fresh_hugepages_are_taken_together() -> None:
    pool = HugePool({G: 4})
    file = pool.reserve(G, 3)
    assert (file.next_fresh, file.fresh(5), file.fresh(2)) == (0, 3, 2)
    assert file.take_fresh(2) == range(2)
    assert (file.next_fresh, file.unused, pool.reserved(G)) == (2, 1, 1)
    pool.check()
    file.give_back(0)
    assert file.fresh(5) == 0, "one that was taken before comes first"
    assert file.take() == 0


def test_a_new_file_is_open() -> None:
    """Even one that says nothing of it: a file is closed by :meth:`Subpool.release` only."""
    pool = HugePool({G: 1})
    file = pool.reserve(G, 1)
    assert not file.released
    file.release()
    assert file.released
    with pytest.raises(AssertionError, match="taking a hugepage for a closed file"):
        file.take()


def promised_too_much(pool: HugePool, file: Subpool) -> None:
    file.limit = 9
    file._pages.reserved = 9


def took_too_much(pool: HugePool, file: Subpool) -> None:
    other = pool.reserve(G, 2)
    for _ in range(2):
        file.take()
    file.limit, other.limit = 1, 3
    assert pool.reserved(G) == 2


@pytest.mark.parametrize(
    ("plant", "said"),
    [(promised_too_much, "more promised than free"), (took_too_much, "a file took more than its 1: 1G")],
)
def test_the_pool_says_what_is_wrong(plant: Callable[[HugePool, Subpool], None], said: str) -> None:
    pool = HugePool({G: 4})
    plant(pool, pool.reserve(G, 2))
    with pytest.raises(AssertionError, match=said):
        pool.check()


def test_hugepages_that_no_machine_has_are_refused() -> None:
    with pytest.raises(ValueError, match="no machine has hugepages of 3G with 4K pages"):
        Host(hugetlb={"3G": 1})


def test_the_pool_is_optimised_once_and_the_host_is_at_home_afterwards() -> None:
    host = Host(nodes=[NodeMemory(hugetlb={G: 1}), NodeMemory(hugetlb={G: 2})])
    assert not host.optimises(G)
    host.optimise_pool(G)
    held = host.ledger.total.live
    host.optimise_pool(G)
    assert host.optimises(G)
    assert host.ledger.total.live == held == 8 + 16, "8 PTE pages for each 1G hugepage"
    assert host.ledger.nodes is not None
    more = host.ledger.holder("vmemmap_page_tables", HOST)
    before = list(host.ledger.nodes.placed(more))
    more.alloc(1)
    assert list(host.ledger.nodes.placed(more)) == [before[0] + 1, before[1]]
    host.ledger.check()


def test_a_pool_without_memory_for_its_tables_is_not_optimised() -> None:
    host = Host(hugetlb={"1G": 1}, kernel_memory=7 * 4096)
    with pytest.raises(OutOfMemory):
        host.optimise_pool(G)
    assert not host.optimises(G)
    assert host.ledger.total.live == 0


def test_fewer_folios_than_none_are_seen() -> None:
    host = Host()
    host.folios_of[9] = -1
    with pytest.raises(AssertionError, match="negative folios"):
        host.check()


def test_the_registry_of_folios() -> None:
    ledger = Ledger(SIZES)
    registry = FolioRegistry(ledger.holder("registry_nodes", "host"))
    registry.add(0, 9, "a")
    registry.add_run(1 << 18, 9, 3, "b")
    assert ledger.total.live == registry.nodes() <= registry.most_nodes(0, 9, 1) + registry.most_nodes(1 << 18, 9, 3)
    registry.check()
    registry.remove(0, 9)
    registry.check()


def test_work_of_an_operation() -> None:
    work = Work(kicks=2)
    before = work.counts()
    work.add(Work(kicks=3, exits=1))
    assert work.since(before) == Work(kicks=3, exits=1) == Work.of(work.since(before).counts())
