# SPDX-License-Identifier: GPL-2.0-or-later
"""guest_memfd: attributes, filemap, policies, conversion."""
