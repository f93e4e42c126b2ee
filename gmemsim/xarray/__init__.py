# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray: nodes, tree, splits, marks.  Knows nothing of folios or guests."""

from gmemsim.xarray.allocator import CountingAllocator, NodeAllocator
from gmemsim.xarray.array import XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import ZERO
from gmemsim.xarray.split import KEEP, Prealloc, Profile
from gmemsim.xarray.tree import INDEX_MAX

__all__ = [
    "INDEX_MAX",
    "KEEP",
    "ZERO",
    "CountingAllocator",
    "Cursor",
    "NodeAllocator",
    "Prealloc",
    "Profile",
    "ValueNodeLru",
    "XArray",
]
