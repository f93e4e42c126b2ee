# SPDX-License-Identifier: GPL-2.0-or-later
"""Every known difference from the kernel's XArray, shown and explained (the page is KERNEL_DIFFERENCES.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmemsim.errors import Invalid, OutOfMemory
from gmemsim.xarray import XArray
from gmemsim.xarray.lab.interpreter import Interpreter
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import NO_MARKS, Node, chunk_of
from tests.xarray import differences
from tests.xarray.catalogue import DIFFERENCES, ODDITIES, Difference, Oddity
from tests.xarray.differences import FIGURES, unexplained
from tests.xarray.imitation import MISTAKES, imitating
from tests.xarray.traces import QUIRKY, read

EAGER = pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.key)
class TestDifference:
    def test_ours_is_not_the_kernels(self, difference: Difference) -> None:
        lazy = differences.ours(difference.records)
        assert lazy == differences.ours(difference.records, eager=True)
        assert lazy != [record.results for record in difference.records]

    def test_ours_keeps_every_invariant(self, difference: Difference) -> None:
        """check() counts children, values and marks itself: what the kernel gets wrong here, ours has right."""
        interpreter = Interpreter()
        for record in difference.records:
            interpreter.execute(record.operation)
            interpreter.array.check()


RECORDED = [difference for difference in DIFFERENCES if not difference.known_from.startswith("FORMAT.md")]
IMITATED = [difference for difference in DIFFERENCES if difference.mistake is not None]


@pytest.mark.parametrize("difference", RECORDED, ids=lambda difference: difference.key)
def test_the_kernels_lines_were_recorded(difference: Difference) -> None:
    """The trace is a contiguous part of the recorded one, results included."""
    (path,) = [path for path in QUIRKY if path.stem == difference.known_from]
    recorded = [(record.operation, record.results) for record in read(path)]
    wanted = [(record.operation, record.results) for record in difference.records]
    parts = [recorded[start : start + len(wanted)] for start in range(len(recorded))]
    assert wanted in parts, f"{difference.key} is not part of {path.name}"


@pytest.mark.parametrize("difference", IMITATED, ids=lambda difference: difference.key)
def test_the_kernels_lines_come_from_the_mistake(difference: Difference) -> None:
    assert difference.mistake is not None
    make = imitating(frozenset({difference.mistake}))
    assert list(unexplained(difference.records, make)) == []


@EAGER
@pytest.mark.parametrize("path", QUIRKY, ids=lambda path: path.stem)
def test_three_mistakes_explain_every_line_of_every_quirk_trace(path: Path, eager: bool) -> None:
    assert list(unexplained(read(path), imitating(frozenset(MISTAKES)), eager=eager)) == []


def test_the_quirk_traces_are_there() -> None:
    assert len(QUIRKY) == 23


def test_without_mistakes_the_imitation_is_ours() -> None:
    """Otherwise the proof above would prove something about the imitation only."""
    make = imitating(frozenset())
    for path in QUIRKY:
        trace = read(path)
        assert differences.ours(trace, make=make) == differences.ours(trace)


def test_every_mistake_is_needed() -> None:
    needed = {mistake for path in QUIRKY for mistake in differences.report(path).needed}
    assert needed == set(MISTAKES)


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.key)
class TestOddity:
    @EAGER
    def test_ours_does_as_the_kernel(self, oddity: Oddity, eager: bool) -> None:
        assert differences.ours(oddity.records, eager=eager) == [record.results for record in oddity.records]

    @pytest.mark.oracle
    def test_the_kernel_does_so(self, oddity: Oddity) -> None:
        """The live kernel answers what the page says it answers (make oracle)."""
        kernel = pytest.importorskip("tests.oracle.kernel")
        try:
            answers = kernel.replay([record.operation for record in oddity.records])
        except kernel.OracleError as error:
            pytest.skip(str(error))
        assert answers == [record.results for record in oddity.records]


@EAGER
def test_a_split_from_any_index_of_the_entry_gives_the_same_tree(eager: bool) -> None:
    """Point 1 of the list: at every index of an order-9 entry, and at the last index of a node."""

    def split_at(index: int, base: int) -> str:
        xa = XArray(eager=eager)
        for place in range(8):
            xa.store_order(place << 9, 9, f"p{place}")
        with xa.split_alloc(index, 9, 0) as prealloc:
            xa.split(index, 9, 0, prealloc=prealloc)
        xa.check()
        assert [xa.load(place << 9) for place in range(8)] == [f"p{place}" for place in range(8)]
        assert [place << 9 for place in range(8) if xa.get_order(place << 9) == 0] == [base]
        return xa.dump()

    for base in (0, 3 << 9, 7 << 9):
        expected = split_at(base, base)
        for index in (*range(base, base + 512, 1 if not eager and not base else 37), base + 511):
            assert split_at(index, base) == expected


def test_the_observer_hears_of_every_new_node() -> None:
    """The list has all 4096 leaves, which hold nothing but values, and no other node."""
    lru = ValueNodeLru()
    xa = XArray(observer=lru)
    xa.store_order(0, 18, 7)
    before = lru.updates
    with xa.split_alloc(0, 18, 0) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    assert lru.updates - before == 1 + 4161
    assert lru.size == 4096


def test_the_number_of_nodes_does_not_wrap() -> None:
    chunk = chunk_of(6)
    assert differences.wrapped(37) == chunk.nodes_needed(37, 0)
    assert differences.wrapped(38) < chunk.nodes_needed(38, 0) == 4 * (64**6 - 1) // 63
    assert chunk.nodes_needed(63, 0) == 8 * (64**10 - 1) // 63


@EAGER
def test_no_mark_is_touched_where_none_is_set(eager: bool) -> None:
    xa = XArray(eager=eager)
    xa.store_order(0, 18, "p1")
    with xa.split_alloc(0, 18, 0) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    assert isinstance(xa.tree.head, Node)
    assert xa.tree.head.marks == NO_MARKS


@pytest.mark.parametrize("order", range(1, 25))
def test_profile_of_todays_kernels_splits_one_level(order: int) -> None:
    """What the guard of upstream's xas_split_alloc lets through: new shift + 2 * 6 > order."""
    xa = XArray(profile="v6.15")
    xa.store_order(0, order, "p1")
    for new_order in range(order):
        if new_order // 6 * 6 + 12 > order:
            with xa.split_alloc(0, order, new_order) as prealloc:
                assert prealloc.taken == xa.nodes_needed(order, new_order)
        else:
            with pytest.raises(OutOfMemory):
                xa.split_alloc(0, order, new_order)


def test_try_split_takes_one_node_or_none() -> None:
    for order in range(1, 25):
        for new_order in range(order):
            xa = XArray()
            xa.store_order(0, order, "p1")
            same_level = order // 6 == new_order // 6
            if same_level or (order % 6 == 0 and new_order == order - 1):
                assert xa.try_split(0, order, new_order).used == (0 if same_level else 1)
                assert xa.get_order(0) == new_order
            else:
                with pytest.raises(Invalid):
                    xa.try_split(0, order, new_order)
                assert xa.get_order(0) == order


def test_keys_are_unique() -> None:
    keys = [item.key for item in (*DIFFERENCES, *FIGURES, *ODDITIES)]
    assert len(keys) == len(set(keys))


def test_the_page_is_up_to_date() -> None:
    assert differences.page() == differences.PAGE.read_text(), "run python -m tests.xarray.differences"
