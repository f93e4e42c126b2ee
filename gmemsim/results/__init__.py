# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run leaves behind: its timeline, its summary, and the prices of its work."""
