# SPDX-License-Identifier: GPL-2.0-or-later
"""Counterparts of the kernel's own XArray tests, in our own words."""
