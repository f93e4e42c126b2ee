# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures inside pages: short, the same picture, and no peak lost."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from gmemsim.reports import figures
from gmemsim.reports.page.svg import address

from . import views

BEFORE = "data:image/svg+xml,"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def shortened(svg: str) -> str:
    found = address(svg)
    assert found.startswith(BEFORE)
    return unquote(found.removeprefix(BEFORE))


def test_an_address_can_stand_in_an_attribute_and_comes_back_as_it_was() -> None:
    svg = "<svg>\n<text font='a \"b\"'>5 % &amp; #1 日本語</text></svg>"
    assert not set(address(svg)) & set('"&#\n日')
    assert shortened(svg) == svg


def test_steps_keep_their_turns_and_lose_what_a_line_goes_straight_through() -> None:
    steps = "M 0 0 \nL 1.000001 0 \nL 1.000001 0 \nL 2 0 \nL 2 5 \nL 2 9.126 \nL 3 9.126 \n"
    assert shortened(f'<path d="{steps}"/>') == '<path d="M0 0 2 0 2 9.13 3 9.13"/>'


def test_a_spike_that_returns_the_way_it_came_stays() -> None:
    spike = "M 0 -1 \nL 2 -1 \nL 2 -8 \nL 2 -1 \nL 4 -1 \nz\n"
    assert shortened(f'<path d="{spike}"/>') == '<path d="M0 -1 2 -1 2 -8 2 -1 4 -1z\n"/>'


def test_lines_that_are_not_along_an_axis_and_what_is_not_lines_keep_all_points() -> None:
    assert shortened('<path d="M 0 0 \nL 1 1 \nL 2 2 \n"/>') == '<path d="M0 0 1 1 2 2"/>'
    assert (
        shortened('<path d="M 0 1.5 \nC 0.397805 1.5 1 2 3 4 \nz\n"/>')
        == '<path d="M 0 1.5 \nC 0.39 1.5 1 2 3 4 \nz\n"/>'
    )


def test_a_line_of_several_parts_and_one_without_length_stay() -> None:
    assert shortened('<path d="M 0 0 \nL 1 0 \nM 5 0 \nL 5 0 \n"/>') == '<path d="M0 0 1 0M5 0 5 0"/>'


def test_a_figure_is_much_shorter_and_reaches_as_far(tmp_path: Path) -> None:
    figures.write("memory", views.view("busy"), tmp_path / "memory.svg")
    svg = (tmp_path / "memory.svg").read_text(encoding="utf-8")
    short = shortened(svg)
    ET.fromstring(short)
    assert len(short) < 0.8 * len(svg)
    assert np.array(extents(short)) == pytest.approx(np.array(extents(svg)), abs=0.02)


def extents(svg: str) -> list[tuple[float, ...]]:
    """The left, right, upper and lower end of every line and area."""
    found: list[tuple[float, ...]] = []
    for path in re.findall(r' d="(M[^"C]*)"', svg):
        numbers = [float(number) for number in NUMBER.findall(path)]
        x, y = numbers[::2], numbers[1::2]
        found.append((min(x), max(x), min(y), max(y)))
    return found
