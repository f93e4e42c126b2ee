# SPDX-License-Identifier: GPL-2.0-or-later
"""Many variants of one scenario, run once each, in one table.

Theory of operation
-------------------
A :class:`Variation` is a key of the scenario's file and the values that it takes; the points of a sweep are all
combinations.  A :class:`Plan` is the scenario's text, its variations and the metrics that are asked for.  A point is a
*place* in the plan, a number: the values follow from it, so a sweep of a million points is no larger than its plan, and
the plan travels to a worker once (``studies.spread``).  The worker parses the text once and puts each point's values
into its nodes (``scenario.format.template``); a value may be anything that could stand in the file and is checked as if
it did.  The scenario's expectations are left out.

What can be checked before the first run is (:meth:`Plan.check`): all points of a small plan, every value once of a
large one.  A point that cannot be simulated all the same is a row that says why.

What may live here: how variants are made and run.  What rows add up to is in ``studies.gather``; how a table of them is
shown and kept is in the reports.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import Any, Final

import attrs

from gmemsim.errors import NO_MEMORY, Fault, InputError, SimulationRefused
from gmemsim.messages import quote
from gmemsim.results.metrics import metric_faults, metric_value
from gmemsim.scenario.format.settings import POLICY, Setting, shown_settings
from gmemsim.scenario.format.template import Template
from gmemsim.sim.run import run
from gmemsim.studies.spread import Lost, results_of

MOST_POINTS: Final = 10_000_000
"""Points of a sweep: days of work on a large machine."""

MOST_CHECKED: Final = 1_000
"""Points that are checked before the first run: of a larger sweep every value once, and not more than these."""

_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})", re.ASCII)


@attrs.frozen
class Variation:
    """``values`` that one ``key`` takes, as text of the file: ``host.kernel_memory`` and ``("64M", "unlimited")``."""

    key: str
    values: tuple[str, ...]


class Plan:
    """What a sweep is of: the scenario in ``text``, the ``variations``, and the ``metrics`` (default: none) of every
    point.

    ``source`` is the file's name, for messages and for files beside it.  ``settings`` (default: none) are put into the
    text before the variations' values.  ``len()`` is the number of points; the first variation changes slowest.
    """

    def __init__(
        self,
        text: bytes | str,
        source: str,
        variations: Sequence[Variation],
        metrics: Sequence[str] = (),
        settings: Sequence[Setting] = (),
    ) -> None:
        self.text = text
        self.source = source
        self.variations = tuple(variations)
        self.metrics = tuple(metrics)
        self.settings = tuple(settings)
        self._length = math.prod(len(variation.values) for variation in variations)

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        """What travels: nodes are made where they are needed."""
        return {name: value for name, value in self.__dict__.items() if name != "template"}

    @cached_property
    def template(self) -> Template:
        """The scenario as nodes.  :class:`InputError` if the text is no YAML."""
        return Template(self.text, self.source, expectations=False)

    def values(self, place: int) -> tuple[str, ...]:
        """The values of the point at ``place``, from 0, in the order of the variations.  O(variations)."""
        found = []
        for variation in reversed(self.variations):
            place, digit = divmod(place, len(variation.values))
            found.append(variation.values[digit])
        return tuple(reversed(found))

    def settings_of(self, place: int) -> tuple[Setting, ...]:
        """What is put into the scenario for the point at ``place``."""
        pairs = zip(self.variations, self.values(place), strict=True)
        return (*self.settings, *(Setting(variation.key, value) for variation, value in pairs))

    def check(self) -> None:
        """:class:`InputError` if a point is not sound, or if a summary of one will not have all metrics.

        All points are checked if they are :data:`MOST_CHECKED` at most; else every value beside the first ones of
        the other keys, as far as that number goes.
        """
        if len(self) > MOST_POINTS:
            message = f"found {len(self):,} variants, expected at most {MOST_POINTS:,}"
            raise InputError([Fault(self.source, 0, 0, message)])
        faults: dict[str, Fault] = {}
        for place in itertools.islice(self._worth_checking(), MOST_CHECKED):
            variant = f"{self.source} with {' '.join(shown_settings(self.settings_of(place)))}"
            try:
                guests = self.template.scenario(self.settings_of(place)).guest_names
                found = metric_faults(self.metrics, guests, variant)
            except InputError as error:
                found = list(error.faults)
            for fault in found:
                faults.setdefault(fault.message, Fault(variant, 0, 0, fault.message))
        if faults:
            raise InputError(faults.values())

    def _worth_checking(self) -> Iterator[int]:
        """Places of points that show what may be wrong."""
        if len(self) <= MOST_CHECKED:
            yield from range(len(self))
            return
        yield 0
        step = len(self)
        for variation in self.variations:
            step //= len(variation.values)
            yield from range(step, step * len(variation.values), step)


@attrs.frozen
class SweepRow:
    """The result of a point: its ``values`` of the variations, and in ``results`` those of the metrics.

    ``refused`` says why it could not be simulated (default: it could).  ``made`` says what made it: the seed, the
    kernel generations and the cost profile (default, and where it was refused: nothing).  A row of ``gather.Folding``
    holds means, the ``deviations``, the ``intervals`` of the means (``None`` of a single run), and over how many
    ``runs`` they are; refused points are not among these.
    """

    values: tuple[str, ...]
    results: tuple[float | None, ...]
    refused: str | None = None
    deviations: tuple[float | None, ...] = ()
    intervals: tuple[tuple[float, float] | None, ...] = ()
    runs: int = 1
    made: tuple[str, ...] = ()


MADE: Final = ("seed", "generation", "costs")
"""What :attr:`SweepRow.made` says."""


@attrs.frozen
class Sweep:
    """A table: a row for every point.  ``partial``: some points have not been run.

    ``folded`` is the variation over which rows are means; it is not among ``variations`` (default: none).  ``total``
    rows there are, of which ``rows`` may be the first ones only; ``refusals`` counts reasons.  ``made`` is what made
    the table, as a summary says, keys that are varied aside.  ``title`` is the scenario's, ``metrics`` are the columns
    of results.
    """

    title: str
    variations: tuple[Variation, ...]
    metrics: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    partial: bool = False
    folded: Variation | None = None
    total: int = attrs.field()
    refusals: Mapping[str, int] = attrs.field()
    made: Mapping[str, Any] = attrs.field(factory=dict)

    @total.default
    def _all(self) -> int:
        return len(self.rows)

    @refusals.default
    def _reasons(self) -> Mapping[str, int]:
        return Counter(row.refused for row in self.rows if row.refused)


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
        if len(values) > MOST_POINTS:
            raise ValueError(f"found more than {MOST_POINTS:,} values in {quote(text)}, expected fewer")
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
    if last - first >= MOST_POINTS:
        raise ValueError(f"found {quote(text)}, expected at most {MOST_POINTS:,} numbers")
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


def evaluate(plan: Plan, place: int) -> SweepRow:
    """Run the point at ``place`` of ``plan``.

    Whatever it needs is in its arguments, so it may run in another process.  A point that is no scenario, whose guests
    cannot be created, or for which the machine has not enough memory, is a row that says so.
    """
    values = plan.values(place)
    try:
        scenario = plan.template.scenario(plan.settings_of(place))
        summary: Mapping[str, Any] = run(scenario).summary
        results = tuple(metric_value(summary, metric) for metric in plan.metrics)
    except InputError as error:
        return _refused(plan, values, "; ".join(map(str, error.faults)))
    except SimulationRefused as error:
        return _refused(plan, values, str(error))
    except MemoryError:
        return _refused(plan, values, NO_MEMORY)
    provenance = summary["provenance"]
    made = (str(scenario.seed), "".join(provenance["generation"]), str(provenance["costs"]))
    return SweepRow(values, results, made=made)


def _refused(plan: Plan, values: tuple[str, ...], why: str) -> SweepRow:
    return SweepRow(values, (None,) * len(plan.metrics), why)


def sweep(
    plan: Plan,
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
    done: Sequence[int] = (),
) -> Iterator[tuple[int, SweepRow]]:
    """Run the points of ``plan``: places and rows as they are done, until ``stop`` returns true (default: never).

    ``executor`` (default: none, one after the other here, in their order) runs them, a Dask client's too.  ``done``
    holds a true value at the place of every point that is left out (default: none are).
    """
    places = (place for place in range(len(plan)) if not (done and done[place]))
    todo = iter(places)
    taken: dict[int, int] = {}

    def given() -> Iterator[int]:
        for number, place in enumerate(todo):
            taken[number] = place
            yield place

    for number, row in results_of(evaluate, plan, given(), executor, stop):
        place = taken.pop(number)
        yield place, _refused(plan, plan.values(place), row.message) if isinstance(row, Lost) else row
