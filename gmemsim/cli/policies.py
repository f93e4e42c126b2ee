# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim policies``: the policies that have a name."""

from __future__ import annotations

import click


@click.command()
def policies() -> None:
    """List the named policies, and what a policy of your own may say.

    \b
    Examples:
      gmemsim policies
      gmemsim policies | grep staged
    """
    from gmemsim.gmem.policy import KEYS
    from gmemsim.gmem.presets import PRESETS
    from gmemsim.gmem.rules import ORDERINGS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        click.echo(f"{name:{width}}  {preset.description}")
    click.echo("\nOr NAME=key:value,key:value…, such as mine=split:staged,vmemmap:partial, with")
    for name, key in KEYS.items():
        click.echo(f"{name:{width}}  {', '.join(key.choices())}")
    click.echo("\nA conversion that fails leaves, by ordering and by the step that fails:")
    for name, rule in ORDERINGS.items():
        click.echo(f"{name} (generation {rule.generation.name})")
        for step, left in rule.failures:
            click.echo(f"  {step}: {left}")
    click.echo("\nAny ladder of orders may stand for 18-12-6-0, and any number for 10.")
