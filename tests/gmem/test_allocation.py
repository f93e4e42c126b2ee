# SPDX-License-Identifier: GPL-2.0-or-later
"""Hugepages allocated in one step leave what they leave one by one, also where memory runs out."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim import GuestMemfd, Host, Policy
from gmemsim.errors import KernelError
from gmemsim.gmem.population import _needs, alike
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.switches import KernelSwitches
from tests.gmem.worlds import PAGE, sound

M = 1 << 21
PAGES = 24
"""Hugepages of the guest: three nodes of the filemap."""

ACCOUNTS_TAKEN = ("any", "filemap_nodes", "registry_nodes", "folio_metadata", "memdesc")


class World(NamedTuple):
    """What an allocation meets."""

    generation: str
    memdesc: str
    shared: tuple[int, ...]
    """Hugepages that hold a shared page."""
    there: tuple[int, ...]
    """Hugepages that have memory already."""
    returned: tuple[int, ...]
    """Those of them that have been given back to the pool."""
    budget: int | None
    limit: int | None
    injections: tuple[tuple[str, int, str], ...]

    def guest(self, when: Literal["conversion", "fault"] = "conversion") -> GuestMemfd:
        kernel = KernelSwitches(memdesc=self.memdesc)
        host = Host(hugetlb={M: PAGES + 4}, kernel=kernel, kernel_memory=self.budget)
        policy = Policy(generation=self.generation, when=when)
        guest = GuestMemfd(host, "vm0", size=PAGES * M, backing=M, policy=policy, kernel_memory=self.limit)
        for number in self.there:
            guest.allocate(number * M, M)
        for number in self.returned:
            guest.punch_hole(number * M, M)
        for number in self.shared:
            guest.set_attributes(number * M, PAGE, private=False)
        for account, nth, mode in self.injections:
            host.ledger.inject(account, nth, "forever" if mode == "forever" else "once")
        return guest


def outcome(guest: GuestMemfd, error: KernelError | None) -> tuple[object, ...]:
    """All that can be seen of an allocation."""
    ledger = guest.host.ledger
    tallies = [ledger.holder(account, name) for account in ACCOUNTS for name in ("vm0", "(host)")]
    return (
        None if error is None else (str(error), error.errno, error.error_offset),
        [(tally.live, tally.peak, tally.freed) for tally in tallies],
        (ledger.total.live, ledger.total.peak, ledger.total.peak_bytes, ledger.high_water_row()),
        [str(injection) + str(injection.left) for injection in ledger.armed()],
        guest.page_cache.dump(),
        {first: (page.pool_index, page.folios) for first, page in guest.inode.hugepages.items()},
        guest.host.work.counts(),
        +guest.host.folios,
    )


def attempt(world: World, calls: list[tuple[int, int]]) -> tuple[object, ...] | None:
    """The outcome of allocating these ranges of hugepages until one fails; ``None`` if the world cannot be made."""
    try:
        guest = world.guest()
    except KernelError:
        return None
    failed: KernelError | None = None
    for first, number in calls:
        try:
            guest.allocate(first * M, number * M)
        except KernelError as error:
            failed = error
            break
    sound(guest)
    return outcome(guest, failed)


numbers = st.lists(st.integers(0, PAGES - 1), max_size=4, unique=True).map(tuple)
worlds = st.builds(
    World,
    generation=st.sampled_from(["A", "B"]),
    memdesc=st.sampled_from(["struct-page", "folio-descriptors"]),
    shared=numbers,
    there=numbers,
    returned=st.just(()),
    budget=st.none() | st.integers(600, 40_000),
    limit=st.none() | st.integers(600, 40_000),
    injections=st.lists(
        st.tuples(st.sampled_from(ACCOUNTS_TAKEN), st.integers(1, 40), st.sampled_from(["once", "forever"])), max_size=2
    ).map(tuple),
).flatmap(
    lambda world: st.sets(st.sampled_from(world.there or (0,))).map(
        lambda gone: world._replace(returned=tuple(sorted(gone & set(world.there) - set(world.shared))))
    )
)


@given(worlds, st.integers(0, PAGES - 1), st.integers(1, PAGES))
def test_one_step_leaves_what_single_steps_leave(world: World, first: int, number: int) -> None:
    number = min(number, PAGES - first)
    one_by_one = attempt(world, [(first + i, 1) for i in range(number)])
    assert attempt(world, [(first, number)]) == one_by_one


def test_nodes_of_a_run_are_counted_before_they_are_there() -> None:
    guest = World("B", "struct-page", (), (), (), None, None, ()).guest()
    most = guest.page_cache.chunk.most_nodes(0, 9, PAGES)
    guest.allocate(0, PAGES * M)
    assert guest.nodes() == 4 <= most  # three nodes of eight hugepages, and the root


@pytest.mark.parametrize(
    ("when", "shared", "there", "returned", "steps"),
    [
        ("conversion", (), (), (), {(0, 24): 24, (3, 24): 21, (0, 5): 5}),
        ("conversion", (10,), (), (), {(0, 24): 10, (11, 24): 13}),
        ("fault", (10,), (), (), {(0, 24): 24}),
        ("conversion", (), (5,), (), {(0, 24): 5, (6, 24): 18}),
        ("conversion", (), (5,), (5,), {(0, 24): 0}),
    ],
)
def test_hugepages_that_are_alike_are_allocated_in_one_step(
    when: Literal["conversion", "fault"],
    shared: tuple[int, ...],
    there: tuple[int, ...],
    returned: tuple[int, ...],
    steps: dict[tuple[int, int], int],
) -> None:
    """A large guest does not cost a step for each of its hugepages."""
    world = World("B", "struct-page", shared, there, returned, None, None, ())
    inode = world.guest(when=when).inode
    for (first, end), number in steps.items():
        assert alike(inode, first << 9, end << 9) == number
        assert alike(inode, first << 9, (end << 9) - 511) == number, "one page of the last"


def test_as_many_are_allocated_in_one_step_as_memory_is_left_for() -> None:
    """Half as many, and half of that, until they fit."""
    inode = World("A", "folio-descriptors", (), (), (), None, None, ()).guest().inode
    ledger = inode.host.ledger

    def left_for(number: int) -> int:
        return sum(holder.object_bytes * objects for holder, objects in _needs(inode, 0, number))

    for number, found in ((24, 24), (23, 12), (12, 12), (11, 6), (6, 6), (5, 3), (3, 3), (2, 1)):
        ledger.budget = ledger.total.live_bytes + left_for(number)
        assert alike(inode, 0, PAGES << 9) == found
    ledger.budget = ledger.total.live_bytes + left_for(1)
    assert alike(inode, 0, 8 << 9) == 1, "not two"
