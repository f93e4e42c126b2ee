# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies with a name: those that exist in code, and those that people on the lists have asked for."""

from __future__ import annotations

import attrs

from gmemsim.gmem.policy import Hysteresis, Policy


@attrs.frozen
class Preset:
    """A named policy, what it does, and who does or wants it."""

    policy: Policy
    description: str


PRESETS: dict[str, Preset] = {
    "b-today": Preset(Policy(), "the work in progress (B): all of the hugepage to 4K, all vmemmap restored"),
    "a-rfc-v2": Preset(Policy(ordering="attributes-first"), "RFC v2 of May 2025 (A): attributes first, with rollback"),
    "staged": Preset(Policy(split="staged"), "1G to 2M, then 2M folios that hold shared pages to 4K (Tng)"),
    "staged-reoptimize": Preset(
        Policy(split="staged", vmemmap="reoptimize"), "staged; restore all vmemmap, then optimise untouched 2M folios"
    ),
    "staged-partial": Preset(
        Policy(split="staged", vmemmap="partial"), "staged; restore only the vmemmap that is needed (nobody has it)"
    ),
    "nonuniform": Preset(
        Policy(split="nonuniform"), "only the halves around shared pages, xas_try_split (Hildenbrand)"
    ),
    "nonuniform-partial": Preset(
        Policy(split="nonuniform", vmemmap="partial"), "nonuniform; restore only the vmemmap that is needed"
    ),
    "ladder-1g": Preset(
        Policy(split=(18, 12, 6, 0)), "1G by one XArray level at a time, which upstream's xas_split can do"
    ),
    "no-hvo": Preset(Policy(vmemmap="off"), "B on a host without HVO: vmemmap is always there"),
    "fault-time": Preset(Policy(when="fault"), "split at the first host fault instead of at conversion (Roth)"),
    "hysteresis-10": Preset(Policy(merge=Hysteresis(10)), "stop merging a folio after 10 re-splits (an AMD tree)"),
    "cleanup": Preset(Policy(merge="cleanup"), "merge only when the memory is given back"),
    "never": Preset(Policy(merge="never"), "never merge while the file is open"),
    "reserve-first": Preset(Policy(ordering="reserve-first"), "take all memory before anything is torn down (Zhao)"),
}
"""Name -> preset; the first is what others are compared with."""


def distinct_splits() -> list[str]:
    """The first preset of every way to split and to treat the vmemmap: those that differ in a single conversion."""
    seen: dict[object, str] = {}
    for name, preset in PRESETS.items():
        seen.setdefault((preset.policy.split, preset.policy.vmemmap), name)
    return list(seen.values())
