# SPDX-License-Identifier: GPL-2.0-or-later
"""For anyone's tests: a pytest plugin, and loops that fail each allocation of a call in turn."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmemsim.testing.each_nth import Failure, fail_nth

__all__ = ["Failure", "fail_nth"]


def __getattr__(name: str) -> Any:
    """Imported on use: pytest imports this package at its start wherever gmemsim is installed.

    The module has another name than the function, since a module that has been imported hides it.
    """
    if name in ("Failure", "fail_nth"):
        module = import_module("gmemsim.testing.each_nth")
        return module.Failure if name == "Failure" else module.fail_nth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
