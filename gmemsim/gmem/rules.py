# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules that a conversion policy is made of: one registry for each key, one row for each value with a name.

What may live here: rules and what they answer.  A new rule is a row (or a class and a row) here; files, the command
line, the JSON Schema and the reports read the registries.  A new ordering also needs its procedure in
``gmem.conversion``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from gmemsim.host.geometry import Geometry
from gmemsim.registry import Registry


class Rule:
    """One value of a policy's key: its ``name`` in files, and in ``words`` what it means."""

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self.words = words

    def __repr__(self) -> str:
        return self.name


# -- generations ---------------------------------------------------------------------------------------------------


class Generation(Rule):
    """A generation of the kernel code: its ``name``, and what it is in ``words``.

    ``metadata_bytes``: guest_memfd's object for a hugepage, in its slab.  ``metadata_while_split`` (default: no): the
    object exists only while the hugepage is split.  ``splits_page_by_page`` (default: no): a split takes the folio out
    of the filemap and adds its pieces one by one.  ``zeroes_partial_holes`` (default: no): a hole need not be aligned
    to hugepages; what is not a whole one is zeroed (DOMAIN.md sections 3 and 4).
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
D = GENERATIONS.add(
    "D",
    Generation(
        "D", "the order of steps being tried in January 2026: what may fail comes before the zap", metadata_bytes=32
    ),
)


# -- splitting -----------------------------------------------------------------------------------------------------


class SplitRule(Rule):
    """How a hugepage is taken apart, by ``name`` and in ``words``: the orders that its folios pass through.

    ``single_steps`` (default: no): the kernel takes each step by itself (a chain of ``xas_try_split``), so that the
    depth which one ``xas_split_alloc`` takes is no limit.  ``keeps_failed_steps`` (default: no): it takes the nodes
    level by level, and a chain that fails leaves what it has split, as ``folio_split`` does.
    """

    def __init__(self, name: str, words: str, *, single_steps: bool = False, keeps_failed_steps: bool = False) -> None:
        super().__init__(name, words)
        self.single_steps = single_steps
        self.keeps_failed_steps = keeps_failed_steps

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        """The orders that a hugepage of ``order`` passes through, largest first, from ``order`` to 0.

        ``geometry`` says which order a page table maps.
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
    """When shared pages are split, by ``name`` and in ``words``: ``at_conversion``, inside the ioctl, or at the first
    host fault.
    """

    def __init__(self, name: str, words: str, *, at_conversion: bool) -> None:
        super().__init__(name, words)
        self.at_conversion = at_conversion


WHENS: Final[Registry[WhenRule]] = Registry("when")
WHENS.add("conversion", WhenRule("conversion", "split inside the conversion call", at_conversion=True))
WHENS.add("fault", WhenRule("fault", "split at the first host fault of a shared page", at_conversion=False))


# -- ladders, each step at its time -----------------------------------------------------------------------------


class Ladder(SplitRule):
    """Any decreasing ``orders`` that end with 0; ``ValueError`` for others.

    ``whens`` says when each of its steps is carried out, ``"conversion"`` or ``"fault"`` for one after the other;
    default: none, the policy says it for all of them.  A step at a fault cannot be followed by one at conversion.
    """

    def __init__(self, orders: tuple[int, ...], whens: tuple[str, ...] = ()) -> None:
        if len(orders) < 2 or any(a <= b for a, b in pairwise(orders)) or orders[-1] != 0:
            raise ValueError(f"ladder {list(orders)} must be at least two strictly decreasing orders and end with 0")
        if whens and len(whens) != len(orders) - 1:
            times = "1 time" if len(whens) == 1 else f"{len(whens)} times"
            raise ValueError(f"{times} for the {len(orders) - 1} steps of the ladder {list(orders)}")
        at_conversion = [WHENS[when].at_conversion for when in whens]
        if at_conversion != sorted(at_conversion, reverse=True):
            raise ValueError(f"when {list(whens)} splits at conversion what only a fault before it makes")
        super().__init__("ladder", "at each rung only the folios that hold shared pages split further")
        self.orders = orders
        self.whens = whens

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        """The ladder itself; ``ValueError`` unless it starts at ``order``."""
        if self.orders[0] != order:
            raise ValueError(
                f"ladder {list(self.orders)} starts at order {self.orders[0]},"
                f" but the backing {geometry.name(order)} is order {order}"
            )
        return self.orders

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ladder) and (self.orders, self.whens) == (other.orders, other.whens)

    def __hash__(self) -> int:
        return hash((self.orders, self.whens))

    def __reduce__(self) -> tuple[Any, ...]:
        return Ladder, (self.orders, self.whens)

    def __repr__(self) -> str:
        return f"Ladder(orders={self.orders}, whens={self.whens})"


# -- merging -------------------------------------------------------------------------------------------------------


class MergeRule(Rule):
    """When folios are merged again, by ``name`` and in ``words``.

    ``early``: as soon as all pages of a rung's block are private.  ``at_all`` (default: yes): at the latest when the
    memory goes back.  ``counts_splits`` (default: no): the splits of every folio are counted for :meth:`allows`.
    """

    def __init__(self, name: str, words: str, *, early: bool, at_all: bool = True, counts_splits: bool = False) -> None:
        super().__init__(name, words)
        self.early = early
        self.at_all = at_all
        self.counts_splits = counts_splits

    def allows(self, splits: int) -> bool:
        """Whether a folio that has been split ``splits`` times may still be merged early."""
        return True

    @property
    def always(self) -> bool:
        """Whether whatever can be merged early, is."""
        return self.early


class Hysteresis(MergeRule):
    """Merge early until a folio has been split ``limit`` times (default: 10) after its first split, then leave it
    split.

    Seen in an AMD development tree as ``split_count`` with a limit of 10 (DOMAIN.md section 4, variants).
    ``ValueError`` for a limit below 1.
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

    def __reduce__(self) -> tuple[Any, ...]:
        return Hysteresis, (self.limit,)

    def __repr__(self) -> str:
        return f"Hysteresis(limit={self.limit})"


MERGES: Final[Registry[MergeRule]] = Registry("merge")
MERGES.add("eager", MergeRule("eager", "merge as soon as a level is all private again", early=True))
MERGES.add("cleanup", MergeRule("cleanup", "merge only when the memory is given back", early=False))
MERGES.add("never", MergeRule("never", "never merge while the file is open", early=False, at_all=False))


# -- vmemmap -------------------------------------------------------------------------------------------------------


class VmemmapRule(Rule):
    """What happens to the vmemmap of a split hugepage, by ``name`` and in ``words``.

    ``optimised`` (default: yes): HVO is on.  ``pieces_stay_optimised`` (default: no): a piece that is a hugepage itself
    keeps one vmemmap page.  ``all_first`` (default: no): everything is restored at the first split, and pieces are
    optimised again after it.
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
    """In which order a conversion does its work, by ``name`` and in ``words``; ``gmem.conversion`` has each procedure.

    ``generation`` is the kernel that does it so.  ``failures``: each step that can fail, and what that leaves.
    ``needs_conversion_splits`` says why it makes no sense with splits at fault; empty (default) where it does.
    ``all_or_nothing`` (default: no): a call that fails leaves everything as it was.  ``splits_ahead`` (default: no):
    all hugepages of a call are split before one of them is zapped, so that ``on_split_failure`` has a meaning.
    """

    def __init__(
        self,
        name: str,
        words: str,
        *,
        generation: Generation,
        failures: tuple[tuple[str, str], ...],
        needs_conversion_splits: str = "",
        all_or_nothing: bool = False,
        splits_ahead: bool = False,
    ) -> None:
        super().__init__(name, words)
        self.generation = generation
        self.failures = failures
        self.needs_conversion_splits = needs_conversion_splits
        self.all_or_nothing = all_or_nothing
        self.splits_ahead = splits_ahead


ORDERINGS: Final[Registry[Ordering]] = Registry("ordering")
RESTRUCTURE_FIRST = ORDERINGS.add(
    "restructure-first",
    Ordering(
        "restructure-first",
        "folios are split or merged, then the attributes are stored",
        generation=B,
        failures=(
            ("attributes' memory", "hugepages before it stay converted, this one is as it was"),
            ("references (to-private)", "as above, and the hugepage is unmapped from the host"),
            ("stage-2 split (to-shared)", "as the first; leaves that were split stay split"),
            ("split or merge", "as the first, but the hugepage is zapped: the guest faults it in again"),
        ),
    ),
)
ATTRIBUTES_FIRST = ORDERINGS.add(
    "attributes-first",
    Ordering(
        "attributes-first",
        "attributes are stored first, and rolled back if the rest fails",
        generation=A,
        failures=(
            ("references (to-private)", "nothing is converted; ranges before it are unmapped and zapped"),
            ("stage-2 split (to-shared)", "nothing is converted; ranges before it are zapped"),
            ("attributes' memory, split or merge", "all is zapped, and what was done is reversed"),
            ("the reversal", "an inconsistent range: attributes and folios that do not fit each other"),
            ("a folio's return to the filemap", "the hugepage is lost, with its contents"),
        ),
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
        failures=(("any step", "everything as it was"),),
        needs_conversion_splits="reserve-first cannot keep its promise with when: fault,"
        " which needs memory at the fault",
        all_or_nothing=True,
    ),
)
SPLIT_FIRST = ORDERINGS.add(
    "split-first",
    Ordering(
        "split-first",
        "all hugepages of a call are split, then zapped, then the attributes are stored",
        generation=D,
        failures=(
            ("attributes' memory, a merge's root", "everything as it was"),
            ("references (to-private)", "the range is unmapped from the host, nothing is zapped"),
            ("split (to-shared)", "nothing is zapped; on_split_failure: folios as they were, or left split"),
            ("stage-2 split (to-shared)", "as above; leaves that were split stay split, with TDX for good"),
        ),
        needs_conversion_splits="split-first orders what a conversion splits, and with when: fault it splits nothing",
        splits_ahead=True,
    ),
)
BLOCK_ABORT = ORDERINGS.add(
    "block-abort",
    Ordering(
        "block-abort",
        "stage-2 leaves are blocked, and restored if the restructuring fails; only success removes them",
        generation=B,
        failures=(
            ("attributes' memory", "hugepages before it stay converted, this one is as it was"),
            ("references (to-private)", "as above, and the hugepage is unmapped from the host"),
            ("stage-2 split (to-shared)", "as the first; leaves that were split stay split"),
            ("split or merge", "as the second: the leaves are restored, so the guest faults nothing in again"),
        ),
    ),
)


# -- what a failed split leaves ------------------------------------------------------------------------------------


class SplitFailure(Rule):
    """What becomes of the hugepages that a failed call has split, by ``name`` and in ``words``: ``undone`` or left
    split.
    """

    def __init__(self, name: str, words: str, *, undone: bool) -> None:
        super().__init__(name, words)
        self.undone = undone


SPLIT_FAILURES: Final[Registry[SplitFailure]] = Registry("on_split_failure")
SPLIT_FAILURES.add("undo", SplitFailure("undo", "what the call has split is merged back", undone=True))
SPLIT_FAILURES.add(
    "keep", SplitFailure("keep", "what the call has split stays split, until it is merged", undone=False)
)
