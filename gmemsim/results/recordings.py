# SPDX-License-Identifier: GPL-2.0-or-later
"""What recorders have seen of a run, as values: layouts, holdings, censuses, regions.

What may live here: values only, made when somebody asks.  What collects them (:mod:`gmemsim.sim.recorder`) may be
compiled, as attrs classes may not.
"""

from __future__ import annotations

from collections import Counter

import attrs
import numpy as np
import numpy.typing as npt

from gmemsim.host.geometry import Geometry

# -- layouts (gmemsim.sim.layout) --------------------------------------------------------------------------------------

CLASSES = 5
"""Classes of sizes of folios, the smallest first."""

Pages = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@attrs.frozen(eq=False)
class GuestLayout:
    """The memory of ``guest``, ``size`` bytes in cells of ``cell_bytes``; a row for every frame in which it was called.

    ``frames``: the frames' numbers, ascending.  ``finest`` and ``left``: pages by frame, cell and class, in the finest
    state of the frame and at its end; ``shared`` and ``shared_left``: whether some of the cell was shared then.
    ``fineness``: how fine the finest state was, to compare frames.  ``most``: by class, the most pages that were in it
    after a call.  ``failed``: calls that failed.
    """

    guest: str
    size: int
    cell_bytes: int
    frames: npt.NDArray[np.int64]
    finest: Pages
    left: Pages
    shared: Flags
    shared_left: Flags
    fineness: npt.NDArray[np.int64]
    most: npt.NDArray[np.int64]
    failed: int

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return -(-self.size // self.cell_bytes)


@attrs.frozen(eq=False)
class Layout:
    """The layouts of the ``guests`` that are shown, in the scenario's order, of ``total`` that there are.

    Frame *i* begins at ``times[i]`` ns with event ``events[i]``; frame 0 is the state before the first event, with
    event -1.  ``watched``: how many guests the shown ones were chosen from, of which ``idle`` never had memory.
    ``differ``: whether failures or holdings tell guests of one kind apart; else the first of each are shown.
    ``geometry``: the host's pages.
    """

    geometry: Geometry
    times: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    guests: tuple[GuestLayout, ...]
    watched: int
    total: int
    idle: int
    differ: bool


# -- holdings (gmemsim.sim.holdings) -----------------------------------------------------------------------------------

Row = tuple[int, ...]
"""Bytes by account, in the order of ``ACCOUNTS``."""


@attrs.frozen
class Point:
    """From ``time_ns`` on, as event number ``event`` left it, a guest held ``row``.

    Several points may have the same time: the highest instant inside a call, then what was left after it.
    """

    time_ns: int
    event: int
    row: Row

    @property
    def total(self) -> int:
        """Bytes of all accounts."""
        return sum(self.row)


@attrs.frozen
class Holding:
    """What one guest held: its ``points`` in the order of time, and the one at which it held most, ``peak``.

    ``first_shared``: what the guest's first successful conversion to shared changed, in bytes, and the size of its
    range; ``None`` if there was none.
    """

    points: tuple[Point, ...]
    peak: Point
    first_shared: tuple[int, int] | None


@attrs.frozen
class Holdings:
    """The ``guests`` watched, of ``total`` that there are, by name in the scenario's order."""

    guests: dict[str, Holding]
    total: int


# -- censuses (gmemsim.sim.census) -------------------------------------------------------------------------------------


@attrs.frozen
class CensusRow:
    """All filemaps and page tables at ``time_ns``, after event number ``event`` (-1: before the first).

    ``nodes`` and ``slots_used`` are XArray nodes and their slots in use by the shift of the node; ``guest_leaves`` the
    leaves of the guests' second-stage tables by order; ``host_pages`` the base pages that host processes have mapped.
    """

    time_ns: int
    event: int
    nodes: Counter[int]
    slots_used: Counter[int]
    guest_leaves: Counter[int]
    host_pages: int

    @property
    def total(self) -> int:
        """Nodes of all levels."""
        return self.nodes.total()


@attrs.frozen
class Census:
    """``rows`` in the order of time; a node has ``slots`` slots; ``orders`` are those that leaves may have.

    ``page_size`` is the base page in bytes.
    """

    page_size: int
    slots: int
    orders: tuple[int, ...]
    rows: tuple[CensusRow, ...]


# -- regions (gmemsim.sim.regions) -------------------------------------------------------------------------------------


@attrs.frozen
class Regions:
    """``total`` aligned GiB.

    From event ``events[i]`` on, at ``times[i]`` ns, ``free[i]`` of them had no private page; event -1 is the beginning.
    """

    total: int
    times: tuple[int, ...]
    events: tuple[int, ...]
    free: tuple[int, ...]
