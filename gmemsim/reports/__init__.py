# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of a result: something to look at (``screen``), to show (``figures``) or to read on (``export``).

Theory of operation
-------------------
A *sink* is one file that makes one thing.  Each of the three rooms has a registry in its ``__init__``, whose rows say
what a sink is called and where its code is; the code is imported on use, so that a list of names costs nothing.  The
command line takes its choices, its help and its file names from these registries and knows no sink by name.

Adding a figure is its file in ``figures/`` and one row there; adding a format is its file in ``export/`` and one row
there.  :mod:`gmemsim.reports.filesets` puts the files of a command together.

A sink needs little of a result: what :class:`Reportable` names.  Whatever offers that can be reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
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
