# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests themselves: none asserts a wall time, and `make test` measures what runs from the first import on."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]

CLOCKS = {
    *("time.time", "time.monotonic", "time.perf_counter"),
    *("time.time_ns", "time.monotonic_ns", "time.perf_counter_ns"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "timeit.timeit", "timeit.repeat", "timeit.default_timer"),
}
"""What reads a clock on the wall.  CPU time (``process_time``) is what a test may bound, generously."""

IMPORTS_A_CLOCK = re.compile(r"^ *(from|import) (time|datetime|timeit)\b", re.M)

ARITHMETIC = {"abs", "float", "int", "max", "min", "round", "sum"}
"""Functions of a reading that are readings; what others return may have been waited for, which is patience."""


class Readings:
    """Where a source asserts something of a wall time.

    A name that is given a reading, and a function that returns one, are readings themselves wherever the source has
    that name; a reading that ends a loop is patience, not an assertion.
    """

    def __init__(self, text: str) -> None:
        self._tree = ast.parse(text)
        self._names: set[str] = set()
        self._modules: dict[str, str] = {}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                self._modules |= {one.asname or one.name: one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom):
                self._modules |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        known = -1
        while known < len(self._names):
            known = len(self._names)
            self._names |= {name for node in ast.walk(self._tree) for name in self._given(node)}

    def asserted(self) -> list[int]:
        """The lines of the assertions."""
        return [
            node.lineno for node in ast.walk(self._tree) if isinstance(node, ast.Assert) and self._is_reading(node.test)
        ]

    def _given(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.FunctionDef():
                if any(isinstance(one, ast.Return) and self._is_reading(one.value) for one in ast.walk(node)):
                    yield node.name
            case ast.Assign(targets=targets, value=value) if self._is_reading(value):
                yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=value)
                | ast.AugAssign(target=ast.Name(id=name), value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ) if self._is_reading(value):
                yield name

    def _is_reading(self, node: ast.AST | None) -> bool:
        """Whether the value of an expression is made of a reading."""
        if node is None:
            return False
        if self._dotted(node) in CLOCKS or (isinstance(node, ast.Name) and node.id in self._names):
            return True
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in ARITHMETIC):
            return self._is_reading(node.func)
        return any(self._is_reading(one) for one in ast.iter_child_nodes(node))

    def _dotted(self, node: ast.AST) -> str:
        """The full name of what an expression names, empty if it names nothing."""
        match node:
            case ast.Name(id=name):
                return self._modules.get(name, "")
            case ast.Attribute(value=value, attr=attr):
                return f"{self._dotted(value)}.{attr}"
            case _:
                return ""


@pytest.mark.parametrize(
    "text",
    [
        "import time\nstart = time.time()\nassert time.time() - start < 1",
        "from time import perf_counter as now\nstart = now()\ntook = round(now() - start)\nassert took < 1",
        "import time\ndef took():\n    return time.monotonic()\ndef test():\n    assert took() < 1",
        "import time\nclock = time.perf_counter_ns\ntotal = 0\ntotal += clock()\nassert not total > 1",
        "from datetime import datetime\nassert (end := datetime.now())",
        "import timeit\nassert timeit.timeit('pass') < 1",
    ],
)
def test_an_assertion_on_a_wall_time_is_found(text: str) -> None:
    assert Readings(text).asserted() == [len(text.splitlines())]


@pytest.mark.parametrize(
    "text",
    [
        "import time\nstart = time.process_time()\nassert time.process_time() - start < 1",
        "import time\nend = time.monotonic() + 100\nwhile time.monotonic() < end:\n    x = 1\nassert x",
        "import time\nend = time.time() + 9\nready = poll(max(0, end - time.time()))\nassert ready, 'in time'",
        "import model\nassert model.time.time() == 0",
    ],
)
def test_cpu_time_and_patience_are_none(text: str) -> None:
    assert Readings(text).asserted() == []


def test_no_test_asserts_a_wall_time() -> None:
    """A machine that is busy is no fault."""
    texts = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    clocks = {path: text for path, text in texts.items() if IMPORTS_A_CLOCK.search(text)}
    assert clocks, "some wait, but not for ever"
    assert not {path: lines for path, text in clocks.items() if (lines := Readings(text).asserted())}


PLUGIN = "gmemsim/testing/plugin.py"

LATE = "import sys, gmemsim.testing.plugin; from coverage.cmdline import main; sys.exit(main())"
"""Coverage, begun when the plugin and with it the package have been imported already."""


def _recipe() -> list[str]:
    """How `make test` starts the tests."""
    (line,) = re.findall(r"^\t@\S+ \$\(PY\) (-m coverage run .*)$", (ROOT / "Makefile").read_text(), re.M)
    return shlex.split(line)


@pytest.mark.parametrize(("late", "measured"), [(False, True), (True, False)], ids=["make test", "late"])
def test_coverage_starts_before_the_plugin_imports_the_package(tmp_path: Path, late: bool, measured: bool) -> None:
    """Lines that run at import are measured, in pytest's own process and in that of its worker."""
    test = tmp_path / "test_nothing.py"
    test.write_text("def test_nothing():\n    pass\n")
    values = {"$(WORKERS)": "1", "$(TESTS)": str(test)}
    arguments = [values.get(word, word) for word in _recipe()]
    if late:
        arguments[:2] = ["-c", LATE]
    # Not the coverage of whoever runs this test; of the plugins those that it needs: some take seconds to import.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"COVERAGE_FILE": str(tmp_path / "data"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["PYTEST_ADDOPTS"] = "-p xdist -p pytest_timeout -p gmemsim.testing.plugin"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    files = sorted(tmp_path.glob("data.*"))
    assert len(files) == 2
    assert all(_at_import(file) for file in files) == measured


def _at_import(file: Path) -> bool:
    """Whether coverage's data ``file`` has the first statements of the package and of the plugin."""
    data = coverage.CoverageData(str(file))
    data.read()
    return all(
        _first_statement(ROOT / name) in (data.lines(str(ROOT / name)) or ())
        for name in ("gmemsim/__init__.py", PLUGIN)
    )


def _first_statement(path: Path) -> int:
    """The line of the first statement of a source behind its docstring."""
    return ast.parse(path.read_text()).body[1].lineno
