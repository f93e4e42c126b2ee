# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim reserve``: what must be had beforehand so that a conversion cannot fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gmemsim.cli.parameters import Choice, format_options, policy_option, size_parameter
from gmemsim.cli.progress import Interruption
from gmemsim.cli.studies import check_begun, deliver, out_options, planned, read_policies
from gmemsim.host.switches import PAMTS, STRUCT_PAGE_BYTES_OF
from gmemsim.reports.export import RESERVE_EXPORTS
from gmemsim.reports.filesets import reserve_files

if TYPE_CHECKING:
    from gmemsim.studies.reserve import Reserve


@click.command()
@policy_option("This policy (default: some that differ)")
@click.option("--backing", callback=size_parameter, default="1G", show_default=True, help="The hugepage: 1G, 2M, …")
@click.option(
    "--pages",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="So many base pages of it are shared; repeat it. Default: a series.",
)
@click.option(
    "--pattern",
    type=Choice(["one", "spread", "block"]),
    help="One page; N pages anywhere, a call each; N pages beside each other, by one call."
    " Default: block for a call, spread for a life.",
)
@click.option(
    "--scope",
    type=Choice(["call", "life"]),
    default="call",
    show_default=True,
    help="For one call, or for all of a hugepage's life until it is merged again.",
)
@click.option("--mapping", type=Choice(["plain", "snp", "tdx"]), help="How the guest is mapped. Default: snp.")
@click.option("--pamt", type=Choice(PAMTS), help="The host's PAMT. Default: dynamic with tdx, else none.")
@click.option(
    "--memdesc",
    type=Choice(list(STRUCT_PAGE_BYTES_OF)),
    default="struct-page",
    show_default=True,
    help="What describes memory.",
)
@click.option(
    "--page-size", callback=size_parameter, default="4K", show_default=True, help="Base page: 4K, 16K or 64K."
)
@click.option(
    "--prove",
    is_flag=True,
    help="Show by more runs that nothing fails with these objects, and something with one less; exit code 1 if not.",
)
@format_options(RESERVE_EXPORTS)
@out_options(reserve_files())
@click.pass_context
def reserve(ctx: click.Context, /, **given: Any) -> None:
    """Say what must be had beforehand so that converting pages of a hugepage cannot fail, object by object.

    All figures come from carrying conversions out, with the pages where they take the most. Beside them stands the
    closed form, where there is one. Other hugepages of the file are private; a grace period passes between two calls.

    \b
    Examples:
      gmemsim reserve
      gmemsim reserve --policy nonuniform --policy staged-partial --pages 1 --pages 513
      gmemsim reserve --scope life --policy staged --mapping tdx
      gmemsim reserve --backing 2M --pattern spread --json
      gmemsim reserve --pattern one --prove
    """
    plan = planned(ctx, given["out"], reserve_files(), force=given["force"])
    found = _reserve(given)
    deliver(ctx, "reserve", found, RESERVE_EXPORTS, plan, form=given["form"], force=given["force"])
    if not all(row.proved is not False for row in found.rows):
        ctx.exit(1)


def _reserve(given: dict[str, Any]) -> Reserve:
    from gmemsim.host.switches import KernelSwitches
    from gmemsim.studies.reserve import USUAL_PATTERN, Question
    from gmemsim.studies.reserve import reserve as asked

    pamt = given["pamt"] or ("dynamic" if given["mapping"] == "tdx" else "none")
    try:
        question = Question(
            backing=given["backing"],
            pattern=given["pattern"] or USUAL_PATTERN[given["scope"]],
            scope=given["scope"],
            mapping=given["mapping"],
            page_size=given["page_size"],
            kernel=KernelSwitches(memdesc=given["memdesc"], pamt=pamt),
        )
        with Interruption() as interruption:
            found = asked(
                read_policies(given["policies"]) or None,
                given["pages"],
                question,
                prove=given["prove"],
                stop=lambda: interruption.pressed,
            )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    check_begun(found, found.rows)
    return found
