# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario files: YAML with places, kinds of values, checks, the JSON Schema."""
