# SPDX-License-Identifier: GPL-2.0-or-later
"""Many variants of one scenario, run once each, in one table.

Theory of operation
-------------------
A :class:`Variation` is a key of the scenario's file and the values that it takes; the variants are all combinations.
A variant is made as text: the file's YAML with the key's value replaced, read again by the loader, so a value may be
anything that could stand in the file and is checked as if it did.  The scenario's expectations are left out.  All
variants, and the metrics asked of them, are checked before the first is run.

A synthetic workload is one of many that its seed might have made, so one run of it is no answer: :func:`fold` turns the
rows that differ only in one key, such as the seed, into one with mean and standard deviation.

Text is also what travels to another process or machine: :func:`sweep` takes any ``concurrent.futures.Executor``, one of
Dask's included, and gets back only numbers.

What may live here: how variants are made and run.  How a table of them is shown is in the reports.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from statistics import fmean, stdev
from typing import Any, Final

import attrs
import yaml

from gmemsim.errors import Fault, InputError, SimulationRefused
from gmemsim.gmem.presets import read_policy
from gmemsim.messages import quote, shown
from gmemsim.results.metrics import metric_faults, metric_value
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.format.yaml import Faults, ListNode, MapNode, Node, ScalarNode, read_yaml
from gmemsim.sim.run import run
from gmemsim.studies.spread import Lost, results_of

MOST_VARIANTS: Final = 10_000
"""Variants of a sweep: hours of work, and more than a table is read for."""

EVERY: Final = "*"
"""In a key: every item of a list."""

POLICY: Final = "policy"
"""The key that stands for the policy of every guest, whose values may be names and policies as text."""

MOST_VALUES: Final = 10_000
"""Values that one value of a key may consist of, aliases followed: far more than a scenario needs in one place."""

_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})", re.ASCII)
_EXPECTATIONS = ("expect", "expect_error")


class _Dumper(yaml.SafeDumper):
    """Writes scalars as they stand in a file: text that looks like a number is not quoted."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute


@attrs.frozen
class Variation:
    """The values that one key takes, as text of the file: ``host.kernel_memory`` and ``("64M", "unlimited")``."""

    key: str
    values: tuple[str, ...]


@attrs.frozen
class Point:
    """One variant: its values in the order of the variations, and the scenario's text."""

    values: tuple[str, ...]
    text: str = attrs.field(repr=False)


@attrs.frozen
class SweepRow:
    """The result of a variant: the metrics' values, or why it could not be simulated.

    A row that :func:`fold` has made holds means, the ``deviations`` (``None`` of a single run) and over how many
    ``runs`` they are; refused variants are not among these.
    """

    values: tuple[str, ...]
    results: tuple[float | None, ...]
    refused: str | None = None
    deviations: tuple[float | None, ...] = ()
    runs: int = 1


@attrs.frozen
class Sweep:
    """A table: a row for every variant.  ``partial``: some variants have not been run.

    ``folded`` is the variation over which rows are means; it is not among ``variations`` (default: none).
    """

    title: str
    variations: tuple[Variation, ...]
    metrics: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    partial: bool = False
    folded: Variation | None = None


def fold(sweep: Sweep, key: str) -> Sweep:
    """``sweep`` with one row in place of those that differ only in ``key``: mean and sample standard deviation.

    ``ValueError`` if the sweep does not vary ``key``.
    """
    keys = [variation.key for variation in sweep.variations]
    place = keys.index(key)
    groups: dict[tuple[str, ...], list[SweepRow]] = {}
    for row in sweep.rows:
        groups.setdefault(row.values[:place] + row.values[place + 1 :], []).append(row)
    rest = sweep.variations[:place] + sweep.variations[place + 1 :]
    rows = tuple(_mean(values, group) for values, group in groups.items())
    return attrs.evolve(sweep, variations=rest, rows=rows, folded=sweep.variations[place])


def _mean(values: tuple[str, ...], rows: Sequence[SweepRow]) -> SweepRow:
    """One row of several; if none of them was simulated, why."""
    run = [row for row in rows if row.refused is None]
    if not run:
        nothing = (None,) * len(rows[0].results)
        return SweepRow(values, nothing, rows[0].refused, nothing, 0)
    columns = [
        [result for result in column if result is not None]
        for column in zip(*(row.results for row in run), strict=True)
    ]
    deviations = tuple(stdev(column) if len(column) > 1 else None for column in columns)
    return SweepRow(values, tuple(map(fmean, columns)), None, deviations, len(run))


def read_variation(text: str) -> Variation:
    """The variation that ``text``, ``KEY=VALUE,VALUE…``, says; ``0..9`` stands for ten numbers.  Else ``ValueError``.

    Commas within brackets or braces separate nothing.

    >>> read_variation("guests.*.policy.split=staged,{ladder: [18, 12, 6, 0]}").values
    ('staged', '{ladder: [18, 12, 6, 0]}')
    """
    key, assigned, listed = text.partition("=")
    if not assigned or not key or not listed:
        raise ValueError(
            f"found {quote(text)}, expected KEY=VALUE,VALUE… such as host.memdesc=struct-page,struct-page-8"
        )
    values: list[str] = []
    for value in _separated(listed, ";" if key == POLICY and ";" in listed else ","):
        numbers = _RANGE.fullmatch(value)
        values += [value] if numbers is None else _counted(value, int(numbers[1]), int(numbers[2]))
        if len(values) > MOST_VARIANTS:
            raise ValueError(f"found more than {MOST_VARIANTS:,} values in {quote(text)}, expected fewer")
    if "" in values:
        raise ValueError(f"found an empty value in {quote(text)}, expected one between any two commas")
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"found {quote(twice[0])} twice, expected each value once")
    return Variation(key, tuple(values))


def _counted(text: str, first: int, last: int) -> list[str]:
    """The numbers of the range ``text``, from ``first`` to ``last``."""
    if last < first:
        raise ValueError(f"found the empty range {quote(text)}, expected numbers that ascend")
    if last - first >= MOST_VARIANTS:
        raise ValueError(f"found {quote(text)}, expected at most {MOST_VARIANTS:,} numbers")
    return [str(number) for number in range(first, last + 1)]


def _separated(text: str, separator: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def points(text: str, source: str, variations: Sequence[Variation], metrics: Sequence[str] = ()) -> list[Point]:
    """Every variant of the scenario in ``text``, which must be sound; the first of ``variations`` changes slowest.

    ``source`` is the file's name, for messages.  :class:`InputError` if a variant is not sound, or if a summary of one
    will not have all ``metrics`` (default: none).
    """
    combinations = math.prod(len(variation.values) for variation in variations)
    if combinations > MOST_VARIANTS:
        raise InputError([Fault(source, 0, 0, f"found {combinations:,} variants, expected at most {MOST_VARIANTS:,}")])
    root = read_yaml(text.encode(), Faults(source))
    assert root is not None, "a scenario has a root"
    found: list[Point] = []
    faults: dict[str, Fault] = {}
    for values in itertools.product(*(variation.values for variation in variations)):
        variant = f"{source} with {_words(variations, values)}"
        try:
            data = _data(root)
            for variation, value in zip(variations, values, strict=True):
                _set(data, variation.key, value)
            made = yaml.dump(_without_expectations(data), Dumper=_Dumper, allow_unicode=True, sort_keys=False)
            guests = parse_scenario(made, source=source).guest_names
            for fault in metric_faults(metrics, guests, variant):
                faults.setdefault(fault.message, fault)
        except InputError as error:
            for fault in error.faults:
                faults.setdefault(fault.message, Fault(variant, 0, 0, fault.message))
        except ValueError as error:
            faults.setdefault(str(error), Fault(variant, 0, 0, str(error)))
        else:
            found.append(Point(values, made))
    if faults:
        raise InputError(faults.values())
    return found


def _words(variations: Sequence[Variation], values: Sequence[str]) -> str:
    """What a message calls the variant with these ``values``."""
    pairs = zip(variations, values, strict=True)
    return " ".join(f"{shown(variation.key)}={shown(value)}" for variation, value in pairs)


def _data(node: Node) -> Any:
    """``node`` as lists and dictionaries of text, each value its own however often an alias names it."""
    if isinstance(node, MapNode):
        return {key.text: _data(value) for key, value in node.pairs}
    if isinstance(node, ListNode):
        return [_data(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.text


def _value(text: str) -> Any:
    """The value that ``text`` is in a scenario file, as :func:`_data`; ``ValueError`` if it is none."""
    faults = Faults("")
    node = read_yaml(text.encode("utf-8", "surrogatepass"), faults)
    if node is None or len(faults) or node.values > MOST_VALUES:
        raise ValueError(f"found {quote(text)}, expected a value as in a scenario file")
    return _data(node)


def _set(data: Any, key: str, value: str) -> None:
    """Replace the value at ``key``, or add it to a mapping; ``ValueError`` if there is no such place."""
    if key == POLICY:
        key, new = f"guests.{EVERY}.policy", _scalars_as_text(read_policy(value)[1].as_file())
    else:
        new = _value(value)
    *path, last = key.split(".")
    places = [data]
    for part in path:
        places = [below for place in places for below in _below(place, part, key)]
    for place in places:
        if isinstance(place, list):
            place[_index(place, last, key)] = new
        elif isinstance(place, dict):
            place[last] = new
        else:
            raise ValueError(f"found nothing at {quote(key)}, expected a key of the scenario")


def _below(place: Any, part: str, key: str) -> list[Any]:
    """What ``part`` of ``key`` leads to from ``place``; a missing mapping is made."""
    if isinstance(place, dict):
        return [place.setdefault(part, {})]
    if isinstance(place, list):
        return place if part == EVERY else [place[_index(place, part, key)]]
    raise ValueError(f"found nothing at {quote(key)}, expected a key of the scenario")


def _index(items: list[Any], part: str, key: str) -> int:
    """Which item ``part`` names, by its number or by its ``name``."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdigit() and int(part) < len(items):
        return int(part)
    raise ValueError(f"found {quote(part)} in {quote(key)}, expected a name, {EVERY} or a number below {len(items)}")


def _scalars_as_text(value: Any) -> Any:
    """``value`` as YAML's base loader reads it: every scalar is text."""
    if isinstance(value, dict):
        return {key: _scalars_as_text(item) for key, item in value.items()}
    return [_scalars_as_text(item) for item in value] if isinstance(value, list) else str(value)


def _without_expectations(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_expectations(value) for key, value in data.items() if key not in _EXPECTATIONS}
    return [_without_expectations(item) for item in data] if isinstance(data, list) else data


def evaluate(shared: tuple[str, tuple[str, ...]], point: Point) -> SweepRow:
    """Run the variant ``point``; ``shared`` are the scenario's source (the file's name, for messages) and the metrics.

    Whatever it needs is in its arguments, so it may run in another process.  A variant whose guests cannot be created
    is a row that says so.
    """
    source, metrics = shared
    try:
        summary: Mapping[str, Any] = run(parse_scenario(point.text, source=source)).summary
    except SimulationRefused as error:
        return SweepRow(point.values, (None,) * len(metrics), str(error))
    return SweepRow(point.values, tuple(metric_value(summary, metric) for metric in metrics))


def sweep(
    variants: Sequence[Point],
    source: str,
    metrics: Sequence[str],
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, SweepRow]]:
    """Run all ``variants`` of the scenario ``source`` (the file's name, for messages): places and rows of ``metrics``.

    ``executor`` (default: none, one after the other here) runs them, a Dask client's too.  Rows come as they are done,
    each with the place of its variant, until ``stop()`` is true (default: never).
    """
    for place, row in results_of(evaluate, (source, tuple(metrics)), variants, executor, stop):
        if isinstance(row, Lost):
            row = SweepRow(variants[place].values, (None,) * len(metrics), row.message)
        yield place, row
