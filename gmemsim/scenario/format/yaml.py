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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import yaml
from yaml import AliasEvent, DocumentStartEvent, MappingEndEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent
from yaml.reader import Reader

from gmemsim.errors import Fault, InputError
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.files import STDIN, EndlessFileError, read_at_most
from gmemsim.scenario.model import Place
from gmemsim.scenario.shipped import resolve, scenarios
from gmemsim.units import size_name

LARGEST_FILE: Final = 8 << 20
"""Bytes of a scenario file: hundreds of thousands of lines, and a bound for files that never end."""

DEEPEST: Final = 24
"""Levels of nesting; the schema has six."""

MOST_VALUES: Final = 2_000_000
"""Values in a file once its aliases are followed; about as many as the largest file can hold without any."""

MOST_FAULTS: Final = 100
"""Faults of a file that are reported one by one."""

_SHORT: Final = 24
"""Characters of a text that is kept once however often a file has it."""

_TEXTS_KEPT: Final = 1024
"""Texts that are kept once: the words of the schema, names of guests, usual sizes."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it (ten times as fast), else PyYAML's own."""


_COLUMN_BITS: Final = 24
"""Bits of a column: :data:`LARGEST_FILE` needs 23."""


_SETTING: Final = 1 << 60
"""Set in the number of a place that is no place of the file but the number of a setting."""


def setting_at(number: int) -> int:
    """What nodes of the setting ``number`` (from 0) keep as their place: line 0, and the setting as a column from 1."""
    return _SETTING | number + 1


def place_at(at: int) -> Place:
    """The place that a node keeps as one number, ``at``: its line above its column, both from 0."""
    if at >= _SETTING:
        return Place(0, at - _SETTING)
    return Place((at >> _COLUMN_BITS) + 1, (at & (1 << _COLUMN_BITS) - 1) + 1)


class Node:
    """A value ``at`` a place (:func:`place_at`); ``values`` counts it and all below it, aliases followed.

    There are a dozen nodes for every step of a file, so they are small: a place is made when somebody asks for it.
    """

    __slots__ = ("at",)

    values: int

    def __init__(self, at: int) -> None:
        self.at = at

    @property
    def where(self) -> Place:
        """Where it stands."""
        return place_at(self.at)


class ScalarNode(Node):
    """``text`` as it stands in the file ``at`` a place, ``plain`` if it was not quoted."""

    __slots__ = ("plain", "text")

    values = 1

    def __init__(self, at: int, text: str, plain: bool) -> None:
        self.at = at
        self.text = text
        self.plain = plain


class ListNode(Node):
    """A sequence ``at`` a place, of ``items``, with so many ``values``, itself included."""

    __slots__ = ("items", "values")

    def __init__(self, at: int, items: tuple[Node, ...], values: int) -> None:
        self.at = at
        self.items = items
        self.values = values


class MapNode(Node):
    """A mapping ``at`` a place without duplicate keys, in file order, with so many ``values`` (default: 1, itself).

    ``flat`` (default: empty) holds three things for every key: its text, where it stands and in the lowest bit whether
    it is plain, and the node of its value.
    """

    __slots__ = ("flat", "values")

    def __init__(self, at: int, flat: tuple[Any, ...] = (), values: int = 1) -> None:
        self.at = at
        self.flat = flat
        self.values = values

    def entries(self) -> Iterator[tuple[str, int, Node]]:
        """Every key's text, its place (:meth:`key_place`), and its value."""
        flat = iter(self.flat)
        return zip(flat, flat, flat, strict=True)

    @staticmethod
    def key_place(packed: int) -> Place:
        """The place of a key of :meth:`entries`, whose second item ``packed`` is."""
        return place_at(packed >> 1)

    @property
    def pairs(self) -> tuple[tuple[ScalarNode, Node], ...]:
        """Every key as a node, and its value."""
        return tuple((ScalarNode(at >> 1, text, bool(at & 1)), value) for text, at, value in self.entries())

    def get(self, key: str) -> Node | None:
        """The value of ``key``, or ``None``."""
        return next((value for text, _, value in self.entries() if text == key), None)


def is_setting(node: Node) -> bool:
    """Whether ``node`` was put into the file: files that it names are not beside the scenario."""
    return node.at >= _SETTING


def describe(node: Node) -> str:
    """What a message says was found: the text of ``node`` if it is a scalar, or the sort of collection."""
    if isinstance(node, ScalarNode):
        return quote(node.text) if node.text or not node.plain else "nothing"
    return "a list" if isinstance(node, ListNode) else "a mapping"


class Faults:
    """Collects what is wrong with one file; a fault found twice (through an alias) counts once.

    ``path`` is the file's name and ``source`` the same as messages show it.  ``settings`` (default: none) are the names
    of those that were put into the file: a fault in one of them has its name instead.
    """

    def __init__(self, path: str, settings: Sequence[str] = ()) -> None:
        self.path = path
        self._settings = settings
        self.source = "<stdin>" if path == STDIN else path if path.isprintable() else ascii(path)
        self._found: dict[Fault, None] = {}

    def beside(self) -> Faults:
        """An empty collection for the same file with the same settings."""
        return Faults(self.path, self._settings)

    def add(self, where: Place, message: str) -> None:
        """Note ``message`` for ``where``."""
        if not where.line and where.column:
            self._found[Fault(self._settings[where.column - 1], 0, 0, message)] = None
            return
        self._found[Fault(self.source, where.line, where.column, message)] = None

    def wrong(self, node: Node, expected: str) -> None:
        """Note that ``node`` is not what was ``expected``, which is the end of the message."""
        self.add(node.where, f"found {describe(node)}, expected {expected}")

    def include(self, error: InputError) -> None:
        """Note what is wrong with another file that this one needs: the faults of ``error``."""
        self._found.update(dict.fromkeys(error.faults))

    def take(self, later: Faults) -> None:
        """Note what was noted apart, in ``later``, after all that has been noted here."""
        self._found.update(later._found)

    def __len__(self) -> int:
        return len(self._found)

    def error(self) -> InputError:
        """The exception that reports every fault; of more than :data:`MOST_FAULTS` the first, and how many follow."""
        faults = InputError(self._found).faults
        if len(faults) <= MOST_FAULTS:
            return InputError(faults)
        shown, rest = faults[:MOST_FAULTS], faults[MOST_FAULTS:]
        message = f"found {len(rest):,} more faults from here on, expected none"
        return InputError([*shown, rest[0]._replace(message=message)])


class _UnreadableError(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, where: Place, message: str) -> None:
        super().__init__(message)
        self.where = where


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of the scenario that ``path`` means: a file, ``-`` for standard input, or a shipped scenario's name.

    :class:`InputError` if it cannot be read or is too large.
    """
    faults = Faults(os.fsdecode(path))
    try:
        data = read_at_most(resolve(path), LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        hint = did_you_mean(os.fsdecode(path), scenarios()) if isinstance(error, FileNotFoundError) else ""
        faults.add(Place(), f"found {why_unreadable(error)}, expected a scenario file{hint}")
        raise faults.error() from None
    if len(data) > LARGEST_FILE:
        faults.add(Place(), f"found more than {size_name(LARGEST_FILE)}, expected a scenario file")
        raise faults.error()
    return data


def why_unreadable(error: OSError | ValueError) -> str:
    """Why a file cannot be read, by the ``error`` of who tried, as a message says it after "found"."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "a directory"
        case EndlessFileError():
            return str(error)
        case OSError(strerror=str(reason)):
            return f"that it cannot be read ({_one_line(reason)})"
        case _:
            return f"a name that no file has ({_one_line(str(error))})"


def read_yaml(data: bytes, faults: Faults) -> Node | None:
    """The root node of ``data``, or ``None`` if there is none to be had; faults go to ``faults``."""
    try:
        return _Composer(_decode(data), faults).root()
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
        self._text = text
        self._faults = faults
        self._anchors: dict[str, Node] = {}
        self._texts: dict[str, str] = {}  # the first short ones, each kept once
        self._made = 0  # nodes, aliases not counted
        self._next: Callable[[], Any]
        self._mark: Any = None  # of the last event, for errors that have no place of their own

    def root(self) -> Node | None:
        """The first document; whatever the parser raises becomes :class:`_UnreadableError`."""
        parser = None
        try:
            parser = _LOADER(self._text)  # looks at the first character already
            self._next = parser.get_event
            return self._documents()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self._mark
            problem = _one_line(f"{error.problem or error.context}")
            tab = "'\\t'" in problem or "tab character" in problem
            found, wanted = ("a tab", "spaces") if tab else (f"invalid YAML ({problem})", "valid YAML")
            raise _UnreadableError(_place(mark), f"found {found}, expected {wanted}") from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML's own parser lets chr() and int() fail on "\UFFFFFFFF" and on a huge %YAML version.
            raise _UnreadableError(
                _place(self._mark), f"found invalid YAML ({_one_line(str(error))}), expected valid YAML"
            ) from None
        finally:
            if parser is not None:
                parser.dispose()

    def _documents(self) -> Node | None:
        root: Node | None = None
        while (event := self._next()) is not None:
            self._mark = event.start_mark
            if type(event) is DocumentStartEvent:
                if root is not None:
                    self._faults.add(_place(event.start_mark), "found a second document, expected one")
                    return root
                root = self._node(self._next(), 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._mark = mark = event.start_mark
        at: int = mark.line << _COLUMN_BITS | mark.column
        kind = type(event)
        if depth > DEEPEST:
            raise _UnreadableError(place_at(at), f"found more than {DEEPEST} levels of nesting, expected a scenario")
        if kind is ScalarEvent and event.tag is None and event.anchor is None:  # most of a file
            self._made += 1
            return ScalarNode(at, self._kept(event.value), not event.style)
        if kind is AliasEvent:
            return self._aliased(event, at)
        if event.tag is not None:
            self._faults.add(place_at(at), f"found the tag {quote(event.tag)}, expected a value without one")
        node: Node
        if kind is ScalarEvent:
            node = ScalarNode(at, self._kept(event.value), not event.style)
        elif kind is SequenceStartEvent:
            node = self._list(at, depth + 1)
        else:
            node = self._map(at, depth + 1)
        self._made += 1
        if node.values > MOST_VALUES:
            found = "more" if self._made > MOST_VALUES else "aliases for more"
            raise _UnreadableError(place_at(at), f"found {found} than {MOST_VALUES} values, expected fewer")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _kept(self, text: str) -> str:
        """``text``, the same object for the same short text: a file of many steps has few different words."""
        kept = self._texts.get(text)
        if kept is not None:
            return kept
        if len(text) <= _SHORT and len(self._texts) < _TEXTS_KEPT:
            self._texts[text] = text
        return text

    def _aliased(self, event: Any, at: int) -> Node:
        if event.anchor not in self._anchors:
            raise _UnreadableError(
                place_at(at), f"found the alias {quote(str(event.anchor))}, expected one of an anchor before it"
            )
        return self._anchors[event.anchor]

    def _list(self, at: int, depth: int) -> ListNode:
        items: list[Node] = []
        values = 1
        while type(event := self._next()) is not SequenceEndEvent:
            node = self._node(event, depth)
            values += node.values
            items.append(node)
        self._mark = event.start_mark
        return ListNode(at, tuple(items), values)

    def _map(self, at: int, depth: int) -> MapNode:
        flat: list[Any] = []
        seen: dict[str, int] = {}
        values = 1
        following, shallow = self._next, depth <= DEEPEST
        while type(event := following()) is not MappingEndEvent:
            if shallow and type(event) is ScalarEvent and event.tag is None and event.anchor is None:
                # Most of a file, written out: what _node() would do, without a node for the key.
                self._mark = event.start_mark
                self._made += 1
                mark = self._mark
                text, place, plain = self._kept(event.value), mark.line << _COLUMN_BITS | mark.column, not event.style
            else:
                key = self._node(event, depth)
                if not isinstance(key, ScalarNode):
                    self._node(following(), depth)
                    self._faults.add(key.where, f"found {describe(key)} as a key, expected a name")
                    continue
                text, place, plain = key.text, key.at, key.plain
            value = self._node(following(), depth)
            if text in seen:
                first = place_at(seen[text])
                self._faults.add(
                    place_at(place),
                    f"found the key {quote(text)} again, expected it once (first at {first.line}:{first.column})",
                )
            else:
                seen[text] = place
                values += 1 + value.values
                flat += (text, place << 1 | plain, value)
        self._mark = event.start_mark
        return MapNode(at, tuple(flat), values)
