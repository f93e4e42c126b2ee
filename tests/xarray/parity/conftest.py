# SPDX-License-Identifier: GPL-2.0-or-later
"""The array that most counterparts use: lazy and eager, checked at the end, with no node left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gmemsim.xarray import CountingAllocator, XArray


@pytest.fixture
def allocator() -> CountingAllocator:
    return CountingAllocator()


@pytest.fixture(params=[False, True], ids=["lazy", "eager"])
def xa(request: pytest.FixtureRequest, allocator: CountingAllocator) -> Iterator[XArray]:
    array = XArray(allocator, eager=request.param)
    yield array
    array.check()
    array.destroy()
    assert array.empty
    assert allocator.live == 0
