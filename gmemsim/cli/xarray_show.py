"""``gmemsim xarray show``: draw the tree that a trace has built, at any moment of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from gmemsim.cli.outputs import check_free, write_all
from gmemsim.cli.traces import STDIN, Line, Machine, check_readable, read_lines
from gmemsim.errors import Fault, InputError

FORMATS = (".png", ".svg")

WIDTH = 200
"""Columns: no line of a tree of 64-bit indices is longer, and none is cut off in a narrower terminal."""


@click.command()
@click.argument("trace")
@click.option("--at", type=click.IntRange(min=0), help="Draw the tree after this many operations (default: all).")
@click.option("--figure", type=click.Path(path_type=Path), help="Write a figure to this .png or .svg file, too.")
@click.option("--force", is_flag=True, help="Overwrite the figure's file.")
def show(trace: str, at: int | None, figure: Path | None, force: bool) -> None:
    """Execute the operation trace TRACE ("-" for standard input) and draw the tree it leaves.

    Slots that hold the same are folded, and so are nodes that look alike: "64 × node" is one of them, 64 times.

    \b
    Examples:
      gmemsim xarray show tests/golden/d20.txt
      gmemsim xarray show tests/golden/d20.txt --at 9 --figure staged.png
      printf '> store_order 0 18 p1\\n> split 0 18 0 =\\n' | gmemsim xarray show -
    """
    from rich.console import Console

    from gmemsim.reports import treeview
    from gmemsim.xarray.show import picture

    check_readable([trace])
    if figure is not None:
        if figure.suffix.lower() not in FORMATS:
            raise click.UsageError(f"--figure is {figure.name!r}, expected a name that ends in .png or .svg")
        check_free(figure.parent, [figure.name], force=force)
    machine, done = _execute(read_lines(trace), at)
    if at is not None and done < at:
        raise InputError([Fault(trace, 0, 0, f"found {done} operations, expected at least {at} (--at)")])
    Console(highlight=False, width=WIDTH).print(treeview.render(picture(machine.tree)))
    if figure is not None:
        name = "standard input" if trace == STDIN else Path(trace).name
        title = f"{name} after {done} operation{'' if done == 1 else 's'}"
        write_all(figure.parent, {figure.name: lambda path: treeview.write(machine.tree, title, path)})


def _execute(lines: Iterable[Line], most: int | None) -> tuple[Machine, int]:
    """A machine that has executed the first ``most`` operations, and how many those were."""
    machine, done = Machine(eager=False), 0
    for line in lines:
        if line.kind == ">" and (most is None or done < most):
            machine.execute(line)
            done += 1
    return machine, done
