# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of options that are read together."""

from __future__ import annotations

import pytest

from gmemsim.cli.options import Options
from gmemsim.errors import Fault, InputError


def parse(text: str) -> int:
    if text == "file":
        raise InputError([Fault("policy.py", 3, 1, "found no class")])
    return int(text)


def first_digit(text: str) -> tuple[str, int]:
    return text[0], int(text)


def test_all_faults_of_all_options_are_said_together() -> None:
    """Those of a file that a text names, too; a long text is cut."""
    options = Options()
    assert options.read("--n", ["1", "x", "file"], parse) == [1]
    assert options.by_key("--m", ["1", "11", "2"], first_digit, "digit") == {"1": 11, "2": 2}
    options.wrong("--o", "y" * 100, "expected less")
    with pytest.raises(InputError) as caught, options:
        pass
    assert [str(fault) for fault in caught.value.faults] == [
        "--m 11: found a second digit 1, expected one",
        "--n x: invalid literal for int() with base 10: 'x'",
        f"--o '{'y' * 39}…': expected less",
        "policy.py:3:1: found no class",
    ]


def test_what_goes_wrong_on_the_way_is_not_hidden() -> None:
    options = Options()
    options.wrong("--n", "x", "expected a number")
    with pytest.raises(KeyError), options:
        raise KeyError
