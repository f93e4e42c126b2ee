# SPDX-License-Identifier: GPL-2.0-or-later
"""A tuning in words and cells, as the screen, Markdown and the figure show it."""

from __future__ import annotations

from typing import Final

from gmemsim.gmem.policy import KEYS
from gmemsim.gmem.presets import policy_text
from gmemsim.reports.swept import amount
from gmemsim.reports.words import ESTIMATE, account_label, modelled_time, number
from gmemsim.studies.trials import WEIGHED, Measured
from gmemsim.studies.tune import Tuning
from gmemsim.units import human_size

MARKED: Final = ("b-today", "staged", "nonuniform")
"""Policies that are marked: today's, staged and non-uniform."""

HEADER: Final = ("", "policy", "peak", f"{ESTIMATE} time", f"{ESTIMATE} longest")
"""The heads of the columns."""


def rows(tuning: Tuning) -> list[tuple[str, Measured]]:
    """The rows: best, front, and the policies marked, each with a mark."""
    best = [("best", tuning.best)] if tuning.best is not None else []
    front = [("front", found) for found in tuning.front if tuning.best is None or found.policy != tuning.best.policy]
    named = [(name, tuning.named[name]) for name in MARKED if name in tuning.named and tuning.named[name].values]
    return [*best, *front, *named]


def cells(found: Measured) -> tuple[str, str, str, str]:
    """Policy, peak, time and longest call of a row."""
    peak, time, longest = (found.values[name] for name in WEIGHED)
    return text_of(found), human_size(peak), modelled_time(time), modelled_time(longest)


def text_of(found: Measured) -> str:
    """The policy as ``--policy`` takes it."""
    return policy_text(found.policy, "tuned")


def worded(metric: str, value: float) -> str:
    """``value`` of ``metric`` for people."""
    if metric not in WEIGHED:
        return amount(metric, value)
    return human_size(value) if WEIGHED[metric][0] == "bytes" else f"{ESTIMATE} {modelled_time(value)}"


def asked(tuning: Tuning) -> str:
    """What was asked, in one sentence, which also says whether calls fail under the best policy."""
    kept = " and ".join(f"{each.metric} <= {worded(each.metric, each.most)}" for each in tuning.subject_to)
    failed = tuning.best.failed if tuning.best is not None else 0
    calls = f"{failed:,} call fails" if failed == 1 else f"{failed:,} calls fail"
    failing = f", under which {calls} for want of memory" if failed else ""
    return f"The policy with the least {tuning.minimize}{f' subject to {kept}' if kept else ''}{failing}"


def sentences(tuning: Tuning) -> list[str]:
    """The winner in words, what was searched and what is proved."""
    return [*_winner(tuning), *_failing(tuning), *_searched(tuning), *tuning.notes, *_meaning()]


def _winner(tuning: Tuning) -> list[str]:
    best = tuning.best
    if best is None:
        return ["no policy that was run keeps the constraints"]
    geometry = tuning.scenario.host.geometry
    order = max(geometry.order_of(guest.backing) for guest in tuning.scenario.guests)
    rungs = " > ".join(geometry.name(rung) for rung in best.policy.rungs(order, geometry))
    told = [f"best: {text_of(best)}", f"it splits {rungs}"]
    for name, value in best.policy.as_file().items():
        if name in ("when", "merge", "vmemmap", "ordering"):
            shown, words = KEYS[name].explained(value)
            told.append(f"{name} {shown}: {words}")
    if best.accounts and any(best.accounts.values()):
        most = max(best.accounts, key=best.accounts.__getitem__)
        told.append(f"at its peak {account_label(most)} has most, {human_size(best.accounts[most])}")
    return [*told, *_against_today(tuning, best)]


def _against_today(tuning: Tuning, best: Measured) -> list[str]:
    today = tuning.named.get("b-today")
    if today is None or not today.values or not today.values[tuning.minimize]:
        return []
    before, now = today.values[tuning.minimize], best.values[tuning.minimize]
    words = f"{tuning.minimize} {worded(tuning.minimize, now)}"
    return [f"{words}, {100 * now / before:.3g} % of b-today's {worded(tuning.minimize, before)}"]


def answer(tuning: Tuning) -> list[str]:
    """The best policy and how it compares with today's, for the head of a figure; nothing if there is no best."""
    if tuning.best is None:
        return []
    return [f"best: {text_of(tuning.best).replace(',', ', ')}", *_against_today(tuning, tuning.best)]


def _failing(tuning: Tuning) -> list[str]:
    """A call that fails holds nothing, so a policy under which more fail looks better than it is."""
    failed = [found.failed for found in (*tuning.front, *tuning.named.values()) if found.values]
    if not any(failed):
        return []
    range_of = f"from {min(failed):,} to {max(failed):,}" if min(failed) < max(failed) else f"{max(failed):,} each"
    return [
        f"calls that fail for want of memory hold nothing; under the policies shown and named: {range_of};"
        " --subject-to 'calls.convert.failed.ENOMEM<=0' (or calls.fault and so on) keeps policies under which they"
        " succeed, and a host without a limit shows what each policy needs"
    ]


def _searched(tuning: Tuning) -> list[str]:
    told = [f"{number(tuning.evaluated)} policies were run, {tuning.pruned:,} were left out by proof"]
    if not tuning.lawful:
        return [*told, "nothing is proved: the named policies and ladders with one rung in the middle were run"]
    slack = f"by more than {human_size(tuning.slack)} of peak" if tuning.slack else "at all"
    if tuning.best_is_proved:
        told.append(f"proved by bounds: no ladder in the settings searched is better than the best {slack}")
    else:
        told.append(f"not proved: {tuning.better:,} ladders that were not run might be better than the best")
    if tuning.proved:
        told.append(f"proved by bounds: no ladder in the settings searched beats the fronts {slack}")
    else:
        told.append(f"the fronts are not proved: the bounds leave {tuning.open:,} ladders open")
    tried = number(tuning.tried)
    told.append(f"tried around the best and not proved: hysteresis, a time for each rung, generation A: {tried} runs")
    return told


def _meaning() -> list[str]:
    return [f"{name}: {words}" for name, (_, words) in WEIGHED.items()]
