# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison with a running kernel: ``python -m tests.kernel.compare``, after ``tests/kernel/build.sh``.

Exit status 0: every judged reading is as predicted; 1: one differs; 2: there is no kernel to compare with, or it did
not come to the end of its program.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.kernel import machine
from tests.kernel.judge import Row, judge_filemap, judge_hvo
from tests.kernel.machine import Answer, read_answers
from tests.kernel.program import filemap_program, hvo_program

NOT_SHOWN: Final = (
    "guest_memfd with hugepages: no released kernel has it",
    "a split from 1G to 4K in one step, and merges of 1G: the page cache of this kernel has folios of 2M at most",
    "the maple tree of attributes: the trees that can be watched here (mappings, interrupts) track gaps, so their inner"
    " nodes have 10 slots where guest_memfd's have 16",
    "time: the machine is emulated",
)
"""What such a kernel cannot show."""

MOST_DIFFERENCES: Final = 10


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of the calls on files.")
@click.option("--files", type=click.IntRange(1, 64), default=12, show_default=True, help="Files of a tmpfs.")
@click.option(
    "--operations", type=click.IntRange(1, 1000), default=25, show_default=True, help="Calls on each of them."
)
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=2, show_default=True, help="How often hugepages come and go."
)
@click.option("--save", type=click.Path(path_type=Path), help="Write what the kernel answered to this file.")
def compare(seed: int, files: int, operations: int, rounds: int, save: Path | None) -> None:
    """Boot the kernel that build.sh got, and compare what it does with what gmemsim predicts."""
    try:
        name = machine.image()
        printed = machine.boot(hvo_program(rounds)) + machine.boot(filemap_program(seed, files, operations))
    except machine.KernelError as error:
        click.echo(f"kernel: {error}", err=True)
        sys.exit(2)
    if save is not None:
        save.write_text(printed, encoding="utf-8")
    sys.exit(judge(name, seed, printed))


def judge(name: str, seed: int, printed: str) -> int:
    """Print the comparison of what the kernel called ``name`` ``printed``, and return the exit status."""
    hvo, filemap = parts(read_answers(printed))
    pages, nodes = list(judge_hvo(hvo)), list(judge_filemap(filemap))
    calls = [answer.operation for answer in filemap]
    different = sum(row.verdict == "differs" for row in [*pages, *nodes])
    judged = sum(row.verdict != "not judged" for row in [*pages, *nodes])
    shown: list[RenderableType] = [
        Text(f"{name}, emulated; calls on files of seed {seed}\n", style="bold"),
        "HVO: struct pages in memory, change in pages",
        _table(pages, _first),
        "\nXArray nodes of tmpfs files: allocated, freed",
        _table(nodes, _sums),
        *_differences(calls, nodes),
        "",
        "Not to be seen on such a kernel:",
        *(Text(f"  {line}") for line in NOT_SHOWN),
        Text(f"\n{judged} readings judged, {different} different", style="bold"),
    ]
    Console(width=100).print(Group(*shown))
    return 1 if different or not judged else 0


def parts(answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The answers of the two programs; the second begins with the first file."""
    start = next((place for place, answer in enumerate(answers) if answer.operation.startswith("open")), len(answers))
    return list(answers[:start]), list(answers[start:])


Column = Callable[[Iterable[tuple[int, ...] | None]], str]


def _first(values: Iterable[tuple[int, ...] | None]) -> str:
    """What all readings of a group are."""
    return ", ".join(dict.fromkeys("—" if value is None else f"{value[0]:,}" for value in values))


def _sums(values: Iterable[tuple[int, ...] | None]) -> str:
    """The sum of the calls' readings."""
    columns = zip_longest(*(value for value in values if value is not None), fillvalue=0)
    return ", ".join(f"{sum(column):,}" for column in columns) or "—"


def _table(rows: Sequence[Row], combine: Column) -> Table:
    """One line for each kind of step and verdict."""
    table = Table(box=None, pad_edge=False)
    for name in ("step", "times", "gmemsim", "kernel", "verdict"):
        table.add_column(name, justify="left" if name in ("step", "verdict") else "right")
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.what, row.verdict, row.why), []).append(row)
    for (what, verdict, why), alike in groups.items():
        ours, theirs = combine(row.predicted for row in alike), combine(row.kernel for row in alike)
        table.add_row(what, f"{len(alike):,}", ours, theirs, f"{verdict}: {why}" if why else verdict)
    return table


def _differences(calls: Sequence[str], rows: Sequence[Row]) -> list[Text]:
    """The first calls that differ, with their places in the program."""
    found = [
        (place, call, row)
        for place, (call, row) in enumerate(zip(calls, rows, strict=True))
        if row.verdict == "differs"
    ]
    lines = [
        Text(f"operation {place}: {call}: predicted {row.predicted}, the kernel {row.kernel}")
        for place, call, row in found[:MOST_DIFFERENCES]
    ]
    return [*lines, *([Text(f"and {len(found) - MOST_DIFFERENCES} more")] if len(found) > MOST_DIFFERENCES else [])]


if __name__ == "__main__":
    compare()
