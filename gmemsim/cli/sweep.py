# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim sweep``: one scenario with some of its keys taking many values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

import click

from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.exits import interrupted
from gmemsim.cli.outputs import check_free, destination, tell_written, write_all
from gmemsim.cli.parameters import complete_scenarios, format_options
from gmemsim.cli.progress import Interruption
from gmemsim.cli.terminal import show
from gmemsim.errors import Fault, InputError
from gmemsim.messages import did_you_mean, shown
from gmemsim.reports.export import SWEEP_EXPORTS
from gmemsim.reports.filesets import MOST_KEYS, bound, sweep_files

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gmemsim.studies.sweep import Point, Sweep, SweepRow

TABLES = tuple(sweep_files(MOST_KEYS + 1))
HEATMAPS = tuple(name for name in sweep_files(1) if name not in TABLES)

T = TypeVar("T")


@click.command()
@click.argument("file", shell_complete=complete_scenarios)
@click.option(
    "--vary",
    "varied",
    metavar="KEY=VALUE,…",
    multiple=True,
    required=True,
    help="Give this key of FILE these values, such as host.kernel_memory=64M,unlimited or seed=0..9,"
    " guests.*.memory=1G,2G, policy=b-today,staged, policy=staged;x=split:18-9-0,vmemmap:partial."
    " Repeat it for all combinations.",
)
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    default=("total.peak_bytes",),
    show_default=True,
    help="Show this metric, a path into the summary as in `expect`; repeat it.",
)
@click.option(
    "--mean",
    "folded",
    metavar="KEY",
    help="Show mean ± standard deviation over the values of this key of --vary, such as seed.",
)
@executor_options
@format_options(SWEEP_EXPORTS)
@click.option(
    "--out",
    metavar="PATH",
    help=f"Write {', '.join(TABLES)} into the directory PATH, and with one or two keys {' and '.join(HEATMAPS)};"
    " or one of them if PATH ends as it does.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are already there.")
@click.pass_context
def sweep(
    ctx: click.Context,
    file: str,
    varied: tuple[str, ...],
    metrics: tuple[str, ...],
    folded: str | None,
    workers: Workers,
    form: str | None,
    out: str | None,
    force: bool,
) -> None:
    """Run FILE with all combinations of some values, and put metrics into one table.

    The scenario's expectations are not tested. A variant that cannot be simulated is listed as refused. All variants
    are checked before the first is run. After Ctrl-C the variants that have been run are shown, marked as partial; the
    exit code is 130.

    \b
    Examples:
      gmemsim sweep rfc-cover --vary policy=b-today,staged,staged-partial
      gmemsim sweep staged --vary policy=b-today,staged --vary seed=0..3
      gmemsim sweep boot-16g-2m --vary seed=0..9 --mean seed --metric 'splits.2M->4K'
      gmemsim sweep staged --vary seed=0..99 --metric vmemmap.peak --jobs 2 --out out
    """
    if force and out is None:
        raise click.UsageError("--force needs --out PATH", ctx)
    files = sweep_files(len(varied) - (folded is not None))
    written: tuple[str, ...] = ()
    plan = None if out is None else destination(out, files, ctx)
    if plan is not None:
        check_free(plan.directory, plan.files, force=force)
    result = _sweep(file, varied, metrics, folded, workers)
    if plan is not None:
        written = write_all(plan.directory, bound(plan.files, result), force=force)
    if form is None:
        show("sweep", result)
    else:
        click.echo(SWEEP_EXPORTS[form].text(result), nl=False)
    complete = plan is None or tell_written(plan.directory, written, plan.files, err=form is not None)
    if result.partial or not complete:
        ctx.exit(interrupted())


def _sweep(file: str, varied: tuple[str, ...], metrics: tuple[str, ...], folded: str | None, workers: Workers) -> Sweep:
    from gmemsim.scenario.format.load import parse_scenario
    from gmemsim.scenario.format.yaml import read_file
    from gmemsim.studies.sweep import Sweep, fold, points, read_variation

    faults: list[Fault] = []
    variations = [*_read("--vary", varied, read_variation, faults)]
    metrics = tuple(_read("--metric", metrics, _metric, faults))
    keys = [variation.key for variation in variations]
    for key in {key for key in keys if keys.count(key) > 1}:
        faults.append(Fault(f"--vary {shown(key)}", 0, 0, "found this key twice, expected it once"))
    if folded is not None and folded not in keys:
        faults.append(Fault(f"--mean {shown(folded)}", 0, 0, f"expected a key of --vary{did_you_mean(folded, keys)}"))
    if faults:
        raise InputError(faults)
    data = read_file(file)  # once: it may be a pipe
    title = parse_scenario(data, source=file).title
    variants = points(data.decode("utf-8-sig"), file, variations, metrics)
    with Interruption() as interruption, workers.start() as executor:
        found = dict(_run(variants, file, metrics, executor, interruption))
        rows = tuple(found[place] for place in sorted(found))
    if interruption.pressed and not rows:
        raise KeyboardInterrupt
    result = Sweep(title, tuple(variations), metrics, rows, partial=len(rows) < len(variants))
    return result if folded is None else fold(result, folded)


def _metric(text: str) -> str:
    """``text`` if it may be a metric; of which guests is known later."""
    from gmemsim.results.metrics import check_metric

    check_metric(text)
    return text


def _read(option: str, texts: tuple[str, ...], read: Callable[[str], T], faults: list[Fault]) -> Iterator[T]:
    """Read every text; what is wrong goes to ``faults``."""
    for text in texts:
        try:
            yield read(text)
        except ValueError as error:
            faults.append(Fault(f"{option} {shown(text)}", 0, 0, str(error)))


def _run(
    variants: list[Point], file: str, metrics: tuple[str, ...], executor: Executor | None, interruption: Interruption
) -> Iterator[tuple[int, SweepRow]]:
    """Places and rows, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from gmemsim.studies.sweep import sweep as sweep_all

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True) if console.is_terminal else None
    with bar or nullcontext():
        task = None if bar is None else bar.add_task("variants", total=len(variants))
        for row in sweep_all(variants, file, metrics, executor, lambda: interruption.pressed):
            yield row
            if bar is not None and task is not None:
                bar.advance(task)
