# SPDX-License-Identifier: GPL-2.0-or-later
"""For anyone's tests: a pytest plugin, and loops that fail each allocation of a call in turn."""

from gmemsim.testing.fail_nth import Failure, fail_nth

__all__ = ["Failure", "fail_nth"]
