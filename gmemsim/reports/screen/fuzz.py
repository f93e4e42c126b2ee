# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``fuzz``: what was judged, or a report like a kernel fuzzer's, ready for a mail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.words import number
from gmemsim.results.provenance import maker
from gmemsim.studies.fuzz import Finding, Fuzz

Line = tuple[str, str]
"""A label, and what it is."""


def render(fuzz: Fuzz, file: str | None = None) -> RenderableType:
    """What came of it, for a rich console; ``file``: where the scenario that fails is written (default: shown here)."""
    finding = fuzz.finding
    if finding is None:
        heading = Text(f"{_asked(fuzz)}: no law broke", style="bold")
        return Group(heading, _lines(_counts(fuzz)))
    heading = Text(f"BUG: {finding.failure.kind}", style="bold red")
    parts: list[RenderableType] = [heading, _lines([*_report(fuzz, finding, file), *_counts(fuzz)])]
    if file is None and not fuzz.replayed:
        parts += [Text("\nThe scenario, for broken.yaml:\n", style="bold"), Text(finding.text.rstrip())]
    return Group(*parts)


def _asked(fuzz: Fuzz) -> str:
    return "replay" if fuzz.replayed else f"fuzz, seed {fuzz.seed}"


def _lines(lines: Iterable[Line]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, words in lines:
        grid.add_row(label, Text(words))
    return grid


def _counts(fuzz: Fuzz) -> Iterator[Line]:
    calls = ", ".join(f"{number(n)} {errno or 'succeeded'}" for errno, n in fuzz.calls.most_common())
    yield "runs", f"{number(fuzz.runs)}, of which {number(fuzz.refused)} did not fit their host"
    if fuzz.lost:
        yield "lost", f"{number(fuzz.lost)} runs ended their process"
    yield "calls", f"{number(fuzz.calls.total())}: {calls}" if calls else "none"
    yield "judges", "all invariants, and a run that makes every node at once, after each call"
    if fuzz.watch is None:
        yield "model", "not used: the independent model is in tests/model of a checkout"
    else:
        yield "model", f"{fuzz.watch.split(':')[0]}, which predicted {number(fuzz.watched)} of the calls in full"


def _report(fuzz: Fuzz, finding: Finding, file: str | None) -> Iterator[Line]:
    """Message, version, seed, configuration, step, dump, command."""
    failure = finding.failure
    yield "message", failure.message
    yield "version", f"gmemsim {maker()}"
    if not fuzz.replayed:
        yield "seed", f"{fuzz.seed}, run {finding.number}"
        yield "shortened", f"from {finding.steps_before} steps to {len(finding.steps)} in {finding.trials} trials"
    yield "host", _said(finding.world.get("host", {})) or "as it is by default"
    for guest in finding.world.get("guests", ()):
        yield "guest", _said(guest)
    if failure.step < len(finding.steps):
        yield "step", f"{failure.step + 1}: {_said(finding.steps[failure.step])}"
    for label, lines in (("dump", failure.dump), ("trace", failure.trace)):
        yield from zip((label, *[""] * len(lines)), lines, strict=False)
    yield "command", f"gmemsim fuzz --replay {file or fuzz.replayed or 'broken.yaml'}"


def _said(value: Any) -> str:
    """``page_size: 4K, hugetlb: {1G: 4}`` of a part of a scenario file."""
    if not isinstance(value, Mapping):
        return f"[{', '.join(map(_inner, value))}]" if isinstance(value, list) else str(value)
    return ", ".join(f"{key}: {_inner(part)}" for key, part in value.items())


def _inner(value: Any) -> str:
    return f"{{{_said(value)}}}" if isinstance(value, Mapping) else _said(value)
