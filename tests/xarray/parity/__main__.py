"""Writes PARITY.md."""

from __future__ import annotations

from tests.xarray.parity.page import PAGE, page

PAGE.write_text(page())
