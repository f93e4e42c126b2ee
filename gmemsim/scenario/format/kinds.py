# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of value a scenario file can hold: how each is read, and how a JSON Schema describes it.

Theory of operation
-------------------
Every key of a scenario file is an attribute of an attrs class, annotated with a :class:`Kind`::

    offset: Annotated[int, Size("first byte", aligned=True)] = 0

The loader and the JSON Schema are both derived from these annotations (:func:`table`), so they cannot
disagree, and a new key is one line in one class.  A :class:`Scalar` reads one YAML scalar; the other kinds
are composite and say only what is inside, which is all that ``load`` needs to walk them.

Scalars are read here and not by PyYAML: YAML 1.1 takes ``on`` for a truth value, ``010`` for eight and
``1:30`` for ninety.  In a scenario file a number is plain decimal digits, ``true`` and ``false`` are the
only truth values, and everything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_args, get_origin, get_type_hints

import attrs

from gmemsim.errors import ERRNO_NAMES
from gmemsim.gmem.policy import KEYS, Key, Parameter, Policy
from gmemsim.host.work import COUNTERS
from gmemsim.messages import SHOWN, did_you_mean, quote
from gmemsim.units import SIZE_UNITS, TIME_UNITS, parse_duration, parse_price, parse_size, size_name, spelling_hint

LARGEST = (1 << 63) - 1
"""Offsets are the kernel's ``loff_t`` and times a signed 64-bit count of nanoseconds (292 years)."""

ALL: Final = "all"
"""The size of a range that ends where the guest's memory does."""

LONGEST_SCALAR = 200
"""Characters in one scalar (the title is the longest); longer text is taken for a mistake."""

N = TypeVar("N", int, float)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)


@attrs.frozen
class Kind:
    """What a key holds: ``doc`` is one line for people, ``key`` its name in the file where the attribute's differs."""

    doc: str
    key: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Scalar(Kind):
    """A kind that one YAML scalar holds."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        raise NotImplementedError

    def read(self, text: str, *, plain: bool) -> Any:
        """The value of ``text`` (``plain``: not quoted in the file); ``ValueError`` "found …, expected …"."""
        raise NotImplementedError

    def wrong(self, text: str, *, hint: str = "") -> ValueError:
        """The exception for a ``text`` that this kind does not take; ``hint`` (default: none) ends its message."""
        return ValueError(f"found {quote(text)}, expected {self.expected}{hint}")

    def json(self) -> dict[str, Any]:
        """The JSON Schema of the value."""
        raise NotImplementedError


def _quantity(kind: Scalar, text: str, parse: Callable[[str], N], units: dict[str, int], least: int) -> N:
    """A size or a time: what ``parse`` reads with ``units``, from ``least`` to :data:`LARGEST`."""
    if len(text) > SHOWN or not text.replace("µ", "u").isascii():  # \d is every script's digits
        raise kind.wrong(text)
    if text.startswith("-"):
        raise kind.wrong(text, hint=", not negative")
    try:
        value = parse(text)
    except ValueError as error:
        if ", which is not" in str(error):
            raise
        raise kind.wrong(text, hint=spelling_hint(text, units)) from None
    if value > LARGEST:
        raise ValueError(f"found {quote(text)}, expected less than 2^63")
    if value < least:
        raise ValueError(f"found {quote(text)}, expected more than 0")
    return value


@attrs.frozen
class Size(Scalar):
    """Bytes, with a unit.  ``aligned``: a multiple of the host's page size, which the loader checks.

    ``zero`` permits 0; ``allowed`` lists the only sizes there are; ``unlimited`` also takes that word, for
    ``None``; ``whole`` takes the word :data:`ALL`, which stays as it is: only a guest's memory makes it a number.
    """

    aligned: bool = attrs.field(default=False, kw_only=True)
    zero: bool = attrs.field(default=False, kw_only=True)
    allowed: tuple[int, ...] = attrs.field(default=(), kw_only=True)
    unlimited: bool = attrs.field(default=False, kw_only=True)
    whole: bool = attrs.field(default=False, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        if self.allowed:
            return "one of " + ", ".join(map(size_name, self.allowed))
        word = ", or unlimited" if self.unlimited else f", or {ALL}" if self.whole else ""
        return f"a size with a unit, such as 4K or 1G{word}"

    def read(self, text: str, *, plain: bool) -> int | str | None:
        """Bytes, ``None`` for "unlimited", or :data:`ALL`."""
        value = SIZE_UNITS.usual(text)
        if not 0 < value <= LARGEST:
            if self.unlimited and text == "unlimited":
                return None
            if self.whole and text == ALL:
                return ALL
            value = _quantity(self, text, parse_size, SIZE_UNITS, 0 if self.zero else 1)
        if self.allowed and value not in self.allowed:
            raise self.wrong(text)
        return value

    def json(self) -> dict[str, Any]:
        """A string with a unit, or the number 0 where that is permitted."""
        if self.allowed:
            return {"enum": list(map(size_name, self.allowed))}
        word = "|unlimited" if self.unlimited else f"|{ALL}" if self.whole else ""
        pattern = rf"\d+(\.\d+)?\s*[BKMGTP](iB)?|0[xX][0-9a-fA-F]+{word}"
        text: dict[str, Any] = {"type": "string", "pattern": f"^({pattern})$"}
        return {"anyOf": [text, {"const": 0}]} if self.zero else text


@attrs.frozen
class Duration(Scalar):
    """Nanoseconds, with a unit; 0 is permitted unless ``zero`` is false."""

    zero: bool = attrs.field(default=True, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "a time with a unit (ns, us, ms, s or min), such as 10ms"

    def read(self, text: str, *, plain: bool) -> int:
        """Nanoseconds."""
        value = TIME_UNITS.usual(text)
        if 0 < value <= LARGEST:
            return value
        return _quantity(self, text, parse_duration, TIME_UNITS, 0 if self.zero else 1)

    def json(self) -> dict[str, Any]:
        """A string with a unit, or the number 0 where that is permitted."""
        text = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ns|us|µs|ms|s|min)$"}
        return {"anyOf": [text, {"const": 0}]} if self.zero else text


@attrs.frozen
class UnitPrice(Duration):
    """Nanoseconds for one unit of work, with a unit; they need not be whole."""

    def read(self, text: str, *, plain: bool) -> float:  # type: ignore[override]
        """Nanoseconds."""
        return _quantity(self, text, parse_price, TIME_UNITS, 0)


@attrs.frozen
class Count(Scalar):
    """A whole number from ``least`` to ``most``."""

    least: int = attrs.field(default=0, kw_only=True)
    most: int = attrs.field(default=LARGEST, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        if self.most == LARGEST:
            return f"a whole number from {self.least}"
        return f"a whole number from {self.least} to {self.most}"

    def read(self, text: str, *, plain: bool) -> int:
        """The number."""
        if not plain or len(text) > SHOWN or not _INTEGER.fullmatch(text):
            raise self.wrong(text)
        value = int(text)
        if not self.least <= value <= self.most:
            raise self.wrong(text)
        return value

    def json(self) -> dict[str, Any]:
        """An integer with its bounds."""
        schema: dict[str, Any] = {"type": "integer", "minimum": self.least}
        return schema if self.most == LARGEST else schema | {"maximum": self.most}


@attrs.frozen
class Number(Scalar):
    """A number from ``least`` to ``most``, an int if it is written as one."""

    least: int = attrs.field(default=-LARGEST, kw_only=True)
    most: int = attrs.field(default=LARGEST, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "a plain decimal number" if self.most == LARGEST else f"a number from {self.least} to {self.most}"

    def read(self, text: str, *, plain: bool) -> int | float:
        """The number."""
        if not plain or len(text) > SHOWN or not _NUMBER.fullmatch(text):
            raise self.wrong(text)
        value = int(text) if _INTEGER.fullmatch(text) else float(text)
        if not self.least <= value <= self.most:
            raise self.wrong(text)
        return value

    def json(self) -> dict[str, Any]:
        """A number with its bounds, where it has any."""
        if self.most == LARGEST:
            return {"type": "number"}
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@attrs.frozen
class Choice(Scalar):
    """One of ``known`` or ``more``, spelled exactly.  ``known`` may be a registry: it is read whenever a value is."""

    known: Iterable[str]
    more: tuple[str, ...] = attrs.field(default=(), kw_only=True)

    @property
    def values(self) -> tuple[str, ...]:
        """All that there are now."""
        return *self.known, *self.more

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "one of " + ", ".join(self.values)

    def read(self, text: str, *, plain: bool) -> str:
        """The value itself."""
        values = self.values
        if text not in values:
            raise self.wrong(text, hint=did_you_mean(text, values))
        return text

    def json(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.values)}


@attrs.frozen
class Errno(Scalar):
    """The symbolic name of an errno, such as ``EAGAIN``."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "the name of an errno, such as EAGAIN"

    def read(self, text: str, *, plain: bool) -> str:
        """The name itself."""
        if text not in ERRNO_NAMES:
            raise self.wrong(text, hint=did_you_mean(text, ERRNO_NAMES))
        return text

    def json(self) -> dict[str, Any]:
        """A name in capitals."""
        return {"type": "string", "pattern": "^E[A-Z0-9]+$"}


@attrs.frozen
class Flag(Scalar):
    """``true`` or ``false``, and none of YAML 1.1's other words for them."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "true or false"

    def read(self, text: str, *, plain: bool) -> bool:
        """The truth value."""
        if not plain or text not in ("true", "false"):
            raise self.wrong(text)
        return text == "true"

    def json(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@attrs.frozen
class Name(Scalar):
    """A name: a letter, then letters, digits, ``_`` and ``-``."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "a name (a letter, then letters, digits, _ and -)"

    def read(self, text: str, *, plain: bool) -> str:
        """The name itself."""
        if not _NAME.fullmatch(text):
            raise self.wrong(text)
        return text

    def json(self) -> dict[str, Any]:
        """A string of those characters."""
        return {"type": "string", "pattern": f"^{_NAME.pattern}$"}


@attrs.frozen
class Text(Scalar):
    """One line of text."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "one line of text"

    def read(self, text: str, *, plain: bool) -> str:
        """The text without surrounding spaces."""
        text = text.strip()
        if not text or not text.isprintable():
            raise self.wrong(text)
        return text

    def json(self) -> dict[str, Any]:
        """A string, or what an editor takes for something else."""
        return {"type": ["string", "number", "boolean"], "minLength": 1}


@attrs.frozen
class Record(Kind):
    """A mapping whose keys are the attributes of the attrs class ``of``; ``what`` is its name in messages."""

    of: type[Any]
    what: str


@attrs.frozen
class FileName(Text):
    """The name of a file, relative to the scenario's folder in the file, to the current folder as a value."""

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return "the name of a file"

    def read(self, text: str, *, plain: bool) -> str:
        """The name itself; it may have any character that a file's name can have."""
        if not text or "\0" in text:
            raise self.wrong(text)
        return text

    def json(self) -> dict[str, Any]:
        """A string."""
        return {"type": "string", "minLength": 1}


@attrs.frozen
class Items(Kind):
    """A list; the loader knows of what."""


@attrs.frozen
class Inner(Kind):
    """The generators that a step is made of; the loader reads them as it reads the workload."""


@attrs.frozen
class Records(Kind):
    """A list of mappings whose keys are the attributes of the attrs class ``of``; ``what`` names one in messages."""

    of: type[Any]
    what: str


@attrs.frozen
class Pools(Kind):
    """A mapping of hugepage sizes to how many the host has, ``{1G: 4}``."""

    size: ClassVar = Size("a hugepage")
    number: ClassVar = Count("how many there are")


@attrs.frozen
class Prices(Kind):
    """A mapping of counters of work to the price of one, ``{rmp_updates: 250ns}``."""

    counter: ClassVar = Choice("a counter of work", COUNTERS)
    price: ClassVar = UnitPrice("what one costs")


@attrs.frozen
class PolicyRule(Kind):
    """A policy's value for ``of``, a key whose rules may take a ``parameter``: a rule's name, or
    ``{PARAMETER: VALUE}``.
    """

    of: Key
    parameter: Parameter

    @property
    def names(self) -> Choice:
        """The rules that have a name."""
        return Choice(self.doc, self.of.rules)

    @property
    def also(self) -> tuple[str, ...]:
        """What the names of the parameter's second key may be; none if it has no such key."""
        return () if self.parameter.names is None else self.parameter.names.names()

    @property
    def number(self) -> Count:
        """The parameter's number, or each of its numbers."""
        most = LARGEST if self.parameter.most is None else self.parameter.most
        return Count(self.doc, least=self.parameter.least, most=most)


def _is_required(entry: Entry) -> bool:
    return entry.default is attrs.NOTHING


def _maker(entry: Entry) -> Callable[[], Any]:
    default = entry.default
    factory: Callable[[], Any] = getattr(default, "factory", lambda: default)
    return factory


@attrs.frozen(eq=False)
class Entry:
    """A ``key`` of mappings: the ``attribute`` set, its ``kind``, its ``default`` (``attrs.NOTHING``: required)."""

    key: str
    attribute: str
    kind: Kind
    default: Any
    required: bool = attrs.field(init=False, default=attrs.Factory(_is_required, takes_self=True))
    """Whether the file must have the key."""
    absent: Callable[[], Any] = attrs.field(init=False, default=attrs.Factory(_maker, takes_self=True))
    """Makes the value of a key that the file does not have."""


def table(cls: type[Any]) -> dict[str, Entry]:
    """The keys of ``cls`` in a scenario file: its attributes that carry a kind, in the order of the class."""
    if cls not in _TABLES:
        _TABLES[cls] = _make_table(cls)
    return _TABLES[cls]


_TABLES: dict[type[Any], dict[str, Entry]] = {}
"""What :func:`table` has made, for files with many steps (``functools.cache`` does not type-check here)."""


def _make_table(cls: type[Any]) -> dict[str, Entry]:
    if cls is Policy:
        defaults = signature(Policy).parameters
        return {name: Entry(name, name, _kind_of(key), defaults[name].default) for name, key in KEYS.items()}
    kinds = _annotated(cls)
    entries = [
        Entry(kinds[field.name].key or field.name, field.name, kinds[field.name], field.default)
        for field in attrs.fields(cls)
        if field.name in kinds
    ]
    return {entry.key: entry for entry in entries}


def _kind_of(key: Key) -> Kind:
    """The kind of a policy's key; ``gmem.policy`` knows nothing of kinds, so that its values have no annotations."""
    return Choice(key.doc, key.rules) if key.parameter is None else PolicyRule(key.doc, key, key.parameter)


def _annotated(cls: type[Any]) -> dict[str, Kind]:
    hints = get_type_hints(cls, include_extras=True)
    return {
        name: kind
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
        for kind in get_args(hint)[1:]
        if isinstance(kind, Kind)
    }


OWN_POLICY: Final[Mapping[str, Entry]] = {
    "python": Entry("python", "path", FileName("the Python file of a policy of one's own"), attrs.NOTHING),
    "class": Entry("class", "name", Text("the class in it that answers the policy's questions"), attrs.NOTHING),
}
"""The keys of a policy that a Python file answers for; run only with ``--allow-python``."""
