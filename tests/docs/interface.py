# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference of commands (from click) and of Python (from docstrings)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

import gmemsim
import gmemsim.testing
from gmemsim.cli import exits
from gmemsim.cli.main import COMMANDS
from gmemsim.cli.main import gmemsim as everything
from gmemsim.testing import plugin
from tests.docs.markdown import code, escaped, first, inline, sentence, table

CODES = re.compile(r"^ *(?P<rule>=+ =+)\n(?P<body>.*?)^ *(?P=rule)$", re.MULTILINE | re.DOTALL)


def command_tree(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands below ``group``, which is called ``name``, with their whole names."""
    context = click.Context(group, info_name=name)
    for below in group.list_commands(context):
        command = group.get_command(context, below)
        assert command is not None
        yield f"{name} {below}", command
        if isinstance(command, click.Group):
            yield from command_tree(command, f"{name} {below}")


def commands() -> str:
    """Every command with its options."""
    made = [help_text(everything)]
    for section in dict.fromkeys(row.section for row in COMMANDS.rows()):
        rows = [
            (f"[`{name}`](#gmemsim-{name})", sentence(escaped(row.words)))
            for name, row in COMMANDS.items()
            if row.section == section
        ]
        made.append(f"**{section}**\n\n" + table(("command", "what it does"), rows))
    for name, command in command_tree(everything, "gmemsim"):
        context = click.Context(command, info_name=name)
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        made.append(f"## `{name}`\n\n```text\n{usage}\n```\n\n{help_text(command)}")
        made.append(table(("option", "what it does"), option_rows(command, context)))
    return "\n\n".join(made)


def help_text(command: click.Command) -> str:
    """The help of a command: what must not be wrapped there is a block here."""
    made = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        head, marked, block = paragraph.partition("\b\n")
        if marked:
            title, _, rest = block.partition("\n")
            made.append(
                f"{head}{title}\n\n```text\n{inspect.cleandoc(rest)}\n```"
                if title.endswith(":")
                else f"```text\n{block}\n```"
            )
        else:
            made.append(escaped(" ".join(paragraph.split())))
    return "\n\n".join(made)


def option_rows(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Each option as the help tells it."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            option, words = record
            yield code(option), sentence(escaped(words))


def exit_codes() -> str:
    """The table in the docstring of :mod:`gmemsim.cli.exits`."""
    found = CODES.search(exits.__doc__ or "")
    assert found is not None
    rows: list[tuple[str, str]] = []
    for line in found["body"].splitlines():
        number, words = line[:7].strip(), line[7:].strip()
        if number:
            rows.append((number, words))
        else:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {words}")
    return table(
        ("code", "what it means"),
        ((code(number), sentence(inline(words))) for number, words in rows),
    )


def python_names() -> str:
    """The public names of ``import gmemsim`` and of ``gmemsim.testing``, for autodoc."""
    made = []
    for module in (gmemsim, gmemsim.testing):
        made.append(f"## `{module.__name__}`")
        for name in module.__all__:
            kind = "autoclass" if inspect.isclass(getattr(module, name)) else "autofunction"
            members = "\n   :members:" if kind == "autoclass" else ""
            made.append(f"### `{name}`\n\n```{{eval-rst}}\n.. {kind}:: {module.__name__}.{name}{members}\n```")
    return "\n\n".join(made)


def fixtures() -> str:
    """The fixtures of the plugin for pytest."""
    found: dict[str, Any] = {name: it for name, it in vars(plugin).items() if name.startswith("gmem_")}
    return table(("fixture", "what it is"), ((code(name), first(it.__doc__)) for name, it in found.items()))
