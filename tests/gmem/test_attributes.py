# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes: exact ranges, and node figures that keep to everything measured on lib/maple_tree.c (DOMAIN.md, 3)."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.attributes import SLOTS_PER_LEAF, Attributes, node_bounds, node_estimate, preallocation
from gmemsim.host.ledger import Holder
from tests.gmem.worlds import make_host

MEASURED = [
    (201, 16, 20),
    (2001, 167, 169),
    (20_001, 1674, 1693),
    (200_001, 16_905, 16_905),
    (2_000_001, 168_300, 168_300),
]
"""Ranges of a file with so many random shared pages, and the least and most nodes that were measured."""


def holder() -> Holder:
    return make_host().ledger.holder("attributes", "vm0")


@pytest.mark.parametrize(("ranges", "least", "most"), MEASURED)
def test_measured_trees_lie_within_the_bounds_and_near_the_estimate(ranges: int, least: int, most: int) -> None:
    low, high = node_bounds(ranges)
    assert low <= least <= most <= high
    assert 0.71 * most <= node_estimate(ranges) <= 1.29 * least


@pytest.mark.parametrize("per_range", [0.0714, 0.0845, 0.092, 0.110])
@pytest.mark.parametrize("ranges", [1_000, 20_000, 1_000_000])
def test_every_workload_measured_is_within_29_percent(ranges: int, per_range: float) -> None:
    measured = per_range * ranges
    low, high = node_bounds(ranges)
    assert low <= measured <= high
    assert abs(node_estimate(ranges) - measured) <= 0.29 * measured + 1


def test_bounds_are_the_sums_level_by_level() -> None:
    assert node_bounds(1) == (1, 1)  # two slots, one leaf
    assert node_bounds(15) == (1, 3)  # 16 slots fill a leaf; seven a leaf make two and a root
    assert node_bounds(16) == (3, 3)
    assert node_bounds(255) == (17, 36 + 5 + 1)
    assert node_bounds(256) == (17 + 2 + 1, 36 + 5 + 1)


def test_the_estimate_keeps_to_the_bounds() -> None:
    for ranges in [*range(1, 3000), 10**5, 10**6, 10**7]:
        low, high = node_bounds(ranges)
        assert low <= node_estimate(ranges) <= high


def test_preallocation() -> None:
    assert preallocation(1) == 1
    assert preallocation(13) == 1  # 14 slots in use leave room for two more
    assert preallocation(14) == 3  # one level: 2h + 1
    assert preallocation(16) == 5
    assert preallocation(255) == 5
    assert preallocation(256) == 7


@pytest.mark.parametrize(("pages", "nodes"), [(1, 0), (2, 1), (1 << 30, 1)])
def test_a_new_file(pages: int, nodes: int) -> None:
    held = holder()
    attributes = Attributes(pages, held)
    assert held.live == nodes
    assert attributes.ranges == 1
    attributes.release()
    assert held.live == 0


def test_ranges_are_counted_and_nodes_follow() -> None:
    held = holder()
    attributes = Attributes(1000, held)
    for number in range(1, 20):
        store(attributes, 4 * number, 4 * number + 1, shared=True)
        assert attributes.ranges == 2 * number + 1
        assert held.live - held.deferred == node_estimate(2 * number + 1)
        attributes.check()
    store(attributes, 0, 40, shared=True)
    assert attributes.ranges == 2 + 2 * 9
    store(attributes, 0, 1000, shared=True)
    assert (attributes.ranges, held.live - held.deferred) == (1, 1)


def store(attributes: Attributes, start: int, end: int, *, shared: bool) -> None:
    attributes.store(start, end, shared=shared, preallocated=attributes.preallocate(0, 1))


@given(
    st.integers(2, 40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40), st.booleans()), max_size=30),
    st.booleans(),
)
def test_attributes_against_a_list(pages: int, steps: list[tuple[int, int, bool]], initially: bool) -> None:
    attributes, model = Attributes(pages, holder(), shared=initially), [initially] * pages
    for first, length, shared in steps:
        start, end = first % pages, min(pages, first % pages + length)
        differing = [page for page in range(start, end) if model[page] != shared]
        found = attributes.differing(start, end, shared=shared)
        assert [page for low, high in found for page in range(low, high)] == differing
        assert attributes.all_are(start, end, shared=shared) == (not differing)
        store(attributes, start, end, shared=shared)
        model[start:end] = [shared] * (end - start)
        attributes.check()
        assert [attributes.is_shared(page) for page in range(pages)] == model
        assert attributes.ranges == 1 + sum(a != b for a, b in pairwise(model))
        assert attributes.all_private(start, end) == (not any(model[start:end]))


def test_random_shared_pages_need_the_estimated_nodes_and_one_when_all_are_back() -> None:
    held, pages = holder(), 1 << 18
    attributes = Attributes(pages, held)
    for page in Random(1).sample(range(1, pages - 1, 2), 1000):
        store(attributes, page, page + 1, shared=True)
    attributes.check()
    assert 120 <= held.live - held.deferred <= 218  # 167 to 169 measured, ±29 %
    store(attributes, 0, pages, shared=False)
    assert held.live - held.deferred == 1


def test_nodes_that_were_in_use_wait_for_a_grace_period_surplus_does_not() -> None:
    host = make_host()
    held = host.ledger.holder("attributes", "vm0")
    attributes = Attributes(1000, held)
    for page in range(1, 60, 2):
        store(attributes, page, page + 1, shared=True)
    assert held.deferred == 0
    in_use = held.live
    store(attributes, 0, 1000, shared=False)
    assert (held.live, held.deferred) == (in_use, in_use - 1)


@pytest.mark.parametrize("scattered", range(12))
def test_several_preallocations_are_kept_apart(scattered: int) -> None:
    held = holder()
    attributes = Attributes(1 << 20, held)
    for page in range(1, 2 * scattered, 2):
        store(attributes, page, page + 1, shared=True)
    preallocated = [attributes.preallocate(0, 1) for _ in range(5)]
    for i, nodes in enumerate(preallocated):  # the pieces of one conversion touch, so there are two more ranges at most
        attributes.store(100 + i, 101 + i, shared=True, preallocated=nodes)
        assert held.live - held.deferred == sum(preallocated[i + 1 :]) + node_estimate(attributes.ranges)
    assert held.deferred == 0
    attributes.check()


def test_a_preallocation_that_nobody_used_is_noticed() -> None:
    attributes = Attributes(1 << 20, holder())
    nodes = attributes.preallocate(0, 1)
    with pytest.raises(AssertionError, match="not given back"):
        attributes.check()
    attributes.give_back(nodes)
    attributes.check()


def test_a_preallocation_that_fails_holds_nothing() -> None:
    host = make_host()
    held = host.ledger.holder("attributes", "vm0")
    attributes = Attributes(1 << 20, held)
    for page in range(1, 41, 2):
        store(attributes, page, page + 1, shared=True)
    before = held.live
    for failing in range(1, preallocation(attributes.ranges) + 1):
        host.ledger.inject("attributes", failing)
        with pytest.raises(OutOfMemory):
            attributes.preallocate(0, 1)
        assert held.live == before


def test_a_store_that_leaves_the_map_as_it_is_needs_no_node() -> None:
    attributes = Attributes(512, nodes := holder())
    attributes.store(0, 512, shared=False, preallocated=0)
    assert nodes.live == 1
    attributes.check()


def test_a_store_spans_if_its_ends_lie_in_different_leaves() -> None:
    """Every second page is shared, so each page begins a range: page 11 is in the second leaf."""
    attributes = Attributes(512, holder())
    for page in range(0, 80, 2):
        attributes.store(page, page + 1, shared=True, preallocated=attributes.preallocate(page, page + 1))
    ranges = attributes.ranges
    for start in range(40):
        for end in range(start + 1, 60):
            nodes = attributes.preallocate(start, end)
            attributes.give_back(nodes)
            crosses = (start + 1) // SLOTS_PER_LEAF != end // SLOTS_PER_LEAF
            assert nodes == preallocation(ranges, spanning=crosses)


def test_ranges_that_are_broken_or_outside_of_the_file_are_noticed() -> None:
    attributes = Attributes(1000, holder())
    store(attributes, 0, 1000, shared=True)
    attributes.check()
    attributes._shared.flips += 1
    with pytest.raises(AssertionError, match="3 flips counted"):
        attributes.check()
    for start, end in ((-1, 0), (1000, 1001)):
        attributes = Attributes(1000, holder())
        attributes._shared.add(start, end)
        with pytest.raises(AssertionError, match="that the file of 1000 does not have"):
            attributes.check()
