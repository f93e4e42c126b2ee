"""Generators: deterministic, in order, inside the guest, and what their parameters say."""

from __future__ import annotations

import time
from itertools import islice, pairwise
from random import Random
from typing import Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.scenario.generators import GENERATORS, Boot, Flip, Scatter, Swiotlb
from gmemsim.scenario.schema import Close, Convert, GuestSpec, HostSpec, Scenario, Step
from gmemsim.scenario.workload import Arrival, Generator, PagePool, arrivals, expand_step

K, M, G, T = 1 << 10, 1 << 20, 1 << 30, 1 << 40
S = 1_000_000_000


def scenario(
    *steps: Step,
    memory: int = 16 * G,
    count: int = 1,
    seed: int = 0,
    page_size: int = 4 * K,
    mapping: Literal["snp", "tdx"] = "snp",
) -> Scenario:
    return Scenario(
        title="t",
        seed=seed,
        host=HostSpec(page_size=page_size),
        guests=(GuestSpec(name="vm", memory=memory, backing=page_size, count=count, mapping=mapping),),
        workload=steps,
    )


def conversions(made: Scenario, now: int = 0) -> list[Convert]:
    steps = list(expand_step(made, 0, now))
    converts = [step for step in steps if isinstance(step, Convert)]
    assert len(converts) == len(steps)
    return converts


EXAMPLES: list[Generator] = [
    Boot(guest="vm", duration=10 * S),
    Boot(guest="vm", duration=0, vcpus=300, queues=0, swiotlb_max=0, dma_lifetime=1),
    Swiotlb(guest="vm"),
    Scatter(guest="vm", count=100, duration=S, lifetime=S // 20, size=8 * M),
    Scatter(guest="vm", count=100, duration=S, offset=G, arrival="fixed", each=2 * M),
    Flip(guest="vm", count=20, interval=7, offset=64 * K),
]


@pytest.mark.parametrize("generator", EXAMPLES, ids=lambda generator: generator.key)
@pytest.mark.parametrize("page_size", [4 * K, 64 * K])
def test_steps_are_in_order_inside_the_guest_and_aligned(generator: Generator, page_size: int) -> None:
    made = scenario(generator, page_size=page_size)
    assert list(generator.problems(made.guests[0], page_size)) == []
    steps = conversions(made, now=3 * S)
    assert steps
    times = [step.at for step in steps if step.at is not None]
    assert len(times) == len(steps)
    assert times == sorted(times)
    assert times[0] >= 3 * S
    assert times[-1] <= 3 * S + generator.span()
    for step in steps:
        assert step.guest == "vm"
        assert step.offset % page_size == step.size % page_size == 0
        assert 0 <= step.offset < step.offset + step.size <= 16 * G


@pytest.mark.parametrize("generator", EXAMPLES, ids=lambda generator: generator.key)
def test_what_is_shared_does_not_overlap_and_only_that_returns(generator: Generator) -> None:
    shared: dict[int, int] = {}
    for step in conversions(scenario(generator)):
        if step.to == "private":
            assert shared.pop(step.offset) == step.size
        else:
            assert step.offset not in shared
            shared[step.offset] = step.size
            assert all(a + size <= b for (a, size), (b, _) in pairwise(sorted(shared.items())))


@pytest.mark.parametrize("generator", EXAMPLES, ids=lambda generator: generator.key)
def test_the_same_seed_gives_the_same_steps(generator: Generator) -> None:
    one, again, two = (conversions(scenario(generator, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert (one != two) == (not isinstance(generator, Swiotlb | Flip))


def test_the_numbers_of_a_seed_stay_what_they_are() -> None:
    """A change here changes every scenario with a generator: say so in the change log."""
    first = conversions(scenario(Scatter(guest="vm", count=3, duration=S)))
    assert [(step.at, step.offset // (4 * K)) for step in first] == [
        (193338234, 1699108),
        (349453815, 926760),
        (651836620, 1487751),
    ]


def test_a_step_or_a_guest_more_changes_no_other() -> None:
    generator = Boot(guest="vm")
    assert conversions(scenario(generator, Close(guest="vm"))) == conversions(scenario(generator))
    two, three = (conversions(scenario(generator, count=count)) for count in (2, 3))
    assert [step for step in three if step.guest != "vm-2"] == two


def test_a_group_is_merged_by_time_and_staggered() -> None:
    generator = Scatter(guest="vm", count=4, duration=4 * S, arrival="fixed", stagger=S // 4)
    steps = conversions(scenario(generator, count=3))
    assert [(step.at, step.guest) for step in steps] == sorted(
        (i * S + k * S // 4, f"vm-{k}") for i in range(4) for k in range(3)
    )


def test_a_generator_starts_at_its_own_time_but_not_in_the_past() -> None:
    late = scenario(Flip(guest="vm", count=1, interval=5, at=100))
    assert [step.at for step in conversions(late, now=7)] == [100, 105]
    assert [step.at for step in conversions(late, now=200)] == [200, 205]


def test_a_flip_alternates() -> None:
    steps = conversions(scenario(Flip(guest="vm", count=2, interval=3, offset=8 * K, size=16 * K)))
    assert [(step.at, step.to) for step in steps] == [(0, "shared"), (3, "private"), (6, "shared"), (9, "private")]
    assert {(step.offset, step.size) for step in steps} == {(8 * K, 16 * K)}


def test_a_plain_step_stands_for_itself() -> None:
    close = Close(guest="vm", at=5)
    assert list(expand_step(scenario(close), 0, 9)) == [close]


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (512 * M, 64 * M),
        (1 * G, 64 * M),
        (2 * G, 128_851_968),  # 6 % is 128,849,018 bytes, in whole pages
        (16 * G, 1_030_795_264),  # 6 % is 1,030,792,151 bytes, in whole pages
        (32 * G, 1 * G),
        (1 * T, 1 * G),
    ],
)
def test_the_bounce_buffer_is_six_per_cent_clamped(memory: int, size: int) -> None:
    (block,) = conversions(scenario(Swiotlb(guest="vm"), memory=memory))
    assert block.size == size
    assert block.offset % (2 * M) == 0
    low = min(memory, 2 * G)
    assert low - 2 * M < block.offset + block.size <= low


def test_no_bounce_buffer_is_no_step() -> None:
    assert conversions(scenario(Swiotlb(guest="vm", max=0))) == []


def test_a_boot_shares_what_its_parameters_say() -> None:
    boot = Boot(guest="vm", vcpus=100, firmware_pages=7, queues=5, dma_count=11, dma_lifetime=1)
    steps = conversions(scenario(boot))
    shared = [step for step in steps if step.to == "shared"]
    pages = 7 + 2 + 100 + 11  # firmware, the clocks of 100 vCPUs at 64 a page, GHCBs, drivers
    assert sorted(step.size for step in shared) == [4 * K] * pages + [16 * K] * 5 + [1_030_795_264]
    assert len(steps) - len(shared) == 7 + 11


def test_queues_follow_the_virtual_cpus() -> None:
    steps = conversions(scenario(Boot(guest="vm", vcpus=5)))
    assert sum(step.size == 16 * K for step in steps) == 3 * 5 + 1


def test_only_snp_guests_have_ghcbs() -> None:
    boot = Boot(guest="vm", vcpus=50, dma_count=0)
    assert len(conversions(scenario(boot))) - len(conversions(scenario(boot, mapping="tdx"))) == 50


def test_lifetimes_have_their_mean_and_survivors_stay() -> None:
    generator = Scatter(guest="vm", count=20_000, duration=100 * S, lifetime=S)
    born: dict[int, int] = {}
    lives = []
    for step in conversions(scenario(generator)):
        assert step.at is not None
        if step.to == "shared":
            born[step.offset] = step.at
        else:
            lives.append(step.at - born.pop(step.offset))
    assert 0.95 < sum(lives) / len(lives) / S < 1.05
    assert 100 < len(born) < 300  # 200 are alive on average


@given(st.sampled_from(("fixed", "poisson")), st.integers(0, 200), st.integers(0, 10**12), st.integers())
def test_arrivals_are_sorted_and_within_the_time(arrival: Arrival, count: int, duration: int, seed: int) -> None:
    times = list(arrivals(arrival, count, duration, Random(seed)))
    assert len(times) == count
    assert times == sorted(times)
    assert all(0 <= at <= duration for at in times)


def test_poisson_arrivals_are_uniform_over_the_time() -> None:
    times = list(arrivals("poisson", 40_000, 4 * S, Random(1)))
    for quarter in range(4):
        assert 9_700 < sum(quarter * S <= at < (quarter + 1) * S for at in times) < 10_300


@given(st.integers(0, 5), st.integers(1, 40), st.sampled_from((1, 3, 4)), st.data())
def test_a_pool_hands_out_every_place_once(offset: int, places: int, granule: int, data: st.DataObject) -> None:
    rng = Random(data.draw(st.integers(0, 1000)))
    offset *= granule
    size = places * granule
    first = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - first))
    pool = PagePool(offset, size, granule, gap=(offset + first, length))
    free = {
        place
        for place in range(offset, offset + size, granule)
        if not length or place + granule <= offset + first or place >= offset + first + length
    }
    assert pool.free == len(free)
    taken: set[int] = set()
    for take in data.draw(st.lists(st.booleans(), max_size=60)):
        if take and pool.free:
            place = pool.take(rng)
            assert place in free - taken
            taken.add(place)
        elif taken:
            place = data.draw(st.sampled_from(sorted(taken)))
            pool.give_back(place)
            taken.remove(place)
    assert {pool.take(rng) for _ in range(pool.free)} == free - taken
    assert pool.free == 0


def test_places_are_uniform() -> None:
    rng = Random(3)
    counts = [0] * 10
    for _ in range(2000):
        pool = PagePool(0, 10, 1)
        for _ in range(3):
            counts[pool.take(rng)] += 1
    assert all(500 < count < 700 for count in counts)


def test_nothing_is_as_large_as_a_guest_or_a_workload() -> None:
    begin = time.monotonic()
    generator = Scatter(guest="vm", count=100_000_000, duration=1000 * S, lifetime=S)
    steps = list(islice(expand_step(scenario(generator, memory=1 * T, count=64), 0, 0), 1000))
    assert len(steps) == 1000
    assert time.monotonic() - begin < 5


def test_generators_do_not_fail_and_have_names_of_their_own() -> None:
    assert len({generator.key for generator in GENERATORS}) == len(GENERATORS)
    for generator in GENERATORS:
        assert not generator.can_fail
        assert "stagger" in {field.name for field in attrs.fields(generator)}
