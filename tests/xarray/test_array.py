# SPDX-License-Identifier: GPL-2.0-or-later
"""What the array offers besides the kernel's calls: nodes before and after a split, level by level; refusals."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gmemsim.errors import Busy, Exists, Invalid, OutOfMemory
from gmemsim.xarray import INDEX_MAX, KEEP, CountingAllocator, XArray
from gmemsim.xarray.node import Chunk, Node, Sibling, Uniform
from tests.xarray.operations import execute

ORDERS = [(order, new_order) for order in range(1, 20) for new_order in range(order)]


def counted(node: Node, nodes: Counter[int], slots_used: Counter[int]) -> None:
    """Count an eager tree node by node."""
    nodes[node.shift] += 1
    slots_used[node.shift] += sum(slot is not None for slot in node.slots)
    for child in node.slots:
        if isinstance(child, Node):
            counted(child, nodes, slots_used)


@pytest.mark.parametrize("seed", range(20))
def test_levels_are_those_of_the_eager_tree(seed: int) -> None:
    rng = random.Random(seed)
    lazy, eager = XArray(), XArray(eager=True)
    for _ in range(12):
        order = rng.choice((0, 5, 6, 9, 12))
        place = rng.randrange(5) << 12
        for xa in (lazy, eager):
            xa.store_order(place, order, "p1")
        if order:
            operation = ("split", (place, order, rng.randrange(order), KEEP))
            assert execute(lazy, operation) == execute(eager, operation)
    nodes, slots_used = Counter[int](), Counter[int]()
    assert isinstance(eager.tree.head, Node)
    counted(eager.tree.head, nodes, slots_used)
    for levels in (lazy.levels(), eager.levels()):
        assert (levels.nodes, levels.slots_used) == (nodes, slots_used)
    assert nodes.total() == lazy.nodes == eager.levels().visits >= lazy.levels().visits


def test_an_array_without_nodes_has_no_levels() -> None:
    xa = XArray()
    xa.store(0, "p1")
    levels = xa.levels()
    assert (levels.nodes.total(), levels.slots_used.total(), levels.visits) == (0, 0, 0)


@pytest.mark.parametrize(("order", "new_order"), ORDERS)
def test_a_split_uses_the_nodes_it_is_said_to_need(order: int, new_order: int) -> None:
    xa = XArray(allocator := CountingAllocator())
    xa.store_order(0, order, "p1")
    live = allocator.live
    with xa.preallocate(xa.nodes_needed(order, new_order) + 2) as prealloc:
        xa.split(0, order, new_order, prealloc=prealloc)
        assert prealloc.available == 2
    assert allocator.live - live == xa.nodes_needed(order, new_order) == prealloc.used


def test_nodes_that_cannot_be_had_are_not_held() -> None:
    xa = XArray(allocator := CountingAllocator())
    allocator.fail_after(5)
    with pytest.raises(OutOfMemory) as caught:
        xa.preallocate(9)
    assert (caught.value.held, allocator.live) == (4, 0)


@pytest.mark.parametrize("shift", [1, 2, 3, 4, 5, 6])
def test_a_tree_of_any_chunk_holds_what_is_stored(shift: int) -> None:
    xa = XArray(chunk_shift=shift)
    for index in range(70):
        xa.store(index, index + 100)
    xa.check()
    assert list(xa.entries()) == [(index, 0, index + 100) for index in range(70)]
    assert xa.nodes == sum(-(-70 >> shift * level) for level in range(1, 9) if 1 << shift * (level - 1) < 70)


@pytest.mark.parametrize("shift", [0, 7])
def test_a_chunk_that_is_none_is_refused(shift: int) -> None:
    with pytest.raises(ValueError, match=f"chunk shift is {shift}, expected 1 to 6"):
        XArray(chunk_shift=shift)


def test_an_attempt_fails_once_and_the_next_ones_do_not() -> None:
    allocator = CountingAllocator()
    allocator.fail_after(2)
    for _ in range(2):
        allocator.alloc(1)
        assert allocator.retry() == (allocator.live > 1)
    allocator.fail_after(1, times=2)
    assert [allocator.retry() for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("order", "new_order"), [(0, 0), (3, 3), (3, 4), (3, -1), (65, 0)])
def test_what_is_no_split_needs_no_nodes(order: int, new_order: int) -> None:
    with pytest.raises(Invalid):
        XArray().nodes_needed(order, new_order)
    with pytest.raises(Invalid):
        XArray().split_alloc(0, order, new_order)
    xa = XArray()
    xa.store_order(0, max(order, 1) if order < 64 else 1, "an entry")
    before = xa.dump()
    with xa.preallocate(70) as prealloc:
        for split in (
            lambda: xa.split(0, order, new_order, prealloc=prealloc),
            lambda: xa.halve(0, order, new_order, prealloc=prealloc),
            lambda: xa.try_split(0, order, new_order),
        ):
            with pytest.raises(Invalid, match=f"cannot split order {order} into order {new_order}"):
                split()
    assert xa.dump() == before


@pytest.mark.parametrize(("order", "new_order"), ORDERS)
def test_refusals_told_beforehand_are_those_of_the_calls(order: int, new_order: int) -> None:
    xa = XArray(profile="v6.15")
    xa.store_order(0, order, "p1")
    XArray(profile="rfc").check_depth(order, new_order)
    try:
        xa.check_depth(order, new_order)
    except OutOfMemory:
        assert execute(xa, ("split", (0, order, new_order, KEEP))) == "ENOMEM"
    else:
        xa.split_alloc(0, order, new_order).close()
    refused = execute(xa, ("try_split", (0, order, new_order))) == "EINVAL"
    assert refused != xa.try_split_fits(order, new_order)


@pytest.mark.parametrize("index", [-1, -64, INDEX_MAX + 1, INDEX_MAX + (1 << 62)])
@pytest.mark.parametrize("stored", [None, 0, 100, INDEX_MAX])
def test_an_index_out_of_range_is_refused(index: int, stored: int | None) -> None:
    xa = XArray()
    if stored is not None:
        xa.store(stored, "p1")
    for name in ("load", "get_order", "erase", "find"):
        assert execute(xa, (name, (index,))) == "EINVAL"
    held = xa.dump()
    for call in (xa.store_order, xa.join, xa.store_run):
        with pytest.raises(Invalid, match=f"index is {index}, expected 0 to"):
            call(index, 0, ["a"])
    for count in (xa.growth, xa.create_range):
        with pytest.raises(Invalid, match=f"index is {index}, expected 0 to"):
            count(index, 0)
    assert xa.dump() == held


def test_a_run_may_end_at_the_last_index_and_not_behind_it() -> None:
    xa = XArray()
    xa.store_run(INDEX_MAX - 3, 1, ["a", "b"])
    assert list(xa.entries()) == [(INDEX_MAX - 3, 1, "a"), (INDEX_MAX - 1, 1, "b")]
    with pytest.raises(Invalid):
        xa.store_run(INDEX_MAX - 1, 1, ["a", "b"])


def test_a_run_of_large_entries_has_as_many_as_touch_the_range() -> None:
    xa = XArray()
    xa.store_order(0, 18, "a")
    with xa.preallocate(xa.nodes_needed(18, 9)) as prealloc:
        xa.split(0, 18, 9, prealloc=prealloc)
    assert list(xa.runs(0, (1 << 18) - 1)) == [(0, 512, 9, "a")]
    assert list(xa.runs(5 * 512 + 7, 9 * 512)) == [(5 * 512, 5, 9, "a")]
    assert list(xa.runs(5 * 512 + 7, 9 * 512 - 1)) == [(5 * 512, 4, 9, "a")]


def test_of_marked_entries_only_those_of_the_range_are_found() -> None:
    xa = XArray()
    marked = [0, 5, 63, 64, 70, 130, 4096]
    for index in range(200):
        xa.store(index, "a")
    xa.store(4096, "a")
    for index in marked:
        xa.set_mark(index, 1)
    for first in [*range(140), 4095, 4096]:
        for last in (first, first + 3, first + 62, first + 64):
            found = [base for base, _, _ in xa.entries(first, last, 1)]
            assert found == [index for index in marked if first <= index <= last]
            assert xa.find(first, last, 1) == ((found[0], "a") if found else None)


def test_orders_of_a_part_of_a_tree() -> None:
    xa = XArray()
    xa.store(0, "a")
    assert xa.orders(0, 63) == {0: 1}, "a tree of one entry has no node"
    xa.store_order(8, 3, "b")
    assert xa.orders(12, 63) == {3: 1}, "from the middle of an entry on"
    xa.store_range(33, 35, "c")
    for first in (16, 33, 34, 36):  # an odd number of slots, seen from before, from its ends and from behind
        found: Counter[int] = Counter()
        for _, number, order, _ in xa.runs(first, 63):
            found[order] += number
        assert xa.orders(first, 63) == found


def test_orders_of_what_stands_right_behind_a_run_of_an_odd_number_of_slots() -> None:
    for length in (1, 2, 3, 5, 6, 7, 31, 63):
        xa = XArray()
        xa.store_range(0, length - 1, "run")
        for index in range(length, 64):
            xa.store(index, "page")
        found: Counter[int] = Counter()
        for _, number, order, _ in xa.runs(0, 63):
            found[order] += number
        assert xa.orders(0, 63) == found
        assert sum(found.values()) == 65 - length


def test_a_mark_that_the_only_entry_has_not() -> None:
    xa = XArray()
    xa.store(0, "a")
    assert xa.find(0, 63, 1) is None
    xa.set_mark(0, 1)
    assert xa.find(0, 63, 1) == (0, "a")


def test_a_cyclic_allocation_that_cannot_wrap_is_refused() -> None:
    xa = XArray(track_free=True)
    for index in range(4):
        assert xa.alloc_cyclic("a", index, 0, 3) == (index, False)
    with pytest.raises(Busy):
        xa.alloc_cyclic("a", 0, 0, 3)
    xa.erase(1)
    assert xa.alloc_cyclic("a", 2, 0, 3) == (1, True)


def test_what_reads_ranges_goes_all_the_way_to_the_entry_of_a_sibling() -> None:
    """A run of an odd number of slots that another cuts leaves siblings of siblings."""
    xa = XArray(chunk_shift=3)
    xa.store_range(11, 18, "a")
    xa.store_range(6, 13, "b")  # in slots 0 to 5 of a node in which 6 and 7 name slot 3
    for first in range(8, 16):
        assert list(xa.entries(first, 15)) == [(8, 3, "b")]
        assert list(xa.runs(first, 15)) == [(8, 1, 3, "b")]
        assert xa.orders(first, 15) == {3: 1}


@pytest.mark.parametrize("order", range(13))
def test_all_entries_below_a_uniform_are_marked_alike(order: int) -> None:
    for shift in range(order // 6 * 6, 18, 6):
        uniform = Uniform(Chunk(6), shift, order, "a", 0b010)
        own = [slot for slot, entry in enumerate(uniform.view()) if not isinstance(entry, Sibling)]
        assert uniform.marks == (0, sum(1 << slot for slot in own), 0)


def test_the_order_of_an_entry_is_asked_of_the_first_of_its_slots() -> None:
    xa = XArray()
    xa.store_order(8, 3, "a")
    assert [xa.get_order(index) for index in (7, 8, 9, 15, 16)] == [0, 3, 3, 3, 0]


def test_a_merge_takes_the_nodes_by_which_the_tree_must_grow() -> None:
    """An entry as large as the tree needs a slot a level higher; the node is of those that were taken for it."""
    allocator = CountingAllocator()
    xa = XArray(allocator)
    for index in range(64):
        xa.store(index, "a page")
    assert (xa.growth(0, 3), xa.growth(0, 6)) == (0, 1)
    with xa.preallocate(1) as prealloc:
        taken = allocator.allocs
        assert xa.join(0, 6, "a folio", prealloc=prealloc) == (1, 1)
        assert allocator.allocs == taken
    assert (prealloc.used, xa.nodes, xa.get_order(63)) == (1, 1, 6)
    xa.check()
    xa.store_order(64, 6, "another")
    with xa.split_alloc(64, 6, 0) as prealloc:
        xa.split(64, 6, 0, prealloc=prealloc)
    assert xa.join(64, 6, "another") == (0, 1)


def test_an_order_is_inserted_where_nothing_is() -> None:
    xa = XArray()
    xa.insert_order(8, 3, "a")
    with pytest.raises(Exists, match="order 4 at 0: index 8 holds an entry of order 3"):
        xa.insert_order(0, 4, "b")
    assert list(xa.entries()) == [(8, 3, "a")]


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_a_tree_that_shrinks_opens_what_becomes_its_top(eager: bool) -> None:
    xa = XArray(eager=eager)
    xa.store_order(0, 12, 7)
    with xa.split_alloc(0, 12, 0) as prealloc:
        xa.split(0, 12, 0, prealloc=prealloc)
    xa.store(1 << 12, "above")
    xa.erase(1 << 12)
    assert xa.nodes == 65
    assert [xa.load(index) for index in (0, 4095, 4096)] == [7, 7, None]
    xa.check()


@pytest.mark.parametrize(
    ("stored", "index", "order", "have"),
    [
        (None, 0, 3, "no entry"),
        (("store", 0), 0, 3, "an entry of order 0"),
        (("store", 70), -1, 3, "no entry"),
        (("store", 70), 4096, 3, "no entry"),
        (("store", 70), 5, 3, "no entry"),
        (("store", 70), 5, 7, "no entry"),
        (("store_order", 0, 7), 70, 3, "an entry of order 7"),
        (("store_order", 1 << 12, 14), 1 << 12, 9, "an entry of order 14"),
        (("store_range", 32, 34), 32, 2, "an entry of order 2"),
        (("store_range", 32, 34), 32, 1, "an entry of order 2"),
        (("store_range", 33, 36), 33, 2, "an entry of order 2"),
    ],
)
def test_what_is_no_entry_of_the_order_is_not_split(
    stored: tuple[object, ...] | None, index: int, order: int, have: str
) -> None:
    xa = XArray()
    if stored is not None:
        getattr(xa, str(stored[0]))(*stored[1:], "an entry")
    before = xa.dump()
    with (
        xa.preallocate(70) as prealloc,
        pytest.raises(Invalid, match=f"index {index} has {have}, expected a whole and aligned entry of order {order}"),
    ):
        xa.split(index, order, 0, prealloc=prealloc)
    assert xa.dump() == before


def split_whole(xa: XArray, index: int, order: int) -> None:
    with xa.split_alloc(index, order, 0) as prealloc:
        xa.split(index, order, 0, prealloc=prealloc)


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_a_part_of_what_was_split_is_erased_by_page_and_by_folio(eager: bool) -> None:
    xa = XArray(CountingAllocator(), eager=eager)
    xa.store_order(0, 18, "p1")
    split_whole(xa, 0, 18)
    assert xa.erase(70_000) == "p1"
    assert (xa.load(69_999), xa.load(70_000), xa.load(70_001), xa.nodes) == ("p1", None, "p1", 4162)
    xa.store_order(1 << 12, 12, None)
    assert (xa.load(4095), xa.load(4096), xa.load(8191), xa.load(8192)) == ("p1", None, None, "p1")
    assert xa.nodes == 4162 - 65
    xa.check()


def test_a_store_inside_of_an_entry_takes_all_of_it() -> None:
    xa = XArray()
    xa.store_order(512, 9, "large")
    with pytest.raises(Busy):
        xa.insert(600, "small")
    xa.store_order(600, 1, "small")
    assert list(xa.entries()) == [(512, 9, "small")]


@pytest.mark.parametrize("last", [8191, 8190, 8189, 4160, 4096, 63, 62])
def test_a_range_is_in_as_few_slots_as_possible(last: int) -> None:
    xa = XArray()
    xa.store_range(0, last, "a")
    assert {xa.load(index) for index in range(last + 1)} == {"a"}
    assert xa.load(last + 1) is None
    levels = xa.levels()
    assert (
        sum(slots << shift for shift, slots in levels.slots_used.items())
        - sum(nodes << shift + 6 for shift, nodes in levels.nodes.items() if shift + 6 in levels.nodes)
        == last + 1
    )
    xa.check()


def test_a_tree_of_one_entry_grows_by_the_nodes_that_a_store_takes() -> None:
    for index, order in ((0, 0), (5, 0), (0, 3), (64, 0), (0, 6), (4096, 9)):
        xa = XArray(allocator := CountingAllocator())
        xa.store(0, "a")
        grown = xa.growth(index, order)
        xa.tree.expand(index | (1 << order) - 1 if order < 6 else index + (1 << order))
        assert (grown, allocator.live) == (xa.nodes, xa.nodes)


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("count", 63),
        ("count", 65),
        ("nr_values", 63),
        ("nr_values", 65),
        ("nodes", 0),
        ("nodes", 2),
        ("offset", 4),
        ("offset", 6),
        ("shift", 6),
        ("shift", 3),
        ("parent", None),
        ("marks", (1 << 5, 0, 0)),
        ("marks", (0, 1 << 5, 0)),
        ("slots", [7] * 63),
        ("slots", [7] * 63 + [None]),
        ("slots", [7] * 63 + ["no value"]),
    ],
)
def test_whatever_is_wrong_with_a_node_is_seen(field: str, wrong: object, eager: bool) -> None:
    xa = XArray(eager=eager)
    for index in range(5 * 64, 6 * 64):
        xa.store(index, 7)
    xa.check()
    assert isinstance(xa.tree.head, Node)
    leaf = xa.tree.head.slots[5]
    assert isinstance(leaf, Node)
    setattr(leaf, field, wrong)
    with pytest.raises(AssertionError, match=r"\nX "):
        xa.check()


def test_siblings_and_marks_that_make_no_sense_are_seen() -> None:
    for slot, sibling in ((3, 3), (3, 5), (3, 1)):
        xa = XArray()
        xa.store(8, "a")
        assert isinstance(xa.tree.head, Node)
        xa.tree.head.slots[slot] = xa.chunk.siblings[sibling]
        xa.tree.head.count += 1
        with pytest.raises(AssertionError, match=f"slot {slot} is a sibling of"):
            xa.check()
    for entry, slot, message in (("a", 9, "sibling 9 is marked"), (None, 3, "mark 1 is set on slots without an entry")):
        xa = XArray()
        xa.store_order(8, 2, "a")
        xa.set_mark(8, 1)
        assert isinstance(xa.tree.head, Node)
        xa.tree.head.marks = (0, 1 << 8 | 1 << slot, 0)
        with pytest.raises(AssertionError, match=message):
            xa.check()
        assert xa.load(slot) == entry


def test_ranges_of_a_tree_of_one_entry_and_beyond_a_tree() -> None:
    xa = XArray()
    assert list(xa.runs(0, 9)) == []
    xa.store(0, "a")
    assert (list(xa.runs(0, 9)), list(xa.runs(1, 9))) == ([(0, 1, 0, "a")], [])
    assert (xa.orders(0, 9), xa.orders(1, 9)) == ({0: 1}, {})
    xa.set_mark(0, 2)
    assert (list(xa.entries(mark=2)), list(xa.entries(mark=1))) == ([(0, 0, "a")], [])
    xa.store(70, "b")
    assert (list(xa.runs(4096, 9999)), xa.orders(4096, 9999)) == ([], {})
    assert list(xa.runs(0, 9999)) == [(0, 1, 0, "a"), (70, 1, 0, "b")]


@pytest.mark.parametrize("order", range(18))
def test_a_tree_is_as_high_as_its_last_entry_wants(order: int) -> None:
    """The last entry of 1G; and the first, which wants one level more where it would fill the tree."""
    last, first = XArray(), XArray()
    last.store_order((1 << 18) - (1 << order), order, "a")
    first.store_order(0, order, "a")
    assert (last.nodes, first.nodes) == (3 - order // 6, 1 if order else 0)
    assert last.get_order((1 << 18) - 1) == order


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_equal_entries_are_one_run_where_they_touch(eager: bool) -> None:
    xa = XArray(eager=eager)
    for index, order in ((0, 0), (1, 0), (2, 1), (8, 1), (10, 1), (14, 1), (62, 1), (64, 1)):
        xa.store_order(index, order, "a")
    xa.store_order(66, 1, "b")
    xa.store_order(128, 6, "a")
    split_whole(xa, 128, 6)
    assert list(xa.runs(0, INDEX_MAX)) == [
        (0, 2, 0, "a"),
        (2, 1, 1, "a"),
        (8, 2, 1, "a"),
        (14, 1, 1, "a"),
        (62, 2, 1, "a"),
        (66, 1, 1, "b"),
        (128, 64, 0, "a"),
    ]


@pytest.mark.parametrize("there", [(), (0,), (5,), (63,), (64,), (0, 64, 130)])
def test_a_run_over_what_is_there_replaces_it(there: tuple[int, ...]) -> None:
    run, singly = XArray(), XArray()
    for xa in (run, singly):
        for index in there:
            xa.store(index, "old")
    entries = [f"entry {number}" for number in range(130)]
    run.store_run(0, 0, entries)
    for index, entry in enumerate(entries):
        singly.store(index, entry)
    run.check()
    assert (run.dump(), run.nodes) == (singly.dump(), singly.nodes)
