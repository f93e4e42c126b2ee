# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts and notebooks are given beside runs: figures, tables, comparisons.  ``import gmemsim`` offers all of it.

A figure that needs more than the timeline (``map``, ``orders``, …) is drawn from a second run of the same scenario,
which gives the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, read_policy
from gmemsim.reports import Reportable
from gmemsim.reports import figures as _figures
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.views import View
from gmemsim.sim.run import Result, Run, run
from gmemsim.studies.compare import Comparison, usual_policies, with_policy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from gmemsim.scenario.model import Scenario


def presets() -> dict[str, Policy]:
    """The named policies (``gmemsim policies`` says what each is).

    >>> presets()["staged"].split
    'staged'
    """
    return {name: preset.policy for name, preset in PRESETS.items()}


def compare(
    scenario: Scenario, policies: Iterable[str] | Mapping[str, Policy] | None = None, *, metrics: Iterable[str] = ()
) -> Comparison:
    """Run the workload of ``scenario`` under several policies; the first is what the others are compared with.

    ``policies``: texts as ``--policy`` takes them (``"staged"``, ``"mine=split:18-9-0"``), or policies by name
    (default: those that split differently and fit).  ``metrics`` have rows of their own (default: none).
    ``ValueError`` for a policy that is none or does not fit.
    """
    if policies is None:
        chosen = usual_policies(scenario)
    elif isinstance(policies, Mapping):
        chosen = dict(policies)
    else:
        chosen = dict(map(read_policy, policies))
    results = {name: run(with_policy(scenario, policy)) for name, policy in chosen.items()}
    return Comparison(scenario.title, "policy", results, metrics=tuple(metrics))


def figure(shown: Reportable | Comparison, name: str = "memory") -> Figure:
    """The figure ``name`` of a result, or that of a comparison, for matplotlib; ``ValueError`` if there is none.

    ``name`` is one of those of ``gmemsim run --figure`` (default: ``memory``); a comparison has one only.
    """
    if isinstance(shown, Comparison):
        from gmemsim.reports.figures import overlay

        return overlay.figure(shown)
    kind = FIGURES[name]
    if kind.needs is None or (kind.optional and not isinstance(shown, Result)):
        return _figures.figure(name, View(shown))
    if not isinstance(shown, Result):
        raise ValueError(f"the figure {name} looks at a run while it goes on, expected the result of a scenario")
    return _figures.figure(name, _figures.watched(Run(shown.scenario), [name]))


def samples(result: Reportable) -> DataFrame:
    """What ``result`` held over time, a row a sample; :mod:`gmemsim.reports.export.tables` documents the columns."""
    from gmemsim.reports.export import tables

    return _frame(tables.samples(result))


def events(result: Reportable) -> DataFrame:
    """The calls of ``result``, a row each; :mod:`gmemsim.reports.export.tables` documents the columns."""
    from gmemsim.reports.export import tables

    return _frame(tables.events(result))


def _frame(columns: Mapping[str, Any]) -> DataFrame:
    if find_spec("pandas") is None:
        raise ImportError("data frames need the package pandas: pip install 'gmemsim[notebooks]'")
    from pandas import DataFrame

    return DataFrame(columns)
