# SPDX-License-Identifier: GPL-2.0-or-later
"""Carrying out a scenario: an iterator of events, and recorders that watch it."""
