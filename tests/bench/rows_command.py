# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the command: how it starts, what it draws and writes, sweeps on several processes."""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from pathlib import Path

from tests.bench.meter import Meter, row
from tests.bench.rows_run import scenario, written
from tests.wheel import ROOT, built

RFC_COVER = ROOT / "scenarios" / "rfc-cover.yaml"
FIGURES = ("memory", "map", "orders", "calls", "occupancy")
POINTS = 8


@row("start.version", "ms", "CPU time of `gmemsim --version`", collections=False)
def start_version(meter: Meter) -> float:
    return meter.command("--version") * 1e3


@row("start.rfc-cover", "ms", "CPU time of `gmemsim run scenarios/rfc-cover.yaml`", collections=False)
def start_rfc_cover(meter: Meter) -> float:
    return meter.command("run", RFC_COVER) * 1e3


def _run(meter: Meter, conversions: int, *options: str | Path) -> float:
    """CPU seconds of the command that runs so many conversions with these options, its start included."""
    path = written(meter, "bench.yaml", scenario("staged", 64, 64, meter.scale(conversions)))
    return meter.command("run", path, *options)


def _with_figures(meter: Meter, conversions: int) -> float:
    options = [option for figure in FIGURES for option in ("--figure", figure)]
    return _run(meter, conversions, "--out", meter.folder / "out", "--force", *options)


@row("figures.five", "s", "a run of 2,000 conversions with five figures, the whole command", collections=False)
def figures_five(meter: Meter) -> float:
    return _with_figures(meter, 2000)


@row(
    "figures.five.1m",
    "s",
    "what five figures, and timeline.jsonl beside them, add to a run of 1,000,000 conversions",
    collections=False,
    big=True,
)
def figures_five_of_a_million(meter: Meter) -> float:
    return _with_figures(meter, 10**6) - _run(meter, 10**6)


@row("export.jsonl", "s", "a run of 10,000 conversions with timeline.jsonl, the whole command", collections=False)
def export_jsonl(meter: Meter) -> float:
    return _run(meter, 10_000, "--format", "jsonl", "--out", meter.folder / "timeline.jsonl", "--force")


def _sweep(meter: Meter, points: int, jobs: int) -> float:
    """Seconds on the clock of a sweep over so many seeds on so many processes, its start included."""
    text = scenario("staged", 64, 64, meter.scale(4000))
    path = written(meter, "bench.yaml", text)
    vary = f"seed={','.join(str(number) for number in range(points))}"
    return meter.wall("sweep", path, "--vary", vary, "--metric", "filemap_nodes.peak", "--csv", "--jobs", str(jobs))


def _points_a_second(meter: Meter, jobs: int) -> float:
    points = meter.scale(POINTS)
    return points / _sweep(meter, points, jobs)


@row(
    "sweep.1",
    "1/s",
    "points of a sweep a second on 1 process (wall clock, start included)",
    collections=False,
    more=True,
)
def sweep_1(meter: Meter) -> float:
    return _points_a_second(meter, 1)


@row("sweep.2", "1/s", "the same on 2 processes", collections=False, more=True)
def sweep_2(meter: Meter) -> float:
    return _points_a_second(meter, 2)


@row(
    "sweep.gain",
    "×",
    "what 2 processes gain in a sweep of 100 points (wall clock, start included)",
    collections=False,
    big=True,
    more=True,
)
def sweep_gain(meter: Meter) -> float:
    points = meter.scale(100)
    return _sweep(meter, points, 1) / _sweep(meter, points, 2)


SMALL_POINTS = 1000

SMALL = """\
gmemsim: 1
host: {hugetlb: {2M: 4}}
guests: [{name: vm0, memory: 8M, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 8M}
  - scatter: {guest: vm0, at: 1s, count: 2, duration: 1s, lifetime: 1s}
"""
"""A scenario that takes about as long as its parsing: what is left is what a point costs beside its run."""


def _small_points_a_second(meter: Meter, *options: str) -> float:
    points = meter.scale(SMALL_POINTS)
    path = written(meter, "small.yaml", SMALL)
    seeds = f"seed=0..{points - 1}"
    return points / meter.wall(
        "sweep", path, "--vary", seeds, "--metric", "filemap_nodes.peak", "--mean", "seed", "--csv", *options
    )


@row(
    "sweep.small.1",
    "1/s",
    "points of a small scenario a second on 1 process (wall clock, start included)",
    collections=False,
    more=True,
)
def sweep_small_1(meter: Meter) -> float:
    return _small_points_a_second(meter, "--jobs", "1")


@row("sweep.small.2", "1/s", "the same on 2 processes", collections=False, more=True)
def sweep_small_2(meter: Meter) -> float:
    return _small_points_a_second(meter, "--jobs", "2")


@row("sweep.dask.1", "1/s", "the same on a Dask cluster of 1 worker, its start included", collections=False, more=True)
def sweep_dask_1(meter: Meter) -> float:
    return _small_points_a_second(meter, "--dask", "local", "--jobs", "1")


@row("sweep.dask.2", "1/s", "the same on a Dask cluster of 2 workers", collections=False, more=True)
def sweep_dask_2(meter: Meter) -> float:
    return _small_points_a_second(meter, "--dask", "local", "--jobs", "2")


@row(
    "sweep.machine",
    "×",
    "what 2 processes can gain here: work of two busy loops side by side against one (wall clock)",
    collections=False,
    more=True,
)
def sweep_machine(meter: Meter) -> float:
    loop = [sys.executable, "-c", f"for _ in range({100_000 if meter.quick else 10_000_000}): pass"]

    def wall(number: int) -> float:
        start = time.perf_counter()
        for process in [subprocess.Popen(loop) for _ in range(number)]:
            process.wait()
        return time.perf_counter() - start

    return 2 * wall(1) / wall(2)


@row(
    "way.first-picture",
    "s",
    "from a wheel to a picture: pip into an empty environment, then a run (wall clock)",
    collections=False,
)
def way_first_picture(meter: Meter) -> float:
    """What pip needs comes from its cache, or is fetched; so the figure is of a machine and its network."""
    folder = meter.folder / "walk"
    wheel = built(folder / "dist")
    start = time.perf_counter()
    if meter.quick:
        return meter.wall("run", "is-it-necessary", "--out", meter.folder / "picture.png", "--force")
    venv.create(folder / "environment", clear=True)
    python = folder / "environment" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    typed = [str(python), "-m", "gmemsim", "run", "is-it-necessary", "--out", "picture.png", "--force"]
    subprocess.run(typed, check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - start


@row(
    "way.log-to-budget",
    "s",
    "from a QEMU log to what 40 such guests need: import, budget (wall clock)",
    collections=False,
)
def way_log_to_budget(meter: Meter) -> float:
    guest = meter.folder / "guest.yaml"
    log = RFC_COVER.with_name("replay-qemu.log")
    imported = meter.wall("import", "qemu", log, "-o", guest, "--force")
    return imported + meter.wall("budget", guest, "--guests", str(meter.scale(40)))
