# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversion policy: how a hugepage is split, when it is merged, what happens to its vmemmap, in which order.

Theory of operation
-------------------
A :class:`Policy` is made of one *rule* for each key (``gmem.rules``).  Names are resolved when the policy is made, and
an unknown one is refused there.  From then on nobody looks at names: the code that converts, splits and merges asks the
policy questions (:meth:`Policy.rungs`, :attr:`Policy.splits_at_conversion`, …), and the policy asks its rules.

What may live here: the questions, and how a policy is written in files and on the command line.

The kernel *generation* (DOMAIN.md, first table) is a value of its own.  An ordering belongs to one generation, so
either may be given and implies the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gmemsim.gmem.rules import (
    GENERATIONS,
    MERGES,
    ORDERINGS,
    RESTRUCTURE_FIRST,
    SPLIT_FAILURES,
    SPLITS,
    VMEMMAPS,
    WHENS,
    Generation,
    Hysteresis,
    Ladder,
    MergeRule,
    Ordering,
    SplitRule,
    VmemmapRule,
)
from gmemsim.host.geometry import Geometry
from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry

_LADDER: Final = re.compile(r"(\d+(?:-\d+)+)(?:@([a-z]+(?:-[a-z]+)*))?", re.ASCII)
_HYSTERESIS: Final = re.compile(r"hysteresis-(\d+)", re.ASCII)


class Policy:
    """One conversion policy; ``ValueError`` with the reason for a value that makes no sense.

    ``split``: ``"uniform"`` (default), ``"staged"``, ``"nonuniform"``, or a tuple of decreasing orders, a ladder; a
    :class:`Ladder` may say of each step when it is carried out.  ``when``: ``"conversion"`` (default) or ``"fault"``;
    not beside a ladder that says it.  ``merge``: ``"eager"`` (default), ``"cleanup"``, ``"never"``
    or a :class:`Hysteresis`.  ``vmemmap``: ``"whole"`` (default), ``"reoptimize"``, ``"partial"`` or ``"off"``.
    ``ordering``: ``"restructure-first"`` (default), ``"attributes-first"``, ``"reserve-first"``, ``"split-first"`` or
    ``"block-abort"``.  ``generation``: ``"A"``, ``"B"`` or ``"D"``; by default that of the ordering.
    ``on_split_failure``: ``"undo"`` (default) or, of ``split-first`` only, ``"keep"``.

    The attributes of these names hold what was given; the other attributes and the methods are the questions that the
    rest of the package asks.  A policy is a value: do not change one.

    >>> policy = Policy(split="staged", generation="A")
    >>> policy.ordering, policy.rungs(18, Geometry(4096)), policy.splits_at_conversion
    ('attributes-first', (18, 9, 0), True)
    """

    own: Any = None
    """Who answers in the rules' place (``gmem.own``), if anybody does."""
    asks_of_touches: bool = False
    """Whether :meth:`may_split_at_touch` must be asked of every touch by the host."""
    asks_of_merges: bool = False
    """Whether :meth:`may_merge_block` must be asked of every block, and again later."""
    _asks_rungs: bool = False

    def __init__(
        self,
        split: str | tuple[int, ...] | Ladder = "uniform",
        when: str | None = None,
        merge: str | Hysteresis = "eager",
        vmemmap: str = "whole",
        ordering: str | None = None,
        generation: str | None = None,
        on_split_failure: str = "undo",
    ) -> None:
        self.split = split.orders if isinstance(split, Ladder) and not split.whens else split
        self.merge = merge
        self.vmemmap = vmemmap
        self.split_rule: SplitRule = SPLITS[split] if isinstance(split, str) else as_ladder(split)
        self.whens: tuple[str, ...] = self.split.whens if isinstance(self.split, Ladder) else (when or "conversion",)
        """When each step is carried out, or one time for all of them."""
        if when is not None and isinstance(self.split, Ladder):
            raise ValueError(f"the ladder says when each step is split, found when: {when} beside it")
        self.when = None if isinstance(self.split, Ladder) else self.whens[0]
        self.merge_rule: MergeRule = MERGES[merge] if isinstance(merge, str) else merge
        self.vmemmap_rule: VmemmapRule = VMEMMAPS[vmemmap]
        self.ordering_rule: Ordering = _ordering(ordering, generation)
        self.ordering = self.ordering_rule.name
        self.generation_rule: Generation = self.ordering_rule.generation
        self.generation = self.generation_rule.name
        self.splits_at_conversion: bool = WHENS[self.whens[0]].at_conversion
        """Whether shared pages are split inside the conversion, by some steps at least."""
        self.splits_at_fault: bool = not WHENS[self.whens[-1]].at_conversion
        """Whether shared pages are split at the first host fault, by some steps at least."""
        enough = not self.splits_at_fault if self.ordering_rule.all_or_nothing else self.splits_at_conversion
        if not enough and self.ordering_rule.needs_conversion_splits:
            raise ValueError(self.ordering_rule.needs_conversion_splits)
        self.on_split_failure = on_split_failure
        self.undoes_splits: bool = SPLIT_FAILURES[on_split_failure].undone
        """Whether a call that fails merges back what it has split."""
        if not self.undoes_splits and not self.ordering_rule.splits_ahead:
            raise ValueError(f"on_split_failure: {on_split_failure} is for ordering split-first, found {self.ordering}")
        self.splits_in_single_steps: bool = self.split_rule.single_steps
        """Whether the kernel takes each step of a split by itself."""
        self.keeps_failed_steps: bool = self.split_rule.keeps_failed_steps
        """Whether a split that fails leaves what it has split so far."""
        self.counts_splits: bool = self.merge_rule.counts_splits
        """Whether :meth:`may_merge` wants to know how often a folio has been split."""
        self.merges_early: bool = self.merge_rule.early
        """Whether folios are merged while the file is open and the memory in use."""
        self.always_merges_early: bool = self.merge_rule.always
        """Whether a block whose pages are all private is one folio after every call that succeeded."""
        self.merges_at_all: bool = self.merge_rule.at_all
        """Whether folios are merged at least when their memory goes back to the pool."""
        self.uses_hvo: bool = self.vmemmap_rule.optimised
        """Whether hugepages in use are optimised."""
        self.pieces_stay_optimised: bool = self.vmemmap_rule.pieces_stay_optimised
        """Whether a piece that is a hugepage itself keeps one vmemmap page only."""
        self.restores_all_first: bool = self.vmemmap_rule.all_first
        """Whether a first split restores all vmemmap, also what is freed again at its end."""

    def rungs(self, backing_order: int, geometry: Geometry) -> tuple[int, ...]:
        """The orders that hugepages of ``backing_order`` pass through, largest first, always ending with 0.

        ``geometry`` says which order a page table maps.
        ``ValueError`` if a ladder does not start at the backing.
        """
        if not backing_order:
            return (0,)
        if self._asks_rungs:
            orders: tuple[int, ...] = self.own.rungs(backing_order, geometry)
            return orders
        return self.split_rule.rungs(backing_order, geometry)

    def conversion_rungs(self, backing_order: int, geometry: Geometry) -> tuple[int, ...]:
        """Those of :meth:`rungs` that folios pass through at conversion; the others are for the first host fault.

        ``backing_order`` is the order of a hugepage in ``geometry``.
        """
        rungs = self.rungs(backing_order, geometry)
        if not self.splits_at_fault:
            return rungs
        return rungs[: 1 + sum([WHENS[when].at_conversion for when in self.whens])]

    def may_merge(self, splits: int) -> bool:
        """Whether a folio that has been split ``splits`` times may be merged early."""
        return self.merge_rule.allows(splits)

    # -- policies of one's own -------------------------------------------------------------------------------------

    def answer_by(self, own: Any, rungs: bool, touches: bool, merges: bool) -> None:
        """Let ``own`` answer the questions on ``rungs``, ``touches`` and ``merges``, while the policy is made.

        ``ValueError`` for a question that will not be asked.
        """
        if touches and not self.splits_at_fault:
            raise ValueError("may_split is asked at host faults, and without when: fault none splits")
        if merges and not self.merges_early:
            raise ValueError(f"may_merge is asked of early merges, and with merge: {self.merge} there are none")
        if rungs and self.split != "uniform":
            raise ValueError("rungs says how a hugepage is split, found split beside it")
        self.own = own
        self._asks_rungs = rungs
        self.asks_of_touches = touches
        self.asks_of_merges = merges
        if merges:
            self.counts_splits = True
            self.always_merges_early = False

    def may_split_at_touch(self, guest: str, offset: int, order: int, number: int, now: int) -> bool:
        """Whether the ``number``-th touch by the host, at ``now`` (ns), splits a folio.

        It is of ``order``, at ``offset`` bytes in the file of ``guest``.
        """
        answer: bool = self.own.may_split(guest, offset, order, number, now)
        return answer

    def may_merge_block(self, guest: str, offset: int, order: int, private_for: int, splits: int, now: int) -> bool:
        """Whether a block that has been private ``private_for`` ns, and split ``splits`` times, may be merged.

        It is of ``order``, at ``offset`` bytes in the file of ``guest``; ``now`` is the time in ns.
        """
        answer: bool = self.own.may_merge(guest, offset, order, private_for, splits, now)
        return answer

    # -- how it is written -----------------------------------------------------------------------------------------

    def as_file(self) -> dict[str, Any]:
        """The policy as a scenario file writes it: key → name, ``{"ladder": [18, 9, 0]}`` or ``{"hysteresis": 10}``.

        One of one's own is its file and its class.
        """
        if self.own is not None:
            own: dict[str, Any] = self.own.as_file()
            return own
        values = {key.name: getattr(self, key.name) for key in KEYS.values()}
        return {name: KEYS[name].as_file(value) for name, value in values.items() if value is not None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        if self.own is not None:
            return f"Policy({self.own!r})"
        return f"Policy({', '.join(f'{key}={getattr(self, key)!r}' for key in KEYS)})"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickled by its values, so that another process resolves the rules to those that it has."""
        if self.own is not None:
            return self.own.load, (self.own.path, self.own.name)
        return type(self), self._values()[1:-1]

    def _values(self) -> tuple[object, ...]:
        return type(self), *[getattr(self, key) for key in KEYS], self.own


def as_ladder(split: tuple[int, ...] | Ladder) -> Ladder:
    """The rule of the ladder ``split``, given by its orders, or as it is; ``ValueError`` for orders that are none."""
    return split if isinstance(split, Ladder) else Ladder(split)


def _ordering(ordering: str | None, generation: str | None) -> Ordering:
    """The ordering that is meant: what is given, or the first of the generation that is given, or B's."""
    if generation is None:
        return RESTRUCTURE_FIRST if ordering is None else ORDERINGS[ordering]
    kernel = GENERATIONS[generation]
    if ordering is None:
        return next(rule for rule in ORDERINGS.rows() if rule.generation is kernel)
    rule = ORDERINGS[ordering]
    if rule.generation is not kernel:
        raise ValueError(f"ordering {ordering} belongs to generation {rule.generation.name}, found {generation}")
    return rule


class Parameter:
    """The form of a rule that takes a parameter: how files and the command line write it.

    ``name`` is its key in a file and ``words`` says what the rule means.  In a file the parameter is one whole number
    (default), or a list of them if ``many``, each from ``least`` (default: 0) to ``most`` (default: any that fits).
    ``also`` (default: none) is a second key, which may be absent: a list of names from the registry ``names`` (default:
    none).  ``expected`` is what a message says after "expected" about numbers that make no such rule; ``shown`` (by
    default empty) is how it describes a list.
    """

    def __init__(
        self,
        name: str,
        words: str,
        *,
        many: bool = False,
        least: int = 0,
        most: int | None = None,
        expected: str,
        shown: str = "",
        also: str = "",
        names: Registry[Any] | None = None,
    ) -> None:
        self.name = name
        self.words = words
        self.also = also
        self.names = names
        self.many = many
        self.least = least
        self.most = most
        self.expected = expected
        self.shown = shown

    def from_text(self, text: str) -> Any:
        """The value that ``text`` of the command line means, ``None`` if it is not of this form."""
        raise NotImplementedError

    def from_file(self, value: Any, also: tuple[str, ...] = ()) -> Any:
        """The value of :class:`Policy` that a file's number or numbers, ``value``, and names, ``also`` (default: none),
        mean.

        ``ValueError`` says what is wrong.
        """
        raise NotImplementedError

    def as_file(self, value: Any) -> dict[str, Any]:
        """The inverse of :meth:`from_file`: keys with their values, for the ``value`` of a :class:`Policy`."""
        raise NotImplementedError

    def as_text(self, value: Any) -> str:
        """The inverse of :meth:`from_text`, for the ``value`` of a :class:`Policy`."""
        raise NotImplementedError


class _LadderForm(Parameter):
    def __init__(self) -> None:
        super().__init__(
            "ladder",
            Ladder((1, 0)).words,
            many=True,
            most=63,
            expected="decreasing orders down to 0",
            shown="orders such as [18, 9, 0]",
            also="when",
            names=WHENS,
        )

    def from_text(self, text: str) -> tuple[int, ...] | Ladder | None:
        found = _LADDER.fullmatch(text)
        if found is None:
            return None
        orders = tuple(map(int, found[1].split("-")))
        return Ladder(orders, tuple(found[2].split("-"))) if found[2] else orders

    def from_file(self, value: Any, also: tuple[str, ...] = ()) -> tuple[int, ...] | Ladder:
        ladder = Ladder(tuple(value), also)
        return ladder if also else ladder.orders

    def as_file(self, value: Any) -> dict[str, Any]:
        ladder = as_ladder(value)
        when = {self.also: list(ladder.whens)} if ladder.whens else {}
        return {self.name: list(ladder.orders), **when}

    def as_text(self, value: Any) -> str:
        ladder = as_ladder(value)
        orders = "-".join(map(str, ladder.orders))
        return f"{orders}@{'-'.join(ladder.whens)}" if ladder.whens else orders


class _HysteresisForm(Parameter):
    def __init__(self) -> None:
        super().__init__("hysteresis", Hysteresis().words, least=1, expected="a whole number from 1")

    def from_text(self, text: str) -> Hysteresis | None:
        found = _HYSTERESIS.fullmatch(text)
        return Hysteresis(int(found[1])) if found else None

    def from_file(self, value: Any, also: tuple[str, ...] = ()) -> Hysteresis:
        return Hysteresis(value)

    def as_file(self, value: Any) -> dict[str, Any]:
        return {self.name: value.limit}

    def as_text(self, value: Any) -> str:
        return f"hysteresis-{value.limit}"


_LADDER_FORM: Final = _LadderForm()
_HYSTERESIS_FORM: Final = _HysteresisForm()


class Key:
    """One key of a policy, ``name``, as files and the command line know it; ``doc`` says what it decides.

    ``rules`` are the values with a name.  ``parameter`` is the form of those that take one (a ladder's orders, a
    hysteresis' limit; default: there are none); ``example`` (by default empty) stands for all of that form.
    """

    def __init__(
        self, name: str, doc: str, rules: Registry[Any], parameter: Parameter | None = None, example: str = ""
    ) -> None:
        self.name = name
        self.doc = doc
        self.rules = rules
        self.parameter = parameter
        self.example = example

    def choices(self) -> tuple[str, ...]:
        """What may be said of it on the command line; the example stands for all of its kind."""
        return (*self.rules.names(), self.example) if self.example else self.rules.names()

    def from_text(self, text: str) -> Any:
        """The value that ``text`` of the command line means, for :class:`Policy`; ``ValueError`` says what is wrong."""
        if self.parameter is not None:
            value = self.parameter.from_text(text)
            if value is not None:
                return value
        if text not in self.rules:
            known = ", ".join(self.choices())
            hint = did_you_mean(text, self.choices())
            raise ValueError(f"found {quote(text)}, expected {self.name} to be one of {known}{hint}")
        return text

    def as_file(self, value: Any) -> Any:
        """``value`` of a :class:`Policy` as a scenario file writes it."""
        if self.parameter is None or isinstance(value, str):
            return value
        return self.parameter.as_file(value)

    def as_text(self, value: Any) -> str:
        """``value`` of a :class:`Policy` as the command line takes it."""
        if self.parameter is None or isinstance(value, str):
            return str(value)
        return self.parameter.as_text(value)

    def explained(self, value: Any) -> tuple[str, str]:
        """``value`` as a file writes it, on one line, and in words what it means."""
        if self.parameter is not None and isinstance(value, Mapping):
            return ", ".join(f"{name}: {argument}" for name, argument in value.items()), self.parameter.words
        return str(value), str(self.rules[str(value)].words)


KEYS: Final[Mapping[str, Key]] = {
    key.name: key
    for key in (
        Key(
            "split",
            "how a hugepage is split: a name or a ladder of decreasing orders",
            SPLITS,
            _LADDER_FORM,
            "18-12-6-0",
        ),
        Key("when", "when a hugepage is split; conversion if absent", WHENS),
        Key(
            "merge",
            "when a hugepage is merged again: a name or a hysteresis",
            MERGES,
            _HYSTERESIS_FORM,
            "hysteresis-10",
        ),
        Key("vmemmap", "what happens to the vmemmap of a split hugepage", VMEMMAPS),
        Key(
            "ordering",
            "in which order a conversion does its work; the generation's if absent",
            ORDERINGS,
        ),
        Key("generation", "which generation of the kernel code is modelled; by the ordering if absent", GENERATIONS),
        Key("on_split_failure", "what is left of a call's splits if it fails; keep is for split-first", SPLIT_FAILURES),
    )
}
"""The keys of a policy, in the order in which they are written."""
