"""``gmemsim policies``: the policies that have a name."""

from __future__ import annotations

import click


@click.command()
def policies() -> None:
    """List the named policies.

    \b
    Example:
      gmemsim policies
    """
    from gmemsim.gmem.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        click.echo(f"{name:{width}}  {preset.description}")
