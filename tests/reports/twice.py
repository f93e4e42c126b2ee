# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure that is written again is the same file, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def same_twice(write: Callable[[Path], object], folder: Path) -> None:
    """What ``write`` writes as ``a.png`` and ``a.svg`` into ``folder`` it writes again as ``b.png`` and ``b.svg``."""
    for suffix in ("png", "svg"):
        first, second = (folder / f"{attempt}.{suffix}" for attempt in "ab")
        write(first)
        write(second)
        assert first.read_bytes() == second.read_bytes()
