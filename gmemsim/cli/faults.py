# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim faults``: every allocation of a run fails in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from gmemsim.cli import completion
from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.options import Options
from gmemsim.cli.parameters import format_options, policy_option, set_option
from gmemsim.cli.progress import Interruption
from gmemsim.cli.studies import check_begun, deliver, out_options, planned, read_policies
from gmemsim.errors import Fault, InputError
from gmemsim.messages import did_you_mean
from gmemsim.reports.export import FAULTS_EXPORTS
from gmemsim.reports.filesets import faults_files

if TYPE_CHECKING:
    from gmemsim.studies.faults import Faults

ALL = "all"
"""The name that stands for all orderings."""


def _orderings(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The names of orderings, each of which must exist."""
    from gmemsim.gmem.rules import ORDERINGS

    def read(text: str) -> tuple[str, ...]:
        if text != ALL and text not in ORDERINGS:
            hint = did_you_mean(text, (ALL, *ORDERINGS)) or f" ({ALL}, {', '.join(ORDERINGS)})"
            raise ValueError(f"expected the name of an ordering{hint}")
        return ORDERINGS.names() if text == ALL else (text,)

    with Options() as options:
        return tuple(dict.fromkeys(chain.from_iterable(options.read("--ordering", value, read))))


@click.command()
@click.argument("file", shell_complete=completion.files)
@set_option
@click.option(
    "--ordering",
    "orderings",
    metavar="all|NAME",
    multiple=True,
    callback=_orderings,
    shell_complete=completion.orderings,
    help="Let every conversion follow this ordering, side by side if repeated; `all`: every ordering."
    " Default: the policies' own.",
)
@policy_option("Give every guest this policy (default: the scenario's own)")
@click.option("--to-end", is_flag=True, help="Go on to the end of the run after the call that fails.")
@click.option("--every", is_flag=True, help="Carry out failures that are equal to others too, and do not count them.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Carry out N failures only, drawn by the scenario's seed: a sample, which may miss the rare ones.",
)
@executor_options
@format_options(FAULTS_EXPORTS)
@out_options(faults_files())
@click.pass_context
def faults(ctx: click.Context, /, **given: Any) -> None:
    """Let every allocation of the run of FILE fail in turn, and say what each failure leaves.

    Each object that the workload asks for cannot be had, once alone and once with all after it. What the failure leaves
    is seen when its call returns; it counts as the worst of that, and every invariant is verified. Objects that one
    request asks for are proved equal and counted. The scenario's expectations are not tested. The exit code is 1 if an
    invariant broke. After Ctrl-C what has been found is shown, with what is left; the exit code is 130.

    \b
    Examples:
      gmemsim faults rfc-cover --ordering all
      gmemsim faults rfc-cover --policy nonuniform --policy staged --to-end
      gmemsim faults host-near-limit --sample 50 --json
      gmemsim faults rfc-cover --ordering attributes-first --out out --force
    """
    plan = planned(ctx, given["out"], faults_files(), force=given["force"])
    if given["every"] and given["sample"] is not None:
        raise click.UsageError("--every carries out all failures, and --sample only some", ctx)
    found = _faults(given)
    deliver(ctx, "faults", found, FAULTS_EXPORTS, plan, form=given["form"], force=given["force"])
    if found.broken_points:
        ctx.exit(1)


def _faults(given: dict[str, Any]) -> Faults:
    from gmemsim.scenario.format.template import load_with
    from gmemsim.studies.faults import faults as asked

    file: str = given["file"]
    scenario = load_with(file, given["settings"])
    policies = read_policies(given["policies"], scenario)
    workers: Workers = given["workers"]
    with Interruption() as interruption, _bar() as progress, _executor(workers) as executor:
        found = asked(
            scenario,
            given["orderings"],
            policies,
            every=given["every"],
            to_end=given["to_end"],
            sample=given["sample"],
            seed=scenario.seed,
            jobs=workers.jobs,
            executor=executor,
            stop=lambda: interruption.pressed,
            progress=progress,
        )
    if not found.variants:
        raise InputError([Fault(file, 0, 0, why) for why in found.refused])
    check_begun(found, found.points)
    return found


@contextmanager
def _executor(workers: Workers) -> Iterator[Any]:
    """The workers of a cluster; here, a run branches itself and needs no other processes."""
    if workers.address is None:
        yield None
        return
    with workers.start() as executor:
        yield executor


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal: how many failures were carried out, of those that are known to be needed."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, left: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("failures", total=None)
        yield lambda done, left: bar.update(task, completed=done, total=done + left)
