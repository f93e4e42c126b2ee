# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim sweep``: one scenario with some of its keys taking many values."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmemsim.cli import completion
from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.exits import interrupted
from gmemsim.cli.options import Options
from gmemsim.cli.outputs import check_free, destination, tell_written, write_all
from gmemsim.cli.parameters import format_options, set_option
from gmemsim.cli.progress import Interruption, with_count
from gmemsim.cli.terminal import say, show, show_data
from gmemsim.errors import Fault, InputError, WorkersLost
from gmemsim.messages import did_you_mean, quote
from gmemsim.reports.export import SWEEP_EXPORTS
from gmemsim.reports.filesets import MOST_KEYS, bound, sweep_files

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gmemsim.scenario.format.settings import Setting
    from gmemsim.scenario.model import Scenario
    from gmemsim.studies.sweep import Plan, Sweep, SweepRow, Variation

TABLES = tuple(sweep_files(MOST_KEYS + 1))
HEATMAPS = tuple(name for name in sweep_files(1) if name not in TABLES)

SHOWN = 60
"""Rows that are kept for the screen when a table has them all."""


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@click.option(
    "--vary",
    "varied",
    metavar="KEY=VALUE,…",
    multiple=True,
    shell_complete=completion.variations,
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
    shell_complete=completion.metrics,
    default=("total.peak_bytes",),
    show_default=True,
    help="Show this metric, a path into the summary as in `expect`; repeat it.",
)
@click.option(
    "--mean",
    "folded",
    metavar="KEY",
    shell_complete=completion.varied,
    help="Show mean ± standard deviation over the values of this key of --vary, such as seed, and the 95 % interval of"
    " the mean (Student's t).",
)
@executor_options
@format_options(SWEEP_EXPORTS)
@click.option(
    "--out",
    metavar="PATH",
    help=f"Write {', '.join(TABLES)} into the directory PATH, and with one or two keys {' and '.join(HEATMAPS)};"
    " or one of them if PATH ends as it does.",
)
@click.option(
    "--table",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a row to FILE as soon as a variant is done; its name ends in .csv, or .parquet (a directory of parts).",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the table that is already there: variants in it are not run again."
)
@click.option("--force", is_flag=True, help="Overwrite files that are already there.")
@click.pass_context
def sweep(
    ctx: click.Context,
    file: str,
    settings: tuple[Setting, ...],
    varied: tuple[str, ...],
    metrics: tuple[str, ...],
    folded: str | None,
    workers: Workers,
    form: str | None,
    out: str | None,
    table: Path | None,
    resume: bool,
    force: bool,
) -> None:
    """Run FILE with all combinations of some values, and put metrics into one table.

    The scenario's expectations are not tested. A variant that cannot be simulated is listed as refused. Up to 1,000
    variants are all checked before the first is run; of more, every value once, as far as that number goes.

    With --table rows are kept as variants are done, in the order in which they are done, so a sweep that was stopped,
    or killed, goes on with --resume. After Ctrl-C the variants that have been run are shown, marked as partial; the
    exit code is 130. A worker that is killed loses nothing; a variant that ends its worker twice is listed as refused.

    \b
    Examples:
      gmemsim sweep rfc-cover --vary policy=b-today,staged,staged-partial
      gmemsim sweep staged --vary policy=b-today,staged --vary seed=0..3
      gmemsim sweep boot-16g-2m --vary seed=0..9 --mean seed --metric 'splits.2M->4K'
      gmemsim sweep staged --vary seed=0..99 --mean seed --table seeds.csv
      gmemsim sweep staged --vary seed=0..99 --mean seed --table seeds.csv --resume
    """
    _check_options(ctx, out, table, resume, force)
    files = sweep_files(len(varied) - (folded is not None))
    written: tuple[str, ...] = ()
    destined = None if out is None else destination(out, files, ctx)
    if destined is not None:
        check_free(destined.directory, destined.files, force=force)
    plan, scenario = _plan(file, settings, varied, metrics, folded)
    if table is not None and not resume:
        _make_free(table, force=force)
    gathered = _Gathered(plan, scenario, folded, everything=table is None or out is not None or form is not None)
    lost = gathered.gather(table, workers)
    result = gathered.sweep
    if destined is not None:
        written = write_all(destined.directory, bound(destined.files, result), force=force)
    if form is None:
        show("sweep", result)
    else:
        show_data(SWEEP_EXPORTS[form].text(result))
    complete = destined is None or tell_written(destined.directory, written, destined.files, err=form is not None)
    if result.partial and table is not None:
        say(f"gmemsim: {table} has {gathered.told}; --resume goes on with it", err=True)
    if lost is not None:
        raise lost
    if result.partial or not complete:
        ctx.exit(interrupted())


def _check_options(ctx: click.Context, out: str | None, table: Path | None, resume: bool, force: bool) -> None:
    """A usage error for options that do not go together."""
    from gmemsim.reports.export.sweep_table import FORMS

    if force and out is None and table is None:
        raise click.UsageError("--force says what --out and --table may do: give one of them too", ctx)
    if resume and table is None:
        raise click.UsageError("--resume goes on with a table: give --table FILE too", ctx)
    if resume and force and out is None:
        raise click.UsageError("--resume goes on with the table that --force would overwrite: give one of them", ctx)
    if table is not None and table.suffix not in FORMS:
        known = " or ".join(FORMS)
        raise click.UsageError(f"--table is {quote(table.name)}, expected a name that ends in {known}", ctx)
    if table is not None and table.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise click.UsageError("--table NAME.parquet needs the package pyarrow: pip install 'gmemsim[parquet]'", ctx)


def _make_free(table: Path, *, force: bool) -> None:
    """Remove the table that is already there; :class:`InputError` unless that is wanted."""
    if not os.path.lexists(table):
        return
    if not force:
        message = "found it already there; use --resume to go on with it, or --force to begin anew"
        raise InputError([Fault(str(table), 0, 0, message)])
    if table.is_dir() and not table.is_symlink():
        from gmemsim.reports.export.sweep_table import is_part

        strange = [path.name for path in table.iterdir() if not is_part(path)]
        if strange:
            message = f"found {quote(strange[0])} in it, expected a table's parts only: --force would remove them"
            raise InputError([Fault(str(table), 0, 0, message)])
        shutil.rmtree(table)
    else:
        table.unlink()


def _plan(
    file: str, settings: tuple[Setting, ...], varied: tuple[str, ...], metrics: tuple[str, ...], folded: str | None
) -> tuple[Plan, Scenario]:
    """The plan of the sweep, checked, and the scenario as the file has it."""
    from gmemsim.scenario.format.template import parse_with
    from gmemsim.scenario.format.yaml import read_file
    from gmemsim.studies.sweep import Plan, read_variation

    def read(text: str) -> tuple[str, Variation]:
        variation = read_variation(text)
        return variation.key, variation

    with Options() as options:
        variations = options.by_key("--vary", varied, read, "key")
        metrics = tuple(options.read("--metric", metrics, _metric))
        if folded is not None and folded not in variations:
            options.wrong("--mean", folded, f"expected a key of --vary{did_you_mean(folded, variations)}")
    data = read_file(file)  # once: it may be a pipe
    scenario = parse_with(data, file, settings)
    plan = Plan(data, file, tuple(variations.values()), metrics, settings)
    plan.check()
    return plan, scenario


def _metric(text: str) -> str:
    """``text`` if it may be a metric; of which guests is known later."""
    from gmemsim.results.metrics import check_metric

    check_metric(text)
    return text


class _Gathered:
    """A sweep while it is carried out: rows that a table has, and those that come."""

    def __init__(self, plan: Plan, scenario: Scenario, folded: str | None, *, everything: bool) -> None:
        from gmemsim.studies.gather import Gathering

        self._plan = plan
        self._scenario = scenario
        self._gathering = Gathering(plan, None if everything else SHOWN, folded)

    @property
    def sweep(self) -> Sweep:
        """The table so far."""
        from gmemsim.studies.made import made_of

        return self._gathering.sweep(self._scenario.title, made_of(self._scenario))

    @property
    def told(self) -> str:
        """How much is done, in words."""
        return f"{self._gathering.total:,} of {len(self._plan):,} variants"

    def gather(self, table: Path | None, workers: Workers) -> WorkersLost | None:
        """Take what ``table`` has and carry out the rest; returns why it ended early, if that was the workers."""
        from gmemsim.reports.export.sweep_table import opened

        with (
            Interruption() as interruption,
            workers.start() as executor,
            nullcontext() if table is None else opened(table, self._plan) as kept,
        ):
            for place, row in () if kept is None else kept.rows():
                self._gathering.add(place, row)
            try:
                for place, row in self._run(executor, interruption):
                    if kept is not None:
                        kept.add(place, row)
                    self._gathering.add(place, row)
            except WorkersLost as error:
                return error
        if interruption.pressed and not self._gathering.total:
            raise KeyboardInterrupt
        return None

    def _run(self, executor: Executor | None, interruption: Interruption) -> Iterator[tuple[int, SweepRow]]:
        """Places and rows, with a bar on a terminal."""
        from gmemsim.studies.sweep import sweep as sweep_all

        rows = sweep_all(self._plan, executor, lambda: interruption.pressed, self._gathering.done)
        return with_count(rows, "variants", len(self._plan), self._gathering.total)
