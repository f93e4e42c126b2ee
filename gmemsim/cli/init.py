# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim init``: a commented scenario to begin with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from gmemsim.cli.outputs import Writer, check_free, copy, write_all, write_text
from gmemsim.cli.parameters import RegistryOption
from gmemsim.cli.terminal import say
from gmemsim.errors import Fault, InputError
from gmemsim.scenario.shipped import TEMPLATES


@click.command()
@click.argument("file", default="scenario.yaml", type=click.Path(path_type=Path))
@click.option(
    "--like",
    "name",
    cls=RegistryOption,
    registry=TEMPLATES,
    default="page",
    help="What it is about: {}.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def init(file: Path, name: str, force: bool) -> None:
    """Write a commented scenario into FILE (default: scenario.yaml), ready to run and to change.

    \b
    Examples:
      gmemsim init
      gmemsim init host.yaml --like host
      gmemsim init guest.yaml --like log
    """
    from gmemsim.scenario.shipped import folder, template

    if file.is_dir():
        raise InputError([Fault(str(file), 0, 0, "found a directory, expected the name of a file to write")])
    files: dict[str, Writer] = {}
    text = template(name)
    if (sample := TEMPLATES[name].log) is not None:
        log = f"{file.stem}.log"
        files[log] = partial(copy, folder() / sample)
        text = text.replace("file: LOG", f"file: {log}")
    files[file.name] = partial(write_text, text)
    check_free(file.parent, files, force=force)
    write_all(file.parent, files, force=force)
    say(f"wrote {' and '.join(str(file.with_name(each)) for each in reversed(files))}: gmemsim run {file}")
