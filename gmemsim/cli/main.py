# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``gmemsim``: the group of commands, and the one place where an error becomes an exit code.

Theory of operation
-------------------
A command raises what went wrong; :class:`Commands` turns it into lines on standard error and a code:

    === ==========================================================================
      0  done, and everything expected holds
      1  an expectation failed, or a check found a difference (the command says so itself)
      2  the input or the command line is wrong: one line a fault, nothing written
      3  the simulation refused to run what is well formed
     70  a bug in gmemsim: a traceback (``EX_SOFTWARE`` of sysexits.h)
    130  interrupted with Ctrl-C
    141  whoever read the output has gone (what a shell reports for SIGPIPE)
    === ==========================================================================

Commands import what they need when they run, so that ``gmemsim --help`` does not wait for matplotlib.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from typing import Any

import click

from gmemsim import __version__
from gmemsim.cli.compare import compare
from gmemsim.cli.explain import explain
from gmemsim.cli.group import Group
from gmemsim.cli.import_ import import_
from gmemsim.cli.policies import policies
from gmemsim.cli.run import run
from gmemsim.cli.schema import schema
from gmemsim.cli.simulate import INTERRUPTED
from gmemsim.cli.sweep import sweep
from gmemsim.cli.xarray import xarray
from gmemsim.errors import InputError, SimulationRefused

INPUT_WRONG, REFUSED, BUG, READER_GONE = 2, 3, 70, 141

SECTIONS = {
    "See what it costs": ("run", "compare", "sweep", "explain"),
    "Write scenarios": ("import", "policies", "schema"),
    "Look inside, and test": ("xarray", "faults", "fuzz"),
}
"""What people want, and the commands for it; a command that is in none is listed at the end."""


class Commands(Group):
    """The group of all commands, which lists them by what people want, and ends every one with the right code."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for everything that people want."""
        left = [name for name in self.list_commands(ctx) if not any(name in names for names in SECTIONS.values())]
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, names in (*SECTIONS.items(), ("Other commands", tuple(left))):
            rows = [(name, self.commands[name].get_short_help_str(width)) for name in names if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever it raises ends in one of the codes above."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BaseException as error:
            ctx.exit(_report(error))


def _report(error: BaseException) -> int:
    """Say what went wrong on standard error; the exit code."""
    match error:
        case InputError(faults=faults):
            for fault in faults:
                _complain(str(fault))
            return INPUT_WRONG
        case SimulationRefused():
            _complain(f"gmemsim: refused: {error}")
            return REFUSED
        case KeyboardInterrupt():
            _complain("gmemsim: interrupted")
            return INTERRUPTED
        case BrokenPipeError():
            _let_go_of_stdout()
            return READER_GONE
        case OSError(strerror=str(reason)):
            _complain(f"{error.filename or 'gmemsim'}: {reason}")
            return INPUT_WRONG
        case Exception():
            traceback.print_exception(error)
            _complain("gmemsim: this is a bug in gmemsim, not in its input")
            return BUG
        case _:
            raise error


def _complain(line: str) -> None:
    click.echo(line, err=True)


def _let_go_of_stdout() -> None:
    """Point standard output at nothing, or the interpreter would complain again when it flushes on exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gmemsim")
def gmemsim() -> None:
    """What does converting guest_memfd memory between shared and private cost the host?

    \b
    Examples:
      gmemsim run scenarios/rfc-cover.yaml
      gmemsim compare scenarios/rfc-cover.yaml --policy b-today --policy staged-partial
      gmemsim explain split 1G 4K

    FILE is a scenario: see scenarios/ in the source, or `gmemsim schema`. `gmemsim COMMAND --help` has more examples.

    \b
    Shell completion:
      bash    eval "$(_GMEMSIM_COMPLETE=bash_source gmemsim)"    in ~/.bashrc
      zsh     eval "$(_GMEMSIM_COMPLETE=zsh_source gmemsim)"     in ~/.zshrc
      fish    _GMEMSIM_COMPLETE=fish_source gmemsim | source     in ~/.config/fish/config.fish
    """


for command in (run, compare, sweep, explain, import_, policies, schema, xarray):
    gmemsim.add_command(command)


def main() -> None:
    """The entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ≈ gets a question mark, not a traceback
    try:
        gmemsim(prog_name="gmemsim")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
