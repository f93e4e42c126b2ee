# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference, made of the registries and tables that the program itself reads; nothing is listed by hand.

What may live here: one function a page, which walks a registry and returns Markdown.  The frame of a page, its first
words, stands in docs/reference/.  Pages of Python and of commands are in :mod:`tests.docs.interface`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from sphinx.pycode import ModuleAnalyzer

from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import GENERATIONS, ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import PROFILES, Price
from gmemsim.host.tallies import Tally
from gmemsim.host.work import COUNTERS, PHASES
from gmemsim.reports import export
from gmemsim.reports.figures import FIGURES
from gmemsim.results.keys import Keys, Number, Variable
from gmemsim.results.summary import GUEST_PARTS, PARTS, Part, account_keys
from gmemsim.scenario.format.jsonschema import json_schema
from gmemsim.scenario.format.kinds import (
    OWN_POLICY,
    Entry,
    Inner,
    Items,
    Kind,
    PolicyRule,
    Pools,
    Prices,
    Record,
    Records,
    Scalar,
)
from gmemsim.scenario.format.kinds import (
    table as keys_of,
)
from gmemsim.scenario.format.load import EXPECT, ROOT
from gmemsim.scenario.generators import COMPOSITES, GENERATORS
from gmemsim.scenario.hostspec import HostSpec, NodeSpec
from gmemsim.scenario.model import STEPS, GuestSpec, Step, step_keys
from tests.docs.interface import commands, exit_codes, fixtures, python_names
from tests.docs.markdown import code, escaped, first, inline, prose, sentence, table
from tests.docs.pictures import shown
from tests.readme import ROOT as REPOSITORY

NO_DEFAULT = "–"

# -- scenario files --------------------------------------------------------------------------------------------------


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of scenario files."""
    return json_schema()


def takes(kind: Kind) -> str:
    """What a value of ``kind`` is written like, in words."""
    match kind:
        case Scalar():
            return escaped(kind.expected)
        case PolicyRule():
            parameter = f"{kind.parameter.name}: {kind.of.parameter.shown}" if kind.of.parameter else ""
            form = "a list" if kind.parameter.many else "a number"
            return f"one of {', '.join(map(code, kind.of.rules))}, or `{{{kind.parameter.name}: …}}` with {form}" + (
                f" ({escaped(parameter)})" if kind.parameter.shown else ""
            )
        case Pools():
            return "numbers by size, `{1G: 4}`"
        case Prices():
            return "prices by counter, `{rmp_updates: 250ns}`"
        case Records():
            return f"a list; each item {inline(kind.what)}"
        case Record():
            return inline(kind.what)
        case Inner():
            return "a list of generators"
        case Items():
            return "a list"
        case _:
            return "a path, [see there](metrics.md)"


def default(entry: Entry, properties: Mapping[str, Any]) -> str:
    """The default of ``entry`` as the schema has it."""
    told = properties.get(entry.key, {})
    if entry.required:
        return "**required**"
    if "default" not in told:
        return NO_DEFAULT
    value = told["default"]
    return code(value if isinstance(value, str) else json.dumps(value))


def key_table(entries: Mapping[str, Entry], properties: Mapping[str, Any]) -> str:
    """The table of the keys ``entries``, whose schema is ``properties``."""
    return table(
        ("key", "what it is", "value", "default"),
        (
            (code(key), sentence(inline(entry.kind.doc)), takes(entry.kind), default(entry, properties))
            for key, entry in entries.items()
        ),
    )


def scenario_keys() -> str:
    """Every key of a file but those of steps."""
    root = schema()["properties"]
    guest = root["guests"]["items"]["properties"]
    host = root["host"]["properties"]
    policies = guest["policy"]["anyOf"]
    parts: list[tuple[str, Mapping[str, Entry], Mapping[str, Any]]] = [
        ("The file", ROOT, root),
        ("`host`", keys_of(HostSpec), host),
        ("`host.nodes`", keys_of(NodeSpec), host["nodes"]["items"]["properties"]),
        ("`guests`", keys_of(GuestSpec), guest),
        ("`policy` of a guest", keys_of(Policy), policies[0]["properties"]),
        ("`policy` of one's own", OWN_POLICY, policies[1]["properties"]),
        ("`expect`", EXPECT, root["expect"]["items"]["properties"]),
    ]
    made = [f"## {heading}\n\n{key_table(entries, properties)}" for heading, entries, properties in parts]
    return "\n\n".join(made)


def steps() -> str:
    """Every step of a workload with its keys."""
    schemas = {next(iter(it["properties"])): it for it in schema()["properties"]["workload"]["items"]["oneOf"]}
    groups: list[tuple[str, Iterable[type[Step]]]] = [
        ("Plain steps", STEPS),
        ("Generators", GENERATORS.rows()),
        ("Steps made of others", COMPOSITES.rows()),
    ]
    made: list[str] = []
    records: dict[type[Any], tuple[Record | Records, dict[str, Any]]] = {}
    for heading, group in groups:
        made.append(f"## {heading}")
        for step in group:
            made.append(f"### `{step.key}`\n\n{step_words(step)}")
            entries = step_keys(step)
            made.append(key_table(entries, schemas[step.key]["properties"][step.key]["properties"]))
            records |= {
                entry.kind.of: (entry.kind, schemas[step.key]["properties"][step.key]["properties"][key])
                for key, entry in entries.items()
                if isinstance(entry.kind, Record | Records)
            }
    made.append("## Values of several steps")
    for of, (kind, told) in records.items():
        properties = told.get("items", told)["properties"]
        made.append(
            f"### {sentence(kind.what).rstrip('.')}\n\n{first(of.__doc__)}\n\n{key_table(keys_of(of), properties)}"
        )
    return "\n\n".join(made)


def step_words(step: type[Step]) -> str:
    """What a step is: the docstring of its class, and of its module where that is about it alone."""
    words = prose(step.__doc__)
    module = sys.modules[step.__module__].__doc__ or ""
    if module.startswith(f"``{step.key}``"):
        words += "\n\n" + sentence(prose(module).partition(": ")[2])
    return words


# -- the summary -----------------------------------------------------------------------------------------------------

UNITS = {"bytes": "bytes", "count": "count", "ns": "ns"}


def leaves(keys: Keys, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Number]]:
    """Every path that ends at a number."""
    if isinstance(keys, Number):
        yield ".".join(path), keys
        return
    for key, below in (keys() if callable(keys) else keys).items():
        yield from leaves(below, (*path, placeholder(key) if isinstance(key, Variable) else key))


def placeholder(key: Variable) -> str:
    """What stands for a key that depends on the run: its example."""
    return key.expected.rpartition(" ")[2]


def part_words(part: Part) -> str:
    """What a part of the summary is."""
    return part.words or first(part.fill.__doc__)


def quality(number: Number) -> str:
    """How a number is had, and what it depends on."""
    return ("≈ estimate" if number.estimate else "counted") + (", of the workload alone" if number.demand else "")


def metrics() -> str:
    """Every metric."""
    made = []
    for name, part in PARTS.items():
        words = sentence(part_words(part))
        made.append(f"## `{name}`\n\n{words}")
        if name == "accounts":
            made.append("`accounts.` may be left out. Of each account ([what they are](accounts.md)) and of `total`:")
            made.append(tally())
            rows = [(f"`{path}`", number.unit, quality(number)) for path, number in leaves(account_keys)]
            made.append(table(("metric", "unit", "how"), rows))
        elif name == "guests":
            made.append(guest_metrics())
        elif part.keys is not None:
            paths = leaves(part.keys, (name,))
            rows = [(f"`{path}`", number.unit, quality(number)) for path, number in paths]
            made.append(table(("metric", "unit", "how"), rows))
    return "\n\n".join(made)


def tally() -> str:
    """What is known of an account."""
    numbers = next(iter(account_keys().values()))
    assert isinstance(numbers, Mapping)
    docs = {
        key: getattr(Tally, key).__doc__ if isinstance(getattr(Tally, key, None), property) else None
        for key in map(str, numbers)
    }
    words = {"live": "Objects live now.", "freed": "Objects given back since the start."}
    return table(("number", "what"), ((code(key), words.get(str(key)) or first(docs[str(key)])) for key in numbers))


def guest_metrics() -> str:
    """What is told of one guest; paths that the whole has as well are not repeated."""
    rows = []
    for name, part in GUEST_PARTS.items():
        numbers = list(leaves(part.keys, (name,))) if part.keys is not None else []
        known = name in PARTS and numbers
        example = (
            f"`guests.NAME.{name}`"
            if known or not numbers
            else ", ".join(f"`guests.NAME.{path}`" for path, _ in numbers)
        )
        units = "as above" if known else ", ".join(dict.fromkeys(number.unit for _, number in numbers)) or "no metric"
        rows.append((example, sentence(part_words(part)), units))
    return "`NAME` may be the guest's number, from 0.\n\n" + table(("path", "what", "unit"), rows)


def accounts() -> str:
    """Every account."""
    rows = (
        (
            code(name),
            sentence(account.words),
            "a base page" if account.object_bytes is None else f"{account.object_bytes} bytes",
            "≈ estimate" if account.estimate else "counted",
            sentence(escaped(account.charged)) if account.charged else "no",
        )
        for name, account in ACCOUNTS.items()
    )
    return table(("account", "what it holds", "an object", "how", "charged to the guest's memcg"), rows)


# -- policies --------------------------------------------------------------------------------------------------------


def policies() -> str:
    """Presets with their parts, the rules of every key, and what a failure leaves by ordering."""
    return "\n\n".join([named_policies(), policy_keys(), failures_by_ordering()])


def named_policies() -> str:
    """The presets, each with what it has that is not usual."""
    usual = Policy().as_file()

    def parts(policy: Policy) -> str:
        differing = (item for item in policy.as_file().items() if item[1] != usual.get(item[0]))
        return ", ".join(code(as_yaml(item)) for item in differing)

    rows = ((code(name), sentence(escaped(it.description)), parts(it.policy)) for name, it in PRESETS.items())
    told = ", ".join(code(as_yaml(item)) for item in usual.items())
    return "\n\n".join(
        (
            "## Named policies",
            table(("policy", "what it does", "its parts that are not the default"), rows),
            f"The default, which is `{next(iter(PRESETS))}`: {told}.",
        )
    )


def policy_keys() -> str:
    """The rules of every key."""
    made = ["## What each key may say"]
    for name, key in KEYS.items():
        rows = [(code(rule), sentence(inline(row.words))) for rule, row in key.rules.items()]
        if key.parameter is not None:
            rows.append((code(key.example), sentence(inline(key.parameter.words))))
        made.append(f"### `{name}`\n\n{sentence(inline(key.doc))}\n\n" + table(("value", "what it means"), rows))
    return "\n\n".join(made)


def failures_by_ordering() -> str:
    """What each failing step leaves, by ordering."""
    made = ["## What a conversion that fails leaves, by ordering"]
    for name, ordering in ORDERINGS.items():
        kernel = GENERATIONS[ordering.generation.name]
        rows = [(escaped(step), sentence(escaped(left))) for step, left in ordering.failures]
        words = f"{sentence(ordering.words)} Generation {kernel.name}: {sentence(escaped(kernel.words))}"
        made.append(f"### Failures under `{name}`\n\n{words}")
        made.append(table(("what fails", "what that leaves"), rows))
    return "\n\n".join(made)


def as_yaml(item: tuple[str, Any]) -> str:
    """``key: value`` as a file has it."""
    key, value = item
    return f"{key}: {value if isinstance(value, str) else json.dumps(value)}"


# -- prices ----------------------------------------------------------------------------------------------------------


def counter_words() -> dict[str, str]:
    """What every counter of work counts: the string below it in its class."""
    found = ModuleAnalyzer.for_module("gmemsim.host.work").find_attr_docs()
    return {name: inline(" ".join(found["Work", name]).strip()) for name in COUNTERS}


def price(row: Price) -> tuple[str, str]:
    """A price and its band, in ns."""
    if row.ns is None:
        return "not priced", ""
    if row.ns == 0:
        return "0", ""
    band = f"{row.ns / row.within:,.4g} to {row.ns * row.within:,.4g}" if row.within > 1 else ""
    return f"{row.ns:,.4g}", band


def costs() -> str:
    """Counters of work, and every price of every profile with its source and band."""
    words = counter_words()
    made = [
        "## Counters of work",
        table(("counter", "phase", "what it counts"), ((code(it), PHASES[it], words[it]) for it in COUNTERS)),
    ]
    for name, profile in PROFILES.items():
        rows = []
        for counter in COUNTERS:
            row = profile.figures[counter]
            figure, band = price(row)
            stretched = "extrapolated" if row.ns and row.extrapolated else ""
            rows.append((code(counter), figure, band, stretched, sentence(escaped(row.source))))
        made.append(f"## Profile `{name}`\n\n{sentence(escaped(profile.description))}")
        if profile.leaves_out:
            made.append(f"Left out: {escaped(profile.leaves_out)}.")
        made.append(table(("counter", "≈ ns", "from … to", "", "source"), rows))
    return "\n\n".join(made)


# -- figures and formats ---------------------------------------------------------------------------------------------


def figures() -> str:
    """Every figure of a run."""
    rows = (
        (
            code(name),
            sentence(row.words),
            sentence(row.caption),
            "" if row.needs is None else code(row.needs.rpartition(":")[2]),
        )
        for name, row in FIGURES.items()
    )
    made = [table(("figure", "what it shows", "its caption", "what must watch the run"), rows)]
    for command, picture in shown():
        if picture.exists():
            name = command if picture.stem.endswith(".study") else picture.stem
            made.append(f"## `{name}`\n\n`gmemsim {command}` draws:\n\n![{name}](/{picture.relative_to(REPOSITORY)})")
    return "\n\n".join(made)


def formats() -> str:
    """Every format of a run and of the studies."""
    made = [
        "## `gmemsim run`",
        table(
            ("format", "files", "what it is", "needs"),
            (
                (
                    code(name),
                    ", ".join(code(f"{row.stem}{part}{row.suffix}") for part in row.parts),
                    sentence(row.words),
                    code(f"gmemsim[{row.extra}]") if row.extra else "",
                )
                for name, row in export.EXPORTS.items()
            ),
        ),
    ]
    for registry, rows in sorted(vars(export).items()):
        if registry.endswith("_EXPORTS"):
            made.append(f"## `gmemsim {registry.removesuffix('_EXPORTS').lower()}`")
            made.append(
                table(
                    ("format", "file", "what it is"),
                    ((code(name), code(row.file), sentence(row.help)) for name, row in rows.items()),
                )
            )
    return "\n\n".join(made)


PAGES: dict[str, Callable[[], str]] = {
    "scenario": scenario_keys,
    "steps": steps,
    "metrics": metrics,
    "accounts": accounts,
    "policies": policies,
    "costs": costs,
    "figures": figures,
    "formats": formats,
    "commands": commands,
    "exit-codes": exit_codes,
    "python": python_names,
    "fixtures": fixtures,
}
"""What takes the place of ``<!-- generated: NAME -->``."""
