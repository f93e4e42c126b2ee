# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies of one's own: a Python file with a class that answers a policy's questions.

Theory of operation
-------------------
The class says what a policy's keys are as attributes (``when = "fault"``), and answers questions as methods, each of
which may be left out::

    rungs(self, order, geometry)   orders that a hugepage of ``order`` passes through, from ``order`` down to 0
    may_split(self, touch)         does this touch by the host split the folio?  Asked where ``when`` is ``fault``
    may_merge(self, block)         may this block, all of whose pages are private, be merged?

:class:`Touch` and :class:`Block` are all that it is told, times included.  One object answers for all guests, for the
whole run and in every process, so it must not remember anything: then a result does not depend on what ran before.

The code is the user's, so nothing that it does may look like a mistake of gmemsim: whatever it raises becomes a
:class:`Fault` with its file and line, and every answer is checked before it is used.

What may live here: how such a file is read and asked.  What is done with the answers is where other policies are asked.
"""

from __future__ import annotations

import ast
import os
import re
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.host.geometry import Geometry
from gmemsim.messages import did_you_mean, quote

WRITTEN: Final = re.compile(r"(.+\.py):([A-Za-z_][A-Za-z0-9_]*)", re.DOTALL)
"""How the command line writes one: ``policy.py:Lazy``."""

QUESTIONS: Final = ("rungs", "may_split", "may_merge")
"""The methods that are asked."""


@attrs.frozen(kw_only=True)
class Touch:
    """The host touches a shared folio that is not split: shall it be?

    ``guest`` is the guest's name, ``offset`` (bytes) where the folio begins in its file, ``order`` the folio's.
    ``number`` says how often the host has touched it since it is a folio of this order, this time included.  ``now`` is
    the simulated time in ns.  A touch that does not split is served without mapping the page, so the next one asks
    again.
    """

    guest: str
    offset: int
    order: int
    number: int
    now: int


@attrs.frozen(kw_only=True)
class Block:
    """Folios that could be merged into one of ``order``: all pages are private.

    ``guest`` is the guest's name, ``offset`` (bytes) where the block begins in its file.  ``private_for`` is the time
    in ns since a page of it was converted, since the start if none was; ``splits`` how often the block has been split.
    ``now`` is the simulated time in ns.  It is asked of at the conversion after which all are private, and if the
    answer is no, again before each later call of the guest.
    """

    guest: str
    offset: int
    order: int
    private_for: int
    splits: int
    now: int


class Own:
    """The answers of the class ``name`` in the file ``path``; ``answers`` is an object of it."""

    def __init__(self, path: str, name: str, answers: Any) -> None:
        self.path = path
        self.name = name
        self._answers = answers
        self.load = load_own
        """Makes the policy again, in another process."""
        self.has = {question for question in QUESTIONS if hasattr(answers, question)}
        """The questions that it answers."""

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        """The orders from ``order`` to 0, with ``geometry`` told; :class:`InputError` for what is not possible."""
        found = self._ask("rungs", order, geometry)
        whole = isinstance(found, (tuple, list)) and all(type(rung) is int for rung in found)
        if not whole or len(found) < 2 or found[0] != order or found[-1] or any(a <= b for a, b in pairwise(found)):
            raise self._wrong("rungs", found, f"decreasing orders from {order} to 0, such as ({order}, 0)")
        return tuple(found)

    def may_split(self, guest: str, offset: int, order: int, number: int, now: int) -> bool:
        """Whether a touch splits the folio; :class:`InputError` for an answer that is none.

        ``guest``, ``offset``, ``order``, ``number`` and ``now`` are those of :class:`Touch`.
        """
        return self._yes("may_split", Touch(guest=guest, offset=offset, order=order, number=number, now=now))

    def may_merge(self, guest: str, offset: int, order: int, private_for: int, splits: int, now: int) -> bool:
        """Whether a block may be merged; :class:`InputError` for an answer that is none.

        ``guest``, ``offset``, ``order``, ``private_for``, ``splits`` and ``now`` are those of :class:`Block`.
        """
        block = Block(guest=guest, offset=offset, order=order, private_for=private_for, splits=splits, now=now)
        return self._yes("may_merge", block)

    def as_file(self) -> dict[str, str]:
        """How a scenario file writes it."""
        return {"python": self.path, "class": self.name}

    def _yes(self, question: str, about: Touch | Block) -> bool:
        found = self._ask(question, about)
        if not isinstance(found, bool):
            raise self._wrong(question, found, "True or False")
        return found

    def _ask(self, question: str, *arguments: object) -> Any:
        return _run(self.path, f"{self.name}.{question}", lambda: getattr(self._answers, question)(*arguments))

    def _wrong(self, question: str, found: object, expected: str) -> InputError:
        code = getattr(getattr(self._answers, question), "__code__", None)
        line = 0 if code is None else code.co_firstlineno
        told = _run(self.path, f"repr of the answer of {self.name}.{question}", lambda: repr(found))
        message = f"found the answer {quote(told)} of {self.name}.{question}, expected {expected}"
        return InputError([Fault(self.path, line, 1 if line else 0, message)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and (self.path, self.name) == (other.path, other.name)

    def __hash__(self) -> int:
        return hash((self.path, self.name))

    def __repr__(self) -> str:
        return f"{self.path}:{self.name}"


_loaded: dict[tuple[str, int, int], ModuleType] = {}
"""Files that have been run, by what they were then."""


def load_own(path: str, name: str) -> Policy:
    """The policy that the class ``name`` in the Python file ``path`` answers for; it runs that file.

    :class:`InputError` with the file and the line for whatever goes wrong in it, and for what is no policy.
    """
    own = _own(path, name)
    keys = _keys(own)
    try:
        policy = Policy(**keys)
        policy.answer_by(own, "rungs" in own.has, "may_split" in own.has, "may_merge" in own.has)
    except ValueError as error:
        raise InputError([_place_of(own)._replace(message=f"found a policy that makes no sense: {error}")]) from None
    return policy


def _own(path: str, name: str) -> Own:
    module = _module(path)
    made = getattr(module, name, None)
    if not isinstance(made, type):
        known = [key for key, value in vars(module).items() if isinstance(value, type)]
        hint = did_you_mean(name, known) or (f": {', '.join(known)}" if known else "")
        raise InputError([Fault(path, 0, 0, f"found no class {quote(name)}, expected one that answers{hint}")])
    return Own(path, name, _run(path, name, made))


def _module(path: str) -> ModuleType:
    """The file as a module; it is run again only if it has changed."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of any name at all
        key = (os.path.abspath(path), status.st_mtime_ns, status.st_size)  # noqa: PTH100 - as above
        if key not in _loaded:
            source = Path(path).read_text(encoding="utf-8")
            module = ModuleType(f"gmemsim_policy_{len(_loaded)}")
            module.__file__ = path
            code = _run(path, "", lambda: compile(source, path, "exec"))
            _run(path, "", lambda: exec(code, vars(module)))
            _loaded[key] = module
        return _loaded[key]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError([Fault(path, 0, 0, f"found no Python file that can be read ({reason})")]) from None


def _keys(own: Own) -> Mapping[str, Any]:
    """The keys of a policy that the class has as attributes."""
    found: dict[str, Any] = {}
    for attribute in dir(own._answers):
        if attribute.startswith("_") or attribute in QUESTIONS:
            continue
        value = _run(own.path, f"{own.name}.{attribute}", partial(getattr, own._answers, attribute))
        if attribute in KEYS:
            found[attribute] = _value(own, attribute, value)
            continue
        known = (*KEYS, *QUESTIONS)
        hint = did_you_mean(attribute, known) or f": {', '.join(known)}"
        message = f"found {own.name}.{attribute}, expected a name that begins with _, or a policy's{hint}"
        raise InputError([_place_of(own)._replace(message=message)])
    return found


def _value(own: Own, key: str, value: Any) -> Any:
    """What :class:`Policy` wants for ``key``: text as ``--policy`` takes it, or a ladder's orders."""
    if isinstance(value, (tuple, list)) and key == "split" and all(type(order) is int for order in value):
        return tuple(value)
    try:
        if isinstance(value, str):
            return KEYS[key].from_text(value)
        raise ValueError(f"found {quote(repr(value))}, expected text as in --policy NAME={key}:TEXT")
    except ValueError as error:
        raise InputError([_place_of(own)._replace(message=f"{own.name}.{key}: {error}")]) from None


def _place_of(own: Own) -> Fault:
    """Where the class begins; the file as a whole if it is not written there."""
    tree = ast.parse(Path(own.path).read_text(encoding="utf-8"))
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == own.name]
    return Fault(own.path, lines[-1], 1, "") if lines else Fault(own.path, 0, 0, "")


def _run(path: str, what: str, call: Callable[[], Any]) -> Any:
    """What ``call`` returns; whatever it raises is a fault of the file ``path``, told with the line in it."""
    try:
        return call()
    except InputError:
        raise
    except SyntaxError as error:
        told = f"found {error.msg}, expected Python"
        raise InputError([Fault(path, error.lineno or 0, error.offset or 1, told)]) from None
    except (Exception, SystemExit) as error:
        of_file = os.path.abspath(path)  # noqa: PTH100 - of any name at all; it may have been read by another one
        stack = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in stack if os.path.abspath(frame.filename) == of_file]  # noqa: PTH100 - as above
        line, column = (frames[-1].lineno or 0, (frames[-1].colno or 0) + 1) if frames else (0, 0)
        reason = " ".join(str(error).split())
        told = f"found {type(error).__name__}{f' ({reason})' if reason else ''}"
        raise InputError([Fault(path, line, column, f"{told}{f' in {what}' if what else ''}")]) from None
