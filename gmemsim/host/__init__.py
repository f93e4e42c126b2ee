# SPDX-License-Identifier: GPL-2.0-or-later
"""The host: who holds how many bytes, the hugepage pool, vmemmap, and what work costs."""
