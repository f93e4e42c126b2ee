# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim fuzz``: random scenarios until one breaks a law.

The independent model of pages is part of a checkout's tests and not of the package.  The command uses it where the
package stands beside them, and says so when it does not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gmemsim.cli import completion
from gmemsim.cli.executors import Workers, executor_options
from gmemsim.cli.exits import interrupted
from gmemsim.cli.outputs import check_free, write_all, write_text
from gmemsim.cli.progress import Interruption
from gmemsim.cli.terminal import say, show
from gmemsim.units import parse_duration

if TYPE_CHECKING:
    from gmemsim.studies.fuzz import Fuzz

WATCH: Final = "tests.model.watch:Watch"
"""The independent model, in a checkout."""

USUAL_RUNS: Final = 100
"""Runs if neither their number nor a time is given."""


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Seconds; a lone ``m`` means minutes, as other fuzzers take it."""
    if value is None:
        return None
    try:
        return parse_duration(re.sub(r"^(\d+)m$", r"\1min", value)) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command()
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help="Which random scenarios."
)
@click.option(
    "--runs", type=click.IntRange(min=1), metavar="N", help=f"So many runs. Default: {USUAL_RUNS}, or by time."
)
@click.option("--time", "seconds", callback=_time, metavar="T", help="Go on for this time, such as 30s or 10m.")
@click.option(
    "--replay",
    metavar="FILE",
    shell_complete=completion.files,
    help="Carry out this scenario before the same judges, instead of random ones.",
)
@click.option("--out", metavar="FILE", help="Write the scenario that fails into this file. Default: it is shown.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is already there.")
@executor_options
@click.pass_context
def fuzz(ctx: click.Context, /, **given: Any) -> None:
    """Run random scenarios until one breaks a law, and show the shortest scenario that breaks it.

    Hosts, guests, policies, calls, pins and failing allocations are random. After every call all invariants are
    verified, and the run is compared with one that makes every node of its trees at once; in a checkout, also with the
    independent model in tests/model. What fails is shortened and reported. The exit code is 1 if a law broke. With one
    process (--jobs 1) a seed and a number of runs always give the same.

    \b
    Examples:
      gmemsim fuzz
      gmemsim fuzz --seed 7 --runs 20 --jobs 1 --out broken.yaml
      gmemsim fuzz --replay my.yaml
    """
    _check_options(ctx, given)
    out = None if given["out"] is None else Path(given["out"])
    if out is not None:
        check_free(out.parent, [out.name], force=given["force"])
    found = _fuzz(given) if given["replay"] is None else _replay(given["replay"])
    show("fuzz", found, given["out"])
    if found.finding is not None and out is not None:
        write_all(out.parent, {out.name: partial(write_text, found.finding.text)}, force=given["force"])
        say(f"wrote {out}")
    if found.finding is not None:
        ctx.exit(1)
    if found.interrupted:
        say("gmemsim: interrupted: what is above is partial", err=True)
        ctx.exit(interrupted())


def _check_options(ctx: click.Context, given: dict[str, Any]) -> None:
    if given["force"] and given["out"] is None:
        raise click.UsageError("--force needs --out FILE", ctx)
    others = {"--runs": given["runs"], "--time": given["seconds"], "--out": given["out"]}
    for option, value in others.items():
        if given["replay"] is not None and value is not None:
            raise click.UsageError(f"{option} does not go with --replay, which runs one scenario", ctx)


def watch_beside() -> str | None:
    """:data:`WATCH` if this package stands in a checkout whose tests can be imported, else ``None``."""
    tests = Path(__file__).resolve().parents[2] / "tests" / "__init__.py"
    if not (tests.parent / "model" / "watch.py").is_file():
        return None
    found = find_spec("tests")
    return WATCH if found is not None and found.origin is not None and Path(found.origin).samefile(tests) else None


def _fuzz(given: dict[str, Any]) -> Fuzz:
    from gmemsim.studies.fuzz import fuzz as asked

    workers: Workers = given["workers"]
    seconds: float | None = given["seconds"]
    runs = given["runs"] or (None if seconds is not None else USUAL_RUNS)
    deadline = None if seconds is None else time.monotonic() + seconds
    with Interruption() as interruption, _bar() as progress, workers.start() as executor:
        found = asked(
            given["seed"],
            runs,
            watch=watch_beside(),
            executor=executor,
            stop=lambda: interruption.pressed or (deadline is not None and time.monotonic() > deadline),
            progress=progress,
        )
        found.interrupted = interruption.pressed
    return found


def _replay(file: str) -> Fuzz:
    from gmemsim.scenario.format.template import parse_with
    from gmemsim.scenario.format.yaml import read_file
    from gmemsim.studies.fuzz import replay

    data = read_file(file)
    return replay(parse_with(data, file, ()), data.decode("utf-8-sig"), watch_beside())


@contextmanager
def _bar() -> Iterator[Callable[[Fuzz], None]]:
    """The number of runs, on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda found: None
        return
    with console.status("fuzz") as status:
        yield lambda found: status.update(f"fuzz: {found.runs:,} runs, {found.calls.total():,} calls")
