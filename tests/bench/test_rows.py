# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row measures something, the table shows it; no test looks at how long anything takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.child import load_rows, measure
from tests.bench.forms import ROOT, python_form
from tests.bench.meter import ROWS
from tests.bench.rows_api import POLICIES
from tests.bench.table import BEGIN, END, Rows, as_markdown, as_text, put_into

load_rows()


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.filterwarnings("default")  # those of Selenium are not ours
def test_a_row_measures_something(name: str) -> None:
    if ROWS[name].lacking:
        pytest.skip(f"not measured here, for lack of {ROWS[name].lacking}")
    figures = measure(name, quick=True)
    assert set(figures) == ({"value", "alone"} if ROWS[name].collections else {"value"})
    assert all(isinstance(value, float | int) for value in figures.values())


def test_what_is_of_the_sources_only_has_no_compiled_figure() -> None:
    assert [name for name, row in ROWS.items() if row.sources] == [f"calls.{policy}" for policy in POLICIES]
    assert python_form("compiled", ROOT, compiled=True).measure("calls.uniform") is None


FIGURES: Rows = {
    "tree.trace": {
        "6861c5a": {"value": 4.0, "alone": 3.0},
        "pure": {"value": 2.0, "alone": 1.5},
        "kernel C": {"value": 1.0},
    },
    "sweep.1": {"6861c5a": {"value": 5.0}, "pure": {"error": "what went wrong"}},
}
COLUMNS = ["6861c5a", "pure", "kernel C"]


def test_a_table_has_figures_and_ratios() -> None:
    text = as_text(FIGURES, COLUMNS, "here", {})
    line = "tree.trace µs 4.00 (3.00) 2.00 (1.50) 1.00 2.00 ×"
    assert text.splitlines()[2].split() == line.split()
    assert "failed" in text.splitlines()[3]


def test_a_page_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    put_into(page, as_markdown(FIGURES, COLUMNS, "here"))
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}here\n\n| row |")
    assert "| `tree.trace` | µs | 4.00 (3.00) | 2.00 (1.50) | 1.00 | 2.00 × |" in text
    assert text.endswith(f"{END}after\n")
    assert "old" not in text
