# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the studies that decide: what ``faults``, ``budget`` and ``tune`` take, on a boot and on a recorded log."""

from __future__ import annotations

from pathlib import Path

from tests.bench.meter import Meter, row
from tests.bench.rows_command import SMALL
from tests.bench.rows_run import written

SCENARIOS = Path(__file__).parents[2] / "scenarios"
BOOT, LOG = SCENARIOS / "boot-16g-2m.yaml", SCENARIOS / "replay-qemu.yaml"

FEW_LADDERS = SMALL.replace("host: {", "host: {page_size: 64K, ")
"""A quick look: five halvings from 2M to a base page leave 16 ladders to ``tune``."""


def _study(meter: Meter, command: str, file: Path, *options: str) -> float:
    """CPU seconds of a study on one process and what it forks, its start included."""
    asked = written(meter, "small.yaml", FEW_LADDERS) if meter.quick else file
    return meter.command(command, asked, *options, "--jobs", "1", "--json")


@row("faults.boot", "s", "CPU time of `gmemsim faults boot-16g-2m`", collections=False)
def faults_boot(meter: Meter) -> float:
    return _study(meter, "faults", BOOT)


@row("faults.log", "s", "the same of replay-qemu", collections=False)
def faults_log(meter: Meter) -> float:
    return _study(meter, "faults", LOG)


@row("budget.boot", "s", "CPU time of `gmemsim budget boot-16g-2m --seeds 20`", collections=False)
def budget_boot(meter: Meter) -> float:
    return _study(meter, "budget", BOOT, "--seeds", "20")


@row("budget.log", "s", "CPU time of `gmemsim budget replay-qemu --guests 40`", collections=False)
def budget_log(meter: Meter) -> float:
    return _study(meter, "budget", LOG, "--guests", "40")


@row("tune.boot", "s", "CPU time of `gmemsim tune boot-16g-2m`", collections=False)
def tune_boot(meter: Meter) -> float:
    return _study(meter, "tune", BOOT)


@row("tune.log", "s", "the same of replay-qemu", collections=False)
def tune_log(meter: Meter) -> float:
    return _study(meter, "tune", LOG)
