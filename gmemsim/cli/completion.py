# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shell is offered for a word that is typed: scenarios, policies, keys and values, metrics, guests.

Theory of operation
-------------------
Click asks the callback of the option or argument in question with the beginning of the word.  Where keys or guests are
wanted the callbacks read the command's FILE, and offer what is in it and what its JSON Schema allows beside it; a file
that cannot be read offers nothing.  A word that must go on, such as ``host.``, is *open*: the shell adds no blank.

What may live here: what is offered.  How bash is spoken to is in :mod:`gmemsim.cli.bash`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from gmemsim.scenario.format.yaml import Node

Offer = list[CompletionItem[Any]]

JOINTS = ".=:,;"
"""What a word ends in that must go on."""


def _offer(words: Iterable[str], incomplete: str) -> Offer:
    """Those of ``words`` that begin with ``incomplete``, each once."""
    found = dict.fromkeys(word for word in words if word.startswith(incomplete))
    return [CompletionItem(word, open=word[-1:] in JOINTS) for word in found]


def scenario_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of shipped scenarios."""
    from gmemsim.scenario.shipped import scenarios

    return _offer(scenarios(), incomplete)


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of shipped scenarios, and files."""
    return [*scenario_names(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of policies."""
    from gmemsim.gmem.presets import PRESETS

    return _offer(PRESETS, incomplete)


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """What ``--policy`` takes: a name, or after ``NAME=`` a name or keys of a policy with their values."""
    return _offer(_policies(incomplete), incomplete)


def orderings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of orderings, and ``all``."""
    from gmemsim.gmem.rules import ORDERINGS

    return _offer(("all", *ORDERINGS), incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of cost profiles, and ``all`` where an option may be repeated."""
    from gmemsim.host.costs import PROFILES

    return _offer((*PROFILES, *(("all",) if param.multiple else ())), incomplete)


def prices(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The counters of work, each with ``=``."""
    from gmemsim.host.work import COUNTERS

    return _offer((f"{counter}=" for counter in COUNTERS), incomplete)


def metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """Paths into the summary, one part at a time, those of FILE's guests too."""
    return _offer(_metrics(ctx, incomplete), incomplete)


def weighed(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """What ``tune`` weighs: its own measures, and metrics; a limit goes on with ``<=``."""
    from gmemsim.studies.trials import WEIGHED

    limit = "<=" if param.multiple else ""
    words = (*WEIGHED, *_metrics(ctx, incomplete))
    return [
        CompletionItem(item.value if item.open else f"{item.value}{limit}", open=item.open or bool(limit))
        for item in _offer(words, incomplete)
    ]


def guests(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The names of FILE's guests: of single ones, or of groups for ``--for-each``."""
    return _offer(_guest_names(ctx, groups=param.name == "only"), incomplete)


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """``KEY=VALUE`` as ``--set`` takes it."""
    return _offer(_settings(ctx, incomplete, several=False), incomplete)


def variations(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """``KEY=VALUE,VALUE`` as ``--vary`` takes it."""
    return _offer(_settings(ctx, incomplete, several=True), incomplete)


def varied(ctx: click.Context, param: click.Parameter, incomplete: str) -> Offer:
    """The keys that ``--vary`` has been given."""
    return _offer((text.partition("=")[0] for text in ctx.params.get("varied") or ()), incomplete)


def _policies(incomplete: str) -> Iterator[str]:
    from gmemsim.gmem.policy import KEYS
    from gmemsim.gmem.presets import PRESETS

    name, assigned, definition = incomplete.partition("=")
    if not assigned:
        yield from PRESETS
        return
    before, _, part = definition.rpartition(",")
    begun = f"{name}={before}," if before else f"{name}="
    key, colon, _ = part.partition(":")
    if colon:
        yield from (f"{begun}{key}:{value}" for value in (KEYS[key].choices() if key in KEYS else ()))
        return
    if not before:
        yield from (f"{begun}{preset}" for preset in PRESETS)
    used = {said.partition(":")[0] for said in before.split(",")}
    yield from (f"{begun}{key}:" for key in KEYS if key not in used)


def _metrics(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Every path that goes one part beyond the last dot of ``incomplete``."""
    from gmemsim.results.metrics import parts_after

    path, dot, _ = incomplete.rpartition(".")
    for part, goes_on in parts_after(path, _guest_names(ctx)):
        yield f"{path}{dot}{part}{'.' if goes_on else ''}"


def _file(ctx: click.Context) -> str | None:
    """The command's FILE if it is one, and no pipe, which the command is to read and not the shell.

    Click leaves it among what is left over, since the option that is typed has no value yet.
    """
    from gmemsim.scenario.shipped import resolve

    given = ctx.params.get("file") or ctx.params.get("files") or ctx.args
    file = given if isinstance(given, str) else next((text for text in given if not text.startswith("-")), None)
    return file if file is not None and Path(resolve(file)).is_file() else None


def _root(ctx: click.Context) -> Node | None:
    """FILE as nodes, if it is a file that can be read."""
    from gmemsim.errors import InputError
    from gmemsim.scenario.format.yaml import Faults, read_file, read_yaml

    file = _file(ctx)
    if file is None:
        return None
    try:
        return read_yaml(read_file(file), Faults(file))
    except InputError:
        return None


def _guest_names(ctx: click.Context, *, groups: bool = False) -> tuple[str, ...]:
    """The names of FILE's guests; of a group of them the group's, if ``groups`` are wanted (default: each one's)."""
    from gmemsim.errors import InputError
    from gmemsim.scenario.format.load import load_scenario

    file = _file(ctx)
    if file is None:
        return ()
    try:
        scenario = load_scenario(file)
    except InputError:
        return ()
    return tuple(guest.name for guest in scenario.guests) if groups else scenario.guest_names


def _settings(ctx: click.Context, incomplete: str, *, several: bool) -> Iterator[str]:
    from gmemsim.scenario.format.suggest import keys_after, values_of

    key, assigned, value = incomplete.partition("=")
    root = _root(ctx)
    if not assigned:
        path, dot, _ = key.rpartition(".")
        yield from (f"{path}{dot}{word}" for word in keys_after(root, path.split(".") if dot else []))
        return
    separator = (";" if ";" in value or ":" in value else ",") if several else None
    begun, found, last = value.rpartition(separator) if separator else ("", "", value)
    before = f"{key}={begun}{found}"
    if key.rpartition(".")[2] == "policy":
        yield from (f"{before}{policy}" for policy in _policies(last))
    else:
        yield from (f"{before}{word}" for word in values_of(root, key.split(".")))
