# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.host.rcu import DeferredFrees


def test_frees_of_one_owner_that_come_due_together_are_one_entry() -> None:
    queue = DeferredFrees[str]()
    queue.push(5, "a", 1)
    queue.push(5, "b", 2)
    queue.push(5, "a", 3)
    queue.push(6, "a", 4)
    queue.check()
    assert [(f.due, f.owner, f.objects) for f in queue] == [(5, "a", 4), (5, "b", 2), (6, "a", 4)]
    assert queue.next_due() == 5


def test_popping_stops_at_what_is_not_due_yet() -> None:
    queue = DeferredFrees[str]()
    queue.push(5, "a", 1)
    queue.push(7, "a", 2)
    assert [f.objects for f in queue.pop_due(6)] == [1]
    assert queue.next_due() == 7
    assert [f.objects for f in queue.pop_due(7)] == [2]
    assert queue.next_due() is None
    queue.check()


def test_an_entry_that_was_taken_out_is_not_added_to() -> None:
    queue = DeferredFrees[str]()
    queue.push(5, "a", 1)
    assert [f.objects for f in queue.pop_due(5)] == [1]
    queue.push(5, "a", 2)
    assert [f.objects for f in queue] == [2]


def test_due_times_never_go_back() -> None:
    queue = DeferredFrees[str]()
    queue.push(5, "a", 1)
    with pytest.raises(AssertionError, match="due at 4 ns after one due at 5 ns"):
        queue.push(4, "b", 1)
    queue.push(8, "a", 1)
    with pytest.raises(AssertionError, match="due at 7 ns after one due at 8 ns"):
        queue.push(7, "b", 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(1, 9))), st.integers(0, 40))
def test_nothing_is_lost_and_nothing_comes_early(steps: list[tuple[int, str, int]], until: int) -> None:
    queue = DeferredFrees[str]()
    due = 0
    pushed: list[tuple[int, str, int]] = []
    for later, owner, objects in steps:
        due += later
        queue.push(due, owner, objects)
        pushed.append((due, owner, objects))
    queue.check()
    popped = [(f.due, f.owner, f.objects) for f in queue.pop_due(until)]
    queue.check()
    assert [d for d, _, _ in popped] == sorted(d for d, _, _ in popped)
    for owner in "abc":
        of_owner = [(d, n) for d, o, n in pushed if o == owner]
        assert sum(n for _, o, n in popped if o == owner) == sum(n for d, n in of_owner if d <= until)
        assert sum(f.objects for f in queue if f.owner == owner) == sum(n for d, n in of_owner if d > until)
