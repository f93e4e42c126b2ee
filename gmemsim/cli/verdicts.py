# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines on standard error for expectations that do not hold, where no screen shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


def name_failures(file: str, summary: Mapping[str, Any]) -> None:
    """A line for every failed expectation in ``summary``, of the scenario in ``file``."""
    from gmemsim.reports.screen import run as text

    for entry in summary["expect"]:
        if not entry["ok"]:
            click.echo(f"{file}:{entry['line']}: expected {text.wanted(entry)}, found {text.found(entry)}", err=True)
