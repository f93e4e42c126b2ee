# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations that the XArray and the kernel's code are timed on."""

from __future__ import annotations

import random
from collections.abc import Iterator

KINDS = ("make4k", "merge2m", "merge1g", "load")
WEIGHTS = (50, 35, 3, 12)
SEED, OPERATIONS = 1, 50_000
"""Of the trace that is timed."""


def bench_ops(seed: int, ops: int) -> Iterator[str]:
    """The timing trace: operations at random pages of 256 GiB; driver.c states what each of them does."""
    rng = random.Random(seed)
    for _ in range(ops):
        yield f"{rng.choices(KINDS, WEIGHTS)[0]} {rng.randrange(1 << 26)}"
