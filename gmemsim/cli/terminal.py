# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands print: screens on a rich console, and lines.

Titles, names and bytes from files are text: they are never read as markup, and control characters in them are shown
and never sent to the terminal, where they could move the cursor or worse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from gmemsim.messages import visible

if TYPE_CHECKING:
    from rich.console import Console


def console(*, width: int | None = None) -> Console:
    """A rich console on standard output; ``width`` in columns (default: the terminal's)."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class _PlainTextConsole(Console):
        encoding = "utf-8"  # where only ASCII can be shown, the stream sees to it

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(visible(text, keep="\n"), style)

    return _PlainTextConsole(highlight=False, markup=False, emoji=False, width=width)


def show(screen: str, *shown: Any, width: int | None = None) -> None:
    """Print the screen of this name (:mod:`gmemsim.reports.screen`) of what is ``shown``.

    What does not go to a terminal has no blanks at the ends of lines.
    """
    from gmemsim.reports.screen import render

    target = console(width=width)
    if target.is_terminal:
        target.print(render(screen, *shown))
        return
    with target.capture() as captured:
        target.print(render(screen, *shown))
    click.echo("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()), nl=False)


def show_data(text: str) -> None:
    """Print ``text``, which is data for a program or a file, in UTF-8 whatever the terminal shows."""
    click.echo(text.encode("utf-8"), nl=False)


def say(line: str, *, err: bool = False) -> None:
    """Print one line, to standard error if ``err``."""
    click.echo(visible(line), err=err)
