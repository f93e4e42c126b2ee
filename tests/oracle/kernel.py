# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's side of the comparison: runs the driver that ``build.sh`` built."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from attrs import frozen

from tests.oracle.rules import STOCK, Abilities

BUILD = Path(__file__).parent / "build"

TIMEOUT = 900.0
"""Seconds after which a driver that does not come back counts as stuck."""

Results = list[str]
"""The result lines of one operation, without their ``< ``."""


class OracleError(Exception):
    """The oracle is not built, or its driver refuses a trace that it was given."""


@frozen
class Timing:
    """What the driver's timing mode says of one kind of operation (driver.c states the rules)."""

    ops: int
    acted: int
    """Operations that found something to do."""
    ns_per_op: float
    """Mean over all operations of the kind, the clock's own cost subtracted."""
    allocs: int
    frees: int


def driver(*, fast: bool = False) -> Path:
    """The checked driver, or the one built for timing."""
    path = BUILD / ("gmem-oracle-fast" if fast else "gmem-oracle")
    if not path.exists():
        raise OracleError("the oracle is not built: run tests/oracle/build.sh")
    return path


def version() -> str:
    """The driver's own words: kernel, chunk shift, size of a node."""
    return subprocess.run([driver(), "--version"], check=True, capture_output=True, text=True).stdout.strip()


@cache
def abilities() -> Abilities:
    """What the kernel that was built can do, in its driver's own words; a stock 6.12's where none was built."""
    if not (BUILD / "gmem-oracle").exists():
        return STOCK
    words = version()
    levels = re.search(r"splits (\d+) level", words)
    return Abilities(int(levels[1]) if levels else 1, ", try_split," in words)


def reproducers() -> dict[str, str]:
    """What the C tests of ``reproducers/`` find in this kernel, by the key of a row of KERNEL_DIFFERENCES.md."""
    path = BUILD / "gmem-reproducers"
    if not path.exists():
        raise OracleError("the oracle is not built: run tests/oracle/build.sh")
    end = subprocess.run([path], check=True, capture_output=True, text=True, timeout=TIMEOUT)
    return dict(line.split(": ", 1) for line in end.stdout.splitlines())


def replay(ops: Iterable[str], *, fast: bool = False) -> list[Results]:
    """What the kernel's code answers to each operation; ``fast`` asks the driver whose code does not check itself.

    When it dies or hangs, the last answer says so and the list ends there.
    """
    with tempfile.TemporaryFile("w+") as trace, tempfile.TemporaryFile("w+") as output:
        trace.writelines(f"> {op}\n" for op in ops)
        trace.flush()
        trace.seek(0)
        command = [driver(fast=fast)]
        try:
            end = subprocess.run(
                command, stdin=trace, stdout=output, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT
            )
            death = f"died with status {end.returncode}: {_summary(end.stderr)}" if end.returncode else ""
            if end.returncode == 2:
                raise OracleError(end.stderr.strip())
        except subprocess.TimeoutExpired:
            death = f"did not come back within {TIMEOUT:g} s"
        output.seek(0)
        answers = parse(output)
    if death and answers:
        answers[-1].append(death)
    return answers


def _summary(stderr: str) -> str:
    """The one line of a sanitizer's or assertion's report that names the fault."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("SUMMARY") or "ERROR" in line or "Assertion" in line]
    return (telling or lines or ["no message"])[0]


def parse(lines: Iterable[str]) -> list[Results]:
    """The results in a trace, operation by operation."""
    answers: list[Results] = []
    for line in lines:
        if line.startswith("> "):
            answers.append([])
        elif line.startswith("< "):
            answers[-1].append(line[2:].rstrip("\n"))
    return answers


def bench(ops: Sequence[str]) -> dict[str, Timing]:
    """Times a bench trace (see :func:`tests.oracle.generate.bench_ops`) on the kernel's code at -O2."""
    text = "".join(f"{op}\n" for op in ops)
    end = subprocess.run([driver(fast=True), "--bench"], input=text, capture_output=True, text=True, timeout=TIMEOUT)
    if end.returncode:
        raise OracleError(end.stderr.strip())
    return {kind: Timing(**figures) for kind, figures in json.loads(end.stdout).items()}
