# SPDX-License-Identifier: GPL-2.0-or-later
"""Our side of the comparison: the trace interpreter, and an array whose changes an observer is told of.

The kernel's side has the update callback of mm/workingset.c (tree.c), ours the observer of gmemsim/xarray/lab/lru.py.
What is compared is how many nodes are on the list of each, which is what such a callback is for.
"""

from __future__ import annotations

from gmemsim.xarray import XArray
from gmemsim.xarray.lab.interpreter import Interpreter
from gmemsim.xarray.lab.lru import ValueNodeLru

CHANGES = frozenset({"store", "store_order", "erase", "split", "try_split", "set_mark", "clear_mark"})
"""What a watched array is changed by; everything else that changes one takes no callback in the kernel."""

LOOKS = frozenset({"load", "get_order", "get_mark", "marked", "find", "find_after", "empty"})
"""What one is asked."""

REPORTS = frozenset({"hash", "dump", "list", "count", "listed"})
"""What shows one."""

OTHERS = frozenset({"fail_after", "destroy", "new"})

ALLOWED = CHANGES | LOOKS | REPORTS | OTHERS
"""Operations on a watched array."""


class WatchedInterpreter(Interpreter):
    """The interpreter of traces with two more operations, ``watch`` and ``listed`` (driver.c says what they do)."""

    def __init__(self, *, eager: bool) -> None:
        self._lru = ValueNodeLru()
        super().__init__(eager=eager)

    def execute(self, operation: str) -> list[str]:
        """Execute one operation; see :meth:`gmemsim.xarray.lab.interpreter.Interpreter.execute`."""
        if operation == "watch":
            self._lru = ValueNodeLru()
            self.array = XArray(self.allocator, eager=self._eager, observer=self._lru)
            return ["ok"]
        if operation == "listed":
            return [f"listed={self._lru.size}"]
        return super().execute(operation)
