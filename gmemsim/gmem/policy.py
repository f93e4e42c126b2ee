# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversion policy as data: how a hugepage is split, when it is merged, what happens to its vmemmap, in which order.

A :class:`Policy` holds no behaviour; ``gmem.restructure`` and ``gmem.conversion`` read it.  A new policy is a new
value here plus the one place there that acts on it.

* ``split`` - ``"uniform"`` splits the whole hugepage to base pages (generation B of the kernel work, DOMAIN.md
  section 4); ``"staged"`` splits 1G to 2M, then only the 2M folios that hold shared pages to base pages;
  ``"nonuniform"`` halves only the folios around the shared range (Hildenbrand's suggestion, ``xas_try_split``);
  a tuple of decreasing orders is a ladder: at each rung only the folios that hold shared pages split further.
* ``when`` - ``"conversion"`` splits inside the ioctl, ``"fault"`` at the first host fault of a shared page (Roth).
* ``merge`` - ``"eager"`` as soon as a level is all private; ``Hysteresis(n)`` the same until a folio has been
  re-split ``n`` times; ``"cleanup"`` only when the memory goes back to the pool; ``"never"`` not even then.
* ``vmemmap`` - ``"whole"`` restores all of it at the first split; ``"reoptimize"`` restores all, then optimises
  every remaining hugepage-sized folio; ``"partial"`` restores only what is needed; ``"off"`` means no HVO.
* ``ordering`` - ``"restructure-first"`` (B), ``"attributes-first"`` (A, with rollback) or ``"reserve-first"``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import attrs

from gmemsim.geometry import Geometry

SplitName = Literal["uniform", "staged", "nonuniform"]
When = Literal["conversion", "fault"]
MergeName = Literal["eager", "cleanup", "never"]
VmemmapRegime = Literal["whole", "reoptimize", "partial", "off"]
Ordering = Literal["restructure-first", "attributes-first", "reserve-first"]


@attrs.frozen
class Hysteresis:
    """Merge eagerly until a folio has been split ``limit`` times after its first split, then leave it split.

    Seen in an AMD development tree as ``split_count`` with a limit of 10 (DOMAIN.md section 4, variants).
    """

    limit: int = attrs.field(default=10, validator=attrs.validators.ge(1))


@attrs.frozen
class Policy:
    """One conversion policy; ``ValueError`` with the reason for a value that makes no sense."""

    split: SplitName | tuple[int, ...] = attrs.field(default="uniform")
    when: When = attrs.field(default="conversion", validator=attrs.validators.in_(get_args(When)))
    merge: MergeName | Hysteresis = attrs.field(default="eager")
    vmemmap: VmemmapRegime = attrs.field(default="whole", validator=attrs.validators.in_(get_args(VmemmapRegime)))
    ordering: Ordering = attrs.field(default="restructure-first", validator=attrs.validators.in_(get_args(Ordering)))

    @split.validator
    def _check_split(self, _: object, split: SplitName | tuple[int, ...]) -> None:
        if isinstance(split, str):
            if split not in get_args(SplitName):
                raise ValueError(f"split is {split!r}, expected one of {', '.join(get_args(SplitName))} or a ladder")
        elif len(split) < 2 or any(a <= b for a, b in pairwise(split)) or split[-1] != 0:
            raise ValueError(f"ladder {list(split)} must be at least two strictly decreasing orders and end with 0")

    @merge.validator
    def _check_merge(self, _: object, merge: MergeName | Hysteresis) -> None:
        if not isinstance(merge, Hysteresis) and merge not in get_args(MergeName):
            raise ValueError(f"merge is {merge!r}, expected one of {', '.join(get_args(MergeName))} or a hysteresis")

    @ordering.validator
    def _check_ordering(self, _: object, ordering: Ordering) -> None:
        if self.when == "fault" and ordering == "reserve-first":
            raise ValueError("reserve-first cannot keep its promise with when: fault, which needs memory at the fault")
        if self.when == "fault" and ordering == "attributes-first":
            raise ValueError("attributes-first orders what a conversion splits, and with when: fault it splits nothing")

    def rungs(self, backing_order: int, geometry: Geometry) -> tuple[int, ...]:
        """The orders that hugepages of ``backing_order`` pass through, largest first, always ending with 0.

        ``nonuniform`` passes through every order.  Raises ``ValueError`` if a ladder does not start at the backing.
        """
        if self.split == "nonuniform":
            return tuple(range(backing_order, -1, -1))
        if backing_order == 0:
            return (0,)
        if self.split == "uniform":
            return (backing_order, 0)
        if self.split == "staged":
            middle = (geometry.pmd_order,) if backing_order > geometry.pmd_order else ()
            return (backing_order, *middle, 0)
        if self.split[0] != backing_order:
            raise ValueError(
                f"ladder {list(self.split)} starts at order {self.split[0]},"
                f" but the backing {geometry.name(backing_order)} is order {backing_order}"
            )
        return self.split
