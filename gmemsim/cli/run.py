# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim run``: one scenario, its figures on the screen or as JSON, its files in a directory or in one format.

The formats and figures are those of the registries (:mod:`gmemsim.reports.export`, :mod:`gmemsim.reports.figures`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmemsim.cli import completion
from gmemsim.cli.exits import interrupted
from gmemsim.cli.outputs import (
    Destination,
    check_ending,
    check_free,
    destination,
    names_directory,
    tell_written,
    write_all,
)
from gmemsim.cli.parameters import RegistryOption, price_option, set_option
from gmemsim.cli.simulate import simulate
from gmemsim.cli.terminal import show, show_data
from gmemsim.cli.verdicts import name_failures
from gmemsim.reports.export import EXPORTS
from gmemsim.reports.export.packing import lacking, packing_of
from gmemsim.reports.figures import FIGURES, recorders, recordings
from gmemsim.reports.filesets import PLOT, bound, format_files, format_of, run_files
from gmemsim.results.timeline import LEAST_KEPT

if TYPE_CHECKING:
    from gmemsim.scenario.format.settings import Setting


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object and nothing else.")
@click.option(
    "--out",
    metavar="PATH",
    help=f"Write {', '.join(run_files())} into the directory PATH, which is made if need be."
    " If PATH ends in .png, .svg, .json, .html or as another format does, write that file alone; a table is"
    " compressed if PATH ends in .gz or .zst after that.",
)
@click.option("--format", "form", cls=RegistryOption, registry=EXPORTS, help="Write one of these instead: {}.")
@click.option(
    "--figure",
    "figures",
    cls=RegistryOption,
    registry=FIGURES,
    multiple=True,
    help="Draw this figure, as PNG and SVG, instead of plot; or put it into the HTML page instead of all. Repeat it."
    " There are {}.",
)
@click.option("--figure-data", is_flag=True, help="Write the data behind every figure too, as CSV.")
@click.option(
    "--keep-events",
    metavar="N",
    type=click.IntRange(min=LEAST_KEPT),
    help="Keep at most N events of the timeline, for runs of many millions; the summary and peaks stay exact.",
)
@price_option
@click.option(
    "--force", is_flag=True, help="Overwrite files that are already there. A link is replaced, not what it points to."
)
@click.pass_context
def run(
    ctx: click.Context,
    file: str,
    settings: tuple[Setting, ...],
    as_json: bool,
    out: str | None,
    form: str | None,
    figures: tuple[str, ...],
    figure_data: bool,
    keep_events: int | None,
    prices: dict[str, float],
    force: bool,
) -> None:
    """Run the scenario FILE and show what it cost.

    Exit code 1 says that an expectation of the scenario failed, 2 that the scenario is wrong, 3 that it cannot be
    simulated. A conversion that fails in the simulated host is a result, not an error. Ctrl-C ends the run after the
    step it is in; what is done so far is shown and written, marked as partial, and the exit code is 130.

    \b
    Examples:
      gmemsim run rfc-cover
      gmemsim run rfc-cover --json | jq .accounts.filemap_nodes.peak
      gmemsim run rfc-cover --out rfc-cover.png
      gmemsim run rfc-cover --out out --force
      gmemsim run staged --set host.rcu_grace=1s --set host.costs=roth-snp-2025
      gmemsim run staged --out staged --figure map --figure calls --figure-data
      gmemsim run staged --out report.html
      gmemsim run staged --format csv --out frames/
      gmemsim run staged --out timeline.jsonl.zst
      gmemsim run - < my.yaml
    """
    if out is not None and form is None and not Path(out).is_dir():
        form = format_of(Path(out))
    _check_options(ctx, out, form, figures, figure_data, force)
    drawn = _drawn(out, form, figures)
    looking = [name for name in drawn if FIGURES[name].needs is not None and not FIGURES[name].optional]
    if looking and keep_events is not None:
        raise click.UsageError(f"--keep-events does not go with {', '.join(looking)}, which show every event", ctx)
    plan = None if out is None else _plan(ctx, out, form, figures, figure_data)
    if plan is not None:
        if form is not None:
            _check_packing(ctx, form, next(iter(plan.files)))
        check_free(plan.directory, plan.files, force=force)

    from gmemsim.reports.views import View
    from gmemsim.scenario.format.template import parse_with
    from gmemsim.scenario.format.yaml import read_file
    from gmemsim.scenario.prices import with_prices
    from gmemsim.sim.run import Run

    data = read_file(file)  # once: it may be a pipe
    simulated = Run(with_prices(parse_with(data, file, settings), prices), keep=keep_events)
    used = recorders(drawn, simulated, necessary=keep_events is not None)
    result = simulate(simulated, used.values())
    written: tuple[str, ...] = ()
    if plan is not None:
        view = View(result, recordings(used), data.decode("utf-8-sig"), drawn)
        written = write_all(plan.directory, bound(plan.files, view), force=force)
    if as_json:
        from gmemsim.reports.export.run_json import as_text

        show_data(as_text(result))
    else:
        show("run", result)
    complete = plan is None or tell_written(plan.directory, written, plan.files, err=as_json)
    if not result.ok and as_json:
        name_failures(file, result.summary)
    if not complete or result.summary.get("partial"):
        ctx.exit(interrupted())
    if not result.ok:
        ctx.exit(1)


def _drawn(out: str | None, form: str | None, figures: tuple[str, ...]) -> tuple[str, ...]:
    """The figures that this command draws: those asked for, or what it draws unasked."""
    if out is None or figures:
        return figures
    if form is None:
        return tuple(PLOT.values())
    return FIGURES.names() if EXPORTS[form].figures else ()


def _check_options(
    ctx: click.Context, out: str | None, form: str | None, figures: tuple[str, ...], figure_data: bool, force: bool
) -> None:
    """A usage error for options that do not go together, or whose package is missing."""
    given = {"--force": force, "--figure": figures, "--figure-data": figure_data, "--format": form}
    if out is None:
        for option, value in given.items():
            if value:
                raise click.UsageError(f"{option} needs --out PATH", ctx)
    if form is None:
        return
    row = EXPORTS[form]
    if figure_data or (figures and not row.figures):
        option = "--figure-data" if figure_data else "--figure"
        raise click.UsageError(f"{option} does not go with --format {form}: it writes no figures of its own", ctx)
    if row.missing:
        wanted = f"pip install 'gmemsim[{row.extra}]'"
        raise click.UsageError(f"--format {form} needs the package {row.package}: {wanted}", ctx)


def _check_packing(ctx: click.Context, form: str, name: str) -> None:
    """A usage error if a file of this name cannot be compressed as the name says."""
    packing, wanted = packing_of(name), lacking(name)
    if packing and not EXPORTS[form].packed:
        raise click.UsageError(f"--format {form} writes no compressed files: give a name without {packing}", ctx)
    if wanted is not None:
        raise click.UsageError(f"a file {packing} needs {wanted}", ctx)


def _plan(ctx: click.Context, out: str, form: str | None, figures: tuple[str, ...], figure_data: bool) -> Destination:
    """A directory, or a file: a figure or the summary, or what the format writes."""
    path, is_directory = Path(out), names_directory(out)
    if not is_directory:
        check_ending(path, (*(Path(name).suffix for name in run_files()), *(row.suffix for row in EXPORTS.rows())))
    if form is None:
        return destination(out, run_files(figures, data=figure_data), ctx)
    if is_directory:
        return Destination(path, format_files(form))
    return Destination(path.parent, format_files(form, path.name))
