# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's XArray does wrong or oddly, each point with a minimal trace.

These are the traces of KERNEL_DIFFERENCES.md, which :mod:`tests.xarray.differences` writes; "RFC" is the series of
November 2025 on top of Linux 6.18.
"""

from __future__ import annotations

import attrs

from tests.xarray.traces import Record, records


@attrs.frozen
class Difference:
    """A trace on which the kernel is wrong; its ``< `` lines are what the kernel answers."""

    key: str
    title: str
    where: str
    trace: str
    known_from: str
    """How we know the kernel's lines: a recorded trace's name, or the place that states them."""
    why: str
    mistake: str | None = None
    """The part of :class:`~tests.xarray.imitation.Imitation` that reproduces the kernel's lines."""

    @property
    def records(self) -> list[Record]:
        return list(records(self.trace.splitlines()))


@attrs.frozen
class Oddity:
    """Behaviour that surprises, is the kernel's, and is kept; the ``< `` lines are the kernel's and ours."""

    key: str
    title: str
    trace: str
    why: str

    @property
    def records(self) -> list[Record]:
        return list(records(self.trace.splitlines()))


DIFFERENCES = (
    Difference(
        "split-from-the-middle",
        "Splitting by more than one level from an index inside the entry corrupts the tree",
        "RFC, xas_split",
        """\
> new
< ok
> store_order 0 9 p1
< ok
> store_order 512 9 p2
< ok
> split 64 9 0 =
< ok alloc=8 used=8 freed=0
> load 512
< p1
""",
        "FORMAT.md, point 1",
        "The RFC starts at the slot of the index it was given instead of at the entry's canonical slot, so the entry's "
        "slots before it stay as they are and as many slots after the entry are overwritten; near the end of a node it "
        "writes out of bounds. Ours goes to the canonical slot first: a split from any index of an entry gives one and "
        "the same tree.",
    ),
    Difference(
        "split-to-a-pointer",
        "A split that turns a value into a pointer leaves the values counted in the parent",
        "RFC, xas_split",
        """\
> new
< ok
> store_order 0 9 v5
< ok
> split 0 9 0 p3
< ok alloc=8 used=8 freed=0
> dump
< X 000 n
< N 0 6 0 8 8 0 0 0 : 0:n*8
< N 1 0 0 64 0 0 0 0 : 0:p3*64
< N 1 0 1 64 0 0 0 0 : 0:p3*64
< N 1 0 2 64 0 0 0 0 : 0:p3*64
< N 1 0 3 64 0 0 0 0 : 0:p3*64
< N 1 0 4 64 0 0 0 0 : 0:p3*64
< N 1 0 5 64 0 0 0 0 : 0:p3*64
< N 1 0 6 64 0 0 0 0 : 0:p3*64
< N 1 0 7 64 0 0 0 0 : 0:p3*64
< end
""",
        "d35",
        "nr_values is the number of slots that hold value entries. The eight slots of the parent hold nodes now, so it "
        "is 0. With 8 = count the node looks as if it held nothing but values, and mm/workingset.c would put it on the "
        "list of nodes that may be reclaimed. The upstream xas_split corrects it by the entry that was there; the RFC "
        "uses the new one.",
        "split",
    ),
    Difference(
        "split-to-a-value",
        "A split that turns a pointer into a value takes values off the parent that were never counted",
        "RFC, xas_split",
        """\
> new
< ok
> store_order 0 9 p5
< ok
> split 0 9 0 v3
< ok alloc=8 used=8 freed=0
> dump
< X 000 n
< N 0 6 0 8 248 0 0 0 : 0:n*8
< N 1 0 0 64 64 0 0 0 : 0:v3*64
< N 1 0 1 64 64 0 0 0 : 0:v3*64
< N 1 0 2 64 64 0 0 0 : 0:v3*64
< N 1 0 3 64 64 0 0 0 : 0:v3*64
< N 1 0 4 64 64 0 0 0 : 0:v3*64
< N 1 0 5 64 64 0 0 0 : 0:v3*64
< N 1 0 6 64 64 0 0 0 : 0:v3*64
< N 1 0 7 64 64 0 0 0 : 0:v3*64
< end
""",
        "d35",
        "As above, in the other direction: 0 - 8 wraps to 248 in an unsigned char.",
        "split",
    ),
    Difference(
        "split-within-a-node",
        "A split within one node does not correct the count of values either",
        "RFC, xas_split",
        """\
> new
< ok
> store_order 0 5 v5
< ok
> split 0 5 2 p3
< ok alloc=0 used=0 freed=0
> dump
< X 000 n
< N 0 0 0 32 32 0 0 0 : 0:p3 1:s0*3 4:p3 5:s4*3 8:p3 9:s8*3 12:p3 13:s12*3 16:p3 17:s16*3 20:p3 21:s20*3 24:p3 \
25:s24*3 28:p3 29:s28*3
< end
""",
        "d35",
        "None of the 32 slots holds a value any more.",
        "split",
    ),
    Difference(
        "store-over-siblings",
        "Storing a value over a multi-index pointer counts one slot only",
        "every kernel, xas_store",
        """\
> new
< ok
> store_order 0 3 p1
< ok
> store 3 v1
< p1
> dump
< X 000 n
< N 0 0 0 8 1 0 0 0 : 0:v1 1:s0*7
< end
""",
        "d36",
        "The store replaces the whole entry of eight slots, and siblings of a value count as values (a store_order of "
        "a value counts all of them). The kernel's loop ends with the slots that were asked for.",
        "store",
    ),
    Difference(
        "store-then-erase",
        "After such a store an erase wraps nr_values",
        "every kernel, xas_store",
        """\
> new
< ok
> store_order 0 3 p1
< ok
> store 9 p2
< 0
> store 3 v1
< p1
> erase 0
< v1
> dump
< X 000 n
< N 0 0 0 1 249 0 0 0 : 9:p2
< end
> store 9 v2
< p2
> dump
< X 000 n
< N 0 0 0 1 250 0 0 0 : 9:v2
< end
""",
        "d36",
        "The erase takes eight values off, one had been counted. No value is left, so the answer is 0; and after the "
        "last store 1, which equals count: the node belongs on the list of value-only nodes, and in the kernel never "
        "gets there.",
        "store",
    ),
    Difference(
        "try-split-12-5",
        "xas_try_split accepts 12 to 5 and makes entries of order 11",
        "6.15 and later, xas_try_split",
        """\
> new
< ok
> store_order 0 12 p1
< ok
> try_split 0 12 5 =
< ok alloc=1 used=1 freed=0
> get_order 0
< 11
""",
        "d33",
        "The caller asked for order 5 and is told that all went well. That split needs 65 nodes and the call takes "
        "one; ours refuses with EINVAL, as the kernel does for every other pair of that kind (12 to 4, 12 to 6).",
        "try_split",
    ),
    Difference(
        "try-split-18-5",
        "xas_try_split accepts 18 to 5 and makes entries of order 17",
        "6.15 and later, xas_try_split",
        """\
> new
< ok
> store_order 0 18 p1
< ok
> try_split 0 18 5 =
< ok alloc=1 used=1 freed=0
> get_order 0
< 17
""",
        "d33",
        "As above: the check looks at the new order's place within its level only, not at the level.",
        "try_split",
    ),
)

ODDITIES = (
    Oddity(
        "find-after-marked",
        "find_after with a mark returns the entry it started from",
        """\
> new
< ok
> store_order 64 4 p1
< ok
> set_mark 64 1
< ok
> find 64 1000 1
< 64 p1
> find_after 64 1000 1
< 64 p1
> find_after 64 1000 p
< none
""",
        "The search starts at index 65, a sibling slot; a marked search moves back to the canonical slot and so has "
        "the index 64, which does not look like the middle of an entry any more. Loops of the form `for (entry = find; "
        "entry; entry = find_after)` over a mark never end on a multi-index entry; a Cursor does not have the problem.",
    ),
    Oddity(
        "find-keeps-the-index",
        "The first hit of a search keeps the index asked for",
        """\
> new
< ok
> store_order 64 4 p1
< ok
> find 70 1000 p
< 70 p1
""",
        "The index is inside the entry, so it is as good an answer as its first index.",
    ),
    Oddity(
        "store-range-orders",
        "store_range makes runs of any length, whose order is then a guess",
        """\
> new
< ok
> store_range 0 2 p1
< 0
> get_order 0
< 2
> store_range 64 69 p2
< 0
> get_order 64
< 3
> load 67
< p2
> load 70
< 0
""",
        "A run may have any number of siblings. xas_get_order probes slots at powers of two, so three pages pass for "
        "four and six for eight.",
    ),
    Oddity(
        "store-range-inside",
        "A store_range that starts inside an entry of its own level loses its tail",
        """\
> new
< ok
> store_range 0 5 p1
< 0
> store_range 4 9 p2
< 0
> load 0
< p2
> load 5
< p2
> load 6
< 0
""",
        "The store goes to the entry's first slot and takes as many slots as were asked for from there, but the call "
        "goes on as if it had begun at index 4. A caller must not cover a part of an entry.",
    ),
    Oddity(
        "store-inside",
        "A store inside a larger entry replaces all of it",
        """\
> new
< ok
> store_order 0 9 p1
< ok
> store_order 8 3 p2
< ok
> get_order 8
< 9
> load 0
< p2
""",
        "Only a split makes entries smaller.",
    ),
    Oddity(
        "marks-outlive-entries",
        "A mark outlives the entry that it was set on, unless that is erased",
        """\
> new
< ok
> store 5 p1
< 0
> set_mark 5 0
< ok
> store 5 p2
< p1
> get_mark 5 0
< 1
> erase 5
< p2
> store 5 p3
< 0
> get_mark 5 0
< 0
""",
        "Marks belong to slots. A store of a larger entry gathers them likewise.",
    ),
    Oddity(
        "failed-store-leaves-nodes",
        "A store that fails leaves the nodes it got",
        """\
> new
< ok
> store 1 p1
< 0
> fail_after 2 5
< ok
> store 70000 p2
< err -12
> count
< live=2 allocs=2 frees=0
> dump
< X 000 n
< N 0 6 0 1 0 0 0 0 : 0:n
< N 1 0 0 1 0 0 0 0 : 1:p1
< end
""",
        "The tree has grown, or has empty nodes; entries are as they were. The next store there, or an erase, uses or "
        "frees them. Splits take their nodes beforehand and leave nothing.",
    ),
)
