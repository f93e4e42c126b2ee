# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies with a name: those that exist in code, and those that people on the lists have asked for.

A policy on the command line is text: the name of one of these, or keys and values (:func:`read_policy`).
"""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from gmemsim.gmem.own import WRITTEN, load_own
from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.gmem.rules import Hysteresis, Ladder
from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry

_NAME: Final = re.compile(r"[\w.+-]+")


@attrs.frozen
class Preset:
    """A named ``policy``, and its ``description``: what it does, and who does or wants it."""

    policy: Policy
    description: str


PRESETS: Final[Registry[Preset]] = Registry("policy")
"""Name → preset; the first is what others are compared with."""

for _name, _policy, _description in (
    ("b-today", Policy(), "the work in progress (B): all of the hugepage to 4K, all vmemmap restored"),
    ("a-rfc-v2", Policy(ordering="attributes-first"), "RFC v2 of May 2025 (A): attributes first, with rollback"),
    ("staged", Policy(split="staged"), "1G to 2M, then 2M folios that hold shared pages to 4K (Tng)"),
    (
        "staged-reoptimize",
        Policy(split="staged", vmemmap="reoptimize"),
        "staged; restore all vmemmap, then optimise untouched 2M folios",
    ),
    (
        "staged-partial",
        Policy(split="staged", vmemmap="partial"),
        "staged; restore only the vmemmap that is needed (not implemented in any tree)",
    ),
    ("nonuniform", Policy(split="nonuniform"), "only the halves around shared pages, xas_try_split (Hildenbrand)"),
    (
        "nonuniform-partial",
        Policy(split="nonuniform", vmemmap="partial"),
        "nonuniform; restore only the vmemmap that is needed",
    ),
    (
        "ladder-1g",
        Policy(split=(18, 12, 6, 0)),
        "1G by one XArray level at a time, which upstream's xas_split can do",
    ),
    ("no-hvo", Policy(vmemmap="off"), "B on a host without HVO: vmemmap is always there"),
    ("fault-time", Policy(when="fault"), "split at the first host fault instead of at conversion (Roth)"),
    (
        "ladder-1g-fault",
        Policy(split=Ladder((18, 9, 0), ("conversion", "fault"))),
        "1G to 2M at conversion, 2M to 4K at the first host fault",
    ),
    ("hysteresis-10", Policy(merge=Hysteresis(10)), "stop merging a folio after 10 re-splits (an AMD tree)"),
    ("cleanup", Policy(merge="cleanup"), "merge only when the memory is given back"),
    ("never", Policy(merge="never"), "never merge while the file is open"),
    ("split-first", Policy(ordering="split-first"), "the order of January 2026 (D): split, then zap (Tng)"),
    (
        "block-abort",
        Policy(ordering="block-abort"),
        "B, but leaves are blocked and restored on failure (Christopherson)",
    ),
    ("reserve-first", Policy(ordering="reserve-first"), "take all memory before anything is torn down (Zhao)"),
):
    PRESETS.add(_name, Preset(_policy, _description))


def distinct_splits() -> list[str]:
    """The first preset of every way to split and to treat the vmemmap: those that differ in a single conversion.

    What splits at a host fault is not among them: a conversion alone does not show what it costs.
    """
    seen: dict[object, str] = {}
    for name, preset in PRESETS.items():
        if not preset.policy.splits_at_fault:
            seen.setdefault((preset.policy.split, preset.policy.vmemmap), name)
    return list(seen.values())


def policy_text(policy: Policy, name: str = "own") -> str:
    """``policy`` as :func:`read_policy` takes it: a preset's name, or ``name`` (default: "own") and what is not usual.

    >>> policy_text(Policy(split="staged")), policy_text(Policy(split=(18, 9, 0), merge="never"))
    ('staged', 'own=split:18-9-0,merge:never')
    """
    for known, preset in PRESETS.items():
        if preset.policy == policy:
            return known
    usual = Policy()
    said = {
        key: row.as_text(getattr(policy, key))
        for key, row in KEYS.items()
        if key != "generation" and getattr(policy, key) not in (None, getattr(usual, key))  # the ordering says it
    }
    return f"{name}={','.join(f'{key}:{value}' for key, value in said.items())}"


def read_policy(text: str) -> tuple[str, Policy]:
    """The name and the policy of ``text``: ``PRESET``, ``NAME=PRESET`` or ``NAME=key:value,key:value…``; else
    ``ValueError``.

    ``NAME=FILE.py:CLASS`` is one's own (``gmem.own``); :class:`InputError` if something is wrong in that file.

    >>> name, policy = read_policy("mine=split:18-9-0,merge:hysteresis-3")
    >>> policy.split, policy.merge, policy.vmemmap
    ((18, 9, 0), Hysteresis(limit=3), 'whole')
    """
    own = WRITTEN.fullmatch(text)
    if own is not None and "=" not in own[1]:
        return own[2], load_own(own[1], own[2])
    name, assigned, definition = text.partition("=")
    if not _NAME.fullmatch(name):
        raise ValueError(f"found the name {quote(name)}, expected letters, digits, '.', '+', '-' or '_'")
    if not assigned or ":" not in definition:
        return name, _preset(definition if assigned else name)
    own = WRITTEN.fullmatch(definition)
    if own is not None:
        return name, load_own(own[1], own[2])
    settings: dict[str, Any] = {}
    for part in definition.split(","):
        key, _, value = part.partition(":")
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f" ({', '.join(KEYS)})"
            raise ValueError(f"found the key {quote(key)}, expected a key of a policy{hint}")
        if key in settings:
            raise ValueError(f"found the key {key!r} twice, expected it once")
        settings[key] = KEYS[key].from_text(value)
    return name, Policy(**settings)


def _preset(name: str) -> Policy:
    if name.endswith(".py"):
        raise ValueError(f"found {quote(name)}, expected FILE.py:CLASS for a policy in Python")
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or " (`gmemsim policies` lists them), or NAME=split:staged,…"
        raise ValueError(f"found {quote(name)}, expected the name of a policy{hint}")
    return PRESETS[name].policy
