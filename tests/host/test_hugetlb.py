# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gmemsim.errors import OutOfMemory
from gmemsim.host.hugetlb import HugePool, Subpool

G = 1 << 30
M2 = 2 << 20


def figures(pool: HugePool, size: int = G) -> tuple[int, int, int]:
    return pool.free(size), pool.reserved(size), pool.available(size)


def test_a_file_reserves_all_of_its_hugepages_when_it_is_created() -> None:
    pool = HugePool({G: 4})
    file = pool.reserve(G, 3)
    assert figures(pool) == (4, 3, 1)
    assert [file.take() for _ in range(3)] == [0, 1, 2]
    assert figures(pool) == (1, 0, 1)
    pool.check()


def test_too_few_hugepages_fail_the_creation_and_change_nothing() -> None:
    pool = HugePool({G: 4})
    pool.reserve(G, 3)
    with pytest.raises(OutOfMemory, match="2 hugepages of 1G wanted, 1 free and unreserved"):
        pool.reserve(G, 2)
    with pytest.raises(OutOfMemory, match="1 hugepages of 2M wanted, 0 free"):
        pool.reserve(M2, 1)
    assert figures(pool) == (4, 3, 1)
    assert pool.reserve(M2, 0).unused == 0
    assert pool.sizes() == (G,)
    pool.check()


def test_a_file_gets_no_surplus() -> None:
    pool = HugePool({G: 4})
    file = pool.reserve(G, 1)
    file.take()
    with pytest.raises(OutOfMemory, match="all 1 hugepages of 1G of the file are in use"):
        file.take()
    pool.check()


def test_a_hole_gives_the_hugepage_back_to_the_reservation() -> None:
    pool = HugePool({G: 2})
    file = pool.reserve(G, 2)
    first, second = file.take(), file.take()
    file.give_back(first)
    assert figures(pool) == (1, 1, 0)
    with pytest.raises(OutOfMemory):
        pool.reserve(G, 1)
    assert file.take() == first
    assert file.outstanding == {first, second}


def test_closing_frees_what_is_unused_at_once_and_the_rest_when_it_comes_back() -> None:
    pool = HugePool({G: 3})
    file = pool.reserve(G, 3)
    pinned, other = file.take(), file.take()
    file.give_back(other)
    file.release()
    assert figures(pool) == (2, 0, 2)
    pool.check()
    file.give_back(pinned)  # the last pin is gone
    assert figures(pool) == (3, 0, 3)
    pool.check()


def test_the_lowest_free_hugepage_is_handed_out() -> None:
    pool = HugePool({G: 4})
    file = pool.reserve(G, 4)
    for _ in range(3):
        file.take()
    file.give_back(2)
    file.give_back(0)
    assert [file.take() for _ in range(3)] == [0, 2, 3]


def test_sizes_do_not_overlap_and_are_aligned() -> None:
    pool = HugePool({M2: 3, G: 2})
    assert pool.sizes() == (G, M2)
    assert [pool.address(G, i) for i in range(2)] == [0, G]
    assert [pool.address(M2, i) for i in range(3)] == [2 * G, 2 * G + M2, 2 * G + 2 * M2]
    assert (pool.total(G), pool.total(M2)) == (2, 3)


def test_misuse_is_a_bug_in_the_caller() -> None:
    pool = HugePool({G: 2})
    file, other = pool.reserve(G, 1), pool.reserve(G, 1)
    page = other.take()
    with pytest.raises(AssertionError, match="not the file's to give back"):
        file.give_back(page)
    file.release()
    with pytest.raises(AssertionError, match="closed file"):
        file.take()
    with pytest.raises(AssertionError, match="twice"):
        file.release()
    with pytest.raises(ValueError, match="-1 hugepages"):
        pool.reserve(G, -1)
    pool.check()


@pytest.mark.parametrize("counts", [{3: 1}, {0: 1}, {G: -1}])
def test_senseless_pools_are_refused(counts: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="hugepages of"):
        HugePool(counts)


def test_check_sees_a_hugepage_in_two_places_and_a_wrong_promise() -> None:
    pool = HugePool({G: 2})
    first, second = pool.reserve(G, 1), pool.reserve(G, 1)
    first.take()
    second.limit = 2
    with pytest.raises(AssertionError, match="2 promised, but 1G"):
        pool.check()
    second.outstanding.add(0)
    with pytest.raises(AssertionError, match="lost or in two places: 1G"):
        pool.check()


class PoolMachine(RuleBasedStateMachine):
    """Any order of creating, touching, punching and closing files leaves the pool consistent."""

    files: Bundle[Subpool] = Bundle("files")

    def __init__(self) -> None:
        super().__init__()
        self.pool = HugePool({G: 3, M2: 7})
        self.open: set[Subpool] = set()

    @rule(target=files, size=st.sampled_from([G, M2]), n=st.integers(0, 3))
    def reserve(self, size: int, n: int) -> Subpool:
        if n > self.pool.available(size):
            with pytest.raises(OutOfMemory):
                self.pool.reserve(size, n)
            n = 0
        file = self.pool.reserve(size, n)
        self.open.add(file)
        return file

    @rule(file=files)
    def take(self, file: Subpool) -> None:
        if len(file.outstanding) == file.limit:
            with pytest.raises(OutOfMemory):
                file.take()
        else:  # a promise is never broken
            before = set(file.outstanding)
            assert file.take() not in before

    @rule(file=files, which=st.integers(0, 2))
    def give_back(self, file: Subpool, which: int) -> None:
        for page in sorted(file.outstanding)[which : which + 1]:
            file.give_back(page)

    @rule(file=consumes(files), last=st.booleans())
    def close(self, file: Subpool, last: bool) -> None:
        pages = sorted(file.outstanding)
        for page in pages if last else ():
            file.give_back(page)
        file.release()
        self.open.remove(file)
        for page in () if last else pages:
            file.give_back(page)

    @invariant()
    def consistent(self) -> None:
        self.pool.check()
        for size in self.pool.sizes():
            out = sum(len(file.outstanding) for file in self.open if file.size == size)
            promised = sum(file.limit for file in self.open if file.size == size)
            assert self.pool.free(size) == self.pool.total(size) - out
            assert self.pool.available(size) == self.pool.total(size) - promised


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
