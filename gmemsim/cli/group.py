# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups of commands: the right name for a mistyped one, and commands that are imported on use."""

from __future__ import annotations

from typing import NamedTuple

import click

from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry, late


class CommandRow(NamedTuple):
    """A command: the ``section`` of the help that lists it, its ``place`` (``"gmemsim.cli.run:run"``), its ``words``.

    The words are the first sentence of its docstring, so that the list does not import every command.
    """

    section: str
    place: str
    words: str

    @property
    def command(self) -> click.Command:
        """The command; its module is imported if it has not been."""
        found: click.Command = late(self.place)
        return found


class SuggestingGroup(click.Group):
    """As click's, which suggests commands in its newer versions only."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the closest known one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(f"there is no command {quote(name)}{hint}", ctx)
        return super().resolve_command(ctx, args)


class LateGroup(SuggestingGroup):
    """A group whose commands are the rows of a registry, listed in the help by section."""

    rows: Registry[CommandRow]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the registry."""
        return list(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or ``None``."""
        return self.rows[cmd_name].command if cmd_name in self.rows else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections in the order in which the registry names them first."""
        for section in dict.fromkeys(row.section for row in self.rows.rows()):
            with formatter.section(section):
                formatter.write_dl([(name, row.words) for name, row in self.rows.items() if row.section == section])
