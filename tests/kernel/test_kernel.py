# SPDX-License-Identifier: GPL-2.0-or-later
"""What two kernels answered, as recorded by ``python -m tests.kernel.compare --save``, against our predictions.

``make kernel`` boots one; these tests need none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.compare import judge, parts
from tests.kernel.judge import judge_filemap, judge_hvo
from tests.kernel.machine import Answer, read_answers
from tests.kernel.program import filemap_program, hvo_program
from tests.planted import run_with_bug

RECORDED = Path(__file__).parent / "recorded"
HEALTHY = RECORDED / "6.12.113.txt"
"""A kernel without complaints: eight files of seed 3, fifteen operations on each, one round."""
COMPLAINING = RECORDED / "6.12.117.txt"
"""A kernel that complains when hugepages with HVO are given back (docs/kernel.md)."""


def answers(path: Path) -> list[Answer]:
    return read_answers(path.read_text(encoding="utf-8"))


def test_the_recorded_program_is_the_one_of_today() -> None:
    assert [answer.operation for answer in answers(HEALTHY)] == hvo_program(1) + filemap_program(3, 8, 15)


def test_every_reading_of_the_healthy_kernel_is_predicted() -> None:
    hvo, filemap = parts(answers(HEALTHY))
    assert {row.verdict for row in judge_hvo(hvo)} == {row.verdict for row in judge_filemap(filemap)} == {"same"}


def test_the_recording_splits_and_merges_and_lets_trees_grow_and_shrink() -> None:
    _, filemap = parts(answers(HEALTHY))
    rows = list(judge_filemap(filemap))
    assert any(row.what == "punch" and row.predicted[0] >= 8 for row in rows)
    assert any(row.what == "collapse" and row.predicted[1] >= 8 for row in rows)
    assert any(row.what == "write" and row.predicted[0] >= 3 for row in rows)
    assert any(row.what == "truncate" and row.predicted[1] >= 3 for row in rows)


def test_after_a_complaint_readings_are_shown_and_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    hvo, _ = parts(answers(COMPLAINING))
    rows = list(judge_hvo(hvo))
    first = next(place for place, row in enumerate(rows) if row.why)
    assert rows[first].what == "1 × 1G given back, optimised"
    assert {row.verdict for row in rows[:first]} == {"same"}
    assert {row.verdict for row in rows[first:]} == {"not judged"}
    assert judge("6.12.117", 1, COMPLAINING.read_text(encoding="utf-8")) == 0
    assert "not judged: the kernel has complained" in capsys.readouterr().out


def test_a_kernel_without_the_counters_says_so() -> None:
    without = [
        Answer(answer.operation, result=-2) if "/proc/vmstat" in answer.operation else answer
        for answer in answers(HEALTHY)
    ]
    rows = list(judge_hvo(parts(without)[0]))
    assert {row.why for row in rows} == {"this kernel has no nr_memmap_pages and nr_memmap_boot_pages"}
    assert {row.verdict for row in rows} == {"not judged"}


def test_a_reading_that_differs_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = HEALTHY.read_text(encoding="utf-8")
    lines = text.splitlines()
    gone = next(place for place, line in enumerate(lines) if line.startswith("+ "))
    call = next(line for line in reversed(lines[:gone]) if line.startswith("> "))
    assert judge("changed", 3, "\n".join([*lines[:gone], *lines[gone + 1 :]])) == 1
    assert call.removeprefix("> ") in " ".join(capsys.readouterr().out.split())


def test_nothing_judged_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge("mute", 1, "") == 1
    assert "0 readings judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("host/vmemmap.py", "KEPT_PAGES = 1\n", "KEPT_PAGES = 2\n"),
        ("xarray/node.py", "] << order % self.shift", "] + 1 << order % self.shift"),
    ],
    ids=["one page more is kept", "one node more in every split"],
)
def test_a_bug_of_ours_is_noticed(tmp_path: Path, file: str, right: str, wrong: str) -> None:
    code = (
        "from pathlib import Path\nfrom tests.kernel.compare import judge\n"
        f"raise SystemExit(judge('planted', 3, Path({str(HEALTHY)!r}).read_text()))"
    )
    done = run_with_bug(tmp_path, file, right, wrong, code)
    assert done.returncode == 1, done.stderr
    assert " differs" in done.stdout
