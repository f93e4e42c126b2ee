# SPDX-License-Identifier: GPL-2.0-or-later
"""Halving around an index in one go, against the splits from order to order that it stands for."""

from collections import Counter
from typing import final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import Invalid
from gmemsim.xarray import XArray
from gmemsim.xarray.node import Node, NodeLike


@final
class Seen:
    """An observer that counts what it is told."""

    def __init__(self) -> None:
        self.told: Counter[tuple[str, int, int, int]] = Counter()

    def updated(self, node: NodeLike, copies: int) -> None:
        self.told["updated", node.shift, node.count, node.nr_values] += copies

    def freed(self, node: NodeLike, copies: int) -> None:
        self.told["freed", node.shift, node.count, node.nr_values] += copies

    def opened(self, node: Node) -> None:
        self.told["opened", node.shift, node.count, node.nr_values] += 1


def arrays(shift: int, eager: bool, observed: bool) -> list[tuple[XArray, Seen]]:
    seen = [Seen(), Seen()]
    return [(XArray(chunk_shift=shift, eager=eager, observer=s if observed else None), s) for s in seen]


@given(st.data(), st.sampled_from([1, 2, 3, 6]), st.booleans(), st.booleans(), st.booleans())
def test_halving_is_the_chain_of_splits(
    data: st.DataObject, shift: int, eager: bool, observed: bool, marked: bool
) -> None:
    order = data.draw(st.integers(1, 14))
    new_order = data.draw(st.integers(0, order - 1))
    base = data.draw(st.integers(0, 3)) << order
    index = base + data.draw(st.integers(0, (1 << order) - 1))
    entry = data.draw(st.sampled_from(["a pointer", 5]))
    (once, once_seen), (chain, chain_seen) = both = arrays(shift, eager, observed)
    for array, _ in both:
        array.store_order(base, order, entry)
        array.store_order(base ^ 1 << order, order, "its neighbour")
        if marked:
            array.set_mark(base, 1)
    nodes = sum([once.nodes_needed(above, above - 1) for above in range(order, new_order, -1)])
    with once.preallocate(nodes) as taken:
        once.halve(index, order, new_order, prealloc=taken)
    with chain.preallocate(nodes) as taken_by_chain:
        for above in range(order, new_order, -1):
            chain.split(index, above, above - 1, prealloc=taken_by_chain)
    assert (taken.used, taken.available) == (taken_by_chain.used, taken_by_chain.available)
    assert once_seen.told == chain_seen.told
    for above in range(new_order, order + 1):  # and what comes after it finds the same
        for array, _ in both:
            if above > new_order:
                array.store_order(index, above, entry)
            array.check()
        assert (once.nodes, once.dump()) == (chain.nodes, chain.dump())


def test_what_cannot_be_halved_is_left_alone() -> None:
    array = XArray()
    array.store_order(0, 18, "a 1G folio")
    before = array.dump()
    with array.preallocate(2) as too_few:
        for order, new_order, message in ((18, 0, "3 nodes are needed"), (12, 0, "order 18"), (18, 18, "cannot split")):
            with pytest.raises(Invalid, match=message):
                array.halve(4711, order, new_order, prealloc=too_few)
    assert array.dump() == before


def test_a_split_that_is_refused_opens_no_more_than_the_way_to_its_level() -> None:
    xa = XArray(observer=(seen := Seen()))
    xa.store_order(0, 18, "a")
    with xa.preallocate(xa.nodes_needed(18, 0)) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    seen.told.clear()
    with xa.preallocate(xa.nodes_needed(12, 0)) as prealloc, pytest.raises(Invalid):
        xa.split(0, 12, 0, prealloc=prealloc)
    assert [shift for what, shift, _, _ in seen.told if what == "opened"] == [12]
