# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``faults``: outcomes by ordering, the worst first, in a table that fits a mail."""

from __future__ import annotations

import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from gmemsim.reports.faulted import OutcomeLine, broken_lines, calls_of, headings, lines, summary
from gmemsim.reports.words import MAIL_COLUMNS, made_by, number
from gmemsim.studies.faults import Faults

COLUMNS = 5
"""Variants side by side: as many as there are orderings, and as fit into the columns of a mail."""

LABEL, COUNT = 24, 9
"""Columns of the label, and of a number."""

SHOWN = 12
"""Steps and accounts that are listed of one outcome; the other forms have all."""

BROKEN_SHOWN = 5
"""Broken invariants that are told in full."""


def render(faults: Faults) -> RenderableType:
    """The outcomes for a rich console."""
    heading = Text(faults.title, style="bold")
    for said in summary(faults):
        heading.append(f"\n{said}", style="bold red" if said.isupper() else "not bold")
    parts: list[RenderableType] = [heading, _Tables(list(lines(faults)), headings(faults))]
    for broken in faults.broken[:BROKEN_SHOWN]:
        parts += [Text(line) for line in ["", *broken_lines(broken)]]
    notes = ["A failure counts as the worst that it leaves; a point ends with its call."]
    if faults.to_end:
        notes = ["A failure counts as the worst that its call leaves; every run went on to its end."]
    notes += [f"{step}: {', '.join(calls)}" for step, calls in calls_of(faults).items()]
    notes += [f"not possible: {why}" for why in faults.refused]
    notes.append(made_by(faults))
    return Group(*parts, Text("\n" + "\n".join(notes), style="dim"))


class _Tables:
    """Tables one below the other, each of as many variants as have room with their names whole."""

    def __init__(self, found: list[OutcomeLine], names: list[str]) -> None:
        self.found = found
        self.names = names

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside = COLUMNS
        if options.max_width < MAIL_COLUMNS:
            widest = max((len(word) for name in self.names for word in _heading(name).split("\n")), default=0)
            beside = max(1, (options.max_width - LABEL) // (max(widest, COUNT) + 1))
        for first in range(0, len(self.names), beside):
            yield _table(self.found, self.names[first : first + beside], first)


def _heading(name: str) -> str:
    return name.replace("-", "\n-", 1)


def _table(found: list[OutcomeLine], names: list[str], first: int) -> Table:
    """The variants from the ``first`` on that are called ``names``."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("leaves", min_width=LABEL, max_width=LABEL if len(names) > 3 else None, overflow="fold")
    for name in names:
        table.add_column(_heading(name), justify="right", min_width=COUNT, overflow="fold")
    skipped = 0
    details = 0
    for line in found:
        counts = line.counts[first : first + len(names)]
        if not any(counts):
            continue
        if not line.detail:
            _tell_skipped(table, skipped)
            details = skipped = 0
        elif details >= SHOWN:
            skipped += 1
            continue
        details += line.detail
        label = Text(_indented(line.label) if line.detail else line.label, style="" if line.detail else "bold")
        table.add_row(label, *(number(count) if count else "–" for count in counts))
    _tell_skipped(table, skipped)
    return table


def _indented(label: str) -> str:
    return textwrap.fill(label, LABEL, initial_indent="  ", subsequent_indent="    ")


def _tell_skipped(table: Table, lines: int) -> None:
    if lines:
        table.add_row(f"  … and {lines} more (--csv has all)")
