# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads YAML nodes along the tables of ``kinds``: one value, one mapping, one list at a time.

Theory of operation
-------------------
A :class:`Reader` never gives up: what is wrong is noted and left out.  A mapping becomes a :class:`Values`,
which holds the values that could be read, the defaults of the keys that are absent, and nothing for the
keys that are faulty; so a later check asks for the values it needs and is skipped if one of them is
missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from gmemsim.errors import InputError
from gmemsim.gmem.own import load_own
from gmemsim.gmem.policy import Policy
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.format.kinds import (
    LONGEST_SCALAR,
    OWN_POLICY,
    Choice,
    Entry,
    FileName,
    Kind,
    PolicyRule,
    Pools,
    Prices,
    Record,
    Records,
    Scalar,
    table,
)
from gmemsim.scenario.format.yaml import Faults, ListNode, MapNode, Node, ScalarNode, is_setting, place_at
from gmemsim.scenario.model import Place

T = TypeVar("T")


class Missing(Enum):
    """The type of :data:`MISSING`."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
"""The value of what could not be read."""


_VALUES_KEPT: Final = 1024
"""Values that are read once however often a file has them: names of guests, usual sizes."""


class Values:
    """What could be read of one mapping, which is ``at`` a place as nodes are, by attribute; :class:`Reader` fills it.

    ``table`` has the keys that it may have.  The value of what cannot be read is :data:`MISSING`.
    """

    __slots__ = ("_places", "_table", "_values", "at", "parts")

    def __init__(self, at: int, table: Mapping[str, Entry]) -> None:
        self.at = at
        self.parts: Sequence[tuple[type[Any], Values]] = ()
        """The steps that a composite step is made of, each with its type."""
        self._table = table
        self._values: dict[str, Any] = {}
        self._places: dict[str, Node] = {}

    @property
    def where(self) -> Place:
        """Where the mapping begins."""
        return place_at(self.at)

    def replace(self, attribute: str, value: Any) -> None:
        """Keep another ``value`` of the key of ``attribute``, which has one, at the place of that."""
        self._values[attribute] = value

    def forget(self, attribute: str) -> None:
        """Let the node of ``attribute`` go, which nobody asks for any more."""
        self._values[attribute] = None
        self._places.pop(attribute, None)

    def given(self, attribute: str) -> bool:
        """Whether the file has the key of ``attribute``, sound or not."""
        return attribute in self._places

    def get(self, attribute: str) -> Any:
        """The value of ``attribute``, or :data:`MISSING`."""
        return self._values.get(attribute, MISSING)

    def known(self, *attributes: str) -> bool:
        """Whether all of ``attributes`` have a value."""
        return all(self.get(attribute) is not MISSING for attribute in attributes)

    def place(self, attribute: str) -> Place:
        """Where the value of ``attribute`` is, or the mapping if the file does not have it."""
        node = self._places.get(attribute)
        return self.where if node is None else node.where

    def place_of_key(self, key: str) -> Place:
        """:meth:`place` by the name of ``key`` in the file."""
        return self.place(self._table[key].attribute)

    @property
    def complete(self) -> bool:
        """Whether every key has a value."""
        return len(self._values) == len(self._table) and MISSING not in self._values.values()

    def build(self, cls: type[T], **more: Any) -> T:
        """An instance of ``cls``, with ``more`` attributes that the file does not have; only if :attr:`complete`."""
        return cls(**self._values, **more)


class Reader:
    """Reads nodes of one file, which is in ``folder`` (default: where the process is), and notes in ``faults`` what is
    wrong.

    ``allow_python``: it may name Python files, whose code is run (default: not).
    """

    def __init__(self, faults: Faults, folder: str = "", *, allow_python: bool = False) -> None:
        self._allow_python = allow_python
        self._faults = faults
        self._folder = folder
        self._seen: dict[tuple[Entry, str, bool], Any] = {}

    def mapping(self, node: Node, table: Mapping[str, Entry], what: str) -> Values | None:
        """The values of the mapping ``node`` with the keys of ``table``; ``None`` if it is none.

        ``what`` is what a message calls the mapping.
        """
        if not isinstance(node, MapNode):
            self._faults.wrong(node, f"{what} with {_names(table)}")
            return None
        values = Values(node.at, table)
        found, places, seen = values._values, values._places, self._seen
        for text, at, value in node.entries():
            entry = table.get(text)
            if entry is None:
                hint = did_you_mean(text, tuple(table)) or f", which has {_names(table)}"
                where = node.key_place(at)
                self._faults.add(where, f"found the key {quote(text)}, expected a key of {what}{hint}")
                continue
            places[entry.attribute] = value
            if type(value) is not ScalarNode or not isinstance(entry.kind, Scalar):
                found[entry.attribute] = self.value(entry.kind, value)
                continue
            known = seen.get((entry, value.text, value.plain), MISSING)
            found[entry.attribute] = self._fresh(entry, value) if known is MISSING else known
        if len(places) < len(table):
            self._absent(node, values, what)
        return values

    def _absent(self, node: MapNode, values: Values, what: str) -> None:
        """Give ``values`` of ``node`` the defaults of the keys that it does not have."""
        found, places = values._values, values._places
        for entry in values._table.values():
            if entry.attribute in places:
                continue
            if entry.required:
                self._faults.add(node.where, f"found no key {entry.key!r}, expected {what} to have one")
            else:
                found[entry.attribute] = entry.absent()

    def _fresh(self, entry: Entry, node: ScalarNode) -> Any:
        """The value of a key that had none like it before; what is not a fault is not read again."""
        value = self.value(entry.kind, node)
        if value is not MISSING and len(self._seen) < _VALUES_KEPT:
            self._seen[entry, node.text, node.plain] = value
        return value

    def items(self, node: Node, what: str) -> tuple[Node, ...]:
        """The items of the list ``node``; none if it is not one.  ``what`` is what a message says about them."""
        if isinstance(node, ListNode):
            return node.items
        self._faults.wrong(node, f"a list ({what})")
        return ()

    def value(self, kind: Kind, node: Node) -> Any:
        """The value of ``node``, read as ``kind``, or :data:`MISSING`.

        ``Items`` and ``Inner`` are the caller's: they stay a node.
        """
        if isinstance(kind, Scalar):
            name = self._scalar(kind, node)
            if isinstance(kind, FileName) and name is not MISSING and not is_setting(node):
                return os.path.join(self._folder, name)  # noqa: PTH118 - "a\0b" too
            return name
        match kind:
            case Records():
                return self._records(kind, node)
            case Record():
                return self._record(kind, node)
            case Pools():
                return self._keyed(node, kind.size, kind.number, "hugepages by size, such as {1G: 4}", "size")
            case Prices():
                return self._keyed(node, kind.counter, kind.price, "prices of work, such as {psmashes: 1us}", "counter")
            case PolicyRule():
                return self._rule(kind, node)
            case _:
                return node

    def _scalar(self, kind: Scalar, node: Node) -> Any:
        if not isinstance(node, ScalarNode) or (node.plain and not node.text) or len(node.text) > LONGEST_SCALAR:
            self._faults.wrong(node, kind.expected)
            return MISSING
        try:
            return kind.read(node.text, plain=node.plain)
        except ValueError as error:
            self._faults.add(node.where, str(error))
            return MISSING

    def _record(self, kind: Record, node: Node) -> Any:
        if kind.of is Policy and isinstance(node, MapNode) and node.get("python") is not None:
            return self._own_policy(node)
        values = self.mapping(node, table(kind.of), kind.what)
        if values is None or not values.complete:
            return MISSING
        try:
            return values.build(kind.of)
        except ValueError as error:  # values that are sound one by one
            self._faults.add(
                values.where,
                f"found settings that exclude each other ({error}), expected {kind.what} that can be carried out",
            )
            return MISSING

    def _own_policy(self, node: MapNode) -> Any:
        """A policy whose questions a class in a Python file answers; that is run only if the user wants it."""
        values = self.mapping(node, OWN_POLICY, "a policy of one's own")
        if values is None or not values.complete:
            return MISSING
        if not self._allow_python and not is_setting(node):
            self._faults.add(values.where, "found a policy in Python, expected --allow-python to run its code")
            return MISSING
        try:
            return load_own(values.get("path"), values.get("name"))
        except InputError as error:
            self._faults.include(error)
            return MISSING

    def _records(self, kind: Records, node: Node) -> Any:
        if not isinstance(node, ListNode):
            self._faults.wrong(node, f"a list, each item {kind.what} with {_names(table(kind.of))}")
            return MISSING
        records = tuple(self._record(Record(kind.doc, kind.of, kind.what), item) for item in node.items)
        return MISSING if MISSING in records else records

    def _keyed(self, node: Node, names: Scalar, values: Scalar, expected: str, what: str) -> Any:
        """A mapping whose keys are ``names`` (``what`` is one) and whose values are ``values``."""
        if not isinstance(node, MapNode):
            self._faults.wrong(node, expected)
            return MISSING
        read: dict[Any, Any] = {}
        sound = True
        for key, value in node.pairs:
            name, its = self._scalar(names, key), self._scalar(values, value)
            if name is MISSING or its is MISSING:
                sound = False
            elif name in read:
                self._faults.add(key.where, f"found the {what} {quote(key.text)} again, expected it once")
                sound = False
            else:
                read[name] = its
        return read if sound else MISSING

    def _rule(self, kind: PolicyRule, node: Node) -> Any:
        if isinstance(node, MapNode):
            return self._parameters(kind, node)
        if isinstance(node, ListNode) and kind.parameter.many:
            return self._parameter(kind, node)
        return self._scalar(kind.names, node)

    def _parameters(self, kind: PolicyRule, node: MapNode) -> Any:
        """A rule with its parameter by key, and perhaps a second one that is a list of names."""
        triples = [node.flat[i : i + 3] for i in range(0, len(node.flat), 3)]
        also = [value for key, _, value in triples if kind.parameter.also and key == kind.parameter.also]
        rest = MapNode(node.at, tuple(part for triple in triples if triple[2] not in also for part in triple))
        words: list[Any] = []
        if also:
            items = self.items(also[0], "one of " + ", ".join(kind.also) + " for each step")
            words = [self._scalar(Choice(kind.doc, kind.also), item) for item in items]
            if MISSING in words or not isinstance(also[0], ListNode):
                return MISSING
            if not words:
                self._faults.wrong(also[0], "one of " + ", ".join(kind.also) + " for each step")
                return MISSING
        second = also[0] if also else node
        return self._only(rest, kind.parameter.name, lambda value: self._parameter(kind, value, tuple(words), second))

    def _parameter(self, kind: PolicyRule, node: Node, also: tuple[str, ...] = (), second: Node | None = None) -> Any:
        """The value that ``node`` means with the names ``also``, which stand at ``second``."""
        form = kind.parameter
        given: Any
        if form.many:
            given = [self._scalar(kind.number, item) for item in self.items(node, form.shown)]
            if MISSING in given or not isinstance(node, ListNode):
                return MISSING
        elif (given := self._scalar(kind.number, node)) is MISSING:
            return MISSING
        try:
            form.from_file(given)
        except ValueError:
            self._faults.add(node.where, f"found the {form.name} {quote(str(given))}, expected {form.expected}")
            return MISSING
        try:
            return form.from_file(given, also)
        except ValueError as error:
            expected = f"one {form.also} for each step, none at conversion after one at a fault"
            self._faults.add((second or node).where, f"found {error}, expected {expected}")
            return MISSING

    def _only(self, node: MapNode, key: str, read: Callable[[Node], Any]) -> Any:
        """What ``read`` makes of the one value of ``node``, whose key must be ``key``."""
        if len(node.pairs) == 1 and node.pairs[0][0].text == key:
            return read(node.pairs[0][1])
        keys = ", ".join(quote(name.text) for name, _ in node.pairs[:3]) or "none"
        self._faults.add(node.where, f"found the keys {keys}, expected the one key {key!r}")
        return MISSING


def _names(table: Mapping[str, Entry]) -> str:
    return ", ".join(table)
