# SPDX-License-Identifier: GPL-2.0-or-later
"""Hugepages allocated in one step leave what they leave one by one, also where memory runs out."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gmemsim import GuestMemfd, Host, Policy
from gmemsim.errors import KernelError
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.host import KernelSwitches
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

    def guest(self) -> GuestMemfd:
        kernel = KernelSwitches(memdesc=self.memdesc)
        host = Host(hugetlb={M: PAGES + 4}, kernel=kernel, kernel_memory=self.budget)
        policy = Policy(generation=self.generation)
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
