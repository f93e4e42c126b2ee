# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin: fixtures for a simulated host, and scenario files as tests.  Active once gmemsim is installed.

Theory of operation
-------------------
``gmem_host``, ``gmem_guest`` and ``gmem_fail_nth`` are fixtures; a test module that defines its own ``gmem_host`` gives
``gmem_guest`` that one.  When a test is over, the invariants of both must hold.  The names begin with ``gmem_`` because
plugins share them: pytest-testinfra has a ``host`` too.

pytest imports this module wherever gmemsim is installed, so it imports nothing of gmemsim until a fixture is used or a
scenario is found.

Files named ``*.gmem.yaml`` are scenarios (``gmemsim schema`` describes them) and are collected like test modules: one
test for each expectation, and one for all the errors that steps must end with.  The scenario runs once, with its first
test.  A file that is no scenario, or expects nothing, is an error of the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gmemsim.gmem.guest import GuestMemfd
    from gmemsim.host.host import Host
    from gmemsim.scenario.model import Expectation, Scenario
    from gmemsim.testing.each_nth import Failure

SUFFIX = ".gmem.yaml"
"""What a scenario that is a test is called."""

GUEST_BYTES = 1 << 30
"""The fixture's guest: one hugepage of 1G."""


@pytest.fixture
def gmem_host() -> Host:
    """A host with 4 hugepages of 1G and 512 of 2M, and no limit on the kernel's memory."""
    from gmemsim.host.host import Host

    return Host(hugetlb={1 << 30: 4, 2 << 20: 512})


@pytest.fixture
def gmem_guest(gmem_host: Host) -> Iterator[GuestMemfd]:
    """A guest of 1G on one 1G hugepage of ``gmem_host``, allocated and private; both are checked after the test."""
    from gmemsim.gmem.guest import GuestMemfd

    made = GuestMemfd(gmem_host, "guest", size=GUEST_BYTES, backing=GUEST_BYTES)
    made.allocate(0, GUEST_BYTES)
    yield made
    made.check()
    gmem_host.check()


@pytest.fixture
def gmem_fail_nth() -> Callable[..., Iterator[Failure]]:
    """:func:`gmemsim.testing.fail_nth`: fail each allocation of a call in turn."""
    from gmemsim.testing.each_nth import fail_nth

    return fail_nth


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of the file at ``file_path``, below ``parent``, if it is a scenario file that is a test, else
    ``None``.
    """
    if not file_path.name.endswith(SUFFIX):
        return None
    collector: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
    return collector


class ScenarioFile(pytest.File):
    """A scenario: its expectations are its tests."""

    def collect(self) -> Iterable[pytest.Item]:
        """A test an expectation, and one for the errors of steps."""
        from gmemsim.errors import InputError

        try:
            scenario = self.scenario
        except InputError as error:
            raise self.CollectError(str(error)) from None
        for index, expectation in enumerate(scenario.expect):
            yield ExpectationItem.from_parent(self, name=_name(expectation), index=index)
        if any(step.expect_error for step in scenario.workload):
            yield ErrorsItem.from_parent(self, name="errors of steps")
        elif not scenario.expect:
            raise self.CollectError(f"{self.path}: expects nothing, so there is nothing to test")

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario in the file; ``InputError`` if it is not one."""
        from gmemsim.scenario.format.load import load_scenario

        return load_scenario(self.path)

    @cached_property
    def verdicts(self) -> list[Mapping[str, Any]]:
        """The run's entry for each expectation, then those for the steps that must fail."""
        from gmemsim.sim.run import run

        verdicts: list[Mapping[str, Any]] = run(self.scenario).summary["expect"]
        return verdicts


class UnmetError(Exception):
    """What was expected and what was found, a line each."""


class ScenarioItem(pytest.Item):
    """A test of a scenario: it passes if all of its verdicts are ok."""

    parent: ScenarioFile

    def judged(self) -> list[Mapping[str, Any]]:
        """The verdicts that this test is about."""
        raise NotImplementedError

    def runtest(self) -> None:
        """Run the scenario, unless an earlier test has."""
        failed = [entry for entry in self.judged() if not entry["ok"]]
        if failed:
            raise UnmetError("\n".join(self._line(entry) for entry in failed))

    def _line(self, entry: Mapping[str, Any]) -> str:
        tolerance = f" within {100 * entry['rel']:g} %" if "rel" in entry else ""
        after = f" after {entry['after']}" if "after" in entry else ""
        wanted = f"{entry['metric']} {entry['op']} {entry['expected']}{tolerance}{after}"
        return f"{self.path}:{entry['line']}: expected {wanted}, found {entry['value']}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Only the lines of ``excinfo``, without a traceback, where they say all.

        Otherwise it is shown in the ``style`` that pytest wants (default: as configured).
        """
        from gmemsim.errors import SimulationRefused

        if isinstance(excinfo.value, UnmetError):
            return str(excinfo.value)
        if isinstance(excinfo.value, SimulationRefused):
            return f"{self.path}: refused: {excinfo.value}"
        return super().repr_failure(excinfo, style)


class ExpectationItem(ScenarioItem):
    """The expectation number ``index`` (from 0); ``settings`` are those of every item of pytest."""

    def __init__(self, *, index: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._index = index

    def judged(self) -> list[Mapping[str, Any]]:
        """The one verdict."""
        return [self.parent.verdicts[self._index]]

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the expectation stands."""
        return self.path, self.parent.scenario.expect[self._index].where.line - 1, self.name


class ErrorsItem(ScenarioItem):
    """All steps that must fail, fail as they must."""

    def judged(self) -> list[Mapping[str, Any]]:
        """The verdicts after those of the expectations."""
        return self.parent.verdicts[len(self.parent.scenario.expect) :]


def _name(expectation: Expectation) -> str:
    """``filemap_nodes.peak eq 4162``, and after which step."""
    after = f" after {expectation.after}" if expectation.after else ""
    return f"{expectation.metric} {expectation.op} {expectation.value}{after}"
