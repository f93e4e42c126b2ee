# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: this tree, pure and compiled, another revision, the kernel's code."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import attrs

from tests.bench.meter import ROWS
from tests.bench.trace import KINDS, OPERATIONS, SEED, bench_ops
from tests.oracle import kernel
from tests.unpacking import unpack

ROOT = Path(__file__).resolve().parents[2]

WHOLE_TRACE = ("trace", "trace.as-run")
"""Rows of the whole trace; the kernel's code collects no garbage, so they are the same to it."""

Figures = dict[str, Any]
"""``value`` and ``alone`` of a row, or ``error``."""


@attrs.frozen
class Form:
    """One column of the table: its name, and how it measures a row (``None``: it does not have this row)."""

    name: str
    measure: Callable[[str], Figures | None]


def python_form(name: str, package: Path, *, compiled: bool) -> Form:
    """The gmemsim in the folder ``package``, from its sources or compiled."""

    def measure(row: str) -> Figures | None:
        if compiled and ROWS[row].sources:
            return None
        environment = {key: value for key, value in os.environ.items() if key != "GMEMSIM_PURE"}
        environment |= {"PYTHONPATH": f"{package}{os.pathsep}{ROOT}", "PYTHONHASHSEED": "0"}
        if not compiled:
            environment["GMEMSIM_PURE"] = "1"
        command = [sys.executable, "-P", "-m", "tests.bench.child", row]
        done = subprocess.run(command, env=environment, cwd=package, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        figures: Figures = json.loads(done.stdout)
        if figures.pop("compiled") != compiled:
            return {"error": "the compiled form was not used" if compiled else "the compiled form was used"}
        return figures

    return Form(name, measure)


def build(package: Path) -> bool:
    """Compile the gmemsim in ``package`` where that is possible; whether there is a compiled form now."""
    if not (package / "gmemsim" / "compiled").is_dir():
        return False
    environment = os.environ | {"PYTHONPATH": str(package)}
    command = [sys.executable, "-P", "-m", "gmemsim.compiled.build"]
    subprocess.run(command, env=environment, cwd=package, stdout=subprocess.DEVNULL, check=True)
    return (package / "gmemsim" / "compiled" / "lib" / "stamp").exists()


@contextlib.contextmanager
def revision(rev: str) -> Iterator[Path]:
    """A temporary folder that holds only the package gmemsim of the revision ``rev``."""
    made = subprocess.run(["git", "archive", rev, "gmemsim"], cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        raise SystemExit(f"bench: {made.stderr.decode(errors='replace').strip()}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with tarfile.open(fileobj=BytesIO(made.stdout)) as archive:
            unpack(archive, folder)
        yield Path(folder)


def kernel_form() -> Form | None:
    """The kernel's own lib/xarray.c on the trace; ``None`` where it is not built (``make oracle``)."""
    try:
        kernel.driver(fast=True)
    except kernel.OracleError:
        return None
    operations = list(bench_ops(SEED, OPERATIONS))

    def measure(row: str) -> Figures | None:
        room, _, kind = row.partition(".")
        if room != "tree" or kind not in (*WHOLE_TRACE, *KINDS):
            return None
        timings = kernel.bench(operations)
        if kind in WHOLE_TRACE:
            total = sum(timing.ns_per_op * timing.ops for timing in timings.values())
            return {"value": total / len(operations) / 1e3}
        return {"value": timings[kind].ns_per_op / 1e3}

    return Form("kernel C", measure)
