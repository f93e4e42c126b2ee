# SPDX-License-Identifier: GPL-2.0-or-later
"""The laws of a guest_memfd under random calls and injected failures, many guests on one host (tests.gmem.machine)."""

from hypothesis import HealthCheck, settings

from tests.gmem.machine import Guests

SETTINGS = settings(max_examples=50, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))


class TestGuests(Guests.TestCase):  # type: ignore[misc, valid-type]  # made by Hypothesis at run time
    settings = SETTINGS


class TestManyGuests(Guests.TestCase):  # type: ignore[misc, valid-type]  # made by Hypothesis at run time
    """The same laws, looked at more often: see LONG in ``tests/conftest.py``."""

    settings = settings(SETTINGS, max_examples=200)
