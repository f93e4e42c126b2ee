# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory runs out at every point of every operation: every entry, order and mark stays, and no node is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import attrs
import pytest

from gmemsim.errors import OutOfMemory
from gmemsim.xarray import INDEX_MAX, KEEP, CountingAllocator, XArray
from gmemsim.xarray.lab.lru import ValueNodeLru
from tests.xarray.operations import ENTRIES, FAR, Operation, execute, listing

FOREVER = 1 << 60
"""Attempts that fail from the chosen one on: the second chance of a store fails, too."""


@attrs.frozen
class Case:
    """A tree, as the operations that build it, and the operation during which memory runs out."""

    chunk_shift: int
    history: tuple[Operation, ...]
    operation: Operation
    track_free: bool = False

    def build(self, *, eager: bool = False) -> tuple[XArray, CountingAllocator, ValueNodeLru]:
        """The tree before the operation, and its allocator and observer."""
        allocator, lru = CountingAllocator(), ValueNodeLru()
        xa = XArray(allocator, chunk_shift=self.chunk_shift, eager=eager, track_free=self.track_free, observer=lru)
        for operation in self.history:
            execute(xa, operation)
        return xa, allocator, lru

    def attempts(self) -> int:
        """How many nodes the operation takes when all goes well."""
        xa, allocator, _ = self.build()
        before = allocator.allocs
        execute(xa, self.operation)
        return allocator.allocs - before


def random_history(rng: random.Random, chunk_shift: int, max_order: int) -> tuple[Operation, ...]:
    """A few stores, splits and marks near index 0 and far away."""

    def index(order: int) -> int:
        return rng.choice((0, 0, FAR)) + (rng.randrange(4) << order) + rng.randrange(3)

    history: list[Operation] = []
    for _ in range(rng.randrange(1, 7)):
        order = rng.randrange(max_order + 1)
        place = index(order)
        history.append(("store_order", (place, order, rng.choice(ENTRIES))))
        if rng.random() < 0.6 and order:
            history.append(("split", (place, order, rng.randrange(order), KEEP)))
        if rng.random() < 0.5:
            history.append(("set_mark", (place, rng.randrange(3))))
    return tuple(history)


def random_operation(rng: random.Random, case: Case, max_order: int) -> Operation:
    """Any operation that may need nodes, at a place that means something to the tree."""
    found = listing(case.build()[0])
    if (large := [(base, held) for base, held, *_ in found if held]) and rng.random() < 0.5:
        base, held = rng.choice(large)
        place = base + rng.randrange(1 << held)
        return rng.choice(
            [
                ("split", (place, held, rng.randrange(held), rng.choice((KEEP, 5)))),
                ("try_split", (place, held, held - 1)),
            ]
        )
    order = rng.randrange(max_order + 1)
    place = rng.choice([base for base, *_ in found] or [0]) if rng.random() < 0.7 else rng.choice((0, 1, FAR * 3))
    place = min(place + (rng.randrange(3) << order), INDEX_MAX)
    return rng.choice(
        [
            ("store", (place, rng.choice(ENTRIES))),
            ("store_order", (place, order, rng.choice(ENTRIES))),
            ("insert", (place, rng.choice(ENTRIES))),
            ("insert_order", (place, order, rng.choice(ENTRIES))),
            ("cmpxchg", (place, None, 5)),
            ("reserve", (place,)),
            ("create_range", (place, rng.randrange(case.chunk_shift + 2))),
        ]
    )


def random_cases(chunk_shift: int, max_order: int, number: int, seed: int) -> Iterator[Case]:
    rng = random.Random(seed)
    for _ in range(number):
        case = Case(chunk_shift, random_history(rng, chunk_shift, max_order), ("destroy", ()))
        yield attrs.evolve(case, operation=random_operation(rng, case, max_order))


def check_one_failure(case: Case, point: int, *, eager: bool = False) -> None:
    """The ``point``-th attempt and all after it fail: the operation fails and nothing has changed."""
    xa, allocator, lru = case.build(eager=eager)
    before, dump = listing(xa), xa.dump()
    allocator.fail_after(point, FOREVER)
    assert execute(xa, case.operation) == "ENOMEM"
    allocator.fail_after(0)
    assert listing(xa) == before
    xa.check()
    assert allocator.live == xa.nodes
    if "split" in case.operation[0]:
        assert xa.dump() == dump, "a split that fails leaves the tree itself untouched"
    # Nothing is in the way of trying again, which gives what it would have given at once.
    assert execute(xa, case.operation) == execute(case.build(eager=eager)[0], case.operation)
    xa.check()
    assert allocator.live == xa.nodes
    assert lru.size == recount(case, point)


def recount(case: Case, point: int) -> int:
    """The observer's list after the same failure and second try with eager nodes."""
    xa, allocator, lru = case.build(eager=True)
    allocator.fail_after(point, FOREVER)
    execute(xa, case.operation)
    allocator.fail_after(0)
    execute(xa, case.operation)
    return lru.size


def check_one_late_node(case: Case, point: int) -> None:
    """Only the ``point``-th attempt fails: a store gets the node at its second attempt, and all is as if it had not."""
    if "split" in case.operation[0]:
        return
    xa, allocator, _ = case.build()
    undisturbed = case.build()[0]
    allocator.fail_after(point)
    assert execute(xa, case.operation) == execute(undisturbed, case.operation)
    assert listing(xa) == listing(undisturbed)
    xa.check()
    assert allocator.live == xa.nodes == undisturbed.nodes


@pytest.mark.parametrize("seed", range(12))
def test_every_point_of_every_operation_at_chunk_shift_3(seed: int) -> None:
    for case in random_cases(3, 9, 60, seed):
        for point in range(1, case.attempts() + 1):
            check_one_failure(case, point)
            check_one_late_node(case, point)


@pytest.mark.parametrize("seed", range(4))
def test_points_up_to_64_at_chunk_shift_6(seed: int) -> None:
    for case in random_cases(6, 13, 40, seed):
        for point in range(1, min(case.attempts(), 64) + 1):
            check_one_failure(case, point)
            check_one_late_node(case, point)


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_500_points_of_large_splits_at_chunk_shift_6(eager: bool) -> None:
    """1G (and one more order) to anything, beside a neighbour, at points from the first to the last node."""
    rng = random.Random(3)
    for _ in range(500 if not eager else 50):
        order = rng.choice((18, 19)) if not eager else 13
        new_order = rng.randrange(order - 1)
        history: tuple[Operation, ...] = (
            ("store_order", (1 << order, order, "p1")),
            ("store_order", (3 << order, 0, 7)),
            ("set_mark", (1 << order, 1)),
        )
        operation: Operation = ("split", ((1 << order) + rng.randrange(1 << order), order, new_order, KEEP))
        case = Case(6, history, operation)
        needed = case.build()[0].nodes_needed(order, new_order)
        if not needed:
            continue
        xa, allocator, _ = case.build(eager=eager)
        before, live, point = xa.dump(), allocator.live, rng.randint(1, needed)
        allocator.fail_after(point)
        assert execute(xa, case.operation) == "ENOMEM"
        assert xa.dump() == before
        assert allocator.live == live == xa.nodes


@pytest.mark.parametrize("point", range(1, 9))
def test_a_store_range_that_fails_keeps_what_was_there_and_what_it_stored(point: int) -> None:
    """Not atomic, in the kernel neither: entries below some index are new, those from it on are as before."""
    history: tuple[Operation, ...] = tuple(("store", (index, "p1")) for index in range(5, 600, 13))
    case = Case(3, history, ("store_range", (3, 520, "p2")))
    xa, allocator, _ = case.build()
    before = {index: xa.load(index) for index in range(600)}
    allocator.fail_after(point, FOREVER)
    if execute(xa, case.operation) is None:
        assert point > case.attempts()
        return
    after = {index: xa.load(index) for index in range(600)}
    stored = next((index for index in range(3, 521) if after[index] != "p2"), 521)
    assert all(after[index] == before[index] for index in range(600) if not 3 <= index < stored)
    xa.check()
    assert allocator.live == xa.nodes


@pytest.mark.parametrize(
    ("first", "last", "nodes"),
    [
        (0, 31, 1),
        (0, 62, 1),
        (0, 63, 1),
        (0, 127, 1),
        (0, 64, 2),
        (126, 127, 2),
        (62, 191, 2),
        (60, 64, 3),
        (62, 4160, 5),
        (INDEX_MAX - 1, INDEX_MAX, 11),
        (INDEX_MAX, INDEX_MAX, 11),
    ],
)
def test_a_store_range_makes_the_nodes_above_its_end_before_it_stores(first: int, last: int, nodes: int) -> None:
    """So in an empty tree it stores all or nothing; the nodes that it has had stay, empty."""
    for point in range(1, nodes + 1):
        xa = XArray(allocator := CountingAllocator())
        allocator.fail_after(point, FOREVER)
        assert execute(xa, ("store_range", (first, last, "p1"))) == "ENOMEM"
        assert (xa.nodes, list(xa.entries())) == (point - 1, [])
        allocator.fail_after(0)
        xa.store_range(first, last, "p1")
        assert xa.nodes == nodes


@pytest.mark.parametrize("point", range(1, 5))
def test_an_id_that_needs_a_node_is_not_handed_out(point: int) -> None:
    history: tuple[Operation, ...] = tuple(("alloc", ("p1",)) for _ in range(8))
    case = Case(3, history, ("alloc", ("p2",)), track_free=True)
    xa, allocator, _ = case.build()
    before = listing(xa)
    allocator.fail_after(point, FOREVER)
    failed = point <= case.attempts()
    assert execute(xa, case.operation) == ("ENOMEM" if failed else 8)
    if failed:
        assert listing(xa) == before
        allocator.fail_after(0)
        assert execute(xa, case.operation) == 8
    xa.check()
    assert allocator.live == xa.nodes


def refuse(call: Callable[[], object]) -> int:
    """Nodes that the failing call says it had taken before."""
    with pytest.raises(OutOfMemory) as caught:
        call()
    return caught.value.held


@pytest.mark.parametrize("point", [1, 2, 65, 4161])
def test_a_failed_prealloc_tells_what_it_held(point: int) -> None:
    xa = XArray(allocator := CountingAllocator())
    xa.store_order(0, 18, "p1")
    allocator.fail_after(point)
    assert refuse(lambda: xa.split_alloc(0, 18, 0)) == point - 1
    assert allocator.live == xa.nodes == 1
