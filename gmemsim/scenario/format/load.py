# SPDX-License-Identifier: GPL-2.0-or-later
"""From a file to a checked :class:`Scenario`, or to every fault of the file at once.

Theory of operation
-------------------
``format.yaml`` makes a tree of nodes with places and ``format.reader`` reads them along the tables of ``format.kinds``;
this module knows how a file is put together.  Whatever is wrong is noted and left out, and the reading goes on; a
scenario is made only if nothing was noted.  Checks that take more than one value (a range and its guest, times, names)
are in ``format.validate``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Final, get_args

import attrs

from gmemsim.garbage import fewer_collections
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.format.kinds import Count, Entry, Inner, Items, Name, Number, Record, Text, table
from gmemsim.scenario.format.metric import Metric
from gmemsim.scenario.format.reader import MISSING, Reader, Values
from gmemsim.scenario.format.validate import Checker
from gmemsim.scenario.format.yaml import Faults, ListNode, MapNode, Node, ScalarNode, read_file, read_yaml
from gmemsim.scenario.generators import COMPOSITES, GENERATORS, parts_of
from gmemsim.scenario.model import (
    STEPS,
    VERSION,
    Expectation,
    GuestSpec,
    HostSpec,
    Operator,
    Place,
    Scenario,
    Step,
    step_keys,
)
from gmemsim.scenario.shipped import resolve
from gmemsim.scenario.workload import Composite


def step_types() -> dict[str, type[Step]]:
    """Every step that a workload can have now, by its name in a file."""
    return {step.key: step for step in (*STEPS, *GENERATORS.rows(), *COMPOSITES.rows())}


def part_keys(step: type[Step]) -> dict[str, Entry]:
    """The keys of ``step``, a kind of step, inside of a composite one: expectations know only the whole by an id."""
    return {name: entry for name, entry in step_keys(step).items() if name != "id"}


ROOT: Final[Mapping[str, Entry]] = {
    entry.key: entry
    for entry in (
        Entry("gmemsim", "gmemsim", Count("version of the file format", least=1), attrs.NOTHING),
        Entry("title", "title", Text("what the scenario shows; the file's name if absent"), None),
        Entry("message_id", "message_id", Text("the Message-ID of the mail that asked; none if absent"), None),
        Entry("answer", "answer", Text("the answer in one line, whose figures `expect` holds; none if absent"), None),
        Entry("seed", "seed", Count("seed of everything random"), 0),
        Entry("host", "host", Record("the host", HostSpec, "a host"), None),
        Entry("guests", "guests", Items("the guests"), attrs.NOTHING),
        Entry("workload", "workload", Items("the steps, in order"), attrs.NOTHING),
        Entry("expect", "expect", Items("what must be true of the run"), None),
    )
}
"""The keys of the file itself."""

OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)

_SAID: Final = dict(zip(OPERATORS, ("equal to", "other than", "at most", "at least", "about"), strict=True))

EXPECT: Final[Mapping[str, Entry]] = {
    entry.key: entry
    for entry in (
        Entry("metric", "metric", Metric("a path into the summary"), attrs.NOTHING),
        *(
            Entry(op, op, Number(f"the metric must be {_SAID[op]} this; one operator, the others are absent"), None)
            for op in OPERATORS
        ),
        Entry(
            "rel",
            "rel",
            Number("tolerance of approx, relative to the value; absent without approx", least=0, most=1),
            None,
        ),
        Entry("after", "after", Name("the id of a step; at the end if absent"), None),
    )
}
"""The keys of an expectation; exactly one operator."""


def _folder(path: str) -> str:
    """The folder that names of files in the scenario ``path`` are relative to; a pipe's is the current one."""
    found = resolve(path)
    return "" if found.startswith(("/dev/", "/proc/")) else os.path.dirname(found)  # noqa: PTH120 - of any name at all


def build_step(step: type[Step], values: Values) -> Step:
    """The ``step``, a kind of step, that ``values``, which must be complete, describe."""
    return values.build(step, where=values.where)


def load_scenario(path: str | os.PathLike[str], *, allow_python: bool = False) -> Scenario:
    """The scenario in the file ``path``, or the shipped one of that name (``"rfc-cover"``); ``-`` is standard input.

    ``allow_python``: it may name Python files for policies, whose code is run (default: it may not).
    :class:`InputError` with every fault if it is not one.
    """
    return parse_scenario(read_file(path), source=os.fsdecode(path), allow_python=allow_python)


def parse_scenario(data: bytes | str, *, source: str = "<text>", allow_python: bool = False) -> Scenario:
    """The scenario in ``data``; :class:`InputError` with every fault, each in ``source`` (default: ``<text>``), if it
    is none.

    ``allow_python``: as for :func:`load_scenario` (default: not).
    """
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    with fewer_collections():
        faults = Faults(source)
        scenario = scenario_of(read_root(content, faults), faults, allow_python=allow_python, again=False)
    return attrs.evolve(scenario, sha256=hashlib.sha256(content).hexdigest())


def read_root(content: bytes, faults: Faults) -> Node:
    """The nodes of a file's ``content``; :class:`InputError` if there are none, other faults go to ``faults``."""
    root = read_yaml(content, faults)
    if root is None and not len(faults):
        faults.add(Place(1, 1), f"found an empty file, expected a mapping that begins with 'gmemsim: {VERSION}'")
    if root is None:
        raise faults.error()
    return root


def scenario_of(root: Node, faults: Faults, *, allow_python: bool, again: bool = True) -> Scenario:
    """The scenario whose file consists of ``root``; :class:`InputError` if there are any ``faults``.

    ``allow_python``: it may name Python files, whose code is run.  ``again`` (default): ``root`` is read later once
    more; if not, it is emptied on the way, so that nodes go while steps come.
    """
    scenario = _Loader(faults, allow_python).scenario(root, again=again)
    if len(faults) or scenario is None:
        raise faults.error()
    return scenario


class _Loader:
    """Reads the parts of one file; every method notes what is wrong and returns what could be read."""

    def __init__(self, faults: Faults, allow_python: bool) -> None:
        self._faults = faults
        self._read = Reader(faults, _folder(faults.path), allow_python=allow_python)
        self._check = Checker(faults)
        self._step_types = step_types()

    def scenario(self, root: Node, *, again: bool) -> Scenario | None:
        if not isinstance(root, MapNode):
            self._faults.wrong(root, f"a mapping that begins with 'gmemsim: {VERSION}'")
            return None
        if not self._version(root.get("gmemsim")):
            return None
        top = self._read.mapping(root, ROOT, "a scenario")
        if top is None:
            return None
        host = self._host(root.get("host"))
        self._check.host(host)
        guests = [self._read.mapping(node, table(GuestSpec), "a guest") for node in self._items(top, "guests")]
        self._check.guests(guests, top.place("guests"))
        nodes = list(reversed(self._items(top, "workload")))
        if not again:
            root.flat = ()
            top.forget("workload")
        workload = self._workload(nodes)
        metric = Metric(EXPECT["metric"].kind.doc, guests=self._check.instances)
        keys = {**EXPECT, "metric": attrs.evolve(EXPECT["metric"], kind=metric)}
        expect = [self._expectation(node, keys) for node in self._items(top, "expect")]
        if len(self._faults) or host is None:
            return None
        return Scenario(
            title=top.get("title") or PurePath(self._faults.source).stem,
            message_id=top.get("message_id"),
            answer=top.get("answer"),
            seed=top.get("seed"),
            host=host.build(HostSpec),
            guests=tuple(guest.build(GuestSpec) for guest in guests if guest is not None),
            workload=workload,
            expect=tuple(filter(None, expect)),
            source=self._faults.source,
        )

    def _version(self, node: Node | None) -> bool:
        """Whether the file is of our version; the keys of another one would all be faults."""
        if node is None or (isinstance(node, ScalarNode) and node.plain and node.text == str(VERSION)):
            return True
        self._faults.wrong(node, f"the version of the file format, {VERSION}")
        return False

    def _host(self, node: Node | None) -> Values | None:
        keys = table(HostSpec)
        return self._read.mapping(MapNode(0) if node is None else node, keys, "a host")

    def _items(self, top: Values, key: str) -> tuple[Node, ...]:
        """The nodes of a list at the top; none if it is absent or no list."""
        node = top.get(key)
        return self._read.items(node, key) if isinstance(node, Node) else ()

    def _workload(self, nodes: list[Node]) -> tuple[Step, ...]:
        """The steps of ``nodes``, the last first, which it empties.

        Each is read, checked and made before the next: only nodes and steps are many at once.

        What the checks find is told after what reading has found, where both are about one place.
        """
        built: list[Step] = []
        found = self._faults.beside()

        def read() -> Iterator[tuple[type[Step], Values] | None]:
            while nodes:
                step = self._step(nodes.pop())
                yield step
                if step is not None and not len(self._faults) + len(found) and step[1].complete:
                    built.append(build_step(*step))

        self._check.workload(read(), found)
        self._faults.take(found)
        return tuple(built)

    def _step(self, node: Node, within: type[Composite] | None = None) -> tuple[type[Step], Values] | None:
        """One step; ``within`` a composite one, only what that can be made of."""
        if not isinstance(node, MapNode) or not node.flat:
            self._faults.wrong(node, "a step, such as convert: {guest: vm0, offset: 0, size: 4K, to: shared}")
            return None
        key, at, value = node.flat[:3]
        if len(node.flat) > 3:
            for other, place, _ in islice(node.entries(), 1, None):
                self._faults.add(
                    node.key_place(place),
                    f"found a second key {quote(other)}, expected one step in each item (are its keys indented?)",
                )
        types = self._step_types if within is None else parts_of(within)
        step = types.get(key)
        if step is None:
            known = tuple(types)
            hint = did_you_mean(key, known) or f": {', '.join(known)}"
            what = "a step" if within is None else f"a step that {within.key} can be made of"
            self._faults.add(node.key_place(at), f"found the step {quote(key)}, expected {what}{hint}")
            return None
        keys = step_keys(step) if within is None else part_keys(step)
        values = self._read.mapping(value, keys, f"the step {step.key}")
        if values is None:
            return None
        values.at = at >> 1
        if issubclass(step, Composite):
            self._parts(step, values, keys)
        return step, values

    def _parts(self, step: type[Composite], values: Values, keys: Mapping[str, Entry]) -> None:
        """Read the steps that a composite one is made of; it has them only if all are sound."""
        for key in (name for name, entry in keys.items() if isinstance(entry.kind, Inner)):
            node = values.get(key)
            if not isinstance(node, Node):
                continue
            where = values.place(key)
            items = self._read.items(node, key)
            if isinstance(node, ListNode) and not items:
                self._faults.add(where, f"found no steps, expected at least one that {step.key} is made of")
            parts = [self._step(item, within=step) for item in items]
            values.parts = [part for part in parts if part is not None]
            sound = bool(parts) and None not in parts and all(part.complete for _, part in values.parts)
            built = tuple(build_step(inner, part) for inner, part in values.parts) if sound else MISSING
            values.replace(key, built)

    def _expectation(self, node: Node, keys: Mapping[str, Entry]) -> Expectation | None:
        values = self._read.mapping(node, keys, "an expectation")
        if values is None:
            return None
        operators = [op for op in OPERATORS if values.given(op)]
        if len(operators) != 1:
            found = " and ".join(operators) or "no operator"
            self._faults.add(values.where, f"found {found}, expected one of {', '.join(OPERATORS)}")
            return None
        (op,) = operators
        if (op == "approx") != values.given("rel"):
            found = "approx" if op == "approx" else "rel"
            self._faults.add(values.where, f"found {found} alone, expected approx and rel together")
        self._check.after(values)
        self._check.metric(values)
        if not values.complete:
            return None
        metric, value, rel, after = (values.get(key) for key in ("metric", op, "rel", "after"))
        return Expectation(metric=metric, op=op, value=value, rel=rel, after=after, where=values.where)
