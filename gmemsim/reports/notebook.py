# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts and notebooks are given beside runs: figures, tables, comparisons.  ``import gmemsim`` offers all of it.

A figure that needs more than the timeline (``map``, ``orders``, …) is drawn from a second run of the same scenario,
which gives the same result.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, read_policy
from gmemsim.host.geometry import Geometry
from gmemsim.host.switches import KernelSwitches
from gmemsim.reports import Reportable
from gmemsim.reports import figures as _figures
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.views import View
from gmemsim.sim.run import Result, Run, run
from gmemsim.studies import compare as _compared
from gmemsim.studies.compare import Comparison, usual_policies
from gmemsim.studies.explain import PolicyCost, SplitFacts, costs_by_policy, explain_split
from gmemsim.units import size_of

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


def with_policy(scenario: Scenario, policy: Policy | str) -> Scenario:
    """``scenario`` with ``policy`` for every guest: a policy, or text as ``--policy`` takes it.

    Of its expectations those stay that are about the workload.  ``ValueError`` for a text that is no policy, and for a
    policy that does not fit a guest.
    """
    return _compared.with_policy(scenario, read_policy(policy)[1] if isinstance(policy, str) else policy)


@attrs.frozen(repr=False)
class Explanation:
    """One conversion explained: what a ``split`` takes, and by name of ``policies`` what one shared page costs."""

    split: SplitFacts
    policies: Mapping[str, PolicyCost]

    def __repr__(self) -> str:
        name = self.split.geometry.name
        return f"<Explanation of {name(self.split.order)} to {name(self.split.new_order)}: {self.split.nodes:,} nodes>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(text(self, width=100))}</pre>"


def explain(
    old: int | str, new: int | str = "4K", *, policies: Iterable[str] | None = None, page_size: int | str = "4K"
) -> Explanation:
    """Split a hugepage of size ``old`` into folios of size ``new`` (default: 4K), as ``gmemsim explain split`` does.

    Sizes are bytes or text with a unit.  ``policies`` are names of :func:`presets` (default: those that split
    differently and fit) that share one page of it; ``page_size`` is the base page (default: 4K).  ``ValueError`` for a
    size that no folio has, and for a policy that there is not or that does not fit.
    """
    geometry = Geometry(size_of(page_size))
    order, new_order = geometry.order_of(size_of(old)), geometry.order_of(size_of(new))
    if new_order >= order:
        raise ValueError(
            f"found a split of {geometry.name(order)} into {geometry.name(new_order)}, expected smaller folios"
        )
    chosen = None if policies is None else {name: read_policy(name)[1] for name in policies}
    costs = costs_by_policy(chosen, order, geometry, KernelSwitches())
    return Explanation(explain_split(order, new_order, geometry), costs)


def text(shown: Result | Comparison | Explanation, *, width: int = 80) -> str:
    """``shown`` as the command line prints it, ``width`` columns wide (default: 80), without blanks at line ends."""
    from gmemsim.reports.screen import as_text, console

    plain = console(file=io.StringIO(), width=width, force_jupyter=False, force_terminal=False)
    match shown:
        case Comparison():
            screen = as_text(plain, "compare", shown)
        case Explanation():
            screen = as_text(plain, "explain", shown.split, shown.policies)
        case _:
            screen = as_text(plain, "run", shown)
    return screen.removesuffix("\n")


def markdown(comparison: Comparison) -> str:
    """``comparison`` as a table for a mail, as ``gmemsim compare --markdown`` prints it: below 78 columns."""
    from gmemsim.reports.export import compare_markdown

    return compare_markdown.write(comparison)


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
