# SPDX-License-Identifier: GPL-2.0-or-later
"""Laws: the array against a model without nodes, and lazy nodes against eager ones, after every operation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gmemsim.xarray import INDEX_MAX, KEEP, ZERO, CountingAllocator, XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import Node, same_entry
from tests.xarray.model import Model, Run
from tests.xarray.operations import CURRENT, ENTRY_OR_NONE, MARK, Operation, Space, execute, listing

MANY_NODES = 300
"""Largest split that the machines make: eager trees would be too slow beyond."""

MANY_ENTRIES = 2048
"""Most entries of one split, likewise."""

UINT32_MAX = (1 << 32) - 1

LAWS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def value_only_nodes(xa: XArray) -> int:
    """Nodes of an eager tree that hold value entries and nothing else, counted from the slots."""
    found, rest = 0, [xa.tree.head]
    while rest:
        node = rest.pop()
        if isinstance(node, Node):
            found += 0 < node.count == node.nr_values
            rest += node.slots
    return found


class Machine(RuleBasedStateMachine):
    """A lazy array, an eager one and the model, in lockstep."""

    space: Space

    def __init__(self) -> None:
        super().__init__()
        shift = self.space.chunk_shift
        self.lazy_lru, self.eager_lru = ValueNodeLru(), ValueNodeLru()
        self.lazy_allocator, self.eager_allocator = CountingAllocator(), CountingAllocator()
        self.lazy = XArray(self.lazy_allocator, chunk_shift=shift, observer=self.lazy_lru)
        self.eager = XArray(self.eager_allocator, chunk_shift=shift, observer=self.eager_lru, eager=True)
        self.model = Model(shift)

    def both(self, *operation: Any) -> object:
        """Execute it lazily and eagerly; both must say the same."""
        name, *arguments = operation
        called: Operation = (name, tuple(arguments))
        result = execute(self.lazy, called)
        assert execute(self.eager, called) == result
        return result

    def some_run(self, data: st.DataObject) -> Run | None:
        """One of the runs there are."""
        bases = sorted(self.model.runs)
        return self.model.runs[data.draw(st.sampled_from(bases))] if bases else None

    def some_index(self, data: st.DataObject) -> int:
        """An index where something is, more often than not."""
        run = self.some_run(data) if data.draw(st.booleans()) else None
        if run is None:
            return data.draw(self.space.indices)
        return data.draw(st.sampled_from([run.base, run.end - 1, (run.base + run.end) // 2, min(run.end, INDEX_MAX)]))

    # -- changing --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), entry=ENTRY_OR_NONE)
    def store(self, data: st.DataObject, entry: object) -> None:
        index = self.some_index(data)
        assert self.both("store", index, entry) == self.model.store(index, entry)

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        index = self.some_index(data)
        assert self.both("erase", index) == self.model.store(index, None)

    @rule(data=st.data(), entry=ENTRY_OR_NONE)
    def store_order(self, data: st.DataObject, entry: object) -> None:
        index, order = self.some_index(data), data.draw(self.space.orders)
        self.both("store_order", index, order, entry)
        self.model.store_order(index, order, entry)

    @rule(data=st.data(), entry=ENTRY_OR_NONE)
    def store_range(self, data: st.DataObject, entry: object) -> None:
        first, length = self.some_index(data), data.draw(st.integers(1, 3 << self.space.chunk_shift))
        last = min(first + length - 1, INDEX_MAX)
        self.both("store_range", first, last, entry)
        self.model.store_range(first, last, entry)

    @rule(data=st.data())
    def store_range_backwards(self, data: st.DataObject) -> None:
        first = self.some_index(data)
        if first:
            assert self.both("store_range", first, first - 1, 1) == "EINVAL"

    @rule(data=st.data(), entry=ENTRY_OR_NONE)
    def insert(self, data: st.DataObject, entry: object) -> None:
        index = self.some_index(data)
        result = self.both("insert", index, entry)
        if self.model.covering(index) is not None:
            assert result == "EBUSY"
        else:
            self.model.store(index, ZERO if entry is None else entry)

    @rule(data=st.data(), entry=st.sampled_from([0, 77]))
    def insert_order(self, data: st.DataObject, entry: object) -> None:
        index, order = self.some_index(data), data.draw(self.space.orders)
        first = index >> order << order
        found = self.model.entries(first, first + (1 << order) - 1)
        assert self.both("conflicts", index, order) == found
        result = self.both("insert_order", index, order, entry)
        if found:
            assert result == "EEXIST"
        else:
            self.model.store_order(index, order, entry)

    @rule(data=st.data(), old=CURRENT, entry=ENTRY_OR_NONE)
    def cmpxchg(self, data: st.DataObject, old: object, entry: object) -> None:
        index = self.some_index(data)
        run = self.model.covering(index)
        current = None if run is None else run.entry
        wanted = current if data.draw(st.booleans()) else old
        assert self.both("cmpxchg", index, wanted, entry) == (None if current is ZERO else current)
        if same_entry(current, wanted):
            self.model.store(index, entry)

    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        index = self.some_index(data)
        self.both("reserve", index)
        if self.model.covering(index) is None:
            self.model.store(index, ZERO)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        index = self.some_index(data)
        self.both("release", index)
        run = self.model.covering(index)
        if run is not None and run.entry is ZERO:
            self.model.store(index, None)

    @rule(data=st.data())
    def create_range(self, data: st.DataObject) -> None:
        """Makes nodes and changes no entry; order-0 stores in the range then need no memory."""
        index, order = self.some_index(data), data.draw(st.integers(0, self.space.chunk_shift + 1))
        self.both("create_range", index, order)

    @rule()
    def destroy(self) -> None:
        self.both("destroy")
        self.model.runs.clear()

    @rule(data=st.data(), mark=MARK, marked=st.booleans())
    def change_mark(self, data: st.DataObject, mark: int, marked: bool) -> None:
        index = self.some_index(data)
        self.both("set_mark" if marked else "clear_mark", index, mark)
        self.model.set_mark(index, mark, marked)

    # -- splitting -------------------------------------------------------------------------------------------------

    def splittable(self, data: st.DataObject) -> tuple[int, int, int] | None:
        """Some index of an entry, its order, and a lower one."""
        run = self.some_run(data)
        if run is None or not (order := self.model.order(run)) or not self.model.is_entry(run, order):
            return None
        chunk = self.lazy.chunk
        lower = [
            new
            for new in range(order)
            if chunk.nodes_needed(order, new) <= MANY_NODES and 1 << order - new <= MANY_ENTRIES
        ]
        return data.draw(st.integers(run.base, run.end - 1)), order, data.draw(st.sampled_from(lower))

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        if (chosen := self.splittable(data)) is None:
            return
        index, order, new_order = chosen
        entry = data.draw(self.space.new_entries)
        needed = self.lazy.nodes_needed(order, new_order)
        assert self.both("split", index, order, new_order, entry) == ("taken", needed, "used", needed)
        run = self.model.covering(index)
        assert run is not None
        self.model.split(index, new_order, run.entry if entry is KEEP else entry)

    @rule(data=st.data())
    def try_split(self, data: st.DataObject) -> None:
        if (chosen := self.splittable(data)) is None:
            return
        index, order, new_order = chosen
        result = self.both("try_split", index, order, new_order)
        if self.lazy.nodes_needed(order, new_order) > 1 or (
            new_order < order - 1 and order // self.space.chunk_shift != new_order // self.space.chunk_shift
        ):
            assert result == "EINVAL"
        else:
            run = self.model.covering(index)
            assert run is not None
            self.model.split(index, new_order, run.entry)

    @rule(data=st.data())
    def split_of_another_order(self, data: st.DataObject) -> None:
        """Refused, and nothing is kept of the nodes."""
        index, order = self.some_index(data), data.draw(st.integers(1, self.space.max_order))
        run = self.model.covering(index)
        if run is None or not self.model.is_entry(run, order):
            assert self.both("split", index, order, order - 1, KEEP) == "EINVAL"

    @rule(data=st.data())
    def split_and_merge(self, data: st.DataObject) -> None:
        """A merge undoes a split: the same dump, the same nodes.

        The first store only straightens siblings that name a slot which is a sibling itself (odd runs have such).
        """
        if (chosen := self.splittable(data)) is None:
            return
        index, order, new_order = chosen
        entry = self.lazy.tree.walk(index)[2]
        self.both("store_order", index, order, entry)
        before = self.lazy.dump(), self.lazy_allocator.live, self.lazy_lru.size
        self.both("split", index, order, new_order, KEEP)
        self.both("store_order", index, order, entry)
        assert (self.lazy.dump(), self.lazy_allocator.live, self.lazy_lru.size) == before

    @rule(data=st.data())
    def prealloc_is_given_back(self, data: st.DataObject) -> None:
        order = data.draw(st.integers(1, self.space.max_order))
        for xa, allocator in ((self.lazy, self.lazy_allocator), (self.eager, self.eager_allocator)):
            live = allocator.live
            with xa.split_alloc(0, order, 0) as prealloc:
                assert allocator.live == live + prealloc.taken
            assert allocator.live == live
            assert prealloc.close() == 0

    # -- reading ---------------------------------------------------------------------------------------------------

    @rule(data=st.data(), mark=st.none() | MARK)
    def find(self, data: st.DataObject, mark: int | None) -> None:
        index, last = self.some_index(data), self.some_index(data)
        for end in (last, INDEX_MAX):
            assert self.both("find", index, end, mark) == self.model.find(index, end, mark)
            assert self.both("find_after", index, end, mark) == self.model.find_after(index, end, mark)
            assert self.both("entries", index, end, mark) == self.model.entries(index, end, mark)

    @rule(data=st.data())
    def runs(self, data: st.DataObject) -> None:
        """Runs are the entries, equal neighbours together."""
        first, last = self.some_index(data), self.some_index(data)
        for end in (last, INDEX_MAX):
            runs = list(self.lazy.runs(first, end))
            assert runs == list(self.eager.runs(first, end))
            found = [(base + (n << order), order, entry) for base, number, order, entry in runs for n in range(number)]
            assert found == self.model.entries(first, end)
            by_order = Counter(order for _, order, _ in found)
            assert self.lazy.orders(first, end) == self.eager.orders(first, end) == by_order
            for (base, number, order, entry), following in pairwise(runs):
                touch = base + (number << order) == following[0]
                assert not (touch and order == following[2] and entry is following[3]), "runs that belong together"

    @rule(data=st.data(), mark=MARK)
    def read(self, data: st.DataObject, mark: int) -> None:
        index = self.some_index(data)
        assert self.both("load", index) == self.model.load(index)
        assert self.both("get_order", index) == self.model.get_order(index)
        assert self.both("get_mark", index, mark) == self.model.get_mark(index, mark)
        assert self.both("marked", mark) == self.model.marked(mark)
        assert self.lazy.empty == self.eager.empty

    @rule(
        data=st.data(), mark=st.none() | MARK, steps=st.lists(st.sampled_from(["", "pause", "erase", "store", "add"]))
    )
    def walk_and_change(self, data: st.DataObject, mark: int | None, steps: list[str]) -> None:
        """A cursor meets what the model has behind the entry it stood on, whatever was done in the meantime."""
        start = self.some_index(data)
        cursors = Cursor(self.lazy, start), Cursor(self.eager, start)
        position = start
        for step in steps:
            expected = next((e for e in self.model.entries(position, INDEX_MAX, mark)), None)
            seen = {(cursor.find(INDEX_MAX, mark), cursor.order) for cursor in cursors}
            if expected is None:
                assert {entry for entry, _ in seen} == {None}
                break
            base, order, entry = expected
            assert seen == {(entry, order)}
            run = self.model.runs[base]
            position = run.end
            if step == "pause":
                for cursor in cursors:
                    cursor.pause()
            elif step == "erase":
                assert {cursor.store(None) for cursor in cursors} == {entry}
                self.model.store(base, None)
            elif step == "store":
                assert {cursor.store(77) for cursor in cursors} == {entry}
                self.model.store(base, 77)
            elif step == "add":
                self.both("store", min(position, INDEX_MAX), 1)
                self.model.store(min(position, INDEX_MAX), 1)

    # -- always ----------------------------------------------------------------------------------------------------

    @invariant()
    def entries_are_the_models(self) -> None:
        assert listing(self.lazy) == self.model.listing()

    @invariant()
    def lazy_is_eager(self) -> None:
        assert self.lazy.dump() == self.eager.dump()
        assert self.lazy.nodes == self.eager.nodes
        assert (self.lazy_allocator.allocs, self.lazy_allocator.frees) == (
            self.eager_allocator.allocs,
            self.eager_allocator.frees,
        )

    @invariant()
    def invariants_hold(self) -> None:
        self.lazy.check()
        self.eager.check()
        assert self.lazy_allocator.live == self.lazy.nodes

    @invariant()
    def observers_agree(self) -> None:
        assert self.lazy_lru.size == self.eager_lru.size == value_only_nodes(self.eager)
        assert self.lazy_lru.updates == self.eager_lru.updates


class Shift3(Machine):
    space = Space(3, max_order=9)


class Shift4(Machine):
    space = Space(4, max_order=9)


class Shift6(Machine):
    space = Space(6, max_order=13)


class Ids(RuleBasedStateMachine):
    """An allocating array against a dict; an id that is not in the dict is free."""

    first_id: int
    ids = st.integers(1, 80) | st.sampled_from([511, 512, 4095, 4096, UINT32_MAX])

    def __init__(self) -> None:
        super().__init__()
        self.xa = XArray(chunk_shift=3, track_free=True, zero_busy=bool(self.first_id))
        self.model: dict[int, object] = {}

    def lowest_free(self, first: int, last: int) -> int | None:
        return next((i for i in range(max(first, self.first_id), last + 1) if i not in self.model), None)

    @rule(entry=ENTRY_OR_NONE, first=st.integers(0, 80), length=st.integers(0, 80) | st.just(UINT32_MAX))
    def alloc(self, entry: object, first: int, length: int) -> None:
        last = min(first + length, UINT32_MAX)
        expected = self.lowest_free(first, last)
        assert execute(self.xa, ("alloc", (entry, first, last))) == ("EBUSY" if expected is None else expected)
        if expected is not None:
            self.model[expected] = ZERO if entry is None else entry

    @rule(entry=ENTRY_OR_NONE)
    def alloc_from_an_empty_range(self, entry: object) -> None:
        assert execute(self.xa, ("alloc", (entry, 10, 5))) == "EBUSY"

    @rule(entry=ENTRY_OR_NONE, start=ids, first=st.integers(0, 3), length=st.integers(0, 3) | st.integers(0, 80))
    def alloc_cyclic(self, entry: object, start: int, first: int, length: int) -> None:
        last = first + length
        expected = self.lowest_free(max(start, first), last)
        wrapped = expected is None
        if expected is None and start > first:
            expected = self.lowest_free(first, last)
        result = execute(self.xa, ("alloc_cyclic", (entry, start, first, last)))
        assert result == ("EBUSY" if expected is None else (expected, wrapped))
        if expected is not None:
            self.model[expected] = ZERO if entry is None else entry

    @rule(index=ids, entry=ENTRY_OR_NONE)
    def store(self, index: int, entry: object) -> None:
        """Storing nothing reserves."""
        old = self.model.get(index)
        assert self.xa.store(index, entry) == (None if old is ZERO else old)
        self.model[index] = ZERO if entry is None else entry

    @rule(index=ids, entry=ENTRY_OR_NONE)
    def insert(self, index: int, entry: object) -> None:
        assert execute(self.xa, ("insert", (index, entry))) == ("EBUSY" if index in self.model else None)
        self.model.setdefault(index, ZERO if entry is None else entry)

    @rule(index=ids)
    def erase(self, index: int) -> None:
        old = self.model.pop(index, None)
        assert self.xa.erase(index) == (None if old is ZERO else old)

    @rule(index=ids)
    def reserve_and_release(self, index: int) -> None:
        self.xa.reserve(index)
        self.xa.release(index)
        if self.model.get(index) is ZERO:
            del self.model[index]

    @rule(index=ids)
    def cmpxchg_to_nothing(self, index: int) -> None:
        old = self.model.get(index)
        assert self.xa.cmpxchg(index, old, None) == (None if old is ZERO else old)
        self.model.pop(index, None)

    @rule()
    def destroy(self) -> None:
        self.xa.destroy()
        self.model.clear()

    @invariant()
    def entries_are_the_models(self) -> None:
        """Where id 0 is never handed out, the tree keeps it busy with a zero entry."""
        found = {index: entry for index, _, entry in self.xa.entries()}
        if self.first_id and self.model:
            assert found.pop(0, ZERO) is ZERO
        assert found == self.model
        assert self.xa.empty == (not self.model)
        self.xa.check()


class Alloc(Ids):
    first_id = 0


class Alloc1(Ids):
    first_id = 1


@pytest.mark.parametrize("machine", [Alloc, Alloc1], ids=lambda machine: machine.__name__)
def test_an_allocating_array_is_a_dict_of_ids(machine: type[Ids]) -> None:
    case = machine.TestCase
    case.settings = LAWS
    case("runTest").runTest()


@pytest.mark.parametrize("machine", [Shift3, Shift4, Shift6], ids=lambda machine: machine.__name__)
def test_an_array_is_its_model(machine: type[Machine]) -> None:
    case = machine.TestCase
    case.settings = LAWS
    case("runTest").runTest()
