# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger by example; test_ledger_machine.py drives it against a naive model."""

import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.injection import InjectionMode
from gmemsim.host.ledger import Ledger

NODE = 576
PAGE = 4096
SIZES = {account: NODE if account.endswith("nodes") else PAGE for account in ACCOUNTS}


def ledger(*, budget: int | None = None, rcu_grace: int = 0) -> Ledger:
    return Ledger(SIZES, budget=budget, rcu_grace=rcu_grace)


def row(**live_bytes: int) -> list[int]:
    return [live_bytes.get(account, 0) for account in ACCOUNTS]


class TestCounting:
    def test_the_nodes_of_a_1g_split_are_as_the_cover_letter_says(self) -> None:
        host = ledger()
        nodes = host.holder("filemap_nodes", "vm0")
        nodes.alloc(1 + 64 + 4096)
        assert (nodes.live, nodes.live_bytes) == (4161, 2_396_736)  # DOMAIN.md section 1
        nodes.free(4161)
        assert (nodes.live, nodes.peak, nodes.allocated, nodes.freed) == (0, 4161, 4161, 4161)
        assert nodes.peak_bytes == 2_396_736
        host.check()

    def test_the_same_pair_is_the_same_holder(self) -> None:
        host = ledger()
        assert host.holder("vmemmap", "a") is host.holder("vmemmap", "a")
        assert host.holder("vmemmap", "a") is not host.holder("vmemmap", "b")
        assert host.holder("vmemmap", "a") is not host.holder("memdesc", "a")

    def test_accounts_add_up_guests_and_guests_add_up_accounts(self) -> None:
        host = ledger()
        host.holder("filemap_nodes", "a").alloc(3)
        host.holder("filemap_nodes", "b").alloc(4)
        host.holder("vmemmap", "b").alloc(5)
        assert host.tallies["filemap_nodes"].live == 7
        assert host.tallies["vmemmap"].live_bytes == 5 * PAGE
        assert host.guests() == ("a", "b")
        assert (host.guest_total("b").live, host.guest_total("b").live_bytes) == (9, 4 * NODE + 5 * PAGE)
        assert (host.total.live, host.total.live_bytes) == (12, 7 * NODE + 5 * PAGE)
        of_b = {account: tally.live for account, tally in host.guest_tallies("b").items()}
        assert of_b == {**dict.fromkeys(ACCOUNTS, 0), "filemap_nodes": 4, "vmemmap": 5}
        host.check()

    def test_the_peak_of_a_sum_is_not_the_sum_of_the_peaks(self) -> None:
        host = ledger()
        for guest in ("a", "b"):
            pages = host.holder("vmemmap", guest)
            pages.alloc(10)
            pages.free(10)
        assert host.tallies["vmemmap"].peak == 10
        assert (host.total.peak, host.total.peak_bytes) == (10, 10 * PAGE)
        assert host.guest_total("a").peak_bytes == host.guest_total("b").peak_bytes == 10 * PAGE
        host.check()

    def test_a_peak_can_be_read_while_memory_still_grows(self) -> None:
        host = ledger()
        pages = host.holder("vmemmap", "a")
        pages.alloc(5)
        assert (pages.peak, host.total.peak, host.total.peak_bytes) == (5, 5, 5 * PAGE)
        pages.free(2)
        pages.alloc(1)
        assert (pages.live, pages.peak, host.total.peak_bytes) == (4, 5, 5 * PAGE)

    def test_freeing_more_than_is_live_is_a_bug_in_the_caller(self) -> None:
        host = ledger(rcu_grace=10)
        pages = host.holder("vmemmap", "a")
        pages.alloc(3)
        pages.free(2, rcu=True)
        with pytest.raises(AssertionError, match="vmemmap of a: freeing 2 objects, but 3 are live and 2"):
            pages.free(2)
        with pytest.raises(AssertionError, match="freeing -1"):
            pages.free(-1)
        with pytest.raises(AssertionError, match="allocating -1"):
            pages.alloc(-1)
        host.check()

    def test_unknown_names_are_refused(self) -> None:
        host = ledger()
        with pytest.raises(KeyError):
            host.holder("nodes", "a")
        with pytest.raises(KeyError):
            host.guest_tallies("a")
        assert host.guests() == ()

    @pytest.mark.parametrize(
        ("sizes", "budget", "grace", "message"),
        [
            ({"vmemmap": 4096}, None, 0, "missing or unknown: attributes, filemap_nodes"),
            ({**SIZES, "nodes": 1}, None, 0, "missing or unknown: nodes"),
            ({**SIZES, "memdesc": 0}, None, 0, "at least one byte"),
            (SIZES, -1, 0, "cannot be negative"),
            (SIZES, None, -1, "cannot be negative"),
        ],
    )
    def test_senseless_arguments_are_refused(
        self, sizes: dict[str, int], budget: int | None, grace: int, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Ledger(sizes, budget=budget, rcu_grace=grace)


class TestHighWater:
    def test_the_row_is_taken_at_the_highest_total(self) -> None:
        host = ledger()
        nodes, pages = host.holder("filemap_nodes", "a"), host.holder("vmemmap", "a")
        nodes.alloc(10)
        pages.alloc(1)
        nodes.free(10)
        pages.alloc(1)
        assert host.live_row() == row(vmemmap=2 * PAGE)
        assert host.high_water_row() == row(filemap_nodes=10 * NODE, vmemmap=PAGE)

    def test_it_is_the_current_row_while_memory_grows(self) -> None:
        host = ledger()
        host.holder("vmemmap", "a").alloc(3)
        assert host.high_water_row() == host.live_row() == row(vmemmap=3 * PAGE)

    def test_a_reset_starts_from_what_is_live_and_keeps_the_peaks(self) -> None:
        host = ledger()
        pages = host.holder("vmemmap", "a")
        pages.alloc(9)
        pages.free(4)
        host.take_rows()
        assert host.high_water_row() == row(vmemmap=5 * PAGE)
        pages.free(3)
        assert host.high_water_row() == row(vmemmap=5 * PAGE)
        pages.alloc(4)
        assert host.high_water_row() == row(vmemmap=6 * PAGE)
        assert host.total.peak_bytes == 9 * PAGE

    def test_after_a_reset_with_nothing_live_what_was_before_is_forgotten(self) -> None:
        host = ledger()
        pages = host.holder("vmemmap", "a")
        pages.alloc(9)
        pages.free(9)
        assert host.take_rows() == (row(), row(vmemmap=9 * PAGE))
        assert host.high_water_row() == row()
        assert host.take_rows() == (row(), None)

    def test_the_first_of_two_equal_maxima_counts(self) -> None:
        host = ledger()
        pages, tables = host.holder("vmemmap", "a"), host.holder("stage2_page_tables", "a")
        pages.alloc(2)
        pages.free(2)
        tables.alloc(2)
        assert host.high_water_row() == row(vmemmap=2 * PAGE)
        tables.alloc(1)
        assert host.high_water_row() == row(stage2_page_tables=3 * PAGE)

    def test_rows_are_copies(self) -> None:
        host = ledger()
        host.live_row()[0] = host.high_water_row()[0] = 99
        assert host.live_row() == host.high_water_row() == row()


class TestBudget:
    def test_the_last_byte_can_be_had_and_not_one_more(self) -> None:
        host = ledger(budget=10 * PAGE)
        pages = host.holder("vmemmap", "a")
        pages.alloc(10)
        with pytest.raises(OutOfMemory) as caught:
            pages.alloc()
        assert caught.value.held == 0
        assert str(caught.value) == "vmemmap of a: no memory for object 1 of 1: the budget of 40.0 KiB leaves no room"
        host.check()

    def test_what_fits_is_taken_first_and_given_back(self) -> None:
        host = ledger(budget=4094 * PAGE)
        pages = host.holder("vmemmap", "a")
        with pytest.raises(OutOfMemory, match="object 4095 of 4095") as caught:
            pages.alloc(4095)
        assert caught.value.held == 4094
        assert (pages.live, pages.peak, pages.allocated, pages.freed) == (0, 4094, 4094, 4094)
        assert host.total.peak_bytes == host.budget
        assert host.high_water_row() == row(vmemmap=4094 * PAGE)
        host.check()

    def test_all_accounts_and_guests_share_it(self) -> None:
        host = ledger(budget=PAGE + NODE)
        host.holder("vmemmap", "a").alloc()
        host.holder("filemap_nodes", "b").alloc()
        with pytest.raises(OutOfMemory):
            host.holder("filemap_nodes", "a").alloc()
        host.holder("vmemmap", "a").free()
        host.holder("filemap_nodes", "a").alloc(PAGE // NODE)

    def test_a_free_that_waits_for_rcu_still_counts(self) -> None:
        host = ledger(budget=PAGE, rcu_grace=10)
        pages = host.holder("vmemmap", "a")
        pages.alloc()
        pages.free(rcu=True)
        with pytest.raises(OutOfMemory):
            pages.alloc()
        host.advance(10)
        pages.alloc()

    def test_a_budget_of_nothing_refuses_everything_but_nothing(self) -> None:
        host = ledger(budget=0)
        host.holder("vmemmap", "a").alloc(0)
        with pytest.raises(OutOfMemory):
            host.holder("vmemmap", "a").alloc(1)


class TestInjection:
    @pytest.mark.parametrize("n", [1, 2, 7])
    def test_every_object_of_an_allocation_can_fail(self, n: int) -> None:
        for k in range(1, n + 1):
            host = ledger()
            nodes = host.holder("filemap_nodes", "a")
            host.inject("filemap_nodes", k)
            with pytest.raises(OutOfMemory) as caught:
                nodes.alloc(n)
            assert caught.value.held == k - 1
            assert str(caught.value) == (
                f"filemap_nodes of a: no memory for object {k} of {n}: injected fault at object {k} of filemap_nodes"
            )
            assert (nodes.live, nodes.peak) == (0, k - 1)
            assert host.armed() == ()
            nodes.alloc(n)
            host.check()

    def test_objects_count_over_calls_and_guests_but_not_over_accounts(self) -> None:
        host = ledger()
        host.inject("vmemmap", 6)
        host.holder("vmemmap", "a").alloc(3)
        host.holder("filemap_nodes", "a").alloc(100)
        host.holder("vmemmap", "b").alloc(2)
        with pytest.raises(OutOfMemory, match="vmemmap of a: no memory for object 1 of 2"):
            host.holder("vmemmap", "a").alloc(2)

    def test_any_counts_the_objects_of_all_accounts(self) -> None:
        host = ledger()
        host.inject("any", 5)
        host.holder("vmemmap", "a").alloc(3)
        with pytest.raises(OutOfMemory, match="object 2 of 4: injected fault at object 5 of any account"):
            host.holder("filemap_nodes", "a").alloc(4)

    def test_forever_fails_all_later_objects_and_lets_others_be(self) -> None:
        host = ledger()
        host.inject("vmemmap", 2, "forever")
        pages = host.holder("vmemmap", "a")
        pages.alloc()
        for _ in range(3):
            with pytest.raises(OutOfMemory, match="at object 2 of vmemmap and all later ones") as caught:
                pages.alloc(5)
            assert caught.value.held == 0
        host.holder("filemap_nodes", "a").alloc(5)
        assert len(host.armed()) == 1
        assert pages.live == 1
        host.check()

    def test_injections_count_each_for_itself_failed_objects_included(self) -> None:
        host = ledger()
        host.inject("vmemmap", 3)
        host.inject("vmemmap", 5)
        pages = host.holder("vmemmap", "a")
        for held in (2, 1):  # objects 1, 2, the 3rd fails; then 4, the 5th fails
            with pytest.raises(OutOfMemory) as caught:
                pages.alloc(9)
            assert caught.value.held == held
        pages.alloc(9)

    def test_two_injections_at_one_object_are_both_spent(self) -> None:
        host = ledger()
        host.inject("vmemmap", 2)
        host.inject("any", 2)
        with pytest.raises(OutOfMemory):
            host.holder("vmemmap", "a").alloc(2)
        assert host.armed() == ()

    def test_counting_starts_when_it_is_armed(self) -> None:
        host = ledger()
        pages = host.holder("vmemmap", "a")
        pages.alloc(10)
        host.inject("vmemmap", 1)
        with pytest.raises(OutOfMemory):
            pages.alloc()

    def test_an_object_that_the_budget_refuses_counts_as_asked_for(self) -> None:
        host = ledger(budget=2 * PAGE)
        pages = host.holder("vmemmap", "a")
        host.inject("vmemmap", 4)
        with pytest.raises(OutOfMemory, match="object 3 of 9: the budget"):
            pages.alloc(9)
        with pytest.raises(OutOfMemory, match="object 1 of 1: injected"):
            pages.alloc()

    def test_what_fills_the_budget_is_no_refusal_while_an_injection_waits(self) -> None:
        host = ledger(budget=3 * PAGE)
        host.inject("vmemmap", 9)
        pages = host.holder("vmemmap", "a")
        pages.alloc(3)
        assert (pages.live, host.foresee(pages, 1)) == (3, 0)

    def test_whoever_watches_is_told_of_every_request(self) -> None:
        host, told = ledger(), list[int]()
        host.watch(lambda _, objects: told.append(objects))
        pages = host.holder("vmemmap", "a")
        pages.alloc(0)
        host.inject("vmemmap", 9)
        for objects in (0, 2, 0):
            pages.alloc(objects)
        assert told == [0, 0, 2, 0]

    def test_the_budget_still_holds_after_the_last_injection(self) -> None:
        host = ledger(budget=2 * PAGE)
        host.inject("vmemmap", 1)
        pages = host.holder("vmemmap", "a")
        with pytest.raises(OutOfMemory, match="injected"):
            pages.alloc()
        with pytest.raises(OutOfMemory, match="budget"):
            pages.alloc(3)

    def test_asking_for_nothing_strikes_no_fault(self) -> None:
        host = ledger()
        host.inject("vmemmap", 1, "forever")
        host.holder("vmemmap", "a").alloc(0)

    def test_waiting_does_not_bring_the_object_back(self) -> None:
        host = ledger()
        host.inject("filemap_nodes", 2)
        nodes = host.holder("filemap_nodes", "a")
        assert not nodes.retry()
        nodes.alloc()
        with pytest.raises(OutOfMemory):
            nodes.alloc()
        assert not nodes.retry()
        assert nodes.live == 1

    @pytest.mark.parametrize(
        ("account", "nth", "message"),
        [
            ("nodes", 1, "expected any or one of filemap_nodes"),
            ("any", 0, "number 1"),
            ("vmemmap", -1, "number 1"),
        ],
    )
    def test_senseless_injections_are_refused(self, account: str, nth: int, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ledger().inject(account, nth)

    def test_an_unknown_mode_is_refused(self) -> None:
        mode: InjectionMode = "twice"  # type: ignore[assignment]  # what an untyped caller may pass
        with pytest.raises(ValueError, match="mode is 'twice', expected one of once, forever"):
            ledger().inject("any", 1, mode)


class TestTime:
    def test_rcu_frees_come_back_after_the_grace_period(self) -> None:
        host = ledger(rcu_grace=10)
        nodes = host.holder("filemap_nodes", "a")
        nodes.alloc(8)
        host.advance(5)
        nodes.free(3, rcu=True)
        host.advance(7)
        nodes.free(2, rcu=True)
        nodes.free(1)
        assert (nodes.live, nodes.deferred, host.next_release()) == (7, 5, 15)
        host.advance(14)
        assert (nodes.live, host.next_release()) == (7, 15)
        host.advance(15)
        assert (nodes.live, nodes.deferred, host.next_release()) == (4, 2, 17)
        host.advance(1000)
        assert (nodes.live, nodes.deferred, host.next_release(), host.now) == (2, 0, None, 1000)
        host.check()

    def test_without_a_grace_period_they_come_back_at_once(self) -> None:
        host = ledger(rcu_grace=0)
        nodes = host.holder("filemap_nodes", "a")
        nodes.alloc(8)
        nodes.free(8, rcu=True)
        assert (nodes.live, host.next_release()) == (0, None)

    def test_the_peak_shows_a_merge_before_rcu_has_freed(self) -> None:
        host = ledger(rcu_grace=10)
        nodes = host.holder("filemap_nodes", "a")
        for _ in range(2):  # split, merge, split again within the grace period
            nodes.alloc(4161)
            nodes.free(4161, rcu=True)
        host.advance(10)
        assert (nodes.live, nodes.peak) == (0, 2 * 4161)

    def test_freeing_nothing_queues_nothing(self) -> None:
        host = ledger(rcu_grace=10)
        host.holder("filemap_nodes", "a").free(0, rcu=True)
        assert host.next_release() is None

    def test_time_does_not_go_back(self) -> None:
        host = ledger()
        host.advance(5)
        host.advance(5)
        with pytest.raises(ValueError, match="back from 5 ns to 4 ns"):
            host.advance(4)
        with pytest.raises(ValueError, match="back from 5 ns to 4 ns"):
            host.advance_to_release(4)


class TestCheck:
    def test_it_names_what_is_wrong_and_shows_the_ledger(self) -> None:
        host = ledger()
        host.holder("vmemmap", "a").alloc(3)
        host.tallies["vmemmap"].live += 1
        with pytest.raises(AssertionError) as caught:
            host.check()
        text = str(caught.value)
        assert "vmemmap: live is 4, but its holders have 3" in text
        assert "peak_bytes" in text
        assert "now 0 ns, budget None, 0 deferred frees, 0 injections armed" in text

    def test_it_sees_a_wrong_guest_a_wrong_row_and_a_lost_deferred_free(self) -> None:
        host = ledger(rcu_grace=10)
        pages = host.holder("vmemmap", "a")
        pages.alloc(3)
        pages.free(1, rcu=True)
        pages.deferred = 3
        host.guest_total("a").freed = 1
        host._row[0] = 1
        with pytest.raises(AssertionError) as caught:
            host.check()
        text = str(caught.value)
        assert "a: freed is 1, but its holders have 0" in text
        assert "the row is [1," in text
        assert "vmemmap of a: 3 deferred of 3 live, but 1 are queued" in text

    def test_it_sees_a_budget_overrun_and_a_negative_figure(self) -> None:
        host = ledger(budget=PAGE)
        pages = host.holder("vmemmap", "a")
        pages.alloc()
        pages.freed = -1
        host.budget = NODE
        with pytest.raises(AssertionError) as caught:
            host.check()
        assert "4096 bytes were live at once, the budget is 576" in str(caught.value)
        assert "vmemmap of a: freed is -1" in str(caught.value)
