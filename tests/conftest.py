# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for the whole suite: where the oracle must be there, no test that asks it may be skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

ORACLE_REQUIRED = os.environ.get("GMEMSIM_ORACLE") == "required"
"""Set by ``.ci/run`` once it has built the oracle."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test of the oracle fails where the oracle is required."""
    report = yield
    if ORACLE_REQUIRED and report.skipped and item.get_closest_marker("oracle") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"GMEMSIM_ORACLE=required, but skipped: {report.longrepr}"
    return report
