# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands print: screens on a rich console, and lines, in which control characters are shown and never sent."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import click

from gmemsim.messages import visible

if TYPE_CHECKING:
    from rich.console import Console


def console(*, width: int | None = None) -> Console:
    """A rich console on standard output; ``width`` in columns (default: the terminal's)."""
    from gmemsim.reports import screen

    return screen.console(width=width)


def columns(otherwise: int) -> int:
    """Columns of the terminal, or of the variable ``COLUMNS``; ``otherwise`` where there is neither."""
    return shutil.get_terminal_size((otherwise, 0)).columns


def show(screen: str, *shown: Any, width: int | None = None) -> None:
    """Print the screen of this name (:mod:`gmemsim.reports.screen`) of what is ``shown``.

    What does not go to a terminal has no blanks at the ends of lines.
    """
    from gmemsim.reports.screen import as_text, render

    target = console(width=width)
    if target.is_terminal:
        target.print(render(screen, *shown))
    else:
        click.echo(as_text(target, screen, *shown), nl=False)


def show_data(text: str) -> None:
    """Print ``text``, which is data for a program or a file, in UTF-8 whatever the terminal shows."""
    click.echo(text.encode("utf-8"), nl=False)


def say(line: str, *, err: bool = False) -> None:
    """Print one line, to standard error if ``err``."""
    click.echo(visible(line), err=err)
