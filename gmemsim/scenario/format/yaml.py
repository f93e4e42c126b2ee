# SPDX-License-Identifier: GPL-2.0-or-later
"""YAML as a tree of nodes that know their place in the file; nothing is interpreted and nothing can explode.

Theory of operation
-------------------
PyYAML's event parser keeps its state in a list, so no input exhausts the stack there; what it yields is
composed here, because ``yaml.compose`` recurses without limit, keeps the last of two equal keys and lets
eleven lines of aliases stand for a billion values.  Here

* every scalar stays text, with the knowledge whether it was quoted: ``kinds`` decides what it means;
* nesting deeper than :data:`DEEPEST` and files larger than :data:`LARGEST_FILE` are refused;
* an alias is the anchored node itself, and each node knows how many values it stands for, so a file that
  would expand to more than :data:`MOST_VALUES` is refused by adding, not by expanding;
* duplicate keys, keys that are not scalars and tags are faults that do not end the reading.

The faults of a file go to one :class:`Faults`, so that all are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import yaml
from yaml.reader import Reader

from gmemsim.errors import Fault, InputError
from gmemsim.messages import quote
from gmemsim.scenario.model import Place
from gmemsim.units import size_name

LARGEST_FILE: Final = 8 << 20
"""Bytes of a scenario file: hundreds of thousands of lines, and a bound for files that never end."""

DEEPEST: Final = 24
"""Levels of nesting; the schema has six."""

MOST_VALUES: Final = 2_000_000
"""Values in a file once its aliases are followed; about as many as the largest file can hold without any."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it (ten times as fast), else PyYAML's own."""


@attrs.frozen(eq=False)
class Node:
    """A value at a place; ``values`` counts it and all below it, aliases followed."""

    where: Place
    values: int = attrs.field(default=1, kw_only=True)


@attrs.frozen(eq=False)
class ScalarNode(Node):
    """Text as it stands in the file, ``plain`` if it was not quoted."""

    text: str
    plain: bool


@attrs.frozen(eq=False)
class ListNode(Node):
    """A sequence."""

    items: tuple[Node, ...]


@attrs.frozen(eq=False)
class MapNode(Node):
    """A mapping without duplicate keys, in file order."""

    pairs: tuple[tuple[ScalarNode, Node], ...]

    def get(self, key: str) -> Node | None:
        """The value of ``key``, or ``None``."""
        return next((value for name, value in self.pairs if name.text == key), None)


def describe(node: Node) -> str:
    """What a message says was found: the text of a scalar, or the sort of collection."""
    if isinstance(node, ScalarNode):
        return quote(node.text) if node.text or not node.plain else "nothing"
    return "a list" if isinstance(node, ListNode) else "a mapping"


class Faults:
    """Collects what is wrong with one file; a fault found twice (through an alias) counts once."""

    def __init__(self, source: str) -> None:
        self.source = source if source.isprintable() else ascii(source)
        self._found: dict[Fault, None] = {}

    def add(self, where: Place, message: str) -> None:
        """Note ``message`` for ``where``."""
        self._found[Fault(self.source, where.line, where.column, message)] = None

    def wrong(self, node: Node, expected: str) -> None:
        """Note that ``node`` is not what was expected."""
        self.add(node.where, f"found {describe(node)}, expected {expected}")

    def include(self, error: InputError) -> None:
        """Note what is wrong with another file that this one needs."""
        self._found.update(dict.fromkeys(error.faults))

    def __len__(self) -> int:
        return len(self._found)

    def error(self) -> InputError:
        """The exception that reports every fault."""
        return InputError(self._found)


class _UnreadableError(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, where: Place, message: str) -> None:
        super().__init__(message)
        self.where = where


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a scenario file; :class:`InputError` if it cannot be read or is too large."""
    faults = Faults(os.fsdecode(path))
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        faults.add(Place(), f"found {_why_unreadable(error)}, expected a scenario file")
        raise faults.error() from None
    if len(data) > LARGEST_FILE:
        faults.add(Place(), f"found more than {size_name(LARGEST_FILE)}, expected a scenario file")
        raise faults.error()
    return data


def _why_unreadable(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "a directory"
        case OSError(strerror=str(reason)):
            return f"that it cannot be read ({_one_line(reason)})"
        case _:
            return f"a name that no file has ({_one_line(str(error))})"


def read_yaml(data: bytes, faults: Faults) -> Node | None:
    """The root node of ``data``, or ``None`` if there is none to be had; faults go to ``faults``."""
    try:
        text = _decode(data)
        return _Composer(text, faults).root()
    except _UnreadableError as error:
        faults.add(error.where, str(error))
    return None


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise _UnreadableError(
            _place_after(before), f"found byte 0x{data[error.start]:02x}, expected UTF-8 text"
        ) from None
    if match := Reader.NON_PRINTABLE.search(text):
        raise _UnreadableError(_place_after(text[: match.start()]), f"found {match[0]!a}, expected text")
    return text


def _place_after(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


class _Composer:
    """Makes nodes of the parser's events, one event ahead of the tree."""

    def __init__(self, text: str, faults: Faults) -> None:
        self._events = self._read(text)
        self._faults = faults
        self._anchors: dict[str, Node] = {}

    @staticmethod
    def _read(text: str) -> Iterator[Any]:
        """The parser's events; whatever it raises becomes :class:`_UnreadableError`."""
        mark: Any = None  # of the last event, for errors that have no place of their own
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                mark = event.start_mark
                yield event
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or mark
            problem = _one_line(f"{error.problem or error.context}")
            tab = "'\\t'" in problem or "tab character" in problem
            found, wanted = ("a tab", "spaces") if tab else (f"invalid YAML ({problem})", "valid YAML")
            raise _UnreadableError(_place(mark), f"found {found}, expected {wanted}") from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML's own parser lets chr() and int() fail on "\UFFFFFFFF" and on a huge %YAML version.
            raise _UnreadableError(
                _place(mark), f"found invalid YAML ({_one_line(str(error))}), expected valid YAML"
            ) from None

    def root(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._faults.add(_place(event.start_mark), "found a second document, expected one")
                    return root
                root = self._node(next(self._events), 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        where = _place(event.start_mark)
        if depth > DEEPEST:
            raise _UnreadableError(where, f"found more than {DEEPEST} levels of nesting, expected a scenario")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _UnreadableError(
                    where, f"found the alias {quote(str(event.anchor))}, expected one of an anchor before it"
                )
            return self._anchors[event.anchor]
        if event.tag is not None:
            self._faults.add(where, f"found the tag {quote(event.tag)}, expected a value without one")
        node = self._untagged(event, where, depth)
        if node.values > MOST_VALUES:
            raise _UnreadableError(where, f"found aliases for more than {MOST_VALUES} values, expected fewer")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _untagged(self, event: Any, where: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return ScalarNode(where, event.value, event.style in (None, ""))
        if isinstance(event, yaml.SequenceStartEvent):
            items = tuple(self._until(yaml.SequenceEndEvent, depth))
            return ListNode(where, items, values=_total(items))
        pairs = tuple(self._pairs(depth))
        return MapNode(where, pairs, values=_total(node for pair in pairs for node in pair))

    def _until(self, end: type[Any], depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)

    def _pairs(self, depth: int) -> Iterator[tuple[ScalarNode, Node]]:
        seen: dict[str, Place] = {}
        nodes = self._until(yaml.MappingEndEvent, depth)
        for key in nodes:
            value = next(nodes)
            if not isinstance(key, ScalarNode):
                self._faults.add(key.where, f"found {describe(key)} as a key, expected a name")
            elif key.text in seen:
                first = seen[key.text]
                self._faults.add(
                    key.where,
                    f"found the key {quote(key.text)} again, expected it once (first at {first.line}:{first.column})",
                )
            else:
                seen[key.text] = key.where
                yield key, value


def _total(nodes: Iterable[Node]) -> int:
    return 1 + sum(node.values for node in nodes)
