# SPDX-License-Identifier: GPL-2.0-or-later
"""What made a result, as every output names it.

What may live here: these facts.  How they are worded is in :mod:`gmemsim.reports.words`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from gmemsim.compiled import active
from gmemsim.compiled import form as form
from gmemsim.version import __version__

VERSION = __version__
"""The version of gmemsim."""


def maker() -> str:
    """The version and the form of gmemsim, as ``--version`` prints them: ``"0.2.0 (pure Python)"``."""
    return f"{VERSION} ({form()})"


def provenance(
    sha256: str | None, settings: Sequence[str], generations: Iterable[str], costs: str | None
) -> dict[str, Any]:
    """What made a result, and of what; without a time or a place, so the same run gives the same object.

    ``sha256``: of the scenario's text, with ``settings`` put into it.  ``generations`` of the
    modelled kernel; ``costs``: the name of the cost profile.
    """
    major, minor = sys.version_info[:2]
    return {
        "gmemsim": VERSION,
        "python": f"{major}.{minor}",
        "compiled": active(),
        "scenario": sha256,
        **({"set": list(settings)} if settings else {}),
        "generation": sorted(set(generations)),
        "costs": costs,
    }
