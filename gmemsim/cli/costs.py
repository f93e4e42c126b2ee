# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim costs``: the profiles that price counted work."""

from __future__ import annotations

import click

from gmemsim.cli import completion
from gmemsim.cli.parameters import price_option
from gmemsim.cli.terminal import show, show_data
from gmemsim.messages import did_you_mean, quote


@click.command()
@click.argument("profile", required=False, shell_complete=completion.profiles)
@price_option
@click.option("--json", "as_json", is_flag=True, help="Print the profiles as one JSON object.")
@click.pass_context
def costs(ctx: click.Context, profile: str | None, prices: dict[str, float], as_json: bool) -> None:
    """Print the prices of PROFILE, or of all profiles: every counter of work, its price, and where that is from.

    A scenario chooses a profile with `costs` in `host`, and `prices` beside it sets prices of its own, such as
    {rmp_updates: 250ns}; --price does it for one command. What is not priced is counted, and no modelled time
    contains it.

    \b
    Examples:
      gmemsim costs
      gmemsim costs default
      gmemsim costs default --price rmpupdate=2us --json
      gmemsim compare rfc-cover --costs all
    """
    from gmemsim.host.costs import PROFILES
    from gmemsim.reports.export.costs_json import write

    if profile is not None and profile not in PROFILES:
        hint = did_you_mean(profile, PROFILES) or f", expected one of {', '.join(PROFILES)}"
        raise click.UsageError(f"there is no profile {quote(profile)}{hint}", ctx)
    wanted = PROFILES.values() if profile is None else [PROFILES[profile]]
    profiles = [each.with_prices(prices) for each in wanted]
    if as_json:
        show_data(write(profiles))
    else:
        show("costs", profiles)
