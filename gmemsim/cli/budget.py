# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim budget``: how much kernel memory guests need, or how many guests fit a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gmemsim.cli import completion
from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.parameters import (
    duration_parameter,
    format_options,
    policy_option,
    set_option,
    size_parameter,
)
from gmemsim.cli.progress import Interruption
from gmemsim.cli.studies import check_begun, deliver, out_options, planned, read_policies
from gmemsim.reports.export import BUDGET_EXPORTS
from gmemsim.reports.filesets import budget_files

if TYPE_CHECKING:
    from gmemsim.gmem.policy import Policy
    from gmemsim.scenario.format.settings import Setting
    from gmemsim.scenario.model import Scenario
    from gmemsim.studies.budget import Budget, Question

MOST_SEEDS = 1_000_000
"""More seeds than the largest quantile that anyone asks for takes."""


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@policy_option("Give every guest this policy, one row each (default: the scenario's own)")
@click.option(
    "--guests",
    type=click.IntRange(min=1),
    metavar="N",
    help="Copies of all guests of the scenario; the pool grows with them. Default: 1.",
)
@click.option(
    "--for-each",
    "only",
    metavar="GUEST",
    shell_complete=completion.guests,
    help="Copy this guest alone; the others stay as they are.",
)
@click.option(
    "--stagger",
    callback=duration_parameter,
    default="0",
    show_default=True,
    metavar="TIME",
    help="Time between the starts of two copies, such as 1s; 0: all start at once.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, MOST_SEEDS),
    default=1,
    show_default=True,
    metavar="K",
    help="Runs with the scenario's seed and those after it. Without effect on a workload without random numbers.",
)
@click.option(
    "--quantile",
    type=float,
    default=0.999,
    show_default=True,
    metavar="Q",
    help="The part of all boots that the budget must be enough for.",
)
@click.option(
    "--host-memory",
    callback=size_parameter,
    metavar="SIZE",
    help="Say how many guests fit a host with so much memory, such as 2T, instead of what --guests need.",
)
@click.option(
    "--other",
    callback=size_parameter,
    default="0",
    metavar="SIZE",
    help="Memory of that host that something else uses: VMMs, the rest of the system. Default: 0.",
)
@executor_options
@format_options(BUDGET_EXPORTS)
@out_options(budget_files())
@click.pass_context
def budget(ctx: click.Context, /, **given: Any) -> None:
    """Say how much kernel memory the guests of FILE need so that no conversion fails for want of it.

    The peak of a run without limits is that answer for one seed; limits and injected failures of FILE are left out.
    With --host-memory it is said how many copies of the guests fit a host: hugepages, kernel memory, struct pages and
    PAMT together. The quantile over more seeds has an interval of 95 %, which assumes no distribution. After Ctrl-C
    what has been run is shown, marked as partial; the exit code is 130.

    \b
    Examples:
      gmemsim budget boot-16g-2m
      gmemsim budget boot-16g-2m --seeds 20 --quantile 0.8
      gmemsim budget replay-qemu --guests 40 --policy b-today --policy staged-partial
      gmemsim budget replay-qemu --host-memory 512G --stagger 100ms
    """
    plan = planned(ctx, given["out"], budget_files(), force=given["force"])
    if given["host_memory"] is not None and given["guests"] is not None:
        raise click.UsageError("--host-memory asks how many guests fit, and --guests says how many there are", ctx)
    if given["host_memory"] is None and given["other"]:
        raise click.UsageError("--other is memory of a host: give --host-memory too", ctx)
    found = _budget(given["file"], given["settings"], given)
    deliver(ctx, "budget", found, BUDGET_EXPORTS, plan, form=given["form"], force=given["force"])


def _budget(file: str, settings: tuple[Setting, ...], given: dict[str, Any]) -> Budget:
    """The answer; what is wrong with the options is a usage error."""
    from gmemsim.scenario.format.template import load_with
    from gmemsim.studies.budget import Host
    from gmemsim.studies.budget import budget as asked

    question = _question(load_with(file, settings), given)
    memory = given["host_memory"]
    host = None if memory is None else Host(memory=memory, other=given["other"])
    workers: Workers = given["workers"]
    with Interruption() as interruption, workers.start() as executor:
        try:
            found = asked(
                question,
                guests=given["guests"] or 1,
                seeds=given["seeds"],
                q=given["quantile"],
                host=host,
                executor=executor,
                stop=lambda: interruption.pressed,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    check_begun(found, found.rows)
    return found


def _question(scenario: Scenario, given: dict[str, Any]) -> Question:
    from gmemsim.gmem.presets import policy_text
    from gmemsim.studies.budget import Question

    own = {guest.policy for guest in scenario.guests}
    name = policy_text(own.pop()) if len(own) == 1 else "(as in the scenario)"
    policies: dict[str, Policy | None] = {**read_policies(given["policies"], scenario)}
    policies = policies or {name: None}
    return Question(scenario=scenario, policies=policies, only=given["only"], stagger=given["stagger"])
