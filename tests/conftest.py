# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for the whole suite: tests of the oracle may be required, and tests that only repeat are not traced."""

from __future__ import annotations

import os
from collections.abc import Generator
from fnmatch import fnmatchcase

import coverage
import pytest

ORACLE_REQUIRED = os.environ.get("GMEMSIM_ORACLE") == "required"
"""Set by ``.ci/run`` once it has built the oracle."""

UNTRACED = (
    "bench/*",
    "oracle/*",
    "*/test_laws.py*",
    "test_identity.py*",
    "*boot-sensitivity*",
    "*host-64-guests*",
    "gmem/test_failures.py*any?",
    "host/test_ledger_machine.py*",
    "scenario/test_fuzz.py*",
    "scenario/test_traces.py*is_read_quickly*",
    "test_wheel.py*",
    "test_observers.py*a_slow_look*",
    "xarray/parity/test_split.py*every_split*",
    "xarray/test_kernel_differences.py*",
    "xarray/test_show.py*nothing_is_lost*",
)
"""Tests (patterns of their ids) that do the same things very often, or look at the clock.  Tracing a line takes as long
as the line, so coverage of all would double the time of the suite; what these reach, others reach too."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Pause the measurement of coverage for the tests in :data:`UNTRACED`."""
    measurement = coverage.Coverage.current()
    if measurement is None or not any(fnmatchcase(item.nodeid, f"tests/{pattern}") for pattern in UNTRACED):
        return (yield)
    measurement.stop()
    try:
        return (yield)
    finally:
        measurement.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test of the oracle fails where the oracle is required."""
    report = yield
    if ORACLE_REQUIRED and report.skipped and item.get_closest_marker("oracle") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"GMEMSIM_ORACLE=required, but skipped: {report.longrepr}"
    return report
