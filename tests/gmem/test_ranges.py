# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of pages against sets and lists of pages."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.gmem.ranges import NO_PAGE, PinCounts, RangeSet

PAGES = 24
bounds = st.tuples(st.integers(0, PAGES), st.integers(0, PAGES))
changes = st.lists(st.tuples(bounds, st.booleans()), max_size=12)


block_sizes = st.sampled_from([2, 4, 6, 1024])


def built(steps: list[tuple[tuple[int, int], bool]], block_flips: int = 2) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(block_flips), set[int]()
    for (start, end), member in steps:
        ranges.replace(start, end, member=member)
        model = model | set(range(start, end)) if member else model - set(range(start, end))
    return ranges, model


def runs_of(pages: set[int]) -> list[tuple[int, int]]:
    starts = sorted(page for page in pages if page - 1 not in pages)
    return [(start, next(p for p in range(start, PAGES + 2) if p not in pages)) for start in starts]


@given(changes, bounds, block_sizes)
def test_a_range_set_is_a_set(
    steps: list[tuple[tuple[int, int], bool]], window: tuple[int, int], block_flips: int
) -> None:
    ranges, model = built(steps, block_flips)
    ranges.check()
    assert [page for page in range(PAGES + 1) if page in ranges] == sorted(model)
    assert len(ranges) == len(runs_of(model))
    assert bool(ranges.flips) == bool(model)
    start, end = window
    inside = model & set(range(start, end))
    assert ranges.covers(start, end) == (len(inside) == max(0, end - start))
    assert ranges.disjoint(start, end) == (not inside)
    assert ranges.pages(start, end) == len(inside)
    assert list(ranges.ranges(start, end)) == runs_of(inside)
    assert list(ranges) == runs_of(model)
    assert ranges.total() == len(model)


@given(changes, block_sizes)
def test_flips_are_changes_between_neighbours(steps: list[tuple[tuple[int, int], bool]], block_flips: int) -> None:
    ranges, model = built(steps, block_flips)
    changes = [page for page in range(-1, PAGES + 1) if (page in model) != (page + 1 in model)]
    assert ranges.flips_within(PAGES) == len([page for page in changes if 0 <= page < PAGES - 1])
    assert [ranges.flips_to(page) for page in range(PAGES)] == [
        len([change for change in changes if change < page]) for page in range(PAGES)
    ]


@given(changes, bounds, block_sizes)
def test_around_a_range_there_is_no_member(
    steps: list[tuple[tuple[int, int], bool]], window: tuple[int, int], block_flips: int
) -> None:
    ranges, model = built(steps, block_flips)
    start, end = window
    if start < end:
        low = max([page + 1 for page in model if page < start], default=0)
        high = min([page for page in model if page >= end], default=NO_PAGE)
        assert ranges.around(start, end) == (low, high)


@pytest.mark.parametrize(
    ("start", "end", "around"),
    [
        (0, 1, (0, 3)),
        (3, 9, (0, 12)),
        (4, 5, (4, 5)),
        (9, 12, (9, 12)),
        (12, 20, (9, NO_PAGE)),
        (20, 21, (15, NO_PAGE)),
    ],
)
@pytest.mark.parametrize("block_flips", [2, 1024])
def test_how_far_it_is_to_the_next_members(start: int, end: int, around: tuple[int, int], block_flips: int) -> None:
    ranges, _ = built([((3, 9), True), ((12, 15), True)], block_flips)
    assert ranges.around(start, end) == around


@given(st.lists(st.tuples(bounds, st.sampled_from([1, 1, 2, -1])), max_size=14), bounds)
def test_pin_counts_are_counts(steps: list[tuple[tuple[int, int], int]], window: tuple[int, int]) -> None:
    pins, model = PinCounts(), Counter[int]()
    for (start, end), by in steps:
        if start >= end:
            continue
        if by < 0 and min(model[page] for page in range(start, end)) < -by:
            with pytest.raises(ValueError, match="cannot drop"):
                pins.change(start, end, by)
        else:
            pins.change(start, end, by)
            model.update(dict.fromkeys(range(start, end), by))
        pins.check()
    assert [pins[page] for page in range(PAGES + 1)] == [model[page] for page in range(PAGES + 1)]
    start, end = window
    if start < end:
        assert pins.lowest(start, end) == min(model[page] for page in range(start, end))
        assert pins.first_pinned(start, end) == next((p for p in range(start, end) if model[p]), None)
        spread = {p: count for low, high, count in pins.pinned(start, end) for p in range(low, high)}
        assert spread == {p: model[p] for p in range(start, end) if model[p]}
    assert {p: count for low, high, count in pins for p in range(low, high)} == +model


@pytest.mark.parametrize("block_flips", [2, 4, 6])
@pytest.mark.parametrize("member", [False, True])
def test_one_replacement_in_a_set_of_several_blocks(member: bool, block_flips: int) -> None:
    held = [((start, start + 2), True) for start in range(1, PAGES - 4, 4)]
    for start in range(PAGES - 2):
        for end in range(start + 1, PAGES - 1):
            ranges, model = built([*held, ((start, end), member)], block_flips)
            ranges.check()
            assert list(ranges.ranges(0, PAGES)) == runs_of(model), (start, end)


@pytest.mark.parametrize("member", [False, True])
@pytest.mark.parametrize("held", [[], [(2, 6)], [(2, 6), (8, 9), (11, 15)]])
def test_an_empty_range_and_what_is_not_there_change_nothing(held: list[tuple[int, int]], member: bool) -> None:
    for start in range(PAGES):
        for end in range(start + 1):
            ranges, _ = built([(bounds, True) for bounds in held], 2)
            ranges.replace(start, end, member=member)
            ranges.remove(16, 20)
            assert ranges.disjoint(start, end)
            assert ranges.covers(start, end)
            assert (ranges.pages(start, end), list(ranges.ranges(start, end))) == (0, [])
            ranges.check()
            assert list(ranges.ranges(0, PAGES)) == held


def test_counts_that_are_assigned_join_equal_neighbours() -> None:
    counts = PinCounts()
    counts.assign(4, 8, 2)
    counts.assign(8, 12, 2)
    counts.assign(0, 4, 2)
    counts.assign(20, 24, 3)
    counts.assign(14, 22, 0)
    counts.check()
    assert list(counts) == list(counts.pinned(0, 30)) == [(0, 12, 2), (22, 24, 3)]
    assert (counts.highest(0, 22), counts.highest(0, 23), counts.lowest(0, 12), counts.lowest(0, 13)) == (2, 3, 2, 0)


def test_the_first_page_with_references() -> None:
    counts = PinCounts()
    assert counts.first_pinned(0, 30) is None
    counts.change(10, 12, 1)
    counts.change(20, 22, 1)
    assert [counts.first_pinned(start, 30) for start in (0, 9, 10, 11, 12, 21, 22)] == [10, 10, 10, 11, 20, 21, None]
    assert [counts.first_pinned(0, end) for end in (10, 11)] == [None, 10]
    assert counts.first_pinned(11, 16) == 11
    assert counts.first_pinned(12, 16) is None
    assert counts.first_pinned(9, 30) == 10
    counts.change(5, 6, 1)
    counts.change(5, 6, -1)
    assert counts.first_pinned(4, 9) is None


def test_broken_structures_are_noticed() -> None:
    ranges = RangeSet()
    ranges._blocks.append([3])
    with pytest.raises(AssertionError, match="odd number of flips"):
        ranges.check()
    ranges._blocks[:] = [[3, 5], [5, 7]]
    with pytest.raises(AssertionError, match="out of order"):
        ranges.check()
    pins = PinCounts()
    pins._steps[5] = 0
    with pytest.raises(AssertionError, match="equal neighbours"):
        pins.check()


def test_what_lies_in_several_blocks_is_seen_in_order() -> None:
    held = [(first, first + 3) for first in range(0, 84, 6)]
    found = RangeSet(block_flips=4)
    for low, high in held:
        found.add(low, high)
    assert list(found) == list(found.ranges(0, 84)) == held
    assert found.total() == found.pages(0, 84) == 42
    assert list(found.ranges(7, 74)) == [(7, 9), *held[2:12], (72, 74)]
    for first in range(0, 78, 6):
        found.add(first + 3, first + 4)
        found.remove(first, first + 1)
        found.check()
    assert list(found.ranges(0, 78)) == [(low + 1, high + 1) for low, high in held[:-1]]
    for first in range(72, 0, -6):
        found.add(first - 2, first + 1)
        found.check()
    assert list(found.ranges(0, 78)) == [(1, 76)]


@pytest.mark.parametrize("block_flips", [2, 8, 1024])
def test_what_lies_within_any_bounds_is_seen_in_every_block(block_flips: int) -> None:
    """Also if the bounds begin behind some of the first block."""
    ranges, model = built([((start, start + 2), True) for start in range(1, PAGES, 4)], block_flips)
    for start in range(PAGES):
        for end in range(start, PAGES):
            assert list(ranges.ranges(start, end)) == runs_of(model & {*range(start, end)})


def test_a_change_across_some_of_several_blocks() -> None:
    """From everywhere to everywhere, in a set of seven blocks."""
    for start in range(0, 84, 3):
        for end in range(start + 1, 84, 4):
            for member in (True, False):
                found, pages = RangeSet(block_flips=4), {page for page in range(84) if page % 6 < 3}
                for first in range(0, 84, 6):
                    found.add(first, first + 3)
                found.replace(start, end, member=member)
                found.check()
                pages = pages | {*range(start, end)} if member else pages - {*range(start, end)}
                assert {page for low, high in found.ranges(0, 84) for page in range(low, high)} == pages


def test_no_page_is_in_no_range() -> None:
    found = RangeSet()
    found.add(3, 9)
    for page in range(12):
        assert list(found.ranges(page, page)) == []
        assert found.pages(page, page) == 0
