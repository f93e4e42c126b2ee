# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of ``gmemsim examples``: the shipped scenarios, and the questions with their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from gmemsim.scenario.model import Scenario


def render(scenarios: Mapping[str, Scenario]) -> RenderableType:
    """Two lists: scenarios by their titles, then questions (those that have an answer) by their answers."""
    asked = {name: scenario for name, scenario in scenarios.items() if scenario.answer}
    others = {name: scenario.title for name, scenario in scenarios.items() if not scenario.answer}
    parts: list[RenderableType] = [Text("Scenarios", style="bold"), _list(others)]
    if asked:
        parts += [Text("\nQuestions, and what their runs answer", style="bold")]
        for name, scenario in asked.items():
            parts += [Text(name), _indented(scenario)]
    parts.append(Text("\nA name stands for the file: gmemsim run NAME. Read it: gmemsim examples NAME.", style="dim"))
    return Group(*parts)


def _list(titles: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, title in titles.items():
        table.add_row(Text(name), Text(title))
    return table


def _indented(scenario: Scenario) -> Padding:
    """The title, the answer and where it was asked, below the question's name."""
    asked = f"\nasked in {scenario.message_id}" if scenario.message_id else ""
    return Padding(Text(f"{scenario.title}\n{scenario.answer}{asked}"), (0, 0, 0, 4))
