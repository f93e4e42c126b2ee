# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim costs``: the profiles that price counted work."""

from __future__ import annotations

import click

from gmemsim.cli.terminal import show
from gmemsim.messages import did_you_mean, quote


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from gmemsim.host.costs import PROFILES

    return [name for name in PROFILES if name.startswith(incomplete)]


@click.command()
@click.argument("profile", required=False, shell_complete=_complete)
@click.pass_context
def costs(ctx: click.Context, profile: str | None) -> None:
    """Print the prices of PROFILE, or of all profiles: every counter of work, its price, and where that is from.

    A scenario chooses a profile with `costs` in `host`, and `prices` beside it sets prices of its own, such as
    {rmp_updates: 250ns}. What is not priced is counted, and no modelled time contains it.

    \b
    Examples:
      gmemsim costs
      gmemsim costs default
      gmemsim compare scenarios/rfc-cover.yaml --costs all
    """
    from gmemsim.host.costs import PROFILES

    if profile is None:
        show("costs", tuple(PROFILES.values()))
        return
    if profile not in PROFILES:
        hint = did_you_mean(profile, PROFILES) or f", expected one of {', '.join(PROFILES)}"
        raise click.UsageError(f"there is no profile {quote(profile)}{hint}", ctx)
    show("costs", (PROFILES[profile],))
