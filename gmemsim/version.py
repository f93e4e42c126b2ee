# SPDX-License-Identifier: GPL-2.0-or-later
"""The version, where everything may read it without importing the package's face."""

__version__ = "0.2.0"
