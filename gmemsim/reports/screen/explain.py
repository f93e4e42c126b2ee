# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim explain split``: one page on one conversion."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.gmem.presets import PRESETS
from gmemsim.host.accounts import FOLIO_DESCRIPTOR_BYTES, XA_NODE_BYTES
from gmemsim.reports.screen.fitted import plain_table
from gmemsim.reports.words import number
from gmemsim.studies.explain import PolicyCost, SplitFacts
from gmemsim.units import human_size


def render(facts: SplitFacts, costs: Mapping[str, PolicyCost]) -> RenderableType:
    """The split itself, and what each policy in ``costs`` pays to share one page of the hugepage."""
    old, new = facts.geometry.name(facts.order), facts.geometry.name(facts.new_order)
    page = facts.geometry.name(0)
    parts: list[RenderableType] = [
        Text(f"Splitting one {old} folio into {number(facts.folios)} of {new}", style="bold"),
        Text(f"order {facts.order} to {facts.new_order}; the node of shift {facts.reused_shift} stays\n"),
        _levels(facts),
        _memory(facts),
        _kernels(facts),
    ]
    if costs:
        parts += [Text(f"\nSharing one {page} page out of a private {old} folio, by policy\n", style="bold")]
        parts += [_policies(facts, costs), _legend(facts, costs)]
    return Group(*parts)


def _levels(facts: SplitFacts) -> Table:
    table = plain_table("new nodes", "number", "bytes")
    for level in facts.levels:
        table.add_row(f"shift {level.shift}", number(level.nodes), human_size(level.nodes * XA_NODE_BYTES))
    if not facts.levels:
        table.add_row("none: the entry is regrouped in its node", "0", "0 B")
    table.add_section()
    table.add_row("together", number(facts.nodes), f"{facts.node_bytes:,} B", style="bold")
    return table


def _memory(facts: SplitFacts) -> Text:
    slabs, slab_bytes = facts.slabs
    lines = [f"\nslabs      at least {number(slabs)}, {human_size(slab_bytes)} (fragmentation not modelled)"]
    page = facts.geometry.page_size
    if facts.vmemmap_pages:
        pages, optimised = facts.vmemmap_pages, facts.vmemmap_pages_if_kept_optimised
        lines.append(f"vmemmap    {number(pages)} pages restored, {human_size(pages * page)}, if HVO had optimised it")
        if optimised != pages:
            lines.append(
                f"           {number(optimised)} if pieces that are hugepages stay optimised (not implemented)"
            )
    else:
        lines.append("vmemmap    nothing to restore: HVO does not optimise folios of this size")
    size = f"{number(facts.folios)} of {FOLIO_DESCRIPTOR_BYTES} B"
    lines.append(f"memdescs   {size}, {human_size(facts.descriptor_bytes)}, with folio descriptors (a plan)\n")
    return Text("\n".join(lines))


def _kernels(facts: SplitFacts) -> Table:
    table = plain_table("in one step", "possible")
    for call, possible in facts.kernels.items():
        table.add_row(call, "yes" if possible else "no")
    return table


def _policies(facts: SplitFacts, costs: Mapping[str, PolicyCost]) -> Table:
    table = plain_table(
        "policy", "nodes", "vmemmap", "(peak)", "bytes", "folios", "memdescs", spare=("(peak)", "folios", "memdescs")
    )
    for name, cost in costs.items():
        if cost.refused:
            table.add_row(name, Text("refused by this kernel", style="yellow"))
            continue
        pages, peak = number(cost.vmemmap_pages), number(cost.vmemmap_peak)
        folios, descriptors = number(cost.folios.total()), human_size(cost.descriptor_bytes)
        table.add_row(name, number(cost.nodes), pages, peak, human_size(cost.bytes), folios, descriptors)
    return table


def _legend(facts: SplitFacts, costs: Mapping[str, PolicyCost]) -> Text:
    lines = ["\nbytes: new nodes and restored vmemmap; memdescs: instead of struct pages, not added"]
    lines += [f"{name}: {PRESETS[name].description}" for name in costs]
    return Text("\n".join(lines), style="dim")
