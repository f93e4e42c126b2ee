# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gmemsim.sim.run  # noqa: F401 - each pytest inside would import it anew

pytest_plugins = ["pytester"]

SCENARIO = """\
gmemsim: 1
host: {hugetlb: {1G: 1}}
guests: [{name: vm0, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, id: shared}
  - convert: {guest: vm0, offset: 0, size: 4K, to: private}
expect:
  - {metric: filemap_nodes.live, eq: 4162, after: shared}
  - {metric: vmemmap.peak, approx: 4000, rel: 0.05}
  - {metric: filemap_nodes.live, eq: 1}
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "gmemsim.testing.plugin", "-p", "no:cacheprovider", *arguments)


def test_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        from gmemsim import GuestMemfd, Host

        def test_guest(gmem_host, gmem_guest):
            gmem_guest.set_attributes(0, 4096, private=False)
            assert gmem_host.ledger.tallies["filemap_nodes"].live == 4162

        def test_failures(gmem_fail_nth):
            def make():
                guest = GuestMemfd(Host(hugetlb={1 << 21: 1}), "a", size=1 << 21, backing=1 << 21)
                guest.allocate(0, 1 << 21)
                return guest
            failures = list(gmem_fail_nth(make, lambda g: g.set_attributes(0, 4096, private=False), account="vmemmap"))
            assert [failure.error.name for failure in failures] == ["ENOMEM"] * 7

        class TestOwnHost:
            @pytest.fixture
            def gmem_host(self):
                return Host(hugetlb={1 << 30: 1}, kernel_memory=1 << 20)

            def test_it_is_the_guests(self, gmem_host, gmem_guest):
                assert gmem_guest.host is gmem_host
    """)
    run(pytester).assert_outcomes(passed=3)


def test_broken_invariants_are_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_breaks(gmem_guest):
            gmem_guest.inode.count_folios([(0, 1)])
    """)
    run(pytester).assert_outcomes(passed=1, errors=1)


def test_a_scenario_is_a_test_an_expectation(pytester: pytest.Pytester) -> None:
    pytester.makefile(".gmem.yaml", split=SCENARIO)
    pytester.makefile(".yaml", other="gmemsim: 1\nthis is no test")
    result = run(pytester, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "split.gmem.yaml::filemap_nodes*live eq 4162 after shared PASSED*",
            "split.gmem.yaml::vmemmap*peak approx 4000 PASSED*",
            "split.gmem.yaml::filemap_nodes*live eq 1 PASSED*",
        ]
    )


def test_an_expectation_that_fails_says_what_was_found_and_where(pytester: pytest.Pytester) -> None:
    pytester.makefile(".gmem.yaml", split=SCENARIO.replace("eq: 4162", "le: 4000").replace("rel: 0.05", "rel: 0.01"))
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*split.gmem.yaml:9: expected filemap_nodes.live le 4000 after shared, found 4162",
            "*split.gmem.yaml:10: expected vmemmap.peak approx 4000 within 1 %, found 4095",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_errors_of_steps(pytester: pytest.Pytester) -> None:
    step = "  - convert: {guest: vm0, offset: 0, size: 8K, to: private, expect_error: {errno: EAGAIN}}\n"
    pin = "  - pin: {guest: vm0, offset: 0, size: 4K}\n"
    text = SCENARIO.partition("  - convert: {guest: vm0, offset: 0, size: 4K, to: private}")[0]
    pytester.makefile(".gmem.yaml", good=text + pin + step, bad=text + step)
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*bad.gmem.yaml:7: expected steps.2.errno eq EAGAIN, found success"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gmemsim: 1\n", "*x.gmem.yaml:1:1: found no key 'guests', expected a scenario to have one"),
        (SCENARIO.partition("expect")[0], "*x.gmem.yaml: expects nothing, so there is nothing to test"),
    ],
)
def test_files_that_are_no_tests_are_errors(pytester: pytest.Pytester, text: str, line: str) -> None:
    pytester.makefile(".gmem.yaml", x=text)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([line])


def test_a_scenario_that_cannot_be_simulated_fails_all_of_its_tests(pytester: pytest.Pytester) -> None:
    pytester.makefile(".gmem.yaml", x=SCENARIO.replace("memory: 1G", "memory: 2G"))
    result = run(pytester)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*x.gmem.yaml: refused: guest vm0 cannot be created: *"])


def test_one_test_of_a_scenario_can_be_chosen(pytester: pytest.Pytester) -> None:
    path = pytester.makefile(".gmem.yaml", split=SCENARIO)
    run(pytester, f"{path}::filemap_nodes.live eq 1").assert_outcomes(passed=1)


def test_another_plugin_may_have_a_host(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import pytest

        @pytest.fixture(scope="session")
        def host():
            return "the other plugin's"
    """)
    pytester.makepyfile("""
        def test_both(host, gmem_guest):
            assert host == "the other plugin's"
            gmem_guest.set_attributes(0, 4096, private=False)
    """)
    run(pytester).assert_outcomes(passed=1)


def test_pytest_starts_without_what_is_not_used() -> None:
    code = (
        "import sys, pytest, gmemsim.testing.plugin; print(sorted(name for name in sys.modules if "
        "name.partition('.')[0] in ('numpy', 'attrs', 'sortedcontainers', 'yaml', 'click') or "
        "name.startswith(('gmemsim.gmem', 'gmemsim.sim', 'gmemsim.scenario', 'gmemsim.host'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
