# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim explain``: what one conversion takes, on one page."""

from __future__ import annotations

import click

from gmemsim.cli import completion
from gmemsim.cli.group import SuggestingGroup
from gmemsim.cli.parameters import Choice, preset_parameter, size_parameter
from gmemsim.cli.terminal import show


@click.group(cls=SuggestingGroup)
def explain() -> None:
    """Explain one conversion."""


@explain.command()
@click.argument("old", callback=size_parameter)
@click.argument("new", callback=size_parameter)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    callback=preset_parameter,
    shell_complete=completion.presets,
    help="Compare only this policy (may be repeated); `gmemsim policies` lists them.",
)
@click.option(
    "--page-size", callback=size_parameter, default="4K", show_default=True, help="Base page: 4K, 16K or 64K."
)
@click.option(
    "--xarray", type=Choice(["rfc", "v6.15"]), default="rfc", show_default=True, help="What the kernel can split."
)
def split(old: int, new: int, policies: tuple[str, ...], page_size: int, xarray: str) -> None:
    """Split a hugepage of size OLD into folios of size NEW: nodes level by level, vmemmap, descriptors, kernels.

    Below it stands what every policy pays to share one base page out of a private OLD folio. All figures come from
    carrying the conversion out.

    \b
    Examples:
      gmemsim explain split 1G 4K
      gmemsim explain split 1G 2M --policy b-today --policy staged-partial
      gmemsim explain split 512M 64K --page-size 64K
      gmemsim explain split 16G 512M --page-size 64K
    """
    from gmemsim.gmem.presets import PRESETS
    from gmemsim.host.geometry import PAGE_SIZES, Geometry
    from gmemsim.host.switches import KernelSwitches
    from gmemsim.studies.explain import costs_by_policy, explain_split
    from gmemsim.units import size_name

    if page_size not in PAGE_SIZES:
        raise click.UsageError(f"--page-size is {size_name(page_size)}, expected 4K, 16K or 64K")
    geometry = Geometry(page_size)
    try:
        order, new_order = geometry.order_of(old), geometry.order_of(new)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if new_order >= order:
        raise click.UsageError(f"NEW is {size_name(new)}, expected less than OLD, {size_name(old)}")
    if problem := geometry.hugepage_problem(old):
        raise click.UsageError(f"OLD: {problem}")
    kernel = KernelSwitches(xarray="v6.15" if xarray == "v6.15" else "rfc")
    chosen = {name: PRESETS[name].policy for name in policies}
    try:
        costs = costs_by_policy(chosen or None, order, geometry, kernel)
    except ValueError as error:
        raise click.UsageError(f"--policy {error}") from None
    show("explain", explain_split(order, new_order, geometry), costs)
