# SPDX-License-Identifier: GPL-2.0-or-later
"""Garbage collection for work that makes many objects and few cycles: rarer, and blind to what was there before.

Theory of operation
-------------------
A collection visits all young objects, a full one all objects.  Loading a scenario makes a dozen nodes for every step
and keeps them, so most of its time went into visits that found nothing.  Trees of a run have cycles (a node and its
parent), so collection is never switched off: it is asked for less often, and what exists before is set aside
(``gc.freeze``) and put back afterwards.

What is set aside is not collected, and afterwards it is old: work after work, each with a few dead cycles, would never
free them.  So the young objects are collected before anything is set aside, and all objects when twice as much memory
is in use as after the last time.  That is told by the blocks of Python's allocator, which are counted in microseconds;
to count the objects takes longer than a small run.

The settings belong to the process.  Contexts may be nested, in several threads too: the first sets them, and the last
restores what it found.  Settings that are wider already, and objects that somebody else has frozen, are left alone.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 20, 50)
"""As ``gc.set_threshold`` takes them: a young collection for every 50,000 objects (some 5 MB) instead of 700."""

FEW: Final = 300_000
"""Blocks (some 25 MB) more than before, of which no full collection is worth its time."""

_lock = threading.Lock()
_bound: int | None = None  # blocks in use; with more of them there is a full collection first
_inside = 0
_before: tuple[int, int, int] | None = None
_frozen = False


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Within this context the garbage collector looks at new objects only, and less often."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _before
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        now = gc.get_threshold()
        if 0 < now[0] < THRESHOLDS[0]:  # 0: its owner has switched collection off
            _before = now
            gc.set_threshold(*THRESHOLDS)
        if not gc.get_freeze_count():
            _set_aside()


def _set_aside() -> None:
    """Freeze what exists, without what earlier work has left."""
    global _frozen, _bound
    blocks = sys.getallocatedblocks()
    if _bound is None:
        _bound = blocks + FEW
    if gc.isenabled():
        full = blocks > _bound
        gc.collect(2 if full else 1)
        if full:
            blocks = sys.getallocatedblocks()
            _bound = blocks + max(FEW, blocks)
    gc.freeze()
    _frozen = True


def _leave() -> None:
    global _inside, _before, _frozen
    with _lock:
        _inside -= 1
        if _inside:
            return
        if _before is not None:
            gc.set_threshold(*_before)
            _before = None
        if _frozen:
            gc.unfreeze()
            _frozen = False
