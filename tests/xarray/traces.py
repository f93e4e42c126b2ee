# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading recorded traces (tests/golden/FORMAT.md) and replaying them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from gmemsim.xarray.lab.interpreter import Interpreter

GOLDEN = Path(__file__).parents[1] / "golden"
CLEAN = sorted(GOLDEN.glob("*.txt"))
QUIRKY = sorted((GOLDEN / "quirks").glob("*.txt"))


@attrs.frozen
class Record:
    """One operation of a trace, the line it stands on, and the recorded result lines."""

    line: int
    operation: str
    results: list[str]


def records(lines: Iterable[str]) -> Iterator[Record]:
    """The operations of a trace, each with the results recorded for it."""
    record: Record | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("> "):
            if record is not None:
                yield record
            record = Record(number, line[2:].rstrip("\n"), [])
        elif line.startswith("< "):
            assert record is not None, f"line {number}: a result before any operation"
            record.results.append(line[2:].rstrip("\n"))
    if record is not None:
        yield record


def read(path: Path) -> list[Record]:
    """All operations of a trace file."""
    with path.open() as file:
        return list(records(file))


def results(operations: Iterable[str], interpreter: Interpreter) -> list[list[str]]:
    """What ``interpreter`` answers to each of the operations."""
    return [interpreter.execute(operation) for operation in operations]
