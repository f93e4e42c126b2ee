# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables that benchmarks leave behind: printed at the end of the run, ratios within one run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter
from rich.console import Console
from rich.table import Table

TABLES = pytest.StashKey[list[Table]]()


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[[Table], None]:
    """Print this table when all benchmarks are done."""
    return request.config.stash.setdefault(TABLES, []).append


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    for table in config.stash.get(TABLES, []):
        console = Console(width=120)
        with console.capture() as capture:
            console.print(table)
        terminalreporter.write_line("")
        terminalreporter.write(capture.get())
