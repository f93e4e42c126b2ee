# SPDX-License-Identifier: GPL-2.0-or-later
"""Callbacks that read command-line parameters, shared by several commands."""

from __future__ import annotations

from difflib import get_close_matches

import click

from gmemsim.units import parse_size


def read_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A size with a unit as bytes; a usage error says what was found and expected."""
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def read_presets(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The names of policy presets, each of which must exist."""
    from gmemsim.gmem.presets import PRESETS

    for name in value:
        if name not in PRESETS:
            close = get_close_matches(name, PRESETS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(PRESETS)}"
            raise click.BadParameter(f"there is no policy {name!r}, {hint}", ctx, param)
    return value


def complete_presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of policy presets that begin with what has been typed, for the shell."""
    from gmemsim.gmem.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


class SuggestingChoice(click.Choice[str]):
    """One of some words; a mistyped one is answered with the word that was probably meant."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """As click's, with a suggestion."""
        close = get_close_matches(str(value), [str(choice) for choice in self.choices], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{super().get_invalid_choice_message(value, ctx)}{hint}"
