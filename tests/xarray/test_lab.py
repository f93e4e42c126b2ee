# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands beside the tree: the interpreter of traces, the cursor, and the list of nodes that hold only values."""

from __future__ import annotations

import pytest

from gmemsim.xarray import XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.lab.interpreter import Interpreter, TraceError
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import UNIFORMS_KEPT, Uniforms, chunk_of


@pytest.mark.parametrize(
    ("operation", "column", "message"),
    [
        ("", 1, "found an empty operation, expected its name"),
        ("   ", 1, "found an empty operation, expected its name"),
        ("dump 3", 1, "found 1 arguments of dump, expected none"),
        ("fail_after", 1, r"found 0 arguments of fail_after, expected ATTEMPT \[times\]"),
        ("fail_after 1 2 3", 1, r"found 3 arguments of fail_after, expected ATTEMPT \[times\]"),
        ("set_mark 0 3", 12, "found '3', expected mark from 0 to 2"),
        ("store 0 v9223372036854775808", 9, "expected an entry: 0, z, vN or pN with N up to 9223372036854775807"),
        ("shore 0 v1", 1, "found operation 'shore', expected one of"),
    ],
)
def test_what_is_no_operation_is_refused_with_its_column(operation: str, column: int, message: str) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        Interpreter().execute(operation)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("insert 0 v8", ["-16"]),
        ("insert 1 z", ["0"]),
        ("cmpxchg 0 v7 z", ["v7"]),
        ("store 0 v9223372036854775807", ["v7"]),
        ("reserve 0", ["0"]),
        ("list", ["0 0 v7 000", "end"]),
        ("marked 2", ["0"]),
        ("find 0 5 2", ["none"]),
        ("count", ["live=0 allocs=0 frees=0"]),
    ],
)
def test_operations_on_a_lone_value_in_the_head(operation: str, answer: list[str]) -> None:
    interpreter = Interpreter()
    interpreter.execute("store 0 v7")
    assert interpreter.execute(operation) == answer


def test_memory_that_runs_out_is_an_answer() -> None:
    interpreter = Interpreter()
    interpreter.execute("fail_after 1 2")
    assert interpreter.execute("insert 9 p1") == ["-12"]
    assert interpreter.tree.head is None
    interpreter.execute("fail_after 1 2")
    assert interpreter.execute("reserve 9") == ["-12"]


def test_a_cursor_that_has_not_moved_yet_has_nothing_to_go_behind() -> None:
    array = XArray()
    array.store_order(8, 3, "a")
    cursor = Cursor(array, 8)
    cursor.pause()
    assert cursor.find() == "a"
    cursor.pause()
    assert (cursor.index, cursor.find()) == (16, None)
    cursor.pause()
    assert cursor.find() is None


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_nodes_that_hold_only_values_are_on_the_list_until_they_do_not(eager: bool) -> None:
    lru = ValueNodeLru()
    array = XArray(eager=eager, observer=lru)
    array.store_order(1 << 12, 12, 5)
    assert lru.size == 1, "the top has nothing else"
    with array.split_alloc(1 << 12, 12, 0) as prealloc:
        array.split(1 << 12, 12, 0, prealloc=prealloc)
    assert lru.size == 64, "the leaves, and the top no more"
    array.store(1 << 12, "a page")
    assert lru.size == 63
    array.erase(1 << 12)
    assert lru.size == 64, "63 values are values only"
    array.store_order(1 << 12, 6, "a folio")
    assert lru.size == 63, "one leaf is gone"
    array.destroy()
    assert lru.size == 0


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
@pytest.mark.parametrize(("entry", "listed"), [(5, 4096), ("a pointer", 0)])
def test_nodes_leave_the_list_with_the_tree(entry: object, listed: int, eager: bool) -> None:
    lru = ValueNodeLru()
    array = XArray(eager=eager, observer=lru)
    array.store_order(0, 18, entry)
    with array.split_alloc(0, 18, 0) as prealloc:
        array.split(0, 18, 0, prealloc=prealloc)
    assert lru.size == listed
    array.destroy()
    assert (lru.size, array.nodes) == (0, 0)


def test_uniforms_are_remembered_up_to_a_number() -> None:
    uniforms, chunk = Uniforms(), chunk_of(1)
    first = uniforms.get(chunk, 0, 0, -1, 0)
    for entry in range(UNIFORMS_KEPT - 1):
        uniforms.get(chunk, 0, 0, entry, 0)
    assert uniforms.get(chunk, 0, 0, -1, 0) is first
    uniforms.get(chunk, 0, 0, UNIFORMS_KEPT, 0)
    again = uniforms.get(chunk, 0, 0, -1, 0)
    assert again is not first
    assert again.view() == first.view()
