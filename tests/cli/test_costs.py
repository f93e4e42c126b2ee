# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``costs`` as a user runs it."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.host.costs import PROFILES
from gmemsim.host.work import COUNTERS


def costs(*arguments: str) -> Result:
    return CliRunner().invoke(gmemsim, ["costs", *arguments], env={"COLUMNS": "80"})


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_told_in_full(name: str) -> None:
    result = costs(name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    words = " ".join(result.stdout.split())
    profile = PROFILES[name]
    assert profile.description in words
    assert profile.leaves_out in words
    for counter in COUNTERS:
        (line,) = re.findall(rf"^{counter} .*$", result.stdout, re.MULTILINE)
        assert ("not priced" in line) == (profile.figures[counter].ns is None)
        assert ("contained" in line) == (profile.figures[counter].ns == 0)
        assert profile.figures[counter].source in words


def test_prices_have_bands_and_say_what_is_stretched() -> None:
    lines = {line.split()[0]: " ".join(line.split()) for line in costs("default").stdout.splitlines() if line.strip()}
    assert lines["tlb_flushes"].startswith("tlb_flushes tlb 43.4 µs 6.3 ")
    assert "stretched" not in lines["tlb_flushes"]
    assert lines["bytes_cleared"].startswith("bytes_cleared clear 0.073 ns 2.8 stretched")
    for counter in ("rmp_updates", "psmashes", "demotes"):
        assert "not priced" in lines[counter]


def test_without_a_name_all_are_told() -> None:
    result = costs()
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line in PROFILES] == list(PROFILES)


def test_a_mistyped_profile_is_answered() -> None:
    result = costs("roth-snp-2052")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no profile 'roth-snp-2052', did you mean 'roth-snp-2025'?" in result.stderr
