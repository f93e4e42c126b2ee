# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands share that ask a study: its options for output, and the way of its answer to screen and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gmemsim.cli.exits import interrupted, note_no_memory
from gmemsim.cli.options import Options
from gmemsim.cli.outputs import Destination, check_free, destination, tell_written, write_all
from gmemsim.cli.terminal import say, show, show_data
from gmemsim.reports.filesets import FileSet, bound

if TYPE_CHECKING:
    from gmemsim.gmem.policy import Policy
    from gmemsim.registry import Registry
    from gmemsim.reports.export import StudyFormat
    from gmemsim.scenario.model import Scenario

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def out_options(names: Iterable[str]) -> Callable[[Decorated], Decorated]:
    """The options ``--out`` and ``--force`` of a command whose files have these ``names``."""
    listed = ", ".join(names)

    def decorate(command: Decorated) -> Decorated:
        out = click.option(
            "--out",
            metavar="PATH",
            help=f"Write {listed} into this directory, which is made if need be, or the one of them that ends as PATH.",
        )
        force = click.option("--force", is_flag=True, help="Overwrite files that are already there.")
        return out(force(command))

    return decorate


def planned(ctx: click.Context, out: str | None, files: FileSet, *, force: bool) -> Destination | None:
    """Where ``files`` go, if anywhere; what cannot be written is refused before anything is run."""
    if force and out is None:
        raise click.UsageError("--force needs --out PATH", ctx)
    plan = None if out is None else destination(out, files, ctx)
    if plan is not None:
        check_free(plan.directory, plan.files, force=force)
    return plan


def deliver(
    ctx: click.Context,
    screen: str,
    study: Any,
    formats: Registry[StudyFormat],
    plan: Destination | None,
    *,
    form: str | None,
    force: bool,
) -> None:
    """Show ``study`` (or print it in the format ``form``), write its files; end with 130, 143 or 3 if it is not whole.

    ``study.left`` says how many runs have not been made, ``study.ended`` why if that was not asked for.
    """
    if ended := getattr(study, "ended", ""):
        note_no_memory()
    written = () if plan is None else write_all(plan.directory, bound(plan.files, study), force=force)
    if form is None:
        show(screen, study)
    else:
        show_data(formats[form].text(study))
    complete = plan is None or tell_written(plan.directory, written, plan.files, err=form is not None)
    if study.left:
        why = f"refused: {ended}" if ended else "interrupted"
        say(f"gmemsim: {why}: {study.left:,} runs were not made, what is above is partial", err=True)
    if study.left or not complete:
        ctx.exit(interrupted())


def check_begun(study: Any, found: object) -> None:
    """Raise what has ended ``study``, Ctrl-C or want of memory, if that was before it ``found`` anything to show."""
    if study.left and not found:
        ended = getattr(study, "ended", "")
        raise MemoryError(ended) if ended else KeyboardInterrupt


def read_policies(
    texts: tuple[str, ...], scenario: Scenario | None = None, *, by_name: bool = False
) -> dict[str, Policy]:
    """The policies in ``texts`` of ``--policy``, each once, by the text itself, or ``by_name`` (default: no).

    ``InputError`` with all that is wrong, and with those that do not fit the guests of ``scenario`` (default: of none).
    """
    from gmemsim.gmem.presets import read_policy
    from gmemsim.studies.compare import check_fit

    def read(text: str) -> tuple[str, Policy]:
        name, policy = read_policy(text)
        if scenario is not None:
            check_fit(scenario, policy)
        return name if by_name else text, policy

    with Options() as options:
        return options.by_key("--policy", texts, read, "policy")
