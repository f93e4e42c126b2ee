# SPDX-License-Identifier: GPL-2.0-or-later
"""Predictions for each operation of a program, beside what the kernel did.

A :class:`Row` is one reading.  It is judged unless the kernel cannot give it or had complained before: after a
complaint its counters may be those of the bug.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from attrs import frozen

from gmemsim.host.geometry import Geometry
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.xarray.allocator import CountingAllocator
from tests.kernel.machine import Answer
from tests.kernel.program import COUNTERS, HUGEPAGE, POOLS, SHMEM_HUGEPAGES, SWITCH
from tests.kernel.tmpfs import TmpfsFile

Verdict = Literal["same", "differs", "not judged"]

ORDERS: Final = {"1G": 18, "2M": 9}
SIZES: Final = {path: size for size, path in POOLS.items()}
VMSTAT: Final = "/proc/vmstat"


@frozen
class Row:
    """One reading: ``what`` was done, what we ``predicted`` and the ``kernel`` said (None: it could not), in its unit.

    ``why`` says why the reading is not judged (default: it is).
    """

    what: str
    predicted: tuple[int, ...]
    kernel: tuple[int, ...] | None
    why: str = ""

    @property
    def verdict(self) -> Verdict:
        """What comes of it."""
        if self.kernel is None or self.why:
            return "not judged"
        return "same" if self.predicted == self.kernel else "differs"


def judge_hvo(answers: Iterable[Answer]) -> Iterator[Row]:
    """By how many pages the struct pages in memory changed with each step of ``hvo_program``."""
    pools = _Pools()
    before: int | None = None
    complained = False
    reading: dict[str, int] = {}
    for answer in answers:
        complained = complained or bool(answer.complaints)
        word, path, *rest = answer.operation.split()
        if path != VMSTAT:
            pools.step(word, path, int(rest[0]) if rest else answer.result)
            continue
        reading[rest[0]] = answer.result
        if len(reading) == len(COUNTERS):
            total = sum(reading.values()) if min(reading.values()) >= 0 else None
            if pools.what:
                yield _hvo_row(pools, before, total, complained=complained)
            before, reading = total, {}


def _hvo_row(pools: _Pools, before: int | None, after: int | None, *, complained: bool) -> Row:
    predicted = (pools.change,)
    pools.change = 0
    if before is None or after is None:
        return Row(pools.what, predicted, None, f"this kernel has no {' and '.join(COUNTERS)}")
    return Row(pools.what, predicted, (after - before,), "the kernel has complained" if complained else "")


class _Pools:
    """The hugepages that the kernel keeps: what the last step was, and the ``change`` in pages that it must make.

    A hugepage that was optimised when it was taken stays so, whatever the switch says later.
    """

    def __init__(self) -> None:
        self.what = ""
        self.change = 0
        self._layout = VmemmapLayout(Geometry())
        self._switch = False
        self._pages: Counter[str] = Counter()
        self._optimised: Counter[str] = Counter()

    def step(self, word: str, path: str, number: int) -> None:
        """``number`` was written (``set``) or read (``get``)."""
        if path == SWITCH:
            self._switch, self.what = bool(number), f"HVO switched {'on' if number else 'off'}"
        elif word == "get":
            self._resized(SIZES[path], number)

    def _resized(self, size: str, pages: int) -> None:
        """The kernel has so many hugepages of ``size`` now; it had fewer, or gave all back."""
        taken = pages - self._pages[size]
        was_optimised = bool(self._optimised[size])
        if taken > 0 and self._switch:
            self._optimised[size] += taken
        given_back = self._optimised.pop(size, 0) if not pages else 0
        restored = self._layout.restored(ORDERS[size])
        self.change = (given_back - (taken if taken > 0 and self._switch else 0)) * restored
        self.what = f"{abs(taken)} × {size} {'taken' if taken > 0 else 'given back'}"
        self.what += ", optimised" if self._optimised[size] or was_optimised else ""
        self._pages[size] = pages


def judge_filemap(answers: Iterable[Answer]) -> Iterator[Row]:
    """XArray nodes allocated and freed by each call of ``filemap_program``; also how many hugepages there are.

    A node counts as freed by the call after which its grace period ended.  Nodes that no file of ours had are another
    process's, and are left out.  A call that the kernel refused must have changed nothing.
    """
    files: dict[str, TmpfsFile] = {}
    ours: set[str] = set()
    for answer in answers:
        if answer.operation == SHMEM_HUGEPAGES:
            hugepages = sum(file.hugepages() for file in files.values())
            yield Row("hugepages", (hugepages,), (answer.result * 1024 // HUGEPAGE,))
            continue
        word, number, *rest = answer.operation.split()
        ours.update(answer.allocated)
        freed = [node for node in answer.freed if node in ours]
        ours.difference_update(freed)
        predicted = (0, 0)
        if word == "open":
            files[number] = TmpfsFile(huge=rest[0] == "huge")
        elif not answer.result:
            predicted = _call(files, word, number, [int(text) for text in rest])
        yield Row(word, predicted, (len(answer.allocated), len(freed)), _why(answer))


def _why(answer: Answer) -> str:
    """Why the nodes of a call cannot be judged, if so."""
    return answer.complaints[0] if answer.complaints else ""


def _call(files: dict[str, TmpfsFile], word: str, number: str, numbers: Sequence[int]) -> tuple[int, int]:
    """Carry out the call on our filemap: nodes allocated and freed."""
    file = files[number]
    nodes = file.filemap.allocator
    assert isinstance(nodes, CountingAllocator)
    allocs, frees = nodes.allocs, nodes.frees
    if word == "write":
        file.write(*numbers)
    elif word == "punch":
        file.punch(*numbers)
    elif word == "collapse":
        file.collapse(numbers[0])
    elif word == "truncate":
        file.truncate(numbers[0])
    elif word == "close":
        file.truncate(0)
        del files[number]
    else:
        raise ValueError(f"there is no prediction for {word!r}")
    return nodes.allocs - allocs, nodes.frees - frees
