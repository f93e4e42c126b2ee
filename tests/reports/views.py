# SPDX-License-Identifier: GPL-2.0-or-later
"""Real runs with everything that figures need, small enough to draw many times."""

from __future__ import annotations

from functools import cache

from gmemsim.reports.figures import FIGURES, watched
from gmemsim.reports.views import View
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.model import Scenario
from gmemsim.sim.run import Run

EVERYTHING = """
  - fault: {guest: all, offset: 0, size: 64M}
  - convert: {guest: all, offset: 0, size: 4K, to: shared, at: 1s, id: first}
  - fault: {guest: all, by: host, offset: 0, size: 4K}
  - pin: {guest: all, offset: 0, size: 4K}
  - convert: {guest: all, offset: 0, size: 4K, to: private, at: 2s}
  - unpin: {guest: all, offset: 0, size: 4K}
  - convert: {guest: all, offset: 32M, size: 32M, to: shared, at: 3s}
  - convert: {guest: all, offset: 0, size: 64M, to: private, at: 4s}
  - wait: {for: 1s}
"""
SCENARIOS = {
    "everything": f"""\
gmemsim: 1
title: One of everything, under a title that is longer than a line of a figure so that it has to be wrapped
host: {{hugetlb: {{1G: 1, 2M: 32}}}}
guests:
  - {{name: vm0, memory: 1G, backing: 1G, policy: {{split: nonuniform}}}}
  - {{name: vm1, memory: 64M, backing: 2M}}
workload:{EVERYTHING}""",
    "crowd": f"""\
gmemsim: 1
title: "日本語: $5 and $6"
host: {{hugetlb: {{2M: 1000}}}}
guests:
  - {{name: a-guest-whose-name-nobody-wants-to-type, memory: 64M, backing: 2M, count: 9, policy: {{split: staged}}}}
  - {{name: other, memory: 64M, backing: 4K}}
workload:{EVERYTHING}""",
    "no time": """\
gmemsim: 1
title: No simulated time passes
host: {hugetlb: {2M: 8}, rcu_grace: 0}
guests: [{name: vm0, memory: 16M, backing: 2M, policy: {vmemmap: partial}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 16M}
  - convert: {guest: vm0, offset: 8K, size: 4K, to: shared}
  - convert: {guest: vm0, offset: 8M, size: 4M, to: shared}
  - punch_hole: {guest: vm0, offset: 14M, size: 2M}
""",
    "idle": """\
gmemsim: 1
title: Nothing happens
host: {hugetlb: {2M: 8}}
guests: [{name: vm0, memory: 16M, backing: 2M}]
workload: []
""",
    "too small": """\
gmemsim: 1
title: A budget that is too small
host: {hugetlb: {1G: 1}, kernel_memory: 512K}
guests: [{name: vm0, memory: 1G, backing: 1G, policy: {split: staged}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: private, at: 1s}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 2s}
""",
    "seven percent": """\
gmemsim: 1
title: Seven of a hundred hugepages are split
host: {hugetlb: {2M: 512}}
guests: [{name: vm0, memory: 1G, backing: 2M}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 28M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 56M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 84M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 112M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 140M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 168M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 196M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 224M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 252M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 280M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 308M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 336M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 364M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 392M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 420M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 448M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 476M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 504M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 532M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 560M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 588M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 616M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 644M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 672M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 700M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 728M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 756M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 784M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 812M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 840M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 868M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 896M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 924M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 952M, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 980M, size: 4K, to: shared, at: 1s}
""",
    "busy": """\
gmemsim: 1
title: Some thousand calls
host: {hugetlb: {1G: 2}}
guests: [{name: vm0, memory: 2G, backing: 1G, policy: {split: staged, vmemmap: partial}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 2G}
  - scatter: {guest: vm0, at: 1s, count: 1500, duration: 30s, lifetime: 5s}
""",
}


@cache
def view(name: str) -> View:
    """The run of one of :data:`SCENARIOS`, with all that recorders can see."""
    return recorded(parse_scenario(SCENARIOS[name]))


def recorded(scenario: Scenario) -> View:
    """The run of ``scenario``, with all that recorders can see."""
    return watched(Run(scenario), FIGURES)
