# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after a comparison: one table that fits 80 columns."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from gmemsim.reports.compared import caveats, lines, made_by, the_same, told_of_order
from gmemsim.reports.screen.fitted import FittedTable
from gmemsim.studies.compare import Comparison


def render(comparison: Comparison) -> RenderableType:
    """The comparison for a rich console."""
    first = f"delta and ratio are against {comparison.names[0]}"
    heading = Text(comparison.title, style="bold")
    heading.append(f"\n{first}{', PARTIAL: interrupted' if comparison.partial else ''}\n", style="not bold")
    for note in comparison.notes:
        heading.append(f"note: {note}\n", style="not bold")
    table = FittedTable(spare=("delta", "ratio"))
    table.add_column("", no_wrap=True)
    table.add_column(comparison.what, overflow="fold")
    for name in ("value", "delta", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines(comparison):
        table.add_row(Text(line.label, style="bold"), *line.cells[1:])
    told = [Text(f"\n{said}") for said in (told_of_order(comparison), the_same(comparison)) if said]
    return Group(
        heading, table, *told, Text("\n" + "\n".join([*caveats(comparison), made_by(comparison)]), style="dim")
    )
