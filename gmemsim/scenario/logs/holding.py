# SPDX-License-Identifier: GPL-2.0-or-later
"""What a log holds for a guest: read once, kept as columns, followed from there.

Theory of operation
-------------------
A log is needed several times: to check a scenario, to replay it (for each guest of a group), to sum up.  It is read
once (:func:`read`).  What can be used is kept in columns of machine words (:class:`Conversions`, 25 MB for a million),
and both the replay and everything that is said of the log come from these.

Readings are remembered by what they depend on: the log with its settings and its file's time and size, the slots, and
the page size.  The latest :data:`LOGS_REMEMBERED` logs are kept, more than one scenario replays.

What may live here: what is known of a log as a whole.  Events one by one are in ``logs.reading``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import attrs

from gmemsim.gmem.ranges import gaps
from gmemsim.scenario.logs.reading import Block, Log
from gmemsim.scenario.logs.slots import Slot, SlotMap
from gmemsim.scenario.logs.tally import Tally
from gmemsim.scenario.model import State

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_AT_ONCE: Final = 1 << 14
"""Conversions that are made Python's numbers at once, and parts of memory that are followed at once."""

LOGS_REMEMBERED: Final = 64
"""Logs whose reading is remembered."""

NeverPrivate = Literal["untouched", "shared"]
"""What memory is taken for that a log never makes private."""

_STATES: Final[tuple[State, State]] = ("private", "shared")


class Conversions:
    """The usable events of a log, in order, as columns, made of ``blocks``.

    ``times`` are in ns from the first event, ``offsets`` and ``sizes`` in bytes, ``shared`` says what the ranges become
    (1: shared, 0: private).  Iterating gives (time, offset, size, state) of one after the other.  Memory is 25 bytes
    each.
    """

    __slots__ = ("offsets", "shared", "sizes", "times")

    def __init__(self, blocks: Iterable[Block]) -> None:
        import numpy as np  # of those who read logs only: it takes a while

        columns = list(zip(*(block[1:] for block in blocks), strict=True))
        self.times, self.offsets, self.sizes = (
            np.concatenate(column) if column else np.empty(0, np.int64) for column in columns[:3] or ((), (), ())
        )
        self.shared = np.concatenate(columns[3]) if columns else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[tuple[int, int, int, State]]:
        columns = self.times, self.offsets, self.sizes, self.shared
        for begin in range(0, len(self), _AT_ONCE):
            times, offsets, sizes, shared = (column[begin : begin + _AT_ONCE].tolist() for column in columns)
            yield from zip(times, offsets, sizes, map(_STATES.__getitem__, shared), strict=True)


@attrs.frozen
class Holding:
    """What a log holds for a guest: its ``tally`` and its ``conversions``, and what these mean for a guest_memfd.

    It begins private, save for what the step's own ``never_private`` says.  ``unchanged`` conversions change nothing,
    ``unchanged_to_private`` of them to private.  ``never_private`` are the ranges, in bytes, that the log never makes
    private.
    """

    tally: Tally
    conversions: Conversions
    unchanged: int
    unchanged_to_private: int
    never_private: tuple[tuple[int, int], ...]

    @property
    def never_private_bytes(self) -> int:
        """How much that is."""
        return sum(end - start for start, end in self.never_private)


class _Key(NamedTuple):
    """What a reading of a log depends on beside the log, and what is assumed of memory that never becomes private."""

    slots: tuple[Slot, ...]
    page_size: int
    never_private: NeverPrivate


def read(log: Log, slots: tuple[Slot, ...], page_size: int, never_private: NeverPrivate) -> Holding:
    """What ``log`` holds for a guest with these ``slots``; :class:`InputError` if it is wrong.

    ``page_size`` is in bytes; ``never_private`` says how memory is seen that the log never makes private.  Reads all of
    it the first time: O(events × log(ranges)).
    """
    holdings = _holdings(log)
    key = _Key(slots, page_size, never_private)
    if key not in holdings:
        holdings[key] = _made(log, key, holdings)
    return holdings[key]


def last_time(log: Log) -> int:
    """The time in ns of the last event of ``log``, which no slot changes."""
    for holding in _holdings(log).values():
        return holding.tally.last
    return read(log, (), 1, "untouched").tally.last


def _made(log: Log, key: _Key, holdings: dict[_Key, Holding]) -> Holding:
    if key.never_private == "shared":
        plain = read(log, key.slots, key.page_size, "untouched")
        if not plain.never_private:
            return plain
        unchanged, to_private = _unchanged(plain.conversions, plain.never_private)
        return attrs.evolve(plain, unchanged=unchanged, unchanged_to_private=to_private)
    tally = Tally()
    conversions = Conversions(log.blocks(SlotMap(key.slots), key.page_size, tally))
    return Holding(tally, conversions, *_unchanged(conversions, ()), _never_private(conversions, key.slots))


def _holdings(log: Log) -> dict[_Key, Holding]:
    """What is remembered of ``log``, as long as its file stays what it is."""
    try:
        path = Path(log.path).resolve()
        found = path.stat()
    except (OSError, ValueError):
        return {}  # reading says why
    return _remembered(attrs.evolve(log, path=str(path)), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=LOGS_REMEMBERED)
def _remembered(log: Log, modified: int, size: int) -> dict[_Key, Holding]:
    return {}


def _unchanged(conversions: Conversions, shared: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """How many change nothing of what begins private but for ``shared``, and how many of these are to private.

    Memory that no conversion and no range of ``shared`` cuts is one part, with one state.  Events are taken together as
    long as they convert few parts.  O(parts converted × log(those at once)).
    """
    import numpy as np

    bounds = np.array(shared, np.int64).reshape(-1, 2).T
    starts = np.concatenate([bounds[0], conversions.offsets])
    ends = np.concatenate([bounds[1], conversions.offsets + conversions.sizes])
    cuts, parts = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    first = len(shared)
    state = np.zeros(len(cuts), np.uint8)
    for low, high in zip(parts[:first].tolist(), parts[len(starts) :][:first].tolist(), strict=True):
        state[low:high] = 1
    lows, highs = parts[first : len(starts)], parts[len(starts) + first :]
    reached = np.cumsum(highs - lows)  # parts converted up to and with each event
    same = np.empty(len(lows), np.bool_)
    begin, done = 0, 0
    while begin < len(lows):
        end = int(np.searchsorted(reached, done + _AT_ONCE, "right"))
        if end > begin:
            some = slice(begin, end)
            same[some] = _same(lows[some], highs[some], conversions.shared[some], state)
        else:  # one of very many parts
            end, to = begin + 1, conversions.shared[begin]
            whole = state[lows[begin] : highs[begin]]
            same[begin] = (whole == to).all()
            whole[:] = to
        begin, done = end, reached[end - 1]
    return int(same.sum()), int((same & (conversions.shared == 0)).sum())


def _same(
    lows: npt.NDArray[np.int64], highs: npt.NDArray[np.int64], to: npt.NDArray[np.uint8], state: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Which of some events, of parts from ``lows`` up to ``highs``, change none by what they make of them, ``to``.

    ``state`` of the parts is that before them, and afterwards that after them.
    """
    import numpy as np

    counts = highs - lows
    begins = np.cumsum(counts) - counts
    parts = np.repeat(lows - begins, counts) + np.arange(counts.sum())
    order = np.argsort(parts, kind="stable")  # by part, and each part's in the order of events
    parts, after = parts[order], np.repeat(to, counts)[order]
    again = parts[1:] == parts[:-1]
    before = state[parts]
    before[1:][again] = after[:-1][again]
    last = np.append(~again, True)
    state[parts[last]] = after[last]
    kept = np.empty(len(parts), np.bool_)
    kept[order] = before == after
    return np.logical_and.reduceat(kept, begins)


def _never_private(conversions: Conversions, slots: tuple[Slot, ...]) -> tuple[tuple[int, int], ...]:
    """What of ``slots`` no conversion makes private: O(events × log(events))."""
    import numpy as np

    to_private = conversions.shared == 0
    starts, sizes = conversions.offsets[to_private], conversions.sizes[to_private]
    order = np.argsort(starts)
    starts = starts[order]
    ends = np.maximum.accumulate(starts + sizes[order])
    begins = np.ones(len(starts), np.bool_)
    begins[1:] = starts[1:] > ends[:-1]
    starts, ends = starts[begins], ends[np.roll(begins, -1)]  # ranges that neither overlap nor touch
    rest: list[tuple[int, int]] = []
    for slot in sorted(slots, key=lambda slot: slot.offset):
        begin, end = slot.offset, slot.offset + slot.size
        within = slice(np.searchsorted(ends, begin, "right"), np.searchsorted(starts, end))
        lows, highs = np.maximum(starts[within], begin), np.minimum(ends[within], end)
        rest += gaps(zip(lows.tolist(), highs.tolist(), strict=True), begin, end)
    return tuple(rest)
