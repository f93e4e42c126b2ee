# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversion policy: how a hugepage is split, when it is merged, what happens to its vmemmap, in which order.

Theory of operation
-------------------
A :class:`Policy` is made of one *rule* for each key.  A rule has a name in its key's registry (:data:`SPLITS`,
:data:`MERGES`, …); names are resolved when the policy is made, and an unknown one is refused there.  From then on
nobody looks at names: the code that converts, splits and merges asks the policy questions (:meth:`Policy.rungs`,
:attr:`Policy.splits_at_conversion`, …), and the policy asks its rules.

What may live here: rules, what they answer, and how a policy is written in files and on the command line.  A new rule
is a class here and one row in its registry; files, the command line, the JSON Schema and the reports read the registry.
A new ordering also needs its procedure in ``gmem.conversion``.

The kernel *generation* (DOMAIN.md, first table) is a value of its own.  An ordering belongs to one generation, so
either may be given and implies the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from gmemsim.geometry import Geometry
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.messages import did_you_mean, quote
from gmemsim.registry import Registry

_LADDER: Final = re.compile(r"\d+(?:-\d+)+", re.ASCII)
_HYSTERESIS: Final = re.compile(r"hysteresis-(\d+)", re.ASCII)


class Rule:
    """One value of a policy's key: its ``name`` in files, and in ``words`` what it means."""

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self.words = words

    def __repr__(self) -> str:
        return self.name


# -- generations ---------------------------------------------------------------------------------------------------


class Generation(Rule):
    """A generation of the kernel code.

    ``metadata_bytes``: guest_memfd's object for a hugepage, in its slab.  ``metadata_while_split``: the object exists
    only while the hugepage is split.  ``splits_page_by_page``: a split takes the folio out of the filemap and adds its
    pieces one by one.  ``zeroes_partial_holes``: a hole need not be aligned to hugepages; what is not a whole one is
    zeroed (DOMAIN.md sections 3 and 4).
    """

    def __init__(
        self,
        name: str,
        words: str,
        *,
        metadata_bytes: int,
        metadata_while_split: bool = False,
        splits_page_by_page: bool = False,
        zeroes_partial_holes: bool = False,
    ) -> None:
        super().__init__(name, words)
        self.metadata_bytes = metadata_bytes
        self.metadata_while_split = metadata_while_split
        self.splits_page_by_page = splits_page_by_page
        self.zeroes_partial_holes = zeroes_partial_holes


GENERATIONS: Final[Registry[Generation]] = Registry("generation")

A = GENERATIONS.add(
    "A",
    Generation(
        "A",
        "RFC v2 of May 2025, 51 patches",
        metadata_bytes=64,  # 48 bytes take a kmalloc-64
        metadata_while_split=True,
        splits_page_by_page=True,
        zeroes_partial_holes=True,
    ),
)
B = GENERATIONS.add(
    "B",
    Generation(
        "B",
        "the branch wip-gmem-conversions-hugetlb-restructuring, the newest public HugeTLB code",
        metadata_bytes=32,
    ),
)


# -- splitting -----------------------------------------------------------------------------------------------------


class SplitRule(Rule):
    """How a hugepage is taken apart: the orders that its folios pass through.

    ``single_steps``: the kernel takes each step by itself (a chain of ``xas_try_split``), so that the depth which one
    ``xas_split_alloc`` takes is no limit.  ``keeps_failed_steps``: it takes the nodes level by level, and a chain that
    fails leaves what it has split, as ``folio_split`` does.
    """

    def __init__(self, name: str, words: str, *, single_steps: bool = False, keeps_failed_steps: bool = False) -> None:
        super().__init__(name, words)
        self.single_steps = single_steps
        self.keeps_failed_steps = keeps_failed_steps

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        """The orders that a hugepage of ``order`` passes through, largest first, from ``order`` to 0.

        At each only the folios that hold shared pages split further.  ``ValueError`` if the rule does not fit.
        """
        return (order, 0)


class _Staged(SplitRule):
    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        middle = (geometry.pmd_order,) if order > geometry.pmd_order else ()
        return (order, *middle, 0)


class _NonUniform(SplitRule):
    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        return tuple(range(order, -1, -1))


class Ladder(SplitRule):
    """Any decreasing ``orders`` that end with 0; ``ValueError`` for others."""

    def __init__(self, orders: tuple[int, ...]) -> None:
        if len(orders) < 2 or any(a <= b for a, b in pairwise(orders)) or orders[-1] != 0:
            raise ValueError(f"ladder {list(orders)} must be at least two strictly decreasing orders and end with 0")
        super().__init__("ladder", "at each rung only the folios that hold shared pages split further")
        self.orders = orders

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        """The ladder itself; ``ValueError`` unless it starts at ``order``."""
        if self.orders[0] != order:
            raise ValueError(
                f"ladder {list(self.orders)} starts at order {self.orders[0]},"
                f" but the backing {geometry.name(order)} is order {order}"
            )
        return self.orders


SPLITS: Final[Registry[SplitRule]] = Registry("split")
SPLITS.add("uniform", SplitRule("uniform", "the whole hugepage is split to base pages at once"))
SPLITS.add("staged", _Staged("staged", "1G is split to 2M, then only 2M folios that hold shared pages to base pages"))
SPLITS.add(
    "nonuniform",
    _NonUniform(
        "nonuniform",
        "only the halves around the shared range are split; a split that fails leaves what it has split",
        single_steps=True,
        keeps_failed_steps=True,
    ),
)
SPLITS.add(
    "nonuniform-all-or-nothing",
    _NonUniform(
        "nonuniform-all-or-nothing",
        "only the halves around the shared range are split; all nodes are taken first, as no kernel does",
        single_steps=True,
    ),
)


# -- when to split -------------------------------------------------------------------------------------------------


class WhenRule(Rule):
    """When shared pages are split: ``at_conversion``, inside the ioctl, or at the first host fault."""

    def __init__(self, name: str, words: str, *, at_conversion: bool) -> None:
        super().__init__(name, words)
        self.at_conversion = at_conversion


WHENS: Final[Registry[WhenRule]] = Registry("when")
WHENS.add("conversion", WhenRule("conversion", "split inside the conversion call", at_conversion=True))
WHENS.add("fault", WhenRule("fault", "split at the first host fault of a shared page", at_conversion=False))


# -- merging -------------------------------------------------------------------------------------------------------


class MergeRule(Rule):
    """When folios are merged again.

    ``early``: as soon as all pages of a rung's block are private.  ``at_all``: at the latest when the memory goes back.
    ``counts_splits``: the splits of every folio are counted for :meth:`allows`.
    """

    def __init__(self, name: str, words: str, *, early: bool, at_all: bool = True, counts_splits: bool = False) -> None:
        super().__init__(name, words)
        self.early = early
        self.at_all = at_all
        self.counts_splits = counts_splits

    def allows(self, splits: int) -> bool:
        """Whether a folio that has been split so many times may still be merged early."""
        return True

    @property
    def always(self) -> bool:
        """Whether whatever can be merged early, is."""
        return self.early


class Hysteresis(MergeRule):
    """Merge early until a folio has been split ``limit`` times after its first split, then leave it split.

    Seen in an AMD development tree as ``split_count`` with a limit of 10 (DOMAIN.md section 4, variants).
    """

    def __init__(self, limit: int = 10) -> None:
        if limit < 1:
            raise ValueError(f"hysteresis is {limit}, expected at least 1")
        super().__init__(
            "hysteresis",
            "merge eagerly until a folio has been split so many times, then leave it",
            early=True,
            counts_splits=True,
        )
        self.limit = limit

    def allows(self, splits: int) -> bool:
        """Not after ``limit`` splits beyond the first."""
        return splits <= self.limit

    @property
    def always(self) -> bool:
        """No."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hysteresis) and self.limit == other.limit

    def __hash__(self) -> int:
        return hash(self.limit)

    def __repr__(self) -> str:
        return f"Hysteresis(limit={self.limit})"


MERGES: Final[Registry[MergeRule]] = Registry("merge")
MERGES.add("eager", MergeRule("eager", "merge as soon as a level is all private again", early=True))
MERGES.add("cleanup", MergeRule("cleanup", "merge only when the memory is given back", early=False))
MERGES.add("never", MergeRule("never", "never merge while the file is open", early=False, at_all=False))


# -- vmemmap -------------------------------------------------------------------------------------------------------


class VmemmapRule(Rule):
    """What happens to the vmemmap of a split hugepage.

    ``optimised``: HVO is on.  ``pieces_stay_optimised``: a piece that is a hugepage itself keeps one vmemmap page.
    ``all_first``: everything is restored at the first split, and pieces are optimised again after it.
    """

    def __init__(
        self,
        name: str,
        words: str,
        *,
        optimised: bool = True,
        pieces_stay_optimised: bool = False,
        all_first: bool = False,
    ) -> None:
        super().__init__(name, words)
        self.optimised = optimised
        self.pieces_stay_optimised = pieces_stay_optimised
        self.all_first = all_first


VMEMMAPS: Final[Registry[VmemmapRule]] = Registry("vmemmap")
VMEMMAPS.add("whole", VmemmapRule("whole", "all vmemmap of the hugepage is restored at the first split"))
VMEMMAPS.add(
    "reoptimize",
    VmemmapRule(
        "reoptimize",
        "all is restored, then that of every remaining hugepage-sized folio is optimised again",
        pieces_stay_optimised=True,
        all_first=True,
    ),
)
VMEMMAPS.add(
    "partial", VmemmapRule("partial", "only the vmemmap that is needed is restored", pieces_stay_optimised=True)
)
VMEMMAPS.add("off", VmemmapRule("off", "no HVO: the vmemmap is always there", optimised=False))


# -- orderings -----------------------------------------------------------------------------------------------------


class Ordering(Rule):
    """In which order a conversion does its work; ``gmem.conversion`` has the procedure of each.

    ``generation`` is the kernel that does it so.  ``needs_conversion_splits`` says why it makes no sense with splits
    at fault; empty where it does.  ``all_or_nothing``: a call that fails leaves everything as it was.
    """

    def __init__(
        self,
        name: str,
        words: str,
        *,
        generation: Generation,
        needs_conversion_splits: str = "",
        all_or_nothing: bool = False,
    ) -> None:
        super().__init__(name, words)
        self.generation = generation
        self.needs_conversion_splits = needs_conversion_splits
        self.all_or_nothing = all_or_nothing


ORDERINGS: Final[Registry[Ordering]] = Registry("ordering")
RESTRUCTURE_FIRST = ORDERINGS.add(
    "restructure-first",
    Ordering("restructure-first", "folios are split or merged, then the attributes are stored", generation=B),
)
ATTRIBUTES_FIRST = ORDERINGS.add(
    "attributes-first",
    Ordering(
        "attributes-first",
        "attributes are stored first, and rolled back if the rest fails",
        generation=A,
        needs_conversion_splits="attributes-first orders what a conversion splits,"
        " and with when: fault it splits nothing",
    ),
)
RESERVE_FIRST = ORDERINGS.add(
    "reserve-first",
    Ordering(
        "reserve-first",
        "everything that can fail happens before anything is torn down",
        generation=B,
        needs_conversion_splits="reserve-first cannot keep its promise with when: fault,"
        " which needs memory at the fault",
        all_or_nothing=True,
    ),
)


# -- the policy ----------------------------------------------------------------------------------------------------


class Policy:
    """One conversion policy; ``ValueError`` with the reason for a value that makes no sense.

    ``split``: ``"uniform"`` (default), ``"staged"``, ``"nonuniform"``, or a tuple of decreasing orders, a ladder.
    ``when``: ``"conversion"`` (default) or ``"fault"``.  ``merge``: ``"eager"`` (default), ``"cleanup"``, ``"never"``
    or a :class:`Hysteresis`.  ``vmemmap``: ``"whole"`` (default), ``"reoptimize"``, ``"partial"`` or ``"off"``.
    ``ordering``: ``"restructure-first"`` (default), ``"attributes-first"`` or ``"reserve-first"``.  ``generation``:
    ``"A"`` or ``"B"``; by default that of the ordering.

    The attributes of these names hold what was given; the other attributes and the methods are the questions that the
    rest of the package asks.  A policy is a value: do not change one.

    >>> policy = Policy(split="staged", generation="A")
    >>> policy.ordering, policy.rungs(18, Geometry(4096)), policy.splits_at_conversion
    ('attributes-first', (18, 9, 0), True)
    """

    def __init__(
        self,
        split: str | tuple[int, ...] = "uniform",
        when: str = "conversion",
        merge: str | Hysteresis = "eager",
        vmemmap: str = "whole",
        ordering: str | None = None,
        generation: str | None = None,
    ) -> None:
        self.split = split
        self.when = when
        self.merge = merge
        self.vmemmap = vmemmap
        self.split_rule: SplitRule = SPLITS[split] if isinstance(split, str) else Ladder(split)
        self.merge_rule: MergeRule = MERGES[merge] if isinstance(merge, str) else merge
        self.vmemmap_rule: VmemmapRule = VMEMMAPS[vmemmap]
        self.ordering_rule: Ordering = _ordering(ordering, generation)
        self.ordering = self.ordering_rule.name
        self.generation_rule: Generation = self.ordering_rule.generation
        self.generation = self.generation_rule.name
        self.splits_at_conversion: bool = WHENS[when].at_conversion
        """Whether shared pages are split inside the conversion."""
        if not self.splits_at_conversion and self.ordering_rule.needs_conversion_splits:
            raise ValueError(self.ordering_rule.needs_conversion_splits)
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

        ``ValueError`` if a ladder does not start at the backing.
        """
        if not backing_order:
            return (0,)
        return self.split_rule.rungs(backing_order, geometry)

    def may_merge(self, splits: int) -> bool:
        """Whether a folio that has been split so many times may be merged early."""
        return self.merge_rule.allows(splits)

    def vmemmap_needed(self, layout: VmemmapLayout, folios: Counter[int], order: int) -> int:
        """vmemmap pages beyond the one kept that a hugepage of ``order`` needs, made of ``folios`` (order → number)."""
        rule = self.vmemmap_rule
        if not rule.optimised or order in folios:
            return 0
        if not rule.pieces_stay_optimised:
            return layout.restored(order)
        return layout.needed(folios, order, reoptimised=True)

    # -- how it is written -----------------------------------------------------------------------------------------

    def as_file(self) -> dict[str, Any]:
        """The policy as a scenario file writes it: key → name, ``{"ladder": [18, 9, 0]}`` or ``{"hysteresis": 10}``."""
        return {key.name: key.as_file(getattr(self, key.name)) for key in KEYS.values()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Policy({', '.join(f'{key}={getattr(self, key)!r}' for key in KEYS)})"

    def _values(self) -> tuple[object, ...]:
        return type(self), self.split, self.when, self.merge, self.vmemmap, self.ordering, self.generation


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

    ``name`` is its key in a file and ``words`` says what the rule means.  In a file the parameter is one whole number,
    or a list of them if ``many``, each from ``least`` to ``most`` (``None``: any that fits).  ``expected`` is what a
    message says after "expected" about numbers that make no such rule; ``shown`` is how it describes a list.
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
    ) -> None:
        self.name = name
        self.words = words
        self.many = many
        self.least = least
        self.most = most
        self.expected = expected
        self.shown = shown

    def from_text(self, text: str) -> Any:
        """The value that ``text`` of the command line means, ``None`` if it is not of this form."""
        raise NotImplementedError

    def from_file(self, value: Any) -> Any:
        """The value of :class:`Policy` that a file's number or numbers mean; ``ValueError`` says what is wrong."""
        raise NotImplementedError

    def as_file(self, value: Any) -> Any:
        """The inverse of :meth:`from_file`."""
        raise NotImplementedError

    def as_text(self, value: Any) -> str:
        """The inverse of :meth:`from_text`."""
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
        )

    def from_text(self, text: str) -> tuple[int, ...] | None:
        return tuple(map(int, text.split("-"))) if _LADDER.fullmatch(text) else None

    def from_file(self, value: Any) -> tuple[int, ...]:
        return Ladder(tuple(value)).orders

    def as_file(self, value: Any) -> list[int]:
        return list(value)

    def as_text(self, value: Any) -> str:
        return "-".join(map(str, value))


class _HysteresisForm(Parameter):
    def __init__(self) -> None:
        super().__init__("hysteresis", Hysteresis().words, least=1, expected="a whole number from 1")

    def from_text(self, text: str) -> Hysteresis | None:
        found = _HYSTERESIS.fullmatch(text)
        return Hysteresis(int(found[1])) if found else None

    def from_file(self, value: Any) -> Hysteresis:
        return Hysteresis(value)

    def as_file(self, value: Any) -> int:
        limit: int = value.limit
        return limit

    def as_text(self, value: Any) -> str:
        return f"hysteresis-{value.limit}"


_LADDER_FORM: Final = _LadderForm()
_HYSTERESIS_FORM: Final = _HysteresisForm()


class Key:
    """One key of a policy, as files and the command line know it.

    ``rules`` are the values with a name.  ``parameter`` is the form of those that take one (a ladder's orders, a
    hysteresis' limit), ``None`` if there are none; ``example`` stands for all of that form.
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
        """A value of :class:`Policy` as a scenario file writes it."""
        if self.parameter is None or isinstance(value, str):
            return value
        return {self.parameter.name: self.parameter.as_file(value)}

    def as_text(self, value: Any) -> str:
        """A value of :class:`Policy` as the command line takes it."""
        if self.parameter is None or isinstance(value, str):
            return str(value)
        return self.parameter.as_text(value)

    def explained(self, value: Any) -> tuple[str, str]:
        """A value as a file writes it, on one line, and in words what it means."""
        if self.parameter is not None and isinstance(value, Mapping):
            ((name, argument),) = value.items()
            return f"{name}: {argument}", self.parameter.words
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
        Key("when", "when a hugepage is split", WHENS),
        Key(
            "merge",
            "when a hugepage is merged again: a name or a hysteresis",
            MERGES,
            _HYSTERESIS_FORM,
            "hysteresis-10",
        ),
        Key("vmemmap", "what happens to the vmemmap of a split hugepage", VMEMMAPS),
        Key("ordering", "in which order a conversion does its work", ORDERINGS),
        Key("generation", "which generation of the kernel code is modelled; by the ordering if absent", GENERATIONS),
    )
}
"""The keys of a policy, in the order in which they are written."""
