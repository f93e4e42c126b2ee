# SPDX-License-Identifier: GPL-2.0-or-later
"""The laws of a guest_memfd under random calls and injected failures, many guests on one host (tests.gmem.machine)."""

from hypothesis import HealthCheck, settings

from tests.gmem.machine import Guests

Guests.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGuests = Guests.TestCase
