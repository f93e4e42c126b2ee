# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of integers, appended by the million and read by column: what a timeline keeps its samples and events in.

Theory of operation
-------------------
A row is packed into machine words, :data:`ITEM` bytes each, and appended to the *tail*, which costs a fraction of a
microsecond (``struct`` takes half the time of ``array``).  When the tail is long it becomes a *block*: every column for
itself, as the smallest unsigned integers that hold ``(value - least) / scale``.  Bytes of an account are multiples of
an object's size, counters stay small, and most columns of a block are constant, so a block has a tenth of the tail's
bytes.  Nothing is lost.

The last ``running`` columns are running totals when a row is appended, and what the row added to them when it is read:
so whoever appends need not subtract.

What may live here: how rows are kept.  What they mean is :mod:`gmemsim.results.timeline`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, calcsize
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:  # imported where it is used: a small run has no block, and reads no columns
    import numpy as np
    import numpy.typing as npt

Column: TypeAlias = "npt.NDArray[np.int64]"

BLOCK: Final = 4096
"""Rows of a block: enough that what a block costs besides its numbers does not count."""


ITEM: Final = calcsize("q")
"""Bytes of a number in a packed row."""


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
    """A table of signed 64-bit integers with ``width`` columns, the last ``running`` of them (default: none) totals.

    ``block`` is how many rows make a block (default: :data:`BLOCK`).
    """

    __slots__ = ("_before", "_block", "_blocks", "_full", "_layout", "_packed", "_running", "_tail", "pack", "width")

    def __init__(self, width: int, running: int = 0, block: int = BLOCK) -> None:
        self.width = width
        self._running = running
        self._layout = Struct(f"{width}q")
        self.pack = self._layout.pack
        """A row of so many numbers as bytes, for :meth:`append`."""
        self._tail = bytearray()
        self._block = block
        self._full = block * self._layout.size
        self._blocks: list[tuple[_Packed, ...]] = []
        self._packed = 0  # rows in blocks
        self._before = [0] * running  # the totals before the tail

    def __len__(self) -> int:
        return self._packed + len(self._tail) // self._layout.size

    def append(self, row: bytes) -> None:
        """Append ``row``, which :attr:`pack` has made.  O(1)."""
        tail = self._tail
        tail += row
        if len(tail) >= self._full:
            self._pack()

    def row(self, index: int) -> list[int]:
        """Row number ``index``, from 0.  O(width)."""
        if index < self._packed:
            block, place = divmod(index, self._block)
            return [column.at(place) for column in self._blocks[block]]
        start = (index - self._packed) * self._layout.size
        values = list(self._layout.unpack_from(self._tail, start))
        if self._running:
            first = self.width - self._running
            before = self._totals(start)
            values[first:] = [now - then for now, then in zip(values[first:], before, strict=True)]
        return values

    def rows(self, start: int = 0) -> Iterator[list[int]]:
        """The rows from number ``start`` on (default: 0, all)."""
        while start < len(self):
            table = self._table_of(start // self._block)
            yield from table[start % self._block :].tolist()
            start += len(table) - start % self._block

    def table(self, *columns: int) -> npt.NDArray[np.int64]:
        """A copy of the ``columns`` of this number (default: all), a row each."""
        import numpy as np

        chosen = columns or tuple(range(self.width))
        table = np.empty((len(self), len(chosen)), dtype=np.int64)
        for number, block in enumerate(self._blocks):
            here = table[number * self._block : (number + 1) * self._block]
            for place, column in enumerate(chosen):
                block[column].fill(here[:, place])
        table[self._packed :] = self._unpacked()[:, chosen]
        return table

    def column(self, number: int) -> Column:
        """A copy of the column of this ``number``."""
        column: Column = self.table(number)[:, 0]
        return column

    def keep(self, chosen: Column, changed: tuple[int, Column] | None = None) -> None:
        """Keep only the rows whose numbers are ``chosen``, which ascend.

        ``changed`` (default: nothing) is a column of them, by its number, and its new values.  Totals go on from where
        they are.  O(rows).
        """
        import numpy as np

        first = self.width - self._running
        totals = self._totals(len(self._tail))
        table = self.table()[chosen]
        if changed is not None:
            table[:, changed[0]] = changed[1]
        size = self._block
        whole = len(table) // size * size
        self._blocks = [_packed(table[start : start + size]) for start in range(0, whole, size)]
        self._packed = whole
        rest = table[whole:]
        before = np.array(totals, dtype=np.int64) - rest[:, first:].sum(axis=0)
        rest[:, first:] = before + rest[:, first:].cumsum(axis=0)
        self._before = before.tolist()
        self._tail[:] = rest.tobytes()

    def _totals(self, end: int) -> list[int]:
        """The totals after the rows of the tail up to its byte ``end``."""
        if not end or not self._running:
            return self._before
        return list(self._layout.unpack_from(self._tail, end - self._layout.size)[-self._running :])

    def _table_of(self, number: int) -> npt.NDArray[np.int64]:
        """All rows of a block, or of the tail behind the last."""
        import numpy as np

        if number == len(self._blocks):
            return self._unpacked()
        table = np.empty((self._block, self.width), dtype=np.int64)
        for place, column in enumerate(self._blocks[number]):
            column.fill(table[:, place])
        return table

    def _unpacked(self) -> npt.NDArray[np.int64]:
        """A copy of the tail's rows (a view would forbid appending while it lives)."""
        import numpy as np

        table = np.frombuffer(self._tail, dtype=np.int64).reshape(-1, self.width).copy()
        if self._running and len(table):
            first = self.width - self._running
            table[:, first:] = np.diff(table[:, first:], axis=0, prepend=[self._before])
        return table

    def _pack(self) -> None:
        table = self._unpacked()
        self._before = self._totals(len(self._tail))
        self._blocks.append(_packed(table))
        self._packed += len(table)
        del self._tail[:]
