# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray: nodes, tree, splits, marks.  Knows nothing of folios or guests.

:class:`XArray` (array) is the face, with the kernel's names.  It has a :class:`~gmemsim.xarray.tree.Tree` of what is
in ``node``; ``split``, ``marks``, ``find``, ``check`` and ``dump`` work on that tree; nodes come from an ``allocator``.
``lab`` has what only the comparison with the kernel needs; nothing here imports it.
"""

from gmemsim.xarray.allocator import CountingAllocator, NodeAllocator, Prealloc
from gmemsim.xarray.array import XArray
from gmemsim.xarray.dump import Levels
from gmemsim.xarray.node import INDEX_MAX, ZERO
from gmemsim.xarray.split import KEEP, Profile

__all__ = [
    "INDEX_MAX",
    "KEEP",
    "ZERO",
    "CountingAllocator",
    "Levels",
    "NodeAllocator",
    "Prealloc",
    "Profile",
    "XArray",
]
