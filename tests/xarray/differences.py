# SPDX-License-Identifier: GPL-2.0-or-later
"""KERNEL_DIFFERENCES.md: where ours and the kernel's XArray differ, and why.

``python -m tests.xarray.differences`` writes that page from the traces in :mod:`tests.xarray.catalogue`, from figures
measured here and from a replay of every trace in tests/golden/quirks.  test_kernel_differences.py proves what a test
can prove of it, and fails when the page is stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import attrs

from gmemsim.errors import OutOfMemory
from gmemsim.xarray import XArray
from gmemsim.xarray.lab.interpreter import Interpreter
from gmemsim.xarray.lab.lru import ValueNodeLru
from gmemsim.xarray.node import NO_MARKS, Node, chunk_of
from tests.xarray.catalogue import DIFFERENCES, ODDITIES
from tests.xarray.imitation import MISTAKES, Make, imitating
from tests.xarray.traces import QUIRKY, Record, read

PAGE = Path(__file__).parent / "KERNEL_DIFFERENCES.md"

UINT_MAX = (1 << 32) - 1


@attrs.frozen
class Figure:
    """Something that no trace shows: a figure of the kernel's, and the measurement of ours."""

    key: str
    title: str
    where: str
    kernel: str
    ours: Callable[[], str]
    why: str


def _updates() -> str:
    lru = ValueNodeLru()
    xa = XArray(observer=lru)
    xa.store_order(0, 18, 7)
    before = lru.updates
    with xa.split_alloc(0, 18, 0) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    return f"{lru.updates - before} calls, {lru.size} nodes on the list"


def _needed() -> str:
    return ", ".join(f"{order} to 0: {chunk_of(6).nodes_needed(order, 0)}" for order in (36, 37, 38))


def wrapped(order: int) -> int:
    """What is left of the nodes that splitting ``order`` to 0 needs in an ``unsigned int``."""
    return chunk_of(6).nodes_needed(order, 0) & UINT_MAX


def _profiles() -> str:
    xa = XArray()
    xa.store_order(0, 18, "p1")
    with xa.split_alloc(0, 18, 9) as prealloc:
        taken = prealloc.taken
    xa.profile = "v6.15"
    try:
        xa.split_alloc(0, 18, 9)
    except OutOfMemory as error:
        return f"profile rfc takes {taken} nodes; profile v6.15 refuses with {error.name}"
    return "not refused"


def _mark_words() -> str:
    xa = XArray(eager=True)
    xa.store_order(0, 18, 7)
    with xa.split_alloc(0, 18, 0) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    head = xa.tree.head
    assert isinstance(head, Node)
    own, rest = 0, [head]
    while rest:
        node = rest.pop()
        own += node.marks != NO_MARKS
        rest += [child for child in node.slots if isinstance(child, Node)]
    return f"{own} of {xa.nodes} nodes have a mark set"


FIGURES = (
    Figure(
        "update-callback",
        "xas_update is not called for the new leaves",
        "RFC, xas_split; a value entry of order 18 split to order 0",
        "66 calls, none of them for the 4096 leaves",
        _updates,
        "A user that keeps a list of value-only nodes (mm/workingset.c) never learns of the leaves, which hold nothing "
        "but values. Upstream calls it for each child; so do we: 4161 new nodes and the parent.",
    ),
    Figure(
        "overflow",
        "The number of nodes is an unsigned int and overflows from order 38 on",
        "RFC, xas_split_alloc (by arithmetic)",
        f"36 to 0: {wrapped(36)}, 37 to 0: {wrapped(37)}, 38 to 0: {wrapped(38)}",
        _needed,
        "Order 38 is 1 PiB in pages of 4K, so nothing real is hit today; the sum is exact here.",
    ),
    Figure(
        "marks-cost",
        "Marks are set for every slot, marked or not",
        "RFC, xas_split; an unmarked entry of order 18 split to order 0",
        "367 µs (median), 134 µs with a guard around the marks",
        _mark_words,
        "Cost, not result: the tree is the same. Ours visits marks only where the entry has one. (FORMAT.md, point 5.)",
    ),
    Figure(
        "two-levels-refused",
        "1G to 2M in one step is refused, with an errno that tells something else",
        "upstream to 6.18, xas_split_alloc (FORMAT.md, point 7)",
        "18 to 9: ENOMEM and a warning, nothing allocated; 6.12 takes one node and makes entries of order 15",
        _profiles,
        "Upstream's splits add one level of nodes; 18 to 9 needs two (1 + 64 nodes). The guard in 6.12 is off by one "
        "and lets it through, to a wrong tree. The RFC takes the limit away, and so does our default profile. A "
        "profile of today's kernels keeps it (trace operation `usplit`).",
    ),
)


def ours(trace: list[Record], *, eager: bool = False, make: Make | None = None) -> list[list[str]]:
    """Our results of a trace's operations."""
    interpreter = Interpreter(eager=eager, make=make)
    return [interpreter.execute(record.operation) for record in trace]


@attrs.frozen
class TraceReport:
    """How a recorded quirk trace differs from ours, and which mistakes explain it."""

    name: str
    operations: int
    lines: Counter[str]
    """Result lines that differ, by operation."""
    needed: tuple[str, ...]
    """The mistakes without which the imitation does not reproduce the trace."""


def unexplained(trace: list[Record], make: Make, *, eager: bool = False) -> Iterator[str]:
    """The recorded result lines that the arrays of ``make`` do not reproduce."""
    interpreter = Interpreter(eager=eager, make=make)
    for record in trace:
        if (results := interpreter.execute(record.operation)) != record.results:
            yield f"line {record.line}: {record.operation}: recorded {record.results[:3]}, got {results[:3]}"


@cache
def report(path: Path) -> TraceReport:
    """Compare a quirk trace with ours line by line, and find the mistakes that it shows."""
    trace = read(path)
    lines: Counter[str] = Counter()
    for record, results in zip(trace, ours(trace), strict=True):
        longer = max(len(results), len(record.results))
        same = sum(a == b for a, b in zip(results, record.results, strict=False))
        if longer > same:
            lines[record.operation.split()[0]] += longer - same
    needed = [
        mistake
        for mistake in MISTAKES
        if next(unexplained(trace, imitating(frozenset(MISTAKES) - {mistake})), None) is not None
    ]
    return TraceReport(path.stem, len(trace), lines, tuple(needed))


def _trace_block(trace: list[Record], results: list[list[str]]) -> Iterator[str]:
    """A trace as text: ``< `` the kernel's line, ``= `` ours where it is another."""
    yield "```"
    for record, our_results in zip(trace, results, strict=True):
        yield f"> {record.operation}"
        for number in range(max(len(record.results), len(our_results))):
            kernel = record.results[number] if number < len(record.results) else None
            our = our_results[number] if number < len(our_results) else None
            if kernel is not None:
                yield f"< {kernel}"
            if our != kernel:
                yield f"= {our}" if our is not None else "= (no line)"
    yield "```"


def page() -> str:
    """The text of KERNEL_DIFFERENCES.md."""
    lines = [
        "# Where ours and the kernel's XArray differ, and why",
        "",
        "Written by `python -m tests.xarray.differences`; do not edit. Every trace here is replayed by",
        "tests/xarray/test_kernel_differences.py. The format is that of tests/golden/FORMAT.md; in the traces below",
        '`< ` is what the kernel answers and a line `= ` after it is what ours answers instead. "RFC" is the series',
        '"Extend xas_split* to support splitting arbitrarily large entries" (November 2025) on top of Linux 6.18.',
        "",
        "Each point has a reproducer in C, in the style of lib/test_xarray.c and to be put there:",
        "`tests/oracle/reproducers/check_differences.c`, a function by the key that the point names. After",
        "`tests/oracle/build.sh`, or with a tree of yours `KERNEL=/path/to/linux tests/oracle/build.sh`,",
        "`tests/oracle/build/gmem-reproducers` says of each whether that kernel is right or wrong, or that it lacks",
        "the operation. tests/oracle/test_reproducers.py compares that, and what the kernel answers to the traces,",
        "with the words below. The oracle's stock kernel is 6.12: it shows the points of every kernel and of",
        "upstream. Those of the RFC and of 6.15 are shown by a tree that has them, and by the recorded traces.",
        "",
        "## The kernel is wrong",
    ]
    for number, difference in enumerate(DIFFERENCES, 1):
        lines += ["", f"### {number}. {difference.title}", ""]
        lines += [f"{difference.where}. Known from: {difference.known_from}. Reproducer: `{difference.key}`."]
        lines += ["", *_trace_block(difference.records, ours(difference.records)), "", difference.why]
    for number, figure in enumerate(FIGURES, len(DIFFERENCES) + 1):
        lines += ["", f"### {number}. {figure.title}", "", f"{figure.where}. Reproducer: `{figure.key}`.", ""]
        lines += [f"- kernel: {figure.kernel}", f"- ours: {figure.ours()}", "", figure.why]
    lines += [
        "",
        "## The recorded traces",
        "",
        "An array that makes three of the mistakes above and no other (tests/xarray/imitation.py: `split`, points 2 to",
        "4; `store`, 5 and 6; `try_split`, 7 and 8) reproduces every line of every trace in tests/golden/quirks,",
        "hashes included, lazily and eagerly. So nothing else differs. *Needed* are the mistakes without which it does",
        "not.",
        "",
        "| trace | operations | result lines that differ from ours | needed |",
        "|---|---:|---|---|",
    ]
    for path in QUIRKY:
        found = report(path)
        counted = ", ".join(f"{number} {name}" for name, number in sorted(found.lines.items()))
        lines.append(f"| {found.name} | {found.operations} | {counted} | {', '.join(found.needed)} |")
    lines += ["", "## Odd but kept", "", "The kernel's behaviour, and ours. The results are the kernel's."]
    for oddity in ODDITIES:
        lines += ["", f"### {oddity.title}", "", *_trace_block(oddity.records, ours(oddity.records)), "", oddity.why]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
