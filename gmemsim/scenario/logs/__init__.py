# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded conversions: logs of QEMU and bpftrace, memory slots, and the step that replays them."""
