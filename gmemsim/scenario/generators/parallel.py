# SPDX-License-Identifier: GPL-2.0-or-later
"""``parallel``: several generators at once, their steps merged by time.

Generators of a workload follow one another; those inside of one ``parallel`` step all begin with it, or at their own
``at`` if that is later, so that guests run side by side or a guest boots while its drivers are at work.  Each part has
random numbers of its own (its place inside counts as part of the path), or those of its ``seed``.  The step ends when
the last of its parts does.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from gmemsim.scenario.workload import Composite


@attrs.frozen(kw_only=True)
class Parallel(Composite):
    """Run the generators ``steps`` at the same time."""

    key: ClassVar[str] = "parallel"
    holds: ClassVar[tuple[str, ...]] = ("vfio",)
