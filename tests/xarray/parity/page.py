# SPDX-License-Identifier: GPL-2.0-or-later
"""PARITY.md: which test here is the counterpart of which function of lib/test_xarray.c.

A test says so in its docstring, in a sentence ``Counterpart of NAME, NAME.``; ``python -m tests.xarray.parity`` writes
the page from these sentences, and test_parity.py fails when it is stale or a function has no counterpart.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.xarray.parity.kernel_functions import HELPERS, LEFT_OUT, SINCE, TESTS

HERE = Path(__file__).parent
PAGE = HERE.parent / "PARITY.md"


def counterparts() -> dict[str, list[str]]:
    """Kernel function -> the tests that name it, as ``file::test``."""
    found = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                sentence = re.search(r"Counterpart of ([\w\s,]+)\.", ast.get_docstring(item) or "")
                for name in re.split(r"[,\s]+", sentence[1]) if sentence else ():
                    found[name].append(f"{path.name}::{item.name}")
    return dict(found)


def page() -> str:
    """The text of PARITY.md."""
    found = counterparts()
    lines = [
        "# lib/test_xarray.c, function by function",
        "",
        "Written by `python -m tests.xarray.parity`; do not edit. All functions of the kernel's own XArray test, Linux",
        "6.12 to 6.18, and the tests in tests/xarray/parity that check the same facts, in our own words. Loops over a",
        "million cases are sampled here. Nothing that tests only locking or RCU has a counterpart.",
        "",
        "| function | counterpart here |",
        "|---|---|",
    ]
    for name in sorted({*TESTS, *HELPERS, *LEFT_OUT}, key=lambda name: (name.lstrip("_"), name)):
        since = f" ({SINCE[name]})" if name in SINCE else ""
        if name in LEFT_OUT:
            where = f"left out: {LEFT_OUT[name]}"
        elif name in HELPERS:
            where = f"helper: {HELPERS[name]}"
        else:
            where = ", ".join(f"`{test}`" for test in found[name])
        lines.append(f"| `{name}`{since} | {where} |")
    tests, helpers, left_out = len(TESTS), len(HELPERS), len(LEFT_OUT)
    lines += ["", f"{tests} with a counterpart, {helpers} helpers, {left_out} left out."]
    return "\n".join(lines) + "\n"
