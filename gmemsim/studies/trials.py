# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of a workload under a policy, as a tuning sees it: three figures, the metrics asked for, and their instants.

Theory of operation
-------------------
What a tuning weighs, the smaller the better, are the rows of :data:`WEIGHED`; beside them any metric of the summary.

* ``peak_bytes``: the peak of all accounts together.  Of a policy without HVO the vmemmap that HVO would have saved is
  added, since it is there all the time and in no account: else switching HVO off would always win.
* ``modelled_time``: modelled ns of all work, an estimate.
* ``longest_call``: modelled ns of the longest call without allocating and clearing memory, which take the same under
  every policy and would hide what differs; an estimate.

What may live here: how one policy is measured.  Which policies are is in :mod:`gmemsim.studies.tune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np

from gmemsim.errors import NO_MEMORY, SimulationRefused
from gmemsim.gmem.policy import Policy
from gmemsim.results.metrics import metric_value
from gmemsim.results.pricing import PHASE_NAMES, phase_times
from gmemsim.results.timeline import TOTAL, Timeline
from gmemsim.scenario.model import Scenario
from gmemsim.sim.run import Result, Run, run
from gmemsim.studies.compare import with_policy
from gmemsim.studies.ladders import Floats

WEIGHED: Final[Mapping[str, tuple[str, str]]] = {
    "peak_bytes": ("bytes", "peak of all accounts; without HVO with the vmemmap that HVO saves"),
    "modelled_time": ("ns", "modelled time of all work, an estimate"),
    "longest_call": ("ns", "longest call without allocating and clearing memory, an estimate"),
}
"""What a tuning weighs: unit, and what it is."""

SAME_FOR_ALL: Final = ("allocate", "clear")
"""Phases of a call that no policy changes."""

ZEROING: Final = "zero"
"""The phase in which a merge zeroes what nobody has touched."""

ENOMEM: Final = "ENOMEM"


@attrs.frozen(eq=False)
class Instants:
    """What a run counts and holds, instant by instant.

    ``left``: bytes after every call; ``calls``: its modelled ns (of ``longest_call``), zeroing left out; ``time``:
    modelled ns in all, zeroing left out, one number.  These are sums over the rungs of a ladder.  Not sums: ``held``,
    the peak in bytes, and ``zeroed``, modelled ns of zeroing, one number.
    """

    held: float
    left: Floats
    calls: Floats
    time: Floats
    zeroed: Floats


@attrs.frozen(kw_only=True)
class Measured:
    """The run of one ``policy``: the ``values`` of :data:`WEIGHED` and of the metrics asked for.

    ``failed``: calls that failed for want of memory.  ``merges``: folios merged; ``host_faults``: how often the host
    touched shared memory.  ``accounts``: bytes by account at the peak.  ``instants``: what was live when, by
    account.  ``refused``: why it could not be run.
    """

    policy: Policy
    values: Mapping[str, float] = attrs.field(factory=dict)
    failed: int = 0
    merges: int = 0
    host_faults: int = 0
    accounts: Mapping[str, int] = attrs.field(factory=dict)
    instants: Instants | None = attrs.field(default=None, eq=False, repr=False)
    refused: str | None = None


@attrs.frozen(kw_only=True)
class Workload:
    """What is run under every policy: ``scenario``.

    ``metrics``: those of the summary that are wanted beside the three (default: none).  ``kept``: bytes of vmemmap that
    are there all the time on a host with HVO (default: 0).
    """

    scenario: Scenario
    metrics: tuple[str, ...] = ()
    kept: int = 0


def measure(workload: Workload, point: tuple[Policy, bool]) -> Measured:
    """Run ``workload`` under the policy of ``point``, and keep its instants if ``point`` says so.

    >>> from gmemsim.scenario.model import Allocate, Convert, GuestSpec, HostSpec
    >>> steps = (Allocate(guest="a", offset=0, size=1 << 21), Convert(guest="a", offset=0, size=4096, to="shared"))
    >>> guest = GuestSpec(name="a", memory=1 << 21, backing=1 << 21)
    >>> one = Scenario(title="", host=HostSpec(hugetlb={1 << 21: 1}), guests=(guest,), workload=steps)
    >>> measure(Workload(scenario=one), (Policy(split="nonuniform"), False)).values["peak_bytes"]
    35040.0
    """
    policy, wanted = point
    try:
        scenario = with_policy(workload.scenario, policy)
        result = run(scenario)
    except SimulationRefused as error:
        return Measured(policy=policy, refused=str(error))
    except MemoryError:
        return Measured(policy=policy, refused=NO_MEMORY)
    return _measured(workload, policy, result, wanted)


def always_there(workload: Workload) -> int:
    """Bytes of vmemmap that are there all the time under the policies of ``workload``."""
    return _always(Run(workload.scenario).result())


def _always(result: Result) -> int:
    summary = result.summary
    present: int = summary["vmemmap_present"]["live_bytes"] - summary["accounts"]["vmemmap"]["live_bytes"]
    return present


def _measured(workload: Workload, policy: Policy, result: Result, wanted: bool) -> Measured:
    summary, timeline = result.summary, result.timeline
    more = 0 if policy.uses_hvo else max(0, _always(result) - workload.kept)
    left = _left(timeline)
    times = phase_times(timeline.events, result.scenario.host.profile)
    calls = times[:, [i for i, name in enumerate(PHASE_NAMES) if name not in SAME_FOR_ALL]].sum(axis=1)
    zeroed = times[:, PHASE_NAMES.index(ZEROING)]
    total = summary["modelled_time_ns"]["total"]
    values: dict[str, float] = {
        "peak_bytes": float(summary["accounts"][TOTAL]["peak_bytes"] + more),
        "modelled_time": float(total),
        "longest_call": float(calls.max(initial=0.0)),
    }
    values |= {metric: metric_value(summary, metric) for metric in workload.metrics}
    instants = Instants(
        values["peak_bytes"], left + more, calls - zeroed, np.array([total - zeroed.sum()]), np.array([zeroed.sum()])
    )
    columns = timeline.columns()
    highest = int(columns[TOTAL].argmax())
    return Measured(
        policy=policy,
        values=values,
        failed=sum(calls["failed"].get(ENOMEM, 0) for calls in summary["calls"].values()),
        merges=sum(summary["merges"].values()),
        host_faults=summary["host_faults"],
        accounts={name: int(columns[name][highest]) for name in timeline.accounts},
        instants=instants if wanted else None,
    )


def _left(timeline: Timeline) -> Floats:
    """Bytes after every call, and at the end of the run.  A sample stays true until the next one."""
    totals, owners = timeline.columns()[TOTAL], timeline.owners()
    calls = len(timeline.events)
    last = np.searchsorted(owners, np.arange(calls + 1), side="right") - 1
    left: Floats = np.where(last >= 0, totals[np.maximum(last, 0)], 0).astype(np.float64)
    return left
