# SPDX-License-Identifier: GPL-2.0-or-later
"""What sinks are given of a run, and the tables that they write.

A :class:`View` is all that a figure or a file of a run may be made from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TextIO

import attrs

from gmemsim.reports import Reportable
from gmemsim.reports.guests import peaks_of

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins with one of these is a formula to a spreadsheet."""


@attrs.frozen(eq=False)
class View:
    """A run as sinks see it.

    ``recordings``: what recorders have seen, by the recorder's place (``"gmemsim.sim.layout:LayoutRecorder"``; default:
    none).  ``source``: the scenario's text (default: unknown).  ``figures``: the figures asked for (default: none).
    """

    result: Reportable
    recordings: Mapping[str, Any] = attrs.field(factory=dict)
    source: str | None = None
    figures: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The run's title, and that it is partial if so."""
        summary = self.result.summary
        return f"{summary['title']}{' (partial: interrupted)' if summary.get('partial') else ''}"

    @property
    def kernel_memory(self) -> int | None:
        """The host's budget in bytes; ``None`` if there is none, or if the result does not know its scenario."""
        scenario = getattr(self.result, "scenario", None)
        limit: int | None = None if scenario is None else scenario.host.kernel_memory
        return limit

    def peaks(self) -> dict[str, int]:
        """The peak of each guest in bytes, in the scenario's order."""
        return peaks_of(self.result.summary["guests"])

    def recording(self, recorder: str) -> Any:
        """What ``recorder`` has seen; ``ValueError`` if it did not look at the run."""
        if recorder not in self.recordings:
            raise ValueError(f"this figure needs what {recorder} has seen of the run")
        return self.recordings[recorder]


@attrs.frozen(eq=False)
class DataTable:
    """The data behind a figure: the names of the columns, and the rows."""

    header: Sequence[str]
    rows: Iterable[Sequence[object]]


def write_table(table: DataTable, path: Path) -> None:
    """Write ``table`` to ``path`` as CSV."""
    with path.open("w", encoding="utf-8", newline="") as out:
        write_rows(out, table)


def signed(table: DataTable, made: Mapping[str, Any], own: Iterable[Mapping[str, str]] = repeat({})) -> DataTable:
    """``table`` with what ``made`` it in columns of their own, in every row: a row may go its own way.

    ``own``: for each row, which of these facts are others (default: none of any row).
    """
    facts = made.get("provenance", {})
    told = {name: facts[name] for name in ("gmemsim", "scenario", "costs") if name in facts}
    told |= {"seed": made["seed"]} if "seed" in made else {}
    told |= {"generation": " ".join(facts["generation"])} if facts else {}
    pairs = zip(table.rows, own, strict=False)  # without end by default
    return DataTable((*table.header, *told), ((*row, *{**told, **mine}.values()) for row, mine in pairs))


def write_rows(out: TextIO, table: DataTable) -> None:
    """Write ``table`` to ``out`` as CSV.  Text that a spreadsheet would compute gets a ``'`` before it."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(name) for name in table.header])
    writer.writerows([cell(value) for value in row] for row in table.rows)


def cell(value: object) -> object:
    """``value`` as a CSV file has it: text that a spreadsheet would compute gets a ``'`` before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
