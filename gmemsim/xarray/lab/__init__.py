# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the comparison with the kernel needs: traces, pictures, cursors, the LRU list."""
