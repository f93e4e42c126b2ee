# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzz targets of the readers: the corpus, a few mutants, and that a crash would be seen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from gmemsim.errors import Fault, InputError
from gmemsim.scenario.format.settings import read_setting
from gmemsim.scenario.format.template import parse_with
from tests.fuzz import readers

EACH = 25


@pytest.mark.parametrize("name", readers.TARGETS)
def test_every_target_has_a_corpus_that_its_reader_takes(tmp_path: Path, name: str) -> None:
    own = sorted((readers.CORPUS / name).iterdir())
    assert own
    with chdir(tmp_path):
        outcomes = [readers.attempt(readers.TARGETS[name][0], path.read_bytes()) for path in own]
    assert all(crash is None for _, crash in outcomes), outcomes
    assert any(taken for taken, _ in outcomes)


@pytest.mark.parametrize("name", readers.TARGETS)
def test_mutants_do_not_crash(tmp_path: Path, name: str) -> None:
    tally = readers.hunt([name], 1, lambda tallies: tallies[name].inputs >= EACH, tmp_path)[name]
    assert tally.inputs == EACH
    assert not tally.crashes, "\n".join(f"{path}: {path.read_bytes()!r}" for path in tmp_path.iterdir())


def fails(error: Exception) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        if b"x" in data:
            raise error

    return target


def test_what_is_not_ours_is_a_crash_and_is_shortened() -> None:
    target = fails(KeyError("x"))
    taken, crash = readers.attempt(target, b"abcxdef")
    assert not taken
    assert crash is not None
    assert crash.kind == "KeyError in test_readers.py:target"
    assert readers.shortened(target, b"abcxdef", crash) == b"x"


@pytest.mark.parametrize("error", [InputError([Fault("f", 1, 1, "found x")]), ValueError("found x")])
def test_what_is_ours_is_a_refusal(error: Exception) -> None:
    assert readers.attempt(fails(error), b"x") == (False, None)


def test_a_subclass_of_value_error_is_not_ours() -> None:
    assert readers.attempt(fails(UnicodeError("x")), b"x")[1] is not None


def test_too_much_memory_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MEMORY_FLOOR", 1 << 16)

    def greedy(data: bytes) -> None:
        assert len(bytearray(1 << 20))

    crash = readers.attempt(greedy, b"x", measured=True)[1]
    assert crash is not None
    assert crash.kind == "memory"


def test_a_check_of_a_setting_in_the_workload_is_told() -> None:
    """Found by the target ``vary``: a range that a setting makes too long ended with an IndexError."""
    setting = read_setting("workload.0.allocate.size=6M", "--set")
    with pytest.raises(InputError, match=r"--set workload\.0\.allocate\.size=6M: found"):
        parse_with(readers.SIMPLE, "f.yaml", (setting,))


def test_a_long_word_of_a_trace_is_not_repeated_in_full(tmp_path: Path) -> None:
    """Found by the target ``xarray``: a refusal was as long as the line."""
    with chdir(tmp_path):
        for line in (b"> " + b"s" * 5000, b"> store 1 " + b"p" * 5000, b"> load " + b"9" * 5000):
            assert readers.attempt(readers.xarray, line) == (False, None)
