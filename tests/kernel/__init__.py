# SPDX-License-Identifier: GPL-2.0-or-later
"""A running kernel as judge: boots one in an emulator, lets it work, and compares what it did with our predictions."""
