# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of the command line that several commands have: sizes, policies, and what a registry offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gmemsim.cli import completion
from gmemsim.cli.options import Options
from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry
from gmemsim.units import parse_duration, parse_size

if TYPE_CHECKING:
    from gmemsim.scenario.format.settings import Setting

    TextType = click.ParamType[str]
    ChoiceType = click.Choice[str]
else:
    TextType = click.ParamType  # generic in newer versions of click only
    ChoiceType = click.Choice

ALLOWS = f"{__name__}.allows"
"""Where a command remembers whether --allow-python was given."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def size_parameter(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A size with a unit as bytes, ``None`` if it is not given; a usage error says what was found and expected."""
    return _with_unit(ctx, param, value, parse_size)


def duration_parameter(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A time with a unit as ns, ``None`` if it is not given; a usage error says what was found and expected."""
    return _with_unit(ctx, param, value, parse_duration)


def _with_unit(
    ctx: click.Context, param: click.Parameter, value: str | None, parse: Callable[[str], int]
) -> int | None:
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def preset_parameter(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The names of policy presets, each of which must exist."""
    from gmemsim.gmem.presets import PRESETS

    for name in value:
        if name not in PRESETS:
            hint = did_you_mean(name, PRESETS) or f", expected one of {', '.join(PRESETS)}"
            raise click.BadParameter(f"there is no policy {quote(name)}{hint}", ctx, param)
    return value


def _prices_parameter(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """Prices in ns by counter; one ``InputError`` with every text that is wrong, and every counter given twice."""
    from gmemsim.scenario.prices import read_price  # numbers of all accounts, which --help does not need

    with Options() as options:
        return options.by_key(param.opts[0], value, read_price, "price of")


def price_option(command: Decorated) -> Decorated:
    """``--price``: the parameter ``prices`` has what was given, in ns by counter of work."""
    return click.option(
        "--price",
        "prices",
        metavar="COUNTER=TIME",
        multiple=True,
        callback=_prices_parameter,
        shell_complete=completion.prices,
        help="Price one unit of this counter of work, above the profile and the scenario: rmp_updates=2us, repeat it."
        " `gmemsim costs default` lists the counters.",
    )(command)


def policy_option(words: str) -> Callable[[Decorated], Decorated]:
    """The option ``--policy`` of a command, whose help begins with ``words``; the parameter is ``policies``."""
    return click.option(
        "--policy",
        "policies",
        metavar="POLICY",
        multiple=True,
        shell_complete=completion.policies,
        help=f"{words}: PRESET, NAME=PRESET, or NAME=key:value,key:value…; repeat it.",
    )


class Choice(ChoiceType):
    """One of some words, as click's; a mistyped one is answered with the word that was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word itself, if it is one of them."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = did_you_mean(str(value), map(str, self.choices)).removeprefix(", ")
            self.fail(f"{error.message} {hint[:1].upper()}{hint[1:]}".strip(), param, ctx)


class RegistryChoice(TextType):
    """The name of a row of a registry, as it is when the command is called; a mistyped one is answered with the
    name that was probably meant.
    """

    name = "choice"

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help shows for a value."""
        return f"[{'|'.join(self.registry)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself, if there is such a row."""
        if value not in self.registry:
            hint = did_you_mean(value, self.registry).removeprefix(", ")
            known = ", ".join(map(repr, self.registry))
            self.fail(f"{quote(value)} is not one of {known}. {hint[:1].upper()}{hint[1:]}".strip(), param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The names that begin with what has been typed."""
        names = [name for name in self.registry if name.startswith(incomplete)]
        return [click.shell_completion.CompletionItem(name) for name in names]


class RegistryOption(click.Option):
    """An option whose value is the name of a row of ``registry``; ``{}`` in its help lists the rows in their words."""

    def __init__(self, *args: Any, registry: Registry[Any], **settings: Any) -> None:
        super().__init__(*args, **{"type": RegistryChoice(registry), **settings})
        self.registry = registry

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """As click's, with the list."""
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], record[1].replace("{}", _listing(self.registry)))


def _listing(registry: Registry[Any]) -> str:
    """``"jsonl, csv (for data frames); html (one page)"``: names with the same words share them."""
    names: dict[str, list[str]] = {}
    for name, row in registry.items():
        names.setdefault(row.words, []).append(name)
    return "; ".join(f"{', '.join(alike)} ({words})" for words, alike in names.items())


def _settings(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[Setting, ...]:
    """The settings in the values of an option; all that is wrong is said at once."""
    if not value and not ctx.meta.get(ALLOWS):
        return ()
    from gmemsim.scenario.format.settings import ALLOW_PYTHON, Setting, read_setting

    allowed = (Setting("", "", ALLOW_PYTHON),) if ctx.meta.get(ALLOWS) else ()
    with Options() as options:
        return (*allowed, *options.read(param.opts[0], value, lambda text: read_setting(text, param.opts[0])))


def set_option(command: Decorated) -> Decorated:
    """The options ``--set KEY=VALUE``, repeatable, and ``--allow-python``; the parameter ``settings`` holds both.

    Each is a ``Setting`` of ``scenario.format.settings``, for ``scenario.format.template``.
    """
    allow = click.option(
        "--allow-python",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember_python,
        help="Let FILE run the Python files that it names for policies.",
    )
    settings = click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_settings,
        shell_complete=completion.settings,
        help="Give this key of FILE another value, such as host.kernel_memory=64M, guests.vm0.memory=4G,"
        " guests.*.vcpus=8 or policy=staged; a policy is what --policy takes. Repeat it.",
    )
    return settings(allow(command))


def _remember_python(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[ALLOWS] = value


def format_options(registry: Registry[Any]) -> Callable[[Decorated], Decorated]:
    """An option for every format in ``registry``: ``--json``, …; the parameter ``form`` is the one that was given."""

    def decorate(command: Decorated) -> Decorated:
        for name, row in reversed(registry.items()):
            command = click.option(f"--{name}", "form", flag_value=name, help=row.help)(command)
        return command

    return decorate
