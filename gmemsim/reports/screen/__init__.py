# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands show in a terminal, by name, one file each: a module with ``render``, imported on use.

Titles, names and bytes from files are text: they are never read as markup, and control characters in them are shown
and never sent to the terminal, where they could move the cursor or worse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gmemsim.messages import visible
from gmemsim.registry import Registry, late

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SCREENS: Registry[str] = Registry("screen")
"""The module of every screen."""

for _name in (
    "run",
    "compare",
    "sweep",
    "explain",
    "budget",
    "tune",
    "costs",
    "examples",
    "treeview",
    "faults",
    "reserve",
    "fuzz",
):
    SCREENS.add(_name, f"gmemsim.reports.screen.{_name}")


def render(name: str, *shown: Any) -> RenderableType:
    """The screen ``name`` of what is ``shown``, for a rich console."""
    made: RenderableType = late(f"{SCREENS[name]}:render")(*shown)
    return made


def console(**settings: Any) -> Console:
    """A rich console for screens; ``settings`` are rich's (default: on standard output, as wide as the terminal)."""
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class _PlainTextConsole(Console):
        encoding = "utf-8"  # where only ASCII can be shown, the stream sees to it

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(visible(text, keep="\n"), style)

    return _PlainTextConsole(highlight=False, markup=False, emoji=False, **settings)


def as_text(target: Console, name: str, *shown: Any) -> str:
    """The screen ``name`` of what is ``shown`` as ``target`` would print it, without blanks at the ends of lines."""
    with target.capture() as captured:
        target.print(render(name, *shown))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
