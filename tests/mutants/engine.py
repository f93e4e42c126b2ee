# SPDX-License-Identifier: GPL-2.0-or-later
"""Running tests on mutants: one pytest session collects them once, and a fork of it is made for each mutant.

Theory of operation
-------------------
:class:`Session` is a pytest plugin that takes the place of pytest's own loop.  First a fork runs every test under
coverage and writes the map: how much CPU time each takes and which lines it executes.  Then, for each mutant, a fork
puts the mutant's code into the functions that are loaded already (``__code__`` of the original is found among all
functions that exist), and runs the tests that execute its line, those of its own room and the quick ones first, until
one fails.  Such a fork costs milliseconds; importing and collecting all over again would cost many seconds.

What such a fork cannot show is a mistake in what is computed at import, or cached since.  So a mutant that survives,
and one outside of any function, is run once more in a fork that was made before anything of ours was imported
(:func:`fresh`): there an import hook gives the mutant's source.

A test that takes many times the CPU time of the original is an endless loop: ``ITIMER_PROF`` ends the process.  Memory
is bounded by ``RLIMIT_AS``.  Neither looks at a clock on the wall, so a loaded machine kills no mutant.
"""

from __future__ import annotations

import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import coverage
import pytest
from attrs import define, field, frozen

from tests.mutants.plan import ROOT, Mutant, mutate

SLACK: Final = 3.0
"""Seconds of CPU time that any test may take."""

TIMES: Final = 10.0
"""How many times the original's CPU time a test may take beyond that."""

MEMORY: Final = 6 << 30
"""Bytes of address space of a fork."""

SUITE: Final = (
    "tests/xarray",
    "tests/host",
    "tests/gmem",
    "tests/test_run.py",
    "tests/test_recorders.py",
    "tests/model",
)
"""The tests that are tried on mutants: those of the rooms, and of whole runs."""

UNTRACED: Final = ("tests/xarray/test_golden.py",)
"""Tests that execute so many lines so often that tracing them takes longer than all others together: like the laws that
tests/conftest.py names, they are tried after the tests that are known to execute the line."""

# Assertions stay plain: pytest's import hook would also load what belongs to a plugin, such as all of gmemsim, from its
# file, before the hook that has the mutant is asked.
OPTIONS: Final = (
    "-o",
    "addopts=",
    "-p",
    "no:terminal",
    "-p",
    "no:cacheprovider",
    "--assert=plain",
    "--hypothesis-seed=0",
)


@frozen
class Verdict:
    """What became of a mutant."""

    outcome: str
    """``killed``, ``timeout`` (killed by taking too long) or ``survived``."""
    by: str = ""
    """The test that failed."""
    tests: int = 0
    """Tests that were run."""
    slow: bool = False
    """Whether only a test that is not traced, such as a law, has killed it."""


@define
class Map:
    """CPU time of each test, and the tests that execute each line of the sources."""

    seconds: dict[str, float] = field(factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(factory=dict)
    """By source and line."""

    @classmethod
    def read(cls, path: Path) -> Map:
        """The map that :meth:`write` has written."""
        held = json.loads(path.read_text())
        names = held["tests"]
        lines = {
            module: {int(line): [names[number] for number in tests] for line, tests in by_line.items()}
            for module, by_line in held["lines"].items()
        }
        return cls(dict(zip(names, held["seconds"], strict=True)), lines)

    def write(self, path: Path) -> None:
        """Write it, each test's name once."""
        numbers = {name: number for number, name in enumerate(self.seconds)}
        lines = {
            module: {line: [numbers[name] for name in tests if name in numbers] for line, tests in by_line.items()}
            for module, by_line in self.lines.items()
        }
        held = {"tests": [*numbers], "seconds": [*self.seconds.values()], "lines": lines}
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(held))
        partial.rename(path)

    def tests_of(self, mutant: Mutant, budget: float) -> tuple[list[str], int]:
        """The tests to try in turn, of ``budget`` seconds together, and how many of them execute the line.

        After those that execute the line come those of the room whose lines were not traced (laws, state machines).
        """
        room = f"tests/{mutant.room}/"
        by_line = self.lines.get(mutant.module, {})
        hits = by_line.get(mutant.line, []) if mutant.function else []
        traced = {name for by_line in self.lines.values() for tests in by_line.values() for name in tests}
        if (
            not hits
        ):  # what is executed at import only, be it in a function or not, may matter to all that use the source
            hits = [name for tests in by_line.values() for name in tests]
        first = sorted(
            set(hits), key=lambda name: (self.seconds[name] > 1, not name.startswith(room), self.seconds[name])
        )
        laws = [name for name in self.seconds if name.startswith(room) and name not in traced]
        chosen: list[str] = []
        for name in [*first, *sorted(laws, key=self.seconds.__getitem__)]:
            budget -= self.seconds[name]
            if budget < 0 and chosen:
                break
            chosen.append(name)
        return chosen, min(len(first), len(chosen))


class Session:
    """The plugin: ``work`` is called with it in place of pytest's loop, once the tests have been collected."""

    def __init__(self, work: Callable[[Session], None]) -> None:
        self._work = work
        self.items: dict[str, pytest.Item] = {}
        self._failed = ""
        self._limits: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        """Bring Hypothesis into line before any test is imported."""
        _quiet_hypothesis()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do the work instead of running the tests."""
        self.items = {item.nodeid: item for item in session.items}
        self._work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first test that failed."""
        if report.failed and not self._failed:
            self._failed = report.nodeid

    def run(self, names: Sequence[str], limits: dict[str, float] | None = None) -> Iterator[tuple[str, float, bool]]:
        """Run tests in this process: the name of each, its CPU time, and whether it passed."""
        for name in names:
            item = self.items[name]
            self._failed = ""
            if limits is not None:
                signal.setitimer(signal.ITIMER_PROF, SLACK + TIMES * limits.get(name, 1.0))
            started = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            yield name, time.process_time() - started, not self._failed


def collect(work: Callable[[Session], None], suite: Sequence[str]) -> None:
    """Start pytest in this process, collect the tests of ``suite`` and do ``work``."""
    pytest.main([*OPTIONS, *suite], plugins=[Session(work)])


def _quiet_hypothesis() -> None:
    """The same examples each time, no files, no failure for being slow."""
    import hypothesis

    hypothesis.settings.register_profile(
        "mutants",
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=[*hypothesis.HealthCheck],
    )
    hypothesis.settings.load_profile("mutants")


def in_fork(function: Callable[[], object]) -> tuple[object, int]:
    """Call ``function`` in a fork: what it returned (as JSON), and the signal that ended it (0 if none)."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            answer = json.dumps(function()).encode()
        except BaseException as error:  # whatever a mutant raises, this process ends here
            answer = json.dumps({"raised": f"{type(error).__name__}: {error}"[:200]}).encode()
        os.write(send, answer)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(answer) if answer else None, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def make_map(session: Session, path: Path) -> None:
    """Run every test once, and write the map of what they execute; tests that fail are left out."""

    def work() -> None:
        made = Map()
        data = path.with_suffix(".coverage")
        measurement = coverage.Coverage(
            data_file=str(data), source_pkgs=["gmemsim"], config_file=False, check_preimported=False
        )
        measurement.set_option("run:disable_warnings", ["already-imported", "module-not-measured", "no-data-collected"])
        measurement.start()
        for untraced in (False, True):
            if untraced:
                measurement.stop()
            names = [name for name in session.items if name.startswith(UNTRACED) == untraced]
            for name in names:
                if not untraced:
                    measurement.switch_context(name)
                for _, seconds, passed in session.run([name]):
                    if passed:
                        made.seconds[name] = round(seconds, 4)
        held = measurement.get_data()
        for file in held.measured_files():
            by_line = {
                line: sorted(set(names) & made.seconds.keys()) for line, names in held.contexts_by_lineno(file).items()
            }
            made.lines[str(Path(file).relative_to(ROOT))] = by_line
        made.write(path)

    error, ended = in_fork(work)
    if error is not None or ended or not path.exists():
        raise RuntimeError(f"the tests could not be mapped: {error}, signal {ended}")


def quick(session: Session, mutant: Mutant, names: Sequence[str], seconds: dict[str, float]) -> Verdict | None:
    """Run the tests on the mutant in a fork of this session; None if it cannot be put into what is loaded."""

    def work() -> list[object]:
        if not implant(mutant):
            return ["no"]
        return _until_one_fails(session, names, seconds)

    return _verdict(*in_fork(work), len(names))


def fresh(mutant: Mutant, names: Sequence[str], seconds: dict[str, float]) -> Verdict:
    """Run the tests on the mutant in a fork of this process, which must not have imported anything of ours."""
    assert not any(name.startswith("gmemsim") for name in sys.modules)

    def work() -> list[object]:
        sys.meta_path.insert(0, _Finder(mutant))
        answer: list[object] = ["killed", "import", 0]

        def judge(session: Session) -> None:
            if session.items.keys() >= {*names}:  # otherwise a file of tests could not be imported
                answer[:] = _until_one_fails(session, names, seconds)

        signal.setitimer(signal.ITIMER_PROF, 120.0)
        collect(judge, sorted({name.partition("::")[0] for name in names}))
        return answer

    verdict = _verdict(*in_fork(work), len(names))
    assert verdict is not None
    return verdict


def _until_one_fails(session: Session, names: Sequence[str], seconds: dict[str, float]) -> list[object]:
    for number, (name, _, passed) in enumerate(session.run(names, seconds), 1):
        if not passed:
            return ["killed", name, number]
    return ["survived", "", len(names)]


def _verdict(answer: object, ended: int, tests: int) -> Verdict | None:
    if ended == signal.SIGPROF:
        return Verdict("timeout", "", tests)
    if not isinstance(answer, list):  # it died, or an exception came out of pytest itself
        return Verdict("killed", str(answer), tests)
    return None if answer == ["no"] else Verdict(*answer)


# -- putting the mutant's code in place ----------------------------------------------------------------------------


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant's module, with the mutant's source."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._path = ROOT / mutant.module
        self._source = mutate(self._path.read_text(), mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification, None for any other."""
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._path), self._source)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a source that is not the file's."""

    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source that was given."""
        return compile(self._source, self.path, "exec", dont_inherit=True)


def implant(mutant: Mutant) -> bool:
    """Put the mutant's code into the function it is in, wherever that function is held; whether that could be done."""
    path = ROOT / mutant.module
    text = path.read_text()
    original = _code_of(compile(text, str(path), "exec", dont_inherit=True), mutant.function)
    mutated = _code_of(compile(mutate(text, mutant), str(path), "exec", dont_inherit=True), mutant.function)
    if original is None or mutated is None or original.co_freevars != mutated.co_freevars:
        return False
    functions = [
        one
        for one in gc.get_objects()
        if type(one) is FunctionType
        and one.__code__.co_firstlineno == original.co_firstlineno
        and one.__code__.co_qualname == mutant.function
        and one.__code__.co_filename == str(path)
    ]
    for function in functions:
        function.__code__ = mutated
    return bool(functions)


def _code_of(code: CodeType, qualname: str) -> CodeType | None:
    """The code of the function of that name within the code of a module."""
    rest: list[Any] = [code]
    while rest:
        one = rest.pop()
        if isinstance(one, CodeType):
            if one.co_qualname == qualname:
                return one
            rest += one.co_consts
    return None


def parses(text: str) -> bool:
    """Whether a mutant is a program at all."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
