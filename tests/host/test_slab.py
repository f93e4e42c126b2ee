# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.gmem.rules import GENERATIONS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import PAGE_SIZES
from gmemsim.host.ledger import Ledger
from gmemsim.host.slab import Slab, object_sizes, slab_of


@pytest.mark.parametrize(
    ("object_bytes", "objects", "slab_bytes"),
    [
        (576, 28, 16 << 10),  # radix_tree_node (DOMAIN.md section 2)
        (256, 32, 8 << 10),  # maple_node
        (64, 64, 4096),  # kmalloc-64
        (32, 128, 4096),  # kmalloc-32
        (80, 51, 4096),
        (4096, 8, 32 << 10),  # no slab beyond order 3
        (1344, 24, 32 << 10),
    ],
)
def test_slabs_are_those_of_a_machine_with_16_cpus(object_bytes: int, objects: int, slab_bytes: int) -> None:
    assert Slab.holding(object_bytes) == Slab(object_bytes, objects, slab_bytes)


def test_nodes_fill_16k_slabs_with_larger_pages_too() -> None:
    assert Slab.holding(576, 16 << 10) == Slab(576, 28, 16 << 10)


@pytest.mark.parametrize(("live", "slabs"), [(0, 0), (1, 1), (28, 1), (29, 2), (4161, 149)])
def test_slabs_of_nodes(live: int, slabs: int) -> None:
    nodes = slab_of("filemap_nodes")
    assert nodes.slabs_for(live) == slabs
    assert nodes.bytes_for(live) == slabs * 16384


def test_pages_have_no_slab_waste() -> None:
    assert slab_of("vmemmap").bytes_for(4095) == 16_773_120
    assert slab_of("stage2_page_tables", 16 << 10).bytes_for(3) == 3 * (16 << 10)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_every_account_has_a_size(page_size: int) -> None:
    sizes = object_sizes(page_size)
    assert sizes.keys() == set(ACCOUNTS)
    assert Ledger(sizes).holder("vmemmap", "vm0").object_bytes == page_size


def test_generations_differ_in_their_metadata() -> None:
    assert GENERATIONS["A"].metadata_bytes == 64
    assert GENERATIONS["B"].metadata_bytes == slab_of("folio_metadata").object_bytes == 32


@pytest.mark.parametrize("object_bytes", [0, -1, 4097])
def test_objects_that_fit_no_page_are_refused(object_bytes: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Slab.holding(object_bytes)


def test_a_slab_has_room_for_24_objects() -> None:
    assert [Slab.holding(size).slab_bytes for size in (170, 171)] == [4096, 8192]
    assert Slab.holding(170).objects == 24


@given(st.integers(1, 4096), st.integers(0, 10**9), st.sampled_from(PAGE_SIZES))
def test_slabs_are_enough_and_none_is_empty(object_bytes: int, live: int, page_size: int) -> None:
    slab = Slab.holding(object_bytes, page_size)
    assert slab.objects * object_bytes <= slab.slab_bytes
    assert slab.bytes_for(live) >= live * object_bytes
    assert (slab.slabs_for(live) - 1) * slab.objects < max(live, 1)
