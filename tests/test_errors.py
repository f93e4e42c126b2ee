# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors are what they were when they come back from a worker process."""

from __future__ import annotations

import pickle

import pytest

from gmemsim.errors import Again, Fault, GmemsimError, InputError, OutOfMemory, SimulationRefused, WorkersLost


@pytest.mark.parametrize(
    "error",
    [
        InputError([Fault("a.yaml", 2, 1, "second"), Fault("a.yaml", 1, 1, "first")]),
        OutOfMemory("none", error_offset=4096, held=3),
        Again("in use", error_offset=0),
        SimulationRefused("no"),
        WorkersLost("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_be_sent(error: GmemsimError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
