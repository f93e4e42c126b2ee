# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzzers: bugs planted for `gmemsim fuzz`, and targets for every reader (`make fuzz`)."""
