# SPDX-License-Identifier: GPL-2.0-or-later
"""What a row measures with, and the table of rows.

A row is a function with a :class:`Row` above it::

    @row("tree.load", "µs", "look up one page")
    def load(meter: Meter) -> float:
        ...
        return meter.seconds(call) / number * 1e6

It is called once with collections of garbage and once without; one that measures something else than CPU time of this
process says ``collections=False`` and is called once.
"""

from __future__ import annotations

import gc
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

Measure = Callable[["Meter"], float]


@attrs.define
class Row:
    """One thing that is measured; above a function it adds itself to :data:`ROWS`.

    ``unit`` of the number; ``what`` it is, in words; ``collections``: whether it is measured with and without them;
    ``big``: only with ``BIG=1``; ``more``: whether a larger number is the better one; ``sources``: whether it says
    something of what runs from its sources only; ``lacking``: what it needs and is not here.
    """

    name: str
    unit: str
    what: str
    collections: bool = attrs.field(default=True, kw_only=True)
    big: bool = attrs.field(default=False, kw_only=True)
    more: bool = attrs.field(default=False, kw_only=True)
    sources: bool = attrs.field(default=False, kw_only=True)
    lacking: str = attrs.field(default="", kw_only=True)
    measure: Measure = attrs.field(init=False)

    def __call__(self, measure: Measure) -> Measure:
        """Measure with the decorated function."""
        assert self.name not in ROWS, f"two rows {self.name}"
        self.measure = measure
        ROWS[self.name] = self
        return measure


row = Row

VALGRIND: Final = "" if shutil.which("valgrind") else "valgrind"
"""What rows of instructions lack."""

ROWS: dict[str, Row] = {}
"""Every row by its name, in the order of the table."""


@attrs.frozen(kw_only=True)
class Meter:
    """Measures one row once.

    ``folder`` is for its files.  Without ``collecting``, what is timed runs without collections of garbage.  ``quick``
    makes :meth:`scale` return very little, for tests.
    """

    folder: Path
    collecting: bool = True
    quick: bool = False

    def scale(self, number: int) -> int:
        """How many to measure, where ``number`` are enough."""
        return min(number, 16) if self.quick else number

    def seconds(self, call: Callable[[], object]) -> float:
        """CPU seconds of this process that ``call`` takes."""
        gc.collect()
        if not self.collecting:
            gc.disable()
        try:
            start = time.process_time()
            call()
            return time.process_time() - start
        finally:
            gc.enable()

    def grown(self, call: Callable[[], object]) -> float:
        """Bytes by which the memory of this process (RSS) is higher at its peak in ``call`` than before."""
        gc.collect()
        before = _memory("VmRSS")
        return max(self.peak(call) - before, 0)

    def peak(self, call: Callable[[], object]) -> float:
        """Bytes of memory of this process (RSS) at its peak until ``call`` has ended."""
        kept = call()
        peak = _memory("VmHWM")
        del kept
        return peak

    def command(self, *arguments: str | Path) -> float:
        """CPU seconds of a process that runs ``gmemsim ARGUMENTS``, its start included."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run(arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def instructions(self, code: str, number: int) -> float:
        """Machine instructions of ``number`` of what the Python ``code`` does as often as its argument says.

        Counted by valgrind in processes of their own: the difference of twice as many and of as many.
        """
        counts = []
        for times in (self.scale(number), 2 * self.scale(number)):
            tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
            done = subprocess.run(
                [*tool, sys.executable, "-P", "-c", code, str(times)],
                cwd=self.folder,
                env=os.environ | {"PYTHONHASHSEED": "0"},
                capture_output=True,
                text=True,
                check=False,
            )
            found = re.search(r"I\s+refs:\s+([0-9,]+)", done.stderr)
            if done.returncode or found is None:
                raise RuntimeError(f"valgrind: {done.stderr}")
            counts.append(int(found[1].replace(",", "")))
        return float(counts[1] - counts[0])

    def wall(self, *arguments: str | Path) -> float:
        """Seconds on the clock that ``gmemsim ARGUMENTS`` takes."""
        start = time.perf_counter()
        self._run(arguments)
        return time.perf_counter() - start

    def _run(self, arguments: tuple[str | Path, ...]) -> None:
        code = "from gmemsim.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"gmemsim {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')}")

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def _memory(which: str) -> int:
    """Bytes of memory: ``VmRSS`` now, ``VmHWM`` at the peak so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for line in status.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == which:
            return int(value.split()[0]) << 10
    raise AssertionError(f"no {which}")
