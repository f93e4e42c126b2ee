# SPDX-License-Identifier: GPL-2.0-or-later
"""Expectations of a scenario, tested against what a run has found.

A verdict is an entry of the summary's ``expect``: ``metric``, ``ok``, ``value`` (what was found), ``op`` and
``expected``, ``line`` (in the scenario's file), and ``rel`` and ``after`` where the expectation has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gmemsim.results.metrics import metric_value
from gmemsim.results.timeline import Event
from gmemsim.scenario.model import Expectation, Step

Verdict = dict[str, Any]


def judge(expectation: Expectation, summary: Mapping[str, Any]) -> Verdict:
    """The verdict on ``expectation``, given the ``summary`` of the run so far."""
    value = metric_value(summary, expectation.metric)
    verdict: Verdict = {"metric": expectation.metric, "ok": expectation.holds(value), "value": value}
    verdict |= {"op": expectation.op, "expected": expectation.value, "line": expectation.where.line}
    if expectation.rel is not None:
        verdict["rel"] = expectation.rel
    if expectation.after is not None:
        verdict["after"] = expectation.after
    return verdict


def judge_error(step: Step, index: int, events: Iterable[Event]) -> Verdict:
    """The verdict on the ``expect_error`` of ``step``, number ``index`` of the workload.

    ``events`` are those of the guests that it addresses; the first that failed counts.
    """
    wanted = step.expect_error
    assert wanted is not None
    failed = next((event for event in events if event.errno is not None), None)
    errno, offset = (None, None) if failed is None else (failed.errno, failed.error_offset)
    ok = errno == wanted.errno and wanted.error_offset in (None, offset)
    expected, value = wanted.errno, errno or "success"
    if wanted.error_offset is not None:
        expected, value = f"{expected} at {wanted.error_offset}", f"{value} at {offset}"
    verdict: Verdict = {"metric": f"steps.{step.id or index}.errno", "ok": ok, "value": value}
    return verdict | {"op": "eq", "expected": expected, "line": step.where.line}
