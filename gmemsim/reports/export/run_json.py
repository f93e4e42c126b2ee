# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary of a run as one JSON object: what ``gmemsim run --json`` prints."""

from __future__ import annotations

import json
from pathlib import Path

from gmemsim.reports import Reportable
from gmemsim.reports.views import View


def write(view: View, path: Path) -> None:
    """Write the summary to ``path``."""
    path.write_text(as_text(view.result), encoding="utf-8", newline="\n")


def as_text(result: Reportable) -> str:
    """The summary of ``result`` as text."""
    return json.dumps(result.summary, indent=2, allow_nan=False) + "\n"
