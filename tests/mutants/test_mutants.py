# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutation testing itself: places and operators, the map, forks that end, and a run that goes on where it was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.mutants.__main__ import Results, bound, change, report
from tests.mutants.engine import Map, Verdict, in_fork
from tests.mutants.plan import OPERATORS, ROOT, Mutant, Places, mutants, mutate, sample, sources

pytest.importorskip("parso")

with_the_tool = pytest.mark.skipif(find_spec("cosmic_ray") is None, reason="installed by `make mutants`")

SOURCE = '''\
"""Doc."""
LIMIT: int = 4


class Box:
    def __init__(self, size: int = 1) -> None:
        """Doc."""
        self.size: int | None = size
        self.left = size

    def take(self, n: int) -> int:
        if n > self.size: raise ValueError
        self.left -= n; print(n)
        return self.left
'''


def test_statements_that_do_something_are_deleted() -> None:
    found = mutants("m.py", SOURCE, ["DeleteStatement"])
    assert [(one.line, one.function) for one in found] == [
        (8, "Box.__init__"),
        (9, "Box.__init__"),
        (13, "Box.take"),
    ]
    assert mutate(SOURCE, found[1]) == SOURCE.replace("self.left = size", "pass")
    assert mutate(SOURCE, found[2]) == SOURCE.replace("self.left -= n", "pass")


def test_no_mutant_where_nothing_runs() -> None:
    places = Places(SOURCE + "if TYPE_CHECKING:\n    import x\n")
    assert places.meaningless((8, 19)), "an annotation"
    assert places.meaningless((16, 4)), "for type checkers only"
    assert not places.meaningless((8, 32))
    assert places.function((6, 36)) == "", "a default is computed when the function is made"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("pairs = zip(a, b, strict=True)", []),
        ("pairs = zip(a, b, strict=False)", ["False"]),
        ("pairs = zip(a, True, strict=True)", ["True"]),
        ("pairs = other(a, strict=True)", ["True"]),
        ("@lru_cache(maxsize=8)\ndef f(n: int = 3) -> None:\n    return 4", ["3", "4"]),
        ("@functools.lru_cache(8, typed=True)\ndef f() -> None:\n    return 4", ["True", "4"]),
        ("size = f(maxsize=8)", ["8"]),
    ],
)
def test_no_mutant_of_an_assertion_or_of_the_size_of_a_cache(text: str, left: list[str]) -> None:
    places = Places(text)
    lines = text.splitlines()
    words = [
        (match[0], (number, match.start()))
        for number, line in enumerate(lines, 1)
        for match in re.finditer(r"True|False|\d+", line)
    ]
    assert [word for word, place in words if not places.meaningless(place)] == left


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no such place"):
        mutate(SOURCE, Mutant("m.py", 1, 0, "DeleteStatement", 99))


@with_the_tool
def test_every_operator_is_there_and_makes_programs() -> None:
    text = (ROOT / "gmemsim/host/slab.py").read_text()
    found = mutants("gmemsim/host/slab.py", text, OPERATORS)
    assert len({one.operator for one in found}) > 5
    for one in found:
        assert mutate(text, one) != text
        compile(mutate(text, one), "slab.py", "exec")


def test_a_sample_is_decided_by_its_seed() -> None:
    found = [Mutant("m.py", line, 0, "AddNot", line, number=line) for line in range(100)]
    assert sample(found, 7) == sample(found[::-1], 7)
    assert sample(found, 7) != sample(found, 8)
    assert sorted(sample(found, 7)) == found


BEFORE = """\
class Box:
    def size(self, low: int = 0, high: int = 1) -> int:
        if low > 2 and high > 2:  # both
            return 3
        return high - low

    def free(self) -> int:
        return self.room - 1


def twice(box: Box) -> int:
    return box.size(0) + box.size(0)
"""

AFTER = """\
def new(box: Box) -> int:
    return box.size(0) + 1


def twice(box: Box) -> int:
    return box.size(0) + box.size(0)


class Box:
    def free(self) -> int:
        # said again
        return self.room - 1

    def size(
        self,
        high: int = 1,  # by default
        low: int = 0
    ) -> int:
        if low > 2 and high > 3:
            return 3
        return (
            high - low
        )
"""


@with_the_tool
def test_what_else_a_source_holds_and_in_which_order_moves_no_mutant_in_a_sample() -> None:
    before = sample([*mutants("m.py", BEFORE), *mutants("n.py", BEFORE)], 7)
    after = sample([*mutants("m.py", AFTER), *mutants("n.py", BEFORE)], 7)
    kept = {one.key for one in before} & {one.key for one in after}
    changed = {one.text for found in (before, after) for one in found if one.key not in kept}
    assert changed == {
        "Box.size: low > 2 and high > 2",
        "Box.size: low > 2 and high > 3",
        "Box.size: return high - low",
        "Box.size: return ( high - low )",
        "new: return box . size ( 0 ) + 1",
    }
    assert [one.key for one in before if one.key in kept] == [one.key for one in after if one.key in kept]


@with_the_tool
def test_each_mutant_has_a_name_of_its_own() -> None:
    chosen = ("gmemsim/host/costs.py", "gmemsim/host/work.py", "gmemsim/xarray/tree.py")
    found = [one for source in chosen for one in mutants(source, (ROOT / source).read_text())]
    assert len({one.key for one in found}) == len(found) > 500
    assert all(one.text.partition(": ")[2] for one in found)


def test_sources_are_those_of_the_three_rooms() -> None:
    assert {source.split("/")[1] for source in sources()} == {"xarray", "host", "gmem"}
    assert "gmemsim/xarray/lab/cursor.py" in sources()


def test_tests_that_execute_the_line_come_first_the_quick_ones_and_the_room_before(tmp_path: Path) -> None:
    seconds = {
        "tests/gmem/a": 0.1,
        "tests/host/b": 0.2,
        "tests/host/c": 5.0,
        "tests/host/law": 0.01,
        "tests/host/d": 0.1,
    }
    made = Map(
        seconds, {"gmemsim/host/x.py": {3: ["tests/gmem/a", "tests/host/b", "tests/host/c"], 4: ["tests/host/d"]}}
    )
    made.write(tmp_path / "map.json")
    read = Map.read(tmp_path / "map.json")
    assert read == made
    mutant = Mutant("gmemsim/host/x.py", 3, 0, "AddNot", 0, "f")
    assert read.tests_of(mutant, 60) == (["tests/host/b", "tests/gmem/a", "tests/host/c", "tests/host/law"], 3)
    assert read.tests_of(mutant, 1) == (["tests/host/b", "tests/gmem/a"], 2), "within the budget"
    at_import = Mutant("gmemsim/host/x.py", 9, 0, "AddNot", 0, "f")
    everything = ["tests/host/d", "tests/host/b", "tests/gmem/a", "tests/host/c", "tests/host/law"]
    assert read.tests_of(at_import, 60) == (everything, 4), "a function that is called at import only"


def test_a_fork_answers_raises_or_is_ended() -> None:
    import signal

    def forever() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.05)
        while True:
            pass

    assert in_fork(lambda: [1, "a"]) == ([1, "a"], 0)
    assert in_fork(lambda: 1 // 0) == ({"raised": "ZeroDivisionError: integer division or modulo by zero"}, 0)
    assert in_fork(forever) == (None, signal.SIGPROF)


def test_what_is_reported() -> None:
    found = [Mutant("gmemsim/host/x.py", line, 0, "AddNot", line, "f", number=line) for line in range(4)]
    verdicts = dict(
        zip((one.key for one in found), map(Verdict, ["killed", "timeout", "killed", "survived"]), strict=True)
    )
    host, every = report(found, verdicts)
    assert host.startswith("host:   4 mutants, 3 killed (1 by taking too long, 0 by a law only), 1 survived: 75.0%")
    assert every.startswith("all:    4 mutants")
    assert list(report(found, {})) == []
    assert bound(97, 100) == pytest.approx(0.9242, abs=1e-3)
    assert bound(400, 400) == pytest.approx(0.05 ** (1 / 400))


def test_results_that_were_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"key": "a", "outcome": "killed", "by": "t", "tests": 3, "slow": false}\n{"key": "b", "outc')
    results = Results(path)
    results.read([path])
    assert results.verdicts == {"a": Verdict("killed", "t", 3)}


def test_what_was_killed_is_taken_over_but_not_what_a_law_has_killed(tmp_path: Path) -> None:
    lines = [
        {"key": "a", "outcome": "killed", "by": "t", "tests": 3, "slow": False},
        {"key": "b", "outcome": "killed", "by": "law", "tests": 4, "slow": True},
        {"key": "c", "outcome": "survived", "by": "", "tests": 4, "slow": False},
        {"key": "d", "outcome": "timeout", "by": "", "tests": 4, "slow": False},
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ours = Results(tmp_path / "ours.jsonl", {"a": Verdict("survived")})
    ours.take(path)
    assert ours.verdicts == {"a": Verdict("survived"), "d": Verdict("timeout", "", 4)}


def test_a_change_is_named_by_its_lines() -> None:
    module = "gmemsim/host/slab.py"
    first = mutants(module, (ROOT / module).read_text(), ["DeleteStatement"])[0]
    old, new = change(first)
    assert old
    assert new == "pass"


@pytest.mark.parametrize(("statement", "by"), [("found[1][name] = ", "test_bands"), ("found: tuple[", "import")])
def test_a_mistake_in_what_is_computed_at_import_is_seen(statement: str, by: str) -> None:
    """Such a mutant is tried in a process that imports it: here one has a wrong table, one cannot be imported."""
    module, test = "gmemsim/host/costs.py", "tests/host/test_costs.py::test_bands_reach_as_far_as_sources_disagree"
    lines = (ROOT / module).read_text().splitlines()
    found = mutants(module, "\n".join(lines), ["DeleteStatement"])
    (mutant,) = [one for one in found if lines[one.line - 1].strip().startswith(statement)]
    code = (
        "from tests.mutants.engine import fresh\nfrom tests.mutants.plan import Mutant\n"
        f"verdict = fresh({mutant!r}, [{test!r}], {{}})\nprint(verdict.outcome, verdict.by)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    outcome, _, killer = done.stdout.strip().partition(" ")
    assert outcome == "killed", done.stderr
    assert by in killer


def test_a_run_judges_mutants_and_the_next_one_goes_on(tmp_path: Path) -> None:
    options = ["--operator", "DeleteStatement", "--source", "gmemsim/host/rcu.py", "--suite", "tests/host/test_rcu.py"]
    command = [sys.executable, "-m", "tests.mutants", *options, "--n", "3", "--out", str(tmp_path)]
    first, second = (subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) for _ in range(2))
    assert "3 mutants, 3 of them not yet judged" in first.stdout, first.stdout + first.stderr
    assert "all:    3 mutants, 3 killed" in first.stdout, first.stdout + first.stderr
    assert "3 mutants, 0 of them not yet judged" in second.stdout
    assert first.returncode == second.returncode == 0
