# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``gmemsim``: the group of commands, which are imported on use.

Adding a command is its file and one row of :data:`COMMANDS`.  How commands end is in :mod:`gmemsim.cli.exits`.
Commands import what they need when they run, so that ``gmemsim --help`` does not wait for matplotlib.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from gmemsim import compiled
from gmemsim.cli import exits
from gmemsim.cli.group import CommandRow, LateGroup
from gmemsim.registry import Registry
from gmemsim.version import __version__

COMMANDS: Registry[CommandRow] = Registry("command")
"""Every command, in the order of the help; sections are what people want."""

for _name, _section, _place in (
    ("run", "See what it costs", "gmemsim.cli.run:run"),
    ("compare", "See what it costs", "gmemsim.cli.compare:compare"),
    ("sweep", "See what it costs", "gmemsim.cli.sweep:sweep"),
    ("explain", "See what it costs", "gmemsim.cli.explain:explain"),
    ("reserve", "Decide", "gmemsim.cli.reserve:reserve"),
    ("faults", "Decide", "gmemsim.cli.faults:faults"),
    ("costs", "See what it costs", "gmemsim.cli.costs:costs"),
    ("budget", "Decide", "gmemsim.cli.budget:budget"),
    ("examples", "Write scenarios", "gmemsim.cli.examples:examples"),
    ("init", "Write scenarios", "gmemsim.cli.init:init"),
    ("import", "Write scenarios", "gmemsim.cli.import_:import_"),
    ("policies", "Write scenarios", "gmemsim.cli.policies:policies"),
    ("schema", "Write scenarios", "gmemsim.cli.schema:schema"),
    ("xarray", "Look inside, and test", "gmemsim.cli.xarray:xarray"),
):
    COMMANDS.add(_name, CommandRow(_section, _place))


class Commands(LateGroup):
    """The group of all commands, which ends every one with the right code."""

    rows = COMMANDS

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line; what goes wrong on the way, printing the help included, is reported."""
        try:
            exits.check_standard_output()
            return super().make_context(info_name, args, parent, **extra)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BaseException as error:
            raise click.exceptions.Exit(exits.report(error)) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever it raises ends in a line and a code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BaseException as error:
            ctx.exit(exits.report(error))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(f"{__version__} ({compiled.form()})", prog_name="gmemsim")
def gmemsim() -> None:
    """What does converting guest_memfd memory between shared and private cost the host?

    \b
    Examples:
      gmemsim examples
      gmemsim run rfc-cover
      gmemsim compare rfc-cover --policy b-today --policy staged-partial
      gmemsim explain split 1G 4K

    FILE is a scenario, "-" for standard input, or the name of one that comes with gmemsim; `gmemsim init` writes one
    to begin with. `gmemsim COMMAND --help` has more examples.

    \b
    Shell completion:
      bash    eval "$(_GMEMSIM_COMPLETE=bash_source gmemsim)"    in ~/.bashrc
      zsh     eval "$(_GMEMSIM_COMPLETE=zsh_source gmemsim)"     in ~/.zshrc
      fish    _GMEMSIM_COMPLETE=fish_source gmemsim | source     in ~/.config/fish/config.fish
    """


def main() -> None:
    """Run the command line of this process, and exit."""
    exits.hold_standard_descriptors()
    exits.notice_sigterm()
    sys.stdout = exits.standard_output()
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
    gmemsim(prog_name="gmemsim")
