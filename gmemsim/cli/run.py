"""``gmemsim run``: one scenario, its figures on the screen or as JSON, its files in a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmemsim.cli.outputs import Writer, check_free, write_all, write_text
from gmemsim.cli.verdicts import name_failures

if TYPE_CHECKING:
    from gmemsim.run import Result

OUTPUTS = ("summary.json", "timeline.jsonl", "plot.png", "plot.svg")
"""What ``--out`` writes."""


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object and nothing else.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help=f"Write {', '.join(OUTPUTS)} into DIR, which is made if need be.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are already in DIR.")
@click.pass_context
def run(ctx: click.Context, file: str, as_json: bool, out: Path | None, force: bool) -> None:
    """Run the scenario FILE and show what it cost.

    Exit code 1 says that an expectation of the scenario failed, 2 that the scenario is wrong, 3 that it cannot be
    simulated. A conversion that fails in the simulated host is an outcome, not an error.

    \b
    Examples:
      gmemsim run scenarios/rfc-cover.yaml
      gmemsim run scenarios/rfc-cover.yaml --json | jq .accounts.filemap_nodes.peak
      gmemsim run scenarios/rfc-cover.yaml --out out --force
    """
    if force and out is None:
        raise click.UsageError("--force says what --out may do: give --out DIR too", ctx)
    if out is not None:
        check_free(out, OUTPUTS, force=force)

    from gmemsim.run import run as simulate
    from gmemsim.scenario.load import load_scenario

    result = simulate(load_scenario(file))
    summary = json.dumps(result.summary, indent=2, allow_nan=False) + "\n"
    if out is not None:
        write_all(out, _writers(result, summary))
    if as_json:
        click.echo(summary, nl=False)
    else:
        from rich.console import Console

        from gmemsim.reports import text

        Console(highlight=False).print(text.render(result))
    if out is not None:
        click.echo(f"wrote {', '.join(OUTPUTS)} into {out}", err=as_json)
    if not result.ok:
        if as_json:
            name_failures(file, result.summary)
        ctx.exit(1)


def _writers(result: Result, summary: str) -> dict[str, Writer]:
    from gmemsim.reports import jsonl, plot

    return {
        "summary.json": write_text(summary),
        "timeline.jsonl": lambda path: jsonl.write(result, path),
        "plot.png": lambda path: plot.write(result, path),
        "plot.svg": lambda path: plot.write(result, path),
    }
