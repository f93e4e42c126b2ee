# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes PARITY.md."""

from __future__ import annotations

from tests.xarray.parity.page import PAGE, page

PAGE.write_text(page())
