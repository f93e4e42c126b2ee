# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions that take many runs: compare, sweep, explain, reserve, budget, faults."""
