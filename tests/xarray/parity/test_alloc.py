# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocating arrays: from 0 (the kernel's ALLOC) and from 1 (ALLOC1)."""

from __future__ import annotations

import pytest

from gmemsim.errors import Busy
from gmemsim.xarray import CountingAllocator, XArray

UINT32_MAX = (1 << 32) - 1


@pytest.fixture(params=[0, 1], ids=["from 0", "from 1"])
def base(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def ids(base: int) -> XArray:
    return XArray(CountingAllocator(), track_free=True, zero_busy=base == 1)


def test_the_lowest_free_id_is_handed_out(ids: XArray, base: int) -> None:
    """Counterpart of check_xa_alloc, check_xa_alloc_1."""
    for _ in range(2):
        assert ids.alloc("x") == base
        ids.erase(base)
        assert ids.empty
    assert [ids.alloc("x") for _ in range(base, 128)] == list(range(base, 128))
    for index in range(base, 128):
        ids.erase(index)
    assert ids.alloc("x") == base
    ids.destroy()
    assert [ids.alloc("x"), ids.alloc("x")] == [base, base + 1]
    ids.erase(base + 1)
    ids.store(base + 1, "stored")
    assert ids.alloc("x") == base + 2, "storing takes an id"
    ids.erase(base)
    assert ids.alloc("x") == base
    ids.erase(base + 1)
    ids.erase(base + 2)
    assert [ids.alloc("x") for _ in range(1, 5000)] == list(range(base + 1, base + 5000))
    ids.check()


def test_limits(ids: XArray) -> None:
    """Counterpart of check_xa_alloc_1."""
    assert [ids.alloc("x", UINT32_MAX - 1, UINT32_MAX) for _ in range(2)] == [UINT32_MAX - 1, UINT32_MAX]
    with pytest.raises(Busy):
        ids.alloc("x", UINT32_MAX - 1, UINT32_MAX)
    ids.destroy()
    for entry in (None, "x"):
        if entry is not None:
            ids.store(3, entry)
        with pytest.raises(Busy):
            ids.alloc("x", 10, 5)
    ids.erase(3)
    assert ids.empty


def test_ids_without_an_entry(ids: XArray, base: int) -> None:
    """Counterpart of check_xa_alloc_2."""
    assert ids.alloc(None) == base
    assert not ids.empty
    assert ids.erase(base) is None
    assert ids.empty
    ids.alloc(None)
    ids.destroy()
    assert ids.empty
    assert [ids.alloc(None) for _ in range(10)] == list(range(base, base + 10))
    assert ids.store(3, 3) is None
    assert ids.store(4, 4) is None
    assert ids.store(4, None) == 4, "the id stays taken"
    assert ids.erase(5) is None
    assert ids.alloc(None) == 5
    assert ids.find(0) == (3, 3)
    assert ids.find_after(3) is None
    ids.erase(3)
    for index in range(base, base + 9):
        assert ids.erase(index) is None
        assert not ids.empty
    assert ids.erase(base + 9) is None
    assert ids.empty


def test_cyclic_ids_wrap_around(ids: XArray, base: int) -> None:
    """Counterpart of check_xa_alloc_3."""
    assert ids.alloc_cyclic("x", 0, 1, 0x3FFF) == (1, False)
    assert ids.alloc_cyclic("x", 0x3FFD, 1, 0x3FFF) == (0x3FFD, False)
    ids.erase(0x3FFD)
    ids.erase(1)
    assert ids.empty
    following, got = 0x3FFE, []
    for _ in range(5):
        index, wrapped = ids.alloc_cyclic("x", following, 1, 0x3FFF)
        got.append((index, wrapped))
        following = index + 1
    assert got == [(0x3FFE, False), (0x3FFF, False), (1, True), (2, False), (3, False)]
    for index in (base, base + 1):
        ids.erase(index)
    assert ids.alloc_cyclic("x", UINT32_MAX) == (UINT32_MAX, False)
    assert ids.alloc_cyclic("x", UINT32_MAX + 1) == (base, True)
    assert ids.alloc_cyclic("x", base + 1) == (base + 1, False)
    for index, _, _ in list(ids.entries()):
        ids.erase(index)
    assert ids.empty
