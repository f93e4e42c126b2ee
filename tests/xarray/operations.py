# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on arrays as data: executed on any XArray, and drawn by Hypothesis."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from gmemsim.errors import KernelError
from gmemsim.xarray import INDEX_MAX, KEEP, ZERO, XArray
from gmemsim.xarray.find import PresentWalk
from gmemsim.xarray.node import MARKS
from tests.xarray.model import Listing

FAR = 1 << 45
"""A place far from index 0, so that trees are high."""

Operation = tuple[str, tuple[object, ...]]
"""The name of an operation and its arguments."""


@attrs.frozen
class Pointer:
    """An entry that is not a value."""

    number: int

    def __str__(self) -> str:
        return f"p{self.number}"


POINTERS = tuple(Pointer(number) for number in range(4))
ENTRIES: tuple[object, ...] = (*POINTERS, 0, 1, 77)


def execute(xa: XArray, operation: Operation) -> object:
    """Do it: what it returns, or the name of the errno."""
    name, arguments = operation
    try:
        if name == "split":
            index, order, new_order, entry = arguments
            assert isinstance(index, int)
            assert isinstance(order, int)
            assert isinstance(new_order, int)
            with xa.split_alloc(index, order, new_order) as prealloc:
                xa.split(index, order, new_order, entry, prealloc=prealloc)
            return "taken", prealloc.taken, "used", prealloc.used
        result = getattr(xa, name)(*arguments)
    except KernelError as error:
        return error.name
    if name == "try_split":
        return "taken", result.taken, "used", result.used
    if name in ("entries", "conflicts", "runs"):
        return list(result)
    return result


def listing(xa: XArray) -> Listing:
    """Everything that is stored: first index, order, entry, marks."""
    found = []
    walk = PresentWalk(xa.tree, 0, INDEX_MAX)
    while walk.advance():
        found.append((walk.base, walk.order, walk.entry, tuple(walk.marked(mark) for mark in range(MARKS))))
    return found


@attrs.frozen
class Space:
    """What the arguments of operations on a tree of ``chunk_shift`` are drawn from."""

    chunk_shift: int
    max_order: int

    @property
    def orders(self) -> st.SearchStrategy[int]:
        return st.integers(0, self.max_order)

    @property
    def indices(self) -> st.SearchStrategy[int]:
        """Places that meet each other: near multiples of small orders, in three regions."""
        top = INDEX_MAX + 1 - (1 << self.max_order + 1)
        return st.builds(
            lambda region, number, order, offset: min(region + (number << order) + offset, INDEX_MAX),
            st.sampled_from([0, 0, 0, FAR, top]),
            st.integers(0, 3),
            self.orders,
            st.integers(0, 2),
        )

    @property
    def entries(self) -> st.SearchStrategy[object]:
        return st.sampled_from(ENTRIES)

    @property
    def new_entries(self) -> st.SearchStrategy[object]:
        return st.sampled_from([KEEP, KEEP, *ENTRIES])


MARK = st.integers(0, MARKS - 1)
ENTRY_OR_NONE = st.sampled_from([None, *ENTRIES])
CURRENT = st.sampled_from([None, ZERO, *ENTRIES])
