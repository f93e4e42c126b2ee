# SPDX-License-Identifier: GPL-2.0-or-later
"""The kind of value that names a metric; which metrics there are, ``results.metrics`` knows."""

from __future__ import annotations

from typing import Any

import attrs

from gmemsim.results.metrics import EXPECTED, check_metric
from gmemsim.scenario.format.kinds import Scalar


@attrs.frozen
class Metric(Scalar):
    """A path into the summary of a run with these ``guests`` (``None``: not known, any name will do)."""

    guests: tuple[str, ...] | None = attrs.field(default=None, kw_only=True)

    @property
    def expected(self) -> str:
        """What a message says after "expected"."""
        return EXPECTED

    def read(self, text: str, *, plain: bool) -> str:
        """The path itself, once every part of it is known."""
        check_metric(text, self.guests)
        return text

    def json(self) -> dict[str, Any]:
        """A string with dots."""
        return {"type": "string", "pattern": r"^[A-Za-z0-9_>-]+(\.[A-Za-z0-9_>-]+)*$"}
