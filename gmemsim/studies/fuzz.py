# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scenarios until one breaks a law, and then the shortest scenario that breaks it.

Theory of operation
-------------------
Run number n of seed S is a world of :mod:`~gmemsim.studies.fuzzworlds`, drawn from (S, n) alone: it does not matter who
carries it out, or after what.  A *trial* reads the world as a file is read, then carries it out call by call with three
judges:

- every invariant of guest and host, as ``run(scenario, check=True)`` does;
- a second run whose filemaps make every node at once instead of on demand: errno, place, folios, nodes and bytes are
  the same after every call;
- a *watch*, if one is given: whatever looks at the guests after every call and raises ``AssertionError``.  The checkout
  has one, an independent model of pages (``tests/model``), which is no part of the package.

Whatever a trial raises, except what says that a world is no scenario or does not fit its host, is a failure.  Its
*kind* is the exception's type and the function that raised it.  The world is then shortened: steps, guests and settings
are left out as long as the failure is of the same kind.

What may live here: how worlds are judged and shortened.  No I/O and no clock: ``stop`` says when it is enough.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from copy import deepcopy
from itertools import count
from random import Random
from typing import Any, Final

import attrs
import yaml

from gmemsim.errors import InputError, SimulationRefused
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.registry import late
from gmemsim.results.timeline import Event
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.model import Scenario
from gmemsim.sim.run import Run
from gmemsim.studies.fuzzworlds import World, world
from gmemsim.studies.spread import Lost, results_of

MOST_TRIALS: Final = 400
"""Trials that shortening one failure may take."""

FRAMES: Final = 6
"""Innermost frames of a traceback that a failure keeps."""

RUNS_SHOWN: Final = 8
"""Runs of folios, and ranges of shared pages, that a dump shows of a guest."""

Watcher = Callable[[Event, Mapping[str, GuestMemfd]], bool]
"""Looks at all guests after a call; whether it knew all of what it saw.  ``AssertionError`` says what is wrong."""


@attrs.frozen
class Failure:
    """What broke: ``kind`` (type and place), ``message``, the ``step`` (from 0), ``trace`` and ``dump`` in lines."""

    kind: str
    message: str
    step: int
    trace: tuple[str, ...]
    dump: tuple[str, ...]


@attrs.frozen
class Trial:
    """One world carried out: ``refused`` if it could not be, else its ``calls`` by errno (``None``: succeeded).

    ``failure`` is what broke (default: nothing did).  ``watched`` is how many calls the watch knew
    everything of; 0 without a watch.
    """

    refused: bool = False
    calls: Mapping[str | None, int] = attrs.field(factory=dict)
    watched: int = 0
    failure: Failure | None = None


@attrs.frozen
class Finding:
    """The ``failure`` of run ``number``, in the shortest ``world`` that was found.

    ``steps_before`` is what the world had at first, ``trials`` how many it took to shorten it.
    """

    number: int
    failure: Failure
    steps_before: int
    trials: int
    world: World

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """The steps of the shortened world."""
        found: list[Mapping[str, Any]] = self.world["workload"]
        return found

    @property
    def text(self) -> str:
        """The scenario file that fails."""
        return as_text(self.world)


@attrs.define
class Fuzz:
    """What ``runs`` runs of ``seed`` came to: how many were ``refused``, ``calls`` by errno, the ``finding`` if any.

    ``watch`` names what watched (``None``: nothing did), ``watched`` is the number of calls that it knew all of.
    ``lost`` runs ended the process that worked on them.  ``replayed`` is the file that was carried out instead of
    random worlds, if one was; ``interrupted``: whether somebody ended it early.
    """

    seed: int
    watch: str | None
    runs: int = 0
    refused: int = 0
    lost: int = 0
    calls: Counter[str | None] = attrs.field(factory=Counter)
    watched: int = 0
    finding: Finding | None = None
    replayed: str | None = None
    interrupted: bool = False


@attrs.frozen
class _Shared:
    seed: int
    watch: str | None


def fuzz(
    seed: int,
    runs: int | None,
    *,
    watch: str | None = None,
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Fuzz], None] = lambda found: None,
) -> Fuzz:
    """Carry out ``runs`` random worlds of ``seed`` (``None``: until ``stop()`` is true), until one fails.

    ``watch`` (default: none) is the place (``"package.module:name"``) of a function that makes a :data:`Watcher` for a
    scenario.  ``executor`` (default: none, here) carries the runs out; which of them fails first may depend on it.
    ``stop`` (default: never) is asked between runs, ``progress`` (default: nobody) is told after every run.
    """
    found = Fuzz(seed, watch)
    numbers = count() if runs is None else iter(range(runs))
    for number, result in results_of(_attempt, _Shared(seed, watch), numbers, executor, stop):
        found.runs += 1
        if isinstance(result, Lost):
            found.lost += 1
            continue
        found.refused += result.refused
        found.calls.update(result.calls)
        found.watched += result.watched
        progress(found)
        if result.failure is not None:
            found.finding = _shortened(world_of(seed, number), number, result.failure, watch)
            break
    return found


def world_of(seed: int, number: int) -> World:
    """The world of run ``number`` (from 0) of ``seed``."""
    made = world(Random(f"{seed}/{number}"))
    made["title"] = f"fuzz, seed {seed}, run {number}"
    return made


def as_text(made: World) -> str:
    """The world that was ``made``, as a scenario file."""
    text: str = yaml.safe_dump(made, sort_keys=False, default_flow_style=None, width=110)
    return text


def _attempt(shared: _Shared, number: int) -> Trial:
    return trial(as_text(world_of(shared.seed, number)), shared.watch)


# -- one trial -----------------------------------------------------------------------------------------------------


def trial(text: str, watch: str | None = None) -> Trial:
    """Carry out the scenario in ``text`` before all judges; ``watch`` (default: none) as for :func:`fuzz`."""
    try:
        scenario = parse_scenario(text.encode(), source="fuzz.yaml")
        runs = Run(scenario, check=True), _eager(scenario)
    except (InputError, SimulationRefused):
        return Trial(refused=True)
    except Exception as error:
        return Trial(failure=_failure(error, 0, {}))
    return _judged(scenario, *runs, watch)


def replay(scenario: Scenario, text: str, watch: str | None = None) -> Fuzz:
    """Carry out ``scenario``, which was read from ``text``, before all judges; ``watch`` (default: none) as for
    :func:`fuzz`.

    The finding is not shortened.  ``SimulationRefused`` if its guests cannot be created.
    """
    result = _judged(scenario, Run(scenario, check=True), _eager(scenario), watch)
    found = Fuzz(scenario.seed, watch, 1, calls=Counter(result.calls), watched=result.watched, replayed=scenario.source)
    if result.failure is not None:
        made: World = yaml.safe_load(text)
        found.finding = Finding(0, result.failure, len(made["workload"]), 0, made)
    return found


def _eager(scenario: Scenario) -> Run:
    """A run whose filemaps make all nodes at once."""
    run = Run(scenario)
    for guest in run.guests.values():
        guest.inode.filemap.tree.tree.eager = True
    return run


def _judged(scenario: Scenario, lazy: Run, eager: Run, watch: str | None) -> Trial:
    watcher: Watcher | None = None if watch is None else late(watch)(scenario)
    calls: Counter[str | None] = Counter()
    watched = 0
    step = 0
    try:
        for event in lazy:
            step = event.step
            _compare(event, next(eager), lazy, eager)
            if event.guest is not None:
                calls[event.errno] += 1
            if watcher is not None:
                watched += watcher(event, lazy.guests)
            step += 1
    except Exception as error:
        return Trial(calls=calls, watched=watched, failure=_failure(error, step, lazy.guests))
    return Trial(calls=calls, watched=watched)


def _compare(event: Event, other: Event, lazy: Run, eager: Run) -> None:
    """``AssertionError`` unless both runs, the second with all nodes, are alike after the call of ``event``."""
    mine, others = (
        (seen.time_ns, seen.kind, seen.guest, seen.errno, seen.error_offset, seen.work) for seen in (event, other)
    )
    assert mine == others, f"with all nodes made at once {others}, else {mine}"
    row, all_made = lazy.host.ledger.live_row(), eager.host.ledger.live_row()
    assert list(row) == list(all_made), f"bytes by account are {list(all_made)} with all nodes made, else {list(row)}"
    if event.guest is None:
        return
    guest, twin = lazy.guests[event.guest], eager.guests[event.guest]
    assert guest.closed == twin.closed
    if guest.closed:
        return
    assert guest.nodes() == twin.nodes(), f"{twin.nodes()} nodes with all made at once, else {guest.nodes()}"
    pages = guest.pages
    same = list(guest.folio_runs(0, pages)) == list(twin.folio_runs(0, pages))
    assert same, f"{guest.name}: other folios with all nodes made at once"


def _failure(error: Exception, step: int, guests: Mapping[str, GuestMemfd]) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "gmemsim" in frame.filename or "tests" in frame.filename]
    last = (ours or frames)[-1]
    trace = tuple(f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-FRAMES:])
    message = " ".join(str(error).split()) or "no message"
    kind = f"{type(error).__name__} in {_module(last.filename)}:{last.name}"
    dump = tuple(line for guest in guests.values() for line in _dumped(guest))
    return Failure(kind, message, step, trace, dump)


def _module(filename: str) -> str:
    """``gmem/check.py`` of a path: from the package on, so that a report names no folder of this machine."""
    parts = filename.replace("\\", "/").split("/")
    for root in ("gmemsim", "tests"):
        if root in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(root) :])
    return parts[-1]


def _dumped(guest: GuestMemfd) -> Iterator[str]:
    """What is seen of a guest, as far as it can still be read."""
    yield f"{guest!r}, {guest.policy!r}"
    if guest.closed:
        yield "  closed"
        return
    try:
        runs = list(guest.folio_runs(0, guest.pages))
        shared = list(guest.shared_ranges(0, guest.pages))
        yield f"  nodes {guest.nodes()}"
    except Exception as error:
        yield f"  cannot be read: {type(error).__name__} {error}"
        return
    yield _listed("folios", [f"{number} of order {order} from {first}" for first, number, order in runs])
    yield _listed("shared", [f"{start} to {end}" for start, end in shared])


def _listed(what: str, items: list[str]) -> str:
    more = f" … and {len(items) - RUNS_SHOWN} more" if len(items) > RUNS_SHOWN else ""
    return f"  {what}: {', '.join(items[:RUNS_SHOWN]) or 'none'}{more}"


# -- shortening ----------------------------------------------------------------------------------------------------


def _shortened(made: World, number: int, failure: Failure, watch: str | None) -> Finding:
    """The finding of a ``failure``, with as little of its world as shows it."""
    shrink = _Shrink(made, failure, watch)
    before = len(made["workload"])
    shrink.run()
    return Finding(number, shrink.failure, before, shrink.trials, shrink.world)


class _Shrink:
    """Leaves out of a world what a failure of the same kind does not need."""

    def __init__(self, made: World, failure: Failure, watch: str | None) -> None:
        self.world = made
        self.failure = failure
        self.trials = 0
        self._watch = watch

    def run(self) -> None:
        """Go on until nothing can be left out, or for :data:`MOST_TRIALS` trials."""
        self._try(self._with_steps(self.world["workload"][: self.failure.step + 1]))
        before = None
        while before != self.world and self.trials < MOST_TRIALS:
            before = self.world
            self._steps()
            self._guests()
            self._settings()

    def _try(self, candidate: World) -> bool:
        """Take ``candidate`` for the world if it fails in the same way."""
        if candidate == self.world or self.trials >= MOST_TRIALS:
            return False
        self.trials += 1
        failure = trial(as_text(candidate), self._watch).failure
        if failure is None or failure.kind != self.failure.kind:
            return False
        self.world, self.failure = candidate, failure
        return True

    def _with_steps(self, steps: list[Any]) -> World:
        return {**self.world, "workload": steps}

    def _steps(self) -> None:
        """Leave out steps: halves, quarters, … single ones."""
        size = max(1, len(self.world["workload"]) // 2)
        while size:
            place = len(self.world["workload"])
            while place > 0:
                place = max(0, place - size)
                steps = self.world["workload"]
                self._try(self._with_steps(steps[:place] + steps[place + size :]))
            size //= 2

    def _guests(self) -> None:
        """Leave out guests with their steps, and hugepages that a guest does not need."""
        for guest in list(self.world["guests"]):
            if len(self.world["guests"]) > 1:
                others = [other for other in self.world["guests"] if other is not guest]
                steps = [step for step in self.world["workload"] if _arguments(step).get("guest") != guest["name"]]
                if self._try({**self._with_steps(steps), "guests": others}):
                    continue
            at = self.world["guests"].index(guest)
            self._try(self._changed(("guests", at, "memory"), guest["backing"]))

    def _settings(self) -> None:
        """Leave out what a file need not say: of the host, of guests, of policies."""
        if nodes := self.world["host"].get("nodes"):
            host = {key: value for key, value in self.world["host"].items() if key != "nodes"}
            self._try({**self.world, "host": {**host, "hugetlb": nodes[0]["hugetlb"]}})
        places: list[tuple[str | int, ...]] = [("host", key) for key in self.world["host"]]
        for at, guest in enumerate(self.world["guests"]):
            places += [("guests", at, key) for key in guest if key not in ("name", "memory", "backing")]
            places += [("guests", at, "policy", key) for key in guest.get("policy", ())]
        for place in places:
            self._try(self._changed(place, None))

    def _changed(self, place: tuple[str | int, ...], value: Any) -> World:
        """The world with ``value`` at ``place``, or without what is there."""
        changed = deepcopy(self.world)
        where: Any = changed
        for key in place[:-1]:
            where = where[key] if not isinstance(where, dict) or key in where else {}
        if value is None and isinstance(where, dict):
            where.pop(place[-1], None)
        else:
            where[place[-1]] = value
        return changed


def _arguments(step: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(iter(step.values()))
    return found
