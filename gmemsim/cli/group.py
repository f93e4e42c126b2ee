# SPDX-License-Identifier: GPL-2.0-or-later
"""A group of commands that suggests the right name for a mistyped one."""

from __future__ import annotations

from difflib import get_close_matches

import click


class Group(click.Group):
    """As click's, which suggests commands in its newer versions only."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the closest known one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)
