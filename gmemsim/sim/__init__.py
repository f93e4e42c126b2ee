# SPDX-License-Identifier: GPL-2.0-or-later
"""Carrying out a scenario: a run is an iterator of events, and recorders collect what only figures need."""
