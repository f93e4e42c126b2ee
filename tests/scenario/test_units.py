# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes and times as people write them: what is accepted, and which spelling is suggested for what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import InputError
from gmemsim.scenario import parse_scenario
from gmemsim.scenario.format.kinds import LARGEST, Duration, Size
from gmemsim.scenario.model import Convert
from gmemsim.units import SIZE_UNITS, TIME_UNITS, parse_duration, parse_size

TEXT = """\
gmemsim: 1
guests: [{name: vm, memory: 32M, backing: 4K}]
workload:
  - convert: {guest: vm, offset: 0x1000, size: "0X2000", to: shared}
"""


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("32GB", "32G"),
        ("32g", "32G"),
        ("32gb", "32G"),
        ("32gib", "32G"),
        ("4kb", "4K"),
        ("4k", "4K"),
        ("1.5t", "1.5T"),
        ("512 bytes", "512B"),
    ],
)
def test_a_size_in_another_spelling_is_refused_with_the_right_one(text: str, spelling: str) -> None:
    with pytest.raises(ValueError, match=rf"^found '{text}', expected a size .*, did you mean '{spelling}'\?$"):
        parse_size(text)
    with pytest.raises(InputError) as caught:
        parse_scenario(TEXT.replace("32M", text))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"<text>:2:29: found '{text}', expected a size with a unit")
    assert line.endswith(f", did you mean '{spelling}'?")


@pytest.mark.parametrize(("text", "spelling"), [("10MS", "10ms"), ("5sec", "5s"), ("3usec", "3us"), ("2Min", "2min")])
def test_a_time_in_another_spelling_too(text: str, spelling: str) -> None:
    with pytest.raises(ValueError, match=rf"did you mean '{spelling}'\?$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["32", "G", "32X", "32GG", "-3k", ""])
def test_nothing_is_suggested_where_it_is_not_clear(text: str) -> None:
    with pytest.raises(ValueError, match=r"^found (?!.*did you mean)"):
        parse_size(text)


def test_hexadecimal_sizes_are_bytes() -> None:
    step = parse_scenario(TEXT).workload[0]
    assert isinstance(step, Convert)
    assert (step.offset, step.size) == (4096, 8192)
    assert parse_size("0xb0000000") == 2816 << 20
    with pytest.raises(ValueError, match="found '0x', expected hexadecimal digits after 0x"):
        parse_size("0x")


def test_the_least_and_the_largest_hexadecimal_size() -> None:
    for text, fault in (("0x0", "expected more than 0"), ("0x8000000000000000", "expected less than 2^63")):
        with pytest.raises(InputError) as caught:
            parse_scenario(TEXT.replace("32M", text))
        assert fault in str(caught.value)


@given(st.text("0123456789", max_size=24), st.sampled_from([*SIZE_UNITS, *TIME_UNITS, "", "k", "KiB"]))
def test_digits_and_a_unit_mean_in_a_file_what_they_always_mean(digits: str, unit: str) -> None:
    for kind, parse in ((Size("a size", zero=True), parse_size), (Duration("a time"), parse_duration)):
        try:
            expected = parse(digits + unit)
        except ValueError:
            expected = -1
        if 0 <= expected <= LARGEST:
            assert kind.read(digits + unit, plain=True) == expected
        else:
            with pytest.raises(ValueError, match=r"^found "):
                kind.read(digits + unit, plain=True)
