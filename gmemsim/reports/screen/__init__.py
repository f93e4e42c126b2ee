# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables for the terminal, one file a command."""
