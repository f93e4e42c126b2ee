# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries stored side by side in one call are what stores of each leave, and need no more nodes than foretold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import OutOfMemory
from gmemsim.xarray import CountingAllocator, XArray

SPACE = 512
"""Indices that are used: three levels at a chunk shift of 3."""

entry = st.sampled_from(["a", "b", 7, 8])
stored = st.lists(st.tuples(st.integers(0, SPACE - 1), st.integers(0, 5), entry), max_size=6)


def filled(before: list[tuple[int, int, object]], *, fails: int, track_free: bool = False) -> XArray:
    """An array with ``before`` in it, whose ``fails``-th node from now on cannot be had (0: all can)."""
    allocator = CountingAllocator()
    xa = XArray(allocator, chunk_shift=3, track_free=track_free)
    for index, order, old in before:
        xa.store_order(index, order, old)
    allocator.fail_after(fails, times=2)
    return xa


def after(xa: XArray, stores: list[tuple[int, int, list[object]]]) -> tuple[str, bool, int, int]:
    """Dump, whether memory ran out, nodes taken and given back."""
    failed = False
    try:
        for index, order, entries in stores:
            xa.store_run(index, order, entries)
    except OutOfMemory:
        failed = True
    xa.check()
    allocator = xa.allocator
    assert isinstance(allocator, CountingAllocator)
    return xa.dump(), failed, allocator.allocs, allocator.frees


@given(stored, st.integers(0, SPACE - 1), st.integers(0, 5), st.lists(entry, max_size=70), st.integers(0, 6))
def test_a_run_is_its_stores(
    before: list[tuple[int, int, object]], index: int, order: int, entries: list[object], fails: int
) -> None:
    start = index >> order << order
    singly = [(start + (number << order), order, [one]) for number, one in enumerate(entries)]
    for track_free in (False, True):
        one_by_one = filled(before, fails=fails, track_free=track_free)
        failed = False
        try:
            for place, _, (one,) in singly:
                one_by_one.store_order(place, order, one)
        except OutOfMemory:
            failed = True
        run = after(filled(before, fails=fails, track_free=track_free), [(index, order, entries)])
        assert run[:2] == (one_by_one.dump(), failed)
        assert run == after(one_by_one, []) or failed
        if not before and not fails and entries:
            assert run[2] <= one_by_one.chunk.most_nodes(start, order, len(entries))
