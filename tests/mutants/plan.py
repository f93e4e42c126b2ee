# SPDX-License-Identifier: GPL-2.0-or-later
"""Which mutants there are, and how one is made.

A mutant is one of the sources with one small mistake.  The mistakes are operators of Cosmic Ray (a library: it finds
the places in parso's syntax tree and changes one) and :class:`DeleteStatement`, which it lacks.  Of Cosmic Ray's
operators those are left out that only a reader's eye could tell from others of the list, or that nearly every test
kills: eleven replacements of a ``+`` are one question asked eleven times, and would make the share of killed mutants
look better than the tests are.

No place is mutated where a mutant could not be told from the original by any result: annotations, docstrings,
``TYPE_CHECKING``, the ``strict=True`` of a ``zip`` (it asserts that lengths are equal), the size of an ``lru_cache``.

A sample is drawn by what each mutant is, not by a shuffle of all: whoever changes a source changes the sample where the
source has changed, and anyone who has that revision draws the same one again.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import frozen

ROOT: Final = Path(__file__).resolve().parents[2]

ROOMS: Final = ("xarray", "host", "gmem")
"""The rooms that are mutated."""

OPERATORS: Final = (
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_FloorDiv", "FloorDiv_Mul", "Mod_FloorDiv")
    ),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Div_Mul", "LShift_RShift", "RShift_LShift", "Pow_Mul")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitAnd")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Eq_GtE")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "Gt_LtE")),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Invert"),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    *("ZeroIterationForLoop", "DeleteStatement"),
)
"""Names of the operators that are used."""


class Operator(Protocol):
    """Cosmic Ray's interface of an operator."""

    def mutation_positions(self, node: Any) -> Any:
        """Where it can change ``node``: pairs of a start and an end, each a line and a column."""

    def mutate(self, node: Any, index: int) -> Any:
        """``node`` after the change number ``index``."""


class DeleteStatement:
    """Puts ``pass`` in the place of an assignment or a call in a function: something that is done is left out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """The statement, if it is one that is deleted."""
        if node.type == "simple_stmt" and _enclosing(node) and node.children[0].type in ("expr_stmt", "atom_expr"):
            first = node.children[0]
            yield first.start_pos, first.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """``node`` with ``pass`` as its first part."""
        assert index == 0
        first = node.children[0]
        leaf = _parsed("pass").children[0]
        leaf.prefix = first.get_first_leaf().prefix
        leaf.parent = node
        node.children[0] = leaf
        return node


PARTED: Final = frozenset(
    ("file_input", "suite", "error_node", "if_stmt", "while_stmt", "for_stmt", "try_stmt", "with_stmt")
) | {"funcdef", "parameters", "classdef", "decorated", "decorators"}
"""Syntax nodes whose parts are changed each by itself: a condition is one part, what depends on it another."""


def _enclosing(node: Any) -> bool:
    """Whether a syntax node lies in a function."""
    while node.parent is not None:
        node = node.parent
        if node.type == "funcdef":
            return True
    return False


@frozen(order=True)
class Mutant:
    """One mistake in one source."""

    module: str
    """The source, relative to the root of the repository."""
    line: int
    column: int
    operator: str
    occurrence: int
    """Which of the operator's places in the source, from 0."""
    function: str = ""
    """The outermost function around it with its class, empty if there is none."""
    text: str = ""
    """The function or class around it and the statement it lies in, or the part of it, without layout and comments."""
    number: int = 0
    """Which of the operator's mutants of such a text, from 0."""

    @property
    def key(self) -> str:
        """What names it, wherever in the source it stands and whatever else the source holds."""
        return f"{self.module}: {self.text}: {self.operator}#{self.number}"

    def rank(self, seed: int) -> str:
        """Where it stands among all, by ``seed``."""
        return hashlib.sha256(f"{seed}: {self.key}".encode()).hexdigest()

    @property
    def room(self) -> str:
        """The room that its source lies in."""
        return self.module.split("/")[1]


def operator(name: str) -> Operator:
    """The operator of that name."""
    if name == "DeleteStatement":
        return DeleteStatement()
    from cosmic_ray.operators.provider import OperatorProvider

    made: Operator = OperatorProvider()[name]()
    return made


def sources() -> list[str]:
    """The sources that are mutated, relative to the root."""
    return [str(path.relative_to(ROOT)) for room in ROOMS for path in sorted((ROOT / "gmemsim" / room).rglob("*.py"))]


def mutants(module: str, text: str, names: Sequence[str] = OPERATORS) -> list[Mutant]:
    """Every mutant of the source ``text`` of ``module`` by the operators of those ``names``."""
    places = Places(text)
    counts, equal = Counter[str](), Counter[tuple[str, str]]()
    found = []
    operators = [(name, operator(name)) for name in names]
    tree = _parsed(text)
    for node in _nodes(tree):
        for name, one in operators:
            for start, _ in one.mutation_positions(node):
                occurrence = counts[name]
                counts[name] += 1
                if not places.meaningless(start):
                    what = _named(tree.get_leaf_for_position(start, include_prefixes=True))
                    (line, column), number = start, equal[name, what]
                    equal[name, what] += 1
                    function = places.function(start)
                    found.append(Mutant(module, line, column, name, occurrence, function, what, number))
    return found


def mutate(text: str, mutant: Mutant) -> str:
    """The source of a mutant, ``text`` being that of the original."""
    tree = _parsed(text)
    one = operator(mutant.operator)
    count = 0
    for node in _nodes(tree):
        positions = len(list(one.mutation_positions(node)))
        if count + positions > mutant.occurrence:
            parent = node.parent
            place = parent.children.index(node) if parent is not None else 0
            changed = one.mutate(node, mutant.occurrence - count)
            if parent is not None:
                parent.children[place] = changed
            code: str = tree.get_code()
            return code
        count += positions
    raise ValueError(f"{mutant.key}: there is no such place")


def _parsed(text: str) -> Any:
    """The syntax tree of a source."""
    import parso

    return parso.parse(text)  # type: ignore[no-untyped-call]


def _nodes(tree: Any) -> Iterator[Any]:
    """All nodes of a syntax tree, from the top."""
    rest = [tree]
    while rest:
        node = rest.pop()
        yield node
        rest += reversed(getattr(node, "children", ()))


def _named(leaf: Any) -> str:
    """What names the place of a leaf: functions and classes around it, and the text of its part of a statement."""
    part = leaf
    while part.type != "simple_stmt" and part.parent.type not in PARTED:
        part = part.parent
    scope, node = [], part
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            scope.append(node.name.value)
        node = node.parent
    text = " ".join(one.value for one in _nodes(part) if hasattr(one, "value")).strip(" ,\n")
    return f"{'.'.join(reversed(scope))}: {text}"


def sample(found: Sequence[Mutant], seed: int) -> list[Mutant]:
    """All of them in an order that ``seed`` decides: the first N are a sample of N.

    Where a mutant stands depends on it alone, so that another one more or less moves no other before or behind a third.
    """
    return sorted(found, key=lambda mutant: mutant.rank(seed))


class Places:
    """What lies where in a source."""

    def __init__(self, text: str) -> None:
        self._meaningless: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._functions: list[tuple[tuple[int, int], tuple[int, int], str]] = []
        self._visit(ast.parse(text), "")

    def _visit(self, node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                self._visit(child, f"{name}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                self._functions.append((_start(child.body[0]), _end(child), name + child.name))
        for child in ast.walk(node):
            annotations = [getattr(child, field, None) for field in ("annotation", "returns")]
            self._meaningless += [(_start(one), _end(one)) for one in annotations if isinstance(one, ast.expr)]
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                self._meaningless.append((_start(child), _end(child)))
            if isinstance(child, ast.Call):
                self._meaningless += [(_start(one), _end(one)) for one in _without_result(child)]

    def meaningless(self, place: tuple[int, int]) -> bool:
        """Whether nothing that runs lies there."""
        return any(start <= place < end for start, end in self._meaningless)

    def function(self, place: tuple[int, int]) -> str:
        """The outermost function in whose body the place lies."""
        return next((name for start, end, name in self._functions if start <= place < end), "")


def _without_result(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call on which no result depends: an assertion, or how much is remembered."""
    match ast.unparse(call.func):
        case "zip":
            return [one.value for one in call.keywords if one.arg == "strict" and ast.unparse(one.value) == "True"]
        case "lru_cache" | "functools.lru_cache":
            return [*call.args, *(one.value for one in call.keywords if one.arg == "maxsize")]
        case _:
            return []


def _start(node: ast.stmt | ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.stmt | ast.expr) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset
