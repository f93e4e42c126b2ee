# SPDX-License-Identifier: GPL-2.0-or-later
"""The golden traces: ours gives every line that the kernel's lib/xarray.c gave, with lazy and with eager nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmemsim.xarray.lab.interpreter import Interpreter
from tests.xarray.traces import CLEAN, read


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
@pytest.mark.parametrize("path", CLEAN, ids=lambda path: path.stem)
def test_every_line_of_a_clean_trace_is_reproduced(path: Path, eager: bool) -> None:
    interpreter = Interpreter(eager=eager)
    for record in read(path):
        assert interpreter.execute(record.operation) == record.results, f"{path.name}:{record.line}"
    interpreter.array.check()


def test_the_traces_are_there() -> None:
    """114 directed and random traces came with the format; without the files the test above would be empty."""
    assert len(CLEAN) == 114
