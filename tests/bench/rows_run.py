# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of whole runs: by policy, by size, by length; memory; reading scenarios and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gmemsim
from gmemsim.errors import InputError
from tests.bench.meter import Meter, row
from tests.bench.rows_api import POLICIES, counted

SIZES = {"64g": 64, "1t": 1024, "16t": 16384}
"""Sizes of guests in GiB."""

PLACE = 64
"""GiB at the beginning of a guest that the rows of sizes use: equally many splits whatever the size."""

SPREAD = 1000
"""Seconds of simulated time in which the conversions come."""


NO_HOST = ", host_share: 0"
"""Conversions alone: no faults of the host, which revisions without this key do not make."""


def written(meter: Meter, name: str, text: str) -> Path:
    """A scenario file that this gmemsim can read: without :data:`NO_HOST` where it does not know it."""
    path = meter.write(name, text)
    try:
        gmemsim.load_scenario(path)
    except InputError:
        path = meter.write(name, text.replace(NO_HOST, ""))
    return path


def scenario(policy: str, guest: int, used: int, conversions: int) -> str:
    """Random 4K pages in the first ``used`` GiB are shared and taken back, about as many at a time as there are GiB."""
    allocations = conversions // 2
    lifetime = max(SPREAD * 10**6 * used // max(allocations, 1), 1)
    return f"""
gmemsim: 1
title: bench
host: {{hugetlb: {{1G: {guest}}}}}
guests: [{{name: vm0, memory: {guest}G, backing: 1G, policy: {{split: {policy}}}}}]
workload:
  - allocate: {{guest: vm0, offset: 0, size: {used}G}}
  - scatter: {{guest: vm0, offset: 0, size: {used}G, count: {allocations},
              duration: {SPREAD}s, lifetime: {lifetime}us{NO_HOST}}}
"""


def run_file(meter: Meter, text: str) -> tuple[float, int]:
    """CPU seconds of the run of a scenario, read before, and how many conversions it had."""
    import numpy  # noqa: F401 - revisions differ in when they import it, which is not what is measured

    loaded = gmemsim.load_scenario(written(meter, "bench.yaml", text))
    done: list[int] = []

    def run() -> None:
        done.append(gmemsim.run(loaded).summary["conversions"]["succeeded"])

    return meter.seconds(run), done[0]


def _each(policy: str, guest: int, used: int, conversions: int) -> Callable[[Meter], float]:
    def measure(meter: Meter) -> float:
        seconds, number = run_file(meter, scenario(policy, guest, used, meter.scale(conversions)))
        return seconds / number * 1e6

    return measure


for _policy in POLICIES:
    for _label, _number in {"10k": 10**4, "100k": 10**5, "1m": 10**6}.items():
        row(
            f"run.{_policy}.{_label}",
            "µs",
            f"a conversion in a run of {_number:,}, {_policy}, 1 TiB",
            collections=_number == 10**4,
            big=_number > 10**5,
        )(_each(_policy, 1024, 1024, _number))

RUN = (
    "from pathlib import Path; from tests.bench.meter import Meter; from tests.bench.rows_run import run_file, scenario"
)
"""What a process whose instructions are counted begins with."""

for _policy in POLICIES:
    counted("run", RUN, f"run_file(Meter(folder=Path()), scenario({_policy!r}, 1024, 1024, n))", _policy)

for _policy in POLICIES:
    for _label, _size in SIZES.items():
        row(
            f"size.{_policy}.{_label}",
            "µs",
            f"a conversion, {_policy}, all in the first {PLACE} GiB of {_label}: equally many splits",
        )(_each(_policy, _size, PLACE, 10_000))

for _label in ("64g", "16t"):
    counted(
        "size",
        RUN,
        f"run_file(Meter(folder=Path()), scenario('uniform', {SIZES[_label]}, {PLACE}, n))",
        f"uniform.{_label}",
    )


# -- memory ------------------------------------------------------------------------------------------------------------


def _memory(policy: str, conversions: int) -> Callable[[Meter], float]:
    def measure(meter: Meter) -> float:
        text = scenario(policy, 1024, 1024, meter.scale(conversions))
        small = written(meter, "small.yaml", scenario(policy, 1024, 1024, 2000))
        gmemsim.run(gmemsim.load_scenario(small))  # imports, pools
        loaded = gmemsim.load_scenario(written(meter, "bench.yaml", text))
        results = []
        grown = meter.grown(lambda: results.append(gmemsim.run(loaded)))
        return grown / float(results[0].summary["conversions"]["succeeded"])

    return measure


for _label, _number in {"50k": 50_000, "1m": 10**6}.items():
    row(
        f"memory.staged.{_label}",
        "B",
        f"memory a conversion in a run of {_number:,}: RSS at its peak less RSS before",
        collections=False,
        big=_number > 10**5,
    )(_memory("staged", _number))


# -- reading -----------------------------------------------------------------------------------------------------------

STEPS, EVENTS = 5000, 10_000


def steps_file(meter: Meter, steps: int) -> Path:
    """A scenario with so many conversions written out."""
    lines = (
        f"  - convert: {{guest: vm0, offset: {number % 1000 * 4}K, size: 4K, to: {('shared', 'private')[number & 1]},"
        f" at: {number + 1}ms}}"
        for number in range(steps)
    )
    head = "gmemsim: 1\nhost: {hugetlb: {1G: 1}}\nguests: [{name: vm0, memory: 1G, backing: 1G}]\nworkload:\n"
    return meter.write("steps.yaml", head + "\n".join(lines) + "\n")


@row("yaml.step", "µs", "a step of a scenario file that is read")
def yaml_step(meter: Meter) -> float:
    gmemsim.load_scenario(steps_file(meter, 10))  # imports
    steps = meter.scale(STEPS)
    path = steps_file(meter, steps)
    return meter.seconds(lambda: gmemsim.load_scenario(path)) / steps * 1e6


@row("yaml.memory", "B", "memory a step of a scenario file: RSS at its peak less RSS before", collections=False)
def yaml_memory(meter: Meter) -> float:
    gmemsim.load_scenario(steps_file(meter, 10))  # imports
    steps = meter.scale(2 * STEPS)
    path, kept = steps_file(meter, steps), []
    return meter.grown(lambda: kept.append(gmemsim.load_scenario(path))) / steps


def _log_lines(events: int) -> Iterator[str]:
    for number in range(events):
        seconds, rest = divmod(number * 100, 10**6)
        page = (number // 2) * 7919 % (1 << 18)  # below the 3 GiB hole
        way = "shared_to_private" if number & 1 else "private_to_shared"
        yield f"4711@{1752300000 + seconds}.{rest:06}:kvm_convert_memory start {page << 12:#x} size 0x1000 {way}\n"


def log_file(meter: Meter, events: int) -> Path:
    """A log of QEMU's trace event kvm_convert_memory: single pages of the first 8 GiB, out and back."""
    path = meter.folder / "qemu.log"
    with path.open("w", encoding="ascii") as log:
        log.writelines(_log_lines(events))
    return path


@row("qemu.import", "µs", "an event of a QEMU log: `gmemsim import`, its start included", collections=False)
def qemu_import(meter: Meter) -> float:
    events = meter.scale(EVENTS)
    path = log_file(meter, events)
    seconds = meter.command("import", "qemu", path, "-o", meter.folder / "imported.yaml", "--memory", "16G", "--force")
    return seconds / events * 1e6


def replay_file(meter: Meter, events: int) -> Path:
    """A scenario that replays such a log."""
    log_file(meter, events)
    text = """
gmemsim: 1
host: {hugetlb: {1G: 16}}
guests: [{name: vm0, memory: 16G, backing: 1G, policy: {split: staged}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 16G}
  - replay: {guest: vm0, file: qemu.log, format: qemu, host_share: 0}
"""
    return written(meter, "replay.yaml", text)


@row("qemu.replay", "µs", "an event of a QEMU log that is replayed in a run, reading included")
def qemu_replay(meter: Meter) -> float:
    events, done = meter.scale(EVENTS), []
    path = replay_file(meter, events)
    seconds = meter.seconds(lambda: done.append(gmemsim.run(gmemsim.load_scenario(path))))
    assert done[0].summary["conversions"]["succeeded"] == events
    return seconds / events * 1e6


@row(
    "qemu.replay.1m",
    "s",
    "`gmemsim run` of a QEMU log of 1,000,000 events, its start included",
    collections=False,
    big=True,
)
def qemu_replay_of_a_million(meter: Meter) -> float:
    return meter.command("run", replay_file(meter, meter.scale(10**6)))


@row("qemu.memory.1m", "MB", "memory of such a run in Python: RSS at its peak", collections=False, big=True)
def qemu_memory_of_a_million(meter: Meter) -> float:
    path, kept = replay_file(meter, meter.scale(10**6)), []
    return meter.peak(lambda: kept.append(gmemsim.run(gmemsim.load_scenario(path)))) / 1e6
