# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim

SPLIT = """\
# name: split
> new
< ok
> store_order 0 18 p5
< ok
> dump
< X 000 n
< N 0 18 0 1 0 0 0 0 : 0:p5
< end
> split 0 18 0 =
< ok alloc=4161 used=4161 freed=0
> count
< live=4162 allocs=4162 frees=0
"""


def replay(*arguments: str | Path, stdin: str | bytes = b"") -> Result:
    return CliRunner().invoke(gmemsim, ["xarray", "replay", *map(str, arguments)], input=stdin)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "split.txt"
    path.write_text(SPLIT)
    return path


@pytest.mark.parametrize("mode", [(), ("--eager",)])
def test_a_correct_trace_comes_out_as_it_went_in(trace: Path, mode: tuple[str, ...]) -> None:
    result = replay(trace, *mode)
    assert (result.exit_code, result.stdout) == (0, SPLIT)


def test_recorded_results_are_replaced_by_ours(trace: Path) -> None:
    trace.write_text(SPLIT.replace("4162", "9999"))
    assert replay(trace).stdout == SPLIT


def test_standard_input_and_several_files(trace: Path) -> None:
    bare = "".join(f"{line}\n" for line in SPLIT.splitlines() if not line.startswith("<"))
    assert replay("-", stdin=bare).stdout == SPLIT
    assert replay(trace, "-", trace, stdin=bare).stdout == SPLIT * 3


def test_each_file_starts_with_an_empty_array(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("> load 0\n> store 0 v1\n")
    assert replay(path, path).stdout == "> load 0\n< 0\n> store 0 v1\n< 0\n" * 2


def test_check_of_a_correct_trace(trace: Path) -> None:
    result = replay("--check", trace, trace)
    assert (result.exit_code, result.stdout) == (0, f"{trace}: 5 results as recorded\n" * 2)


def test_check_names_the_first_difference_with_both_dumps(trace: Path) -> None:
    trace.write_text(SPLIT.replace("alloc=4161", "alloc=4160").replace("live=4162", "live=1"))
    result = replay("--check", trace)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[:7] == [
        f"{trace}:11: the result of '> split 0 18 0 =' differs",
        "  expected: ok alloc=4160 used=4161 freed=0",
        "  found:    ok alloc=4161 used=4161 freed=0",
        "recorded dump (at line 7, the last before this line):",
        "  X 000 n",
        "  N 0 18 0 1 0 0 0 0 : 0:p5",
        "  end",
    ]
    assert lines[7:10] == ["our dump (here):", "  X 000 n", "  N 0 18 0 1 0 0 0 0 : 0:n"]
    assert len(lines) == 7 + 1 + 1 + 4162 + 1


def test_check_of_a_dump_that_differs_shows_the_recorded_one(trace: Path) -> None:
    trace.write_text(SPLIT.replace(": 0:p5", ": 1:p5"))
    lines = replay("--check", trace).stdout.splitlines()
    assert lines[0] == f"{trace}:8: the result of '> dump' differs"
    assert lines[3:7] == ["recorded dump (here):", "  X 000 n", "  N 0 18 0 1 0 0 0 0 : 1:p5", "  end"]
    assert lines[7:] == ["our dump (here):", "  X 000 n", "  N 0 18 0 1 0 0 0 0 : 0:p5", "  end"]


@pytest.mark.parametrize(
    ("change", "line", "expected", "found"),
    [
        (("< end\n", ""), 8, "(no further line)", "end"),
        (("< end\n", "< end\n< end\n"), 10, "end", "(no further line)"),
    ],
)
def test_check_sees_missing_and_surplus_lines(
    trace: Path, change: tuple[str, str], line: int, expected: str, found: str
) -> None:
    trace.write_text(SPLIT.replace(*change))
    lines = replay("--check", trace).stdout.splitlines()
    assert lines[:3] == [
        f"{trace}:{line}: the result of '> dump' differs",
        f"  expected: {expected}",
        f"  found:    {found}",
    ]


def test_check_without_a_recorded_dump_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("> load 0\n< p1\n")
    lines = replay("--check", path).stdout.splitlines()
    assert lines[3:] == ["recorded dump: none up to this line", "our dump (here):", "  X 000 0", "  end"]


def test_check_goes_on_with_the_next_file(trace: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("> load 0\n< p1\n")
    result = replay("--check", wrong, trace)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{wrong}:2: ")
    assert result.stdout.endswith(f"{trace}: 5 results as recorded\n")


def test_operations_without_recorded_results_are_executed_but_not_counted(trace: Path) -> None:
    trace.write_text(SPLIT.replace("< ok\n", ""))
    assert replay("--check", trace).stdout == f"{trace}: 3 results as recorded\n"


@pytest.mark.parametrize("arguments", [(), ("--check",)])
@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (b"> new\nhello\n", "2:1", "found 'hello', expected a line that begins with '# ', '> ' or '< '"),
        (b"> new\n> store 0 q1\n", "2:11", "found 'q1', expected an entry"),
        (b"> sotre 0 p1\n", "1:3", "found operation 'sotre'"),
        (b"> new\n>  load\n", "2:4", "found 0 arguments of load"),
        (b"> new\n< ok \xff\n", "2:6", "found bytes that are not UTF-8"),
        (b"\x7fELF\x02\x01", "1:1", "expected a line that begins with"),
    ],
)
def test_a_malformed_trace_is_2_with_its_place(
    tmp_path: Path, text: bytes, place: str, message: str, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(text)
    result = replay(*arguments, path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}:{place}: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_result_before_any_operation_is_malformed_when_checked(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("< ok\n")
    assert replay("--check", path).stderr == f"{path}:1:1: found a result, expected an operation before it\n"


def test_files_that_cannot_be_read_are_all_named_before_anything_is_printed(trace: Path, tmp_path: Path) -> None:
    result = replay(trace, tmp_path / "gone.txt", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{tmp_path}: found a directory, expected a trace",
        f"{tmp_path / 'gone.txt'}: found no such file, expected a trace",
    ]


def test_standard_input_is_named_in_faults() -> None:
    assert replay("-", stdin="> nonsense\n").stderr.startswith("<stdin>:1:3: ")


def test_what_could_move_the_cursor_or_has_no_end_is_malformed() -> None:
    for line, place in ((b"# \x1b[31m", "1:3: found a control character"), (b"> " + b"x" * (1 << 17), "1:1: found a")):
        result = replay("-", stdin=line)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"<stdin>:{place}")


def test_blank_lines_and_windows_line_ends_are_let_pass(trace: Path) -> None:
    trace.write_bytes(SPLIT.replace("> count", "\n> count").replace("\n", "\r\n").encode())
    assert replay("--check", trace).exit_code == 0


def test_directed_golden_traces_come_out_as_they_went_in(tmp_path: Path) -> None:
    golden = sorted((Path(__file__).parents[1] / "golden").glob("d*.txt"))
    assert golden
    for path in golden:
        copy = Path(shutil.copy(path, tmp_path))
        assert replay(copy).stdout == path.read_text(), path.name
