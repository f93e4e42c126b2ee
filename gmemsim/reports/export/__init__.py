# SPDX-License-Identifier: GPL-2.0-or-later
"""File formats by name, one file each: of a run, and of every study.

A format of a run is a module whose functions write one file each, given the view and a path.  A format of a study
is a module with ``write(study)``, which returns text.  Modules are imported on use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from gmemsim.registry import Registry, late

if TYPE_CHECKING:
    from gmemsim.reports.views import View


@attrs.frozen
class RunFormat:
    """A format of ``gmemsim run``: its files end in ``suffix``, ``module`` writes them, ``words`` say what it is.

    ``parts``: what stands before the suffix of each file, and the function that writes it (default: one file).
    ``stem``: the name of the first file without its suffix (default: ``timeline``).  ``figures``: whether figures are
    in it (default: no).  ``packed``: whether a name that says so has its file compressed (``export.packing``, default:
    no).  ``package``, ``extra``: the package that it needs and the extra of gmemsim that brings it (default: none).
    """

    suffix: str
    module: str
    words: str
    parts: Mapping[str, str] = attrs.field(factory=lambda: {"": "write"})
    stem: str = "timeline"
    figures: bool = False
    packed: bool = False
    package: str | None = None
    extra: str | None = None

    @property
    def missing(self) -> bool:
        """Whether the package that it needs is not installed."""
        return self.package is not None and find_spec(self.package) is None

    def write(self, part: str, view: View, path: Path) -> None:
        """Write the file ``part`` to ``path``."""
        late(f"{self.module}:{self.parts[part]}")(view, path)


EXPORTS: Registry[RunFormat] = Registry("format")
"""Every format of a run."""

TABLES = {"": "write", ".events": "write_events"}
"""Samples and events have a file each."""

_FRAMES = "for data frames"


def _add(rows: Iterable[tuple[str, RunFormat]]) -> None:
    for name, row in rows:
        EXPORTS.add(name, row)


_add(
    (
        ("jsonl", RunFormat(".jsonl", "gmemsim.reports.export.jsonl", _FRAMES, packed=True)),
        (
            "csv",
            RunFormat(
                ".csv",
                "gmemsim.reports.export.csv",
                _FRAMES,
                {**TABLES, ".provenance": "write_provenance"},
                packed=True,
            ),
        ),
        (
            "parquet",
            RunFormat(
                ".parquet", "gmemsim.reports.export.parquet", _FRAMES, TABLES, package="pyarrow", extra="parquet"
            ),
        ),
        (
            "perfetto",
            RunFormat(
                ".pftrace",
                "gmemsim.reports.export.perfetto",
                "for ui.perfetto.dev",
                package="perfetto",
                extra="perfetto",
            ),
        ),
        (
            "html",
            RunFormat(".html", "gmemsim.reports.export.html", "one page with everything", stem="report", figures=True),
        ),
    )
)


@attrs.frozen
class StudyFormat:
    """A format of a study: ``module`` makes it, its file is called ``file``.

    ``help``: what the help says of the option that prints it.
    """

    module: str
    file: str
    help: str

    def text(self, study: Any) -> str:
        """The study in this format."""
        text: str = late(f"{self.module}:write")(study)
        return text


COMPARE_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of a comparison."""

SWEEP_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of a sweep."""

BUDGET_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of a budget."""

TUNE_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of a tuning."""

COMPARE_EXPORTS.add(
    "json",
    StudyFormat("gmemsim.reports.export.compare_json", "compare.json", "Print one JSON object, all summaries in it."),
)
COMPARE_EXPORTS.add(
    "csv",
    StudyFormat("gmemsim.reports.export.compare_csv", "compare.csv", "Print CSV, one value a line, for a spreadsheet."),
)
COMPARE_EXPORTS.add(
    "markdown",
    StudyFormat(
        "gmemsim.reports.export.compare_markdown", "compare.md", "Print Markdown below 78 columns, for a mail."
    ),
)
SWEEP_EXPORTS.add("json", StudyFormat("gmemsim.reports.export.sweep_json", "sweep.json", "Print one JSON object."))
SWEEP_EXPORTS.add("csv", StudyFormat("gmemsim.reports.export.sweep_csv", "sweep.csv", "Print CSV, one variant a line."))
BUDGET_EXPORTS.add("json", StudyFormat("gmemsim.reports.export.budget_json", "budget.json", "Print one JSON object."))
BUDGET_EXPORTS.add(
    "markdown",
    StudyFormat("gmemsim.reports.export.budget_markdown", "budget.md", "Print Markdown below 78 columns, for a mail."),
)
TUNE_EXPORTS.add("json", StudyFormat("gmemsim.reports.export.tune_json", "tune.json", "Print one JSON object."))
TUNE_EXPORTS.add(
    "markdown",
    StudyFormat("gmemsim.reports.export.tune_markdown", "tune.md", "Print Markdown below 78 columns, for a mail."),
)

FAULTS_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of what failing allocations leave."""

RESERVE_EXPORTS: Registry[StudyFormat] = Registry("format")
"""Every format of a reserve."""

for _registry, _stem in ((FAULTS_EXPORTS, "faults"), (RESERVE_EXPORTS, "reserve")):
    for _form, _help in (("json", "Print one JSON object."), ("csv", "Print CSV, one row a line.")):
        _module = f"gmemsim.reports.export.{_stem}_{_form}"
        _registry.add(_form, StudyFormat(_module, f"{_stem}.{_form}", _help))
for _registry, _stem in (
    (COMPARE_EXPORTS, "compare"),
    (SWEEP_EXPORTS, "sweep"),
    (BUDGET_EXPORTS, "budget"),
    (TUNE_EXPORTS, "tune"),
    (FAULTS_EXPORTS, "faults"),
):
    _page = StudyFormat(f"gmemsim.reports.export.{_stem}_html", f"{_stem}.html", "Print one HTML page with everything.")
    _registry.add("html", _page)
