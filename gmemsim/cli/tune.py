# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim tune``: the best policy of a workload, and what is given up for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gmemsim.cli import completion
from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.options import Options
from gmemsim.cli.parameters import format_options, set_option
from gmemsim.cli.progress import Interruption
from gmemsim.cli.studies import check_begun, deliver, out_options, planned
from gmemsim.errors import Fault, InputError
from gmemsim.messages import did_you_mean, quote
from gmemsim.reports.export import TUNE_EXPORTS
from gmemsim.reports.filesets import tune_files

if TYPE_CHECKING:
    from gmemsim.scenario.model import Scenario
    from gmemsim.studies.tune import Constraint, Tuning


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@click.option(
    "--minimize",
    default="peak_bytes",
    show_default=True,
    metavar="METRIC",
    shell_complete=completion.weighed,
    help="What shall be least: peak_bytes, modelled_time, longest_call, or a path into the summary as in `expect`.",
)
@click.option(
    "--subject-to",
    "constraints",
    multiple=True,
    metavar="METRIC<=VALUE",
    shell_complete=completion.weighed,
    help="Only policies that keep this, such as peak_bytes<=4M or modelled_time<=20ms; repeat it.",
)
@executor_options
@format_options(TUNE_EXPORTS)
@out_options(tune_files())
@click.pass_context
def tune(ctx: click.Context, /, **given: Any) -> None:
    """Find the policy that is best for the workload of FILE, and the front of peak memory against time.

    All ladders of orders are searched, times of splits, rules of merging, regimes of vmemmap and orderings. Most are
    not run: bounds rule them out, and the text says what is proved and what was only tried. All guests get one policy.
    After Ctrl-C what has been run is shown, marked as partial; the exit code is 130.

    \b
    Examples:
      gmemsim tune rfc-cover
      gmemsim tune rfc-cover --minimize modelled_time --subject-to 'peak_bytes<=4M'
      gmemsim tune rfc-cover --minimize longest_call --out front.png --force
    """
    plan = planned(ctx, given["out"], tune_files(), force=given["force"])
    found = _tune(given)
    deliver(ctx, "tune", found, TUNE_EXPORTS, plan, form=given["form"], force=given["force"])


def _tune(given: dict[str, Any]) -> Tuning:
    from gmemsim.scenario.format.template import load_with
    from gmemsim.studies.tune import tune as search

    scenario = load_with(given["file"], given["settings"])
    constraints = _constraints(scenario, given["minimize"], given["constraints"])
    workers: Workers = given["workers"]
    with Interruption() as interruption, workers.start() as executor:
        try:
            found = search(
                scenario,
                minimize=given["minimize"],
                subject_to=constraints,
                executor=executor,
                stop=lambda: interruption.pressed,
            )
        except ValueError as error:
            raise InputError([Fault(given["file"], 0, 0, str(error))]) from None
    check_begun(found, found.evaluated)
    return found


def _constraints(scenario: Scenario, minimize: str, texts: tuple[str, ...]) -> list[Constraint]:
    """The constraints in ``texts``; :class:`InputError` with all that is wrong with them and with ``minimize``."""
    from gmemsim.results.metrics import find_metric
    from gmemsim.studies.trials import WEIGHED
    from gmemsim.studies.tune import Constraint

    def unit_of(metric: str) -> str:
        if metric in WEIGHED:
            return WEIGHED[metric][0]
        if hint := did_you_mean(metric, WEIGHED):
            raise ValueError(f"found {quote(metric)}, expected {', '.join(WEIGHED)} or a metric{hint}")
        return find_metric(metric, scenario.guest_names).unit

    def read(text: str) -> Constraint:
        metric, sign, value = text.partition("<=")
        if not sign:
            raise ValueError("expected METRIC<=VALUE such as peak_bytes<=4M")
        return Constraint(metric, _amount(value, unit_of(metric)))

    with Options() as options:
        options.read("--minimize", [minimize], unit_of)
        return options.read("--subject-to", texts, read)


def _amount(text: str, unit: str) -> float:
    """``text`` as bytes, ns or a count; a plain number is in the unit itself."""
    from gmemsim.units import parse_duration, parse_size

    try:
        return float(text)
    except ValueError:
        if unit == "count":
            raise ValueError(f"found {text!r}, expected a number") from None
        return float(parse_size(text) if unit == "bytes" else parse_duration(text))
