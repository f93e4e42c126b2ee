# SPDX-License-Identifier: GPL-2.0-or-later
"""Screens in little room and in ASCII: every command with shipped scenarios, at 60 and 80 columns and with LC_ALL=C."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim.cli import asciitext
from gmemsim.cli.main import gmemsim
from gmemsim.gmem.presets import PRESETS
from gmemsim.reports.screen.fitted import folded

ROOT = str(Path(__file__).parents[2])

COMMANDS = (
    "run rfc-cover",
    "run numa",
    "run is-it-necessary",
    "run failing-allocations",
    "compare rfc-cover --costs default",
    "compare rfc-cover staged memdescs",
    "sweep rfc-cover --vary policy=b-today,staged-partial --metric total.peak_bytes --jobs 1",
    "sweep rfc-cover --vary policy=b-today,staged --vary seed=0..1 --mean seed --jobs 1",
    "explain split 1G 4K",
    "costs default",
    "budget replay-qemu --guests 4 --policy b-today --policy staged-partial --jobs 1",
    "examples",
    "fuzz --runs 1 --seed 1",
    "reserve --pages 1",
    "reserve --pages 512 --scope life --policy nonuniform-partial --mapping tdx",
    "faults rfc-cover --sample 2 --ordering all",
    "policies",
    "xarray show staged --at 2",
)
NAMES = {*PRESETS, "filemap_nodes", "vmemmap_page_tables", "folio_metadata", "failing-allocations", "conversions"}


@cache
def screen(command: str, columns: int) -> str:
    """What ``command`` shows in so many ``columns``."""
    done = CliRunner().invoke(gmemsim, command.split(), env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


def words(shown: str) -> set[str]:
    return set(shown.replace(",", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_whole_in_60_columns_and_nothing_is_wider(command: str) -> None:
    narrow, usual = screen(command, 60), screen(command, 80)
    for shown, columns in ((narrow, 60), (usual, 80)):
        assert not [line for line in shown.splitlines() if len(line) > columns]
        assert not [line for line in shown.splitlines() if line != line.rstrip()]
    assert words(usual) & NAMES <= words(narrow)
    assert narrow.count("…") <= usual.count("…")


@pytest.mark.parametrize("columns", [60, 80])
def test_a_policy_that_is_longer_than_a_line_is_folded_between_its_words(columns: int) -> None:
    shown = screen("tune rfc-cover --jobs 1", columns)
    (policy,) = re.findall(r"best:\s+(\S+(?:\n\S*,\S+)+)\nit splits", shown)
    assert len(policy.replace("\n", "")) > 80
    assert [line for line in policy.splitlines()[:-1] if not line.endswith((",", "-"))] == []
    names = {"merge:cleanup", "vmemmap:partial", "ordering:attributes-first"}
    assert names <= set(policy.replace("\n", ",").split(","))
    table = shown.partition("b-today ")[0]
    assert all(table.count(name) >= 1 for name in names)


def test_words_are_folded_after_the_first_separator_in_reach() -> None:
    assert folded("best: split:18-9-0,merge:cleanup,vmemmap:off", 20).splitlines() == [
        "best: split:18-9-0,",
        "merge:cleanup,",
        "vmemmap:off",
    ]
    assert folded("abcdefgh", 3) == "abc\ndef\ngh"
    assert folded("short words stay", 5) == "short words stay"


def test_what_is_left_out_is_said() -> None:
    assert "not shown in 60 columns: allocated\n" in screen("run numa", 60)
    assert "not shown in 60 columns: delta, ratio\n" in screen("compare rfc-cover --costs default", 60)
    assert "not shown in 60 columns: ≈ attributes\n" in screen("reserve --pages 1", 60)
    assert "not shown" not in screen("run numa", 80)


@pytest.mark.parametrize("command", COMMANDS)
def test_columns_stay_where_they_are_in_ascii(command: str) -> None:
    for line in screen(command, 80).splitlines():
        plain = asciitext.as_ascii(line)
        assert plain.isascii()
        assert "?" not in plain or "?" in line
        assert len(plain.rstrip()) <= len(line) + 3
        assert all(plain[place] == "-" for place, sign in enumerate(line) if sign == "─")


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("≈ attributes   1×", "~ attributes   1x"),
        ("a ≤ 4,000   3,999  pass", "a <= 4,000  3,999  pass"),
        ("staged   32 MiB ± 1 MiB  4", "staged  32 MiB +- 1 MiB  4"),
        ("a “name” → b, 5 µs, − 2 …", 'a "name" -> b, 5 us, - 2 ...'),
        ("日本", "??"),
    ],
)
def test_a_sign_takes_the_blanks_it_needs_from_the_gap_beside_it(line: str, plain: str) -> None:
    assert asciitext.as_ascii(line).encode("ascii", "replace").decode() == plain


@pytest.mark.parametrize("settings", [{"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}], ids=["ascii", "utf-8 mode"])
def test_with_lc_all_c_a_screen_is_ascii_and_data_is_as_it_is(settings: dict[str, str], tmp_path: Path) -> None:
    told = ("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "LC_CTYPE")
    kept = {name: value for name, value in os.environ.items() if name not in told}
    environment = {**kept, **settings, "LC_ALL": "C", "COLUMNS": "80", "PYTHONPATH": ROOT}

    def printed(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "gmemsim", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)
        assert done.stderr == b""
        return done.stdout

    assert printed("run", "rfc-cover").decode("ascii") == asciitext.as_ascii(screen("run rfc-cover", 80))
    (tmp_path / "my.yaml").write_text("gmemsim: 1\ntitle: ≈ µ\nhost: {}\nguests: []\nworkload: []\n", encoding="utf-8")
    wrong = subprocess.run(
        [sys.executable, "-m", "gmemsim", "run", "µ.yaml"], env=environment, capture_output=True, check=False
    )
    assert wrong.returncode == 2
    assert b"found no such file" in wrong.stderr.decode("ascii").encode()
    table = printed("compare", "rfc-cover", "--policy", "staged", "--markdown")
    assert "≈" in table.decode("utf-8")


@pytest.mark.parametrize(
    ("encoding", "environment", "wanted"),
    [
        ("ascii", {}, True),
        ("ANSI_X3.4-1968", {"LC_ALL": "de_DE"}, True),
        ("utf-8", {"LC_ALL": "C"}, True),
        ("utf-8", {"LC_CTYPE": "POSIX"}, True),
        ("utf-8", {"LC_ALL": "C", "PYTHONUTF8": "1"}, False),
        ("utf-8", {"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, False),
        ("utf-8", {"LC_ALL": "C.UTF-8", "LC_CTYPE": "C"}, False),
        ("utf-8", {}, False),
        ("no such", {}, False),
    ],
)
def test_ascii_is_wanted_where_the_stream_or_the_locale_says_so(
    encoding: str, environment: dict[str, str], wanted: bool
) -> None:
    assert asciitext.is_wanted(encoding, environment) == wanted
