# SPDX-License-Identifier: GPL-2.0-or-later
"""Notebooks run, show what they are stored with, use ``import gmemsim`` alone, and compute what they say."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks import NOTEBOOKS, executed, read, shown

NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")


def test_there_are_some() -> None:
    assert {"quickstart", "is-it-necessary", "hvo", "near-its-limit"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_a_fresh_execution_shows(path: Path) -> None:
    stored, fresh = shown(read(path)), shown(executed(path))
    assert any("image/png" in outputs for _, outputs in stored)
    assert stored == fresh, "python -m tests.notebooks stores what they show today"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_uses_what_is_public(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}  # no version of whoever saved it last
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None for cell in code)
    imports = {line for cell in code for line in cell.source.splitlines() if re.match(r"\s*(from|import) ", line)}
    assert {line for line in imports if "gmemsim" in line} == {"import gmemsim"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_of_the_prose_is_one_of_the_code_or_computed(path: Path) -> None:
    notebook = read(path)
    said = {number for cell in notebook.cells if cell.cell_type == "markdown" for number in NUMBER.findall(cell.source)}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    known = "\n".join([*(cell.source for cell in code), *(str(outputs) for _, outputs in shown(notebook))])
    assert said <= set(re.findall(r"\d+(?:[.,]\d+)*", known))
