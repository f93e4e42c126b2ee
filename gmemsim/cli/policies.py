# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim policies``: the policies that have a name."""

from __future__ import annotations

import textwrap

import click

from gmemsim.cli.terminal import columns

UNBOUNDED = 10_000
"""Columns where there is no terminal: a program that reads has every policy in one line."""


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
        _tell(f"{name:{width}}  ", preset.description)
    _tell("\n", "Or NAME=key:value,key:value…, such as mine=split:staged,vmemmap:partial, with", indent=0)
    for name, key in KEYS.items():
        _tell(f"{name:{width}}  ", ", ".join(key.choices()))
    _tell("\n", "A conversion that fails leaves, by ordering and by the step that fails:", indent=0)
    for name, rule in ORDERINGS.items():
        click.echo(f"{name} (generation {rule.generation.name})")
        for step, left in rule.failures:
            _tell("  ", f"{step}: {left}", indent=4)
    _tell("\n", "Any ladder of orders may stand for 18-12-6-0, and any number for 10.", indent=0)


def _tell(before: str, words: str, *, indent: int | None = None) -> None:
    """``words`` in the terminal's columns; later lines have an ``indent`` (default: as wide as ``before``)."""
    margin = " " * (len(before) if indent is None else indent)
    lines = textwrap.fill(
        words, columns(UNBOUNDED), initial_indent=before.strip("\n"), subsequent_indent=margin, break_on_hyphens=False
    )
    click.echo(f"\n{lines}" if before.startswith("\n") else lines)
