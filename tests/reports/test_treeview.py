# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray's tree as text and as a figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.text import Text
from rich.console import Console

from gmemsim.reports.figures import canvas, treeview
from gmemsim.reports.screen import treeview as text
from gmemsim.xarray import XArray
from gmemsim.xarray.lab.show import picture
from tests.xarray.test_show import one_page_of_1g


def text_of(xa: XArray) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(text.render(picture(xa.tree)))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_text_says_what_uniform_subtrees_stand_for() -> None:
    xa = XArray()
    xa.store_order(0, 18, "p5")
    with xa.split_alloc(0, 18, 0) as prealloc:
        xa.split(0, 18, 0, prealloc=prealloc)
    assert text_of(xa) == [
        "XArray: 4,162 nodes",
        "└── shift 18, offset 0, index 0: count 1, nr_values 0, 4,162 nodes",
        "    └── 0: node shift 12, offset 0, index 0: count 64, nr_values 0, 4,161 nodes, uniform",
        "        └── 0-63: 64 × node shift 6, offset 0, index 0: count 64, nr_values 0, 65 nodes each, uniform",
        "            └── 0-63: 64 × node shift 0, offset 0, index 0: count 64, nr_values 0, uniform",
        "                └── 0-63: 64 × p5 (order 0)",
    ]


def test_the_text_of_siblings_and_marks() -> None:
    lines = text_of(one_page_of_1g())
    assert lines[0] == "XArray: 74 nodes, mark 2"
    assert "0-7: p1 (order 9, 8 slots)" in "".join(lines)
    assert any(line.endswith("8: p1 (order 0), mark 2") for line in lines)


def test_the_text_of_trees_without_nodes() -> None:
    xa = XArray()
    assert text_of(xa) == ["XArray: empty"]
    xa.store(0, 7)
    assert text_of(xa) == ["XArray: no node", "└── entry in the head: v7"]


def wide() -> XArray:
    """64 nodes that all look different, below each of 8 more."""
    xa = XArray()
    for index in range(0, 8 << 12, 64):
        xa.store(index, index)
    return xa


def random_tree() -> XArray:
    xa = XArray()
    xa.store((1 << 60) + 5, 5)
    xa.store_order(1 << 30, 20, "p2")
    return xa


TREES = [XArray, one_page_of_1g, wide, random_tree]


@pytest.mark.parametrize("make", TREES)
def test_figures_fit_and_are_reproducible(make: type[XArray], tmp_path: Path) -> None:
    xa = make()
    assert treeview.columns(treeview.fitting(xa.tree)) <= treeview.MOST_COLUMNS
    for name in ("a.png", "b.png", "a.svg"):
        treeview.write(xa.tree, "A tree", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize("make", TREES)
def test_no_text_of_a_figure_lies_on_another(make: type[XArray]) -> None:
    with canvas.paper():
        fig = treeview.draw(treeview.fitting(make().tree), "A tree")
        fig.draw_without_rendering()
        (ax,) = fig.axes
        boxes = [(words.get_text(), words.get_window_extent()) for words in ax.texts if isinstance(words, Text)]
    for number, (one, box) in enumerate(boxes):
        for other, other_box in boxes[number + 1 :]:
            if not ("▲" in one or "▲" in other):
                assert not box.shrunk(0.98, 0.9).overlaps(other_box.shrunk(0.98, 0.9)), f"{one!r} lies on {other!r}"


def test_a_figure_counts_what_it_leaves_out() -> None:
    with canvas.paper():
        fig = treeview.draw(treeview.fitting(wide().tree), "A tree")
    assert any("not shown: " in words.get_text() for words in fig.axes[0].texts)
