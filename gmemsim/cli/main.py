# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``gmemsim``: the group of commands, which are imported on use.

Adding a command is its file and one row of :data:`COMMANDS`.  How commands end is in :mod:`gmemsim.cli.exits`.
Commands import what they need when they run, so that ``gmemsim --help`` does not wait for matplotlib.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from gmemsim.cli import exits
from gmemsim.cli.group import CommandRow, LateGroup
from gmemsim.registry import Registry
from gmemsim.results.provenance import maker

ASKED = "_GMEMSIM_COMPLETE"
"""The variable of the environment by which a shell asks for completions."""

COMMANDS: Registry[CommandRow] = Registry("command")
"""Every command, in the order of the help; sections are what people want, and the words begin its docstring."""

for _name, _section, _place, _words in (
    ("run", "See what it costs", "gmemsim.cli.run:run", "Run the scenario FILE and show what it cost."),
    (
        *("compare", "See what it costs", "gmemsim.cli.compare:compare"),
        "Compare one scenario FILE under several policies, or several scenarios, in one table.",
    ),
    (
        *("sweep", "See what it costs", "gmemsim.cli.sweep:sweep"),
        "Run FILE with all combinations of some values, and put metrics into one table.",
    ),
    ("explain", "See what it costs", "gmemsim.cli.explain:explain", "Explain one conversion."),
    (
        *("costs", "See what it costs", "gmemsim.cli.costs:costs"),
        "Print the prices of PROFILE, or of all profiles: every counter of work, its price, and where that is from.",
    ),
    (
        *("reserve", "Decide", "gmemsim.cli.reserve:reserve"),
        "Say what must be had beforehand so that converting pages of a hugepage cannot fail, object by object.",
    ),
    (
        *("faults", "Decide", "gmemsim.cli.faults:faults"),
        "Let every allocation of the run of FILE fail in turn, and say what each failure leaves.",
    ),
    (
        *("budget", "Decide", "gmemsim.cli.budget:budget"),
        "Say how much kernel memory the guests of FILE need so that no conversion fails for want of it.",
    ),
    (
        *("tune", "Decide", "gmemsim.cli.tune:tune"),
        "Find the policy that is best for the workload of FILE, and the front of peak memory against time.",
    ),
    (
        *("examples", "Write scenarios", "gmemsim.cli.examples:examples"),
        "List the scenarios that come with gmemsim; with NAME print the file, with --copy DIR copy them.",
    ),
    (
        *("init", "Write scenarios", "gmemsim.cli.init:init"),
        "Write a commented scenario into FILE (default: scenario.yaml), ready to run and to change.",
    ),
    ("import", "Write scenarios", "gmemsim.cli.import_:import_", "Make a scenario of a recorded log."),
    (
        *("policies", "Write scenarios", "gmemsim.cli.policies:policies"),
        "List the named policies, and what a policy of your own may say.",
    ),
    ("schema", "Write scenarios", "gmemsim.cli.schema:schema", "Print the JSON Schema of scenario files."),
    (
        *("xarray", "Look inside, and test", "gmemsim.cli.xarray:xarray"),
        "The XArray on its own: replay operation traces, draw trees.",
    ),
    (
        *("fuzz", "Look inside, and test", "gmemsim.cli.fuzz:fuzz"),
        "Run random scenarios until one breaks a law, and show the shortest scenario that breaks it.",
    ),
):
    COMMANDS.add(_name, CommandRow(_section, _place, _words))


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
@click.version_option(maker(), prog_name="gmemsim")
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
    if ASKED in os.environ:
        from gmemsim.cli.bash import register

        register()
    exits.notice_sigterm()
    sys.stdout = exits.standard_output()
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding=exits.encoding_of(sys.stderr), errors="replace")
    gmemsim(prog_name="gmemsim")
