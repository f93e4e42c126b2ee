# SPDX-License-Identifier: GPL-2.0-or-later
"""The best policy of a workload, and what is given up for what: peak memory, modelled time, longest call.

Theory of operation
-------------------
A policy has a ladder, a time for its splits, a rule for merges, a regime for vmemmap and an ordering.  The named
policies are run first.  Then whatever is not run is left out for one of these reasons, each of which holds for every
ladder:

*Same.*  Merge rules are one where nothing ever merges: not even the ladder with all rungs has a block that is all
private again.  Regimes of vmemmap are one where no piece of a hugepage is optimised by itself, as with 2M.

*Never better.*  ``reoptimize`` holds between calls what ``partial`` holds, and restores more on the way there.

*Bound.*  In a setting (time, merge rule, regime) the law of adjacent rungs (:mod:`gmemsim.studies.ladders`) tells of
every ladder what is held between calls, and the time without zeroing, and bounds zeroing from below.  A call holds no
less than what is left after it, so these are lower bounds of all three figures.  The orderings of generations B and D
leave the same after every call and do the same work as long as nothing fails, so the bounds are theirs too.  A ladder
is run unless a policy that was run is at least as good as its bounds, in peak and time, and in peak and longest call.
For the peak, ``slack`` bytes are ignored: what calls have held in between beyond what they left.  So no ladder left out
is better by more than the slack.

What no bound covers is tried around the best policies and said to be ``tried``: generation A's ordering, merges with a
hysteresis, a time for every rung.  Where memory is limited, failures are injected or a call fails for want of memory,
the law does not hold: then only named policies and ladders with one rung in the middle are run, and nothing is proved.
Splits at the first host fault are left out where the host touches nothing, since they would cost nothing.

What may live here: the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final, Literal

import attrs
import numpy as np
import numpy.typing as npt

from gmemsim.errors import NO_MEMORY
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import Hysteresis, Ladder
from gmemsim.scenario.model import Inject, Scenario
from gmemsim.studies.compare import with_policy
from gmemsim.studies.ladders import Floats, Law, Rungs, least, mask_of, number_of_ladders, probes, rungs_of
from gmemsim.studies.made import made_of
from gmemsim.studies.spread import Lost, results_of
from gmemsim.studies.trials import WEIGHED, Measured, Workload, always_there, measure

PLANES: Final = (("peak_bytes", "modelled_time"), ("peak_bytes", "longest_call"))
"""The pairs of figures whose fronts are sought."""

BATCH: Final = 16
"""Ladders of a setting that are run before the bounds are looked at again."""

MOST_LADDERS: Final = 400
"""Ladders that are run beside the probes; the bounds leave some tens as a rule."""

ORDERINGS_ALIKE: Final = ("block-abort", "split-first", "reserve-first")
"""Orderings that leave after every call what restructure-first leaves."""

LIMITS_TRIED: Final = (1, 2, 5, 10)
"""Limits of a hysteresis that are tried."""

ROUNDING: Final = 1e-9
"""Part of a time that is rounding."""


@attrs.frozen
class Constraint:
    """``metric`` must be at most ``most``."""

    metric: str
    most: float


@attrs.frozen(kw_only=True)
class Tuning:
    """What was found for ``scenario``.

    ``best``: the policy with the least ``minimize`` that keeps ``subject_to``, ``None`` if none does.  ``front``: what
    no other policy that was run beats in peak and time, or in peak and longest call.  ``named``: the policies with a
    name.  ``evaluated``: runs.  ``pruned``: policies left out by proof.  ``open``: ladders that the bounds did not rule
    out and that were not run; ``better``: those of them that might be better than ``best``.  ``tried``: runs of what no
    bound covers.  ``lawful``: whether the law holds.  ``slack``: bytes within which a peak is proved.  ``notes``: what
    was the same or left out, in words.  ``left``: runs that have not been made.  ``ended``: why it ended early if that
    was not asked for (default: it did not).
    """

    scenario: Scenario
    minimize: str
    subject_to: tuple[Constraint, ...]
    best: Measured | None
    front: tuple[Measured, ...]
    named: Mapping[str, Measured]
    evaluated: int
    pruned: int
    open: int
    better: int
    tried: int
    lawful: bool
    slack: int
    notes: tuple[str, ...]
    left: int = 0
    ended: str = ""

    @property
    def complete(self) -> bool:
        """Whether all has been run."""
        return not self.left

    @property
    def made(self) -> dict[str, Any]:
        """What made it, as a summary says."""
        return made_of(self.scenario, [found.policy for found in (*self.named.values(), *self.front)])

    @property
    def proved(self) -> bool:
        """Whether no ladder that was not run can be better by more than the slack."""
        return self.lawful and self.complete and not self.open

    @property
    def best_is_proved(self) -> bool:
        """Whether no ladder that was not run can be better than ``best`` by more than the slack."""
        return self.lawful and self.complete and not self.better and self.minimize in WEIGHED


def tune(
    scenario: Scenario,
    *,
    minimize: str = "peak_bytes",
    subject_to: Sequence[Constraint] = (),
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Tuning:
    """The best policy for all guests of ``scenario``, and the fronts.

    ``minimize`` (default: ``peak_bytes``) and the metrics of ``subject_to`` (default: none) are rows of
    :data:`~gmemsim.studies.trials.WEIGHED` or paths into the summary; what is proved is proved for the former.
    ``executor`` (default: none) and ``stop`` (default: never) as in :func:`~gmemsim.studies.spread.results_of`.
    ``ValueError`` if the guests have no hugepages, or of several sizes: a ladder fits one.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec, HostSpec
    >>> steps = (Allocate(guest="a", offset=0, size=1 << 21), Convert(guest="a", offset=0, size=4096, to="shared"))
    >>> guest = GuestSpec(name="a", memory=1 << 21, backing=1 << 21)
    >>> found = tune(Scenario(title="", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=steps))
    >>> found.proved, found.best.policy.vmemmap, found.best.values["peak_bytes"]
    (True, 'off', 30944.0)
    """
    sizes = {guest.backing for guest in scenario.guests if guest.backing > scenario.host.page_size}
    if len(sizes) != 1:
        raise ValueError(f"found guests on {len(sizes)} sizes of hugepages, expected one: a ladder fits one size")
    plain = with_policy(scenario, Policy())
    wanted = {minimize, *(constraint.metric for constraint in subject_to)} - set(WEIGHED)
    load = Workload(scenario=plain, metrics=tuple(sorted(wanted)), kept=always_there(Workload(scenario=plain)))
    search = _Search(load, scenario.host.geometry.order_of(sizes.pop()), executor, stop)
    ended = ""
    try:
        search.go(minimize, tuple(subject_to))
    except MemoryError:
        ended, search.left = NO_MEMORY, max(1, search.left)
    return attrs.evolve(search.result(minimize, tuple(subject_to)), ended=ended)


@attrs.frozen(kw_only=True)
class _Setting:
    """All of a policy but its ladder, in the ordering restructure-first."""

    when: Literal["conversion", "fault"]
    merge: str
    vmemmap: str

    def policy(self, order: int, rungs: Rungs, ordering: str | None = None) -> Policy:
        """The policy with a ladder; ``ValueError`` if the ordering does not split at faults."""
        return Policy((order, *rungs, 0), self.when, self.merge, self.vmemmap, ordering)


class _Search:
    """What has been run, and what is known of all ladders of every setting."""

    def __init__(self, load: Workload, order: int, executor: Executor | None, stop: Callable[[], bool]) -> None:
        self.load = load
        self.order = order
        self.measured: dict[Policy, Measured] = {}
        self.left = self.tried = self.open = self.slack = 0
        self.notes: list[str] = []
        self.bounds: dict[_Setting, dict[str, Floats]] = {}
        self.lawful = _is_unlimited(load.scenario)
        self.touched = True
        """Whether the host touches shared memory at all, so that splits at its first touch can be judged."""
        self._executor = executor
        self._stop = stop

    def run(self, policies: Iterable[Policy], instants: bool = False) -> list[Measured]:
        """Run those that have not been run, unless it is to stop; all that were run, in order."""
        wanted = list(dict.fromkeys(policies))
        new = [policy for policy in wanted if policy not in self.measured or instants]
        if self.left:
            self.left += len(new)
            return []
        self.left = len(new)
        points = [(policy, instants) for policy in new]
        for place, found in results_of(measure, self.load, points, self._executor, self._stop):
            self.left -= 1
            policy = new[place]
            self.measured[policy] = Measured(policy=policy, refused=found.message) if isinstance(found, Lost) else found
        return [self.measured[policy] for policy in wanted if policy in self.measured]

    def go(self, minimize: str, subject_to: tuple[Constraint, ...]) -> None:
        """Named policies, ladders, and what no bound covers."""
        named = self.run(self.named().values())
        self.touched = any(found.host_faults for found in named)
        self.lawful = self.lawful and not any(found.failed or found.refused for found in named)
        if self.lawful:
            for setting in self.settings():
                self._bound(setting)
            self._branch()
        else:
            self.notes.append("memory is limited or a call fails: the law of ladders does not hold, nothing is proved")
            self.run(Policy(split=(self.order, *rungs, 0)) for rungs in probes(self.order) if len(rungs) < 2)
        before = len(self.measured)
        self.run(self._around(minimize, subject_to))
        self.tried = len(self.measured) - before

    def named(self) -> dict[str, Policy]:
        """The presets that fit."""
        fitting = {}
        for name, preset in PRESETS.items():
            try:
                with_policy(self.load.scenario, preset.policy)
            except ValueError:
                continue
            fitting[name] = preset.policy
        return fitting

    def settings(self) -> list[_Setting]:
        """The settings that differ on this workload; the notes say which do not."""
        everything = tuple(range(self.order - 1, 0, -1))
        geometry = self.load.scenario.host.geometry
        vmemmaps = ["whole", "partial", "off"]
        if self.order <= geometry.pmd_order:
            vmemmaps.remove("partial")
            self.notes.append("vmemmap whole, reoptimize and partial are the same: no piece is optimised by itself")
        else:
            self.notes.append("vmemmap reoptimize is never better than partial, and was run as a named policy only")
        merges = ["eager", "cleanup", "never"]
        rules = self.run(Policy((self.order, *everything, 0), merge=merge) for merge in merges[:2])
        if rules and not rules[0].merges:
            merges = ["eager"]
            self.notes.append("all rules of merging are the same: nothing is ever all private again")
        elif len(rules) > 1 and not rules[1].merges:
            merges.remove("never")
            self.notes.append("merge cleanup and never are the same: no memory is given back")
        whens: list[Literal["conversion", "fault"]] = ["conversion", "fault"]
        if not self.touched:
            whens.remove("fault")
            self.notes.append("splits at the first host fault are left out: the host touches nothing here")
        return [
            _Setting(when=when, merge=merge, vmemmap=vmemmap)
            for when in whens
            for merge in merges
            for vmemmap in vmemmaps
        ]

    def _bound(self, setting: _Setting) -> None:
        """Run the probes of a setting, and bound all of its ladders."""
        order = self.order
        ran = self.run((setting.policy(order, rungs) for rungs in probes(order)), instants=True)
        if self.left or any(found.failed or found.refused for found in ran):
            self.lawful = self.lawful and bool(self.left)
            return
        traces = {rungs: found.instants for rungs, found in zip(probes(order), ran, strict=True)}
        parts = {
            name: {rungs: getattr(trace, name) for rungs, trace in traces.items()}
            for name in ("left", "calls", "time", "zeroed")
        }
        zeroed = least(order, {rungs: float(size[0]) for rungs, size in parts["zeroed"].items()})
        self.bounds[setting] = {
            "peak_bytes": Law(order, parts["left"]).highest(),
            "modelled_time": Law(order, parts["time"]).highest() + zeroed,
            "longest_call": Law(order, parts["calls"]).highest(),
        }
        for found in ran:
            self._learn(setting, found)
            self.measured[found.policy] = attrs.evolve(found, instants=None)

    def _learn(self, setting: _Setting, found: Measured) -> None:
        """How far the peak of a ladder that was run lies above its bound."""
        ladder = found.policy.split_rule
        assert isinstance(ladder, Ladder)
        bound = self.bounds[setting]["peak_bytes"][mask_of(ladder.orders[1:-1])]
        self.slack = max(self.slack, int(found.values["peak_bytes"] - bound))

    def _branch(self) -> None:
        """Run ladders until the bounds rule out all others, or there have been too many."""
        ran = 0
        while not self.left:
            wanted: list[tuple[_Setting, int]] = []
            self.open = 0
            for setting in self.bounds:
                masks = self._not_ruled_out(setting)
                self.open += len(masks)
                wanted += [(setting, int(mask)) for mask in self._steepest(setting, masks)]
            if not wanted or ran >= MOST_LADDERS:
                break
            ran += len(wanted)
            policies = [setting.policy(self.order, rungs_of(mask)) for setting, mask in wanted]
            for (setting, _), found in zip(wanted, self.run(policies), strict=False):
                self._learn(setting, found)

    def _not_ruled_out(self, setting: _Setting) -> npt.NDArray[np.int64]:
        """The ladders that were not run and may be better than all that were."""
        bounds = self.bounds[setting]
        better = np.zeros(number_of_ladders(self.order), dtype=bool)
        for peak, other in PLANES:
            better |= ~self._beaten(bounds[peak], bounds[other], peak, other)
        for policy in self.measured:
            if (policy.when, policy.merge, policy.vmemmap, policy.ordering) == (
                setting.when,
                setting.merge,
                setting.vmemmap,
                "restructure-first",
            ) and isinstance(policy.split_rule, Ladder):
                better[mask_of(policy.split_rule.orders[1:-1])] = False
        return np.flatnonzero(better)

    def _beaten(self, peaks: Floats, others: Floats, peak: str, other: str) -> npt.NDArray[np.bool_]:
        """Which bounds a policy that was run keeps in both figures."""
        ran = self._judged()
        points = sorted((found.values[peak], found.values[other]) for found in ran)
        reached = np.array([point[0] for point in points]) - self.slack
        lowest = np.minimum.accumulate([point[1] for point in points])
        place = np.searchsorted(reached, peaks, side="right") - 1
        beaten: npt.NDArray[np.bool_] = (place >= 0) & (lowest[place] <= others * (1 + ROUNDING))
        return beaten

    def _better(self, minimize: str, subject_to: tuple[Constraint, ...]) -> int:
        """Ladders that were not run, keep the constraints and are better than the best, as far as bounds say."""
        best, number = self.best(minimize, subject_to), 0
        if minimize not in WEIGHED:
            return 0
        slack = self.slack if minimize == "peak_bytes" else 0
        for setting, bounds in self.bounds.items():
            masks = self._not_ruled_out(setting)
            kept = np.ones(len(masks), dtype=bool)
            for each in subject_to:
                if each.metric in WEIGHED:
                    kept &= bounds[each.metric][masks] <= each.most
            if best is not None:
                kept &= bounds[minimize][masks] < (best.values[minimize] - slack) * (1 - ROUNDING)
            number += int(kept.sum())
        return number

    def _steepest(self, setting: _Setting, masks: npt.NDArray[np.int64]) -> list[int]:
        """Some of ``masks``, those whose bounds no other of them beats first."""
        bounds, chosen = self.bounds[setting], dict[int, None]()
        for peak, other in PLANES:
            order = masks[np.lexsort((bounds[other][masks], bounds[peak][masks]))]
            lowest = np.minimum.accumulate(bounds[other][order]) if len(order) else np.empty(0)
            steps = order[np.flatnonzero(np.diff(lowest, prepend=np.inf))]
            chosen.update(dict.fromkeys(steps[: BATCH // 2].tolist()))
        return list(chosen)

    def _around(self, minimize: str, subject_to: tuple[Constraint, ...]) -> Iterator[Policy]:
        """What no bound covers, around the best policy and those of the front."""
        best = self.best(minimize, subject_to)
        for found in [*([best] if best else []), *self.front()]:
            policy = found.policy
            for ordering in (*ORDERINGS_ALIKE, "attributes-first"):
                yield from _made(policy, ordering=ordering)
            for limit in LIMITS_TRIED:
                yield from _made(policy, merge=Hysteresis(limit))
            if isinstance(policy.split_rule, Ladder) and policy.split_rule.orders[2:]:
                orders = policy.split_rule.orders
                for early in range(1, len(orders) - 1):
                    whens = ("conversion",) * early + ("fault",) * (len(orders) - 1 - early)
                    yield from _made(policy, split=Ladder(orders, whens), when=None)

    # -- what was found ------------------------------------------------------------------------------------------------

    def best(self, minimize: str, subject_to: tuple[Constraint, ...]) -> Measured | None:
        """Of the policies that were run and keep the constraints, the least; of equal ones that with fewer rungs."""
        kept = [found for found in self._judged() if all(found.values[each.metric] <= each.most for each in subject_to)]
        return min(kept, key=lambda found: self._weight(found, minimize), default=None)

    def _judged(self) -> list[Measured]:
        """The policies that were run and that the workload can judge."""
        ran = [found for found in self.measured.values() if found.values]
        return [found for found in ran if self.touched or not found.policy.splits_at_fault]

    def _weight(self, found: Measured, first: str) -> tuple[object, ...]:
        rungs = found.policy.rungs(self.order, self.load.scenario.host.geometry)
        unnamed = all(preset.policy != found.policy for preset in PRESETS.rows())
        figures = (found.values[first], *(found.values[name] for name in WEIGHED))
        return (*(float(f"{figure:.9e}") for figure in figures), unnamed, len(rungs), repr(found.policy))

    def front(self) -> list[Measured]:
        """The policies that no other beats in a plane, by peak; of equal ones the one of :meth:`best`."""
        chosen: dict[Policy, Measured] = {}
        ran = sorted(self._judged(), key=lambda found: self._weight(found, PLANES[0][0]))
        for peak, other in PLANES:
            lowest = float("inf")
            for found in sorted(ran, key=lambda f: (f.values[peak], float(f"{f.values[other]:.9e}"))):
                if found.values[other] < lowest * (1 - ROUNDING):
                    lowest = found.values[other]
                    chosen[found.policy] = found
        return sorted(chosen.values(), key=lambda found: self._weight(found, PLANES[0][0]))

    def result(self, minimize: str, subject_to: tuple[Constraint, ...]) -> Tuning:
        """All that was found."""
        covered = len(self.bounds) * number_of_ladders(self.order)
        among = sum(isinstance(policy.split_rule, Ladder) for policy in self.measured) - self.tried
        orderings = len(ORDERINGS_ALIKE) + 1
        return Tuning(
            scenario=self.load.scenario,
            minimize=minimize,
            subject_to=subject_to,
            best=self.best(minimize, subject_to),
            front=tuple(self.front()),
            named={name: self.measured[policy] for name, policy in self.named().items() if policy in self.measured},
            evaluated=len(self.measured),
            pruned=max(0, orderings * (covered - self.open) - among) if self.lawful else 0,
            open=self.open,
            better=self._better(minimize, subject_to),
            tried=self.tried,
            lawful=self.lawful,
            slack=self.slack,
            notes=tuple(self.notes),
            left=self.left,
        )


def _made(policy: Policy, **other: object) -> Iterator[Policy]:
    """``policy`` with some keys changed, if there is such a one."""
    given = {"split": policy.split, "when": policy.when, "merge": policy.merge, "vmemmap": policy.vmemmap, **other}
    try:
        yield Policy(**given)  # type: ignore[arg-type]
    except ValueError:
        return


def _is_unlimited(scenario: Scenario) -> bool:
    """Whether nothing in ``scenario`` makes calls fail for want of memory."""
    limits = [scenario.host.kernel_memory, *(node.kernel_memory for node in scenario.host.nodes)]
    limits += [guest.kernel_memory for guest in scenario.guests]
    return all(limit is None for limit in limits) and not any(isinstance(step, Inject) for step in scenario.workload)
