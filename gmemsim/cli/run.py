# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim run``: one scenario, its figures on the screen or as JSON, its files in a directory or in one format."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from gmemsim.cli.outputs import Writer, check_free, write_all, write_text
from gmemsim.cli.parameters import SuggestingChoice
from gmemsim.cli.simulate import INTERRUPTED, simulate
from gmemsim.cli.verdicts import name_failures

if TYPE_CHECKING:
    from gmemsim.reports.views import View

OUTPUTS = ("summary.json", "timeline.jsonl", "plot.png", "plot.svg")
"""What ``--out`` writes if nothing else is asked for."""

FIGURES = ("memory", "map", "orders", "calls", "occupancy")
"""The figures of a run; a test compares them with the registry, which help must not wait for."""


@attrs.frozen
class Format:
    """A format of ``--format``: the suffix of its file, and the package that it needs and the extra that brings it."""

    suffix: str
    stem: str = "timeline"
    tables: bool = False
    """Whether events have a file of their own beside the samples."""
    package: str | None = None


FORMATS = {
    "jsonl": Format(".jsonl"),
    "csv": Format(".csv", tables=True),
    "parquet": Format(".parquet", tables=True, package="pyarrow"),
    "perfetto": Format(".pftrace", package="perfetto"),
    "html": Format(".html", stem="report"),
}
EXTRAS = {"pyarrow": "parquet", "perfetto": "perfetto"}


@attrs.frozen
class Plan:
    """Where the files go, what they are called, and what is in them."""

    directory: Path
    writers: dict[str, Callable[[View], Writer]]


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object and nothing else.")
@click.option(
    "--out",
    metavar="PATH",
    help=f"Write {', '.join(OUTPUTS)} into the directory PATH, which is made if need be."
    " With --format, PATH may be a file too.",
)
@click.option(
    "--format",
    "form",
    type=SuggestingChoice(tuple(FORMATS)),
    help="Write this instead: html (one page with everything), perfetto (for ui.perfetto.dev), or jsonl, csv, parquet"
    " (for data frames).",
)
@click.option(
    "--figure",
    "figures",
    type=SuggestingChoice(FIGURES),
    multiple=True,
    help="Draw this figure, as PNG and SVG, instead of plot; or put it into the HTML page instead of all. Repeat it.",
)
@click.option("--figure-data", is_flag=True, help="Write the data behind every figure too, as CSV.")
@click.option("--force", is_flag=True, help="Overwrite files that are already there.")
@click.pass_context
def run(
    ctx: click.Context,
    file: str,
    as_json: bool,
    out: str | None,
    form: str | None,
    figures: tuple[str, ...],
    figure_data: bool,
    force: bool,
) -> None:
    """Run the scenario FILE and show what it cost.

    Exit code 1 says that an expectation of the scenario failed, 2 that the scenario is wrong, 3 that it cannot be
    simulated. A conversion that fails in the simulated host is an outcome, not an error. Ctrl-C ends the run after the
    step it is in; what is done so far is shown and written, marked as partial, and the exit code is 130.

    The figures: memory (by account), map (size of the folios by offset and time), orders (folios and mappings by size),
    calls (modelled time of each), occupancy (XArray nodes by level).

    \b
    Examples:
      gmemsim run scenarios/rfc-cover.yaml
      gmemsim run scenarios/rfc-cover.yaml --json | jq .accounts.filemap_nodes.peak
      gmemsim run scenarios/rfc-cover.yaml --out out --force
      gmemsim run scenarios/staged.yaml --out out --figure map --figure calls --figure-data
      gmemsim run scenarios/staged.yaml --format html --out report.html
      gmemsim run scenarios/staged.yaml --format csv --out frames/
    """
    _check_options(ctx, out, form, figures, figure_data, force)
    drawn = figures or (FIGURES if form == "html" else ())
    plan = None if out is None else _plan(out, form, figures, figure_data, file)
    if plan is not None:
        check_free(plan.directory, plan.writers, force=force)

    from gmemsim.reports.figures.registry import Watch
    from gmemsim.scenario.format.load import load_scenario
    from gmemsim.sim.run import Run

    simulated = Run(load_scenario(file))
    watch = Watch(drawn, simulated)
    result = simulate(simulated, watch.recorders)
    if plan is not None:
        view = watch.view(result)
        write_all(plan.directory, {name: writer(view) for name, writer in plan.writers.items()})
    if as_json:
        click.echo(_json(result.summary), nl=False)
    else:
        from rich.console import Console

        from gmemsim.reports.screen import run as text

        Console(highlight=False).print(text.render(result))
    if plan is not None:
        click.echo(f"wrote {', '.join(plan.writers)} into {plan.directory}", err=as_json)
    if not result.ok and as_json:
        name_failures(file, result.summary)
    if result.summary.get("partial"):
        ctx.exit(INTERRUPTED)
    if not result.ok:
        ctx.exit(1)


def _check_options(
    ctx: click.Context, out: str | None, form: str | None, figures: tuple[str, ...], figure_data: bool, force: bool
) -> None:
    """A usage error for options that do not go together, or whose package is missing."""
    given = {"--force": force, "--figure": figures, "--figure-data": figure_data, "--format": form}
    if out is None:
        for option, value in given.items():
            if value:
                raise click.UsageError(f"{option} says what --out may do: give --out PATH too", ctx)
    if form is None:
        return
    if figure_data or (figures and form != "html"):
        option = "--figure-data" if figure_data else "--figure"
        raise click.UsageError(f"{option} does not go with --format {form}: it writes no figures of its own", ctx)
    package = FORMATS[form].package
    if package is not None and find_spec(package) is None:
        wanted = f"pip install 'gmemsim[{EXTRAS[package]}]'"
        raise click.UsageError(f"--format {form} needs the package {package}: {wanted}", ctx)


def _plan(out: str, form: str | None, figures: tuple[str, ...], figure_data: bool, file: str) -> Plan:
    if form is None:
        return Plan(Path(out), _standard(figures, figure_data))
    kind = FORMATS[form]
    path = Path(out)
    if path.is_dir() or out.endswith("/") or not path.suffix:
        directory, name = path, f"{kind.stem}{kind.suffix}"
    else:
        directory, name = path.parent, path.name
    writers = {name: _writer(form, figures, file)}
    if kind.tables:
        stem, suffix = name[: -len(Path(name).suffix)], Path(name).suffix
        writers[f"{stem}.events{suffix}"] = _writer(form, figures, file, events=True)
    return Plan(directory, writers)


def _standard(figures: tuple[str, ...], figure_data: bool) -> dict[str, Callable[[View], Writer]]:
    """What is written without ``--format``: summary, timeline, figures as PNG and SVG, their data."""
    writers: dict[str, Callable[[View], Writer]] = {
        "summary.json": lambda view: write_text(_json(view.result.summary)),
        "timeline.jsonl": _writer("jsonl", (), ""),
    }
    for stem, name in {name: name for name in figures}.items() or [("plot", "memory")]:
        for suffix in ("png", "svg"):
            writers[f"{stem}.{suffix}"] = partial(_figure, name)
        if figure_data:
            writers[f"{stem}.csv"] = partial(_figure_data, name)
    return writers


def _figure(name: str, view: View) -> Writer:
    from gmemsim.reports.figures import registry as figures

    return lambda path: figures.write(name, view, path)


def _figure_data(name: str, view: View) -> Writer:
    from gmemsim.reports.figures import registry as figures

    return lambda path: figures.write_data(name, view, path)


def _writer(form: str, figures: tuple[str, ...], file: str, *, events: bool = False) -> Callable[[View], Writer]:
    """Who writes the format ``form``; its packages are imported when it is needed."""

    def ready(view: View) -> Writer:
        match form:
            case "jsonl":
                from gmemsim.reports.export import jsonl

                return partial(jsonl.write, view.result)
            case "csv":
                from gmemsim.reports.export import csv

                return partial(csv.write_events if events else csv.write, view.result)
            case "parquet":
                from gmemsim.reports.export import parquet

                return partial(parquet.write_events if events else parquet.write, view.result)
            case "perfetto":
                from gmemsim.reports.export import perfetto

                return partial(perfetto.write, view.result)
        from gmemsim.reports.export import html

        source = Path(file).read_text(encoding="utf-8")
        return partial(html.write, view, source=source, names=figures or FIGURES)

    return ready


def _json(summary: object) -> str:
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"
