# SPDX-License-Identifier: GPL-2.0-or-later
"""Why two policies are the same on one workload.

Theory of operation
-------------------
Two policies are the same on a workload if their runs left the same summary, whatever they are called.  Then each key in
which they differ has made no difference, and the runs say why: both pass through the same orders on the guests'
backing (staged on 2M is uniform), or what the key is about has not happened.  Where nothing of that kind is found, the
sentence says only that the key made no difference.

What may live here: reasons, one function for each key of a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.sim.run import Result

_NAMES_ONLY: Final = ("title", "provenance", "guests", "notes", "expect", "partial")
"""Parts of a summary that name what was run; guests have their numbers compared, apart from their policy."""


def told_of_sameness(results: Mapping[str, Result]) -> list[str]:
    """A sentence, without its full stop, for every policy whose run left the same as that of one before it.

    ``results`` are runs of one workload by the names of the policies, each given to all guests.  O(results²).
    """
    names = list(results)
    told = []
    for number, name in enumerate(names):
        first = next((other for other in names[:number] if _left(results[other]) == _left(results[name])), None)
        if first is not None:
            told.append(f"{name} is the same as {first} on this workload: {_why(results[first], results[name])}")
    return told


def _left(result: Result) -> dict[str, Any]:
    """What a run left, without what it is called."""
    guests = [{key: value for key, value in guest.items() if key != "policy"} for guest in result.summary["guests"]]
    return {"guests": guests} | {key: value for key, value in result.summary.items() if key not in _NAMES_ONLY}


def _why(first: Result, second: Result) -> str:
    one, two = _policy(first), _policy(second)
    if one == two:
        return "it is the same policy"
    differing = [key for key in KEYS if getattr(one, key) != getattr(two, key)]
    if not differing:  # policies of one's own that say the same of all keys
        return "their answers made no difference"
    reasons = dict.fromkeys(_REASONS[key](first, one, two) for key in differing if key in _REASONS)
    rest = [key for key in differing if key not in _REASONS]
    return "; ".join([*reasons, *([f"{', '.join(rest)} made no difference"] if rest else [])])


def _policy(result: Result) -> Policy:
    return result.scenario.guests[0].policy


def _split(result: Result, one: Policy, two: Policy) -> str:
    geometry = result.scenario.host.geometry
    backings = sorted({guest.backing for guest in result.scenario.guests})
    names: list[str] = []
    for backing in backings:
        order = geometry.order_of(backing)
        rungs = one.rungs(order, geometry)
        if rungs != two.rungs(order, geometry):
            return "nothing was split" if not result.summary["splits"] else "split made no difference"
        names.append("->".join(geometry.name(rung) for rung in rungs))
    on = " and ".join(geometry.name(geometry.order_of(backing)) for backing in backings)
    return f"on {on} backing both split {' and '.join(names)}"


def _when(result: Result, one: Policy, two: Policy) -> str:
    return "nothing was split" if not result.summary["splits"] else "when made no difference"


def _merge(result: Result, one: Policy, two: Policy) -> str:
    if not result.summary["splits"]:
        return "nothing was split"
    if not result.summary["merges"]:
        return "nothing was merged"
    if one.counts_splits or two.counts_splits:
        return "no folio was split often enough for the limit of merges"
    return "merge made no difference"


def _vmemmap(result: Result, one: Policy, two: Policy) -> str:
    account = result.summary["accounts"].get("vmemmap")
    if account is None or not account["allocated"]:
        return "no vmemmap was restored"
    return "no piece was large enough to keep less vmemmap"


def _failing(result: Result, one: Policy, two: Policy) -> str:
    failed = sum(result.summary["conversions"]["failed"].values())
    return "no conversion failed" if not failed else "what failed left the same"


_REASONS: Final[Mapping[str, Callable[[Result, Policy, Policy], str]]] = {
    "split": _split,
    "when": _when,
    "merge": _merge,
    "vmemmap": _vmemmap,
    "ordering": _failing,
    "on_split_failure": _failing,
}
"""Why a key made no difference."""
