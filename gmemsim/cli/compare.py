# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim compare``: one workload under several policies, or several scenarios, beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from gmemsim.cli import completion
from gmemsim.cli.exits import ended_early, interrupted
from gmemsim.cli.outputs import check_free, destination, tell_written, write_all
from gmemsim.cli.parameters import format_options, policy_option, price_option, set_option
from gmemsim.cli.simulate import simulate
from gmemsim.cli.studies import read_policies
from gmemsim.cli.terminal import show, show_data
from gmemsim.cli.verdicts import name_failures
from gmemsim.errors import Fault, InputError, SimulationRefused
from gmemsim.messages import did_you_mean, named_by_message, quote
from gmemsim.reports.export import COMPARE_EXPORTS
from gmemsim.reports.filesets import bound, compare_files

if TYPE_CHECKING:
    from gmemsim.scenario.format.settings import Setting
    from gmemsim.scenario.model import Scenario
    from gmemsim.sim.run import Result
    from gmemsim.studies.compare import Comparison

EVERY = "all"
"""The name that stands for all cost profiles."""

OUTPUTS = tuple(compare_files())
"""What ``--out`` writes."""


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=completion.files)
@set_option
@policy_option("Give every guest this policy; the first is what the others are compared with")
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    shell_complete=completion.metrics,
    help="Compare this metric, too, a path into the summary as in `expect`; with --markdown, only such. Repeat it.",
)
@click.option(
    "--costs",
    metavar="PROFILE",
    multiple=True,
    shell_complete=completion.profiles,
    help="Show modelled times under this cost profile, too, and whether the order is the same (repeat it, or `all`).",
)
@price_option
@format_options(COMPARE_EXPORTS)
@click.option(
    "--out",
    metavar="PATH",
    help=f"Write {', '.join(OUTPUTS)} into the directory PATH, or one of them if PATH ends as it does.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are already there.")
@click.pass_context
def compare(
    ctx: click.Context,
    files: tuple[str, ...],
    settings: tuple[Setting, ...],
    policies: tuple[str, ...],
    metrics: tuple[str, ...],
    costs: tuple[str, ...],
    prices: dict[str, float],
    form: str | None,
    out: str | None,
    force: bool,
) -> None:
    """Compare one scenario FILE under several policies, or several scenarios, in one table.

    With one FILE, its workload is run once for each --policy, which every guest gets; without any, for each named
    policy that splits differently and fits. Of the scenario's expectations those are tested that are about the
    workload (calls requested, host faults, the end): the others were written for its own policies. With several FILEs
    each is run as it is. The exit code is 1 if an expectation of one fails. After Ctrl-C those that have been run to
    their end are compared, marked as partial, and the exit code is 130.

    A policy's keys are split (uniform, staged, nonuniform, or a ladder of orders such as 18-12-6-0), when, merge
    (hysteresis-10 stops after ten), vmemmap and ordering; what is left out is as in b-today.

    \b
    Examples:
      gmemsim compare rfc-cover
      gmemsim compare rfc-cover --policy b-today --policy staged --markdown
      gmemsim compare rfc-cover --set guests.vm0.memory=4G --set host.hugetlb.1G=4
      gmemsim compare rfc-cover --costs all --metric work.tlb_flushes
      gmemsim compare rfc-cover --policy staged --policy x=split:18-9-0,vmemmap:partial
      gmemsim compare rfc-cover staged --out out --force
    """
    from gmemsim.scenario.prices import with_prices

    if force and out is None:
        raise click.UsageError("--force needs --out PATH", ctx)
    if policies and len(files) > 1:
        raise click.UsageError(f"--policy compares policies of one scenario, found {len(files)} files", ctx)
    plan = None if out is None else destination(out, compare_files(), ctx)
    if plan is not None:
        check_free(plan.directory, plan.files, force=force)
    profiles = _profiles(ctx, costs)
    scenarios = _policies_of(files[0], settings, policies) if len(files) == 1 else _scenarios(files, settings)
    scenarios = {name: with_prices(scenario, prices) for name, scenario in scenarios.items()}
    written: tuple[str, ...] = ()
    _check_metrics(scenarios, metrics)
    comparison = _compare(scenarios, metrics, profiles, by_policy=len(files) == 1)
    if plan is not None:
        written = write_all(plan.directory, bound(plan.files, comparison), force=force)
    if form is None:
        show("compare", comparison)
    else:
        show_data(COMPARE_EXPORTS[form].text(comparison))
    complete = plan is None or tell_written(plan.directory, written, plan.files, err=form is not None)
    for result in comparison.results.values():
        name_failures(result.scenario.source, result.summary)
    if comparison.partial or not complete:
        ctx.exit(interrupted())
    if not comparison.ok:
        ctx.exit(1)


def _scenarios(files: tuple[str, ...], settings: tuple[Setting, ...]) -> dict[str, Scenario]:
    """The scenarios by the stems of their files, or by the files where stems are not unique; all faults at once."""
    from gmemsim.scenario.format.template import load_with

    stems = Counter(PurePath(file).stem for file in files)
    found: dict[str, Scenario] = {}
    faults: list[Fault] = []
    for file in files:
        name = PurePath(file).stem if stems[PurePath(file).stem] == 1 else file
        if name in found:
            faults.append(Fault(file, 0, 0, "found this file twice, expected each once"))
        try:
            found[name] = load_with(file, settings)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return found


def _policies_of(file: str, settings: tuple[Setting, ...], texts: tuple[str, ...]) -> dict[str, Scenario]:
    """The scenario in ``file`` under every policy in ``texts``, by the policies' names."""
    from gmemsim.scenario.format.template import load_with
    from gmemsim.studies.compare import usual_policies, with_policy

    scenario = load_with(file, settings)
    policies = read_policies(texts, scenario, by_name=True) if texts else usual_policies(scenario)
    return {name: with_policy(scenario, policy) for name, policy in policies.items()}


def _check_metrics(scenarios: Mapping[str, Scenario], metrics: tuple[str, ...]) -> None:
    """:class:`InputError` with every metric that the summary of a scenario will not have."""
    from gmemsim.results.metrics import metric_faults

    faults = [
        (fault.source, fault.message)
        for scenario in scenarios.values()
        for fault in metric_faults(metrics, scenario.guest_names, scenario.source)
    ]
    if faults:
        raise InputError(Fault(files, 0, 0, message) for message, files in named_by_message(faults).items())


def _profiles(ctx: click.Context, names: tuple[str, ...]) -> tuple[str, ...]:
    """The cost profiles that are meant, each once."""
    from gmemsim.host.costs import PROFILES

    for name in names:
        if name not in PROFILES and name != EVERY:
            known = (*PROFILES, EVERY)
            hint = did_you_mean(name, known) or f", expected one of {', '.join(known)}"
            raise click.UsageError(f"--costs: there is no profile {quote(name)}{hint}", ctx)
    return tuple(PROFILES) if EVERY in names else tuple(dict.fromkeys(names))


def _compare(
    scenarios: Mapping[str, Scenario], metrics: tuple[str, ...], costs: tuple[str, ...], *, by_policy: bool
) -> Comparison:
    """Run all ``scenarios``; Ctrl-C leaves those that were run to their end."""
    from gmemsim.sim.run import Run
    from gmemsim.studies.compare import Comparison

    results: dict[str, Result] = {}
    partial = False
    for name, scenario in scenarios.items():
        try:
            result = simulate(Run(scenario), label=name)
        except SimulationRefused as error:
            raise SimulationRefused(f"{name}: {error}") from None
        if result.summary.get("partial"):
            partial = True
            break
        results[name] = result
    if not results:
        raise ended_early()
    titles = [scenario.title for scenario in scenarios.values()]
    title = titles[0] if by_policy else f"{len(titles)} scenarios"
    return Comparison(title, "policy" if by_policy else "scenario", results, partial, metrics, costs)
