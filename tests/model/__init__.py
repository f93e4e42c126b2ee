# SPDX-License-Identifier: GPL-2.0-or-later
"""A second opinion on guest_memfd: one array element a page, nothing shared with the package."""
