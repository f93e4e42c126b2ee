# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim xarray show``: draw the tree that a trace or a scenario has built, at any moment of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmemsim.cli import completion
from gmemsim.cli.outputs import check_free, write_all
from gmemsim.cli.parameters import set_option
from gmemsim.cli.terminal import columns
from gmemsim.cli.terminal import show as show_screen
from gmemsim.cli.tracefile import STDIN, Machine, TraceLine, check_readable, read_lines
from gmemsim.errors import Fault, InputError
from gmemsim.messages import did_you_mean, quote
from gmemsim.reports.figures import SUFFIXES
from gmemsim.scenario.shipped import resolve

if TYPE_CHECKING:
    from gmemsim.scenario.format.settings import Setting
    from gmemsim.xarray.tree import Tree

WIDTH = 200
"""Columns where there is no terminal: no line of a tree of 64-bit indices is longer."""


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@click.option("--at", type=click.IntRange(min=0), help="Draw the tree after this many operations (default: all).")
@click.option(
    "--guest",
    shell_complete=completion.guests,
    help="Whose filemap to draw, in a scenario (default: the first guest's).",
)
@click.option("--figure", type=click.Path(path_type=Path), help="Write a figure to this .png or .svg file, too.")
@click.option("--force", is_flag=True, help="Overwrite the figure's file.")
def show(
    file: str, settings: tuple[Setting, ...], at: int | None, guest: str | None, figure: Path | None, force: bool
) -> None:
    """Execute the operation trace FILE ("-" for standard input) and draw the tree it leaves.

    If FILE is a scenario (.yaml or .yml, or the name of one that comes with gmemsim), draw the filemap of a guest after
    so many of its calls. Slots that hold the same are folded, and so are nodes that look alike: "64 × node" is one of
    them, 64 times.

    \b
    Examples:
      gmemsim xarray show scenarios/traces/split-1g.txt
      gmemsim xarray show scenarios/traces/split-1g.txt --at 3 --figure split.png
      gmemsim xarray show staged --guest partial --at 4
      printf '> store_order 0 18 p1\\n> split 0 18 0 =\\n' | gmemsim xarray show -
    """
    from gmemsim.reports.figures import treeview
    from gmemsim.xarray.lab.show import picture

    if figure is not None:
        if figure.suffix.lower() not in SUFFIXES:
            raise click.UsageError(f"--figure is {figure.name!r}, expected a name that ends in {' or '.join(SUFFIXES)}")
        check_free(figure.parent, [figure.name], force=force)
    is_scenario = Path(resolve(file)).suffix.lower() in (".yaml", ".yml")
    if guest is not None and not is_scenario:
        raise click.UsageError("--guest says which filemap of a scenario to draw, and FILE is a trace")
    if settings and not is_scenario:
        raise click.UsageError("--set gives keys of a scenario other values, and FILE is a trace")
    tree, done, what = _of_scenario(file, settings, guest, at) if is_scenario else _of_trace(file, at)
    if at is not None and done < at:
        raise InputError([Fault(file, 0, 0, f"found {done} {what}s, expected at least {at} (--at)")])
    show_screen("treeview", picture(tree), width=min(WIDTH, columns(WIDTH)))
    if figure is not None:
        name = "standard input" if file == STDIN else Path(file).name
        title = f"{name} after {done} {what}{'' if done == 1 else 's'}"
        write_all(figure.parent, {figure.name: lambda path: treeview.write(tree, title, path)}, force=force)


def _of_trace(file: str, most: int | None) -> tuple[Tree, int, str]:
    """The tree after the first ``most`` operations of a trace, how many those were, and what they are called."""
    check_readable([file])
    machine, done = _execute(read_lines(file), most)
    return machine.tree, done, "operation"


def _of_scenario(
    file: str, settings: tuple[Setting, ...], guest: str | None, most: int | None
) -> tuple[Tree, int, str]:
    """A guest's filemap after the first ``most`` calls of a scenario, how many those were, and what they are called."""
    from gmemsim.scenario.format.template import load_with
    from gmemsim.sim.run import Run

    scenario = load_with(file, settings)
    names = scenario.guest_names
    if guest is not None and guest not in names:
        hint = did_you_mean(guest, names)
        raise click.UsageError(f"there is no guest {quote(guest)}, expected one of {', '.join(names[:20])}{hint}")
    run = Run(scenario)
    done = sum(1 for _ in islice(run, most))
    return run.guests[guest or names[0]].page_cache.tree, done, "call"


def _execute(lines: Iterable[TraceLine], most: int | None) -> tuple[Machine, int]:
    """A machine that has executed the first ``most`` operations, and how many those were."""
    machine, done = Machine(eager=False), 0
    for line in lines:
        if line.kind == ">" and (most is None or done < most):
            machine.execute(line)
            done += 1
    return machine, done
