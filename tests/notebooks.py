# SPDX-License-Identifier: GPL-2.0-or-later
"""The notebooks as they are today: ``python -m tests.notebooks [FILE…]`` executes them and stores what they show.

Theory of operation
-------------------
nbmake executes a notebook from top to bottom in a kernel of its own; the first cell that fails ends it.  No counts
of executions and no times are stored.  :func:`shown` is what a test compares:
all that a reader sees but the bytes of pictures, which depend on the fonts of a machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

PATIENCE = 120
"""Seconds that a cell may take: a notebook whose cell takes a minute has lost its reader long before."""


def read(path: Path) -> Any:
    """The notebook as it is stored."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types


def executed(path: Path) -> Any:
    """The notebook with the outputs of today; ``AssertionError`` with the traceback of the cell that failed."""
    from nbmake.nb_run import NotebookRun  # takes seconds, and every worker of the tests imports this module

    result = NotebookRun(path, PATIENCE).execute()
    assert result.error is None, result.error.trace
    result.nb.metadata.language_info = {"name": "python"}
    for cell in result.nb.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = _joined(cell.outputs)
    return result.nb


def _joined(outputs: list[Any]) -> list[Any]:
    """What was printed as one output, in however many pieces it came; results without a number."""
    joined: list[Any] = []
    for output in outputs:
        if "execution_count" in output:
            output.execution_count = None
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def shown(notebook: Any) -> list[tuple[str, dict[str, Any]]]:
    """The outputs of every code cell, by its id: texts as they are, and of pictures that there is one."""
    return [
        (cell.id, {kind: text for output in cell.outputs for kind, text in _texts(output)})
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _texts(output: Any) -> list[tuple[str, Any]]:
    if output.output_type == "stream":
        return [(output.name, output.text)]
    pictures = [(kind, "") for kind in output.data if kind.startswith("image/")]
    return pictures or list(output.data.items())


if __name__ == "__main__":
    for notebook in map(Path, sys.argv[1:] or NOTEBOOKS):
        nbformat.write(executed(notebook), notebook)  # type: ignore[no-untyped-call] # nbformat has no types
