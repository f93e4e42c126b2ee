# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands beside the tree: the interpreter of traces, the cursor, and the list of nodes that hold only values."""

from __future__ import annotations

import pytest

from gmemsim.xarray import XArray
from gmemsim.xarray.lab.cursor import Cursor
from gmemsim.xarray.lab.interpreter import OPERATIONS, Interpreter, TraceError
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


def test_a_cursor_that_is_set_has_seen_nothing_yet() -> None:
    array = XArray()
    array.store_order(8, 3, "a")
    cursor = Cursor(array)
    assert (cursor.find(), cursor.index, cursor.order) == ("a", 8, 3)
    cursor.set(8)
    assert (cursor.entry, cursor.index, cursor.order) == (None, 8, 0)
    assert (cursor.next(), cursor.index, cursor.order) == ("a", 8, 3)


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


TRACE = """\
> store_order 64 1 p1
< ok
> store 3 v9
< 0
> store 70 p2
< 0
> reserve 200
< 0
> release 200
< ok
> reserve 201
< 0
> store_order 128 2 v5
< ok
> try_split 128 2 1 =
< ok alloc=0 used=0 freed=0
> set_mark 130 2
< ok
> set_mark 3 1
< ok
> get_mark 3 1
< 1
> clear_mark 3 1
< ok
> get_mark 3 1
< 0
> usplit 130 1 0 p6
< ok alloc=0 used=0 freed=0
> store_range 10 12 p3
< 0
> erase 11
< p3
> cmpxchg 3 v9 v8
< v9
> insert 3 p9
< -16
> insert 4 p4
< 0
> get_order 65
< 1
> find 4 300 p
< 4 p4
> find_after 64 300 p
< 70 p2
> find 0 300 2
< 130 p6
> marked 2
< 1
> split 64 3 0 =
< err -22 alloc=0 freed=0
> empty
< 0
> load 201
< 0
> load 129
< v5
> list
< 3 0 v8 000
< 4 0 p4 000
< 64 1 p1 000
< 70 0 p2 000
< 128 1 v5 000
< 130 0 p6 001
< 131 0 p6 001
< 201 0 z 000
< end
> dump
< X 001 n
< N 0 6 0 4 0 0 0 4 : 0:n*4
< N 1 0 0 2 1 0 0 0 : 3:v8 4:p4
< N 1 0 1 3 0 0 0 0 : 0:p1 1:s0 6:p2
< N 1 0 2 4 2 0 0 c : 0:v5 1:s0 2:p6*2
< N 1 0 3 1 0 0 0 0 : 9:z
< end
> hash
< crc=00d7e399 len=160
> count
< live=5 allocs=6 frees=1
> store_order 4096 9 v1
< ok
> split 4096 9 0 =
< ok alloc=8 used=8 freed=0
> dump
< X 001 n
< N 0 12 0 2 0 0 0 1 : 0:n*2
< N 1 6 0 4 0 0 0 4 : 0:n*4
< N 2 0 0 2 1 0 0 0 : 3:v8 4:p4
< N 2 0 1 3 0 0 0 0 : 0:p1 1:s0 6:p2
< N 2 0 2 4 2 0 0 c : 0:v5 1:s0 2:p6*2
< N 2 0 3 1 0 0 0 0 : 9:z
< N 1 6 1 8 0 0 0 0 : 0:n*8
< N 2 0 0 64 64 0 0 0 : 0:v1*64
< N 2 0 1 64 64 0 0 0 : 0:v1*64
< N 2 0 2 64 64 0 0 0 : 0:v1*64
< N 2 0 3 64 64 0 0 0 : 0:v1*64
< N 2 0 4 64 64 0 0 0 : 0:v1*64
< N 2 0 5 64 64 0 0 0 : 0:v1*64
< N 2 0 6 64 64 0 0 0 : 0:v1*64
< N 2 0 7 64 64 0 0 0 : 0:v1*64
< end
> usplit 4096 18 0 =
< err -12 alloc=0 freed=0
> destroy
< ok
> empty
< 1
> count
< live=0 allocs=16 frees=16
> dump
< X 000 0
< end
> hash
< crc=7ef2d001 len=8
"""
"""Nearly every operation of the format, a few times, with the answers."""


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_a_short_trace_of_nearly_every_operation(eager: bool) -> None:
    interpreter = Interpreter(eager=eager)
    for part in TRACE.split("> ")[1:]:
        operation, *answers = part.splitlines()
        assert interpreter.execute(operation) == [answer.removeprefix("< ") for answer in answers], operation
    tried = {part.split()[0] for part in TRACE.split("> ")[1:]}
    assert OPERATIONS.keys() - tried == {"new", "fail_after"}


def test_what_cannot_be_read_is_said_with_its_place() -> None:
    with pytest.raises(TraceError) as caught:
        Interpreter().execute("")
    assert (str(caught.value), caught.value.column) == ("found an empty operation, expected its name", 1)
