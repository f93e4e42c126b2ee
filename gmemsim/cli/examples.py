# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim examples``: the scenarios that come with gmemsim, to list, to read and to copy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from gmemsim.cli import completion
from gmemsim.cli.outputs import check_free, tell_written, write_all
from gmemsim.cli.outputs import copy as copy_file
from gmemsim.cli.terminal import show, show_data
from gmemsim.messages import did_you_mean, quote


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=completion.scenario_names)
@click.option(
    "--copy",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Copy them into DIR, which is made if need be, with the logs that they replay.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are already in DIR.")
@click.pass_context
def examples(ctx: click.Context, names: tuple[str, ...], copy: Path | None, force: bool) -> None:
    """List the scenarios that come with gmemsim; with NAME print the file, with --copy DIR copy them.

    A name may stand wherever a command wants a scenario: `gmemsim run rfc-cover`. Questions are scenarios that people
    have asked on the lists; what is listed is the answer, whose figures the scenario expects of its run.

    \b
    Examples:
      gmemsim examples
      gmemsim examples rfc-cover
      gmemsim examples rfc-cover replay-qemu --copy mine
    """
    from gmemsim.scenario.format.load import load_scenario
    from gmemsim.scenario.shipped import belonging, scenarios

    known = scenarios()
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no example {quote(name)}{did_you_mean(name, known)}", ctx)
    chosen = {name: known[name] for name in names or known}
    if force and copy is None:
        raise click.UsageError("--force needs --copy DIR", ctx)
    if copy is not None:
        sources = [path for found in chosen.values() for path in (found, *belonging(found))]
        files = {path.name: partial(copy_file, path) for path in sources}
        check_free(copy, files, force=force)
        written = write_all(copy, files, force=force)
        tell_written(copy, written, files, err=False)
    elif names:
        for path in chosen.values():
            show_data(path.read_text(encoding="utf-8"))
    else:
        show("examples", {name: load_scenario(path) for name, path in chosen.items()})
