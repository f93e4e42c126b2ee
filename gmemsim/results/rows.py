# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of integers, appended by the million and read by column: what a timeline keeps its samples and events in.

Theory of operation
-------------------
A row is appended to a flat ``array('q')``, the *tail*, which costs a fraction of a microsecond.  When the tail is long
it becomes a *block*: every column for itself, as the smallest unsigned integers that hold ``(value - least) / scale``.
Bytes of an account are multiples of an object's size, counters stay small, and most columns of a block are constant, so
a block has a tenth of the tail's bytes.  Nothing is lost.

The last ``running`` columns are running totals when a row is appended, and what the row added to them when it is read:
so whoever appends need not subtract.

What may live here: how rows are kept.  What they mean is :mod:`gmemsim.results.timeline`'s.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:  # imported where it is used: a small run has no block, and reads no columns
    import numpy as np
    import numpy.typing as npt

Column: TypeAlias = "npt.NDArray[np.int64]"

BLOCK: Final = 4096
"""Rows of a block: enough that what a block costs besides its numbers does not count."""


class _Packed(NamedTuple):
    """A column of a block: its least value, what divides all differences from it, and these; ``None``: all are 0."""

    least: int
    scale: int
    steps: npt.NDArray[Any] | None

    @classmethod
    def of(cls, values: Column) -> _Packed:
        import numpy as np

        least = int(values.min())
        steps = values.view(np.uint64) - np.uint64(least % (1 << 64))  # the difference of any two int64 fits
        most, scale = int(steps.max()), 1
        if not most:
            return cls(least, 1, None)
        if most > 0xFF:
            scale = int(np.gcd.reduce(steps))
            steps, most = steps // np.uint64(scale), most // scale
        return cls(least, scale, steps.astype(np.min_scalar_type(most)))

    def fill(self, out: Column) -> None:
        """Write the values to ``out``."""
        import numpy as np

        if self.steps is None:
            out[:] = self.least
        else:
            values = self.steps.astype(np.uint64) * np.uint64(self.scale) + np.uint64(self.least % (1 << 64))
            out[:] = values.view(np.int64)

    def at(self, index: int) -> int:
        """One value."""
        return self.least if self.steps is None else self.least + int(self.steps[index]) * self.scale


def _packed(table: npt.NDArray[np.int64]) -> tuple[_Packed, ...]:
    """A block of the rows of ``table``."""
    import numpy as np

    return tuple(_Packed.of(np.ascontiguousarray(column)) for column in table.T)


class Rows:
    """A table of signed 64-bit integers with ``width`` columns, the last ``running`` of them (default: none) totals."""

    __slots__ = ("_before", "_blocks", "_full", "_packed", "_running", "_tail", "width")

    def __init__(self, width: int, running: int = 0) -> None:
        self.width = width
        self._running = running
        self._tail = array("q")
        self._full = BLOCK * width
        self._blocks: list[tuple[_Packed, ...]] = []
        self._packed = 0  # rows in blocks
        self._before = [0] * running  # the totals before the tail

    def __len__(self) -> int:
        return self._packed + len(self._tail) // self.width

    def append(self, row: list[int]) -> None:
        """Append ``row``, which must have the right width.  O(1)."""
        tail = self._tail
        tail.fromlist(row)
        if len(tail) >= self._full:
            self._pack()

    def row(self, index: int) -> list[int]:
        """Row number ``index``, from 0.  O(width)."""
        if index < self._packed:
            block, place = divmod(index, BLOCK)
            return [column.at(place) for column in self._blocks[block]]
        end = (index - self._packed + 1) * self.width
        start, first = end - self.width, self.width - self._running
        values = self._tail[start:end].tolist()
        if self._running:
            before = self._tail[start - self._running : start] if start else self._before
            values[first:] = [now - then for now, then in zip(values[first:], before, strict=True)]
        return values

    def rows(self, start: int = 0) -> Iterator[list[int]]:
        """The rows from number ``start`` on (default: 0, all)."""
        while start < len(self):
            table = self._block(start // BLOCK)
            yield from table[start % BLOCK :].tolist()
            start += len(table) - start % BLOCK

    def table(self, *columns: int) -> npt.NDArray[np.int64]:
        """A copy of the ``columns`` of this number (default: all), a row each."""
        import numpy as np

        chosen = columns or tuple(range(self.width))
        table = np.empty((len(self), len(chosen)), dtype=np.int64)
        for number, block in enumerate(self._blocks):
            here = table[number * BLOCK : (number + 1) * BLOCK]
            for place, column in enumerate(chosen):
                block[column].fill(here[:, place])
        table[self._packed :] = self._unpacked()[:, chosen]
        return table

    def keep(self, chosen: Column, changed: tuple[int, Column] | None = None) -> None:
        """Keep only the rows whose numbers are ``chosen``, which ascend.

        ``changed`` (default: nothing) is a column of them, by its number, and its new values.  Totals go on from where
        they are.  O(rows).
        """
        import numpy as np

        first = self.width - self._running
        totals = self._tail[len(self._tail) - self._running :].tolist() if self._tail else self._before
        table = self.table()[chosen]
        if changed is not None:
            table[:, changed[0]] = changed[1]
        whole = len(table) // BLOCK * BLOCK
        self._blocks = [_packed(table[start : start + BLOCK]) for start in range(0, whole, BLOCK)]
        self._packed = whole
        rest = table[whole:]
        before = np.array(totals, dtype=np.int64) - rest[:, first:].sum(axis=0)
        rest[:, first:] = before + rest[:, first:].cumsum(axis=0)
        self._before = before.tolist()
        del self._tail[:]
        self._tail.frombytes(rest.tobytes())

    def _block(self, number: int) -> npt.NDArray[np.int64]:
        """All rows of a block, or of the tail behind the last."""
        import numpy as np

        if number == len(self._blocks):
            return self._unpacked()
        table = np.empty((BLOCK, self.width), dtype=np.int64)
        for place, column in enumerate(self._blocks[number]):
            column.fill(table[:, place])
        return table

    def _unpacked(self) -> npt.NDArray[np.int64]:
        """A copy of the tail's rows (a view would forbid appending while it lives)."""
        import numpy as np

        table = np.array(self._tail, dtype=np.int64).reshape(-1, self.width)
        if self._running and len(table):
            first = self.width - self._running
            table[:, first:] = np.diff(table[:, first:], axis=0, prepend=[self._before])
        return table

    def _pack(self) -> None:
        table = self._unpacked()
        self._before = self._tail[len(self._tail) - self._running :].tolist()
        self._blocks.append(_packed(table))
        self._packed += len(table)
        del self._tail[:]
