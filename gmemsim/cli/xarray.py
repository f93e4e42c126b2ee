# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim xarray``: the tree on its own, driven by operation traces (tests/golden/FORMAT.md).

Theory of operation
-------------------
A trace has three kinds of lines: ``# header``, ``> operation`` and ``< result``.  *Replaying* prints the headers and
operations as they are, each operation followed by our results; results that the trace records are left out, so a trace
comes out as it went in exactly if ours agree.  *Checking* compares instead, and shows the first difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from gmemsim.cli.group import SuggestingGroup
from gmemsim.cli.tracefile import STDIN, Machine, TraceLine, check_readable, read_lines
from gmemsim.cli.xarray_show import show


@click.group(cls=SuggestingGroup)
def xarray() -> None:
    """The XArray on its own: replay operation traces, draw trees."""


xarray.add_command(show)


@xarray.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Compare with the results recorded in FILE instead of printing.")
@click.option("--eager", is_flag=True, help="Make every node at once instead of on demand: slow, same results.")
@click.pass_context
def replay(ctx: click.Context, files: tuple[str, ...], check: bool, eager: bool) -> None:
    """Execute the operation traces FILE... ("-" for standard input) and print their results.

    With --check, each file's first line that differs is named, with what it should be and both dumps, and the exit
    code is 1.

    \b
    Examples:
      gmemsim xarray replay scenarios/traces/split-1g.txt
      gmemsim xarray replay --check scenarios/traces/split-1g.txt
      printf '> store_order 0 18 p1\\n> split 0 18 0 =\\n> count\\n' | gmemsim xarray replay -
    """
    check_readable(files)
    if not check:
        for file in files:
            _replay(read_lines(file), eager=eager, flush=file == STDIN)
        return
    same = [_check(file, eager=eager) for file in files]
    if not all(same):
        ctx.exit(1)


def _replay(lines: Iterable[TraceLine], *, eager: bool, flush: bool) -> None:
    machine = Machine(eager=eager)
    for line in lines:
        if line.kind == "#":
            sys.stdout.write(f"#{line.text}\n")
        elif line.kind == ">":
            results = machine.execute(line)
            sys.stdout.write("".join([f"> {line.text}\n", *(f"< {result}\n" for result in results)]))
            if flush:
                sys.stdout.flush()


def _check(file: str, *, eager: bool) -> bool:
    """Compare the results recorded in ``file`` with ours; say how it went; whether they are the same."""
    machine = Machine(eager=eager)
    checked, dump = 0, None
    for operation, recorded in _grouped(read_lines(file)):
        results = machine.execute(operation)
        if not recorded:
            continue
        if operation.text.strip() == "dump":
            dump = recorded
        expected = [line.text for line in recorded]
        if expected != results:
            _show_difference(operation, recorded, results, dump, machine.dump())
            return False
        checked += 1
    click.echo(f"{file}: {checked} results as recorded")
    return True


def _grouped(lines: Iterable[TraceLine]) -> Iterator[tuple[TraceLine, list[TraceLine]]]:
    """Every operation with the result lines recorded for it."""
    operation: TraceLine | None = None
    recorded: list[TraceLine] = []
    for line in lines:
        if line.kind == "<":
            if operation is None:
                raise line.wrong(-1, "found a result, expected an operation before it")
            recorded.append(line)
        elif line.kind == ">":
            if operation is not None:
                yield operation, recorded
            operation, recorded = line, []
    if operation is not None:
        yield operation, recorded


def _show_difference(
    operation: TraceLine, recorded: list[TraceLine], results: list[str], dump: list[TraceLine] | None, ours: list[str]
) -> None:
    """The first differing line of the results of ``operation``, then the last recorded dump and ours of this moment."""
    at = next(
        (i for i, (line, result) in enumerate(zip(recorded, results, strict=False)) if line.text != result),
        min(len(recorded), len(results)),
    )
    place = recorded[min(at, len(recorded) - 1)]
    click.echo(f"{place.source}:{place.number}: the result of '> {operation.text}' differs")
    click.echo(f"  expected: {recorded[at].text if at < len(recorded) else '(no further line)'}")
    click.echo(f"  found:    {results[at] if at < len(results) else '(no further line)'}")
    if dump is None:
        click.echo("recorded dump: none up to this line")
    else:
        when = "here" if dump is recorded else f"at line {dump[0].number}, the last before this line"
        click.echo(f"recorded dump ({when}):")
        click.echo("\n".join(f"  {line.text}" for line in dump))
    click.echo("our dump (here):")
    click.echo("\n".join(f"  {line}" for line in ours))
