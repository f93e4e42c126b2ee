# SPDX-License-Identifier: GPL-2.0-or-later
"""Operation traces: the text format by which two XArrays are compared (tests/golden/FORMAT.md).

An :class:`Interpreter` holds one array at a time and executes one operation a call; it answers with the lines that the
kernel's own lib/xarray.c, driven by the same operations, would give.  Reading files and comparing is left to callers.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from gmemsim.errors import GmemsimError, Invalid, KernelError, OutOfMemory
from gmemsim.messages import quote
from gmemsim.xarray.allocator import CountingAllocator, Prealloc
from gmemsim.xarray.array import XArray
from gmemsim.xarray.dump import summary, token
from gmemsim.xarray.find import PresentWalk
from gmemsim.xarray.node import INDEX_BITS, INDEX_MAX, MARKS, ZERO
from gmemsim.xarray.split import KEEP
from gmemsim.xarray.tree import Tree


class TraceError(GmemsimError):
    """An operation that cannot be read: ``column`` (from 1, within the operation) is where, ``message`` what."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


@attrs.frozen
class Pointer:
    """An ordinary pointer entry, ``pN`` in a trace, N being its ``number``."""

    number: int

    def __str__(self) -> str:
        return f"p{self.number}"


VALUE_MAX = (1 << 63) - 1
"""Value entries have one bit less than a word (``xa_mk_value``, include/linux/xarray.h)."""


class Interpreter:
    """Executes trace operations on an ``array`` of its own, lazily or with ``eager`` nodes (default: lazily).

    ``make`` makes an array, given the allocator and ``eager`` (default: an :class:`XArray`).
    """

    def __init__(self, *, eager: bool = False, make: Callable[[CountingAllocator, bool], XArray] | None = None) -> None:
        self._eager = eager
        self._make = _array if make is None else make
        self._pointers: dict[int, Pointer] = {}
        self._op_new()

    @property
    def tree(self) -> Tree:
        """The tree of the array as it is now."""
        return self.array.tree

    def execute(self, operation: str) -> list[str]:
        """Execute ``operation`` (a trace line without its ``"> "``) and return its result lines (without ``"< "``).

        Raises :class:`TraceError` for an operation that is not in the format; an errno of the modelled kernel is a
        result.
        """
        words = [(match.start() + 1, match.group()) for match in re.finditer(r"\S+", operation)]
        if not words:
            raise TraceError(1, "found an empty operation, expected its name")
        column, name = words[0]
        if name not in OPERATIONS:
            raise TraceError(column, f"found operation {quote(name)}, expected one of {', '.join(sorted(OPERATIONS))}")
        handler, kinds = OPERATIONS[name]
        required = sum(not kind.startswith("?") for kind in kinds)
        if not required <= len(words) - 1 <= len(kinds):
            raise TraceError(column, f"found {len(words) - 1} arguments of {name}, expected {_signature(kinds)}")
        arguments = [
            self._argument(kind.lstrip("?"), column, word)
            for kind, (column, word) in zip(kinds, words[1:], strict=False)
        ]
        return handler(self, *arguments)

    # -- arguments -------------------------------------------------------------------------------------------------

    def _argument(self, kind: str, column: int, word: str) -> object:
        if kind == "entry":
            return self._entry(column, word)
        if kind == "new-entry":
            return KEEP if word == "=" else self._entry(column, word)
        if kind == "filter" and word == "p":
            return None
        low, high = RANGES[kind]
        if not re.fullmatch(r"[0-9]{1,20}", word) or not low <= int(word) <= high:
            raise TraceError(column, f"found {quote(word)}, expected {EXPECTED.get(kind, kind)} from {low} to {high}")
        return int(word)

    def _entry(self, column: int, word: str) -> object:
        if word == "0":
            return None
        if word == "z":
            return ZERO
        match = re.fullmatch(r"([vp])([0-9]{1,20})", word)
        if match is None or int(match[2]) > VALUE_MAX:
            raise TraceError(column, f"found {quote(word)}, expected an entry: 0, z, vN or pN with N up to {VALUE_MAX}")
        number = int(match[2])
        return number if match[1] == "v" else self._pointers.setdefault(number, Pointer(number))

    # -- operations ------------------------------------------------------------------------------------------------

    def _op_new(self) -> list[str]:
        self.allocator = CountingAllocator()
        self.array = self._make(self.allocator, self._eager)
        return ["ok"]

    def _op_store(self, index: int, entry: object) -> list[str]:
        return _entry_or_errno(lambda: self.array.store(index, entry))

    def _op_store_order(self, index: int, order: int, entry: object) -> list[str]:
        return _ok_or_errno("ok", lambda: self.array.store_order(index, order, entry))

    def _op_store_range(self, first: int, last: int, entry: object) -> list[str]:
        return _ok_or_errno("0", lambda: self.array.store_range(first, last, entry))

    def _op_load(self, index: int) -> list[str]:
        return [token(self.array.load(index))]

    def _op_erase(self, index: int) -> list[str]:
        return [token(self.array.erase(index))]

    def _op_get_order(self, index: int) -> list[str]:
        return [str(self.array.get_order(index))]

    def _op_insert(self, index: int, entry: object) -> list[str]:
        try:
            self.array.insert(index, entry)
        except KernelError as error:
            return [str(-error.errno)]
        return ["0"]

    def _op_cmpxchg(self, index: int, old: object, entry: object) -> list[str]:
        return _entry_or_errno(lambda: self.array.cmpxchg(index, old, entry))

    def _op_reserve(self, index: int) -> list[str]:
        try:
            self.array.reserve(index)
        except KernelError as error:
            return [str(-error.errno)]
        return ["0"]

    def _op_release(self, index: int) -> list[str]:
        return _ok_or_errno("ok", lambda: self.array.release(index))

    def _op_split(self, index: int, order: int, new_order: int, entry: object) -> list[str]:
        def run() -> Prealloc:
            with self.array.split_alloc(index, order, new_order) as prealloc:
                self.array.split(index, order, new_order, entry, prealloc=prealloc)
            return prealloc

        return _split_result(run)

    def _op_usplit(self, index: int, order: int, new_order: int, entry: object) -> list[str]:
        self.array.profile = "v6.15"
        try:
            return self._op_split(index, order, new_order, entry)
        finally:
            self.array.profile = "rfc"

    def _op_try_split(self, index: int, order: int, new_order: int, entry: object) -> list[str]:
        return _split_result(lambda: self.array.try_split(index, order, new_order, entry))

    def _op_set_mark(self, index: int, mark: int) -> list[str]:
        self.array.set_mark(index, mark)
        return ["ok"]

    def _op_clear_mark(self, index: int, mark: int) -> list[str]:
        self.array.clear_mark(index, mark)
        return ["ok"]

    def _op_get_mark(self, index: int, mark: int) -> list[str]:
        return [str(int(self.array.get_mark(index, mark)))]

    def _op_marked(self, mark: int) -> list[str]:
        return [str(int(self.array.marked(mark)))]

    def _op_find(self, index: int, last: int, mark: int | None) -> list[str]:
        return _found(self.array.find(index, last, mark))

    def _op_find_after(self, index: int, last: int, mark: int | None) -> list[str]:
        return _found(self.array.find_after(index, last, mark))

    def _op_destroy(self) -> list[str]:
        self.array.destroy()
        return ["ok"]

    def _op_empty(self) -> list[str]:
        return [str(int(self.array.empty))]

    def _op_count(self) -> list[str]:
        nodes = self.allocator
        return [f"live={nodes.live} allocs={nodes.allocs} frees={nodes.frees}"]

    def _op_fail_after(self, attempt: int, times: int = 1) -> list[str]:
        self.allocator.fail_after(attempt, times)
        return ["ok"]

    def _op_dump(self) -> list[str]:
        return [*self.array.dump().splitlines(), "end"]

    def _op_hash(self) -> list[str]:
        return [summary(self.array.dump())]

    def _op_list(self) -> list[str]:
        lines = []
        walk = PresentWalk(self.array.tree, 0, INDEX_MAX)
        while walk.advance():
            marks = "".join(str(int(walk.marked(mark))) for mark in range(MARKS))
            lines.append(f"{walk.base} {walk.order} {token(walk.entry)} {marks}")
        return [*lines, "end"]


def _array(allocator: CountingAllocator, eager: bool) -> XArray:
    return XArray(allocator, eager=eager)


def _entry_or_errno(operation: Callable[[], object]) -> list[str]:
    try:
        return [token(operation())]
    except KernelError as error:
        return [f"err {-error.errno}"]


def _ok_or_errno(ok: str, operation: Callable[[], object]) -> list[str]:
    try:
        operation()
    except KernelError as error:
        return [f"err {-error.errno}"]
    return [ok]


def _split_result(operation: Callable[[], Prealloc]) -> list[str]:
    try:
        prealloc = operation()
    except OutOfMemory as error:
        return [f"err {-error.errno} alloc={error.held} freed={error.held}"]
    except Invalid as error:
        return [f"err {-error.errno} alloc=0 freed=0"]
    return [f"ok alloc={prealloc.taken} used={prealloc.used} freed={prealloc.taken - prealloc.used}"]


def _found(found: tuple[int, object] | None) -> list[str]:
    return ["none"] if found is None else [f"{found[0]} {token(found[1])}"]


def _signature(kinds: tuple[str, ...]) -> str:
    if not kinds:
        return "none"
    return " ".join(f"[{kind[1:]}]" if kind.startswith("?") else kind.upper() for kind in kinds)


RANGES = {
    "index": (0, INDEX_MAX),
    "order": (0, INDEX_BITS - 1),
    "mark": (0, MARKS - 1),
    "filter": (0, MARKS - 1),
    "attempt": (0, INDEX_MAX),
    "times": (1, INDEX_MAX),
}
EXPECTED = {"filter": "p or a mark", "times": "a number of attempts", "attempt": "the number of an attempt"}

OPERATIONS: dict[str, tuple[Callable[..., list[str]], tuple[str, ...]]] = {
    "new": (Interpreter._op_new, ()),
    "store": (Interpreter._op_store, ("index", "entry")),
    "store_order": (Interpreter._op_store_order, ("index", "order", "entry")),
    "load": (Interpreter._op_load, ("index",)),
    "erase": (Interpreter._op_erase, ("index",)),
    "get_order": (Interpreter._op_get_order, ("index",)),
    "split": (Interpreter._op_split, ("index", "order", "order", "new-entry")),
    "usplit": (Interpreter._op_usplit, ("index", "order", "order", "new-entry")),
    "try_split": (Interpreter._op_try_split, ("index", "order", "order", "new-entry")),
    "set_mark": (Interpreter._op_set_mark, ("index", "mark")),
    "clear_mark": (Interpreter._op_clear_mark, ("index", "mark")),
    "get_mark": (Interpreter._op_get_mark, ("index", "mark")),
    "marked": (Interpreter._op_marked, ("mark",)),
    "find": (Interpreter._op_find, ("index", "index", "filter")),
    "find_after": (Interpreter._op_find_after, ("index", "index", "filter")),
    "store_range": (Interpreter._op_store_range, ("index", "index", "entry")),
    "insert": (Interpreter._op_insert, ("index", "entry")),
    "cmpxchg": (Interpreter._op_cmpxchg, ("index", "entry", "entry")),
    "reserve": (Interpreter._op_reserve, ("index",)),
    "release": (Interpreter._op_release, ("index",)),
    "destroy": (Interpreter._op_destroy, ()),
    "empty": (Interpreter._op_empty, ()),
    "count": (Interpreter._op_count, ()),
    "fail_after": (Interpreter._op_fail_after, ("attempt", "?times")),
    "dump": (Interpreter._op_dump, ()),
    "hash": (Interpreter._op_hash, ()),
    "list": (Interpreter._op_list, ()),
}
"""Operation name -> (method, kinds of its arguments; ``?`` marks an optional one)."""
