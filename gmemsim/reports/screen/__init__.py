# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands show in a terminal, by name, one file each: a module with ``render``, imported on use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gmemsim.registry import Registry, late

if TYPE_CHECKING:
    from rich.console import RenderableType

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
