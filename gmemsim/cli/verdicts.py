# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines on standard error for expectations that do not hold, where no screen shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gmemsim.cli.terminal import say
from gmemsim.reports.words import found, wanted


def name_failures(file: str, summary: Mapping[str, Any]) -> None:
    """A line for every failed expectation in ``summary``, of the scenario in ``file``."""
    for entry in summary["expect"]:
        if not entry["ok"]:
            say(f"{file}:{entry['line']}: expected {wanted(entry)}, found {found(entry)}", err=True)
