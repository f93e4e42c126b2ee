# SPDX-License-Identifier: GPL-2.0-or-later
"""What an array refuses, with the kernel's errno, and leaves as it was; and how its constants show themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gmemsim.errors import Invalid
from gmemsim.xarray import XArray
from gmemsim.xarray.node import INDEX_BITS, INDEX_MAX, ZERO, chunk_of
from gmemsim.xarray.split import KEEP

CALLS: dict[str, Callable[[XArray], object]] = {
    "a range that ends before it starts": lambda array: array.store_range(5, 4, "x"),
    "a free index where none are tracked": lambda array: array.alloc("x"),
    "an order above the index": lambda array: array.store_order(0, INDEX_BITS + 1, "x"),
    "a negative order": lambda array: array.store_order(0, -1, "x"),
    "an order at an index beyond the last": lambda array: array.store_order(INDEX_MAX + 1, 0, "x"),
    "a split at an index beyond the last": lambda array: array.split_alloc(INDEX_MAX + 1, 9, 0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_makes_no_sense_changes_nothing(call: Callable[[XArray], object]) -> None:
    array = XArray()
    array.store(3, "there")
    before = array.dump()
    with pytest.raises((Invalid, ValueError)):
        call(array)
    assert array.dump() == before
    array.check()


def test_nothing_stored_erases() -> None:
    array = XArray()
    array.store(3, "there")
    assert array.store(3, None) == "there"
    assert (array.load(3), array.nodes) == (None, 0)


@pytest.mark.parametrize("shift", [0, 7])
def test_a_node_has_2_to_64_slots(shift: int) -> None:
    with pytest.raises(ValueError, match=f"chunk shift is {shift}, expected 1 to 6"):
        chunk_of(shift)


def test_constants_show_their_names() -> None:
    assert (repr(ZERO), repr(KEEP)) == ("ZERO", "KEEP")
