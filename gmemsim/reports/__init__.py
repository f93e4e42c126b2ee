# SPDX-License-Identifier: GPL-2.0-or-later
"""Sinks for the result of a run, one file each.

A sink needs little of a result: what :class:`Reportable` names.  Whatever offers that can be reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gmemsim.results.timeline import Timeline


class Reportable(Protocol):
    """The part of a run's result that reports read.

    ``summary`` is the object that ``gmemsim run --json`` prints.
    """

    @property
    def timeline(self) -> Timeline:
        """Samples and events."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """The figures of the run, in the layout of ``gmemsim run --json``."""
