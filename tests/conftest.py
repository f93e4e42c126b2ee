# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for the whole suite: no deadlines, tests that are long or not traced, when the oracle is needed."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from fnmatch import fnmatchcase

import coverage
import pytest
from hypothesis import HealthCheck, settings

ORACLE_REQUIRED = os.environ.get("GMEMSIM_ORACLE") == "required"
"""Set by ``.ci/run`` once it has built the oracle."""

settings.register_profile("gmemsim", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("gmemsim")
# No test looks at the time that it takes: a machine that is busy is no fault.  What fails prints how to see it again.

LONG = (
    "bench/test_rows.py*measures_something*",
    "docs/test_docs.py*the_site_builds*",
    "fuzz/test_planted.py*hysteresis*",
    "gmem/test_failures.py*any?",
    "gmem/test_laws.py*Many*",
    "gmem/test_orderings.py*any?",
    "mutants/test_mutants.py*the_next_one_goes_on*",
    "reports/test_comparison.py*nothing_overlaps?1-*",
    "reports/test_comparison.py*nothing_overlaps?0-[13]?",
    "reports/test_figures.py*always_the_same*-[!e]*",
    "reports/test_html.py*64_guests*",
    "reports/test_html.py*a_long_run*",
    "reports/test_plot.py*always_the_same?[!gh]*",
    "scenario/test_files.py*very_many*",
    "scenario/test_host_accesses.py*a_share",
    "test_faults.py*at_the_end_of_the_run*",
    "test_faults.py*what_is_equal_is_equal*first?",
    "test_ladders.py*of_a_1g*",
    "test_notebooks.py*hvo?",
    "test_notebooks.py*near-its-limit?",
    "test_readme.py*faults.md?",
    "test_recorders.py*a_slow_look*",
    "test_reserve.py*closed_forms*1G*",
    "test_reserve.py*one_object_less*block-70-[!s]*",
    "test_run.py*boot-sensitivity?",
    "test_three_users.py*the_two_commands*",
    "test_timeline.py*a_million*",
    "test_wheel.py*runs_in_an_empty_folder?[!ci]*",
    "test_wheel.py*runs_in_an_empty_folder?compare?",
    "xarray/parity/test_split.py*every_split*6?",
    "xarray/test_golden.py*eager*",
    "xarray/test_kernel_differences.py*every_mistake*",
    "xarray/test_show.py*nothing_is_lost*eager?",
)
"""Tests (patterns of their ids) that take long: most say the same as others of their file about something larger, some
try very many examples.  `make long` has them."""

UNTRACED = (
    "bench/*",
    "oracle/*",
    "*/test_laws.py*",
    "test_identity.py*",
    "*boot-16g*",
    "*boot-sensitivity*",
    "docs/test_docs.py*the_site_builds*",
    "fuzz/test_planted.py*",
    "*host-64-guests*",
    "gmem/test_failures.py*any?",
    "gmem/test_orderings.py*any?",
    "host/test_ledger_machine.py*",
    "mutants/*",
    "reports/test_html.py*64_guests*",
    "reports/test_html.py*a_long_run*",
    "scenario/test_files.py*very_many*",
    "scenario/test_fuzz.py*",
    "scenario/test_host_accesses.py*change_no_counts*",
    "scenario/test_traces.py*is_read_quickly*",
    "test_failures_page.py*",
    "test_ladders.py*brute_force*",
    "test_notebooks.py*",
    "test_readme.py*faults.md?",
    "test_readme.py*recorded-guest*",
    "test_readme.py*reserve.md?",
    "test_readme.py*tune.md?",
    "test_reserve.py*closed_forms*1G*",
    "test_reserve.py*no_other_block*",
    "test_three_users.py*",
    "test_wheel.py*",
    "xarray/parity/test_split.py*every_split*",
    "xarray/test_failures.py*every_point*",
    "xarray/test_failures.py*points_up_to_64*",
    "xarray/test_kernel_differences.py*",
    "xarray/test_show.py*nothing_is_lost*",
    "xarray/test_show.py*three_nodes*",
)
"""Tests (patterns of their ids) that do the same things very often, or look at the clock.  Tracing a line takes as long
as the line, so coverage of all would double the time of the suite; what these reach, others reach too.  Processes that
they start are not measured either."""

PROCESSES_MEASURED = "COVERAGE_PROCESS_CONFIG"
"""With this variable of coverage.py, a Python that starts measures itself."""


def _among(item: pytest.Item, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(item.nodeid, f"tests/{pattern}") for pattern in patterns)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in :data:`LONG`."""
    for item in items:
        if _among(item, LONG):
            item.add_marker(pytest.mark.long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Pause the measurement of coverage for the tests in :data:`UNTRACED`."""
    measurement = coverage.Coverage.current()
    if measurement is None or not _among(item, UNTRACED):
        return (yield)
    measurement.stop()
    of_processes = os.environ.pop(PROCESSES_MEASURED, None)
    try:
        return (yield)
    finally:
        if of_processes is not None:
            os.environ[PROCESSES_MEASURED] = of_processes
        measurement.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test of the oracle fails where the oracle is required."""
    report = yield
    if ORACLE_REQUIRED and report.skipped and item.get_closest_marker("oracle") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"GMEMSIM_ORACLE=required, but skipped: {report.longrepr}"
    return report
